//! What a task waits for: the results of others.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::layout::{Layout, Stand};
use crate::broker::{Arrived, UPSTREAM};
use crate::task::{Name, TaskId, Timestamp};

#[derive(Serialize, Deserialize)]
pub(in crate::backend) struct Arrivals {
    want: u32,
    got: BTreeMap<u32, Bytes>,
    bytes: usize,
}

impl Arrivals {
    pub(super) fn of(want: u32) -> Arrivals {
        Arrivals { want, got: BTreeMap::new(), bytes: 0 }
    }

    /// How many have come, of how many.
    pub(super) fn progress(&self) -> (u32, u32) {
        (self.got.len() as u32, self.want)
    }

    pub(super) fn arrived(&self) -> Arrived {
        if self.bytes > UPSTREAM { Arrived::TooLarge } else { Arrived::Whole(self.got.values().cloned().collect()) }
    }

    pub(super) fn results(&self) -> impl Iterator<Item = &Bytes> {
        self.got.values()
    }

    /// Takes the first of each index; true where it was the last one missing.
    fn take(&mut self, index: u32, result: Bytes) -> bool {
        if index >= self.want || self.got.contains_key(&index) {
            return false;
        }
        self.bytes = self.bytes.saturating_add(result.len());
        self.got.insert(index, result);
        if self.bytes > UPSTREAM {
            self.got.values_mut().for_each(|result| *result = Bytes::new());
        }
        self.got.len() == self.want as usize
    }
}

impl Layout {
    /// A result for a task that waits for several; when the last one is there, the task is due.
    pub(super) fn arrive(&mut self, id: &TaskId, queue: &Name, index: u32, result: Bytes, now: Timestamp) {
        let Some(slot) = self.tasks.get_mut(id).filter(|slot| slot.queue == *queue) else { return };
        let Some(arrivals) = &mut slot.arrivals else { return };
        if !arrivals.take(index, result) || !matches!(slot.stand, Stand::Waiting) {
            return;
        }
        let line = &mut self.queues.entry(queue.clone()).or_default().waiting[slot.priority as usize];
        line.remove(&slot.place());
        slot.due_at = now;
        line.insert(slot.place(), id.clone());
    }
}
