//! Tasks as other programs write them: a JSON object whose keys are the options of `enqueue`, or a handler, its payload
//! and options by name. Lines of a batch and what is left in an inbox are read here, by the same rules.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::broker::{Due, Unique};
use crate::client::{NewGroup, NewMember, NewTask, Work};
use crate::keys;
use crate::task::{Name, TaskId, TaskOptions, truncate};
use crate::text;

/// A longer object is refused: the largest payload in base64, and the rest.
pub const LONGEST: usize = 8 << 20;

/// A task, a chain (`{"chain":[…]}`) or a group (`{"group":{"members":[…],"callback":{…}}}`), checked as on enqueueing;
/// otherwise what is wrong with it, in one line.
pub fn object(text: &[u8]) -> Result<Work, String> {
    checked(work(text))
}

/// A task of these parts, checked as on enqueueing; otherwise what is wrong with it, in one line. The options have the
/// names in [`OPTIONS`], or [`HEADER`] before the name of a header, and the values that `enqueue` takes.
pub fn named(handler: &str, payload: Option<Bytes>, options: &[(String, String)]) -> Result<Work, String> {
    let read = TaskLine::named(handler, options).and_then(TaskLine::task);
    checked(read.map(|task| Work::Task(Box::new(NewTask { payload, ..task }))))
}

/// The names of options in [`named`].
pub const OPTIONS: [&str; 14] = [
    "id",
    "queue",
    "priority",
    "delay",
    "at",
    "expires",
    "timeout",
    "cpu",
    "max-retries",
    "backoff",
    "retention",
    "unique",
    "unique-for",
    "content-type",
];

/// How the name of an option begins that stands for a header of the task.
pub const HEADER: &str = "header-";

/// Of what others wrote, a message repeats no more than so many bytes.
const QUOTED: usize = 500;

fn checked(read: Result<Work, String>) -> Result<Work, String> {
    let checked = read.and_then(|work| work.check().map(|()| work).map_err(|refused| refused.message));
    checked.map_err(|mut bad| {
        truncate(&mut bad, QUOTED);
        bad.replace(char::is_control, "\u{fffd}")
    })
}

/// A chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainLine {
    chain: Vec<TaskLine>,
    id: Option<String>,
}

/// A group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupLine {
    group: GroupParts,
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupParts {
    /// Tasks, or `{"chain":[…]}` of such.
    members: Vec<Value>,
    callback: Option<TaskLine>,
}

/// The options of `enqueue` as keys, with `_`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskLine {
    handler: String,
    /// A string stands for its UTF-8 bytes, anything else for its JSON text.
    payload: Option<Value>,
    payload_base64: Option<String>,
    queue: Option<String>,
    id: Option<String>,
    priority: Option<String>,
    #[serde(rename = "in")]
    after: Option<String>,
    at: Option<String>,
    expires: Option<String>,
    timeout: Option<String>,
    cpu: Option<String>,
    max_retries: Option<u32>,
    backoff: Option<String>,
    retention: Option<String>,
    unique: Option<String>,
    unique_for: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn work(object: &[u8]) -> Result<Work, String> {
    if object.len() > LONGEST {
        return Err(format!("expected at most {LONGEST} bytes, found more"));
    }
    let value: Value = serde_json::from_slice(object).map_err(|error| format!("expected a JSON object: {error}"))?;
    if value.get("group").is_some() {
        return read_as::<GroupLine>(value)?.group().map(|group| Work::Group(Box::new(group)));
    }
    if value.get("chain").is_some() {
        return read_as::<ChainLine>(value)?.tasks().map(Work::Chain);
    }
    read_as::<TaskLine>(value)?.task().map(|task| Work::Task(Box::new(task)))
}

fn read_as<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

impl ChainLine {
    fn tasks(self) -> Result<Vec<NewTask>, String> {
        let mut tasks = self.chain.into_iter().map(TaskLine::task).collect::<Result<Vec<_>, _>>()?;
        if let (Some(first), Some(id)) = (tasks.first_mut(), self.id) {
            first.id = Some(parse(&id)?);
        }
        Ok(tasks)
    }
}

impl GroupLine {
    fn group(self) -> Result<NewGroup, String> {
        let GroupParts { members, callback } = self.group;
        let member = |(number, value): (usize, Value)| {
            let member = if value.get("chain").is_some() {
                read_as::<ChainLine>(value).and_then(ChainLine::tasks).map(NewMember::from)
            } else {
                read_as::<TaskLine>(value).and_then(TaskLine::task).map(NewMember::from)
            };
            member.map_err(|bad| format!("member {number}: {bad}"))
        };
        let members = (1..).zip(members).map(member).collect::<Result<Vec<_>, _>>()?;
        let callback = callback.map(TaskLine::task).transpose().map_err(|bad| format!("callback: {bad}"))?;
        Ok(NewGroup { id: self.id.as_deref().map(parse).transpose()?, members, callback })
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|bad: T::Err| bad.to_string())
}

