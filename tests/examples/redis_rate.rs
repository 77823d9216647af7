//! What a task costs a Redis server, by the server's own account of its CPU time, and how soon a waiting worker has
//! one. `cargo run -p tasq-tests --example redis_rate`

use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::broker::{End, Message, Reserve};
use tasq_host::task::{Ending, State, TaskId};
use tasq_tests::fixture::redis::Server;
use tasq_tests::nouns::{DAY, asking, record, recorded, task};

const TASKS: usize = 50_000;

#[tokio::main]
async fn main() {
    for (batch, durable) in [(50, "no"), (50, "yes"), (1, "no")] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().to_str().expect("a readable path");
        let server =
            Server::start(&["--save", "", "--appendonly", durable, "--appendfsync", "everysec", "--dir", folder]);
        let backend = backend::open(&server.url("rate").parse().expect("a URL"), None).await.expect("it opens");
        println!("batches of {batch}, appendonly {durable}");
        lives(&server, &backend, batch).await;
        wakes(&backend).await;
    }
}

/// Everything is pushed, then taken, then ended with a result.
async fn lives(server: &Server, backend: &Backend, batch: usize) {
    let rounds = if batch == 1 { TASKS / 10 } else { TASKS / batch };
    let count = rounds * batch;
    let start = (cpu(server), Instant::now());
    for _ in 0..rounds {
        backend.broker.push((0..batch).map(|_| ordinary()).collect()).await.expect("push");
    }
    let pushed = cpu(server);
    let mut ends: Vec<Vec<End>> = Vec::new();
    for _ in 0..rounds {
        let taken = backend.broker.reserve(&asking(&["q"], &["h"], batch, DAY)).await.expect("reserve");
        ends.push(taken.iter().map(|it| recorded(&it.run, Ending::Done, record(it, State::Done, DAY))).collect());
    }
    let taken = cpu(server);
    for ends in ends {
        backend.broker.settle(&ends).await.expect("settle");
    }
    let settled = cpu(server);
    let each = |from: Duration, to: Duration| (to - from).as_secs_f64() * 1e6 / count as f64;
    println!(
        "  server CPU per task: push {:.1} + reserve {:.1} + settle {:.1} = {:.1} µs; one caller: {:.0} tasks/s",
        each(start.0, pushed),
        each(pushed, taken),
        each(taken, settled),
        each(start.0, settled),
        count as f64 / start.1.elapsed().as_secs_f64()
    );
}

/// With a generated id, and an envelope as long as that of a payload of 100 bytes.
fn ordinary() -> Message {
    Message { id: TaskId::generate(), remember: None, envelope: vec![b'x'; 160].into(), ..task("x") }
}

/// From a push until a waiting worker has the task.
async fn wakes(backend: &Backend) {
    let mut delays = Vec::new();
    for _ in 0..200 {
        let (broker, request) = (backend.broker.clone(), asking(&["q"], &["h"], 1, DAY));
        let waiting = tokio::spawn(async move {
            let taken = broker.reserve(&Reserve { wait: DAY, ..request }).await.expect("reserve");
            assert_eq!(taken.len(), 1);
            Instant::now()
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        let began = Instant::now();
        backend.broker.push(vec![ordinary()]).await.expect("push");
        delays.push(waiting.await.expect("no panic").duration_since(began));
    }
    delays.sort_unstable();
    println!("  push to taken by a waiting worker: median {:?}, 99th percentile {:?}", delays[100], delays[198]);
}

/// What the server has spent so far.
fn cpu(server: &Server) -> Duration {
    let lines = server.lines(&["INFO", "cpu"]);
    let seconds = |name: &str| -> f64 {
        let found = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.and_then(|text| text.parse().ok()).expect("the server tells its CPU time")
    };
    Duration::from_secs_f64(seconds("used_cpu_user") + seconds("used_cpu_sys"))
}
