//! Cancelling: a task that waits ends at once, one that runs is stopped by its worker.

use std::sync::Arc;
use std::time::Duration;

use super::{Client, Known, Shown};
use crate::broker::{Cancel, Effect, End, Tracked};
use crate::clock::{Clock, System};
use crate::codec;
use crate::error::{Error, Result};
use crate::results::{RETENTION, Record};
use crate::retry::MAX_RETRIES;
use crate::task::{Ending, Receipt, Run, State, TOLD, TaskId, WorkerId};

/// What became of a wish to cancel a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and is cancelled.
    Done,
    /// It runs: its worker is told, stops it within a second, and ends it. One that ends by itself first has that end.
    Asked,
    /// It had ended so before, and nothing was changed.
    Ended(State),
    /// It was never enqueued, or has ended and is forgotten.
    Unknown,
}

/// What is left of a task that is cancelled while it waits.
#[derive(Clone, Copy)]
enum Trace {
    Record,
    Nothing,
}

/// A task that starts and stops, or a chain that goes on, between a look and the wish is looked at again, so often.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl Client {
    /// Cancels tasks, and keeps a record of each for its retention. One answer per id, in order. A chain's id stands for its
    /// present step, whose end is the chain's, and a group's for all that is unfinished of it. Dropping the future leaves
    /// open which of them were cancelled; trying again is safe.
    pub async fn cancel(&self, ids: &[TaskId]) -> Result<Vec<Cancelled>> {
        self.cancel_leaving(ids, Trace::Record).await
    }

    /// Cancels tasks that wait, and keeps no record of them; one that runs is left alone. How many there were.
    pub async fn discard(&self, ids: &[TaskId]) -> Result<u64> {
        let answers = self.cancel_leaving(ids, Trace::Nothing).await?;
        Ok(answers.iter().filter(|answer| **answer == Cancelled::Done).count() as u64)
    }

    async fn cancel_leaving(&self, ids: &[TaskId], trace: Trace) -> Result<Vec<Cancelled>> {
        let mut answers = vec![Cancelled::Unknown; ids.len()];
        let mut open: Vec<usize> = (0..ids.len()).collect();
        for _ in 0..LOOKS {
            let asked: Vec<TaskId> = open.iter().map(|&place| ids[place].clone()).collect();
            let (mut again, mut places, mut ends) = (Vec::new(), Vec::new(), Vec::new());
            for (place, shown) in open.into_iter().zip(self.show_all(&asked).await?) {
                match target(shown) {
                    Target::Open(tracked) if matches!(trace, Trace::Nothing) && tracked.state == State::Running => {}
                    Target::Open(tracked) => {
                        places.push(place);
                        ends.push(end(*tracked, trace));
                    }
                    Target::Group(unfinished) => {
                        let parts = Box::pin(self.cancel_leaving(&unfinished, trace)).await?;
                        let runs = parts.contains(&Cancelled::Asked);
                        answers[place] = if runs { Cancelled::Asked } else { Cancelled::Done };
                    }
                    Target::Settled(answer) => answers[place] = answer,
                    Target::Between => again.push(place),
                }
            }
            if !ends.is_empty() {
                for (place, answer) in places.into_iter().zip(self.backend.operations.cancel(ends).await?) {
                    match answer {
                        Cancel::Done => answers[place] = Cancelled::Done,
                        Cancel::Asked => answers[place] = Cancelled::Asked,
                        Cancel::Moved | Cancel::Gone => again.push(place),
                    }
                }
            }
            if again.is_empty() {
                return Ok(answers);
            }
            open = again;
            tokio::time::sleep(PAUSE).await;
        }
        let id = open.first().map(|&place| ids[place].to_string()).unwrap_or_default();
        Err(Error::unavailable(format!("task {id}: expected it to stand still for a moment, found it changing")))
    }
}

/// What is to be done about an id.
enum Target {
    /// Unfinished.
    Open(Box<Tracked>),
    Settled(Cancelled),
    /// These of its parts, the callback first, so that no member that ends meanwhile starts it.
    Group(Vec<TaskId>),
    /// A step has ended, and the next one isn't there yet.
    Between,
}

fn target(shown: Option<Shown>) -> Target {
    let known = match shown {
        None => return Target::Settled(Cancelled::Unknown),
        Some(Shown::Task(known)) => known,
        Some(Shown::Group(group)) if group.state().is_final() => {
            return Target::Settled(Cancelled::Ended(group.state()));
        }
        Some(Shown::Group(group)) => return Target::Group(group.unfinished()),
        Some(Shown::Chain(chain)) if chain.state().is_final() => {
            return Target::Settled(Cancelled::Ended(chain.state()));
        }
        Some(Shown::Chain(mut chain)) => match chain.steps.pop() {
            Some(step) if !step.state().is_final() => step,
            _ => return Target::Between,
        },
    };
    match known {
        Known::Held(tracked) if !tracked.state.is_final() => Target::Open(tracked),
        known => Target::Settled(Cancelled::Ended(known.state())),
    }
}

fn end(tracked: Tracked, trace: Trace) -> End {
    let run = Run { queue: tracked.queue.clone(), id: tracked.id.clone(), number: tracked.run };
    let record = match trace {
        Trace::Record => record(tracked),
        Trace::Nothing => None,
    };
    let effects = record.map(|record| Effect::Record(Arc::new(record))).into_iter().collect();
    End { run, ending: Ending::Cancelled, effects }
}

/// The record of a task that was cancelled while it waited; none where its producer wants none.
fn record(tracked: Tracked) -> Option<Record> {
    // One that can't be read is cancelled like another.
    let task = codec::decode(&tracked.envelope).ok();
    let options = task.as_ref().map(|task| task.options.clone()).unwrap_or_default();
    let keep = options.retention.unwrap_or(RETENTION);
    let now = System.now().max(tracked.enqueued_at);
    let told = task.as_ref().is_some_and(|task| task.headers.contains_key(TOLD));
    let (chain, group) = task.map_or((None, None), |task| (task.chain.map(|chain| chain.link), task.group));
    let record = Record {
        id: tracked.id,
        handler: tracked.handler,
        queue: tracked.queue,
        priority: tracked.priority,
        state: State::Cancelled,
        run: tracked.run,
        attempt: tracked.failed,
        lost: tracked.lost,
        max_retries: options.max_retries.unwrap_or(MAX_RETRIES),
        enqueued_at: tracked.enqueued_at,
        due_at: tracked.due_at,
        started_at: now,
        finished_at: now,
        worker: WorkerId::nobody(),
        result: None,
        failure: None,
        history: tracked.history,
        receipt: Receipt::default(),
        keep,
        chain,
        group,
        logs: None,
        told,
    };
    (!keep.is_zero()).then_some(record)
}
