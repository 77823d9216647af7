//! What the log is made of, and its bytes. The only place that knows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::broker::{
    Cancel, Delivery, End, Held, Message, Order, Pushed, Reserve, Revive, Setting, Settled, WorkerReport,
};
use crate::results::Record;
use crate::schedules::{Put, Tick, Ticked};
use crate::store::{Op, Stored};
use crate::task::{Name, Run, TaskId, Timestamp, WorkerId};

/// What the log's messages say and mean. Every process plays the same log and must come to the same state: whoever
/// changes what a command does to the layout (`memory/`), or these bytes, takes the next number. `a_story_ends_as_ever`
/// notices.
pub(super) const FORMAT: u8 = 5;

/// A step from one state to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Command {
    Push(Vec<Message>),
    Reserve(Ask),
    Extend(Vec<Run>, Duration),
    /// `foreign`: records go to the outbox.
    Settle {
        ends: Vec<End>,
        foreign: bool,
    },
    Delivered(Vec<u64>),
    Announce(Box<WorkerReport>, Duration),
    Withdraw(WorkerId),
    Record(Vec<Record>),
    Delete(Vec<TaskId>),
    Cancel {
        ends: Vec<End>,
        foreign: bool,
    },
    Revive(Vec<TaskId>),
    Remove(Vec<TaskId>),
    Configure(Name, Vec<Setting>),
    Plan(Name, Bytes),
    Unplan(Name),
    Tick(Box<Tick>),
    Store(Name, String, Op),
    /// The sender would write a snapshot, if nobody else is about to.
    Compact,
    /// The sender has written one, of so many bytes, and the log before it is no longer needed.
    Compacted {
        bytes: u64,
    },
    /// What stands apart, comes before this number and isn't in the state is about to be removed.
    Sweep {
        below: u64,
    },
}

/// What a worker asks for, without what is its own to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    worker: WorkerId,
    queues: Vec<(Name, u32)>,
    order: Order,
    max: usize,
    room: BTreeMap<Name, usize>,
    format: u8,
    lease: Duration,
}

impl From<&Reserve> for Ask {
    fn from(request: &Reserve) -> Ask {
        let Reserve { worker, queues, order, max, room, format, lease, .. } = request.clone();
        // No more than the whole is ever taken of one handler: short numbers, short messages.
        let room = room.iter().map(|(handler, &room)| (handler.clone(), room.min(max))).collect();
        Ask { worker, queues, order, max, room, format, lease }
    }
}

impl From<Ask> for Reserve {
    fn from(ask: Ask) -> Reserve {
        let Ask { worker, queues, order, max, room, format, lease } = ask;
        let (room, recall) = (Arc::new(room.into_iter().collect()), Arc::default());
        Reserve { worker, queues, order, max, room, format, lease, wait: Duration::ZERO, recall }
    }
}

/// What a command led to.
#[derive(Debug)]
pub(super) enum Answer {
    Pushed(Vec<Pushed>),
    /// `again`: there was more to move aside than one command may, or something moved.
    Taken {
        taken: Vec<Delivery>,
        again: bool,
    },
    Held(Vec<Held>),
    Settled(Vec<Settled>),
    Deleted(u64),
    Cancelled(Vec<Cancel>),
    Revived(Vec<Revive>),
    Put(Put),
    Ticked(Ticked),
    Stored(Stored),
    /// Whether it is the sender's turn.
    Compact(bool),
    /// It named something that may have been swept meanwhile: nothing was changed, and it is to be stored again.
    Refused,
    Done,
}

/// One message of the log: calls, or, where they are too long for one message, a part of them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sent {
    /// Which handle of which process; a random number.
    pub(super) sender: u64,
    /// Counts the sender's batches, from 1.
    pub(super) batch: u64,
    /// Which part this is, from 0, of how many.
    pub(super) part: u32,
    pub(super) of: u32,
    /// The time, where a test turns the clock; else it is the server's stamp on the message.
    pub(super) at: Option<Timestamp>,
    pub(super) body: Bytes,
}

/// Why a message of the log can't be played.
#[derive(Debug, PartialEq)]
pub(super) enum Unplayable {
    /// Written by another version, which gives commands another meaning.
    Other(u8),
    /// Not ours.
    Foreign,
}

impl Sent {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(48 + self.body.len());
        out.put_u8(FORMAT);
        extend(self, &mut out);
        out.freeze()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Sent, Unplayable> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(|_| Unplayable::Foreign),
            Some((&version @ 1..FIRST_OF_TEXT, _)) => Err(Unplayable::Other(version)),
            _ => Err(Unplayable::Foreign),
        }
    }
}

/// What begins like this was typed by somebody.
const FIRST_OF_TEXT: u8 = b' ';

/// What to say of a log or a snapshot of another format: none of its tasks may be passed over.
pub(super) fn other(version: u8) -> String {
    if version > FORMAT {
        format!("format {version}, which a newer version writes; upgrade this one")
    } else {
        format!(
            "format {version}, which an older version wrote; let that one finish its tasks, or take another ?prefix="
        )
    }
}

/// Appends one call to a batch.
pub(super) fn append(call: u64, command: &Command, batch: &mut BytesMut) {
    extend(&(call, command), batch);
}

/// The calls of a batch; none where the rest of it can't be read.
pub(super) fn calls(mut batch: &[u8]) -> Vec<(u64, Command)> {
    let mut calls = Vec::new();
    while !batch.is_empty()
        && let Ok((call, rest)) = postcard::take_from_bytes(batch)
    {
        calls.push(call);
        batch = rest;
    }
    calls
}

fn extend(value: &impl Serialize, out: &mut BytesMut) {
    // Serialising plain data into memory has nothing that could fail.
    let bytes = postcard::to_stdvec(value).expect("plain data serialises");
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_foreign_ones_are_told_apart() {
        let mut body = BytesMut::new();
        append(7, &Command::Delivered(vec![1, 2]), &mut body);
        append(8, &Command::Compact, &mut body);
        let sent = Sent { sender: 3, batch: 1, part: 0, of: 1, at: None, body: body.freeze() };
        let bytes = sent.encode();
        let read = Sent::decode(&bytes).unwrap();
        assert_eq!(read, sent);
        let calls = calls(&read.body);
        assert!(matches!(&calls[..], [(7, Command::Delivered(letters)), (8, Command::Compact)] if *letters == [1, 2]));
        for version in [FORMAT - 1, FORMAT + 1] {
            let mut other = bytes.to_vec();
            other[0] = version;
            assert_eq!(Sent::decode(&other), Err(Unplayable::Other(version)));
        }
        for foreign in [&b""[..], b"hello", &bytes[..5]] {
            assert_eq!(Sent::decode(foreign), Err(Unplayable::Foreign));
        }
    }
}
