//! What scripts are given and answer. The heads that they put before envelopes are described in `prelude.lua`.

use std::time::Duration;

use bytes::Bytes;
use redis::{ScriptInvocation, Value};

use super::Queues;
use super::scripts::FAR;
use crate::broker::{Delivery, Due, Message, Standing, Tracked};
use crate::codec;
use crate::error::{Error, Result};
use crate::results::Record;
use crate::task::{FailedRun, Name, Priority, Run, State, TaskId, Timestamp, WorkerId, millis};

/// Milliseconds as they are stored.
pub(super) fn span(span: Duration) -> u64 {
    millis(span).min(FAR)
}

/// Gives a script a message (`accept.lua`).
pub(super) fn message(message: &Message, place: usize, call: &mut ScriptInvocation<'_>) {
    let (is_date, due) = match message.due {
        Due::Now => (0, 0),
        Due::After(after) => (0, span(after)),
        Due::At(time) => (1, time.0.min(FAR)),
        Due::Arrivals(_) => todo!(),
    };
    let chosen = u64::from(is_chosen(message));
    let meta = pack(&[(0, 1), (place as u64, 2), (message.priority as u64, 1), (chosen, 1), (is_date, 1), (due, 7)]);
    let remember = message.remember.map_or(0, |remember| span(remember) + 1);
    let mut back = pack(&[(message.priority as u64, 1), (message.format.into(), 1), (remember, 7)]);
    back.reserve(message.handler.as_str().len() + 1 + message.envelope.len());
    back.extend_from_slice(message.handler.as_str().as_bytes());
    back.push(0);
    back.extend_from_slice(&message.envelope);
    call.arg(meta).arg(message.id.as_str()).arg(back);
}

/// Big-endian integers of so many bytes, as Lua's `struct` reads them.
pub(super) fn pack(numbers: &[(u64, usize)]) -> Vec<u8> {
    numbers.iter().flat_map(|(number, width)| number.to_be_bytes().into_iter().skip(8 - width)).collect()
}

/// Nobody else has a generated id, so it needn't be looked for in other queues.
pub(super) fn is_chosen(message: &Message) -> bool {
    message.remember.is_some() || !is_generated(&message.id)
}

/// A UUIDv7, that is.
pub(super) fn is_generated(id: &TaskId) -> bool {
    uuid::Uuid::parse_str(id.as_str()).is_ok_and(|id| id.get_version_num() == 7)
}

/// So many arguments are a message and a record.
pub(super) const MESSAGE: usize = 3;
pub(super) const RECORD: usize = 5;

/// Gives a script a record (`keep.lua`).
pub(super) fn record(record: &Record, place: usize, call: &mut ScriptInvocation<'_>) {
    let until = record.finished_at.plus(record.keep).0.min(FAR);
    let dead = u64::from(record.state == State::Dead);
    let chosen = u64::from(!is_generated(&record.id));
    let meta = pack(&[(1, 1), (place as u64, 2), (dead, 1), (chosen, 1)]);
    let mut value = pack(&[(record.run.into(), 4), (until, 7)]);
    value.extend_from_slice(&codec::encode_record(record));
    call.arg(meta).arg(record.id.as_str()).arg(value).arg(record.finished_at.0.min(FAR)).arg(until);
}

/// A failed run, for `e`.
pub(super) fn failed(failed: &FailedRun) -> Vec<u8> {
    // Strings and numbers: nothing in it could fail.
    serde_json::to_vec(failed).expect("a failed run serialises")
}

/// Reads a script's answer from its beginning.
pub(super) struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    pub(super) fn new(value: Value) -> Result<Answer> {
        match value {
            Value::Array(values) => Ok(Answer(values.into_iter())),
            other => Err(odd("a list", &other)),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.len() == 0
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        number(self.next()?)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes> {
        match self.next()? {
            Value::BulkString(bytes) => Ok(bytes.into()),
            other => Err(odd("bytes", &other)),
        }
    }

    /// None where the script says false.
    pub(super) fn maybe(&mut self) -> Result<Option<Bytes>> {
        match self.next()? {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(bytes.into())),
            other => Err(odd("bytes or nothing", &other)),
        }
    }

    pub(super) fn text(&mut self) -> Result<String> {
        text(&self.bytes()?).map(str::to_owned)
    }

    fn next(&mut self) -> Result<Value> {
        self.0.next().ok_or_else(|| Error::corrupt("a script's answer is too short"))
    }
}

fn odd(expected: &str, found: &Value) -> Error {
    Error::corrupt(format!("a script's answer: expected {expected}, found {found:.80?}"))
}

pub(super) fn number(value: Value) -> Result<u64> {
    match value {
        Value::Int(number) => Ok(number.cast_unsigned()),
        other => Err(odd("a number", &other)),
    }
}

/// A script's whole answer, where it is a text.
pub(super) fn text_of(value: Value) -> Result<String> {
    match value {
        Value::BulkString(bytes) => text(&bytes).map(str::to_owned),
        other => Err(odd("a text", &other)),
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| unreadable("text"))
}

fn unreadable(what: &str) -> Error {
    Error::corrupt(format!("{what} can't be read: damaged, or written by a newer version"))
}

fn parse<T: std::str::FromStr>(what: &str, bytes: &[u8]) -> Result<T> {
    text(bytes)?.parse().map_err(|_| unreadable(what))
}

/// A task's id.
pub(super) fn id(bytes: &[u8]) -> Result<TaskId> {
    parse("an id", bytes)
}

