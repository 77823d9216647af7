//! What can become of a run, and what is told of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// The handler said so; the code is its own.
    Handler,
    /// The guest broke: `trap`, `out-of-memory`, `stack-overflow`, `exit`.
    Trap,
    /// The guest went over a limit: `timeout`, `cpu-limit`, `invalid-result`, `payload-too-large`.
    Limit,
    /// The host broke: `host-panic`.
    Host,
    /// Its workers vanished: `poison`.
    Lost,
    /// Nobody started it in time: `expired`.
    Expired,
    /// The envelope can't be read: `corrupt`.
    Corrupt,
    /// `upstream-too-large`.
    Upstream,
}

impl FailureKind {
    /// As written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Handler => "handler",
            FailureKind::Trap => "trap",
            FailureKind::Limit => "limit",
            FailureKind::Host => "host",
            FailureKind::Lost => "lost",
            FailureKind::Expired => "expired",
            FailureKind::Corrupt => "corrupt",
            FailureKind::Upstream => "upstream",
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who is to blame.
    pub kind: FailureKind,
    /// For programs: a short class.
    pub code: String,
    /// For people: the first line sums up. At most 4 KiB, cut at a character.
    pub message: String,
}

/// One failed run in a task's past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRun {
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The run's number.
    pub run: u32,
    /// When it ended.
    pub at: Timestamp,
    /// Why.
    pub failure: Failure,
}

/// What a failed run wants to become of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Again, while retries are left; after the given time, or the task's backoff.
    Retry(Option<Duration>),
    /// Never again.
    Discard,
    /// Not now; costs no retry. At least a second.
    Snooze(Option<Duration>),
}

/// How one run ended. A handler that fails is a value here, never an `Err`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler returned these bytes.
    Done(Bytes),
    /// The handler failed, or was failed for what it did.
    Failed(Failure, Verdict),
    /// No handler of that name, or an envelope of a newer version: waits for a worker that can. Not an attempt.
    Park,
    /// The host had no room for it, or stopped it for reasons of its own: back after this long. Not an attempt.
    Release(Duration),
    /// Stopped, or never run, because someone cancelled the task.
    Cancelled,
    /// The lease is gone: someone else has the task, and nothing may be recorded or settled.
    Gone,
}

/// What one run cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// From when the task was due until this run began.
    pub queue_ms: u64,
    /// From begin to end of the run.
    pub wall_ms: u64,
    /// Time spent computing.
    pub cpu_ms: u64,
    /// Highest sum of the guest's memories and tables.
    pub peak_memory_bytes: u64,
    /// Calls from the guest into `tasq:handler` interfaces.
    pub host_calls: u64,
    /// `sha256:…` of the component.
    pub digest: Arc<str>,
    /// Who ran it.
    pub worker: Arc<str>,
    /// Wasm stack frames of a trap, innermost first.
    #[serde(default)]
    pub frames: Vec<String>,
    /// The end of what the guest wrote to stderr.
    #[serde(default)]
    pub stderr: String,
}

/// What a run said, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// In order. At most a thousand; of many long ones the latest.
    pub lines: Vec<LogLine>,
    /// So many more there were.
    pub dropped: u64,
}

/// A line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// How much it matters, or where it was written to.
    pub level: LogLevel,
    /// Printable, at most 8 KiB.
    pub text: String,
}

/// How much a guest's line matters, or where it was written to. New ones go to the end: their places are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For whoever looks for a fault in the handler.
    Debug,
    /// Worth knowing in normal operation.
    Info,
    /// Odd, but the run goes on.
    Warn,
    /// Something failed.
    Error,
    /// Written to stdout by a handler whose result is elsewhere.
    Stdout,
    /// Written to stderr.
    Stderr,
}

impl LogLevel {
    /// As written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Stdout => "stdout",
            LogLevel::Stderr => "stderr",
        }
    }
}

/// What becomes of a task at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Succeeded: the task leaves the broker.
    Done,
    /// Failed, again after this long.
    Retry {
        /// The delay.
        after: Duration,
        /// What the history gains.
        failed: FailedRun,
    },
    /// Again after this long; counts as neither attempt nor loss.
    Snooze {
        /// The delay.
        after: Duration,
    },
    /// To the dead letters, and forgotten there after `keep`.
    Dead {
        /// Age limit.
        keep: Duration,
        /// What the history gains: what it died of, for who tries it again. None where its end itself was refused.
        failed: Option<FailedRun>,
    },
    /// Stopped by someone: the task leaves the broker.
    Cancelled,
    /// Given back unfinished, after this long; counts as neither.
    Release {
        /// The delay.
        after: Duration,
    },
    /// Waits for a worker that can run it; counts as neither.
    Park,
}

/// Cuts `text` to at most `limit` bytes, at a character.
pub fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
}
