//! What an ended task leaves behind beside its record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::layout::CHUNK;
use crate::broker::Effect;
use crate::results::Record;
use crate::task::{TaskId, Timestamp};

/// Ids that stay taken after their task has left.
#[derive(Default)]
pub(super) struct Tombstones {
    until: HashMap<TaskId, Timestamp>,
    order: BTreeSet<(Timestamp, TaskId)>,
}

impl Tombstones {
    pub(super) fn put(&mut self, id: TaskId, until: Timestamp) {
        if let Some(earlier) = self.until.insert(id.clone(), until) {
            self.order.remove(&(earlier, id.clone()));
        }
        self.order.insert((until, id));
    }

    pub(super) fn stands(&self, id: &TaskId, now: Timestamp) -> bool {
        self.until.get(id).is_some_and(|&until| until > now)
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        for _ in 0..CHUNK {
            match self.order.first() {
                Some((until, _)) if *until <= now => {}
                _ => return,
            }
            if let Some((_, id)) = self.order.pop_first() {
                self.until.remove(&id);
            }
        }
    }
}

/// Effects for another server, oldest first.
#[derive(Default)]
pub(super) struct Outbox {
    foreign: bool,
    letters: BTreeMap<u64, Arc<Record>>,
    by_id: HashMap<TaskId, u64>,
    last: u64,
}

impl Outbox {
    pub(super) fn new(foreign: bool) -> Outbox {
        Outbox { foreign, ..Outbox::default() }
    }

    /// True where records belong to another server.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign
    }

    pub(super) fn post(&mut self, record: Arc<Record>) {
        self.last += 1;
        self.by_id.insert(record.id.clone(), self.last);
        self.letters.insert(self.last, record);
    }

    pub(super) fn letters(&self, max: usize) -> impl Iterator<Item = (u64, Effect)> {
        self.letters.iter().take(max).map(|(&number, record)| (number, Effect::Record(record.clone())))
    }

    pub(super) fn find(&self, id: &TaskId) -> Option<&Record> {
        self.by_id.get(id).and_then(|number| self.letters.get(number)).map(Arc::as_ref)
    }

    pub(super) fn drop(&mut self, number: u64) {
        let Some(record) = self.letters.remove(&number) else { return };
        if self.by_id.get(&record.id) == Some(&number) {
            self.by_id.remove(&record.id);
        }
    }
}