impl TaskLine {
    fn named(handler: &str, options: &[(String, String)]) -> Result<TaskLine, String> {
        let mut line = TaskLine { handler: handler.to_owned(), ..TaskLine::default() };
        let mut retries = None;
        for (name, value) in options {
            if let Some(header) = name.strip_prefix(HEADER) {
                line.headers.insert(header.to_owned(), value.clone());
                continue;
            }
            let option = match name.as_str() {
                "id" => &mut line.id,
                "queue" => &mut line.queue,
                "priority" => &mut line.priority,
                "delay" => &mut line.after,
                "at" => &mut line.at,
                "expires" => &mut line.expires,
                "timeout" => &mut line.timeout,
                "cpu" => &mut line.cpu,
                "max-retries" => &mut retries,
                "backoff" => &mut line.backoff,
                "retention" => &mut line.retention,
                "unique" => &mut line.unique,
                "unique-for" => &mut line.unique_for,
                "content-type" => &mut line.content_type,
                _ => return Err(format!("unknown option `{name}`; {}", keys::hint("", name, &OPTIONS))),
            };
            if option.replace(value.clone()).is_some() {
                return Err(format!("{name}: expected it once, found it twice"));
            }
        }
        let whole = |text: String| {
            text.parse::<u32>().map_err(|_| format!("max-retries: expected a whole number, found \"{text}\""))
        };
        line.max_retries = retries.map(whole).transpose()?;
        Ok(line)
    }

    fn task(self) -> Result<NewTask, String> {
        let due = match (&self.after, &self.at) {
            (Some(_), Some(_)) => return Err("in and at: expected one of them, found both".into()),
            (Some(after), None) => Due::After(text::span(after).map_err(|bad| format!("in: {bad}"))?),
            (None, Some(at)) => Due::At(text::moment(at).map_err(|bad| format!("at: {bad}"))?),
            (None, None) => Due::Now,
        };
        let time = |key: &str, text: &Option<String>, read: fn(&str) -> Result<Duration, String>| {
            text.as_deref().map(read).transpose().map_err(|bad| format!("{key}: {bad}"))
        };
        let options = TaskOptions {
            max_retries: self.max_retries,
            backoff: self.backoff.as_deref().map(text::backoff).transpose().map_err(|bad| format!("backoff: {bad}"))?,
            timeout: time("timeout", &self.timeout, text::positive_span)?,
            cpu: time("cpu", &self.cpu, text::positive_span)?,
            expires: time("expires", &self.expires, text::span)?,
            retention: time("retention", &self.retention, text::span)?,
        };
        let hold = time("unique_for", &self.unique_for, text::positive_span)?;
        let unique = match (self.unique, hold) {
            (None, Some(_)) => return Err("unique_for: expected unique with it, found none".into()),
            (key, hold) => key.map(|key| Unique { key, hold }),
        };
        let priority = self.priority.as_deref().map(text::priority).transpose();
        let priority = priority.map_err(|bad| format!("priority: {bad}"))?;
        let queue: Option<Name> = self.queue.as_deref().map(parse).transpose()?;
        let id: Option<TaskId> = self.id.as_deref().map(parse).transpose()?;
        Ok(NewTask {
            payload: payload(self.payload, self.payload_base64)?,
            queue,
            id,
            unique,
            due,
            priority: priority.unwrap_or_default(),
            content_type: self.content_type.unwrap_or_default(),
            headers: self.headers,
            options,
            ..NewTask::without_payload(parse(&self.handler)?)
        })
    }
}

