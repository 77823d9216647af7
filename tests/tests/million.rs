//! Many tasks through a server leave it as it was: nothing and no memory more, but for what is kept on purpose.
//! `make million` sends a million through; without it, so many that what one leaves shows.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend, nats};
use tasq_host::broker::Order;
use tasq_host::client::{Client, NewTask, Work};
use tasq_host::sandbox::{self, Sandbox};
use tasq_host::task::TaskOptions;
use tasq_host::worker::{self, Queues, Tally};
use tasq_tests::fixture::nats::{self as nats_server, Version};
use tasq_tests::fixture::redis::Server;
use tasq_tests::guests::guest;
use tasq_tests::nouns::name;
use tokio::sync::oneshot;

/// So many unless `TASQ_TASKS` says otherwise.
const SHORT: u64 = 10_000;
/// Before the first look: a server's buffers and our scripts come with the first tasks.
const WARM_UP: u64 = 5_000;
/// Enqueued in one call.
const BATCH: u64 = 1_000;
/// No more of them wait at a time; fewer in the short form, so that what they make grow shows there.
const WAITING: [u64; 2] = [250, 20_000];
/// Longer than it takes a server to settle down.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a server's or our memory may differ by: buffers that grow with load, and a heap that is full of holes.
const MEMORY: u64 = 32 << 20;
/// The same of a server that is written in Go: its heap may be twice what lives in it, and gives back late.
const MEMORY_OF_GO: u64 = 192 << 20;
/// More than a waiting task takes in a snapshot of NATS's log.
const OF_A_TASK: u64 = 512;

fn waiting() -> u64 {
    WAITING[usize::from(tasks() > SHORT)]
}

fn tasks() -> u64 {
    let asked = std::env::var("TASQ_TASKS").ok();
    asked.map_or(SHORT, |text| text.parse().unwrap_or_else(|_| panic!("TASQ_TASKS={text}: expected a number")))
}

/// What there is, on the server and here.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Keys, or messages.
    things: u64,
    /// Bytes that the server keeps of them.
    kept: u64,
    /// Bytes of memory that the server uses.
    memory: u64,
    /// Bytes of memory that this process uses.
    ours: u64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held { things, kept, memory, ours } = self;
        let mib = |bytes: &u64| *bytes as f64 / f64::from(1 << 20);
        write!(f, "{things} things, {:.2} MiB kept, {:.2} MiB of memory, ", mib(kept), mib(memory))?;
        write!(f, "{:.2} MiB here", mib(ours))
    }
}

/// Bytes of a process's memory that are there.
fn resident(process: &str) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A worker with a handler that does nothing, and who feeds it.
struct Mill {
    client: Client,
    tally: Arc<Tally>,
    sent: u64,
}

impl Mill {
    /// Sends so many through.
    async fn grind(&mut self, tasks: u64) {
        let options = TaskOptions { retention: Some(Duration::ZERO), ..TaskOptions::default() };
        let one = || Work::Task(Box::new(NewTask { options: options.clone(), ..NewTask::new(name("noop"), "") }));
        let end = self.sent + tasks;
        while self.sent < end {
            let batch: Vec<Work> = (0..(end - self.sent).min(BATCH).min(waiting())).map(|_| one()).collect();
            self.sent += batch.len() as u64;
            self.client
                .enqueue_all(batch)
                .await
                .unwrap()
                .into_iter()
                .for_each(|answer| assert!(answer.unwrap().created));
            self.down_to(waiting()).await;
        }
        self.down_to(0).await;
    }

