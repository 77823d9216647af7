//! Wire bytes ↔ [`Task`] and [`Record`]: the only place that knows the format.
//!
//! An envelope is a version byte, the task's facts in postcard, then the payload as it is, so that decoding copies
//! none of it. Version 2 has the task's chain between the two, version 3 whether it has a chain, and its group. A task is
//! written in the lowest version that holds it, so that older workers go on reading it. A reader that doesn't know a
//! version says so ([`Unreadable::Newer`]) and the task waits for one that does.
//!
//! Records have versions 1 and 2: a record's last fields may each be absent, and version 1 ends before them. What is
//! absent at the end isn't written and reads as absent, so a field more at the end needs no new version for readers.
//! What a record's run said stands in it as bytes of their own, with a version of their own.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::broker::{Due, Message};
use crate::results::Record;
use crate::task::{Chain, Headers, Logs, Name, Priority, Task, TaskId, TaskOptions};

/// The newest version: what [`decode`] reads up to.
pub const FORMAT: u8 = 3;

/// With neither chain nor group.
const PLAIN: u8 = 1;
/// With a chain.
const CHAINED: u8 = 2;

fn version<C, G>(chain: &Option<C>, group: &Option<G>) -> u8 {
    match (chain, group) {
        (None, None) => PLAIN,
        (Some(_), None) => CHAINED,
        (_, Some(_)) => FORMAT,
    }
}

/// Why bytes are no task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Written by a newer version of this program.
    #[error("envelope of format {0}: this version reads up to {FORMAT}; upgrade the workers first")]
    Newer(u8),
    /// Damaged, or not ours.
    #[error("envelope of {length} bytes can't be read: {reason}")]
    Corrupt {
        /// How long it is.
        length: usize,
        /// What didn't fit.
        reason: String,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a TaskId,
    handler: &'a Name,
    queue: &'a Name,
    priority: Priority,
    content_type: &'a str,
    headers: &'a Headers,
    upstream: &'a [Bytes],
    options: &'a TaskOptions,
}

#[derive(Deserialize)]
struct Read {
    id: TaskId,
    handler: Name,
    queue: Name,
    priority: Priority,
    content_type: String,
    headers: Headers,
    upstream: Vec<Bytes>,
    options: TaskOptions,
}

/// The message that enqueues `task`; `remember` as in [`Message`].
pub fn message(task: Task, due: Due, remember: Option<Duration>) -> Message {
    let envelope = encode(&task);
    let Task { id, handler, queue, priority, .. } = task;
    Message { id, queue, handler, priority, due, remember, unique: None, format: envelope[0], envelope }
}

/// The bytes that travel.
pub fn encode(task: &Task) -> Bytes {
    let mut out = BytesMut::with_capacity(160 + task.payload.len());
    let Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain, group } = task;
    let version = version(chain, group);
    out.put_u8(version);
    write(&Written { id, handler, queue, priority: *priority, content_type, headers, upstream, options }, &mut out);
    match (version, chain, group) {
        (PLAIN, ..) => {}
        (CHAINED, Some(chain), _) => write(chain, &mut out),
        _ => write(&(chain, group), &mut out),
    }
    out.extend_from_slice(payload);
    out.freeze()
}

/// The task in `envelope`; its payload shares the envelope's memory.
pub fn decode(envelope: &Bytes) -> Result<Task, Unreadable> {
    let corrupt = |e: postcard::Error| Unreadable::Corrupt { length: envelope.len(), reason: e.to_string() };
    let (version, facts) = versioned(envelope)?;
    let (read, mut payload) = postcard::take_from_bytes::<Read>(facts).map_err(corrupt)?;
    let (mut chain, mut group) = (None, None);
    if version == CHAINED {
        let (read, rest) = postcard::take_from_bytes::<Chain>(payload).map_err(corrupt)?;
        (chain, payload) = (Some(read), rest);
    } else if version != PLAIN {
        let ((read_chain, read_group), rest) = postcard::take_from_bytes(payload).map_err(corrupt)?;
        (chain, group, payload) = (read_chain, read_group, rest);
    }
    let Read { id, handler, queue, priority, content_type, headers, upstream, options } = read;
    let payload = envelope.slice(envelope.len() - payload.len()..);
    Ok(Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain, group })
}

