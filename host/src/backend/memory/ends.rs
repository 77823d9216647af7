//! Ending and extending runs: each is fenced by the run's number.

use std::time::Duration;

use super::layout::{Layout, Stand};
use crate::broker::{Effect, End, HISTORY, Held, Settled, Signal};
use crate::task::{Ending, FailedRun, Run, TaskId, Timestamp, WorkerId};

/// What one settled end leads to beside its answer.
pub(in crate::backend) struct Written {
    pub(in crate::backend) answer: Settled,
    /// For the listeners.
    pub(in crate::backend) ended: Option<Signal>,
    /// Something waits that a waiting reserve may want, now or later.
    pub(in crate::backend) waits: bool,
}

impl Layout {
    pub(in crate::backend) fn extend(&mut self, run: &Run, until: Timestamp) -> Held {
        let Some(held) = self.held(run) else { return Held::Gone };
        self.leases.remove(&held);
        let Some(slot) = self.tasks.get_mut(&run.id) else { return Held::Gone };
        if let Stand::Running { until: end, .. } = &mut slot.stand {
            *end = until;
        }
        self.leases.insert(slot.at(until), run.id.clone());
        if slot.cancelled { Held::Cancelled } else { Held::Kept }
    }

    pub(in crate::backend) fn settle(&mut self, end: &End, now: Timestamp) -> Written {
        let End { run, ending, effects } = end;
        let Some(lease) = self.held(run) else {
            return Written { answer: Settled::Stale, ended: None, waits: false };
        };
        self.leases.remove(&lease);
        // Where a queue is at its limit, an end makes room.
        let mut frees = false;
        if let Some(queue) = self.queues.get_mut(&run.queue) {
            queue.running -= 1;
            frees = queue.settings.concurrency.is_some();
        }
        let mut waits = true;
        let mut ended = None;
        match ending {
            Ending::Done | Ending::Cancelled => {
                self.bury(&run.id, now);
                (ended, waits) = (Some(Signal::Ended(run.id.clone())), frees);
            }
            Ending::Dead { keep, failed } => {
                self.add_failure(&run.id, failed.as_ref());
                self.keep_dead(&run.id, now, *keep);
                (ended, waits) = (Some(Signal::Ended(run.id.clone())), frees);
            }
            Ending::Retry { after, failed } => {
                self.add_failure(&run.id, Some(failed));
                self.wait(&run.id, *after, now);
            }
            Ending::Snooze { after } | Ending::Release { after } => self.wait(&run.id, *after, now),
            Ending::Park => self.park(&run.id, now),
        }
        for effect in effects {
            waits |= !matches!(effect, Effect::Record(_));
            self.apply(effect, now);
        }
        Written { answer: Settled::Applied, ended, waits }
    }

    /// The place of this run's lease, if it is the current run.
    fn held(&self, run: &Run) -> Option<(Timestamp, u64)> {
        let slot = self.tasks.get(&run.id)?;
        match slot.stand {
            Stand::Running { until, .. } if slot.run == run.number && slot.queue == run.queue => Some(slot.at(until)),
            _ => None,
        }
    }

    fn add_failure(&mut self, id: &TaskId, failed: Option<&FailedRun>) {
        let Some((slot, failed)) = self.tasks.get_mut(id).zip(failed) else { return };
        slot.failed += 1;
        if slot.history.len() >= HISTORY {
            slot.history.remove(0);
        }
        slot.history.push(failed.clone());
    }

    fn wait(&mut self, id: &TaskId, after: Duration, now: Timestamp) {
        let Some(slot) = self.tasks.get_mut(id) else { return };
        let due_at = if slot.cancelled { now } else { now.plus(after) };
        (slot.due_at, slot.stand) = (due_at, Stand::Waiting);
        let queue = self.queues.entry(slot.queue.clone()).or_default();
        queue.waiting[slot.priority as usize].insert(slot.place(), id.clone());
    }

    fn park(&mut self, id: &TaskId, now: Timestamp) {
        let Some(slot) = self.tasks.get_mut(id) else { return };
        if slot.cancelled {
            return self.wait(id, Duration::ZERO, now);
        }
        slot.stand = Stand::Aside { parked: true };
        let queue = self.queues.entry(slot.queue.clone()).or_default();
        queue.aside.entry(slot.shelf(true)).or_default().insert(slot.place(), id.clone());
    }

    pub(super) fn apply(&mut self, effect: &Effect, now: Timestamp) {
        match effect {
            Effect::Push(message) => drop(self.push(message.clone(), now)),
            Effect::Record(record) => {
                let foreign = self.outbox.is_foreign();
                if foreign || record.told {
                    self.outbox.post(record.clone());
                }
                if !foreign {
                    self.results.record(record.clone(), now);
                }
            }
            Effect::Arrive { task, queue, index, result } => self.arrive(task, queue, *index, result.clone(), now),
        }
    }

    /// Ends the leases of `gone`, which has left: the next reserve takes its runs back.
    pub(in crate::backend) fn abandon(&mut self, gone: &WorkerId, now: Timestamp) {
        // Walks over what runs, not over what waits: as many as all workers' slots together.
        let its = |id: &&TaskId| {
            let slot = self.tasks.get(*id);
            slot.is_some_and(|slot| matches!(&slot.stand, Stand::Running { worker, .. } if worker == gone))
        };
        let ids: Vec<TaskId> = self.leases.values().filter(its).cloned().collect();
        for id in ids {
            let Some(slot) = self.tasks.get(&id) else { continue };
            let run = Run { queue: slot.queue.clone(), id, number: slot.run };
            self.extend(&run, now);
        }
    }
}
