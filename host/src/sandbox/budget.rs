//! The memory that all runs of this process share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::cgroup::Cgroup;
use super::meter::Meter;

/// The sum of all guests' memories stays about within `limit`: new runs wait when it is reached, and growth beyond it
/// ends the largest run. (About: a run that is being ended still holds its pages for a moment.)
pub(super) struct Budget {
    limit: u64,
    used: AtomicU64,
    crowd: Mutex<Crowd>,
    freed: Notify,
}

/// Runs that hold enough to matter when room must be made.
#[derive(Default)]
struct Crowd {
    /// With what each has grown to, by its meter's number.
    large: HashMap<u64, (Arc<Meter>, u64)>,
    /// Of all that is used, what belongs to runs that are being ended.
    condemned: u64,
}

/// Smaller runs are never picked to make room, and take no lock.
const LARGE: u64 = 4 << 20;

/// Bytes of all guests' memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// At this moment.
    pub used: u64,
    /// Beyond it no run begins.
    pub limit: u64,
}

/// What becomes of a wish to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Go on.
    Granted,
    /// The process has no room, and this run is the largest: it must end.
    Evicted,
}

impl Budget {
    /// `limit` in bytes, or 70 % of what the cgroup or the machine has.
    pub(super) fn new(limit: Option<u64>) -> Budget {
        let limit = limit.unwrap_or_else(|| available() / 10 * 7);
        Budget { limit, used: AtomicU64::new(0), crowd: Mutex::default(), freed: Notify::new() }
    }

    /// Waits until there is room for another run.
    pub(super) async fn room(&self) {
        loop {
            if self.has_room() {
                return;
            }
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }

    pub(super) fn memory(&self) -> Memory {
        Memory { used: self.used.load(Ordering::Relaxed), limit: self.limit }
    }

    /// Whether another run may begin.
    pub(super) fn has_room(&self) -> bool {
        self.used.load(Ordering::SeqCst) < self.limit
    }

    /// `meter`'s run grows from `from` to `to` bytes. Counted whatever the answer is, until [`Budget::release`].
    pub(super) fn grow(&self, meter: &Arc<Meter>, from: u64, to: u64) -> Growth {
        let used = self.used.fetch_add(to - from, Ordering::SeqCst) + (to - from);
        if to < LARGE && used <= self.limit {
            return Growth::Granted;
        }
        let mut crowd = self.lock();
        if meter.is_evicted() {
            crowd.condemned += to - from;
            return Growth::Evicted;
        }
        if to >= LARGE {
            crowd.large.insert(meter.number, (meter.clone(), to));
        }
        while self.used.load(Ordering::SeqCst).saturating_sub(crowd.condemned) > self.limit {
            let others = crowd.large.values().filter(|(run, _)| !run.is_evicted());
            let largest = others.max_by_key(|(_, memory)| *memory).filter(|(_, memory)| *memory > to);
            let (largest, memory) = largest.map_or_else(|| (meter.clone(), to), |(run, memory)| (run.clone(), *memory));
            crowd.condemned += memory;
            largest.evict();
            if largest.number == meter.number {
                return Growth::Evicted;
            }
        }
        Growth::Granted
    }

    /// A run has ended and its pages are free; `memory` is what it had grown to.
    pub(super) fn release(&self, meter: &Meter, memory: u64) {
        let was_full = self.used.fetch_sub(memory, Ordering::SeqCst) >= self.limit;
        if memory >= LARGE || meter.is_evicted() {
            let mut crowd = self.lock();
            crowd.large.remove(&meter.number);
            if meter.is_evicted() {
                crowd.condemned -= memory;
            }
        }
        if was_full && self.has_room() {
            self.freed.notify_waiters();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Bytes that the cgroup, or else the machine, gives this process.
fn available() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|info| {
        let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        total.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    let machine = machine.map_or(2 << 30, |kib| kib << 10);
    Cgroup::own().memory().map_or(machine, |limit| limit.min(machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_run_makes_room() {
        let budget = Budget::new(Some(100 << 20));
        let (small, large) = (Meter::for_test(1), Meter::for_test(2));
        assert_eq!(budget.grow(&large, 0, 80 << 20), Growth::Granted);
        assert_eq!(budget.grow(&small, 0, 30 << 20), Growth::Granted);
        assert!(large.is_evicted() && !small.is_evicted());
        budget.release(&large, 80 << 20);
        assert_eq!(budget.grow(&small, 30 << 20, 101 << 20), Growth::Evicted);
        budget.release(&small, 101 << 20);
        assert_eq!((budget.used.into_inner(), budget.crowd.into_inner().unwrap().condemned), (0, 0));
    }

    #[tokio::test]
    async fn new_runs_wait_until_there_is_room() {
        let budget = Arc::new(Budget::new(Some(10 << 20)));
        let run = Meter::for_test(1);
        budget.grow(&run, 0, 10 << 20);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        budget.release(&run, 10 << 20);
        waiting.await.unwrap();
    }
}
