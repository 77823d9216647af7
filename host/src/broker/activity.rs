//! What a worker has done since it began, as it tells it. It travels in the notes of its report: so workers and readers
//! of other versions, which know nothing of it, share a broker with those that do.

use std::time::Duration;

use crate::broker::WorkerReport;
use crate::task::{Headers, millis};

/// What a worker has done, at the moment of its report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// How long it has been at work.
    pub up: Duration,
    /// What it runs.
    pub running: u64,
    /// Tasks that succeeded.
    pub done: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Of the former, per second, since the report before.
    pub done_per_second: f64,
    /// Of the latter.
    pub failed_per_second: f64,
}

const UP: &str = "up-ms";
const RUNNING: &str = "running";
const DONE: &str = "done";
const FAILED: &str = "failed";
const DONE_RATE: &str = "done-per-second";
const FAILED_RATE: &str = "failed-per-second";

impl Activity {
    /// As notes.
    pub fn notes(&self) -> Headers {
        let notes = [
            (UP, millis(self.up).to_string()),
            (RUNNING, self.running.to_string()),
            (DONE, self.done.to_string()),
            (FAILED, self.failed.to_string()),
            (DONE_RATE, format!("{:.3}", self.done_per_second)),
            (FAILED_RATE, format!("{:.3}", self.failed_per_second)),
        ];
        notes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What a worker tells of itself; none for one of a version that doesn't.
    pub fn of(report: &WorkerReport) -> Option<Activity> {
        let number = |name: &str| report.notes.get(name)?.parse::<u64>().ok();
        let rate = |name: &str| report.notes.get(name)?.parse().ok().filter(|rate: &f64| rate.is_finite());
        Some(Activity {
            up: Duration::from_millis(number(UP)?),
            running: number(RUNNING)?,
            done: number(DONE)?,
            failed: number(FAILED)?,
            done_per_second: rate(DONE_RATE)?,
            failed_per_second: rate(FAILED_RATE)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(notes: Headers) -> WorkerReport {
        WorkerReport { id: "w".parse().unwrap(), queues: vec![], concurrency: 1, handlers: vec![], notes }
    }

    #[test]
    fn what_a_worker_tells_reads_back_and_silence_is_no_zero() {
        let told = Activity {
            up: Duration::from_millis(1_500),
            running: 3,
            done: 10,
            failed: 1,
            done_per_second: 6.5,
            failed_per_second: 0.25,
        };
        assert_eq!(Activity::of(&report(told.notes())), Some(told));
        assert_eq!(Activity::of(&report(Headers::new())), None);
        let odd = Headers::from([(DONE_RATE.into(), "NaN".into())]);
        assert_eq!(Activity::of(&report(told.notes().into_iter().chain(odd).collect())), None);
    }
}
