//! Looking and reporting.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::layout::{Layout, Queue, Slot, Stand};
use super::{Memory, checkup};
use crate::broker::finding::Finding;
use crate::broker::{Cancel, Depth, End, Operations, Revive, Setting, Standing, WorkerReport};
use crate::error::Result;
use crate::results::Filter;
use crate::task::{Name, TaskId, Timestamp, WorkerId};

#[async_trait]
impl Operations for Memory {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        Ok(self.lock().list(filter, self.clock.now()))
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        let (now, layout) = (self.clock.now(), self.lock());
        Ok(ids.iter().map(|id| layout.standing(id, now)).collect())
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        let (now, mut layout) = (self.clock.now(), self.lock());
        layout.forget(now);
        let queues = layout.queues.iter();
        let mut depths: Vec<Depth> = queues.map(|(name, queue)| queue.depth(name, now, now.plus(soon))).collect();
        depths.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(depths)
    }

    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>> {
        let now = self.clock.now();
        let (answers, signals): (Vec<Cancel>, Vec<_>) = {
            let mut layout = self.lock();
            ends.into_iter().map(|end| layout.cancel(end, now)).unzip()
        };
        self.changed.notify_waiters();
        self.signal(signals.into_iter().flatten());
        Ok(answers)
    }

    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>> {
        let now = self.clock.now();
        let answers = {
            let mut layout = self.lock();
            ids.iter().map(|id| layout.revive(id, now)).collect()
        };
        self.changed.notify_waiters();
        Ok(answers)
    }

    async fn remove(&self, ids: &[TaskId]) -> Result<u64> {
        let (now, mut layout) = (self.clock.now(), self.lock());
        Ok(ids.iter().filter(|id| layout.remove(id, now)).count() as u64)
    }

    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        self.lock().configure(queue, settings);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        let (now, mut layout) = (self.clock.now(), self.lock());
        layout.workers.retain(|_, (_, until)| *until > now);
        layout.workers.insert(worker.id.clone(), (worker.clone(), now.plus(every.saturating_mul(3))));
        Ok(())
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<()> {
        {
            let (now, mut layout) = (self.clock.now(), self.lock());
            layout.workers.remove(worker);
            layout.abandon(worker, now);
        }
        self.changed.notify_waiters();
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>> {
        let (now, layout) = (self.clock.now(), self.lock());
        let alive = layout.workers.values().filter(|(_, until)| *until > now);
        let mut reports: Vec<WorkerReport> = alive.map(|(report, _)| report.clone()).collect();
        reports.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(reports)
    }

    async fn findings(&self) -> Result<Vec<Finding>> {
        Ok(checkup::findings())
    }
}

impl Layout {
    pub(in crate::backend) fn list(&self, filter: &Filter, now: Timestamp) -> Vec<Standing> {
        let matching = |(id, slot): &(&TaskId, &Slot)| {
            !matches!(slot.stand, Stand::Dead { .. })
                && filter.state.is_none_or(|state| state == slot.state(now))
                && filter.queue.as_ref().is_none_or(|queue| *queue == slot.queue)
                && filter.handler.as_ref().is_none_or(|handler| *handler == slot.handler)
                && filter.after.as_ref().is_none_or(|after| (slot.enqueued_at, *id) < (after.0, &after.1))
        };
        // Walks over all tasks: an order of its own would cost every task something, and in this process nobody lists
        // but tests.
        let mut found: Vec<(&TaskId, &Slot)> =
            self.tasks.iter().map(|(id, slot)| (id, slot.as_ref())).filter(matching).collect();
        found.sort_unstable_by(|a, b| (b.1.enqueued_at, b.0).cmp(&(a.1.enqueued_at, a.0)));
        let listed = found.into_iter().take(filter.limit);
        listed.map(|(id, slot)| Standing::Here(Box::new(slot.tracked(id, now)))).collect()
    }

    pub(in crate::backend) fn standing(&self, id: &TaskId, now: Timestamp) -> Option<Standing> {
        if let Some(record) = self.outbox.find(id) {
            return Some(Standing::Leaving(Arc::new(record.clone())));
        }
        match self.tasks.get(id)?.as_ref() {
            Slot { stand: Stand::Dead { until, .. }, .. } if *until <= now => None,
            slot => Some(Standing::Here(Box::new(slot.tracked(id, now)))),
        }
    }
}

impl Queue {
    pub(in crate::backend) fn depth(&self, name: &Name, now: Timestamp, soon: Timestamp) -> Depth {
        let mut depth = Depth {
            queue: name.clone(),
            scheduled: 0,
            soon: 0,
            pending: 0,
            running: self.running,
            parked: 0,
            dead: self.dead.len() as u64,
            settings: self.settings.clone(),
        };
        for line in &self.waiting {
            let later = line.range((now, u64::MAX)..);
            let scheduled = later.clone().count() as u64;
            depth.scheduled += scheduled;
            depth.soon += later.take_while(|(place, _)| place.0 <= soon).count() as u64;
            depth.pending += line.len() as u64 - scheduled;
        }
        for (shelf, line) in &self.aside {
            *(if shelf.parked { &mut depth.parked } else { &mut depth.pending }) += line.len() as u64;
        }
        depth
    }
}
