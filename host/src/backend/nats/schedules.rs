//! Cron schedules: part of the same state.

use async_trait::async_trait;
use bytes::Bytes;

use super::command::{Answer, Command};
use super::{Nats, blobs};
use crate::error::Result;
use crate::schedules::{Plans, Put, Schedules, Tick, Ticked};
use crate::task::Name;

#[async_trait]
impl Schedules for Nats {
    async fn put(&self, name: &Name, body: Bytes) -> Result<Put> {
        match self.call(Command::Plan(name.clone(), body)).await? {
            Answer::Put(put) => Ok(put),
            other => Err(self.odd(&other)),
        }
    }

    async fn list(&self) -> Result<Plans> {
        self.catch_up().await?;
        let plans = self.replica.look(|state| state.layout.plans.values().cloned().collect());
        Ok(Plans { now: self.replica.time.now(), plans })
    }

    async fn remove(&self, name: &Name) -> Result<bool> {
        match self.call(Command::Unplan(name.clone())).await? {
            Answer::Deleted(count) => Ok(count > 0),
            other => Err(self.odd(&other)),
        }
    }

    async fn tick(&self, tick: Tick) -> Result<Ticked> {
        loop {
            let message = blobs::pack_message(&self.link, &tick.message, self.inline).await?;
            match self.call(Command::Tick(Box::new(Tick { message, ..tick.clone() }))).await? {
                Answer::Ticked(ticked) => return Ok(ticked),
                Answer::Refused => {}
                other => return Err(self.odd(&other)),
            }
        }
    }
}