/// A record's last fields, each of which may be absent: chain, group, logs, and whether it is told.
const LAST: usize = 4;

/// The bytes under which a record is kept: a version byte, then postcard.
pub fn encode_record(record: &Record) -> Bytes {
    let mut out = BytesMut::with_capacity(256 + record.weight());
    let absent = match (&record.chain, &record.group, &record.logs, record.told) {
        (.., true) => 0,
        (_, _, Some(_), false) => 1,
        (_, Some(_), None, false) => 2,
        (Some(_), None, None, false) => 3,
        (None, None, None, false) => LAST,
    };
    out.put_u8(if absent == LAST { PLAIN } else { CHAINED });
    write(record, &mut out);
    // Absence is one zero byte.
    out.truncate(out.len() - absent);
    out.freeze()
}

/// The record in `bytes`.
pub fn decode_record(bytes: &[u8]) -> Result<Record, Unreadable> {
    let (_, record) = versioned(bytes)?;
    let read = postcard::from_bytes(&[record, &[0; LAST]].concat());
    read.map_err(|e| Unreadable::Corrupt { length: bytes.len(), reason: e.to_string() })
}

/// The bytes under which a record keeps what its run said.
pub fn encode_logs(logs: &Logs) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(PLAIN);
    write(logs, &mut out);
    out.freeze()
}

/// What a run said.
pub fn decode_logs(bytes: &[u8]) -> Result<Logs, Unreadable> {
    let corrupt = |reason: String| Unreadable::Corrupt { length: bytes.len(), reason };
    match bytes.split_first() {
        Some((&PLAIN, logs)) => postcard::from_bytes(logs).map_err(|e| corrupt(e.to_string())),
        Some((&version, _)) => Err(Unreadable::Newer(version)),
        None => Err(corrupt("empty".into())),
    }
}

/// A version that this program reads, and what comes after it.
fn versioned(bytes: &[u8]) -> Result<(u8, &[u8]), Unreadable> {
    let corrupt = |reason: String| Unreadable::Corrupt { length: bytes.len(), reason };
    match bytes.split_first() {
        Some((&version @ PLAIN..=FORMAT, rest)) => Ok((version, rest)),
        Some((&version, _)) if version > FORMAT => Err(Unreadable::Newer(version)),
        Some((version, _)) => Err(corrupt(format!("no format {version}"))),
        None => Err(corrupt("empty".into())),
    }
}

