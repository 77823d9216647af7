//! Whole workers on simulated time: the real `worker::run` over the reference backend, with calls that fail before or after
//! their effect or come late, leases that are lost, letters that don't get through, clocks that jump, and workers that die
//! between any two steps. Everything follows from one seed, so what fails once fails again.
//!
//! Each seed ends in calm weather; then everything must have come to its one end. The [`Ledger`](ledger) holds each
//! call to the contract as it happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasq_host::backend::{Backend, memory};
use tasq_host::client::Client;
use tasq_host::clock::Simulated;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fuzz::Dice;

mod chaperon;
mod ends;
mod faults;
mod ledger;
mod plan;
mod script;
mod settling;
mod weather;

use faults::Faulty;
use ledger::Ledger;
pub use ledger::Seen;
use plan::Plan;
pub use script::Catalogue;
use weather::Weather;

/// What a seed came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// What happened, to see that a storm does something.
    pub seen: Seen,
    /// All that happened, a line an event; nothing unless it was asked for.
    pub lines: Vec<String>,
    /// The first law that was broken.
    pub broken: Option<String>,
}

/// Whether a story's lines are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// They are.
    Lines,
    /// Only what was seen.
    Nothing,
}

/// Tries these seeds, on all cores; what was seen over all of them. Panics at one that breaks a law, and says how to see it
/// again.
pub fn try_all(first: u64, count: u64) -> Seen {
    let (catalogue, next, all) = (Arc::new(Catalogue::new()), AtomicU64::new(first), Mutex::new(Seen::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let one = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first.saturating_add(count) {
                    break;
                }
                let seen = hold(&catalogue, seed, Telling::Nothing).seen;
                all.lock().expect("no panic while it is held").add(&seen);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        for thread in threads {
            if thread.join().is_err() {
                // It has said what.
                next.store(u64::MAX / 2, Ordering::Relaxed);
                panic!("a seed fails");
            }
        }
    });
    all.into_inner().expect("no panic while it is held")
}

/// One seed's story; panics if it breaks a law.
pub fn hold(catalogue: &Arc<Catalogue>, seed: u64, telling: Telling) -> Story {
    let again = format!("TASQ_SEED={seed} cargo test --workspace --test simulation -- --nocapture");
    let story = catch_unwind(AssertUnwindSafe(|| play(catalogue, seed, telling)));
    let story = story.unwrap_or_else(|panic| {
        eprintln!("seed {seed} panics; see it again with: {again}");
        std::panic::resume_unwind(panic);
    });
    if telling == Telling::Lines {
        story.lines.iter().for_each(|line| eprintln!("{line}"));
    }
    if let Some(broken) = &story.broken {
        eprintln!("seed {seed} fails: {broken}\nsee its story with: {again}");
        panic!("seed {seed} fails: {broken}");
    }
    story
}

/// One seed's story, broken or not.
pub fn play(catalogue: &Arc<Catalogue>, seed: u64, telling: Telling) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        // Seeds that are near each other shall not give stories that are.
        let mut dice = Dice::from(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.throw(2);
        }
        let plan = Plan::new(&mut dice);
        let clock = Arc::new(Simulated::start());
        let ledger = Arc::new(Ledger::new(clock.clone(), telling));
        ledger.tell(|| format!("seed {seed}: {plan:?}"));
        let world = World::new(clock, ledger.clone(), &plan);
        world.play(catalogue, plan, &mut dice).await;
        ledger.story()
    })
}

/// What everyone in a story shares.
#[derive(Clone)]
struct World {
    clock: Arc<Simulated>,
    ledger: Arc<Ledger>,
    weather: Arc<Weather>,
    /// What no fault touches.
    backend: Backend,
}

/// After a storm, everything must have come to its end within this time. Losses are paid for with up to 16 s each.
const PATIENCE: Duration = Duration::from_secs(600);

impl World {
    fn new(clock: Arc<Simulated>, ledger: Arc<Ledger>, plan: &Plan) -> World {
        let tasks = memory::open(clock.clone(), plan.results_elsewhere);
        let results = memory::open(clock.clone(), false).results;
        let backend = if plan.results_elsewhere { Backend { results, ..tasks } } else { tasks };
        World { clock, ledger, weather: Arc::new(Weather::new(plan.trouble)), backend }
    }

    async fn play(&self, catalogue: &Arc<Catalogue>, mut plan: Plan, dice: &mut Dice) {
        let mut workers = JoinSet::new();
        for number in 0..plan.workers {
            let worker = chaperon::Chaperon::new(self, catalogue, &plan, number, fork(dice));
            workers.spawn(worker.keep_working());
        }
        let mut others = JoinSet::new();
        for item in std::mem::take(&mut plan.items) {
            let client = Client::new(self.faulty("producer", fork(dice)).backend());
            others.spawn(plan::produce(self.clone(), client, item));
        }
        others.spawn(jump(self.clone(), plan.storm, plan.jumps, fork(dice)));
        sleep(plan.storm).await;
        self.weather.clear_up();
        self.ledger.tell(|| "the weather clears up".to_owned());
        while let Some(ended) = others.join_next().await {
            ended.expect("a producer ends well");
        }
        self.come_to_rest().await;
        self.weather.close();
        while let Some(ended) = workers.join_next().await {
            ended.expect("a worker ends well");
        }
        // Until those that died are forgotten.
        sleep(plan.lease * 2).await;
        if !self.ledger.is_broken() {
            ends::check(self).await;
        }
    }

    /// Waits until nothing more will happen.
    async fn come_to_rest(&self) {
        if !self.ledger.schedules().is_empty() {
            // Ticks go on, and the last answer of the storm comes.
            sleep(Duration::from_secs(12)).await;
        }
        let client = Client::new(self.faulty("operator", Dice::from(1)).backend());
        self.ledger.check_ticks();
        for name in self.ledger.schedules() {
            client.unschedule(&name).await.expect("it answers");
        }
        let began = Instant::now();
        while !self.is_at_rest().await && !self.ledger.is_broken() {
            // What one dead member holds up for ever.
            for group in self.ledger.held_up() {
                client.cancel(&[group]).await.expect("it answers");
            }
            sleep(Duration::from_millis(500)).await;
            self.ledger.law(began.elapsed() < PATIENCE, || format!("not at rest: {}", self.ledger.unfinished()));
        }
    }

    async fn is_at_rest(&self) -> bool {
        let letters = self.backend.broker.outbox(1).await.expect("it answers");
        self.ledger.is_at_rest() && letters.is_empty()
    }

    /// The backend as `who` sees it.
    fn faulty(&self, who: &str, dice: Dice) -> Arc<Faulty> {
        Faulty::new(self, who, dice)
    }
}

/// Moves the server's clock ahead, now and then by more than a lease.
async fn jump(world: World, storm: Duration, jumps: usize, mut dice: Dice) {
    for _ in 0..jumps {
        sleep(storm / (jumps as u32 + 1)).await;
        let by = Duration::from_millis(100 + dice.throw(8_000) as u64);
        world.clock.jump(by);
        world.ledger.jumped(by);
    }
}

/// Another generator, whose numbers don't depend on how often this one is asked later.
fn fork(dice: &mut Dice) -> Dice {
    let number = |dice: &mut Dice| dice.throw(1 << 31) as u64;
    Dice::from(number(dice) << 32 | number(dice) << 1 | 1)
}
