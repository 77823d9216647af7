//! A backend whose calls fail, before their effect or after it, come late, or are the last thing that a worker did. What
//! really happened is told to the ledger, whatever the caller hears.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tasq_host::backend::Backend;
use tasq_host::broker::finding::Finding;
use tasq_host::broker::{
    Broker, Cancel, Delivery, Depth, End, Held, Letter, Message, Operations, Pushed, Reserve, Revive, Setting, Settled,
    Signal, Signals, Standing, WorkerReport,
};
use tasq_host::error::{Error, Result};
use tasq_host::results::{Filter, Record, Results};
use tasq_host::schedules::{Plans, Put, Schedules, Tick, Ticked};
use tasq_host::task::{Name, Run, TaskId, WorkerId};
use tokio::sync::{Notify, broadcast};
use tokio::time::sleep;

use super::World;
use super::ledger::Ledger;
use super::weather::Weather;
use crate::fuzz::Dice;

/// One caller's view of the backend: for a worker, one life of it.
pub(super) struct Faulty {
    inner: Backend,
    ledger: Arc<Ledger>,
    weather: Arc<Weather>,
    who: String,
    pub(super) life: u32,
    /// Ends that life.
    pub(super) doom: Arc<Notify>,
    dice: Mutex<Dice>,
    /// A listener that hears nothing listens here.
    silence: broadcast::Sender<Signal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing is done.
    Before,
    /// It is done, and the caller hears of a failure.
    After,
    /// Neither done nor answered for so long.
    SlowThere(Duration),
    /// It is done, and the answer takes so long.
    SlowBack(Duration),
    /// Whoever asks dies before it is done.
    DeathBefore,
    /// It is done, and whoever asks dies.
    DeathAfter,
    /// Nobody gets through for so long.
    BlackOut(Duration),
}

impl Faulty {
    pub(super) fn new(world: &World, who: &str, dice: Dice) -> Arc<Faulty> {
        let World { ledger, weather, backend, .. } = world.clone();
        let (inner, who) = (backend, who.to_owned());
        let life = ledger.begin_life();
        let (dice, silence) = (Mutex::new(dice), broadcast::Sender::new(1));
        Arc::new(Faulty { inner, ledger, weather, who, life, doom: Arc::default(), dice, silence })
    }

    pub(super) fn backend(self: &Arc<Faulty>) -> Backend {
        Backend {
            broker: self.clone(),
            signals: self.clone(),
            operations: self.clone(),
            results: self.clone(),
            schedules: self.clone(),
            store: self.inner.store.clone(),
            inbox: self.inner.inbox.clone(),
            foreign_results: self.inner.foreign_results,
        }
    }

    fn throw(&self, sides: usize) -> usize {
        self.dice.lock().expect("no panic while it is held").throw(sides)
    }

    fn draw(&self) -> Option<Fault> {
        if self.weather.is_out() {
            return Some(Fault::Before);
        }
        if self.throw(100) >= self.weather.trouble() {
            return None;
        }
        let span = Duration::from_millis([50, 800, 7_000].map(|most| self.throw(most))[self.throw(3)] as u64);
        Some(match self.throw(40) {
            0..12 => Fault::Before,
            12..24 => Fault::After,
            24..30 => Fault::SlowThere(span),
            30..37 => Fault::SlowBack(span),
            37 => Fault::DeathBefore,
            38 => Fault::DeathAfter,
            _ => Fault::BlackOut(span * 5),
        })
    }

    async fn call<T>(&self, what: &'static str, inner: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = self.draw();
        if let Some(fault) = fault {
            self.ledger.saw("faults");
            self.ledger.tell(|| format!("{} (life {}): {what} meets {fault:?}", self.who, self.life));
        }
        let failed = || Err(Error::unavailable(format!("{what} failed")));
        match fault {
            None => inner.await,
            Some(Fault::Before) => failed(),
            Some(Fault::BlackOut(span)) => {
                self.weather.black_out(span);
                failed()
            }
            Some(Fault::After) => inner.await.and_then(|_| failed()),
            Some(Fault::SlowThere(span)) => {
                sleep(span).await;
                inner.await
            }
            Some(Fault::SlowBack(span)) => {
                let answer = inner.await;
                sleep(span).await;
                answer
            }
            Some(Fault::DeathBefore) => self.die().await,
            Some(Fault::DeathAfter) => {
                // Whatever the answer was.
                let _ = inner.await;
                self.die().await
            }
        }
    }

    /// Producers live on, and hear nothing for a while.
    async fn die<T>(&self) -> Result<T> {
        self.doom.notify_one();
        sleep(Duration::from_secs(5)).await;
        Err(Error::unavailable("it took too long"))
    }
}

