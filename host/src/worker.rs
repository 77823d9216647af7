//! Takes tasks from the broker, runs them, and hands in how they ended.
//!
//! This file's loop reserves and fills `slots`, which run attempts on the sandbox's own threads; `porter` carries what
//! these hand in to the loop (slots that are free) and to `settle` (ends to be written); `lease` holds what is running;
//! `relay` delivers what belongs to another server; `cron` lets schedules tick.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::backend::Backend;
use crate::broker::{Delivery, Order, Reserve};
use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::sandbox::Handler;
use crate::sandbox::stop::Wish;
use crate::task::{Name, WorkerId};

mod attempt;
pub mod cron;
mod follow_ups;
mod heartbeat;
pub mod inbox;
mod lease;
mod porter;
mod relay;
mod room;
mod runner;
mod settle;
mod slots;
mod tally;

use attempt::Crew;
use lease::Leases;
use room::Room;
pub use runner::Runner;
use slots::Slots;
pub use tally::{Pace, Tally};

/// What a worker does.
#[derive(Clone, Debug)]
pub struct Options {
    /// The queues to take from.
    pub queues: Queues,
    /// How they share.
    pub order: Order,
    /// Runs at once; at least 1.
    pub concurrency: usize,
    /// How long a lease is; extended each third of it.
    pub lease: Duration,
    /// How long running tasks may go on after the first stop.
    pub drain_timeout: Duration,
    /// Begun runs whose worker vanished before a task counts as `poison`.
    pub max_lost: u32,
    /// End when nothing is pending, running or due within a second.
    pub until_empty: bool,
    /// Where it counts what it does, for whoever shows that.
    pub tally: Arc<Tally>,
}

/// The queues that a worker takes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queues {
    /// These, with weights of at least 1.
    Named(Vec<(Name, u32)>),
    /// `default` and those that the manifests of the handlers name, in equal parts; they change with the handlers.
    Served,
}

impl Queues {
    /// The queues while these handlers are served, in a fixed order, with their weights.
    pub fn with(&self, handlers: &HashMap<Name, Arc<Handler>>) -> Vec<(Name, u32)> {
        match self {
            Queues::Named(queues) => queues.clone(),
            Queues::Served => {
                let default = Name::default_queue();
                let named: BTreeSet<Name> =
                    handlers.values().filter_map(|handler| handler.manifest.queue.clone()).collect();
                let others = named.into_iter().filter(|name| *name != default);
                std::iter::once(default.clone()).chain(others).map(|name| (name, 1)).collect()
            }
        }
    }
}

/// What a worker did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tasks that succeeded.
    pub done: u64,
    /// Runs that failed or were put off and whose tasks come again.
    pub retried: u64,
    /// Tasks that went to the dead letters.
    pub dead: u64,
    /// Tasks that ended because someone cancelled them.
    pub cancelled: u64,
    /// Runs given back unfinished, or parked.
    pub released: u64,
    /// Ends that came too late: someone else had the task by then, and nothing was changed.
    pub stale: u64,
    /// Under `until_empty`: what is left in the worker's queues, scheduled later.
    pub scheduled: u64,
    /// Under `until_empty`: what is left without a handler.
    pub parked: u64,
    /// Under `until_empty`: what is left, due, in queues that are paused.
    pub paused: u64,
}

