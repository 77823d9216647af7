//! Looking and reporting: looks at the state, once everything that was in the log has been played.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::Nats;
use super::blobs;
use super::command::{Answer, Command};
use crate::broker::finding::Finding;
use crate::broker::{Cancel, Depth, End, Operations, Revive, Setting, Standing, WorkerReport};
use crate::error::Result;
use crate::results::Filter;
use crate::task::{Name, TaskId, WorkerId};

#[async_trait]
impl Operations for Nats {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        let found = self.replica.look(|state| state.layout.list(filter, now));
        try_join_all(found.into_iter().map(|standing| blobs::unpack_standing(&self.link, standing))).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        let found: Vec<Option<Standing>> =
            self.replica.look(|state| ids.iter().map(|id| state.layout.standing(id, now)).collect());
        let unpack = async |standing| match standing {
            Some(standing) => blobs::unpack_standing(&self.link, standing).await.map(Some),
            None => Ok(None),
        };
        try_join_all(found.into_iter().map(unpack)).await
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        let mut depths: Vec<Depth> = self.replica.look(|state| {
            let queues = state.layout.queues.iter();
            queues.map(|(name, queue)| queue.depth(name, now, now.plus(soon))).collect()
        });
        depths.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(depths)
    }

    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        loop {
            let ends = self.packed(&ends).await?;
            match self.call(Command::Cancel { ends, foreign: self.foreign_results }).await? {
                Answer::Cancelled(answers) => return Ok(answers),
                Answer::Refused => {}
                other => return Err(self.odd(&other)),
            }
        }
    }

    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        match self.call(Command::Revive(ids.to_vec())).await? {
            Answer::Revived(answers) => Ok(answers),
            other => Err(self.odd(&other)),
        }
    }

    async fn remove(&self, ids: &[TaskId]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        match self.call(Command::Remove(ids.to_vec())).await? {
            Answer::Deleted(count) => Ok(count),
            other => Err(self.odd(&other)),
        }
    }

    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        self.call(Command::Configure(queue.clone(), settings.to_vec())).await.map(drop)
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        self.call(Command::Announce(Box::new(worker.clone()), every)).await.map(drop)
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<()> {
        self.call(Command::Withdraw(worker.clone())).await.map(drop)
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        let mut reports: Vec<WorkerReport> = self.replica.look(|state| {
            let alive = state.layout.workers.values().filter(|(_, until)| *until > now);
            alive.map(|(report, _)| report.clone()).collect()
        });
        reports.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(reports)
    }

    async fn findings(&self) -> Result<Vec<Finding>> {
        Nats::findings(self).await
    }
}
