//! What time it is. Backends ask a clock that they are given, so that tests can turn it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::task::{Timestamp, millis};

/// Tells the time. Waiting is tokio's: in a test with paused time, sleeps and [`Simulated`] move together.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// True where the runtime's time may stand still and jump (see [`Simulated`]): who waits for another thread must
    /// then keep it from jumping meanwhile.
    fn is_simulated(&self) -> bool {
        false
    }
}

/// The machine's clock.
pub struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
    }
}

/// Starts at 2026-01-01 and follows tokio's (paused) time; [`Simulated::jump`] sets it apart from it.
pub struct Simulated {
    start: tokio::time::Instant,
    jumped: AtomicU64,
}

impl Simulated {
    /// 2026-01-01T00:00:00Z.
    pub const START: Timestamp = Timestamp(1_767_225_600_000);

    /// A clock that begins to run now. Call it inside a runtime.
    pub fn start() -> Simulated {
        Simulated { start: tokio::time::Instant::now(), jumped: AtomicU64::new(0) }
    }

    /// Moves the clock forward without waking anyone: what a suspended machine sees.
    pub fn jump(&self, by: Duration) {
        self.jumped.fetch_add(millis(by), Ordering::SeqCst);
    }
}

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        let jumped = Duration::from_millis(self.jumped.load(Ordering::SeqCst));
        Simulated::START.plus(self.start.elapsed()).plus(jumped)
    }

    fn is_simulated(&self) -> bool {
        true
    }
}
