//! Chains: enqueued as one, looked at as one.

use std::sync::Arc;

use super::{Client, Enqueued, Known, NewTask, Work, queue, unserved};
use crate::broker::{Due, Message, Standing, WorkerReport};
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
}

impl KnownChain {
    /// That of the step that decides: one that failed for good, else the last that was enqueued. Done once all are.
    pub fn state(&self) -> State {
        match self.deciding() {
            // The next one is enqueued with the end of the one before it, so it is only a matter of looking again.
            Some(step) if step.state() == State::Done && step.link().is_none_or(|link| link.step < self.of) => {
                State::Pending
            }
            step => step.map_or(State::Pending, Known::state),
        }
    }

    /// The record of the step that decides, once it has ended.
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.deciding().and_then(Known::record)
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
    pub async fn chain(&self, tasks: Vec<NewTask>) -> Result<Enqueued> {
        self.enqueue_one(Work::Chain(tasks)).await
    }

    /// The chain of this id, if one of its steps is known.
    pub(super) async fn known_chain(&self, id: &TaskId) -> Result<Option<KnownChain>> {
        let ids = chain::step_ids(id);
        // The broker first: a step that leaves it between the two calls is found in the results.
        let standings = self.backend.operations.get(&ids).await?;
        let records = self.backend.results.get(&ids).await?;
        let steps = standings.into_iter().zip(records).filter_map(|(standing, record)| match (standing, record) {
            (Some(Standing::Leaving(record)), _) => Some(Known::Ended(record, None)),
            (Some(Standing::Here(held)), Some(record)) if held.state.is_final() => {
                Some(Known::Ended(Arc::new(record), Some(held)))
            }
            (Some(Standing::Here(held)), _) => Some(Known::Held(held)),
            (None, Some(record)) => Some(Known::Ended(Arc::new(record), None)),
            (None, None) => None,
        });
        let steps: Vec<Known> = steps.collect();
        let of = steps.iter().find_map(|step| step.link().filter(|link| link.id == *id)).map(|link| link.of);
        Ok(of.map(|of| KnownChain { id: id.clone(), of, steps }))
    }
}

/// The answer, if the broker takes the first step's message.
pub(super) fn message(tasks: Vec<NewTask>, workers: &[WorkerReport]) -> Result<(Enqueued, Message)> {
    for (index, task) in tasks.iter().enumerate() {
        task.check()?;
        let wrong = match task {
            _ if index == 0 => continue,
            NewTask { id: Some(_), .. } => "no id of its own, found one; it is derived from the chain's",
            NewTask { due: Due::At(_), .. } => "a delay after the step before it, found a fixed time",
            _ => continue,
        };
        return Err(Error::rejected(format!("step {} of a chain: expected {wrong}", index + 1)));
    }
    let id = tasks.first().and_then(|first| first.id.clone()).unwrap_or_else(TaskId::generate);
    let due = tasks.first().map_or(Due::Now, |first| first.due);
    let unserved = tasks.iter().find_map(|task| unserved(&task.handler, workers));
    let steps = tasks.into_iter().map(|task| step(queue(&task, workers), task)).collect();
    let message = chain::first(id.clone(), due, steps)?;
    Ok((Enqueued { id, created: true, queue: message.queue.clone(), unserved }, message))
}

fn step(queue: Name, task: NewTask) -> Step {
    let NewTask { handler, payload, priority, content_type, headers, options, due, .. } = task;
    let delay = if let Due::After(delay) = due { delay } else { Default::default() };
    Step { handler, queue, priority, delay, payload, content_type, headers, options }
}
