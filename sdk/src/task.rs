//! Conveniences on the contract's task.

use std::time::{Duration, SystemTime};

use crate::Task;

impl Task {
    /// The value of a header, none where the producer gave none of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }

    /// True when a failure now is final, however it asks to be tried again.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt > self.max_retries
    }

    /// When this run was due: the tick, for a cron task.
    pub fn due_at(&self) -> SystemTime {
        at(self.due_at_ms)
    }

    /// When the host stops this run.
    pub fn deadline(&self) -> SystemTime {
        at(self.deadline_ms)
    }
}

/// A task for tests: the first run of `test` in the queue `default`, due at the epoch, with a minute to run.
impl Default for Task {
    fn default() -> Task {
        Task {
            id: "test".into(),
            handler: "test".into(),
            queue: "default".into(),
            attempt: 1,
            run: 1,
            max_retries: 25,
            content_type: String::new(),
            enqueued_at_ms: 0,
            due_at_ms: 0,
            deadline_ms: 60_000,
            headers: Vec::new(),
            upstream: Vec::new(),
        }
    }
}

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::tasq::handler::types::Header;

    #[test]
    fn a_header_is_found_by_name() {
        let headers = vec![Header { name: "traceparent".into(), value: "00-1".into() }];
        let task = Task { headers, ..Task::default() };
        assert_eq!(task.header("traceparent"), Some("00-1"));
        assert_eq!(task.header("other"), None);
    }

    #[test]
    fn the_last_attempt_is_the_one_after_all_retries() {
        let task = |attempt| Task { attempt, max_retries: 2, ..Task::default() };
        assert!(!task(2).is_last_attempt());
        assert!(task(3).is_last_attempt());
    }
}
