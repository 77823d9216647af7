//! Ended tasks.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;

use super::Memory;
use super::layout::CHUNK;
use crate::broker::{Cursor, Filter};
use crate::error::Result;
use crate::results::{KEEP_DEAD, KEEP_DONE, Record, Results};
use crate::task::{Name, State, TaskId, Timestamp};

/// Records, and the orders in which they leave and are listed.
#[derive(Default)]
pub(super) struct Kept {
    records: HashMap<TaskId, Arc<Record>>,
    /// By the time when they are forgotten.
    fading: BTreeSet<(Timestamp, TaskId)>,
    /// By the time of their end, to keep their number bounded.
    ended: HashMap<Name, Ended>,
    /// By the time of enqueueing, as they are listed.
    enqueued: BTreeSet<Cursor>,
}

#[derive(Default)]
struct Ended {
    done: BTreeSet<(Timestamp, TaskId)>,
    dead: BTreeSet<(Timestamp, TaskId)>,
}

impl Ended {
    fn of(&mut self, state: State) -> (&mut BTreeSet<(Timestamp, TaskId)>, usize) {
        match state {
            State::Dead => (&mut self.dead, KEEP_DEAD),
            _ => (&mut self.done, KEEP_DONE),
        }
    }
}

fn until(record: &Record) -> Timestamp {
    record.finished_at.plus(record.keep)
}

impl Kept {
    pub(super) fn record(&mut self, record: Arc<Record>, now: Timestamp) {
        match self.records.get(&record.id) {
            Some(kept) if kept.run >= record.run && until(kept) > now => return,
            Some(_) => drop(self.remove(&record.id)),
            None => {}
        }
        if until(&record) <= now {
            return;
        }
        let id = record.id.clone();
        self.fading.insert((until(&record), id.clone()));
        self.enqueued.insert(Cursor(record.enqueued_at, id.clone()));
        let ended = match self.ended.get_mut(&record.queue) {
            Some(ended) => ended,
            None => self.ended.entry(record.queue.clone()).or_default(),
        };
        let (line, most) = ended.of(record.state);
        line.insert((record.finished_at, id.clone()));
        let oldest = if line.len() > most { line.first().cloned() } else { None };
        self.records.insert(id, record);
        if let Some((_, oldest)) = oldest {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, id: &TaskId) -> Option<Arc<Record>> {
        let record = self.records.remove(id)?;
        self.fading.remove(&(until(&record), id.clone()));
        self.enqueued.remove(&Cursor(record.enqueued_at, id.clone()));
        if let Some(ended) = self.ended.get_mut(&record.queue) {
            ended.of(record.state).0.remove(&(record.finished_at, id.clone()));
        }
        Some(record)
    }

    fn get(&self, id: &TaskId, now: Timestamp) -> Option<&Record> {
        self.records.get(id).map(Arc::as_ref).filter(|record| until(record) > now)
    }

    fn list(&self, filter: &Filter, now: Timestamp) -> Vec<Record> {
        let matching = |record: &&Record| {
            filter.state.is_none_or(|state| state == record.state)
                && filter.queue.as_ref().is_none_or(|queue| *queue == record.queue)
                && filter.handler.as_ref().is_none_or(|handler| *handler == record.handler)
        };
        let before = filter.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let newest_first = self.enqueued.range((Bound::Unbounded, before)).rev();
        let kept = newest_first.filter_map(|Cursor(_, id)| self.get(id, now));
        kept.filter(matching).take(filter.limit).cloned().collect()
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        for _ in 0..CHUNK {
            match self.fading.first() {
                Some((until, id)) if *until <= now => {
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

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        let (now, mut layout) = (self.clock.now(), self.lock());
        let there = |record: Arc<Record>| until(&record) > now;
        Ok(ids.iter().filter_map(|id| layout.results.remove(id)).map(there).filter(|&there| there).count() as u64)
    }
}
