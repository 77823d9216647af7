//! Groups: enqueued as one, looked at as one.

use std::collections::HashMap;
use std::sync::Arc;

use super::chain::{self, step};
use super::workers::{queue, unserved};
use super::{Client, Enqueued, Known, KnownChain, NewTask, Shown, Work};
use crate::broker::{Due, Message, WorkerReport};
use crate::chain::STEPS;
use crate::error::{Error, Result};
use crate::group::{self, MEMBERS, Part};
use crate::results::Record;
use crate::task::{Link, Member, State, TaskId};

/// Tasks side by side, as their producer describes them, and what comes once all of them have succeeded.
#[derive(Clone, Debug, Default)]
pub struct NewGroup {
    /// By default a new UUIDv7. The members' ids are derived from it, `<id>/m1`, …, and the callback's, `<id>/cb`.
    pub id: Option<TaskId>,
    /// 1 to [`MEMBERS`].
    pub members: Vec<NewMember>,
    /// Starts once every member has succeeded, with their results as `upstream`, in the members' order. Without a payload
    /// it has an empty one.
    pub callback: Option<NewTask>,
}

/// A member of a group; its id is derived from the group's.
#[derive(Clone, Debug)]
pub enum NewMember {
    /// A task.
    Task(Box<NewTask>),
    /// A chain, whose last step gives the member's result: see [`Client::chain`].
    Chain(Vec<NewTask>),
}

impl From<NewTask> for NewMember {
    fn from(task: NewTask) -> NewMember {
        NewMember::Task(Box::new(task))
    }
}

impl From<Vec<NewTask>> for NewMember {
    fn from(tasks: Vec<NewTask>) -> NewMember {
        NewMember::Chain(tasks)
    }
}

impl NewMember {
    fn tasks(&self) -> &[NewTask] {
        match self {
            NewMember::Task(task) => std::slice::from_ref(task),
            NewMember::Chain(tasks) => tasks,
        }
    }

    fn tasks_mut(&mut self) -> &mut [NewTask] {
        match self {
            NewMember::Task(task) => std::slice::from_mut(task),
            NewMember::Chain(tasks) => tasks,
        }
    }
}

impl NewGroup {
    /// A group of these, with a new id and no callback.
    pub fn new<M: Into<NewMember>>(members: impl IntoIterator<Item = M>) -> NewGroup {
        NewGroup { id: None, members: members.into_iter().map(Into::into).collect(), callback: None }
    }

    /// The same with another member.
    pub fn member(mut self, member: impl Into<NewMember>) -> NewGroup {
        self.members.push(member.into());
        self
    }

    /// The same with this id.
    pub fn id(self, id: TaskId) -> NewGroup {
        NewGroup { id: Some(id), ..self }
    }

    /// The same with this task once all members have succeeded.
    pub fn callback(self, task: NewTask) -> NewGroup {
        NewGroup { callback: Some(task), ..self }
    }

    pub(super) fn tasks_mut(&mut self) -> Vec<&mut NewTask> {
        self.members.iter_mut().flat_map(NewMember::tasks_mut).chain(&mut self.callback).collect()
    }

    /// Refuses what can't be a group. [`Client::group`] begins with it.
    pub fn check(&self) -> Result<()> {
        let wrong = |which: String, what| Err(Error::rejected(format!("{which} of a group: expected {what}")));
        const ID: &str = "no id of its own, found one; it is derived from the group's";
        // One that another task keeps out would leave the group open for ever.
        const UNIQUE: &str = "no unique key, found one";
        for (number, member) in (1..).zip(&self.members) {
            match member {
                NewMember::Task(task) => task.check()?,
                NewMember::Chain(tasks) => chain::check(tasks)?,
            }
            if member.tasks().first().is_some_and(|task| task.id.is_some()) {
                return wrong(format!("member {number}"), ID);
            }
            if member.tasks().iter().any(|task| task.unique.is_some()) {
                return wrong(format!("member {number}"), UNIQUE);
            }
        }
        if let Some(callback) = &self.callback {
            callback.check()?;
            if callback.id.is_some() {
                return wrong("callback".into(), ID);
            }
            if callback.unique.is_some() {
                return wrong("callback".into(), UNIQUE);
            }
            if callback.due != Due::Now {
                return wrong("callback".into(), "no time of its own, found one; it is due with the last member's end");
            }
        }
        NewTask::check_id(self.id.as_ref())?;
        group::check(self.id.as_ref(), self.members.len())
    }
}

