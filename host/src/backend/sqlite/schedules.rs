//! Cron schedules.

use async_trait::async_trait;
use bytes::Bytes;

use super::Sqlite;
use crate::error::{Error, Result};
use crate::schedules::{Plans, Put, Schedules, Tick, Ticked};
use crate::task::Name;

#[async_trait]
impl Schedules for Sqlite {
    async fn put(&self, _: &Name, _: Bytes) -> Result<Put> {
        Err(Error::rejected("not yet"))
    }

    async fn list(&self) -> Result<Plans> {
        Err(Error::rejected("not yet"))
    }

    async fn remove(&self, _: &Name) -> Result<bool> {
        Err(Error::rejected("not yet"))
    }

    async fn tick(&self, _: Tick) -> Result<Ticked> {
        Err(Error::rejected("not yet"))
    }
}
