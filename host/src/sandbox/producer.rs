//! Tasks that a guest enqueues. They are kept until its run has ended, and go out with its end if it succeeded.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::imports::{State, bindings};
use crate::task::{DEPTH, FollowUp, Headers, Name, PAYLOAD, Priority, TaskId, TaskOptions, UNIQUE_KEY, check_header};
use crate::text;
use bindings::tasq::handler::producer::{Host, NewTask};
use bindings::tasq::handler::types::{ErrorKind, HostError};

/// At most so many in one run.
const MOST: usize = 100;
/// Payloads of one run together: they are in memory until it ends.
const BYTES: usize = 8 << 20;
/// A task enqueues one, which enqueues one, …: at most so many in a row.
const DEEPEST: u32 = 32;
/// What one run has enqueued so far.
#[derive(Default)]
pub(super) struct Enqueued {
    tasks: Vec<FollowUp>,
    bytes: usize,
}

impl Enqueued {
    pub(super) fn take(&mut self) -> Vec<FollowUp> {
        std::mem::take(&mut self.tasks)
    }

    fn add(&mut self, parent: &TaskId, depth: u32, new: NewTask) -> Result<String, HostError> {
        if self.tasks.len() >= MOST {
            return refused(ErrorKind::TooMany, format!("one run enqueues at most {MOST} tasks"));
        }
        if depth > DEEPEST {
            return refused(ErrorKind::TooMany, format!("{DEEPEST} tasks in a row were enqueued by one another"));
        }
        let bytes = self.bytes + new.payload.len();
        if new.payload.len() > PAYLOAD || bytes > BYTES {
            let found = new.payload.len();
            return refused(
                ErrorKind::TooLarge,
                format!("payload of {found} bytes: expected at most {PAYLOAD}, and {BYTES} in one run"),
            );
        }
        let id = derived(parent, self.tasks.len() + 1);
        let task =
            follow_up(id.clone(), depth, new).map_err(|message| HostError { kind: ErrorKind::Invalid, message })?;
        self.bytes = bytes;
        self.tasks.push(task);
        Ok(id.to_string())
    }
}

/// `<parent>/f<number>`; where that is longer than an id may be, as behind a long one or many others, a digest of it: the
/// same in each run of the parent, and nobody else's.
fn derived(parent: &TaskId, number: usize) -> TaskId {
    let id = format!("{parent}/f{number}");
    id.parse().unwrap_or_else(|_| {
        let digest: String = Sha256::digest(&id).iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        format!("f-{digest}").parse().expect("42 plain characters are an id")
    })
}

fn refused<T>(kind: ErrorKind, message: String) -> Result<T, HostError> {
    Err(HostError { kind, message })
}

fn follow_up(id: TaskId, depth: u32, new: NewTask) -> Result<FollowUp, String> {
    let NewTask { handler, payload, content_type, queue, delay_ms, unique_key, headers, options } = new;
    let delay = Duration::from_millis(delay_ms);
    if delay > text::LONGEST {
        return Err(format!("a delay of {delay_ms} ms: expected at most 36500 days"));
    }
    let mut all = Headers::new();
    for header in headers {
        check_header(&header.name).map_err(|bad| bad.to_string())?;
        if all.insert(header.name.clone(), header.value).is_some() {
            return Err(format!("header \"{}\" stands twice", header.name));
        }
    }
    all.insert(DEPTH.into(), depth.to_string());
    let unique_key = Some(unique_key).filter(|key| !key.is_empty());
    if let Some(length) = unique_key.as_ref().map(String::len).filter(|length| !UNIQUE_KEY.contains(length)) {
        return Err(format!("unique-key of {length} bytes: expected at most {}", UNIQUE_KEY.end()));
    }
    let mut wishes = Wishes::default();
    for option in options {
        wishes.add(&option.name, &option.value)?;
    }
    let Wishes { priority, unique_for, options } = wishes;
    if unique_for.is_some() && unique_key.is_none() {
        return Err("option \"unique_for\": expected a unique-key with it, found none".into());
    }
    Ok(FollowUp {
        id,
        handler: handler.parse().map_err(|bad: crate::task::InvalidName| bad.to_string())?,
        queue: Some(queue)
            .filter(|queue| !queue.is_empty())
            .map(|queue| queue.parse::<Name>())
            .transpose()
            .map_err(|bad| bad.to_string())?,
        priority,
        delay,
        unique_key,
        unique_for,
        payload: Bytes::from(payload),
        content_type,
        headers: all,
        options,
    })
}

