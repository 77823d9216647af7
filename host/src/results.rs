//! The seam behind which ended tasks are kept. It may live on another server than the broker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::task::{
    FailedRun, Failure, Link, Member, Name, Priority, Receipt, State, TaskId, TaskOptions, Timestamp, WorkerId,
};

/// Tasqueue's `Results`: what became of tasks that have ended.
#[async_trait]
pub trait Results: Send + Sync {
    /// Keeps these, each for its `keep`. Idempotent: the first record of an id stands as long as its run number is the
    /// higher or the same and it is kept. What is over [`KEEP_DONE`] or [`KEEP_DEAD`] may go a moment later.
    async fn record(&self, records: Vec<Record>) -> Result<()>;

    /// The records of these ids, none for one that isn't kept (any more).
    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Record>>>;

    /// Ended tasks, newest first by time of enqueueing.
    async fn list(&self, filter: &Filter) -> Result<Vec<Record>>;

    /// Writes what became of these where programs that know nothing of this one find it, in a form that they can read: see
    /// `docs/INBOX.md`. Nothing where records can be read as they are, or nobody else could. Idempotent.
    async fn tell(&self, records: &[Arc<Record>]) -> Result<()>;

    /// Forgets these, and what was told of them; how many were there.
    async fn delete(&self, ids: &[TaskId]) -> Result<u64>;
}

/// At most so many records of done (and cancelled) tasks are kept per queue: the newest.
pub const KEEP_DONE: usize = 100_000;
/// At most so many dead tasks, and records of them, are kept per queue: the newest.
pub const KEEP_DEAD: usize = 10_000;
/// How long results are kept by default.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// How long dead tasks are kept.
pub const RETENTION_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a chosen id stays taken after its task ended, at least.
pub const REMEMBER: Duration = Duration::from_secs(24 * 3600);

/// How long a chosen or derived id stays taken after the end of a task with these options.
pub fn remember(options: &TaskOptions) -> Duration {
    options.retention.unwrap_or(RETENTION).max(REMEMBER)
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The task's id.
    pub id: TaskId,
    /// Who ran it.
    pub handler: Name,
    /// Where it waited.
    pub queue: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// Done, dead or cancelled.
    pub state: State,
    /// The last run's number.
    pub run: u32,
    /// The last attempt: 1 for a task that succeeded at once.
    pub attempt: u32,
    /// Runs whose worker vanished.
    pub lost: u32,
    /// Retries it had.
    pub max_retries: u32,
    /// When the broker accepted it.
    pub enqueued_at: Timestamp,
    /// When its last run was due.
    pub due_at: Timestamp,
    /// When its last run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Who ran it last.
    pub worker: WorkerId,
    /// What the handler returned.
    pub result: Option<Bytes>,
    /// Why it is dead.
    pub failure: Option<Failure>,
    /// The failed runs, oldest first, at most [`crate::broker::HISTORY`].
    pub history: Vec<FailedRun>,
    /// What the last run cost.
    pub receipt: Receipt,
    /// How long this record is kept from `finished_at`.
    pub keep: Duration,
    // What follows came with later versions of the format: see `codec`.
    /// Where it stood in a chain.
    pub chain: Option<Link>,
    /// Where it stood in a group.
    pub group: Option<Member>,
    /// What its last run said, for `codec`.
    pub logs: Option<Bytes>,
    /// Programs that know nothing of this one look for it ([`Results::tell`]): it leaves by the broker's outbox, wherever
    /// results are.
    pub told: bool,
}

impl Record {
    /// What may be long in it.
    pub fn long_parts(&self) -> impl Iterator<Item = &Bytes> {
        self.result.iter().chain(&self.logs)
    }

    /// Bytes in [`Record::long_parts`].
    pub fn weight(&self) -> usize {
        self.long_parts().map(Bytes::len).sum()
    }
}

/// Which tasks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this state.
    pub state: Option<State>,
    /// Only this queue.
    pub queue: Option<Name>,
    /// Only this handler.
    pub handler: Option<Name>,
    /// At most this many.
    pub limit: usize,
    /// Only what is older than this place in the order (time of enqueueing, then id; newest first).
    pub after: Option<Cursor>,
}

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub Timestamp, pub TaskId);
