//! How rough it is: shared by all who are hit.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A storm that ends, and then the end of the day.
pub(super) struct Weather {
    /// Of a hundred calls, so many go wrong.
    trouble: usize,
    is_calm: AtomicBool,
    /// Since when, once it is.
    cleared: Mutex<Option<Instant>>,
    outage: Mutex<Instant>,
    /// One for each listener: those of one sender hear of a change in an order of their own.
    changes: Mutex<Vec<watch::Sender<()>>>,
    is_closing: AtomicBool,
    closing: Notify,
}

/// Longer than the pauses between two calls.
const MOMENT: Duration = Duration::from_secs(5);

impl Weather {
    pub(super) fn new(trouble: usize) -> Weather {
        Weather {
            trouble,
            is_calm: AtomicBool::new(false),
            cleared: Mutex::new(None),
            outage: Mutex::new(Instant::now()),
            changes: Mutex::default(),
            is_closing: AtomicBool::new(false),
            closing: Notify::new(),
        }
    }

    /// Of a hundred calls, so many go wrong now.
    pub(super) fn trouble(&self) -> usize {
        if self.is_calm() { 0 } else { self.trouble }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::SeqCst)
    }

    /// Nothing goes wrong any more.
    pub(super) fn clear_up(&self) {
        self.is_calm.store(true, Ordering::SeqCst);
        *self.cleared.lock().expect("no panic while it is held") = Some(Instant::now());
        for listener in &*self.changes.lock().expect("no panic while it is held") {
            listener.send_replace(());
        }
    }

    /// Whether calls may have failed for some time until a moment ago.
    pub(super) fn was_rough(&self) -> bool {
        let cleared = *self.cleared.lock().expect("no panic while it is held");
        self.trouble > 0 && cleared.is_none_or(|cleared| cleared.elapsed() < MOMENT)
    }

    /// Hears of the end of the storm.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        let (sender, receiver) = watch::channel(());
        let mut changes = self.changes.lock().expect("no panic while it is held");
        changes.retain(|listener| !listener.is_closed());
        changes.push(sender);
        receiver
    }

    /// No call gets through for so long.
    pub(super) fn black_out(&self, span: Duration) {
        *self.outage.lock().expect("no panic while it is held") = Instant::now() + span;
    }

    pub(super) fn is_out(&self) -> bool {
        !self.is_calm() && Instant::now() < *self.outage.lock().expect("no panic while it is held")
    }

    /// Workers are to stop.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        self.closing.notify_waiters();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// Waits for that.
    pub(super) async fn closed(&self) {
        // Nothing comes between looking and waiting: all is on one thread.
        if !self.is_closing() {
            self.closing.notified().await;
        }
    }
}
