//! Looking and reporting: looks at the state, once everything that was in the log has been played.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::Nats;
use super::blobs;
use super::command::Command;
use crate::broker::finding::Finding;
use crate::broker::{Depth, Operations, Standing, WorkerReport};
use crate::error::Result;
use crate::results::Filter;
use crate::task::{TaskId, WorkerId};

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
