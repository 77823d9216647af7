//! What people ask of tasks and queues.

use std::time::Duration;

use super::layout::{Layout, Stand};
use crate::broker::{Cancel, End, Revive, Setting, Signal};
use crate::task::{Ending, Name, TaskId, Timestamp};

impl Layout {
    /// Ends a task that waits; one that runs is marked. And what listeners are told.
    pub(in crate::backend) fn cancel(&mut self, end: End, now: Timestamp) -> (Cancel, Option<Signal>) {
        let id = end.run.id;
        let Some(slot) = self.tasks.get_mut(&id) else { return (Cancel::Gone, None) };
        match slot.stand {
            Stand::Dead { .. } => return (Cancel::Gone, None),
            _ if slot.run != end.run.number || slot.queue != end.run.queue => return (Cancel::Moved, None),
            Stand::Running { .. } => {
                slot.cancelled = true;
                return (Cancel::Asked, Some(Signal::Cancel(id)));
            }
            Stand::Waiting => {
                if let Some(queue) = self.queues.get_mut(&slot.queue) {
                    queue.waiting[slot.priority as usize].remove(&slot.place());
                }
            }
            Stand::Aside { parked } => {
                if let Some(queue) = self.queues.get_mut(&slot.queue) {
                    let shelf = slot.shelf(parked);
                    let line = queue.aside.entry(shelf.clone()).or_default();
                    line.remove(&slot.place());
                    if line.is_empty() {
                        queue.aside.remove(&shelf);
                    }
                }
            }
        }
        match end.ending {
            Ending::Dead { keep, .. } => self.keep_dead(&id, now, keep),
            _ => self.bury(&id, now),
        }
        end.effects.iter().for_each(|effect| self.apply(effect, now));
        (Cancel::Done, Some(Signal::Ended(id)))
    }

    /// A dead letter is due again, as if it had never run.
    pub(in crate::backend) fn revive(&mut self, id: &TaskId, now: Timestamp) -> Revive {
        let Some(slot) = self.tasks.get_mut(id) else { return Revive::NotDead };
        let Stand::Dead { since, until } = slot.stand else { return Revive::NotDead };
        if until <= now {
            return Revive::NotDead;
        }
        if let Some(unique) = slot.unique.as_ref().filter(|unique| unique.hold.is_none()) {
            if let Some(holder) = self.uniques.holder(&slot.queue, &unique.key, now) {
                return Revive::Held(holder.clone());
            }
            self.uniques.take(&slot.queue, unique, id.clone(), now);
        }
        self.fading.remove(&slot.at(until));
        let queue = self.queues.entry(slot.queue.clone()).or_default();
        queue.dead.remove(&slot.at(since));
        (slot.failed, slot.lost, slot.cancelled) = (0, 0, false);
        (slot.due_at, slot.stand) = (now.plus(Duration::ZERO), Stand::Waiting);
        queue.waiting[slot.priority as usize].insert(slot.place(), id.clone());
        Revive::Done
    }

    /// Drops a dead letter; whether it was there.
    pub(in crate::backend) fn remove(&mut self, id: &TaskId, now: Timestamp) -> bool {
        let stand = self.tasks.get(id).map(|slot| &slot.stand);
        let Some(&Stand::Dead { until, .. }) = stand else { return false };
        self.forget_dead(id);
        until > now
    }

    pub(in crate::backend) fn configure(&mut self, queue: &Name, settings: &[Setting]) {
        let queue = self.queues.entry(queue.clone()).or_default();
        for setting in settings {
            queue.settings.set(setting);
            if matches!(setting, Setting::Rate(_)) {
                // What was taken counted by another rate.
                queue.reached = 0;
            }
        }
    }
}
