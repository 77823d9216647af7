//! Ended tasks.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Memory;
use super::layout::{CHUNK, Line, Map};
use crate::error::Result;
use crate::results::{Filter, KEEP_DEAD, KEEP_DONE, Record, Results};
use crate::task::{Name, State, TaskId, Timestamp};

/// Records, and the orders in which they leave.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::backend) struct Kept {
    records: Map<TaskId, Entry>,
    /// By the time when they are forgotten.
    fading: Line,
    /// By the time of their end, to keep their number bounded.
    ended: Map<Name, Ended>,
    last: u64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    record: Arc<Record>,
    /// Makes its places unique.
    number: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Ended {
    done: Line,
    dead: Line,
}

impl Ended {
    fn of(&mut self, state: State) -> (&mut Line, usize) {
        match state {
            State::Dead => (&mut self.dead, KEEP_DEAD),
            _ => (&mut self.done, KEEP_DONE),
        }
    }
}

pub(in crate::backend) fn until(record: &Record) -> Timestamp {
    record.finished_at.plus(record.keep)
}

impl Kept {
    pub(in crate::backend) fn record(&mut self, record: Arc<Record>, now: Timestamp) {
        match self.records.get(&record.id) {
            Some(Entry { record: kept, .. }) if kept.run >= record.run && until(kept) > now => return,
            Some(_) => drop(self.remove(&record.id)),
            None => {}
        }
        if until(&record) <= now {
            return;
        }
        self.last += 1;
        let (id, number) = (record.id.clone(), self.last);
        self.fading.insert((until(&record), number), id.clone());
        let ended = match self.ended.get_mut(&record.queue) {
            Some(ended) => ended,
            None => self.ended.entry(record.queue.clone()).or_default(),
        };
        let (line, most) = ended.of(record.state);
        line.insert((record.finished_at, number), id.clone());
        let oldest = if line.len() > most { line.first_key_value().map(|(_, id)| id.clone()) } else { None };
        self.records.insert(id, Entry { record, number });
        if let Some(oldest) = oldest {
            self.remove(&oldest);
        }
    }

    pub(in crate::backend) fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.values().map(|entry| entry.record.as_ref())
    }

    pub(in crate::backend) fn remove(&mut self, id: &TaskId) -> Option<Arc<Record>> {
        let Entry { record, number } = self.records.remove(id)?;
        self.fading.remove(&(until(&record), number));
        if let Some(ended) = self.ended.get_mut(&record.queue) {
            ended.of(record.state).0.remove(&(record.finished_at, number));
        }
        Some(record)
    }

    pub(in crate::backend) fn get(&self, id: &TaskId, now: Timestamp) -> Option<&Record> {
        self.records.get(id).map(|entry| entry.record.as_ref()).filter(|record| until(record) > now)
    }

    pub(in crate::backend) fn list(&self, filter: &Filter, now: Timestamp) -> Vec<Record> {
        let matching = |record: &&Record| {
            until(record) > now
                && filter.state.is_none_or(|state| state == record.state)
                && filter.queue.as_ref().is_none_or(|queue| *queue == record.queue)
                && filter.handler.as_ref().is_none_or(|handler| *handler == record.handler)
                && filter.after.as_ref().is_none_or(|after| (record.enqueued_at, &record.id) < (after.0, &after.1))
        };
        // Walks over all records: an order of its own would cost every task something, and in this process nobody
        // lists but tests.
        let mut found: Vec<&Record> =
            self.records.values().map(|entry| entry.record.as_ref()).filter(matching).collect();
        found.sort_unstable_by(|a, b| (b.enqueued_at, &b.id).cmp(&(a.enqueued_at, &a.id)));
        found.into_iter().take(filter.limit).cloned().collect()
    }

    pub(in crate::backend) fn forget(&mut self, now: Timestamp) {
        for _ in 0..CHUNK {
            match self.fading.first_key_value() {
                Some((&(until, _), id)) if until <= now => {
                    let id = id.clone();
                    self.remove(&id);
                }
                _ => return,
            }
        }
    }
}

#[async_trait]
impl Results for Memory {
    async fn record(&self, records: Vec<Record>) -> Result<()> {
        let now = self.clock.now();
        let mut layout = self.lock();
        layout.forget(now);
        for record in records {
            layout.results.record(Arc::new(record), now);
        }
        Ok(())
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Record>>> {
        let (now, layout) = (self.clock.now(), self.lock());
        Ok(ids.iter().map(|id| layout.results.get(id, now).cloned()).collect())
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Record>> {
        Ok(self.lock().results.list(filter, self.clock.now()))
    }

    async fn tell(&self, _records: &[Arc<Record>]) -> Result<()> {
        // There is nobody else in this process.
        Ok(())
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        let (now, mut layout) = (self.clock.now(), self.lock());
        let there = |record: Arc<Record>| until(&record) > now;
        Ok(ids.iter().filter_map(|id| layout.results.remove(id)).map(there).filter(|&there| there).count() as u64)
    }
}
