//! Follow-up tasks. The host keeps them until the run succeeds and then enqueues them together with its end; a failed
//! run enqueues nothing. Answers `denied` unless the handler's manifest grants it.

use std::time::Duration;

use serde::Serialize;

use crate::failure::millis;
use crate::{HostError, host};

/// A task to enqueue: `NewTask::new("mail").json(&letter)?.delay(hour)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTask {
    /// Whose task it is.
    pub handler: String,
    /// What the handler gets.
    pub payload: Vec<u8>,
    /// MIME type of the payload, or empty.
    pub content_type: String,
    /// Empty for the handler's own queue.
    pub queue: String,
    /// 0 to run as soon as possible.
    pub delay_ms: u64,
    /// Empty for none; at most one unfinished task per key and queue.
    pub unique_key: String,
    /// Names and values for the handler to read.
    pub headers: Vec<(String, String)>,
    /// `priority`, `max_retries`, `backoff`, `timeout`, `expires`, `retention`, `unique_for`.
    pub options: Vec<(String, String)>,
}

impl NewTask {
    /// For `handler`, with an empty payload and the defaults.
    pub fn new(handler: impl Into<String>) -> NewTask {
        NewTask { handler: handler.into(), ..NewTask::default() }
    }

    /// The same with these bytes as its payload.
    pub fn bytes(self, payload: impl Into<Vec<u8>>) -> NewTask {
        NewTask { payload: payload.into(), ..self }
    }

    /// The same with this value as its payload, in JSON.
    pub fn json(self, payload: &impl Serialize) -> Result<NewTask, serde_json::Error> {
        let content_type = "application/json".into();
        Ok(NewTask { payload: serde_json::to_vec(payload)?, content_type, ..self })
    }

    /// The same, due after `delay`.
    pub fn delay(self, delay: Duration) -> NewTask {
        NewTask { delay_ms: millis(delay), ..self }
    }
}

/// Enqueues a task once this run has succeeded, and returns the id that it will have.
pub fn enqueue(task: NewTask) -> Result<String, HostError> {
    host::enqueue(task)
}
