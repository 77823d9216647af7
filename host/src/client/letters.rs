//! What can be done about tasks that have ended: a dead one is tried again, any of them forgotten.

use std::sync::Arc;

use super::{Client, Known, KnownChain, KnownGroup, Shown};
use crate::broker::Revive;
use crate::error::Result;
use crate::results::Record;
use crate::task::{State, TaskId};

/// What became of a wish to try a dead task again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is pending, with all its retries.
    Done,
    /// This task holds its unique key.
    Held(TaskId),
    /// It stands so: there is nothing to try again.
    NotDead(State),
    /// It is dead, and all that is kept of it is its record.
    Forgotten,
    /// It was never enqueued, or has ended and is forgotten.
    Unknown,
}

/// What became of a wish to forget an ended task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is forgotten, but for its id, which stays taken as after any end.
    Done,
    /// It stands so, and has to be cancelled first.
    Unfinished(State),
    /// It was never enqueued, or is forgotten.
    Unknown,
}

impl Client {
    /// Gives dead tasks their full retries again; their failed runs stay in their history. One answer per id, in order. A
    /// chain's id stands for its dead step, which resumes it, and a group's for all its dead members. Dropping the future leaves open which of them are tried again.
    pub async fn retry(&self, ids: &[TaskId]) -> Result<Vec<Retried>> {
        let mut answers = Vec::with_capacity(ids.len());
        let (mut places, mut dead, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for (place, shown) in self.show_all(ids).await?.into_iter().enumerate() {
            let known = match shown {
                Some(Shown::Group(group)) => {
                    answers.push(Box::pin(self.retry_group(*group)).await?);
                    continue;
                }
                None => None,
                Some(Shown::Task(known)) => Some(known),
                Some(Shown::Chain(chain)) => Some(failed_step(chain)),
            };
            answers.push(known.as_ref().map_or(Retried::Unknown, |known| Retried::NotDead(known.state())));
            if let Some(known) = known.filter(|known| known.state() == State::Dead) {
                places.push(place);
                dead.push(known.id().clone());
                records.push(known.record().cloned());
            }
        }
        if dead.is_empty() {
            return Ok(answers);
        }
        // Before, so that none is taken for the end that the task now gets.
        self.backend.results.delete(&dead).await?;
        let revived = self.backend.operations.revive(&dead).await?;
        let mut back = Vec::new();
        for ((place, record), revived) in places.into_iter().zip(records).zip(revived) {
            answers[place] = match revived {
                Revive::Done => Retried::Done,
                Revive::NotDead => Retried::Forgotten,
                Revive::Held(holder) => Retried::Held(holder),
            };
            back.extend(record.filter(|_| answers[place] != Retried::Done).map(Arc::unwrap_or_clone));
        }
        self.put_back(back).await?;
        Ok(answers)
    }

    /// What is dead of a group; where nothing could be tried again, why not.
    async fn retry_group(&self, group: KnownGroup) -> Result<Retried> {
        let callback = group.callback.clone().map(Shown::Task);
        let dead = group.members.iter().chain(&callback).filter(|part| part.state() == State::Dead);
        let dead: Vec<TaskId> = dead.map(|part| part.id().clone()).collect();
        let mut answers = self.retry(&dead).await?;
        match answers.iter().position(|answer| *answer == Retried::Done) {
            Some(done) => Ok(answers.swap_remove(done)),
            None => Ok(answers.pop().unwrap_or(Retried::NotDead(group.state()))),
        }
    }

    /// Forgets ended tasks: their records and dead letters. One answer per id, in order. A chain's id stands for all its
    /// steps, and a group's for all its tasks, once it has ended. Idempotent, so dropping the future does no harm.
    pub async fn delete(&self, ids: &[TaskId]) -> Result<Vec<Deleted>> {
        let (mut answers, mut gone) = (Vec::with_capacity(ids.len()), Vec::new());
        for shown in self.show_all(ids).await? {
            answers.push(match &shown {
                None => Deleted::Unknown,
                Some(shown) if !shown.state().is_final() => Deleted::Unfinished(shown.state()),
                Some(shown) => {
                    gone.extend(shown.tasks().into_iter().map(|task| task.id().clone()));
                    Deleted::Done
                }
            });
        }
        if !gone.is_empty() {
            // The letters first: without them, what is left is a record like another, and with them alone a task that no list
            // shows.
            self.backend.operations.remove(&gone).await?;
            self.backend.results.delete(&gone).await?;
        }
        Ok(answers)
    }

    async fn put_back(&self, records: Vec<Record>) -> Result<()> {
        if records.is_empty() { Ok(()) } else { self.backend.results.record(records).await }
    }
}

/// The step that stands for a chain: the one that failed for good, else the last.
fn failed_step(mut chain: KnownChain) -> Known {
    let failed = chain.steps.iter().position(|step| step.state() == State::Dead);
    // A chain is known by a step at least.
    let place = failed.unwrap_or(chain.steps.len() - 1);
    chain.steps.swap_remove(place)
}