/// What the options say.
#[derive(Default)]
struct Wishes {
    priority: Priority,
    unique_for: Option<Duration>,
    options: TaskOptions,
}

impl Wishes {
    /// Options are named as in the batch format.
    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bad = |expected: String| format!("option {name} \"{}\": {expected}", value.escape_debug());
        let options = &mut self.options;
        match name {
            "priority" => self.priority = text::priority(value).map_err(bad)?,
            "unique_for" => self.unique_for = Some(text::positive_span(value).map_err(bad)?),
            "max_retries" => options.max_retries = Some(value.parse().map_err(|_| bad("expected a number".into()))?),
            "backoff" => options.backoff = Some(text::backoff(value).map_err(bad)?),
            "timeout" => options.timeout = Some(text::positive_span(value).map_err(bad)?),
            "cpu" => options.cpu = Some(text::positive_span(value).map_err(bad)?),
            "expires" => options.expires = Some(text::span(value).map_err(bad)?),
            "retention" => options.retention = Some(text::span(value).map_err(bad)?),
            _ => {
                let name = name.escape_debug();
                return Err(format!(
                    "option \"{name}\": expected priority, max_retries, backoff, timeout, cpu, expires, retention or unique_for"
                ));
            }
        }
        Ok(())
    }
}

impl Host for State {
    fn enqueue(&mut self, new: NewTask) -> Result<String, HostError> {
        self.host_calls += 1;
        let granted = &self.handler.manifest.grants.enqueue;
        if !granted.iter().any(|name| name.as_str() == new.handler) {
            let handler: String = new.handler.chars().take(64).flat_map(char::escape_debug).collect();
            let message = format!(
                "enqueueing \"{handler}\" is not granted; `[grants] enqueue = [\"{handler}\"]` in the handler's manifest would"
            );
            return refused(ErrorKind::Denied, message);
        }
        self.enqueued.add(&self.task.id, self.task.depth + 1, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bindings::tasq::handler::types::HeaderResult as Header;

    fn new() -> NewTask {
        NewTask {
            handler: "mail".into(),
            payload: b"x".to_vec(),
            content_type: String::new(),
            queue: String::new(),
            delay_ms: 1_500,
            unique_key: String::new(),
            headers: vec![],
            options: vec![],
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<Header> {
        pairs.iter().map(|&(name, value)| Header { name: name.into(), value: value.into() }).collect()
    }

    fn refusal(new: NewTask) -> (ErrorKind, String) {
        let error = Enqueued::default().add(&"a".parse().unwrap(), 1, new).unwrap_err();
        (error.kind, error.message)
    }

    #[test]
    fn a_wish_becomes_the_task_that_was_meant() {
        let mut enqueued = Enqueued::default();
        let options = pairs(&[("priority", "low"), ("max_retries", "3"), ("timeout", "2m"), ("retention", "0s")]);
        let id = enqueued.add(&"a".parse().unwrap(), 7, NewTask { options, headers: pairs(&[("k", "v")]), ..new() });
        assert_eq!(id.unwrap(), "a/f1");
        assert_eq!(enqueued.add(&"a".parse().unwrap(), 7, NewTask { queue: "q".into(), ..new() }).unwrap(), "a/f2");
        let options = pairs(&[("unique_for", "10m")]);
        enqueued.add(&"a".parse().unwrap(), 7, NewTask { unique_key: "k".into(), options, ..new() }).unwrap();
        let tasks = enqueued.take();
        assert_eq!((&tasks[0].unique_key, tasks[0].unique_for), (&None, None));
        assert_eq!((tasks[2].unique_key.as_deref(), tasks[2].unique_for), (Some("k"), Some(Duration::from_secs(600))));
        assert_eq!((tasks[0].delay, tasks[0].priority), (Duration::from_millis(1_500), Priority::Low));
        assert_eq!((tasks[0].options.max_retries, tasks[0].options.timeout), (Some(3), Some(Duration::from_secs(120))));
        assert_eq!((tasks[0].headers["k"].as_str(), tasks[0].headers[DEPTH].as_str()), ("v", "7"));
        assert_eq!((&tasks[0].queue, tasks[1].queue.as_ref().unwrap().as_str()), (&None, "q"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (new, kind, text) in [
            (NewTask { handler: "No".into(), ..new() }, ErrorKind::Invalid, "name \"No\""),
            (NewTask { queue: "No".into(), ..new() }, ErrorKind::Invalid, "name \"No\""),
            (NewTask { delay_ms: u64::MAX, ..new() }, ErrorKind::Invalid, "36500 days"),
            (NewTask { headers: pairs(&[("tasq-depth", "0")]), ..new() }, ErrorKind::Invalid, "reserved"),
            (NewTask { headers: pairs(&[("a", ""), ("a", "")]), ..new() }, ErrorKind::Invalid, "stands twice"),
            (NewTask { options: pairs(&[("colour", "red")]), ..new() }, ErrorKind::Invalid, "option \"colour\""),
            (NewTask { options: pairs(&[("timeout", "soon")]), ..new() }, ErrorKind::Invalid, "a time such as 30s"),
            (NewTask { options: pairs(&[("cpu", "0s")]), ..new() }, ErrorKind::Invalid, "at least 1ms"),
            (NewTask { payload: vec![0; PAYLOAD + 1], ..new() }, ErrorKind::TooLarge, "4194305 bytes"),
            (NewTask { unique_key: "k".repeat(257), ..new() }, ErrorKind::Invalid, "unique-key of 257 bytes"),
            (NewTask { options: pairs(&[("unique_for", "1m")]), ..new() }, ErrorKind::Invalid, "a unique-key with it"),
        ] {
            let (found, message) = refusal(new);
            assert!(found == kind && message.contains(text), "{message}");
        }
    }

    #[test]
    fn bombs_are_bounded() {
        let (parent, mut enqueued) = ("a".parse().unwrap(), Enqueued::default());
        assert!((0..MOST).all(|_| enqueued.add(&parent, 1, new()).is_ok()));
        assert_eq!(enqueued.add(&parent, 1, new()).unwrap_err().kind, ErrorKind::TooMany);
        assert_eq!(Enqueued::default().add(&parent, DEEPEST + 1, new()).unwrap_err().kind, ErrorKind::TooMany);
        let (mut enqueued, large) = (Enqueued::default(), NewTask { payload: vec![0; PAYLOAD], ..new() });
        assert!(enqueued.add(&parent, 1, large.clone()).is_ok() && enqueued.add(&parent, 1, large).is_ok());
        assert_eq!(enqueued.add(&parent, 1, new()).unwrap_err().kind, ErrorKind::TooLarge);
    }

    #[test]
    fn tasks_as_deep_as_may_be_have_ids_of_their_own() {
        let mut ids = vec![TaskId::generate()];
        for depth in 1..=DEEPEST {
            let id = Enqueued::default().add(&ids[ids.len() - 1], depth, new()).unwrap();
            ids.push(id.parse().unwrap());
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1 + DEEPEST as usize);
        let long: TaskId = "a".repeat(128).parse().unwrap();
        assert_eq!(derived(&long, 1), derived(&long, 1));
        assert_ne!(derived(&long, 1), derived(&long, 2));
    }
}
