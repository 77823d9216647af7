//! Lets schedules tick. Every worker does, by the server's clock; of those that try the same tick, one succeeds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::runner::Runner;
use crate::backend::Backend;
use crate::cron::Schedule;
use crate::error::Result;
use crate::schedules::{Plan, Tick, Ticked};
use crate::task::{Name, Timestamp};

/// Schedules are looked at this often, for those that are new; a failure is tried again after it, too.
const LOOK: Duration = Duration::from_secs(1);
/// Two looks are no closer than this: the server's clock may be a little behind what was waited for.
const SHORTEST: Duration = Duration::from_millis(5);

/// Ticks until it is dropped.
pub(super) fn start(backend: &Backend, sandbox: Arc<dyn Runner>) -> AbortOnDropHandle<()> {
    let backend = backend.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let own = |handler: &Name| {
            let served = sandbox.handlers();
            served.get(handler).map(|handler| handler.manifest.queue.clone().unwrap_or_else(Name::default_queue))
        };
        keep_ticking(&backend, own).await;
    }))
}

/// Looks at all schedules when the next one is due, each second at least, and pushes what is due. Nothing ends it: a
/// failure of the broker delays what is due, and one of a schedule is its own. `own`: where the tasks of a handler that
/// this worker has wait, if a schedule doesn't say.
pub async fn keep_ticking(backend: &Backend, own: impl Fn(&Name) -> Option<Name>) {
    let mut clockwork = Clockwork { read: HashMap::new() };
    loop {
        let pause = match clockwork.turn(backend, &own).await {
            Ok(pause) => pause,
            Err(error) => {
                // The worker's own loop says so aloud.
                tracing::debug!("schedules can't be looked at: {error}");
                LOOK
            }
        };
        tokio::time::sleep(pause.clamp(SHORTEST, LOOK)).await;
    }
}

/// Where a handler's tasks wait: as this worker's manifest says, else another's, else in `default`.
async fn queue(backend: &Backend, own: impl Fn(&Name) -> Option<Name>, handler: &Name) -> Result<Name> {
    if let Some(queue) = own(handler) {
        return Ok(queue);
    }
    let workers = backend.operations.workers().await?;
    let mut reports = workers.iter().flat_map(|worker| &worker.handlers);
    let queue = reports.find_map(|report| report.queue.clone().filter(|_| report.name == *handler));
    Ok(queue.unwrap_or_else(Name::default_queue))
}

/// What has been read of schedules: reading one and finding its next tick costs more than looking whether that is due.
struct Clockwork {
    read: HashMap<Name, Read>,
}

struct Read {
    body: Bytes,
    /// None where it can't be read.
    schedule: Option<Schedule>,
    since: Timestamp,
    next: Option<Timestamp>,
}

impl Clockwork {
    /// Pushes what is due; how long until the next tick.
    async fn turn(&mut self, backend: &Backend, own: &impl Fn(&Name) -> Option<Name>) -> Result<Duration> {
        let plans = backend.schedules.list().await?;
        let now = plans.now;
        self.read.retain(|name, _| plans.plans.iter().any(|plan| plan.name == *name));
        let mut first: Option<Timestamp> = None;
        for plan in plans.plans {
            let next = self.tick(backend, &plan, now, own).await.unwrap_or_else(|error| {
                tracing::warn!("schedule {} can't tick now, and is tried again: {error}", plan.name);
                None
            });
            first = first.into_iter().chain(next).min();
        }
        Ok(first.map_or(LOOK, |first| first.since(now)))
    }

    /// Pushes what is due of one schedule; its next tick, or this moment where there may be more to do.
    async fn tick(
        &mut self,
        backend: &Backend,
        plan: &Plan,
        now: Timestamp,
        own: &impl Fn(&Name) -> Option<Name>,
    ) -> Result<Option<Timestamp>> {
        let read = self.read(plan);
        let Some(schedule) = read.schedule.as_ref().filter(|schedule| !schedule.paused) else { return Ok(None) };
        let due = match read.next {
            Some(next) if next <= now => schedule.due(plan.since, now),
            next => return Ok(next),
        };
        let Some(at) = due else { return Ok(schedule.next(now)) };
        let queue = match &schedule.task.queue {
            Some(queue) => queue.clone(),
            None => queue(backend, own, &schedule.task.handler).await?,
        };
        let message = schedule.message(&plan.name, at, queue)?;
        let overlap = schedule.overlap == crate::cron::Overlap::Allow;
        let tick = Tick { name: plan.name.clone(), since: plan.since, at, message, overlap };
        match backend.schedules.tick(tick).await? {
            Ticked::Pushed => tracing::debug!(schedule = %plan.name, %at, "ticked"),
            Ticked::Skipped => {
                tracing::debug!(schedule = %plan.name, %at, "skipped: the last tick's task is unfinished");
            }
            // Somebody else was faster.
            Ticked::Moved => {}
        }
        Ok(Some(now))
    }

    fn read(&mut self, plan: &Plan) -> &Read {
        let known = self.read.remove(&plan.name).filter(|read| read.body == plan.body);
        let read = match known {
            Some(read) if read.since == plan.since => read,
            Some(Read { body, schedule, .. }) => {
                let next = schedule.as_ref().and_then(|schedule| schedule.next(plan.since));
                Read { body, schedule, since: plan.since, next }
            }
            None => {
                let schedule = Schedule::decode(&plan.body).inspect_err(|unreadable| {
                    tracing::warn!("schedule {} doesn't tick: {unreadable}", plan.name);
                });
                let schedule = schedule.ok();
                let next = schedule.as_ref().and_then(|schedule| schedule.next(plan.since));
                Read { body: plan.body.clone(), schedule, since: plan.since, next }
            }
        };
        self.read.entry(plan.name.clone()).insert_entry(read).into_mut()
    }
}
