//! `tasq-host enqueue --batch`: a task, a chain or a group a line, in bounded memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc::{self, Receiver, Sender};

use tasq_host::broker::{Due, Unique};
use tasq_host::client::{Client, NewGroup, NewMember, Work};
use tasq_host::task::{Name, Priority, TaskId, TaskOptions};
use tasq_host::{NewTask, error};

use super::super::error::{Code, Error};
use super::super::{connect, input, output, view};
use crate::config::Config;

/// Lines that go to the broker in one call, and their bytes.
const LINES: usize = 1_000;
const BYTES: usize = 4 << 20;
/// A longer line is a bad one: the largest payload in base64, and the rest.
const LINE: usize = 8 << 20;

/// A chain a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainLine {
    chain: Vec<TaskLine>,
    id: Option<String>,
}

/// A group a line.
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskLine {
    handler: String,
    /// A string stands for its UTF-8 bytes, anything else for its JSON text.
    payload: Option<Value>,
    payload_base64: Option<String>,
    queue: Option<String>,
    id: Option<String>,
    priority: Option<Priority>,
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

/// How a batch went.
#[derive(Default)]
struct Count {
    enqueued: u64,
    known: u64,
    bad: u64,
}

/// How to go about it.
pub(super) struct Options {
    /// Stop at the first bad line.
    pub(super) strict: bool,
    pub(super) json: bool,
}

/// Enqueues every line of `file`. A bad line is named and hinders no other, unless `strict`.
pub(super) async fn run(file: &Path, options: Options, config: &Config) -> Result<(), Error> {
    let wrong = |error| Error::usage(format!("batch file {}: can't be read: {error}", file.display()));
    let (from, length): (Box<dyn Read + Send>, _) = if file == Path::new("-") {
        (Box::new(std::io::stdin()), None)
    } else {
        let open = File::open(file).map_err(wrong)?;
        // Of a pipe or a device there is none.
        let length = open.metadata().map_err(wrong)?.len();
        (Box::new(open), (length > 0).then_some(length))
    };
    let bar = progress(length);
    let from = bar.wrap_read(from);
    let client = connect::client(config).await?;
    let (send, mut chunks) = mpsc::channel(1);
    // Reading blocks, for as long as it likes where it is a pipe.
    thread::spawn(move || read(from, &send));
    let mut count = Count::default();
    let ended = enqueue(&client, &mut chunks, &options, config, (&mut count, &bar)).await;
    bar.finish_and_clear();
    let Count { enqueued, known, bad } = count;
    output::note(&format!("{enqueued} enqueued, {known} there before, {bad} bad"));
    match ended {
        Ok(()) if bad > 0 => Err(Error::new(Code::Failed, format!("{bad} lines of the batch were not enqueued"))),
        ended => ended,
    }
}

/// How far it has come, on a terminal, unless ids are printed there; without `length`, how much.
fn progress(length: Option<u64>) -> ProgressBar {
    if std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    // Whatever isn't a terminal is not drawn on.
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    let template = match length {
        Some(_) => "{wide_bar} {percent} %  {msg}, {eta} left",
        None => "{bytes} read, {msg}",
    };
    bar.set_style(ProgressStyle::with_template(template).expect("a good template"));
    bar
}

/// Lines with their numbers, as many as have come.
type Chunk = Vec<(u64, std::io::Result<Vec<u8>>)>;

async fn enqueue(
    client: &Client,
    chunks: &mut Receiver<Chunk>,
    options: &Options,
    config: &Config,
    (count, bar): (&mut Count, &ProgressBar),
) -> Result<(), Error> {
    while let Some(chunk) = chunks.recv().await {
        let (mut numbers, mut works, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (number, line) in chunk {
            match line.map_err(|error| error.to_string()).and_then(|line| checked(&line)) {
                Ok(work) => {
                    numbers.push(number);
                    works.push(work);
                }
                Err(bad) => wrong.push((number, bad)),
            }
            if options.strict && !wrong.is_empty() {
                break;
            }
        }
        let answers = connect::within(config, client.enqueue_all(works)).await?;
        for (number, answer) in numbers.into_iter().zip(answers) {
            match answer {
                Ok(enqueued) => {
                    *(if enqueued.created { &mut count.enqueued } else { &mut count.known }) += 1;
                    if options.json {
                        output::json(&view::EnqueuedView { id: &enqueued.id, created: enqueued.created })?;
                    } else {
                        output::line(enqueued.id.as_str())?;
                    }
                }
                Err(error::Error { message, .. }) => wrong.push((number, message)),
            }
        }
        wrong.sort();
        for (number, why) in wrong {
            bar.suspend(|| refuse(number, &why, options, count))?;
        }
        bar.set_message(format!("{} enqueued, {} bad", count.enqueued, count.bad));
    }
    Ok(())
}

fn refuse(number: u64, why: &str, options: &Options, count: &mut Count) -> Result<(), Error> {
    count.bad += 1;
    if options.strict {
        return Err(Error::new(Code::Failed, format!("line {number}: {why}")));
    }
    output::warn(&format!("line {number}: {why}"));
    Ok(())
}

/// Sends what has come as soon as reading on might wait. Blank lines are skipped.
fn read(from: impl Read, to: &Sender<Chunk>) {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let (mut chunk, mut bytes, mut number) = (Chunk::new(), 0, 0);
    loop {
        let line = next(&mut from);
        let last = matches!(line, Ok(None) | Err(_));
        if let Some(line) = line.transpose() {
            number += 1;
            bytes += line.as_ref().map_or(0, Vec::len);
            if !line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
                chunk.push((number, line));
            }
        }
        let full = chunk.len() >= LINES || bytes >= BYTES;
        if (last || full || from.buffer().is_empty()) && !chunk.is_empty() {
            bytes = 0;
            if to.blocking_send(std::mem::take(&mut chunk)).is_err() {
                return;
            }
        }
        if last {
            return;
        }
    }
}

/// The next line without its end; of one that is too long only so much that this can be told.
fn next(from: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let some = from.fill_buf()?;
        if some.is_empty() {
            return Ok(Some(line).filter(|line| !line.is_empty()));
        }
        let end = some.iter().position(|&byte| byte == b'\n');
        let part = &some[..end.unwrap_or(some.len())];
        let room = (LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

/// Looked at before anything is sent, so that with `strict` nothing goes out that stands behind a bad line.
fn checked(line: &[u8]) -> Result<Work, String> {
    let work = work(line)?;
    work.check().map_err(|refused| refused.message)?;
    Ok(work)
}

fn work(line: &[u8]) -> Result<Work, String> {
    if line.len() > LINE {
        return Err(format!("expected at most {LINE} bytes, found more"));
    }
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("expected a JSON object: {error}"))?;
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
    fn task(self) -> Result<NewTask, String> {
        let due = match (&self.after, &self.at) {
            (Some(_), Some(_)) => return Err("in and at: expected one of them, found both".into()),
            (Some(after), None) => Due::After(input::span(after).map_err(|bad| format!("in: {bad}"))?),
            (None, Some(at)) => Due::At(input::moment(at).map_err(|bad| format!("at: {bad}"))?),
            (None, None) => Due::Now,
        };
        let time = |key: &str, text: &Option<String>, read: fn(&str) -> Result<Duration, String>| {
            text.as_deref().map(read).transpose().map_err(|bad| format!("{key}: {bad}"))
        };
        let options = TaskOptions {
            max_retries: self.max_retries,
            backoff: self.backoff.as_deref().map(input::backoff).transpose()?,
            timeout: time("timeout", &self.timeout, input::positive_span)?,
            cpu: time("cpu", &self.cpu, input::positive_span)?,
            expires: time("expires", &self.expires, input::span)?,
            retention: time("retention", &self.retention, input::span)?,
        };
        let hold = time("unique_for", &self.unique_for, input::positive_span)?;
        let unique = match (self.unique, hold) {
            (None, Some(_)) => return Err("unique_for: expected unique with it, found none".into()),
            (key, hold) => key.map(|key| Unique { key, hold }),
        };
        let queue: Option<Name> = self.queue.as_deref().map(parse).transpose()?;
        let id: Option<TaskId> = self.id.as_deref().map(parse).transpose()?;
        Ok(NewTask {
            payload: payload(self.payload, self.payload_base64)?,
            queue,
            id,
            unique,
            due,
            priority: self.priority.unwrap_or_default(),
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

    fn task(line: &str) -> Result<NewTask, String> {
        match work(line.as_bytes())? {
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
        let Work::Chain(chain) = work(line).unwrap() else { panic!("a chain") };
        assert_eq!((chain.len(), chain[0].id.as_ref().unwrap().as_str(), &chain[1].id), (2, "c", &None));
        let line = br#"{"group":{"members":[{"handler":"a"},{"chain":[{"handler":"a"},{"handler":"b"}]}],
            "callback":{"handler":"c"}},"id":"g"}"#;
        let Work::Group(group) = work(line).unwrap() else { panic!("a group") };
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
    fn an_endless_line_is_cut_and_the_next_one_is_found() {
        let text = [vec![b'x'; LINE + 10], b"\nshort\nlast".to_vec()].concat();
        let mut from = BufReader::with_capacity(1_000, &text[..]);
        let lengths: Vec<usize> = std::iter::from_fn(|| next(&mut from).unwrap()).map(|line| line.len()).collect();
        assert_eq!(lengths, [LINE + 1, 5, 4]);
    }
}
