//! About the run in progress.

use std::time::Duration;

use crate::host;

/// Why a run should come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Someone cancelled the task: whatever is returned is dropped.
    Cancelled,
    /// The worker is shutting down: finish early, or snooze.
    ShuttingDown,
}

/// How long until the host stops this run.
pub fn remaining() -> Duration {
    Duration::from_millis(host::remaining_ms())
}

/// None as long as the run may go on. Worth asking now and then in long loops.
pub fn stopping() -> Option<Stop> {
    host::stopping()
}

/// Shown to whoever watches the task. `percent` above 100 counts as 100; the host may drop updates that come too fast.
pub fn progress(percent: u8, note: &str) {
    host::progress(percent, note);
}
