//! What is too long to be in everybody's memory: it stands in a stream of its own, and the state has its numbers.
//!
//! The bytes are stored and acknowledged before a command names them. What no state names any more is swept with each
//! snapshot. A command that names something that may have been swept meanwhile is refused
//! (`Answer::Refused`): the log has both, and so an order between them.

use std::collections::BTreeSet;

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::try_join_all;
use sha2::{Digest, Sha256};

use super::command::Command;
use super::link::Link;
use super::state::State;
use crate::broker::{Arrived, Delivery, Effect, Message, Standing, UPSTREAM};
use crate::error::{Error, Result};
use crate::results::Record;

/// Longer than this stands apart, unless a test wants less.
pub(super) const INLINE: usize = 4 << 10;
/// The longest piece; less where the server takes less.
const PIECE: usize = 512 << 10;

/// How the bytes begin that the state has: what follows are the bytes themselves, or the numbers of their pieces.
const HERE: u8 = 0;
const APART: u8 = 1;

/// The bytes as the state has them.
async fn packed(link: &Link, bytes: &Bytes, inline: usize) -> Result<Bytes> {
    let mut out = BytesMut::new();
    if bytes.len() <= inline {
        out.put_u8(HERE);
        out.extend_from_slice(bytes);
        return Ok(out.freeze());
    }
    let longest = PIECE.min(link.client.max_payload().saturating_sub(1 << 10)).max(1);
    let pieces = (0..bytes.len()).step_by(longest).map(|at| bytes.slice(at..bytes.len().min(at + longest)));
    let numbers = try_join_all(pieces.map(|piece| store(link, piece))).await?;
    out.put_u8(APART);
    out.put_u64(bytes.len() as u64);
    out.put_u64(checksum(bytes));
    numbers.into_iter().for_each(|number| out.put_u64(number));
    Ok(out.freeze())
}

async fn store(link: &Link, piece: Bytes) -> Result<u64> {
    let message = PublishMessage::build().payload(piece);
    let ack = link.jetstream.send_publish(link.blobs_subject.clone(), message).await;
    Ok(ack.map_err(|e| link.trouble(&e))?.await.map_err(|e| link.trouble(&e))?.sequence)
}

/// A server that lost its end counts on from where it was: a number may come to stand for something else.
fn checksum(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).iter().take(8).fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// The length of what stands apart, and the numbers of its pieces.
fn pieces(packed: &[u8]) -> (u64, impl Iterator<Item = u64>) {
    let rest = match packed.split_first() {
        Some((&APART, rest)) => rest,
        _ => &[],
    };
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
    let (length, rest) = rest.split_at(rest.len().min(8));
    let (_, numbers) = rest.split_at(rest.len().min(8));
    (number(length), numbers.chunks_exact(8).map(number))
}

/// The bytes as they were; none where they are gone, which only a server that lost them can bring about.
async fn unpacked(link: &Link, packed: &Bytes) -> Result<Bytes> {
    if packed.first() != Some(&APART) {
        return Ok(packed.slice(packed.len().min(1)..));
    }
    let pieces = try_join_all(pieces(packed).1.map(|number| fetch(link, number))).await?;
    let whole = match <[Bytes; 1]>::try_from(pieces) {
        Ok([whole]) => whole,
        Err(pieces) => pieces.concat().into(),
    };
    if packed.get(9..17) != Some(&checksum(&whole).to_be_bytes()[..]) {
        tracing::error!("a payload or result is no longer on the server");
        return Ok(Bytes::new());
    }
    Ok(whole)
}

async fn fetch(link: &Link, number: u64) -> Result<Bytes> {
    match link.blobs.get_raw_message(number).await {
        Ok(message) => Ok(message.payload),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(Bytes::new()),
        Err(error) => Err(link.trouble(&error)),
    }
}

/// Puts the long parts of these messages apart.
pub(super) async fn pack_messages(link: &Link, messages: &[Message], inline: usize) -> Result<Vec<Message>> {
    try_join_all(messages.iter().map(|message| pack_message(link, message, inline))).await
}

/// Puts a long envelope apart.
pub(super) async fn pack_message(link: &Link, message: &Message, inline: usize) -> Result<Message> {
    Ok(Message { envelope: packed(link, &message.envelope, inline).await?, ..message.clone() })
}

/// Puts the long parts of these records apart.
pub(super) async fn pack_records(link: &Link, records: &[Record], inline: usize) -> Result<Vec<Record>> {
    try_join_all(records.iter().map(|record| pack_record(link, record, inline))).await
}

async fn pack_record(link: &Link, record: &Record, inline: usize) -> Result<Record> {
    let pack = async |part: &Option<Bytes>| match part {
        Some(part) => packed(link, part, inline).await.map(Some),
        None => Ok(None),
    };
    let (result, logs) = (pack(&record.result).await?, pack(&record.logs).await?);
    Ok(Record { result, logs, ..record.clone() })
}