fn write(value: &impl Serialize, out: &mut BytesMut) {
    // Serialising plain data into memory has nothing that could fail.
    let bytes = postcard::to_stdvec(value).expect("plain data serialises");
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Link, LogLevel, LogLine, Receipt, State, Step, Timestamp};

    fn task() -> Task {
        Task {
            id: "a1".parse().unwrap(),
            handler: "add".parse().unwrap(),
            queue: "default".parse().unwrap(),
            priority: Priority::Low,
            payload: Bytes::from_static(b"{\"arg1\":5}\0\xff"),
            content_type: "application/json".into(),
            headers: Headers::from([("traceparent".into(), "00-x".into())]),
            upstream: vec![Bytes::new(), Bytes::from_static(b"9")],
            options: TaskOptions { timeout: Some(Duration::from_millis(1500)), ..TaskOptions::default() },
            chain: Some(Chain {
                link: Link { id: "c".parse().unwrap(), step: 1, of: 2 },
                rest: vec![Step {
                    handler: "sum".parse().unwrap(),
                    queue: "default".parse().unwrap(),
                    priority: Priority::High,
                    delay: Duration::from_secs(1),
                    payload: None,
                    content_type: String::new(),
                    headers: Headers::new(),
                    options: TaskOptions::default(),
                }],
            }),
            group: None,
        }
    }

    #[test]
    fn a_task_reads_back_as_it_was_written() {
        let mut task = task();
        assert_eq!(decode(&encode(&task)).unwrap(), task);
        task.payload = Bytes::new();
        assert_eq!(decode(&encode(&task)).unwrap(), task);
    }

    #[test]
    fn what_version_1_wrote_is_read_and_still_written_for_a_task_without_a_chain() {
        // As the first version of this program wrote it.
        let written = b"\x01\x02a1\x03add\x07default\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00{}";
        let task = decode(&Bytes::from_static(written)).unwrap();
        assert_eq!((task.id.as_str(), &task.payload[..], &task.chain), ("a1", &b"{}"[..], &None));
        assert_eq!(encode(&task), &written[..]);
        assert_eq!(message(task.clone(), Due::Now, None).format, 1);
        assert_eq!(message(Task { chain: self::task().chain, ..task }, Due::Now, None).format, 2);
    }

    fn record() -> Record {
        Record {
            id: "a1".parse().unwrap(),
            handler: "add".parse().unwrap(),
            queue: "q".parse().unwrap(),
            priority: Priority::Low,
            state: State::Done,
            run: 1,
            attempt: 1,
            lost: 0,
            max_retries: 3,
            enqueued_at: Timestamp(1),
            due_at: Timestamp(2),
            started_at: Timestamp(3),
            finished_at: Timestamp(4),
            worker: "w".parse().unwrap(),
            result: Some(Bytes::from_static(b"9")),
            failure: None,
            history: Vec::new(),
            receipt: Receipt::default(),
            keep: Duration::from_secs(60),
            chain: None,
            group: None,
            logs: None,
            told: false,
        }
    }

    /// As versions before the logs wrote a record without a chain, and one with.
    const RECORD: &[u8] = b"\x01\x02a1\x03add\x01q\x02\x04\x01\x01\x00\x03\x01\x02\x03\x04\x01w\x01\x019\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x3c\x00";
    const IN_A_CHAIN: &[u8] = b"\x01\x01c\x01\x02";

    #[test]
    fn records_of_older_versions_are_read_and_still_written_where_nothing_is_new() {
        let plain = record();
        assert_eq!((&encode_record(&plain)[..], decode_record(RECORD).unwrap()), (RECORD, plain.clone()));
        let second = [b"\x02", &RECORD[1..], IN_A_CHAIN].concat();
        let link = Link { id: "c".parse().unwrap(), step: 1, of: 2 };
        let linked = Record { chain: Some(link), ..plain };
        assert_eq!((&encode_record(&linked)[..], decode_record(&second).unwrap()), (&second[..], linked));
    }

    #[test]
    fn what_a_run_said_comes_after_what_older_versions_read() {
        let line = LogLine { at: Timestamp(3), level: LogLevel::Stderr, text: "ah".into() };
        let logs = Logs { lines: vec![line], dropped: 7 };
        let said = Record { logs: Some(encode_logs(&logs)), ..record() };
        let bytes = encode_record(&said);
        let read = decode_record(&bytes).unwrap();
        assert_eq!(decode_logs(&read.logs.clone().unwrap()).unwrap(), logs);
        assert_eq!(read, said);
        // They stop at the chain, which is absent, and take no notice of the rest.
        // Neither is there a group.
        assert!(bytes.starts_with(&[b"\x02", &RECORD[1..], b"\0\0"].concat()));
        assert_eq!(&bytes[RECORD.len() + 2..], b"\x01\x08\x01\x01\x03\x06\x02ah\x07");
        assert_eq!(decode_logs(b"\x02"), Err(Unreadable::Newer(2)));
        let told = Record { told: true, ..record() };
        assert_eq!(encode_record(&told), [b"\x02", &RECORD[1..], b"\0\0\0\x01"].concat());
        assert_eq!(decode_record(&encode_record(&told)).unwrap(), told);
    }

    #[test]
    fn a_plain_envelope_stays_compact() {
        let mut task = task();
        (task.headers, task.upstream, task.content_type) = (Headers::new(), Vec::new(), String::new());
        task.chain = None;
        let length = encode(&task).len() - task.payload.len();
        assert!(length <= 40, "{length} bytes beside the payload");
    }

    #[test]
    fn newer_truncated_and_foreign_bytes_are_told_apart() {
        let good = encode(&task());
        let mut newer = good.to_vec();
        newer[0] = FORMAT + 1;
        assert_eq!(decode(&newer.into()), Err(Unreadable::Newer(FORMAT + 1)));
        for cut in 0..20 {
            assert!(matches!(decode(&good.slice(..cut)), Err(Unreadable::Corrupt { .. })), "cut at {cut}");
        }
        assert!(matches!(decode(&Bytes::from_static(b"\0\x01")), Err(Unreadable::Corrupt { .. })));
    }
}
