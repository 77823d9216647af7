//! Chains: enqueued as one, looked at as one.

use std::sync::Arc;

use super::{Client, Enqueued, Known, NewTask, announced_queue, unserved};
use crate::broker::{Due, Standing};
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
        for (index, task) in tasks.iter().enumerate() {
            task.check()?;
            if index > 0 && task.id.is_some() {
                return Err(Error::rejected(format!(
                    "step {} of a chain: expected no id of its own, found one; it is derived from the chain's",
                    index + 1
                )));
            }
            if index > 0 && matches!(task.due, Due::At(_)) {
                return Err(Error::rejected(format!(
                    "step {} of a chain: expected a delay after the step before it, found a fixed time",
                    index + 1
                )));
            }
        }
        let workers = self.backend.operations.workers().await?;
        let queue = |task: &NewTask| {
            let announced = || announced_queue(&task.handler, &workers);
            task.queue.clone().or_else(announced).unwrap_or_else(Name::default_queue)
        };
        let id = tasks.first().and_then(|first| first.id.clone()).unwrap_or_else(TaskId::generate);
        let due = tasks.first().map_or(Due::Now, |first| first.due);
        let unserved = tasks.iter().find_map(|task| unserved(&task.handler, &workers));
        let steps: Vec<Step> = tasks.into_iter().map(|task| step(queue(&task), task)).collect();
        let message = chain::first(id.clone(), due, steps)?;
        let queue = message.queue.clone();
        let pushed = self.backend.broker.push(vec![message]).await?.pop();
        let pushed = pushed.ok_or_else(|| Error::corrupt("the broker gave no answer to an enqueued chain"))?;
        Ok(Enqueued { id, created: pushed.created, queue, unserved })
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

fn step(queue: Name, task: NewTask) -> Step {
    let NewTask { handler, payload, priority, content_type, headers, options, due, .. } = task;
    let delay = if let Due::After(delay) = due { delay } else { Default::default() };
    Step { handler, queue, priority, delay, payload, content_type, headers, options }
}
