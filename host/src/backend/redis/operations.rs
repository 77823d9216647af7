//! Looking and reporting.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::scripts::{self, FAR};
use super::wire::{self, Answer, span};
use super::{Queues, Redis};
use crate::broker::finding::Finding;
use crate::broker::{Depth, Operations, Standing, WorkerReport};
use crate::error::{Error, Result};
use crate::results::{Cursor, Filter};
use crate::task::{Name, State, TaskId, Timestamp, WorkerId};

/// So many tasks are walked over in one call.
const PAGE: usize = 500;
/// So many are read in one call: each may have 4 MiB.
const READ: usize = 50;

#[async_trait]
impl Operations for Redis {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        let queues = self.meet(&[]).await?;
        let mut newest = BTreeSet::new();
        let asked = |queue: &&Name| filter.queue.as_ref().is_none_or(|wanted| wanted == *queue);
        for queue in queues.keys().filter(asked) {
            self.scan(queue, filter, &mut newest).await?;
        }
        let ids: Vec<TaskId> = newest.into_iter().rev().map(|Cursor(_, id)| id).collect();
        let standings = self.standings(&queues, &ids).await?;
        let unfinished = |standing: &Standing| matches!(standing, Standing::Here(here) if !here.state.is_final());
        Ok(standings.into_iter().flatten().filter(unfinished).collect())
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        let queues = self.meet(&[]).await?;
        self.standings(&queues, ids).await
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        let queues = self.meet(&[]).await?;
        try_join_all(queues.keys().map(|queue| self.depth(queue, soon))).await
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        let mut call = self.link.call(&scripts::ANNOUNCE);
        // Strings and numbers: nothing in it could fail.
        let report = serde_json::to_string(worker).expect("a report serialises");
        call.key(self.layout.workers()).arg(worker.id.as_str()).arg(span(every.saturating_mul(3))).arg(report);
        self.link.send(&call).await.map(drop)
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<()> {
        let mut call = self.link.call(&scripts::ANNOUNCE);
        // Believed for no time.
        call.key(self.layout.workers()).arg(worker.as_str()).arg(0).arg("");
        self.link.send(&call).await?;
        let queues = self.meet(&[]).await?;
        try_join_all(queues.keys().map(|queue| self.abandon(queue, worker))).await.map(drop)
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>> {
        let mut call = self.link.call(&scripts::WORKERS);
        call.key(self.layout.workers());
        let mut answer = Answer::new(self.link.send(&call).await?)?;
        let mut workers: Vec<WorkerReport> = Vec::new();
        while !answer.is_over() {
            let report = serde_json::from_slice(&answer.bytes()?);
            workers.push(report.map_err(|error| Error::corrupt(format!("a worker's report: {error}")))?);
        }
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(workers)
    }

    async fn findings(&self) -> Result<Vec<Finding>> {
        Redis::findings(self).await
    }
}

impl Redis {
    /// Walks over all that the queue holds, but brings only times and ids here: an order of its own would cost every
    /// task something. `newest` never has more than the filter's limit.
    async fn scan(&self, queue: &Name, filter: &Filter, newest: &mut BTreeSet<Cursor>) -> Result<()> {
        let mut cursor = "0".to_owned();
        loop {
            let mut call = self.link.call(&scripts::SCAN);
            self.layout.keys(queue, &mut call);
            let handler = filter.handler.as_ref().map_or("", Name::as_str);
            let (before, id) = filter.after.as_ref().map_or((FAR, ""), |after| (after.0.0.min(FAR), after.1.as_str()));
            call.arg(&cursor).arg(PAGE).arg(filter.state.map_or("", State::as_str)).arg(handler).arg(before).arg(id);
            let mut answer = Answer::new(self.link.send(&call).await?)?;
            cursor = answer.text()?;
            while !answer.is_over() {
                newest.insert(Cursor(Timestamp(answer.number()?), wire::id(&answer.bytes()?)?));
                if newest.len() > filter.limit {
                    newest.pop_first();
                }
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// Asks each queue: there are few.
    async fn standings(&self, queues: &Queues, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        let mut found = vec![None; ids.len()];
        for (ids, found) in ids.chunks(READ).zip(found.chunks_mut(READ)) {
            for standings in try_join_all(queues.keys().map(|queue| self.standings_in(queue, ids))).await? {
                for (found, standing) in found.iter_mut().zip(standings) {
                    // A record on its way says more than a dead letter.
                    if found.is_none() || matches!(standing, Some(Standing::Leaving(_))) {
                        *found = standing.or(found.take());
                    }
                }
            }
        }
        Ok(found)
    }

    async fn standings_in(&self, queue: &Name, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        let mut call = self.link.call(&scripts::GET);
        self.layout.keys(queue, &mut call);
        for id in ids {
            call.arg(id.as_str());
        }
        let mut answer = Answer::new(self.link.send(&call).await?)?;
        ids.iter().map(|id| wire::standing(&mut answer, id, queue)).collect()
    }

    async fn depth(&self, queue: &Name, soon: Duration) -> Result<Depth> {
        let mut call = self.link.call(&scripts::DEPTHS);
        self.layout.keys(queue, &mut call);
        call.arg(span(soon));
        let mut answer = Answer::new(self.link.send(&call).await?)?;
        Ok(Depth {
            queue: queue.clone(),
            scheduled: answer.number()?,
            soon: answer.number()?,
            pending: answer.number()?,
            running: answer.number()?,
            parked: answer.number()?,
            dead: answer.number()?,
        })
    }

    async fn abandon(&self, queue: &Name, worker: &WorkerId) -> Result<()> {
        let mut cursor = "0".to_owned();
        loop {
            let mut call = self.link.call(&scripts::ABANDON);
            self.layout.keys(queue, &mut call);
            call.arg(self.layout.wake()).arg(queue.as_str()).arg(worker.as_str()).arg(&cursor);
            cursor = wire::text_of(self.link.send(&call).await?)?;
            if cursor == "0" {
                return Ok(());
            }
        }
    }
}