/// The answer, if the broker takes the messages.
pub(super) fn messages(new: NewGroup, workers: &[WorkerReport]) -> Result<(Enqueued, Vec<Message>)> {
    let NewGroup { id, members, callback } = new;
    let id = id.unwrap_or_else(TaskId::generate);
    let tasks = members.iter().flat_map(NewMember::tasks).chain(&callback);
    let unserved = tasks.map(|task| &task.handler).find_map(|handler| unserved(handler, workers));
    let step = |task: NewTask| step(queue(&task, workers), task);
    let parts = members.into_iter().map(|member| match member {
        NewMember::Task(task) => Part::Task(task.due, Box::new(step(*task))),
        NewMember::Chain(tasks) => {
            let due = tasks.first().map_or(Due::Now, |first| first.due);
            Part::Chain(due, tasks.into_iter().map(step).collect())
        }
    });
    let messages = group::messages(&id, parts.collect(), callback.map(step))?;
    let queue = messages.first().map(|message| message.queue.clone());
    let queue = queue.ok_or_else(|| Error::rejected("a group without members"))?;
    Ok((Enqueued { id, created: true, queue, unserved }, messages))
}

/// A group, as far as its members are known.
#[derive(Clone, Debug)]
pub struct KnownGroup {
    /// The group's own id.
    pub id: TaskId,
    /// How many members it has.
    pub of: u32,
    /// The members that aren't forgotten, in order: tasks and chains. One that is forgotten didn't fail: dead tasks are kept
    /// for longer.
    pub members: Vec<Shown>,
    /// The callback, as long as it is known.
    pub callback: Option<Known>,
    has_callback: bool,
}

impl KnownGroup {
    /// How many members have succeeded.
    pub fn done(&self) -> u32 {
        let others = self.members.iter().filter(|member| member.state() != State::Done).count();
        self.of.saturating_sub(others as u32)
    }

    /// A member that is dead or cancelled, the first: while it is, the callback can't start.
    pub fn failed(&self) -> Option<&Shown> {
        self.members.iter().find(|member| matches!(member.state(), State::Dead | State::Cancelled))
    }

    /// Whether a failed member is all that the callback waits for, or one of the things: the group stays open until that
    /// is tried again, or the group cancelled.
    pub fn is_held_up(&self) -> bool {
        self.has_callback && !self.state().is_final() && self.failed().is_some()
    }

    /// That of the callback once it is due or has ended; before, running, pending, parked or scheduled as the most advanced
    /// of the members is. Without a callback the group ends with the last of its members, as the worst of them.
    pub fn state(&self) -> State {
        let has = |state| self.members.iter().any(|member| member.state() == state);
        let first = |states: &[State]| states.iter().copied().find(|&state| has(state));
        let open = || first(&[State::Running, State::Pending, State::Parked, State::Scheduled]);
        match &self.callback {
            Some(callback) if callback.state() != State::Scheduled => callback.state(),
            Some(_) => open().unwrap_or(State::Scheduled),
            // It was there from the first moment on: it has been and gone, and didn't fail.
            None if self.has_callback => State::Done,
            None => open().or_else(|| first(&[State::Dead, State::Cancelled])).unwrap_or(State::Done),
        }
    }

    /// The record of what decided, once that has ended and as long as it is kept: the callback's; without one, that of the
    /// member that failed.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match &self.callback {
            Some(callback) => callback.record(),
            None => self.failed().filter(|_| self.state().is_final()).and_then(Shown::record),
        }
    }

    /// What hasn't ended of it: the callback, then tasks and chains among its members.
    pub fn unfinished(&self) -> Vec<TaskId> {
        let callback = self.callback.iter().map(|task| (task.id(), task.state()));
        let parts = callback.chain(self.members.iter().map(|member| (member.id(), member.state())));
        parts.filter(|(_, state)| !state.is_final()).map(|(id, _)| id.clone()).collect()
    }
}

