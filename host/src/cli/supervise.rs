//! What a service manager is told: that the worker is ready, that it stops, and, if it asks for that, that it isn't stuck.
//! Says nothing where nobody listens: `NOTIFY_SOCKET` and `WATCHDOG_USEC` are systemd's.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tasq_host::sandbox::Sandbox;
use tokio_util::task::AbortOnDropHandle;

/// The broker answers, the handlers are loaded. Goes on telling that the worker lives until it is dropped.
pub(crate) fn ready(sandbox: Arc<Sandbox>) -> Option<AbortOnDropHandle<()>> {
    tell(NotifyState::Ready);
    // Twice in that time, as systemd advises: one may come late.
    let every = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())? / 2;
    Some(AbortOnDropHandle::new(tokio::spawn(watch(sandbox, every))))
}

/// The first stop has come: running tasks are being finished.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Healthy is who gets here, on the worker's own thread, and whose guests' threads still take turns. A broker that
/// doesn't answer is no reason: a new process couldn't reach it either.
async fn watch(sandbox: Arc<Sandbox>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if sandbox.guests().spawn(async {}).await.is_ok() {
            tell(NotifyState::Watchdog);
        }
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("the service manager can't be told: {error}");
    }
}
