//! Plain values: a task, its names and options, and what can become of it. Open to every other file, imports none.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

mod names;
mod options;
mod outcome;
mod time;

pub use names::{Headers, InvalidName, Name, TaskId, WorkerId, check_header};
pub use options::{Backoff, InvalidBackoff, InvalidRate, Priority, Rate, TaskOptions};
pub use outcome::{
    Ending, FailedRun, Failure, FailureKind, LogLevel, LogLine, Logs, Outcome, Receipt, Verdict, truncate,
};
pub use time::{Timestamp, millis};

/// One step of a chain that is still to come: a task without an id, which it gets from its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which handler runs it.
    pub handler: Name,
    /// Where it waits.
    pub queue: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// How long after the step before it this one is due.
    pub delay: Duration,
    /// The handler's input; none stands for the result of the step before it.
    pub payload: Option<Bytes>,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the producer attached.
    pub headers: Headers,
    /// The producer's own wishes.
    pub options: TaskOptions,
}

/// A task that a handler enqueued in a run: it is pushed with that run's end, if the run succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// Derived from the task that enqueued it: `<id>/f1`, `<id>/f2`, …
    pub id: TaskId,
    /// Which handler runs it.
    pub handler: Name,
    /// Where it waits; none for the handler's own queue.
    pub queue: Option<Name>,
    /// Its share of the queue.
    pub priority: Priority,
    /// How long after the end of the run it is due.
    pub delay: Duration,
    /// A key of which its queue has at most one holder: where it is taken by then, the follow-up is dropped.
    pub unique_key: Option<String>,
    /// How long the key is held, whatever becomes of the task; none for as long as it is unfinished.
    pub unique_for: Option<Duration>,
    /// The handler's input.
    pub payload: Bytes,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the handler attached, and the host's own [`DEPTH`].
    pub headers: Headers,
    /// Limits, retries and retention.
    pub options: TaskOptions,
}

/// The header that counts how many tasks, each enqueued by the one before it, led to this one.
pub const DEPTH: &str = "tasq-depth";

/// The header of a task whose record is told ([`Record::told`](crate::results::Record::told)); its handler doesn't see it.
pub const TOLD: &str = "tasq-told";

/// Where a task stands in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The chain's id: its steps' ids are `<id>/s1`, `<id>/s2`, …
    pub id: TaskId,
    /// 1 for the first.
    pub step: u32,
    /// How many there are.
    pub of: u32,
}

impl Link {
    /// The id of this step's task.
    pub fn task(&self) -> Result<TaskId, InvalidName> {
        format!("{}/s{}", self.id, self.step).parse()
    }
}

/// Where a task stands in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The group's id: its members' ids are `<id>/m1`, `<id>/m2`, …, or, for a member that is a chain, that chain's;
    /// its callback's is `<id>/cb`.
    pub group: TaskId,
    /// 1 for the first member, 0 for the callback.
    pub index: u32,
    /// How many members there are.
    pub of: u32,
    /// The queue of the callback, if there is one.
    pub callback: Option<Name>,
}

impl Member {
    /// The id of this member's task or chain, or of the callback.
    pub fn id(&self) -> Result<TaskId, InvalidName> {
        match self.index {
            0 => format!("{}/cb", self.group).parse(),
            index => format!("{}/m{index}", self.group).parse(),
        }
    }
}

/// A chain as one of its steps carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Where this step stands.
    pub link: Link,
    /// What comes after it, in order.
    pub rest: Vec<Step>,
}

/// A unit of work: written once by its producer and never rewritten. Where it stands (state, attempts, times) is the
/// broker's and travels beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The same over all runs.
    pub id: TaskId,
    /// Which handler runs it.
    pub handler: Name,
    /// Where it waits.
    pub queue: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// The handler's input.
    pub payload: Bytes,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the producer attached.
    pub headers: Headers,
    /// Results of the tasks that this one follows.
    pub upstream: Vec<Bytes>,
    /// The producer's own wishes.
    pub options: TaskOptions,
    /// The chain that it is a step of.
    pub chain: Option<Chain>,
    /// The group that it, or its chain, is a member of.
    pub group: Option<Member>,
}

/// How many bytes a unique key may have.
pub const UNIQUE_KEY: std::ops::RangeInclusive<usize> = 1..=256;

/// The largest payload, in bytes.
pub const PAYLOAD: usize = 4 << 20;

/// One start of a task: the fencing token that every extension and every end names. Each reserve gives a higher number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run {
    /// Where the task lives: a backend finds its slot by it.
    pub queue: Name,
    /// The task.
    pub id: TaskId,
    /// 1 at the first reserve.
    pub number: u32,
}

/// Where a task stands, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Due later.
    Scheduled,
    /// Due, waiting for a worker.
    Pending,
    /// A worker holds its lease.
    Running,
    /// No worker that looked has its handler.
    Parked,
    /// Succeeded.
    Done,
    /// Failed for good.
    Dead,
    /// Stopped by someone.
    Cancelled,
}

impl State {
    /// Every state, in the order of a task's life.
    pub const ALL: [State; 7] =
        [State::Scheduled, State::Pending, State::Running, State::Parked, State::Done, State::Dead, State::Cancelled];

    /// True once nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Dead | State::Cancelled)
    }

    /// As written in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Pending => "pending",
            State::Running => "running",
            State::Parked => "parked",
            State::Done => "done",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
