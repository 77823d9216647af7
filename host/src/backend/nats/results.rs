//! Ended tasks: part of the same state.

use async_trait::async_trait;

use super::command::{Answer, Command};
use super::{Nats, odd};
use crate::error::Result;
use crate::results::{Filter, Record, Results};
use crate::task::TaskId;

#[async_trait]
impl Results for Nats {
    async fn record(&self, records: Vec<Record>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.call(Command::Record(records)).await.map(drop)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Record>>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        Ok(self.replica.look(|state| ids.iter().map(|id| state.layout.results.get(id, now).cloned()).collect()))
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Record>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        Ok(self.replica.look(|state| state.layout.results.list(filter, now)))
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        match self.call(Command::Delete(ids.to_vec())).await? {
            Answer::Deleted(count) => Ok(count),
            other => Err(odd(&other)),
        }
    }
}