    async fn down_to(&self, waiting: u64) {
        let (mut done, mut moved) = (0, Instant::now());
        while self.sent - self.tally.done() > waiting {
            if self.tally.done() > done {
                (done, moved) = (self.tally.done(), Instant::now());
            }
            assert!(moved.elapsed() < PATIENCE, "{done} of {} are done, and no more", self.sent);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn serve() -> Arc<Sandbox> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(guest("noop"), folder.path().join("noop.wasm")).unwrap();
    let options = sandbox::Options { slots: 32, pagemap_scan: true, cache: None, memory_budget: None };
    let sandbox = Sandbox::new(options).unwrap();
    assert_eq!(sandbox.load_folder(folder.path()).unwrap().refused, []);
    Arc::new(sandbox)
}

/// Sends many tasks through and holds what is there after them against what was there before: bytes that are kept, and
/// growth of its memory.
async fn leaves_nothing(server: &str, backend: Backend, (most_kept, growth): (u64, u64), look: impl AsyncFn() -> Held) {
    let (tally, tasks) = (Arc::new(Tally::default()), tasks());
    let options = worker::Options {
        queues: Queues::Served,
        order: Order::Weighted,
        concurrency: 32,
        lease: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(25),
        max_lost: 3,
        until_empty: false,
        tally: tally.clone(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let working = worker::run(backend.clone(), serve(), options, stopped, std::future::pending());
    let working = tokio::spawn(working);
    let mut mill = Mill { client: Client::new(backend), tally, sent: 0 };
    mill.grind(WARM_UP).await;
    let (before, began) = (look().await, Instant::now());
    mill.grind(tasks).await;
    let took = began.elapsed().as_secs_f64();
    let is_back = |after: &Held| {
        let grown = [after.memory.saturating_sub(before.memory), after.ours.saturating_sub(before.ours)];
        after.kept <= before.kept.max(most_kept) && grown[0] < growth && grown[1] < MEMORY
    };
    let mut after = look().await;
    let calm = Instant::now();
    while !is_back(&after) && calm.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = look().await;
    }
    println!("{server}: {tasks} tasks in {took:.0} s ({:.0}/s)\nbefore {before}\nafter  {after}", tasks as f64 / took);
    assert!(is_back(&after), "{before:?} {after:?}");
    drop(stop);
    assert_eq!(working.await.unwrap().unwrap().done, WARM_UP + tasks);
}

/// Nothing is kept but the queue and its counters, however many went through.
#[tokio::test]
async fn a_redis_server_is_as_it_was() {
    let server = Server::volatile();
    let backend = backend::open(&server.url("mill").parse().unwrap(), None).await.unwrap();
    let keys = || server.say(&["DBSIZE"]).trim_start_matches(':').parse().unwrap();
    let memory = |what: &str| -> u64 {
        server.lines(&["INFO", "memory"]).iter().find_map(|line| line.strip_prefix(what)).unwrap().parse().unwrap()
    };
    let look = async || Held {
        things: keys(),
        kept: memory("used_memory_dataset:"),
        memory: memory("used_memory:"),
        ours: resident("self"),
    };
    // As much as the keys of a few tasks.
    leaves_nothing("redis", backend, (2 << 20, MEMORY), look).await;
    let (soon, few) = (Instant::now(), 8);
    while keys() > few {
        assert!(soon.elapsed() < PATIENCE, "{} keys are left", keys());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The log is cut behind the last but one snapshot, which is made when it has grown by so much or by twice the last one: no more
/// than that twice, and two snapshots, are kept.
#[tokio::test]
async fn a_nats_server_is_as_it_was() {
    let server = nats_server::Server::start(Version::Newest, "");
    let options = nats_server::options(&format!("nats://{}?prefix=mill", server.address()));
    // Where few tasks are sent, the log is short, so that it is cut as often.
    let log = if tasks() > SHORT { nats::Tuning::default().log } else { 64 << 10 };
    let tuning = nats::Tuning { log, ..nats::Tuning::default() };
    let backend = nats::open(&options, tuning, false).await.unwrap();
    let client = async_nats::connect(server.address()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let look = async || {
        let (mut things, mut kept) = (0, 0);
        for stream in ["mill_log", "mill_snapshots", "mill_blobs"] {
            let state = jetstream.get_stream(stream).await.unwrap().cached_info().state.clone();
            (things, kept) = (things + state.messages, kept + state.bytes);
        }
        let process = std::fs::read_to_string(server.folder().join("pid")).unwrap();
        Held { things, kept, memory: resident(process.trim()), ours: resident("self") }
    };
    let snapshot = waiting() * OF_A_TASK;
    // Once more for what comes while a snapshot is written.
    let most = 3 * log.max(2 * snapshot) + 2 * snapshot;
    println!("at most {most} bytes");
    leaves_nothing("nats", backend, (most, MEMORY_OF_GO), look).await;
}