/// An idle reserve comes back at least this often, so that the worker looks around.
const WAIT: Duration = Duration::from_secs(1);
/// Under `until_empty` the worker looks whether it is done this often.
const WAIT_FOR_EMPTY: Duration = Duration::from_millis(20);
/// What counts as due soon for `until_empty`.
const SOON: Duration = Duration::from_secs(1);
/// More than this isn't reserved in one call: a batch stays a few milliseconds of the broker's time.
const BATCH: usize = 1_000;
/// At the worker's own end, a broker that can't be reached gets so long to come back.
const LAST_TRY: Duration = Duration::from_secs(30);
/// Pauses between calls into a broker that can't be reached.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// Works until `stop` resolves (then drains), or the queues are empty if that is asked. `stop_now`, resolving before or
/// after it, gives everything back at once. An error means that the broker's data can't be used; a broker that can't
/// be reached is waited for. Dropping the future leaves what is running to the leases.
pub async fn run(
    backend: Backend,
    sandbox: Arc<dyn Runner>,
    options: Options,
    stop: impl Future<Output = ()> + Send,
    stop_now: impl Future<Output = ()> + Send,
) -> Result<Summary> {
    let worker = WorkerId::generate();
    let leases = Arc::new(Leases::default());
    let (ends, handed_in) = mpsc::channel(settle::BACKLOG);
    let relay = relay::start(&backend);
    let _holding = lease::start(&backend, leases.clone(), options.lease);
    let (counter, freed, porter) = porter::start(options.concurrency, ends, sandbox.guests());
    sandbox.lend(backend.store.clone());
    let crew = Arc::new(Crew { worker: worker.clone(), sandbox, counter, max_lost: options.max_lost });
    let _reporting = heartbeat::start(&backend, &crew, &options);
    let _ticking = cron::start(&backend, crew.sandbox.clone());
    let taking_in = inbox::start(&backend, crew.sandbox.clone());
    let tally = options.tally.clone();
    let working = async {
        let mut shift = Shift {
            room: Room::new(options.concurrency),
            slots: Slots::open(options.concurrency, &crew),
            crew,
            leases: leases.clone(),
            freed,
            recall: Arc::new(Notify::new()),
            queues: Vec::new(),
            options,
        };
        let (stop, stop_now) = (pin!(stop), pin!(stop_now));
        let mut stops = Stops { stop, stop_now, draining: false, hurried: false };
        let worked = shift.work(&backend, &mut stops).await;
        shift.drain(&mut stops).await;
        // With the porter goes the last sender: the settler ends when everything handed in is written.
        drop((shift, porter));
        worked
    };
    // In one task: a batch of ends wakes both at once.
    let mut settling = pin!(settle::settle_all(&backend, &leases, &tally, &relay, handed_in));
    let worked = tokio::select! {
        biased;
        worked = working => worked,
        settled = &mut settling => return settled,
    };
    drop(taking_in);
    let settled = tokio::time::timeout(LAST_TRY, settling).await;
    relay.finish(&backend).await;
    if let Err(error) = backend.operations.withdraw(&worker).await {
        tracing::debug!("the worker's entry is left to expire: {error}");
    }
    let too_late = |_| Error::unavailable("the last ends could not be written; their tasks will run again");
    let mut summary = settled.map_err(too_late)??;
    (summary.scheduled, summary.parked, summary.paused) = worked?;
    Ok(summary)
}

/// What asks the worker to stop, and how far that has gone.
struct Stops<'a> {
    stop: Pin<&'a mut (dyn Future<Output = ()> + Send)>,
    stop_now: Pin<&'a mut (dyn Future<Output = ()> + Send)>,
    draining: bool,
    hurried: bool,
}

impl Stops<'_> {
    /// Waits for the next stop that hasn't come yet.
    async fn next(&mut self) {
        tokio::select! {
            biased;
            () = self.stop_now.as_mut(), if !self.hurried => (self.draining, self.hurried) = (true, true),
            () = self.stop.as_mut(), if !self.draining => self.draining = true,
            else => std::future::pending().await,
        }
    }
}

/// What a worker leaves under `until_empty`: scheduled, parked, and paused.
type Left = (u64, u64, u64);

/// The loop's own state.
struct Shift {
    crew: Arc<Crew>,
    leases: Arc<Leases>,
    options: Options,
    room: Room,
    slots: Slots,
    /// The handlers whose slots are free again.
    freed: mpsc::Receiver<Vec<Name>>,
    /// Ends a reserve's wait early.
    recall: Arc<Notify>,
    queues: Vec<(Name, u32)>,
}

