//! The seam behind which cron schedules are kept. What a schedule says is the worker's and the command line's to know:
//! here it is a body under a name, and the time up to which its ticks are done.

use async_trait::async_trait;
use bytes::Bytes;

use crate::broker::Message;
use crate::error::Result;
use crate::task::{Name, TaskId, Timestamp};

/// Tasks that come by the clock.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Keeps a schedule. Where it is new or its body another one, its ticks count from now on; the same body again changes
    /// nothing.
    async fn put(&self, name: &Name, body: Bytes) -> Result<Put>;

    /// All of them, by name, and the server's time.
    async fn list(&self) -> Result<Plans>;

    /// Forgets one; whether it was there. Its tasks stay.
    async fn remove(&self, name: &Name) -> Result<bool>;

    /// Pushes a tick's task and counts the ticks up to it as done, in one step; several workers may try at once, and one
    /// succeeds. The push is idempotent by the task's id.
    async fn tick(&self, tick: Tick) -> Result<Ticked>;
}

/// What [`Schedules::put`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was none of that name.
    Created,
    /// There was another.
    Changed,
    /// It was there.
    Same,
}

/// What is kept, by the server's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plans {
    /// The server's time.
    pub now: Timestamp,
    /// By name.
    pub plans: Vec<Plan>,
}

/// A schedule that is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// Its name.
    pub name: Name,
    /// As it was put.
    pub body: Bytes,
    /// Ticks up to here, this moment included, are done.
    pub since: Timestamp,
    /// The task of the last tick that gave one.
    pub last: Option<TaskId>,
}

/// One tick of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tick {
    /// Whose.
    pub name: Name,
    /// The schedule's `since`, as it was listed: where it is another one by now, somebody else was faster.
    pub since: Timestamp,
    /// The moment of the tick, after `since`.
    pub at: Timestamp,
    /// Its task.
    pub message: Message,
    /// Whether the task comes even while that of the last tick is unfinished.
    pub overlap: bool,
}

/// What became of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// Its task was pushed (or was there).
    Pushed,
    /// The last tick's task is unfinished: no task, and the tick counts as done.
    Skipped,
    /// Somebody else was faster, or the schedule is another one or gone: nothing was changed.
    Moved,
}
