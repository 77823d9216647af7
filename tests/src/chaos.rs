//! Producers that go on, workers and servers that are killed at random, and then a count: what was accepted has to have an
//! end, once, and every repeat has to be explained by a lease that was lost.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::client::Client;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::guests::guest;
use crate::processes::{GuestRun, PATIENCE, WorkerProcess, now};

pub mod stages;
mod tally;
mod work;

pub use stages::Stage;
pub use tally::Tally;
use work::Item;

/// How much, and with how many.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Tasks on their own.
    pub tasks: usize,
    /// Chains of five.
    pub chains: usize,
    /// Groups of twenty, with a callback.
    pub groups: usize,
    /// No task naps for longer than this.
    pub nap: Duration,
    /// At least so many workers are killed; the server, if there is one, with each fifth of them.
    pub kills: u64,
    /// Worker processes at a time.
    pub workers: usize,
    /// Producers, each pushing one thing after the other.
    pub producers: usize,
}

/// Lets a storm loose on `stage`, waits until everything has its end, and counts. `program` is the binary `tasq-host`.
pub fn run(program: &Path, stage: &mut dyn Stage, storm: &Storm) -> Tally {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join("wasm")).expect("a folder");
    std::fs::copy(guest("misbehave"), home.path().join("wasm/misbehave.wasm")).expect("copy");
    let runtime = Runtime::new().expect("a runtime");
    let backend = runtime.block_on(open(&stage.url()));
    let items = Arc::new(work::items(storm));
    let producers: Vec<_> = (0..storm.producers)
        .map(|number| runtime.spawn(produce(backend.clone(), items.clone(), number, storm.producers)))
        .collect();
    let is_over = || producers.iter().all(JoinHandle::is_finished);
    let mut struck = strike(program, home.path(), stage, storm, is_over);
    for producer in producers {
        runtime.block_on(producer).expect("a producer ends well");
    }
    let settled = runtime.block_on(work::settled(&backend, &items));
    let death = now();
    struck.living.iter().for_each(|worker| struck.runs.extend(worker.runs(&death)));
    let Struck { living, runs, kills, strikes } = struck;
    drop(living);
    let tally = tally::count(&items, &settled, &runs);
    Tally { name: stage.name().to_owned(), kills, strikes, ..tally }
}

struct Struck {
    /// The workers that live.
    living: Vec<WorkerProcess>,
    /// What those that are dead had run.
    runs: Vec<GuestRun>,
    kills: u64,
    strikes: u64,
}

/// Kills one worker after the other, and the server if there is one, until there were enough and the producers are done.
fn strike(program: &Path, home: &Path, stage: &mut dyn Stage, storm: &Storm, is_over: impl Fn() -> bool) -> Struck {
    let (url, mut started) = (stage.url(), 0);
    let queues: Vec<String> = work::queues().collect();
    let mut arguments = vec!["--broker", &url, "--concurrency", "64"];
    arguments.extend(queues.iter().flat_map(|queue| ["--queue", queue]));
    let mut start = || {
        started += 1;
        WorkerProcess::start(program, home, &format!("log{started}"), &arguments)
    };
    let living = (0..storm.workers).map(|_| start()).collect();
    let mut struck = Struck { living, runs: Vec::new(), kills: 0, strikes: 0 };
    while struck.kills < storm.kills || !is_over() {
        // Not for something to happen: the moment of a death is meant to be any.
        std::thread::sleep(Duration::from_millis(200 + dice(600)));
        let victim = usize::try_from(dice(storm.workers as u64)).expect("few workers");
        struck.runs.extend(struck.living.remove(victim).kill());
        struck.kills += 1;
        if struck.kills.is_multiple_of(5) && stage.strike() {
            struck.strikes += 1;
        }
        struck.living.push(start());
    }
    struck
}

async fn open(url: &str) -> Backend {
    backend::open(&url.parse().expect("a URL"), None).await.expect("the broker opens")
}

/// Pushes each `step`th item from the `first` on. What a server that was struck may or may not have taken is pushed again:
/// by its id it is the same.
async fn produce(backend: Backend, items: Arc<Vec<Item>>, first: usize, step: usize) {
    let client = Client::new(backend);
    for item in items.iter().skip(first).step_by(step) {
        let began = Instant::now();
        while let Err(error) = client.enqueue_all(vec![item.work()]).await.map_err(|error| error.to_string()) {
            assert!(began.elapsed() < PATIENCE, "{}: {error}", item.id());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A number below `sides`: spread matters, repeating it doesn't.
fn dice(sides: u64) -> u64 {
    RandomState::new().hash_one(0u8) % sides
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Storm { tasks, chains, groups, .. } = self;
        write!(f, "{tasks} tasks, {chains} chains of five, {groups} groups of twenty")
    }
}
