//! Chains: enqueued as one, looked at as one.

use std::sync::Arc;

use super::workers::{queue, unserved};
use super::{Client, Enqueued, Known, NewTask, Work};
use crate::broker::{Due, Message, Unique, WorkerReport};
use crate::chain;
use crate::error::{Error, Result};
use crate::results::Record;
use crate::task::{Name, State, Step, TaskId};

/// A chain, as far as its steps are known.
#[derive(Clone, Debug)]
pub struct KnownChain {
    /// The chain's own id.
    pub id: TaskId,
    /// How many steps it has.
    pub of: u32,
    /// The steps that have been enqueued and aren't forgotten, in order.
    pub steps: Vec<Known>,
    /// What came after the last of them has ended, and isn't kept any more. It didn't fail: dead tasks are kept for longer.
    pub has_forgotten: bool,
}

impl KnownChain {
    /// That of the step that decides: one that failed for good, else the last that was enqueued. Done once all are.
    pub fn state(&self) -> State {
        match self.deciding() {
            Some(_) if self.has_gap() && !self.has_forgotten => State::Pending,
            step => step.map_or(State::Pending, Known::state),
        }
    }

    /// The record of the step that decides, once it has ended and as long as it is kept.
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.deciding().filter(|_| !self.has_gap()).and_then(Known::record)
    }

    /// What is known of the steps of a chain; none where none of them is.
    pub(super) fn of(id: &TaskId, steps: Vec<Known>) -> Option<KnownChain> {
        let of = steps.iter().find_map(|step| step.link().filter(|link| link.id == *id)).map(|link| link.of);
        of.map(|of| KnownChain { id: id.clone(), of, steps, has_forgotten: false })
    }

    /// The last step that is known is done, and the next one isn't there.
    pub(super) fn has_gap(&self) -> bool {
        let last = self.deciding().filter(|step| step.state() == State::Done);
        last.and_then(Known::link).is_some_and(|link| link.step < self.of)
    }

    fn deciding(&self) -> Option<&Known> {
        let failed = self.steps.iter().find(|step| matches!(step.state(), State::Dead | State::Cancelled));
        failed.or(self.steps.last())
    }
}

impl Client {
    /// Enqueues a chain: each task starts once the one before it has succeeded, and gets its result as `upstream`; as its
    /// payload too where it has none of its own ([`NewTask::without_payload`]). A task that fails for good ends the chain.
    ///
    /// The first task's `id`, or a new one, is the chain's, and the steps' ids are derived from it: `<id>/s1`, …; later
    /// steps can have none. A later step's delay counts from the end of the step before it. Errors and cancellation as
    /// [`Client::enqueue`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> tasq_host::error::Result<()> {
    /// # use tasq_host::{Client, Task};
    /// # let client = Client::open(&"memory:".parse().expect("a URL"), None).await?;
    /// let fetch = Task::new("fetch", "https://example.org").id("page");
    /// let chain = client.chain([fetch, Task::without_payload("render"), Task::new("mail", "me")]).await?;
    /// assert_eq!(chain.id.as_str(), "page");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn chain(
        &self,
        tasks: impl IntoIterator<Item: TryInto<NewTask, Error: Into<Error>>>,
    ) -> Result<Enqueued> {
        let tasks = tasks.into_iter().map(|task| task.try_into().map_err(Into::into));
        self.enqueue_one(Work::Chain(tasks.collect::<Result<_>>()?)).await
    }

    /// The chain of this id, if one of its steps is known.
    pub(super) async fn known_chain(&self, id: &TaskId) -> Result<Option<KnownChain>> {
        let Some(chain) = self.look_at_chain(id).await? else { return Ok(None) };
        if !chain.has_gap() {
            return Ok(Some(chain));
        }
        // A step is enqueued with the end of the one before it. So who has seen that end finds the step by looking again;
        // if not, it has been and gone.
        let again = self.look_at_chain(id).await?;
        Ok(again.map(|again| KnownChain { has_forgotten: again.steps.len() == chain.steps.len(), ..again }))
    }

    async fn look_at_chain(&self, id: &TaskId) -> Result<Option<KnownChain>> {
        let steps = self.known(&chain::step_ids(id)).await?;
        Ok(KnownChain::of(id, steps.into_iter().flatten().collect()))
    }
}

/// Refuses what can't be a chain.
pub(super) fn check(tasks: &[NewTask]) -> Result<()> {
    for (index, task) in tasks.iter().enumerate() {
        task.check()?;
        let wrong = match task {
            NewTask { unique: Some(Unique { hold: None, .. }), .. } if index == 0 => {
                "a unique key that is held for a time, found one that would be free once this step has ended"
            }
            _ if index == 0 => continue,
            NewTask { unique: Some(_), .. } => "no unique key of its own, found one; the first step can hold one",
            NewTask { id: Some(_), .. } => "no id of its own, found one; it is derived from the chain's",
            NewTask { due: Due::At(_), .. } => "a delay after the step before it, found a fixed time",
            _ => continue,
        };
        return Err(Error::rejected(format!("step {} of a chain: expected {wrong}", index + 1)));
    }
    chain::check(tasks.first().and_then(|first| first.id.as_ref()), tasks.len())
}

/// The answer, if the broker takes the first step's message.
pub(super) fn message(tasks: Vec<NewTask>, workers: &[WorkerReport]) -> Result<(Enqueued, Message)> {
    let id = tasks.first().and_then(|first| first.id.clone()).unwrap_or_else(TaskId::generate);
    let due = tasks.first().map_or(Due::Now, |first| first.due);
    let unserved = tasks.iter().find_map(|task| unserved(&task.handler, workers));
    let unique = tasks.first().and_then(|first| first.unique.clone());
    let steps = tasks.into_iter().map(|task| step(queue(&task, workers), task)).collect();
    let message = Message { unique, ..chain::first(id.clone(), due, steps, None)? };
    Ok((Enqueued { id, created: true, queue: message.queue.clone(), unserved }, message))
}

/// The chain whose first step holds a unique key; the task itself where it is none.
pub(super) fn holder(task: TaskId) -> TaskId {
    let chain = task.as_str().strip_suffix("/s1").and_then(|id| id.parse().ok());
    chain.unwrap_or(task)
}

/// A task as a step of a chain or a part of a group, in this queue.
pub(super) fn step(queue: Name, mut task: NewTask) -> Step {
    let headers = task.all_headers();
    let NewTask { handler, payload, priority, content_type, options, due, .. } = task;
    let delay = if let Due::After(delay) = due { delay } else { Default::default() };
    Step { handler, queue, priority, delay, payload, content_type, headers, options }
}
