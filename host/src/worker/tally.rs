//! What a worker has done so far: counted as it settles, read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::broker::activity::Activity;

/// Counts that only grow, but for what runs.
#[derive(Debug, Default)]
pub struct Tally {
    running: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// Runs that hold a slot.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Tasks that succeeded.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Runs that failed, the last one of a task as well.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self, runs: usize) {
        self.running.fetch_add(runs as u64, Ordering::Relaxed);
    }

    pub(super) fn end(&self, runs: usize) {
        self.running.fetch_sub(runs as u64, Ordering::Relaxed);
    }

    pub(super) fn succeed(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Rates are no news when they are taken over less than this.
const SHORTEST: Duration = Duration::from_secs(1);

/// Makes rates of a tally that it looks at now and then.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    before: Mark,
    rates: (f64, f64),
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    done: u64,
    failed: u64,
}

impl Pace {
    /// From now on.
    pub fn new(tally: &Tally) -> Pace {
        let began = Instant::now();
        Pace { began, before: Mark { at: began, done: tally.done(), failed: tally.failed() }, rates: (0.0, 0.0) }
    }

    /// Another look: rates are those since the look before, or those of that one where it was a moment ago.
    pub fn look(&mut self, tally: &Tally) -> Activity {
        self.look_at(tally, Instant::now())
    }

    fn look_at(&mut self, tally: &Tally, now: Instant) -> Activity {
        let Mark { at, done, failed } = self.before;
        let mark = Mark { at: now, done: tally.done(), failed: tally.failed() };
        let span = now.saturating_duration_since(at);
        if span >= SHORTEST {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / span.as_secs_f64();
            (self.rates, self.before) = ((rate(mark.done, done), rate(mark.failed, failed)), mark);
        }
        Activity {
            up: now.saturating_duration_since(self.began),
            running: tally.running(),
            done: mark.done,
            failed: mark.failed,
            done_per_second: self.rates.0,
            failed_per_second: self.rates.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_taken_between_looks_and_never_over_a_moment() {
        let tally = Tally::default();
        let mut pace = Pace::new(&tally);
        let after = |span| pace.began + Duration::from_millis(span);
        let [first, soon, later] = [after(2_000), after(2_010), after(4_010)];
        (0..10).for_each(|_| tally.succeed());
        tally.begin(3);
        tally.end(1);
        let look = pace.look_at(&tally, first);
        assert_eq!((look.done_per_second, look.failed_per_second, look.running), (5.0, 0.0, 2));
        tally.fail();
        assert_eq!(pace.look_at(&tally, soon).done_per_second, 5.0, "ten milliseconds later");
        let look = pace.look_at(&tally, later);
        assert_eq!((look.failed, look.up), (1, Duration::from_millis(4_010)));
        assert!(look.done_per_second == 0.0 && look.failed_per_second > 0.4, "{look:?}");
    }
}
