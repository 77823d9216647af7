//! One task on one line.

use serde::Serialize;

use tasq_host::broker::Tracked;
use tasq_host::client::Known;
use tasq_host::results::Record;
use tasq_host::task::{Failure, Priority, State, Timestamp, WorkerId};

/// A line of `task list --json`, and the beginning of `task show --json`.
#[derive(Debug, Serialize)]
pub(crate) struct TaskLine {
    pub(super) id: String,
    pub(super) handler: String,
    pub(super) queue: String,
    pub(super) priority: Priority,
    pub(super) state: State,
    /// Attempts begun: 0 before the first.
    pub(super) attempt: u32,
    pub(super) run: u32,
    pub(super) lost: u32,
    /// Absent while it is undecided: the handler's manifest has its say when the task runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_retries: Option<u32>,
    pub(super) enqueued_at: String,
    /// Absent while it waits for something else than a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
}

impl TaskLine {
    /// What is known, for a list.
    pub(crate) fn of(known: &Known) -> TaskLine {
        match known {
            Known::Held(tracked) => TaskLine::held(tracked),
            Known::Ended(record, _) => TaskLine::ended(record),
        }
    }

    fn held(tracked: &Tracked) -> TaskLine {
        let options = tasq_host::codec::decode(&tracked.envelope).map(|task| task.options).unwrap_or_default();
        let time = |time: Timestamp| time.to_string();
        TaskLine {
            id: tracked.id.to_string(),
            handler: tracked.handler.to_string(),
            queue: tracked.queue.to_string(),
            priority: tracked.priority,
            state: tracked.state,
            attempt: tracked.failed + u32::from(tracked.state == State::Running),
            run: tracked.run,
            lost: tracked.lost,
            max_retries: options.max_retries,
            enqueued_at: time(tracked.enqueued_at),
            due_at: Some(tracked.due_at).filter(|due| *due < Timestamp::NEVER).map(time),
            started_at: tracked.started_at.map(time),
            finished_at: None,
            worker: tracked.worker.as_ref().map(ToString::to_string),
            error: tracked.history.last().map(|failed| failed.failure.clone()),
        }
    }

    fn ended(record: &Record) -> TaskLine {
        TaskLine {
            id: record.id.to_string(),
            handler: record.handler.to_string(),
            queue: record.queue.to_string(),
            priority: record.priority,
            state: record.state,
            attempt: record.attempt,
            run: record.run,
            lost: record.lost,
            max_retries: Some(record.max_retries),
            enqueued_at: record.enqueued_at.to_string(),
            due_at: Some(record.due_at).filter(|due| *due < Timestamp::NEVER).map(|due| due.to_string()),
            started_at: ran(record).then(|| record.started_at.to_string()),
            finished_at: Some(record.finished_at.to_string()),
            worker: ran(record).then(|| record.worker.to_string()),
            error: record.failure.clone(),
        }
    }
}

/// Not for a task that was cancelled while it waited.
pub(super) fn ran(record: &Record) -> bool {
    record.worker != WorkerId::nobody()
}