/// None where the caller has to get to know more queues.
pub(super) fn flags(value: Value) -> Result<Option<Vec<bool>>> {
    match value {
        Value::Array(values) => {
            values.into_iter().map(|value| Ok(number(value)? == 1)).collect::<Result<_>>().map(Some)
        }
        Value::BulkString(word) if word == b"stale" => Ok(None),
        other => Err(odd("a list of flags", &other)),
    }
}

pub(super) fn queues(value: Value) -> Result<Queues> {
    let mut answer = Answer::new(value)?;
    let mut queues = Queues::new();
    while !answer.is_over() {
        queues.insert(parse("a queue's name", &answer.bytes()?)?, parse("a queue's number", &answer.bytes()?)?);
    }
    Ok(queues)
}

/// A record as it is kept.
pub(super) fn kept_record(bytes: &[u8]) -> Result<Record> {
    codec::decode_record(bytes).map_err(|error| Error::corrupt(format!("a record: {error}")))
}

/// Big-endian integers of any width, from the front.
struct Packed(Bytes);

impl Packed {
    fn take(&mut self, width: usize) -> Result<u64> {
        if self.0.len() < width {
            return Err(unreadable("a task's head"));
        }
        let part = self.0.split_to(width);
        Ok(part.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn take_u32(&mut self) -> Result<u32> {
        Ok(self.take(4)? as u32)
    }
}

/// What the value of `m` says.
struct Head {
    priority: Priority,
    enqueued_at: Timestamp,
    due_at: Timestamp,
    handler: Name,
    envelope: Bytes,
}

fn head(value: Bytes) -> Result<Head> {
    let mut packed = Packed(value);
    let (_seq, enqueued_at, due_at) = (packed.take(6)?, Timestamp(packed.take(6)?), Timestamp(packed.take(7)?));
    let priority = packed.take(1)? as usize;
    let priority = Priority::ALL.get(priority).copied().ok_or_else(|| unreadable("a priority"))?;
    let (_format, _remember) = (packed.take(1)?, packed.take(7)?);
    let mut rest = packed.0;
    let end = rest.iter().position(|&byte| byte == 0).ok_or_else(|| unreadable("a handler's name"))?;
    let handler = parse("a handler's name", &rest.split_to(end))?;
    Ok(Head { priority, enqueued_at, due_at, handler, envelope: rest.slice(1..) })
}

/// What the value of `e` says; all zero for none, with the time at which the task was due first.
struct Past {
    run: u32,
    failed: u32,
    lost: u32,
    due_at: Timestamp,
    history: Vec<FailedRun>,
}

fn past(blob: Bytes, first_due: Timestamp) -> Result<Past> {
    if blob.is_empty() {
        return Ok(Past { run: 0, failed: 0, lost: 0, due_at: first_due, history: Vec::new() });
    }
    let mut packed = Packed(blob);
    let (run, failed, lost) = (packed.take_u32()?, packed.take_u32()?, packed.take_u32()?);
    let (due_at, count) = (Timestamp(packed.take(7)?), packed.take(1)?);
    let one = |_| {
        let length = packed.take(4)? as usize;
        if packed.0.len() < length {
            return Err(unreadable("a failed run"));
        }
        serde_json::from_slice(&packed.0.split_to(length)).map_err(|_| unreadable("a failed run"))
    };
    let history = (0..count).map(one).collect::<Result<_>>()?;
    Ok(Past { run, failed, lost, due_at, history })
}

/// One task of a look's answer (`claim.lua`).
pub(super) fn delivery(answer: &mut Answer, queue: &Name, reserved_at: Timestamp) -> Result<Delivery> {
    let (id, number) = (id(&answer.bytes()?)?, answer.number()? as u32);
    let blob = answer.bytes()?;
    let head = head(answer.bytes()?)?;
    let past = past(blob, head.due_at)?;
    Ok(Delivery {
        run: Run { queue: queue.clone(), id, number },
        handler: head.handler,
        priority: head.priority,
        failed: past.failed,
        lost: past.lost,
        enqueued_at: head.enqueued_at,
        due_at: past.due_at,
        reserved_at,
        history: past.history,
        cancelled: false,
        arrived: None,
        envelope: head.envelope,
    })
}

/// Where one task stands (`get.lua`).
pub(super) fn standing(answer: &mut Answer, id: &TaskId, queue: &Name) -> Result<Option<Standing>> {
    let state = match answer.text()?.as_str() {
        "" => return Ok(None),
        "leaving" => return Ok(Some(Standing::Leaving(kept_record(&answer.bytes()?)?.into()))),
        "scheduled" => State::Scheduled,
        "pending" => State::Pending,
        "running" => State::Running,
        "parked" => State::Parked,
        "dead" => State::Dead,
        _ => return Err(unreadable("a state")),
    };
    let (run, blob) = (answer.bytes()?, answer.bytes()?);
    let head = head(answer.bytes()?)?;
    let past = past(blob, head.due_at)?;
    let mut tracked = Tracked {
        id: id.clone(),
        queue: queue.clone(),
        handler: head.handler,
        priority: head.priority,
        state,
        run: past.run,
        failed: past.failed,
        lost: past.lost,
        enqueued_at: head.enqueued_at,
        due_at: past.due_at,
        started_at: None,
        worker: None,
        history: past.history,
        cancelled: false,
        arrived: None,
        envelope: head.envelope,
    };
    if !run.is_empty() {
        let mut packed = Packed(run);
        tracked.run = packed.take_u32()?;
        tracked.started_at = Some(Timestamp(packed.take(6)?));
        let (_remember, _priority, _seq) = (packed.take(7)?, packed.take(1)?, packed.take(6)?);
        tracked.worker = Some(parse::<WorkerId>("a worker's id", &packed.0)?);
    }
    Ok(Some(Standing::Here(Box::new(tracked))))
}