impl Shift {
    /// Reserves and starts attempts until a stop, or until the queues are empty if that is asked. Answers with what was
    /// left in them.
    async fn work(&mut self, backend: &Backend, stops: &mut Stops<'_>) -> Result<Left> {
        let mut trouble = Trouble::default();
        while !stops.draining {
            if self.room.free() == 0 {
                tokio::select! {
                    biased;
                    () = stops.next() => {}
                    Some(handlers) = self.freed.recv() => self.take_back(&handlers),
                }
                continue;
            }
            let served = self.crew.sandbox.handlers();
            if self.room.serve(&served) {
                self.queues = self.options.queues.with(&served);
            }
            match self.turn(backend, stops).await {
                Ok(Some(left)) => return Ok(left),
                Ok(None) => trouble.over(),
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    let pause = trouble.pause(&error);
                    tokio::select! { biased; () = stops.next() => {}, () = tokio::time::sleep(pause) => {} }
                }
                Err(error) => return Err(error),
            }
        }
        Ok((0, 0, 0))
    }

    /// Reserves and starts what it got; answers with what is left where that is the end of the work.
    async fn turn(&mut self, backend: &Backend, stops: &mut Stops<'_>) -> Result<Option<Left>> {
        let deliveries = self.reserve(backend, stops).await?;
        let is_idle = deliveries.is_empty() && self.room.is_idle();
        self.start(deliveries, stops.draining);
        if is_idle && self.options.until_empty && !stops.draining {
            return self.empty(backend).await;
        }
        Ok(None)
    }

    /// One reserve, during which attempts end and stops come. It is recalled rather than dropped: what it has claimed
    /// by then is answered.
    async fn reserve(&mut self, backend: &Backend, stops: &mut Stops<'_>) -> Result<Vec<Delivery>> {
        let request = Reserve {
            worker: self.crew.worker.clone(),
            queues: self.queues.clone(),
            order: self.options.order,
            max: self.room.free().min(BATCH),
            room: self.room.by_handler(),
            format: codec::FORMAT,
            lease: self.options.lease,
            wait: if self.options.until_empty { WAIT_FOR_EMPTY } else { WAIT },
            recall: self.recall.clone(),
        };
        let mut reserving = pin!(backend.broker.reserve(&request));
        let mut changes = self.crew.sandbox.changes();
        loop {
            tokio::select! {
                biased;
                deliveries = &mut reserving => return deliveries,
                () = stops.next() => self.recall.notify_one(),
                // Tasks may be parked for a handler that has just come.
                Ok(()) = changes.changed() => self.recall.notify_one(),
                Some(handlers) = self.freed.recv() => {
                    // The request said that there is no room for one of these; now there is.
                    if handlers.iter().any(|handler| self.room.is_full(handler)) {
                        self.recall.notify_one();
                    }
                    self.take_back(&handlers);
                }
            }
        }
    }

    fn start(&mut self, deliveries: Vec<Delivery>, give_back: bool) {
        self.options.tally.begin(deliveries.len());
        let seats = self.leases.take(deliveries.iter().map(|delivery| delivery.run.clone()));
        for (delivery, seat) in deliveries.iter().zip(&seats) {
            self.room.enter(&delivery.handler);
            if give_back {
                seat.stop.wish(Wish::GiveBack);
            }
        }
        self.slots.fill(deliveries.into_iter().zip(seats));
    }

    fn take_back(&mut self, handlers: &[Name]) {
        self.options.tally.end(handlers.len());
        for handler in handlers {
            self.room.leave(handler);
        }
        self.slots.check();
    }

    /// What is left if nothing else is in the worker's queues.
    async fn empty(&self, backend: &Backend) -> Result<Option<Left>> {
        // Before the queues: what leaves the inbox is in them by then.
        if backend.inbox.left().await? > 0 {
            return Ok(None);
        }
        let mut left = (0, 0, 0);
        for depth in backend.operations.depths(SOON).await? {
            if !self.queues.iter().any(|(queue, _)| *queue == depth.queue) {
                continue;
            }
            let paused = if depth.settings.paused { depth.pending } else { 0 };
            let soon = if depth.settings.paused { 0 } else { depth.soon };
            if depth.pending - paused + depth.running + soon > 0 {
                return Ok(None);
            }
            left = (left.0 + depth.scheduled, left.1 + depth.parked, left.2 + paused);
        }
        Ok(Some(left))
    }

    /// Lets what runs finish, then gives back the rest.
    async fn drain(&mut self, stops: &mut Stops<'_>) {
        self.leases.wish_all(Wish::Finish);
        let deadline = Instant::now() + self.options.drain_timeout;
        while !self.room.is_idle() {
            if stops.hurried || Instant::now() >= deadline {
                self.leases.wish_all(Wish::GiveBack);
            }
            tokio::select! {
                biased;
                () = stops.next() => {}
                Some(handlers) = self.freed.recv() => self.take_back(&handlers),
                () = tokio::time::sleep_until(deadline), if Instant::now() < deadline => {}
            }
        }
    }
}

/// A broker that can't be reached: said once, then tried again after growing pauses.
#[derive(Default)]
struct Trouble {
    failures: u32,
}

impl Trouble {
    fn pause(&mut self, error: &Error) -> Duration {
        if self.failures == 0 {
            tracing::warn!("{error}; trying again until it works");
        }
        let pause = PAUSES[0].saturating_mul(2u32.saturating_pow(self.failures.min(16))).min(PAUSES[1]);
        self.failures += 1;
        pause
    }

    fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!("the broker answers again");
            self.failures = 0;
        }
    }
}
