//! What scripts are given and answer. The tasks that scripts answer are for [`kept`](super::kept) to read.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::Queues;
use super::call::Call;
use super::scripts::FAR;
use crate::broker::{Due, Message, Pushed, Unique};
use crate::codec;
use crate::error::{Error, Result};
use crate::results::Record;
use crate::store::{Op, Stored};
use crate::task::{FailedRun, Name, Rate, State, TaskId, millis};

/// Milliseconds as they are stored.
pub(super) fn span(span: Duration) -> u64 {
    millis(span).min(FAR)
}

/// What a byte that every task has says beside its priority, or a history's length (`prelude.lua`).
pub(super) const UNIQUE: u64 = 4;
pub(super) const WAITS: u64 = 8;
pub(super) const CANCELLED: u64 = 128;

/// A message or a result that arrives, as scripts are given it.
pub(super) type Words = [Vec<u8>; 3];

/// A message (`accept.lua`).
pub(super) fn message(message: &Message, place: usize) -> Words {
    let (kind, due) = match message.due {
        Due::Now => (0, 0),
        Due::After(after) => (0, span(after)),
        Due::At(time) => (1, time.0.min(FAR)),
        Due::Arrivals(want) => (2, want.into()),
    };
    let priority = message.priority as u64;
    let marks = if message.unique.is_some() { UNIQUE } else { 0 } + if kind == 2 { WAITS } else { 0 };
    let how = u64::from(is_chosen(message)) + if marks > 0 { 2 } else { 0 };
    let meta = pack(&[(0, 1), (place as u64, 2), (priority, 1), (how, 1), (kind, 1), (due, 7)]);
    let remember = message.remember.map_or(0, |remember| span(remember) + 1);
    let mut back = pack(&[(priority + marks, 1), (message.format.into(), 1), (remember, 7)]);
    back.reserve(message.handler.as_str().len() + 1 + message.envelope.len());
    back.extend_from_slice(message.handler.as_str().as_bytes());
    back.push(0);
    if let Some(Unique { key, hold }) = &message.unique {
        let hold = hold.map_or(0, |hold| span(hold) + 1);
        back.extend(pack(&[(hold, 7), (key.len() as u64, 2)]));
        back.extend_from_slice(key.as_bytes());
    }
    back.extend_from_slice(&message.envelope);
    [meta, message.id.as_str().into(), back]
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

/// So many arguments are a message, a result that arrives and a record.
pub(super) const MESSAGE: usize = 3;
pub(super) const ARRIVAL: usize = 3;
pub(super) const RECORD: usize = 5;

/// Gives a script a record (`keep.lua`).
pub(super) fn record(record: &Record, place: usize, call: &mut Call<'_>) {
    let until = record.finished_at.plus(record.keep).0.min(FAR);
    let dead = u64::from(record.state == State::Dead);
    let how = u64::from(!is_generated(&record.id)) + if record.told { 2 } else { 0 };
    let meta = pack(&[(1, 1), (place as u64, 2), (dead, 1), (how, 1)]);
    let mut value = pack(&[(record.run.into(), 4), (until, 7)]);
    value.extend_from_slice(&codec::encode_record(record));
    call.arg(meta).arg(record.id.as_str()).arg(value).arg(record.finished_at.0.min(FAR)).arg(until);
}

/// A result for the task that waits for it (`ends.lua`).
pub(super) fn arrival(task: &TaskId, index: u32, result: &[u8], place: usize) -> Words {
    [pack(&[(2, 1), (place as u64, 2), (index.into(), 4)]), task.as_str().into(), result.into()]
}

/// The same for a queue in another slot: there they are for the first block.
pub(super) fn for_elsewhere(queue: &Name, [what, id, rest]: Words, place: usize) -> Words {
    let kind = pack(&[(3, 1), (place as u64, 2)]);
    [[kind, what].concat(), id, [queue.as_str().as_bytes(), &[0], &rest].concat()]
}

/// The queue, the id, and what its scripts are to be given.
pub(super) fn from_elsewhere([what, of, rest]: [Bytes; 3]) -> Result<(Name, TaskId, Words)> {
    let end = rest.iter().position(|&byte| byte == 0).ok_or_else(|| unreadable("a follow-up"))?;
    let queue = parse("a queue's name", &rest[..end])?;
    Ok((queue, id(&of)?, [what.into(), of.into(), rest[end + 1..].into()]))
}

/// Whether it is a message.
pub(super) fn is_message([what, ..]: &Words) -> bool {
    what.first() == Some(&0)
}

/// A queue's rate, as it is kept (`prelude.lua`).
pub(super) fn rate(rate: Rate) -> Vec<u8> {
    let per = u64::try_from(rate.per.as_micros()).unwrap_or(FAR).min(FAR);
    pack(&[(rate.tasks.into(), 4), (per, 7), (rate.interval_us().min(FAR), 7), (rate.burst(), 4)])
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

    /// A list of bytes; none where the script says false.
    pub(super) fn list(&mut self) -> Result<Option<Vec<Bytes>>> {
        match self.next()? {
            Value::Nil => Ok(None),
            Value::Array(values) => {
                let mut all = Answer(values.into_iter());
                (0..all.0.len()).map(|_| all.bytes()).collect::<Result<_>>().map(Some)
            }
            other => Err(odd("a list or nothing", &other)),
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

pub(super) fn unreadable(what: &str) -> Error {
    Error::corrupt(format!("{what} can't be read: damaged, or written by a newer version"))
}

pub(super) fn parse<T: std::str::FromStr>(what: &str, bytes: &[u8]) -> Result<T> {
    text(bytes)?.parse().map_err(|_| unreadable(what))
}

/// A task's id.
pub(super) fn id(bytes: &[u8]) -> Result<TaskId> {
    parse("an id", bytes)
}

/// One answer for each element; none where the caller has to get to know more queues.
pub(super) fn answers(value: Value) -> Result<Option<Vec<u64>>> {
    match fresh(value) {
        Some(Value::Array(values)) => values.into_iter().map(number).collect::<Result<_>>().map(Some),
        Some(other) => Err(odd("a list of numbers", &other)),
        None => Ok(None),
    }
}

/// What the script says, unless the caller has to get to know more queues.
pub(super) fn fresh(value: Value) -> Option<Value> {
    Some(value).filter(|value| !matches!(value, Value::BulkString(word) if word == b"stale"))
}

/// What became of something that another task may stand in the way of.
pub(super) enum Taken {
    Yes,
    No,
    /// This task holds the unique key.
    Held(TaskId),
}

pub(super) fn taken(value: Value) -> Result<Vec<Taken>> {
    let Value::Array(values) = value else { return Err(odd("a list", &value)) };
    let one = |value| match value {
        Value::BulkString(holder) => Ok(Taken::Held(id(&holder)?)),
        value => Ok(if number(value)? == 1 { Taken::Yes } else { Taken::No }),
    };
    values.into_iter().map(one).collect()
}

/// The answer to a pushed message.
pub(super) fn pushed(message: &Message, taken: Taken) -> Pushed {
    match taken {
        Taken::Yes => Pushed { id: message.id.clone(), created: true },
        Taken::No => Pushed { id: message.id.clone(), created: false },
        Taken::Held(id) => Pushed { id, created: false },
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

/// What came of `op` (`store.lua`).
pub(super) fn stored(value: Value, op: &Op) -> Result<Stored> {
    match value {
        Value::Int(0) => Ok(Stored::Full),
        Value::Int(1) if matches!(op, Op::Replace { .. }) => Ok(Stored::Replaced(true)),
        Value::Int(1) => Ok(Stored::Done),
        Value::Int(2) => Ok(Stored::Replaced(false)),
        Value::Int(3) => Ok(Stored::NotANumber),
        Value::BulkString(sum) => Ok(Stored::Number(parse("a sum", &sum)?)),
        held => Ok(Stored::Value(Answer::new(held)?.maybe()?)),
    }
}
