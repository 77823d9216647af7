//! What an ended task leaves behind beside its record.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::layout::{CHUNK, Line, Map, Place};
use crate::broker::Letter;
use crate::results::Record;
use crate::task::{TaskId, Timestamp};

/// Ids that stay taken after their task has left.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::backend) struct Tombstones {
    places: Map<TaskId, Place>,
    order: Line,
    last: u64,
}

impl Tombstones {
    pub(in crate::backend) fn put(&mut self, id: TaskId, until: Timestamp) {
        self.last += 1;
        let place = (until, self.last);
        if let Some(earlier) = self.places.insert(id.clone(), place) {
            self.order.remove(&earlier);
        }
        self.order.insert(place, id);
    }

    pub(in crate::backend) fn stands(&self, id: &TaskId, now: Timestamp) -> bool {
        self.places.get(id).is_some_and(|&(until, _)| until > now)
    }

    pub(in crate::backend) fn forget(&mut self, now: Timestamp) {
        for _ in 0..CHUNK {
            if self.order.first_key_value().is_none_or(|((until, _), _)| *until > now) {
                return;
            }
            if let Some((_, id)) = self.order.pop_first() {
                self.places.remove(&id);
            }
        }
    }
}

/// Effects for another server, oldest first.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::backend) struct Outbox {
    foreign: bool,
    letters: BTreeMap<u64, Arc<Record>>,
    by_id: Map<TaskId, u64>,
    last: u64,
}

impl Outbox {
    pub(in crate::backend) fn new(foreign: bool) -> Outbox {
        Outbox { foreign, ..Outbox::default() }
    }

    /// Says where records belong from now on.
    pub(in crate::backend) fn set_foreign(&mut self, foreign: bool) {
        self.foreign = foreign;
    }

    /// True where records belong to another server.
    pub(in crate::backend) fn is_foreign(&self) -> bool {
        self.foreign
    }

    pub(in crate::backend) fn post(&mut self, record: Arc<Record>) {
        self.last += 1;
        self.by_id.insert(record.id.clone(), self.last);
        self.letters.insert(self.last, record);
    }

    pub(in crate::backend) fn letters(&self, max: usize) -> impl Iterator<Item = Letter> {
        self.letters.iter().take(max).map(|(&number, record)| Letter { number, record: record.clone() })
    }

    pub(in crate::backend) fn all(&self) -> impl Iterator<Item = &Record> {
        self.letters.values().map(Arc::as_ref)
    }

    pub(in crate::backend) fn find(&self, id: &TaskId) -> Option<&Record> {
        self.by_id.get(id).and_then(|number| self.letters.get(number)).map(Arc::as_ref)
    }

    pub(in crate::backend) fn drop(&mut self, number: u64) {
        let Some(record) = self.letters.remove(&number) else { return };
        if self.by_id.get(&record.id) == Some(&number) {
            self.by_id.remove(&record.id);
        }
    }
}