impl Client {
    /// Enqueues a group: its members run side by side, and its callback starts once all have succeeded, with their results
    /// as `upstream` in the members' order, 4 MiB of them together. It is enqueued once, however often members run. A member
    /// that is dead or cancelled leaves the group open until it is tried again, or the group cancelled. Errors and
    /// cancellation as [`Client::enqueue`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> tasq_host::error::Result<()> {
    /// # use tasq_host::{Client, Task};
    /// use tasq_host::client::NewGroup;
    ///
    /// # let client = Client::open(&"memory:".parse().expect("a URL"), None).await?;
    /// let resized = [Task::new("resize", "a.jpg").build()?, Task::new("resize", "b.jpg").build()?];
    /// let group = client.group(NewGroup::new(resized).callback(Task::new("album", "").build()?)).await?;
    /// assert!(group.created);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn group(&self, group: NewGroup) -> Result<Enqueued> {
        self.enqueue_one(Work::Group(Box::new(group))).await
    }

    /// How many members of a group have succeeded, of how many.
    pub async fn progress(&self, member: &Member) -> Result<(u32, u32)> {
        if let Some(Known::Held(callback)) = self.callback(&member.group).await?
            && let Some(arrived) = callback.arrived
        {
            return Ok(arrived);
        }
        let group = self.members(&member.group, member.of).await?;
        let others = group.iter().filter(|member| member.state() != State::Done).count() as u32;
        Ok((member.of.saturating_sub(others), member.of))
    }

    /// The group of this id, if one of its members or its callback is known.
    pub(super) async fn known_group(&self, id: &TaskId) -> Result<Option<KnownGroup>> {
        let callback = self.callback(id).await?;
        let one = match &callback {
            Some(callback) => callback.member(),
            None => self.any_member(id).await?,
        };
        let Some(Member { of, callback: queue, .. }) = one.filter(|member| member.group == *id) else {
            return Ok(None);
        };
        let members = self.members(id, of).await?;
        Ok(Some(KnownGroup { id: id.clone(), of, members, callback, has_callback: queue.is_some() }))
    }

    async fn callback(&self, group: &TaskId) -> Result<Option<Known>> {
        let Some(id) = member(group, 0) else { return Ok(None) };
        Ok(self.known(&[id]).await?.pop().flatten())
    }

    /// What any member says of its group: most often the first one, else whichever isn't forgotten.
    async fn any_member(&self, group: &TaskId) -> Result<Option<Member>> {
        let ids = |indices: std::ops::RangeInclusive<u32>| -> Vec<TaskId> {
            let ids = indices.filter_map(|index| member(group, index));
            ids.flat_map(|id| [link(&id, 1).task().ok(), Some(id)]).flatten().collect()
        };
        for ids in [ids(1..=1), ids(2..=MEMBERS as u32)] {
            let known = self.known(&ids).await?;
            if let Some(member) = known.iter().flatten().find_map(Known::member) {
                return Ok(Some(member));
            }
        }
        Ok(None)
    }

    /// The members that are known, in order.
    async fn members(&self, group: &TaskId, of: u32) -> Result<Vec<Shown>> {
        let ids: Vec<TaskId> = (1..=of).filter_map(|index| member(group, index)).collect();
        let first = ids.iter().filter_map(|id| link(id, 1).task().ok());
        let known = self.known(&ids.iter().cloned().chain(first).collect::<Vec<_>>()).await?;
        let (tasks, firsts) = known.split_at(ids.len().min(known.len()));
        // Of what isn't a task the steps: as many as the first one says, and all there could be where it is forgotten.
        let chains = ids.iter().zip(tasks).zip(firsts).filter(|((_, task), _)| task.is_none());
        let steps = chains.flat_map(|((id, _), first)| {
            let of = first.as_ref().and_then(Known::link).map_or(STEPS as u32, |link| link.of);
            (1..=of).filter_map(|step| link(id, step).task().ok())
        });
        let steps: Vec<TaskId> = steps.collect();
        let found = self.known(&steps).await?.into_iter().flatten();
        let mut by_chain: HashMap<TaskId, Vec<Known>> = HashMap::new();
        for step in found {
            if let Some(link) = step.link() {
                by_chain.entry(link.id).or_default().push(step);
            }
        }
        let mut members = Vec::with_capacity(ids.len());
        for (id, task) in ids.iter().zip(tasks) {
            match (task, by_chain.remove(id)) {
                (Some(task), _) => members.push(Shown::Task(task.clone())),
                (None, Some(steps)) => {
                    let chain = KnownChain::of(id, steps).filter(|chain| !chain.has_gap());
                    // What was read while a step ended is read again.
                    let chain = if chain.is_none() { self.known_chain(id).await? } else { chain };
                    members.extend(chain.map(Shown::Chain));
                }
                (None, None) => {}
            }
        }
        Ok(members)
    }
}

fn member(group: &TaskId, index: u32) -> Option<TaskId> {
    Member { group: group.clone(), index, of: 0, callback: None }.id().ok()
}

fn link(chain: &TaskId, step: u32) -> Link {
    Link { id: chain.clone(), step, of: STEPS as u32 }
}