/// Puts the long parts of an effect apart.
pub(super) async fn pack_effect(link: &Link, effect: &Effect, inline: usize) -> Result<Effect> {
    Ok(match effect {
        Effect::Record(record) => Effect::Record(pack_record(link, record, inline).await?.into()),
        Effect::Push(message) => Effect::Push(pack_message(link, message, inline).await?),
        Effect::Arrive { task, queue, index, result } => {
            let (task, queue, index) = (task.clone(), queue.clone(), *index);
            Effect::Arrive { task, queue, index, result: packed(link, result, inline).await? }
        }
    })
}

/// The records as they were.
pub(super) async fn unpack_records(link: &Link, records: Vec<Record>) -> Result<Vec<Record>> {
    try_join_all(records.into_iter().map(|record| unpack_record(link, record))).await
}

pub(super) async fn unpack_record(link: &Link, record: Record) -> Result<Record> {
    let unpack = async |part: &Option<Bytes>| match part {
        Some(part) => unpacked(link, part).await.map(Some),
        None => Ok(None),
    };
    let (result, logs) = (unpack(&record.result).await?, unpack(&record.logs).await?);
    Ok(Record { result, logs, ..record })
}

/// The deliveries as they were pushed.
pub(super) async fn unpack_deliveries(link: &Link, taken: &[Delivery]) -> Result<Vec<Delivery>> {
    let unpack = async |delivery: &Delivery| {
        let arrived = match &delivery.arrived {
            Some(Arrived::Whole(results)) => Some(unpack_arrived(link, results).await?),
            arrived => arrived.clone(),
        };
        Ok::<_, Error>(Delivery { envelope: unpacked(link, &delivery.envelope).await?, arrived, ..delivery.clone() })
    };
    try_join_all(taken.iter().map(unpack)).await
}

async fn unpack_arrived(link: &Link, results: &[Bytes]) -> Result<Arrived> {
    // The state counts what it holds: the numbers of what stands apart are shorter than that.
    if results.iter().map(|packed| pieces(packed).0).sum::<u64>() > UPSTREAM as u64 {
        return Ok(Arrived::TooLarge);
    }
    Ok(Arrived::Whole(try_join_all(results.iter().map(|packed| unpacked(link, packed))).await?))
}

/// The standing as users see it.
pub(super) async fn unpack_standing(link: &Link, standing: Standing) -> Result<Standing> {
    Ok(match standing {
        Standing::Here(mut tracked) => {
            tracked.envelope = unpacked(link, &tracked.envelope).await?;
            Standing::Here(tracked)
        }
        Standing::Leaving(record) => Standing::Leaving(unpack_record(link, (*record).clone()).await?.into()),
    })
}

/// All that a command puts into the state and that may stand apart.
fn named(command: &Command) -> Vec<&Bytes> {
    match command {
        Command::Push(messages) => messages.iter().map(|message| &message.envelope).collect(),
        Command::Record(records) => records.iter().flat_map(Record::long_parts).collect(),
        Command::Tick(tick) => vec![&tick.message.envelope],
        Command::Settle { ends, .. } | Command::Cancel { ends, .. } => {
            ends.iter().flat_map(|end| end.effects.iter().flat_map(named_by)).collect()
        }
        _ => Vec::new(),
    }
}

fn named_by(effect: &Effect) -> Vec<&Bytes> {
    match effect {
        Effect::Record(record) => record.long_parts().collect(),
        Effect::Push(message) => vec![&message.envelope],
        Effect::Arrive { result, .. } => vec![result],
    }
}

/// How many bytes a command has apart, and the lowest number among them.
pub(super) fn apart(command: &Command) -> (u64, Option<u64>) {
    let mut lowest = None;
    let mut length = 0;
    for packed in named(command) {
        let (bytes, numbers) = pieces(packed);
        length += bytes;
        lowest = numbers.chain(lowest).min();
    }
    (length, lowest)
}

/// The numbers of all that the state names.
pub(super) fn live(state: &State) -> BTreeSet<u64> {
    state.layout.kept_bytes().flat_map(|packed| pieces(packed).1).collect()
}

/// The first number that isn't there yet: what comes before it can be swept once the log says so.
pub(super) async fn end(link: &Link) -> Result<u64> {
    Ok(link.blobs.get_info().await.map_err(|e| link.trouble(&e))?.state.last_sequence + 1)
}

/// Removes what comes before `below` and isn't named by the state. The log must have said so before.
pub(super) async fn sweep(link: &Link, live: BTreeSet<u64>, below: u64) -> Result<()> {
    let first = live.first().map_or(below, |&first| first.min(below));
    // A purge of what comes before 1 is taken for one of everything (seen with 2.9.10).
    if first > 1 {
        link.blobs.purge().sequence(first).await.map_err(|e| link.trouble(&e))?;
    }
    let there = link.blobs.info_builder().with_deleted(true).fetch().await.map_err(|e| link.trouble(&e))?;
    let gone: BTreeSet<u64> = there.info.state.deleted.unwrap_or_default().into_iter().collect();
    for number in first.max(there.info.state.first_sequence)..below {
        if !live.contains(&number) && !gone.contains(&number) {
            link.blobs.delete_message(number).await.map_err(|e| link.trouble(&e))?;
        }
    }
    Ok(())
}
