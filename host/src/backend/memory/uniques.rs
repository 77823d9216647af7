//! Who holds which unique key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{CHUNK, Map, Place, Slot};
use crate::broker::Unique;
use crate::task::{Name, TaskId, Timestamp};

#[derive(Default, Serialize, Deserialize)]
pub(in crate::backend) struct Uniques {
    held: BTreeMap<Name, Map<String, Holder>>,
    /// Those that are held for a time, by its end.
    fading: BTreeMap<Place, (Name, String)>,
    last: u64,
}

#[derive(Serialize, Deserialize)]
struct Holder {
    id: TaskId,
    /// None for as long as the task is unfinished.
    until: Option<Place>,
}

impl Uniques {
    pub(super) fn holder(&self, queue: &Name, key: &str, now: Timestamp) -> Option<&TaskId> {
        let holder = self.held.get(queue)?.get(key)?;
        holder.until.is_none_or(|(until, _)| until > now).then_some(&holder.id)
    }

    /// The key is free.
    pub(super) fn take(&mut self, queue: &Name, unique: &Unique, id: TaskId, now: Timestamp) {
        self.last += 1;
        let until = unique.hold.map(|hold| (now.plus(hold), self.last));
        let keys = self.held.entry(queue.clone()).or_default();
        let before = keys.insert(unique.key.clone(), Holder { id, until });
        if let Some(place) = before.and_then(|before| before.until) {
            self.fading.remove(&place);
        }
        if let Some(place) = until {
            self.fading.insert(place, (queue.clone(), unique.key.clone()));
        }
    }

    /// The task has ended: its key is free, unless it is held for a time.
    pub(super) fn release(&mut self, slot: &Slot, id: &TaskId) {
        let Some(unique) = slot.unique.as_ref().filter(|unique| unique.hold.is_none()) else { return };
        let Some(keys) = self.held.get_mut(&slot.queue) else { return };
        if keys.get(&unique.key).is_some_and(|holder| holder.id == *id && holder.until.is_none()) {
            keys.remove(&unique.key);
        }
        if keys.is_empty() {
            self.held.remove(&slot.queue);
        }
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        for _ in 0..CHUNK {
            if self.fading.first_key_value().is_none_or(|((until, _), _)| *until > now) {
                return;
            }
            let Some((_, (queue, key))) = self.fading.pop_first() else { return };
            if let Some(keys) = self.held.get_mut(&queue) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.held.remove(&queue);
                }
            }
        }
    }
}
