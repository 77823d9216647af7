//! How quick the NATS backend is here, and what its state costs: pushes, reserves and settles in batches, then a backlog
//! that a new handle has to load. `cargo run -p tasq-tests --example nats_rate -- [oldest|newest] [BACKLOG]`

use std::time::{Duration, Instant};

use tasq_host::backend::Backend;
use tasq_host::backend::nats::{self, Tuning};
use tasq_host::broker::{End, Message, Reserve};
use tasq_host::task::{Ending, State, TaskId};
use tasq_tests::fixture::nats::{Server, Version};
use tasq_tests::nouns::{DAY, asking, record, recorded, task};

const TASKS: usize = 20_000;
const BATCH: usize = 50;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let newest = arguments.next().is_some_and(|version| version == "newest");
    let backlog = arguments.next().map_or(100_000, |count| count.parse().expect("a number"));
    let server = Server::start(if newest { Version::Newest } else { Version::Oldest }, "");
    let open = async || nats::open(&server.options(), Tuning::default(), false).await.expect("the server opens");
    life(&open().await).await;
    let options = server.options();
    let open = async || nats::open(&options, Tuning::default(), false).await.expect("the server opens");
    let (backend, other) = (open().await, open().await);
    wake(&backend, &other).await;
    drop(other);
    let before = resident();
    push(&backend, backlog).await;
    println!("backlog of {backlog}: {} bytes of memory a task", (resident() - before) / backlog);
    let began = Instant::now();
    open().await;
    println!("a new handle knows it after {:?}", began.elapsed());
}

/// Envelopes of 140 bytes: a payload of 100, as codec writes it.
async fn push(backend: &Backend, count: usize) {
    let message = || Message { id: TaskId::generate(), remember: None, envelope: vec![7; 140].into(), ..task("a") };
    for _ in 0..count / BATCH {
        backend.broker.push((0..BATCH).map(|_| message()).collect()).await.expect("push");
    }
}

async fn life(backend: &Backend) {
    let mut began = Instant::now();
    let mut say = |what| {
        println!("{what} {:.0}/s in batches of {BATCH}", TASKS as f64 / began.elapsed().as_secs_f64());
        began = Instant::now();
    };
    push(backend, TASKS).await;
    say("push");
    let mut held = Vec::new();
    while held.len() < TASKS {
        held.extend(backend.broker.reserve(&asking(&["q"], &["h"], BATCH, DAY)).await.expect("reserve"));
    }
    say("reserve");
    for held in held.chunks(BATCH) {
        let ends: Vec<End> =
            held.iter().map(|held| recorded(&held.run, Ending::Done, record(held, State::Done, DAY))).collect();
        backend.broker.settle(&ends).await.expect("settle");
    }
    say("settle, with results");
}

/// From a push by one process to its reserve by an idle other one.
async fn wake(producer: &Backend, worker: &Backend) {
    let mut delays = Vec::new();
    for number in 0..500 {
        let request = Reserve { wait: Duration::from_secs(5), ..asking(&["q"], &["h"], 1, DAY) };
        let broker = worker.broker.clone();
        let waits = tokio::spawn(async move { (broker.reserve(&request).await.expect("reserve"), Instant::now()) });
        tokio::time::sleep(Duration::from_millis(5)).await;
        let began = Instant::now();
        producer.broker.push(vec![task(&format!("w{number}"))]).await.expect("push");
        let (taken, at) = waits.await.expect("no panic");
        delays.push(at - began);
        let ends = taken.iter().map(|taken| recorded(&taken.run, Ending::Done, record(taken, State::Done, DAY)));
        worker.broker.settle(&ends.collect::<Vec<_>>()).await.expect("settle");
    }
    delays.sort_unstable();
    println!("enqueue to reserve, idle: p50 {:?}, p99 {:?}", delays[250], delays[495]);
}

/// This process's memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}
