//! Behaviours that ask something of the host and tell its answer.

use std::fmt::Write;

use serde_json::{Value, json};
use tasq_sdk::context::{self, Stop};
use tasq_sdk::producer::{self, NewTask};
use tasq_sdk::{Failure, HostError, Task, store as kept};

use crate::text;

pub(crate) fn facts(task: &Task) -> Result<Vec<u8>, Failure> {
    let headers: Vec<_> = task.headers.iter().map(|header| json!([header.name, header.value])).collect();
    let upstream: Vec<_> = task.upstream.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    let stopping = context::stopping().map(|stop| match stop {
        Stop::Cancelled => "cancelled",
        Stop::ShuttingDown => "shutting-down",
    });
    crate::json(&json!({
        "id": task.id,
        "handler": task.handler,
        "queue": task.queue,
        "attempt": task.attempt,
        "run": task.run,
        "max_retries": task.max_retries,
        "content_type": task.content_type,
        "enqueued_at_ms": task.enqueued_at_ms,
        "due_at_ms": task.due_at_ms,
        "deadline_ms": task.deadline_ms,
        "headers": headers,
        "upstream": upstream,
        "remaining_ms": u64::try_from(context::remaining().as_millis())?,
        "stopping": stopping,
    }))
}

pub(crate) fn progress(times: usize) -> Result<Vec<u8>, Failure> {
    for n in 1..=times {
        context::progress(u8::try_from(n).unwrap_or(u8::MAX), &format!("step {n}"));
    }
    text("reported")
}

pub(crate) fn random(bytes: usize) -> Result<Vec<u8>, Failure> {
    unsafe extern "C" {
        /// wasi-libc's, on `wasi:random`; at most 256 bytes a call.
        fn getentropy(buffer: *mut u8, length: usize) -> i32;
    }
    let mut buffer = vec![0; bytes];
    for chunk in buffer.chunks_mut(256) {
        // SAFETY: the pointer and the length are the chunk's.
        if unsafe { getentropy(chunk.as_mut_ptr(), chunk.len()) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
    }
    let mut hex = String::with_capacity(2 * bytes);
    for byte in buffer {
        write!(hex, "{byte:02x}")?;
    }
    text(hex)
}

/// The answer to the last of `times` calls.
pub(crate) fn enqueue(times: usize, new: impl Fn(usize) -> NewTask) -> Value {
    (1..=times).fold(Value::Null, |_, n| told(producer::enqueue(new(n))))
}

pub(crate) fn store(key: &str) -> Value {
    json!({
        "put": told(kept::put(key, b"1")),
        "get": told(kept::get(key).map(|value| value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))),
        "increment": told(kept::increment(key, 1)),
        "replace": told(kept::replace(key, Some(b"2"), b"3")),
        "remove": told(kept::remove(key)),
    })
}

pub(crate) fn tally(key: &str) -> Value {
    told(kept::increment(key, 1))
}

/// The answer to the last of `times` calls.
pub(crate) fn put(key: usize, value: usize, times: usize) -> Value {
    let value = vec![b'v'; value];
    (1..=times).fold(Value::Null, |_, n| {
        let mut name = padded(n, key);
        name.truncate(key);
        told(kept::put(&name, &value))
    })
}

/// At least so many bytes.
pub(crate) fn padded(n: usize, bytes: usize) -> String {
    let mut text = n.to_string();
    text.push_str(&"-".repeat(bytes.saturating_sub(text.len())));
    text
}

/// `{"ok":…}` or `{"error":"denied: …"}`.
fn told<T: serde::Serialize>(answer: Result<T, HostError>) -> Value {
    match answer {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}
