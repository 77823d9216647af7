//! A task as a program writes it down in a line: plain texts, whose mistakes are told when it is enqueued.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use super::NewTask;
use crate::broker::{Due, Unique};
use crate::error::{Error, Result};
use crate::task::{Backoff, Priority, Timestamp};

/// A [`NewTask`] in the making. What is wrong with a name or an id, the first of it, is the error of [`Task::build`] and of
/// every call that takes a task.
///
/// ```
/// use std::time::Duration;
/// use tasq_host::Task;
///
/// let task = Task::new("add", r#"{"arg1":5,"arg2":4}"#).queue("reports").max_retries(5).delay(Duration::from_secs(10));
/// assert_eq!(task.build()?.options.max_retries, Some(5));
/// assert!(Task::new("No such name", "").build().is_err());
/// # Ok::<(), tasq_host::error::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it is nothing yet until it is enqueued"]
pub struct Task(Result<NewTask>);

impl Task {
    /// Due at once, everything else undecided.
    pub fn new(handler: &str, payload: impl Into<Bytes>) -> Task {
        Task(parse(handler).map(|handler| NewTask::new(handler, payload)))
    }

    /// The same, with nothing to give to the handler: a later step of a chain gets the result of the step before it.
    pub fn without_payload(handler: &str) -> Task {
        Task(parse(handler).map(NewTask::without_payload))
    }

    /// Where it waits, instead of where its handler's manifest says.
    pub fn queue(self, queue: &str) -> Task {
        self.and_then(|new| Ok(NewTask { queue: Some(parse(queue)?), ..new }))
    }

    /// An id of its own; see [`NewTask::id`].
    pub fn id(self, id: &str) -> Task {
        self.and_then(|new| Ok(NewTask { id: Some(parse(id)?), ..new }))
    }

    /// At most one unfinished task of its queue has this key.
    pub fn unique(self, key: &str) -> Task {
        self.with(|new| new.unique = Some(Unique { key: key.into(), hold: None }))
    }

    /// At most one task of its queue has this key in that time, whatever becomes of it.
    pub fn unique_for(self, key: &str, hold: Duration) -> Task {
        self.with(|new| new.unique = Some(Unique { key: key.into(), hold: Some(hold) }))
    }

    /// Not before this time has passed; for a later step of a chain, since the end of the one before it.
    pub fn delay(self, delay: Duration) -> Task {
        self.with(|new| new.due = Due::After(delay))
    }

    /// Not before this moment.
    pub fn at(self, moment: Timestamp) -> Task {
        self.with(|new| new.due = Due::At(moment))
    }

    /// Its share of the queue.
    pub fn priority(self, priority: Priority) -> Task {
        self.with(|new| new.priority = priority)
    }

    /// MIME type of the payload.
    pub fn content_type(self, text: &str) -> Task {
        self.with(|new| new.content_type = text.into())
    }

    /// Something that the handler can read beside the payload.
    pub fn header(self, name: &str, value: &str) -> Task {
        self.with(|new| drop(new.headers.insert(name.into(), value.into())))
    }

    /// Runs after the first failed one; 25 unless the handler's manifest says otherwise.
    pub fn max_retries(self, count: u32) -> Task {
        self.with(|new| new.options.max_retries = Some(count))
    }

    /// Delays between them; from a second to an hour, doubling, unless the handler's manifest says otherwise.
    pub fn backoff(self, backoff: Backoff) -> Task {
        self.with(|new| new.options.backoff = Some(backoff))
    }

    /// Wall time of one run; 30 s unless the handler's manifest says otherwise.
    pub fn timeout(self, limit: Duration) -> Task {
        self.with(|new| new.options.timeout = Some(limit))
    }

    /// CPU time of one run; 5 s unless the handler's manifest says otherwise.
    pub fn cpu(self, limit: Duration) -> Task {
        self.with(|new| new.options.cpu = Some(limit))
    }

    /// Dead unless started within this time after it was due.
    pub fn expires(self, after: Duration) -> Task {
        self.with(|new| new.options.expires = Some(after))
    }

    /// How long its result is kept, zero for not at all; a day by default.
    pub fn retention(self, time: Duration) -> Task {
        self.with(|new| new.options.retention = Some(time))
    }

    /// What has been described, or what is wrong with it.
    pub fn build(self) -> Result<NewTask> {
        self.0
    }

    fn with(mut self, change: impl FnOnce(&mut NewTask)) -> Task {
        if let Ok(new) = &mut self.0 {
            change(new);
        }
        self
    }

    fn and_then(self, change: impl FnOnce(NewTask) -> Result<NewTask>) -> Task {
        Task(self.0.and_then(change))
    }
}

impl TryFrom<Task> for NewTask {
    type Error = Error;

    fn try_from(task: Task) -> Result<NewTask> {
        task.build()
    }
}

/// For calls that take a [`Task`] and a [`NewTask`] alike.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Error {
        match never {}
    }
}

pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|bad: T::Err| Error::rejected(bad.to_string()))
}
