//! Looking and reporting.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::broker::{chunks, weight};
use super::scripts;
use super::wire::{self, Answer, Taken, span};
use super::{Queues, Redis, kept};
use crate::broker::finding::Finding;
use crate::broker::{Cancel, Depth, End, Operations, Revive, Setting, Standing, WorkerReport};
use crate::error::{Error, Result};
use crate::results::Filter;
use crate::task::{Name, TaskId, WorkerId};

/// So many are read in one call: each may have 4 MiB.
const READ: usize = 50;

#[async_trait]
impl Operations for Redis {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        self.catch_up().await?;
        self.unfinished(filter).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        let queues = self.catch_up().await?;
        self.standings(&queues, ids).await
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        let queues = self.meet(&[]).await?;
        try_join_all(queues.keys().map(|queue| self.depth(queue, soon))).await
    }

    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>> {
        let mut answers = Vec::with_capacity(ends.len());
        for chunk in chunks(&ends, weight).flat_map(|chunk| chunk.chunks(READ)) {
            let answered = self.end(&scripts::CANCEL, &[self.layout.cancels()], chunk).await?;
            let mut done = Vec::new();
            for (end, answer) in chunk.iter().zip(answered) {
                answers.push(match answer {
                    0 => Cancel::Gone,
                    1 => Cancel::Done,
                    2 => Cancel::Asked,
                    _ => Cancel::Moved,
                });
                if answer == 1 {
                    done.push(end.run.id.clone());
                }
            }
            self.ear.tell(done.into_iter());
        }
        Ok(answers)
    }

    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>> {
        let queues = self.meet(&[]).await?;
        let mut revived = vec![Revive::NotDead; ids.len()];
        for (ids, revived) in ids.chunks(READ).zip(revived.chunks_mut(READ)) {
            for queue in queues.keys() {
                let mut call = self.link.call(&scripts::REVIVE);
                self.layout.keys(queue, &mut call);
                call.arg(self.layout.wake()).arg(queue.as_str());
                for id in ids {
                    call.arg(id.as_str());
                }
                let answers = wire::taken(self.link.write(&call).await?)?;
                for (revived, answer) in revived.iter_mut().zip(answers) {
                    match answer {
                        Taken::Yes => *revived = Revive::Done,
                        Taken::Held(holder) => *revived = Revive::Held(holder),
                        Taken::No => {}
                    }
                }
            }
        }
        Ok(revived)
    }

    async fn remove(&self, ids: &[TaskId]) -> Result<u64> {
        let queues = self.meet(&[]).await?;
        let mut removed = 0;
        for ids in ids.chunks(READ) {
            for queue in queues.keys() {
                let mut call = self.link.call(&scripts::REMOVE);
                self.layout.keys(queue, &mut call);
                for id in ids {
                    call.arg(id.as_str());
                }
                removed += wire::number(self.link.write(&call).await?)?;
            }
        }
        Ok(removed)
    }

    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        self.queues(&[queue]).await?;
        let mut call = self.link.call(&scripts::CONFIGURE);
        self.layout.keys(queue, &mut call);
        call.arg(self.layout.wake()).arg(queue.as_str());
        for setting in settings {
            match setting {
                Setting::Paused(paused) => call.arg("paused").arg(if *paused { "1" } else { "" }),
                Setting::Rate(rate) => call.arg("rate").arg(rate.map(wire::rate).unwrap_or_default()),
                Setting::Concurrency(most) => call.arg("most").arg(most.map_or(String::new(), |most| most.to_string())),
            };
        }
        self.link.write(&call).await.map(drop)
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
    /// All queues, once what ends left behind is where it belongs.
    async fn catch_up(&self) -> Result<Arc<Queues>> {
        let queues = self.meet(&[]).await?;
        if self.link.is_split() {
            self.relay_all(queues.keys()).await;
        }
        Ok(queues)
    }

    /// Asks each queue: there are few.
    pub(super) async fn standings(&self, queues: &Queues, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
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
        ids.iter().map(|id| kept::standing(&mut answer, id, queue)).collect()
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
            settings: kept::settings(&mut answer)?,
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
