//! Ended tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::broker::chunks;
use super::wire::{self, Answer};
use super::{Redis, scripts};
use crate::error::Result;
use crate::results::{Cursor, Filter, Record, Results};
use crate::task::{Name, State, TaskId};

/// So many records are listed or deleted in one call.
const PAGE: usize = 200;
/// So many are read by their ids in one call: each may have 4 MiB.
const READ: usize = 50;

#[async_trait]
impl Results for Redis {
    async fn record(&self, records: Vec<Record>) -> Result<()> {
        let mut by_queue: BTreeMap<&Name, Vec<&Record>> = BTreeMap::new();
        records.iter().for_each(|record| by_queue.entry(&record.queue).or_default().push(record));
        self.queues(&by_queue.keys().copied().collect::<Vec<_>>()).await?;
        for (queue, records) in by_queue {
            for chunk in chunks(&records, |record| record.weight()) {
                let mut call = self.link.call(&scripts::RECORD);
                self.layout.keys(queue, &mut call);
                chunk.iter().for_each(|record| wire::record(record, 1, &mut call));
                self.link.write(&call).await?;
            }
        }
        Ok(())
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Record>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let queues = self.meet(&[]).await?;
        let mut found = vec![None; ids.len()];
        for (ids, found) in ids.chunks(READ).zip(found.chunks_mut(READ)) {
            for records in try_join_all(queues.keys().map(|queue| self.records_in(queue, ids))).await? {
                for (found, record) in found.iter_mut().zip(records) {
                    // Where an id had several lives, the record of the highest run stands.
                    if record.as_ref().map(|record| record.run) > found.as_ref().map(|found: &Record| found.run) {
                        *found = record;
                    }
                }
            }
        }
        Ok(found)
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Record>> {
        let queues = self.meet(&[]).await?;
        let orders: &[&str] = match filter.state {
            None => &["fd", "fo", "fx"],
            Some(State::Dead) => &["fx"],
            Some(State::Done | State::Cancelled) => &["fd", "fo"],
            Some(_) => &[],
        };
        let mut newest = BTreeMap::new();
        for queue in queues.keys().filter(|&queue| filter.queue.as_ref().is_none_or(|wanted| wanted == queue)) {
            for order in orders {
                self.walk(queue, order, filter, &mut newest).await?;
            }
        }
        Ok(newest.into_values().rev().collect())
    }

    async fn tell(&self, records: &[Arc<Record>]) -> Result<()> {
        Redis::tell(self, records).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        self.untell(ids).await?;
        let queues = self.meet(&[]).await?;
        let mut there = 0;
        for ids in ids.chunks(PAGE) {
            for queue in queues.keys() {
                let mut call = self.link.call(&scripts::DELETE);
                self.layout.keys(queue, &mut call);
                for id in ids {
                    call.arg(id.as_str());
                }
                there += wire::number(self.link.write(&call).await?)?;
            }
        }
        Ok(there)
    }
}

impl Redis {
    async fn records_in(&self, queue: &Name, ids: &[TaskId]) -> Result<Vec<Option<Record>>> {
        let mut call = self.link.call(&scripts::RESULTS);
        self.layout.keys(queue, &mut call);
        for id in ids {
            call.arg(id.as_str());
        }
        let mut answer = Answer::new(self.link.send(&call).await?)?;
        ids.iter().map(|_| answer.maybe()?.map(|bytes| wire::kept_record(&bytes)).transpose()).collect()
    }

    /// From the latest end back, until what follows ended before the oldest of the newest was enqueued: it can't have
    /// been enqueued later than that. `newest` never has more than the filter's limit.
    async fn walk(
        &self,
        queue: &Name,
        order: &str,
        filter: &Filter,
        newest: &mut BTreeMap<Cursor, Record>,
    ) -> Result<()> {
        let mut walked = 0;
        loop {
            let mut call = self.link.call(&scripts::ENDED);
            self.layout.keys(queue, &mut call);
            call.arg(order).arg(walked).arg(PAGE);
            let mut answer = Answer::new(self.link.send(&call).await?)?;
            let read = answer.number()?;
            walked += read;
            let mut ended_at = None;
            while !answer.is_over() {
                let record = wire::kept_record(&answer.bytes()?)?;
                ended_at = Some(record.finished_at);
                if matches(filter, &record) {
                    newest.insert(Cursor(record.enqueued_at, record.id.clone()), record);
                }
                if newest.len() > filter.limit {
                    newest.pop_first();
                }
            }
            let oldest = newest.first_key_value().map(|(place, _)| place.0).filter(|_| newest.len() == filter.limit);
            if read == 0 || oldest.is_some_and(|oldest| ended_at.is_some_and(|ended_at| ended_at < oldest)) {
                return Ok(());
            }
        }
    }
}

fn matches(filter: &Filter, record: &Record) -> bool {
    filter.state.is_none_or(|state| state == record.state)
        && filter.handler.as_ref().is_none_or(|handler| *handler == record.handler)
        && filter.after.as_ref().is_none_or(|after| (record.enqueued_at, &record.id) < (after.0, &after.1))
}
