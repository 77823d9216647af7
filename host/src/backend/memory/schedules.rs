//! Cron schedules.

use async_trait::async_trait;
use bytes::Bytes;

use super::Memory;
use super::layout::{Layout, Stand};
use crate::error::Result;
use crate::schedules::{Plan, Plans, Put, Schedules, Tick, Ticked};
use crate::task::{Name, Timestamp};

#[async_trait]
impl Schedules for Memory {
    async fn put(&self, name: &Name, body: Bytes) -> Result<Put> {
        Ok(self.lock().put(name, body, self.clock.now()))
    }

    async fn list(&self) -> Result<Plans> {
        Ok(Plans { now: self.clock.now(), plans: self.lock().plans.values().cloned().collect() })
    }

    async fn remove(&self, name: &Name) -> Result<bool> {
        Ok(self.lock().plans.remove(name).is_some())
    }

    async fn tick(&self, tick: Tick) -> Result<Ticked> {
        let ticked = self.lock().tick(tick, self.clock.now());
        self.changed.notify_waiters();
        Ok(ticked)
    }
}

impl Layout {
    pub(in crate::backend) fn put(&mut self, name: &Name, body: Bytes, now: Timestamp) -> Put {
        match self.plans.get_mut(name) {
            Some(plan) if plan.body == body => Put::Same,
            Some(plan) => {
                (plan.body, plan.since) = (body, now);
                Put::Changed
            }
            None => {
                self.plans.insert(name.clone(), Plan { name: name.clone(), body, since: now, last: None });
                Put::Created
            }
        }
    }

    pub(in crate::backend) fn tick(&mut self, tick: Tick, now: Timestamp) -> Ticked {
        let Some(plan) = self.plans.get_mut(&tick.name) else { return Ticked::Moved };
        if plan.since != tick.since || tick.at <= plan.since {
            return Ticked::Moved;
        }
        plan.since = tick.at;
        let last = plan.last.as_ref().and_then(|last| self.tasks.get(last));
        let is_unfinished = last.is_some_and(|slot| !matches!(slot.stand, Stand::Dead { .. }));
        if is_unfinished && !tick.overlap {
            return Ticked::Skipped;
        }
        plan.last = Some(tick.message.id.clone());
        self.push(tick.message, now);
        Ticked::Pushed
    }
}
