//! Wire bytes ↔ [`Task`] and [`Record`]: the only place that knows the format.
//!
//! An envelope is a version byte, the task's facts in postcard, then the payload as it is, so that decoding copies
//! none of it. Version 1 is the only one so far. A change of shape takes a new version byte; a reader that doesn't know
//! it says so ([`Unreadable::Newer`]) and the task waits for one that does.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::results::Record;
use crate::task::{Chain, Headers, Name, Priority, Task, TaskId, TaskOptions};

/// The version that [`encode`] writes and the newest that [`decode`] reads.
pub const FORMAT: u8 = 1;

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
    chain: &'a Option<Chain>,
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
    chain: Option<Chain>,
}

/// The bytes that travel.
pub fn encode(task: &Task) -> Bytes {
    let mut out = BytesMut::with_capacity(160 + task.payload.len());
    out.put_u8(FORMAT);
    let Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain } = task;
    let written = Written { id, handler, queue, priority: *priority, content_type, headers, upstream, options, chain };
    write(&written, &mut out);
    out.extend_from_slice(payload);
    out.freeze()
}

/// The task in `envelope`; its payload shares the envelope's memory.
pub fn decode(envelope: &Bytes) -> Result<Task, Unreadable> {
    let corrupt = |reason: String| Unreadable::Corrupt { length: envelope.len(), reason };
    match envelope.first() {
        Some(&FORMAT) => {}
        Some(&version) if version > FORMAT => return Err(Unreadable::Newer(version)),
        Some(version) => return Err(corrupt(format!("no format {version}"))),
        None => return Err(corrupt("empty".into())),
    }
    let (read, payload) = postcard::take_from_bytes::<Read>(&envelope[1..]).map_err(|e| corrupt(e.to_string()))?;
    let Read { id, handler, queue, priority, content_type, headers, upstream, options, chain } = read;
    let payload = envelope.slice(envelope.len() - payload.len()..);
    Ok(Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain })
}

/// The bytes under which a record is kept: a version byte, then postcard.
pub fn encode_record(record: &Record) -> Bytes {
    let mut out = BytesMut::with_capacity(256 + record.result.as_ref().map_or(0, Bytes::len));
    out.put_u8(FORMAT);
    write(record, &mut out);
    out.freeze()
}

/// The record in `bytes`.
pub fn decode_record(bytes: &[u8]) -> Result<Record, Unreadable> {
    let corrupt = |reason: String| Unreadable::Corrupt { length: bytes.len(), reason };
    match bytes.split_first() {
        Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(|e| corrupt(e.to_string())),
        Some((&version, _)) if version > FORMAT => Err(Unreadable::Newer(version)),
        _ => Err(corrupt("no format byte".into())),
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
    use crate::task::{Link, Step};
    use std::time::Duration;

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
