//! Cron schedules.

use async_trait::async_trait;
use bytes::Bytes;

use super::layout::{Blocks, Search};
use super::scripts::FAR;
use super::wire;
use super::{Redis, kept, scripts};
use crate::error::Result;
use crate::schedules::{Plans, Put, Schedules, Tick, Ticked};
use crate::task::Name;

#[async_trait]
impl Schedules for Redis {
    async fn put(&self, name: &Name, body: Bytes) -> Result<Put> {
        let mut call = self.link.call(&scripts::PLAN);
        call.key(self.layout.schedules()).arg(name.as_str()).arg(&body[..]);
        Ok(match wire::number(self.link.write(&call).await?)? {
            0 => Put::Created,
            1 => Put::Changed,
            _ => Put::Same,
        })
    }

    async fn list(&self) -> Result<Plans> {
        let mut call = self.link.call(&scripts::PLANS);
        call.key(self.layout.schedules());
        kept::plans(self.link.send(&call).await?)
    }

    async fn remove(&self, name: &Name) -> Result<bool> {
        let mut call = self.link.call(&scripts::UNPLAN);
        call.key(self.layout.schedules()).arg(name.as_str());
        Ok(wire::number(self.link.write(&call).await?)? > 0)
    }

    async fn tick(&self, tick: Tick) -> Result<Ticked> {
        if self.link.is_split() {
            return self.tick_split(&tick).await;
        }
        let Tick { name, since, at, message, overlap } = &tick;
        let mut blocks = Blocks::default();
        blocks.add(&message.queue);
        loop {
            let queues = self.queues(&blocks.names()).await?;
            let mut call = self.link.call(&scripts::TICK);
            self.layout.accept(&blocks, &queues, Search::Everywhere, &mut call);
            call.key(self.layout.schedules()).arg(name.as_str());
            call.arg(since.0.min(FAR)).arg(at.0.min(FAR)).arg(u8::from(*overlap));
            call.words(wire::message(message, blocks.place(&message.queue)));
            if let Some(answer) = wire::fresh(self.link.write(&call).await?) {
                return Ok(match wire::number(answer)? {
                    0 => Ticked::Moved,
                    1 => Ticked::Pushed,
                    _ => Ticked::Skipped,
                });
            }
            self.meet(&blocks.names()).await?;
        }
    }
}
