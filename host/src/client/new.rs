//! One task, as its producer describes it, and the message that the broker gets.

use bytes::Bytes;

use super::Enqueued;
use super::workers::{queue, unserved};
use crate::broker::{Due, Message, Unique, WorkerReport};
use crate::codec;
use crate::error::{Error, Result};
use crate::results::remember;
use crate::task::{Headers, Name, PAYLOAD, Priority, TOLD, Task, TaskId, TaskOptions, UNIQUE_KEY, check_header};

/// A task as its producer describes it; what is left out is decided later, by the handler's manifest or the defaults.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Which handler runs it.
    pub handler: Name,
    /// The handler's input, at most [`PAYLOAD`] bytes. None is empty, and for a later step of a chain the result of the
    /// step before it.
    pub payload: Option<Bytes>,
    /// Where it waits: by default where its handler's manifest says, as live workers announce it (within a second), else
    /// `default`.
    pub queue: Option<Name>,
    /// By default a new UUIDv7. A chosen id can't be enqueued twice while it is remembered: until its task has ended,
    /// and for its retention or a day after that, whichever is longer.
    pub id: Option<TaskId>,
    /// A key of which its queue has at most one holder: where another task holds it, nothing is enqueued. Of a chain, only
    /// the first task can have one, and holds it for a time ([`Unique::hold`]).
    pub unique: Option<Unique>,
    /// When it may run.
    pub due: Due,
    /// Its share of the queue.
    pub priority: Priority,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the handler can read beside the payload.
    pub headers: Headers,
    /// Limits, retries and retention.
    pub options: TaskOptions,
    /// Programs that know nothing of this one look for its result: see `docs/INBOX.md`.
    pub told: bool,
}

impl NewTask {
    /// Due at once, everything else undecided.
    pub fn new(handler: Name, payload: impl Into<Bytes>) -> NewTask {
        NewTask { payload: Some(payload.into()), ..NewTask::without_payload(handler) }
    }

    /// The same, with nothing to give to the handler but what the step before it in a chain may have.
    pub fn without_payload(handler: Name) -> NewTask {
        NewTask {
            handler,
            payload: None,
            queue: None,
            id: None,
            unique: None,
            due: Due::Now,
            priority: Priority::default(),
            content_type: String::new(),
            headers: Headers::new(),
            options: TaskOptions::default(),
            told: false,
        }
    }

    /// Refuses what no broker should see: a payload that is too large, a reserved id, a unique key or a header's name against
    /// the rule.
    /// [`Client::enqueue`](super::Client::enqueue) begins with it.
    pub fn check(&self) -> Result<()> {
        let length = self.payload.as_ref().map_or(0, Bytes::len);
        if length > PAYLOAD {
            let limit = PAYLOAD >> 20;
            return Err(Error::rejected(format!(
                "payload of {length} bytes: expected at most {PAYLOAD} ({limit} MiB)"
            )));
        }
        NewTask::check_id(self.id.as_ref())?;
        if let Some(length) = self.unique.as_ref().map(|unique| unique.key.len()).filter(|n| !UNIQUE_KEY.contains(n)) {
            return Err(Error::rejected(format!("unique key of {length} bytes: expected 1 to {}", UNIQUE_KEY.end())));
        }
        for name in self.headers.keys() {
            check_header(name).map_err(|bad| Error::rejected(bad.to_string()))?;
        }
        Ok(())
    }

    /// Its own headers and the host's.
    pub(super) fn all_headers(&mut self) -> Headers {
        let mut headers = std::mem::take(&mut self.headers);
        if self.told {
            headers.insert(TOLD.into(), "1".into());
        }
        headers
    }

    pub(super) fn check_id(id: Option<&TaskId>) -> Result<()> {
        match id.filter(|id| id.as_str().starts_with("cron:")) {
            None => Ok(()),
            Some(id) => Err(Error::rejected(format!(
                "id \"{id}\": expected one that does not begin with the reserved \"cron:\""
            ))),
        }
    }
}

/// The answer, if the broker takes the message.
pub(super) fn message(new: NewTask, workers: &[WorkerReport]) -> (Enqueued, Message) {
    let unserved = unserved(&new.handler, workers);
    let queue = queue(&new, workers);
    let message = written(new, queue.clone());
    (Enqueued { id: message.id.clone(), created: true, queue, unserved }, message)
}

fn written(mut new: NewTask, queue: Name) -> Message {
    let headers = new.all_headers();
    let remember = new.id.is_some().then(|| remember(&new.options));
    let id = new.id.unwrap_or_else(TaskId::generate);
    let NewTask { handler, payload, due, priority, content_type, options, .. } = new;
    let (payload, upstream) = (payload.unwrap_or_default(), Vec::new());
    let (chain, group) = (None, None);
    let unique = new.unique;
    let task = Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain, group };
    Message { unique, ..codec::message(task, due, remember) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::results::REMEMBER;
    use std::time::Duration;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn what_no_broker_should_see_is_refused() {
        let refusal = |new: &NewTask| {
            let error = new.check().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Rejected);
            error.message
        };
        let mut new = NewTask::new(name("add"), vec![0; PAYLOAD]);
        assert!(new.check().is_ok());
        new.payload = Some(vec![0; PAYLOAD + 1].into());
        assert_eq!(refusal(&new), "payload of 4194305 bytes: expected at most 4194304 (4 MiB)");
        new.payload = None;
        new.id = Some("cron:x:1".parse().unwrap());
        assert!(refusal(&new).contains("reserved"));
        new.id = None;
        new.headers.insert("tasq-depth".into(), "0".into());
        assert!(refusal(&new).contains("tasq-depth"));
        new.headers.clear();
        for (length, good) in [(0, false), (1, true), (256, true), (257, false)] {
            new.unique = Some(Unique { key: "k".repeat(length), hold: None });
            assert_eq!(new.check().is_ok(), good, "{length}");
        }
        assert_eq!(refusal(&new), "unique key of 257 bytes: expected 1 to 256");
    }

    #[test]
    fn chosen_ids_are_remembered_and_generated_ones_are_not() {
        let mut new = NewTask::new(name("add"), "x");
        assert_eq!(written(new.clone(), name("q")).remember, None);
        new.id = Some("a1".parse().unwrap());
        assert_eq!(written(new.clone(), name("q")).remember, Some(REMEMBER));
        new.options.retention = Some(Duration::from_secs(1));
        assert_eq!(written(new.clone(), name("q")).remember, Some(REMEMBER));
        new.options.retention = Some(REMEMBER * 3);
        assert_eq!(written(new.clone(), name("q")).remember, Some(REMEMBER * 3));
        let message = written(new, name("q"));
        assert_eq!(codec::decode(&message.envelope).unwrap().queue, name("q"));
    }
}