fn payload(payload: Option<Value>, base64: Option<String>) -> Result<Option<Bytes>, String> {
    use base64::Engine;
    match (payload, base64) {
        (Some(_), Some(_)) => Err("payload and payload_base64: expected one of them, found both".into()),
        (Some(Value::String(text)), None) => Ok(Some(text.into())),
        (Some(value), None) => Ok(Some(value.to_string().into())),
        (None, Some(text)) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            bytes.map(|bytes| Some(bytes.into())).map_err(|bad| format!("payload_base64: {bad}"))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Priority;

    fn task(line: &str) -> Result<NewTask, String> {
        match object(line.as_bytes())? {
            Work::Task(task) => Ok(*task),
            other => panic!("expected a task, found {other:?}"),
        }
    }

    #[test]
    fn keys_become_the_task_that_was_meant() {
        let new = task(
            r#"{"handler":"add","payload":{"a":[2.5,null],"b":1},"queue":"q","id":"i","priority":"low","in":"10s",
                "max_retries":3,"backoff":"fixed:5s","timeout":"2m","retention":"0s","unique":"u","unique_for":"10m",
                "headers":{"k":"v"}}"#,
        )
        .unwrap();
        assert_eq!(new.payload.unwrap(), r#"{"a":[2.5,null],"b":1}"#);
        assert_eq!((new.due, new.priority), (Due::After(Duration::from_secs(10)), Priority::Low));
        assert_eq!((new.options.max_retries, new.headers["k"].as_str()), (Some(3), "v"));
        assert_eq!(
            (new.options.timeout, new.options.retention),
            (Some(Duration::from_secs(120)), Some(Duration::ZERO))
        );
        assert_eq!(new.unique, Some(Unique { key: "u".into(), hold: Some(Duration::from_secs(600)) }));
        assert_eq!(task(r#"{"handler":"a","payload":"text"}"#).unwrap().payload.unwrap(), "text");
        assert_eq!(task(r#"{"handler":"a","payload_base64":"AP8="}"#).unwrap().payload.unwrap(), &b"\0\xff"[..]);
        assert_eq!(task(r#"{"handler":"a"}"#).unwrap().payload, None);
        let line = br#"{"chain":[{"handler":"a"},{"handler":"b","in":"1s"}],"id":"c"}"#;
        let Work::Chain(chain) = object(line).unwrap() else { panic!("a chain") };
        assert_eq!((chain.len(), chain[0].id.as_ref().unwrap().as_str(), &chain[1].id), (2, "c", &None));
        let line = br#"{"group":{"members":[{"handler":"a"},{"chain":[{"handler":"a"},{"handler":"b"}]}],
            "callback":{"handler":"c"}},"id":"g"}"#;
        let Work::Group(group) = object(line).unwrap() else { panic!("a group") };
        assert_eq!((group.members.len(), group.id.unwrap().as_str()), (2, "g"));
        assert!(matches!(&group.members[1], NewMember::Chain(tasks) if tasks.len() == 2));
        assert_eq!(group.callback.unwrap().handler.as_str(), "c");
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        for (line, text) in [
            ("{", "expected a JSON object"),
            ("5", "invalid type"),
            (r#"{"payload":1}"#, "missing field `handler`"),
            (r#"{"handler":"a","colour":1}"#, "unknown field `colour`"),
            (r#"{"handler":"No"}"#, "name \"No\""),
            (r#"{"handler":"a","in":"1s","at":"2026-11-24T06:44:20Z"}"#, "found both"),
            (r#"{"handler":"a","timeout":"soon"}"#, "timeout: expected a time"),
            (r#"{"handler":"a","unique_for":"1m"}"#, "unique_for: expected unique"),
            (r#"{"handler":"a","payload_base64":"?"}"#, "payload_base64: "),
            (r#"{"chain":[{"handler":"a"}],"queue":"q"}"#, "unknown field `queue`"),
            (r#"{"group":{"members":[{"handler":"a"},{"queue":"q"}]}}"#, "member 2: missing field `handler`"),
            (r#"{"group":{"members":[],"callback":{}}}"#, "missing field `handler`"),
            (r#"{"group":{"handler":"a"}}"#, "unknown field `handler`"),
        ] {
            let message = task(line).unwrap_err();
            assert!(message.contains(text), "{line}: {message}");
        }
    }

    #[test]
    fn parts_become_the_task_that_was_meant() {
        let options = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
        };
        let all = options(&[
            ("id", "a1"),
            ("queue", "q"),
            ("priority", "high"),
            ("delay", "10s"),
            ("expires", "1h"),
            ("timeout", "2m"),
            ("cpu", "1s"),
            ("max-retries", "3"),
            ("backoff", "fixed:5s"),
            ("retention", "0s"),
            ("unique", "u"),
            ("unique-for", "10m"),
            ("content-type", "text/plain"),
            ("header-k", "v"),
        ]);
        let Work::Task(by_name) = named("add", Some("x".into()), &all).unwrap() else { panic!("a task") };
        let as_object = task(
            r#"{"handler":"add","payload":"x","id":"a1","queue":"q","priority":"high","in":"10s","expires":"1h",
                "timeout":"2m","cpu":"1s","max_retries":3,"backoff":"fixed:5s","retention":"0s","unique":"u",
                "unique_for":"10m","content_type":"text/plain","headers":{"k":"v"}}"#,
        );
        assert_eq!(format!("{by_name:?}"), format!("{:?}", as_object.unwrap()));
        let refusal = |handler, pairs: &[(&str, &str)]| named(handler, None, &options(pairs)).unwrap_err();
        assert!(refusal("", &[]).contains("name \"\""));
        assert!(refusal("add", &[("prioriti", "low")]).contains("did you mean `priority`?"));
        assert!(refusal("add", &[("priority", "urgent")]).contains("expected high, normal or low"));
        assert!(refusal("add", &[("max-retries", "-1")]).contains("max-retries: expected a whole number"));
        assert!(refusal("add", &[("id", "a"), ("id", "b")]).contains("twice"));
        assert!(refusal("add", &[("header-tasq-depth", "0")]).contains("tasq-depth"));
    }

    #[test]
    fn a_refusal_is_a_short_line() {
        let long = format!(r#"{{"handler":"a","{}\n":1}}"#, "x".repeat(9_000));
        let refusal = object(long.as_bytes()).unwrap_err();
        assert!(refusal.len() <= QUOTED && !refusal.contains('\n'), "{refusal}");
        assert!(object(&vec![b' '; LONGEST + 1]).unwrap_err().contains("found more"));
    }
}
