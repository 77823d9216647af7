//! Ended tasks: part of the same state.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::command::{Answer, Command};
use super::{Nats, blobs};
use crate::error::Result;
use crate::results::{Filter, Record, Results};
use crate::task::TaskId;

#[async_trait]
impl Results for Nats {
    async fn record(&self, records: Vec<Record>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        loop {
            let records = blobs::pack_records(&self.link, &records, self.inline).await?;
            match self.call(Command::Record(records)).await? {
                Answer::Done => return Ok(()),
                Answer::Refused => {}
                other => return Err(self.odd(&other)),
            }
        }
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Record>>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        let found: Vec<Option<Record>> =
            self.replica.look(|state| ids.iter().map(|id| state.layout.results.get(id, now).cloned()).collect());
        let unpack = async |record| match record {
            Some(record) => blobs::unpack_record(&self.link, record).await.map(Some),
            None => Ok(None),
        };
        try_join_all(found.into_iter().map(unpack)).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Record>> {
        self.catch_up().await?;
        let now = self.replica.time.now();
        let found = self.replica.look(|state| state.layout.results.list(filter, now));
        blobs::unpack_records(&self.link, found).await
    }

    async fn tell(&self, records: &[Arc<Record>]) -> Result<()> {
        Nats::tell(self, records).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        self.untell(ids).await?;
        match self.call(Command::Delete(ids.to_vec())).await? {
            Answer::Deleted(count) => Ok(count),
            other => Err(self.odd(&other)),
        }
    }
}
