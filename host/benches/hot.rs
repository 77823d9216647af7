//! The hot parts alone, each without the others: to see what a change did to one of them. `make bench` runs them; what
//! all of it gives together is for `tasq-host bench` to say.
#![allow(clippy::unwrap_used, reason = "a benchmark, with what serves it")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use tasq_host::backend::{self, Backend};
use tasq_host::broker::{Delivery, Due, Effect, End, Message, Order, Reserve, Settled};
use tasq_host::codec;
use tasq_host::results::Record;
use tasq_host::sandbox::{Handler, Options, Sandbox, Stop};
use tasq_host::task::{Ending, Name, Outcome, Receipt, State, Task, TaskId, WorkerId};
use tasq_tests::guests::guest;
use tasq_tests::runs;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

fn main() {
    divan::main();
}

/// Tasks a call, as a busy worker has them.
const BATCH: usize = 50;
const PAYLOAD: &[u8] = &[b'x'; 100];

/// Brokers that need no server.
const BROKERS: [&str; 3] = ["memory", "sqlite", "sqlite?sync=normal"];

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let task = task();
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| codec::encode(divan::black_box(&task)));
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let envelope = codec::encode(&task());
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| codec::decode(divan::black_box(&envelope)));
}

#[divan::bench(args = BROKERS, sample_count = 200, sample_size = 1)]
fn push(bencher: Bencher<'_, '_>, broker: &str) {
    let place = Place::open(broker);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(messages)
        .bench_local_values(|messages| place.runtime.block_on(place.backend.broker.push(messages)).unwrap());
}

#[divan::bench(args = BROKERS, sample_count = 200, sample_size = 1)]
fn claim(bencher: Bencher<'_, '_>, broker: &str) {
    let place = Place::open(broker);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| place.fill())
        .bench_local_values(|request| place.claim(&request));
}

#[divan::bench(args = BROKERS, sample_count = 200, sample_size = 1)]
fn settle(bencher: Bencher<'_, '_>, broker: &str) {
    let place = Place::open(broker);
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| place.claim(&place.fill()).into_iter().map(end).collect::<Vec<End>>())
        .bench_local_values(|ends| {
            let settled = place.runtime.block_on(place.backend.broker.settle(&ends)).unwrap();
            assert!(settled.iter().all(|settled| *settled == Settled::Applied));
        });
}

/// One fresh sandbox: instantiated, called, judged, and dropped. On one thread.
#[divan::bench(args = [true, false])]
fn run(bencher: Bencher<'_, '_>, pagemap_scan: bool) {
    let sandbox = Sandbox::new(Options { slots: 4, pagemap_scan, cache: None, memory_budget: None }).unwrap();
    let handler: Arc<Handler> = sandbox.load_file(&guest("noop")).unwrap();
    bencher.counter(ItemsCount::new(1u32)).with_inputs(|| runs::call(&handler, PAYLOAD)).bench_local_values(|call| {
        let (outcome, _) = sandbox.guests().block_on(sandbox.run(&handler, call, Stop::new()));
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    });
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn task() -> Task {
    Task {
        id: TaskId::generate(),
        handler: name("add"),
        queue: Name::default_queue(),
        priority: Default::default(),
        payload: Bytes::from_static(PAYLOAD),
        content_type: String::new(),
        headers: Default::default(),
        upstream: Vec::new(),
        options: Default::default(),
        chain: None,
        group: None,
    }
}

fn messages() -> Vec<Message> {
    (0..BATCH).map(|_| codec::message(task(), Due::Now, None)).collect()
}

/// A broker, open, and what it lies in.
struct Place {
    runtime: Runtime,
    backend: Backend,
    _folder: TempDir,
}

impl Place {
    fn open(broker: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let url = match broker.strip_prefix("sqlite") {
            Some(options) => format!("sqlite:{}/bench.db{options}", folder.path().display()),
            None => format!("{broker}:"),
        };
        let runtime = Runtime::new().unwrap();
        let backend = runtime.block_on(backend::open(&url.parse().unwrap(), None)).unwrap();
        Place { runtime, backend, _folder: folder }
    }

    /// Enqueues a batch; answers with the request that takes it.
    fn fill(&self) -> Reserve {
        self.runtime.block_on(self.backend.broker.push(messages())).unwrap();
        Reserve {
            worker: WorkerId::nobody(),
            queues: vec![(Name::default_queue(), 1)],
            order: Order::Weighted,
            max: BATCH,
            room: Arc::new([(name("add"), BATCH)].into()),
            format: codec::FORMAT,
            lease: Duration::from_secs(600),
            wait: Duration::ZERO,
            recall: Arc::new(Notify::new()),
        }
    }

    fn claim(&self, request: &Reserve) -> Vec<Delivery> {
        let deliveries = self.runtime.block_on(self.backend.broker.reserve(request)).unwrap();
        assert_eq!(deliveries.len(), BATCH);
        deliveries
    }
}

/// Done, with a result that is kept.
fn end(delivery: Delivery) -> End {
    let record = Record {
        id: delivery.run.id.clone(),
        handler: delivery.handler,
        queue: delivery.run.queue.clone(),
        priority: delivery.priority,
        state: State::Done,
        run: delivery.run.number,
        attempt: 1,
        lost: 0,
        max_retries: 25,
        enqueued_at: delivery.enqueued_at,
        due_at: delivery.due_at,
        started_at: delivery.reserved_at,
        finished_at: delivery.reserved_at,
        worker: WorkerId::nobody(),
        result: Some(Bytes::from_static(b"9")),
        failure: None,
        history: Vec::new(),
        receipt: Receipt::default(),
        keep: Duration::from_secs(3600),
        chain: None,
        group: None,
        logs: None,
        told: false,
    };
    End { run: delivery.run, ending: Ending::Done, effects: vec![Effect::Record(Arc::new(record))] }
}
