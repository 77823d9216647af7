//! What a queue's settings allow at a moment.

use std::time::Duration;

use super::layout::Queue;
use crate::task::{Rate, Timestamp};

impl Queue {
    /// How many tasks may be taken now.
    pub(in crate::backend) fn allowed(&self, now: Timestamp) -> usize {
        if self.settings.paused {
            return 0;
        }
        let free = self.settings.concurrency.map_or(u64::MAX, |most| u64::from(most).saturating_sub(self.running));
        let due = self.settings.rate.map_or(u64::MAX, |rate| {
            let (interval, now) = (rate.interval_us(), micros(now));
            let ahead = self.reached.saturating_sub(now);
            (rate.burst() * interval).saturating_sub(ahead) / interval
        });
        usize::try_from(free.min(due)).unwrap_or(usize::MAX)
    }

    /// So many were taken.
    pub(super) fn charge(&mut self, taken: usize, now: Timestamp) {
        if let Some(rate) = self.settings.rate {
            self.reached = self.reached.max(micros(now)) + taken as u64 * rate.interval_us();
        }
    }

    /// When a caller should look again, if nobody changes anything: something becomes due, or the rate allows more.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        if self.settings.paused {
            return None;
        }
        let later = now.plus(Duration::from_millis(1));
        let due = self.waiting.iter().filter_map(|line| line.range((later, 0)..).next()).map(|(place, _)| place.0);
        due.chain(self.settings.rate.and_then(|rate| self.opens(rate, now))).min()
    }

    /// When the rate allows a task that is due.
    fn opens(&self, rate: Rate, now: Timestamp) -> Option<Timestamp> {
        let is_due = |line: &super::layout::Line| line.first_key_value().is_some_and(|(place, _)| place.0 <= now);
        let waits = self.waiting.iter().any(is_due) || !self.aside.is_empty();
        let opens = Timestamp(self.reached.saturating_sub((rate.burst() - 1) * rate.interval_us()).div_ceil(1_000));
        (waits && opens > now).then_some(opens)
    }
}

fn micros(time: Timestamp) -> u64 {
    time.0.saturating_mul(1_000)
}
