//! Tasks that belong together: chains and groups.

use serde::Serialize;

use tasq_host::client::{KnownChain, KnownGroup, Shown};
use tasq_host::task::State;

use super::TaskLine;

/// `task show --json` of a chain.
#[derive(Debug, Serialize)]
pub(super) struct ChainView {
    pub(super) id: String,
    pub(super) state: State,
    /// Steps that have succeeded.
    pub(super) done: usize,
    pub(super) total: u32,
    /// Those that have been enqueued.
    pub(super) steps: Vec<TaskLine>,
}

/// `task show --json` of a group.
#[derive(Debug, Serialize)]
pub(super) struct GroupView {
    pub(super) id: String,
    pub(super) state: State,
    /// Members that have succeeded.
    pub(super) done: u32,
    pub(super) total: u32,
    /// Those that aren't forgotten.
    pub(super) members: Vec<MemberView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) callback: Option<TaskLine>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum MemberView {
    Task(Box<TaskLine>),
    Chain(ChainView),
}

/// Where a task stands in a group.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) id: String,
    /// 1 for the first member, 0 for the callback.
    pub(crate) index: u32,
    /// Members that have succeeded.
    pub(crate) done: u32,
    pub(crate) total: u32,
}

impl GroupView {
    pub(super) fn of(group: &KnownGroup) -> GroupView {
        let member = |member: &Shown| match member {
            Shown::Task(known) => Some(MemberView::Task(Box::new(TaskLine::of(known)))),
            Shown::Chain(chain) => Some(MemberView::Chain(ChainView::of(chain))),
            Shown::Group(_) => None,
        };
        GroupView {
            id: group.id.to_string(),
            state: group.state(),
            done: group.done(),
            total: group.of,
            members: group.members.iter().filter_map(member).collect(),
            callback: group.callback.as_ref().map(TaskLine::of),
        }
    }
}

impl ChainView {
    pub(super) fn of(chain: &KnownChain) -> ChainView {
        ChainView {
            id: chain.id.to_string(),
            state: chain.state(),
            done: chain.steps.iter().filter(|step| step.state() == State::Done).count(),
            total: chain.of,
            steps: chain.steps.iter().map(TaskLine::of).collect(),
        }
    }
}