#[async_trait]
impl Broker for Faulty {
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>> {
        let pushing = async {
            let pushed = self.inner.broker.push(messages.clone()).await?;
            self.ledger.pushed(&messages, &pushed);
            Ok(pushed)
        };
        self.call("push", pushing).await
    }

    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>> {
        let reserving = async {
            let deliveries = self.inner.broker.reserve(request).await?;
            deliveries.iter().for_each(|delivery| self.ledger.delivered(self.life, request, delivery));
            Ok(deliveries)
        };
        let deliveries = self.call("reserve", reserving).await?;
        deliveries.iter().for_each(|delivery| self.ledger.reached(&delivery.run));
        Ok(deliveries)
    }

    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>> {
        let extending = async {
            let held = self.inner.broker.extend(runs, lease).await?;
            runs.iter().zip(&held).for_each(|(run, held)| self.ledger.extended(run, *held, lease));
            Ok(held)
        };
        let held = self.call("extend", extending).await?;
        runs.iter().zip(&held).for_each(|(run, held)| self.ledger.told(run, *held));
        Ok(held)
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>> {
        let settling = async {
            if ends.iter().any(|end| self.ledger.refuses(end)) {
                return Err(Error::rejected("an end that can't be written"));
            }
            let settled = self.inner.broker.settle(ends).await?;
            ends.iter().zip(&settled).for_each(|(end, settled)| self.ledger.settled(end, *settled));
            Ok(settled)
        };
        self.call("settle", settling).await
    }

    async fn outbox(&self, max: usize) -> Result<Vec<Letter>> {
        self.call("outbox", self.inner.broker.outbox(max)).await
    }

    async fn delivered(&self, letters: &[u64]) -> Result<()> {
        if !letters.is_empty() {
            self.ledger.saw("deliveries of letters");
        }
        self.call("delivered", self.inner.broker.delivered(letters)).await
    }
}

impl Signals for Faulty {
    fn listen(&self) -> broadcast::Receiver<Signal> {
        let is_deaf = self.throw(100) < self.weather.trouble();
        if is_deaf { self.silence.subscribe() } else { self.inner.signals.listen() }
    }
}

#[async_trait]
impl Operations for Faulty {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        self.call("list", self.inner.operations.list(filter)).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        self.call("get", self.inner.operations.get(ids)).await
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        self.call("depths", self.inner.operations.depths(soon)).await
    }

    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>> {
        let cancelling = async {
            let answers = self.inner.operations.cancel(ends.clone()).await?;
            ends.iter().zip(&answers).for_each(|(end, answer)| self.ledger.cancelled(end, *answer));
            Ok(answers)
        };
        self.call("cancel", cancelling).await
    }

    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>> {
        self.call("revive", self.inner.operations.revive(ids)).await
    }

    async fn remove(&self, ids: &[TaskId]) -> Result<u64> {
        self.call("remove", self.inner.operations.remove(ids)).await
    }

    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        self.call("configure", self.inner.operations.configure(queue, settings)).await
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        self.call("announce", self.inner.operations.announce(worker, every)).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<()> {
        let withdrawing = async {
            self.inner.operations.withdraw(worker).await?;
            self.ledger.withdrew(self.life);
            Ok(())
        };
        self.call("withdraw", withdrawing).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>> {
        self.call("workers", self.inner.operations.workers()).await
    }

    async fn findings(&self) -> Result<Vec<Finding>> {
        self.call("findings", self.inner.operations.findings()).await
    }
}

#[async_trait]
impl Results for Faulty {
    async fn record(&self, records: Vec<Record>) -> Result<()> {
        self.call("record", self.inner.results.record(records)).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Record>>> {
        self.call("get results", self.inner.results.get(ids)).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Record>> {
        self.call("list results", self.inner.results.list(filter)).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        self.call("delete", self.inner.results.delete(ids)).await
    }

    async fn tell(&self, records: &[Arc<Record>]) -> Result<()> {
        self.call("tell", self.inner.results.tell(records)).await
    }
}

#[async_trait]
impl Schedules for Faulty {
    async fn put(&self, name: &Name, body: Bytes) -> Result<Put> {
        let putting = async {
            let put = self.inner.schedules.put(name, body.clone()).await?;
            self.ledger.put(name, &body, put);
            Ok(put)
        };
        self.call("put a schedule", putting).await
    }

    async fn list(&self) -> Result<Plans> {
        self.call("list schedules", self.inner.schedules.list()).await
    }

    async fn remove(&self, name: &Name) -> Result<bool> {
        self.call("remove a schedule", self.inner.schedules.remove(name)).await
    }

    async fn tick(&self, tick: Tick) -> Result<Ticked> {
        let ticking = async {
            let ticked = self.inner.schedules.tick(tick.clone()).await?;
            self.ledger.ticked(&tick, &ticked);
            Ok(ticked)
        };
        self.call("tick", ticking).await
    }
}
