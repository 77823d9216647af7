//! What is known of a task or a chain: as far as the broker holds it, and as its record tells.

use std::sync::Arc;

use super::KnownChain;
use crate::broker::Tracked;
use crate::codec::{self, Unreadable};
use crate::results::{Cursor, Record};
use crate::task::{Link, Logs, State, Task, TaskId};

/// Everything that is known of a task.
#[derive(Clone, Debug)]
pub enum Known {
    /// What the broker holds: an unfinished task, or a dead letter whose record is not (or no longer) kept.
    Held(Box<Tracked>),
    /// What became of it, and for a dead letter what the broker still holds.
    Ended(Arc<Record>, Option<Box<Tracked>>),
}

impl Known {
    /// The task's id.
    pub fn id(&self) -> &TaskId {
        match self {
            Known::Held(tracked) => &tracked.id,
            Known::Ended(record, _) => &record.id,
        }
    }

    /// Where it stands, as users see it.
    pub fn state(&self) -> State {
        match self {
            Known::Held(tracked) => tracked.state,
            Known::Ended(record, _) => record.state,
        }
    }

    /// What became of it, once it has ended.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Known::Held(_) => None,
            Known::Ended(record, _) => Some(record),
        }
    }

    /// What its last run said, where it has ended and said anything.
    pub fn logs(&self) -> Option<std::result::Result<Logs, Unreadable>> {
        self.record()?.logs.as_deref().map(codec::decode_logs)
    }

    /// Where it stands in a chain, if it is a step of one.
    pub fn link(&self) -> Option<Link> {
        match self {
            Known::Held(tracked) => codec::decode(&tracked.envelope).ok()?.chain.map(|chain| chain.link),
            Known::Ended(record, _) => record.chain.clone(),
        }
    }

    /// The task as it was enqueued, where the broker still has its envelope.
    pub fn task(&self) -> Option<std::result::Result<Task, Unreadable>> {
        match self {
            Known::Held(tracked) | Known::Ended(_, Some(tracked)) => Some(codec::decode(&tracked.envelope)),
            Known::Ended(_, None) => None,
        }
    }

    /// Its place in a list.
    pub(super) fn place(&self) -> Cursor {
        match self {
            Known::Held(tracked) => Cursor(tracked.enqueued_at, tracked.id.clone()),
            Known::Ended(record, _) => Cursor(record.enqueued_at, record.id.clone()),
        }
    }
}

/// What an id stands for.
#[derive(Clone, Debug)]
pub enum Shown {
    /// A task.
    Task(Known),
    /// A chain.
    Chain(KnownChain),
}

impl Shown {
    /// Where it stands, as users see it.
    pub fn state(&self) -> State {
        match self {
            Shown::Task(known) => known.state(),
            Shown::Chain(chain) => chain.state(),
        }
    }

    /// What became of it, once it has ended; of a chain, what became of the step that decided.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Shown::Task(known) => known.record(),
            Shown::Chain(chain) => chain.record(),
        }
    }
}
