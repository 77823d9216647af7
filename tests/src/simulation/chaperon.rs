//! One worker after the other in the same place: each lives as long as it is given, and is followed by the next.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tasq_host::broker::Order;
use tasq_host::error::Result;
use tasq_host::worker::{self, Options, Queues, Summary};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::plan::{Plan, QUEUES};
use super::script::{Catalogue, Scripted};
use super::weather::Weather;
use super::{World, fork};
use crate::fuzz::Dice;
use crate::nouns::name;

/// See above.
pub(super) struct Chaperon {
    world: World,
    catalogue: Arc<Catalogue>,
    options: Options,
    survivors: usize,
    storm: Duration,
    number: usize,
    dice: Dice,
}

/// How a worker's life ends before the storm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It doesn't.
    Lives,
    /// Killed before its task is polled for so many times.
    Polls(usize),
    /// Killed at this age.
    Killed(Duration),
    /// Asked to stop at this age.
    Stopped(Duration),
    /// Asked to stop at once at this age.
    StoppedNow(Duration),
}

impl Fate {
    fn draw(dice: &mut Dice, survivors: usize, storm: Duration) -> Fate {
        if dice.throw(survivors + 1) == 0 {
            return Fate::Lives;
        }
        let mut age = || storm.mul_f64(dice.throw(1_000) as f64 / 2_000.0);
        let age = (age(), dice.throw(4));
        match age {
            (_, 0) => Fate::Polls(1 + dice.throw(120)),
            (age, 1) => Fate::Killed(age),
            (age, 2) => Fate::Stopped(age),
            (age, _) => Fate::StoppedNow(age),
        }
    }
}

/// A worker that is asked to stop stops within its time to drain and this, whether or not the broker answers.
const SOON: Duration = Duration::from_secs(45);

impl Chaperon {
    pub(super) fn new(world: &World, catalogue: &Arc<Catalogue>, plan: &Plan, number: usize, dice: Dice) -> Chaperon {
        let options = Options {
            queues: Queues::Named(QUEUES.map(|(queue, weight)| (name(queue), weight)).into()),
            order: if number == 0 { Order::Weighted } else { Order::Strict },
            concurrency: plan.concurrency,
            lease: plan.lease,
            drain_timeout: plan.drain,
            max_lost: super::settling::MAX_LOST,
            until_empty: false,
            tally: Arc::default(),
        };
        let (survivors, storm) = (plan.survivors, plan.storm);
        Chaperon { world: world.clone(), catalogue: catalogue.clone(), options, survivors, storm, number, dice }
    }

    /// Until the weather closes, which one that lives hears, and stops.
    pub(super) async fn keep_working(mut self) {
        loop {
            let fate = Fate::draw(&mut self.dice, self.survivors, self.storm);
            self.live(if self.world.weather.is_calm() { Fate::Lives } else { fate }).await;
            if self.world.weather.is_closing() {
                return;
            }
            sleep(Duration::from_millis(self.dice.throw(700) as u64)).await;
        }
    }

    async fn live(&mut self, fate: Fate) {
        let World { ledger, weather, .. } = &self.world;
        let faulty = self.world.faulty(&format!("worker {}", self.number), fork(&mut self.dice));
        let life = faulty.life;
        ledger.tell(|| format!("worker {} begins life {life}: {fate:?}", self.number));
        let stage = Scripted {
            catalogue: self.catalogue.clone(),
            ledger: ledger.clone(),
            weather: weather.clone(),
            life,
            doom: faulty.doom.clone(),
            guests: Handle::current(),
        };
        let asked = Arc::new(Notify::new());
        let (stop, stop_now) = (stop(weather.clone(), fate, asked.clone()), stop_now(fate, asked.clone()));
        let working = worker::run(faulty.backend(), Arc::new(stage), self.options.clone(), stop, stop_now);
        let polls = if let Fate::Polls(polls) = fate { polls } else { usize::MAX };
        let mortal = Mortal { life: Some(Box::pin(working)), polls, weather: weather.clone() };
        let (began, drain) = (Instant::now(), self.options.drain_timeout);
        let answer = tokio::select! {
            biased;
            () = faulty.doom.notified() => None,
            answer = mortal => answer,
            () = age(fate) => None,
            () = async { asked.notified().await; sleep(drain + SOON).await } => {
                ledger.law(false, || format!("life {life} doesn't stop"));
                None
            }
        };
        match answer {
            Some(Ok(summary)) => ledger.departed(life, &summary),
            // What can't be written in the end is left to the leases.
            Some(Err(error)) => ledger.law(weather.was_rough(), || format!("life {life} ends with {error}")),
            None => ledger.died(life, began.elapsed()),
        }
    }
}

async fn stop(weather: Arc<Weather>, fate: Fate, asked: Arc<Notify>) {
    match fate {
        Fate::Stopped(age) => sleep(age).await,
        _ => weather.closed().await,
    }
    asked.notify_one();
}

async fn stop_now(fate: Fate, asked: Arc<Notify>) {
    match fate {
        Fate::StoppedNow(age) => sleep(age).await,
        _ => std::future::pending().await,
    }
    asked.notify_one();
}

/// When one dies of age.
async fn age(fate: Fate) {
    match fate {
        Fate::Killed(age) => sleep(age).await,
        _ => std::future::pending().await,
    }
}

/// A worker's own task that dies between two polls. Everything that it has spawned dies with it.
struct Mortal {
    life: Option<Pin<Box<dyn Future<Output = Result<Summary>> + Send>>>,
    polls: usize,
    weather: Arc<Weather>,
}

impl Future for Mortal {
    type Output = Option<Result<Summary>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Summary>>> {
        if self.polls == 0 && !self.weather.is_calm() {
            self.life = None;
        }
        self.polls = self.polls.saturating_sub(1);
        match &mut self.life {
            Some(life) => life.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}
