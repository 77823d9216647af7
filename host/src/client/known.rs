//! What is known of a task, a chain or a group: as far as the broker holds it, and as its record tells.

use std::sync::Arc;

use super::{Client, KnownChain, KnownGroup};
use crate::broker::{Standing, Tracked};
use crate::codec::{self, Unreadable};
use crate::error::Result;
use crate::results::{Cursor, Record};
use crate::task::{Link, Logs, Member, State, Task, TaskId};

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

    /// The group that it, or its chain, is a member of, or the callback of.
    pub fn member(&self) -> Option<Member> {
        match self {
            Known::Held(tracked) => codec::decode(&tracked.envelope).ok()?.group,
            Known::Ended(record, _) => record.group.clone(),
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
    /// A group.
    Group(Box<KnownGroup>),
}

impl Shown {
    /// Where it stands, as users see it.
    pub fn state(&self) -> State {
        match self {
            Shown::Task(known) => known.state(),
            Shown::Chain(chain) => chain.state(),
            Shown::Group(group) => group.state(),
        }
    }

    /// What became of it, once it has ended; of a chain, what became of the step that decided; of a group, what became of
    /// its callback.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Shown::Task(known) => known.record(),
            Shown::Chain(chain) => chain.record(),
            Shown::Group(group) => group.record(),
        }
    }

    /// Its own id.
    pub fn id(&self) -> &TaskId {
        match self {
            Shown::Task(known) => known.id(),
            Shown::Chain(chain) => &chain.id,
            Shown::Group(group) => &group.id,
        }
    }

    /// The tasks that it stands for, as far as they are known.
    pub fn tasks(&self) -> Vec<&Known> {
        match self {
            Shown::Task(known) => vec![known],
            Shown::Chain(chain) => chain.steps.iter().collect(),
            Shown::Group(group) => group.members.iter().flat_map(Shown::tasks).chain(&group.callback).collect(),
        }
    }
}

impl Client {
    /// What is known of each of these tasks, in order.
    pub(super) async fn known(&self, ids: &[TaskId]) -> Result<Vec<Option<Known>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // The broker first: a task that leaves it between the two calls is found in the results.
        let standings = self.backend.operations.get(ids).await?;
        let is_open = |standing: &Option<Standing>| match standing {
            Some(Standing::Leaving(_)) => true,
            Some(Standing::Here(tracked)) => !tracked.state.is_final(),
            None => false,
        };
        let ended = ids.iter().zip(&standings).filter(|(_, standing)| !is_open(standing));
        let ended: Vec<TaskId> = ended.map(|(id, _)| id.clone()).collect();
        let records = if ended.is_empty() { Vec::new() } else { self.backend.results.get(&ended).await? };
        let mut records = records.into_iter();
        let records: Vec<Option<Record>> =
            standings.iter().map(|standing| if is_open(standing) { None } else { records.next().flatten() }).collect();
        let known = standings.into_iter().zip(records).map(|(standing, record)| match (standing, record) {
            (Some(Standing::Leaving(record)), _) => Some(Known::Ended(record, None)),
            (Some(Standing::Here(held)), Some(record)) if held.state.is_final() => {
                Some(Known::Ended(Arc::new(record), Some(held)))
            }
            (Some(Standing::Here(held)), _) => Some(Known::Held(held)),
            (None, Some(record)) => Some(Known::Ended(Arc::new(record), None)),
            (None, None) => None,
        });
        Ok(known.collect())
    }
}
