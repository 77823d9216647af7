//! Cases that need more than a run of a guest.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::json;
use tasq_host::backend;
use tasq_host::broker::Order;
use tasq_host::client::{Client, NewTask};
use tasq_host::results::Filter;
use tasq_host::sandbox::{Options, Sandbox};
use tasq_host::task::{Name, Outcome, State, TaskOptions};
use tasq_host::worker::{self, Queues};
use tasq_tests::guests::guest;
use tasq_tests::runs::{resident, run, told};
use tasq_tests::texts;

use crate::Bench;
use crate::bench::{PATIENCE, SLOTS, at_once, ended, load, text_of};

/// Each is stopped at a limit of its own; the last ends no later than all their CPU time together allows.
pub(crate) fn every_slot_loops_on_one_core(bench: &Bench) -> String {
    let sandbox = on_one_core(|| sandbox(None));
    let handler = load(&sandbox, &guest("misbehave"), "timeout = \"500ms\"\ncpu = \"100ms\"").unwrap();
    let bystander = sandbox.load_file(&guest("noop")).unwrap();
    let ran = bench.runtime.block_on(async {
        let looping = tokio::spawn(async move {
            let ran = at_once(&sandbox, &handler, r#"{"do":"loop"}"#, SLOTS - 1).await;
            (ran, sandbox)
        });
        let (ran, sandbox) = looping.await.unwrap();
        assert_eq!(run(&sandbox, &bystander, "").await.0, Outcome::Done("".into()));
        ran
    });
    let ends: Vec<String> = ran.iter().map(|(outcome, _, _)| told(outcome)).collect();
    assert!(ends.iter().all(|end| end.starts_with("retry: limit ")), "{ends:?}");
    let slowest = ran.iter().map(|(_, _, took)| *took).max().unwrap();
    // A turn of each after the deadline, 10 ms long.
    assert!(slowest < std::time::Duration::from_secs(4), "{slowest:?}");
    ends[0].clone()
}

/// What is made by a thread that may use one core only, its threads included.
fn on_one_core<T: Send>(make: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            let allowed = sched_getaffinity(None).unwrap();
            let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
            let mut one = CpuSet::new();
            one.set(first);
            sched_setaffinity(None, &one).unwrap();
            make()
        });
        made.join().unwrap()
    })
}

fn sandbox(memory_budget: Option<u64>) -> Arc<Sandbox> {
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let options = Options { slots: SLOTS, pagemap_scan: true, cache: Some(cache), memory_budget };
    Arc::new(Sandbox::new(options).unwrap())
}

/// A worker with more work than memory: runs wait or are given back, none is charged for it, and small ones go on.
pub(crate) fn every_slot_at_its_limit(bench: &Bench) -> String {
    const BUDGET: u64 = 64 << 20;
    let sandbox = sandbox(Some(BUDGET));
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(guest("misbehave"), folder.path().join("large.wasm")).unwrap();
    std::fs::write(folder.path().join("large.toml"), "memory = \"32MiB\"\nmax_retries = 0").unwrap();
    std::fs::copy(guest("echo"), folder.path().join("small.wasm")).unwrap();
    assert!(sandbox.load_folder(folder.path()).unwrap().refused.is_empty());
    let before = resident();
    let (summary, most) = bench.runtime.block_on(async {
        let backend = backend::open(&"memory:".parse().unwrap(), None).await.unwrap();
        let client = Client::new(backend.clone());
        let enqueue = async |handler: &str, payload: &str| {
            let task = NewTask {
                options: TaskOptions::default(),
                ..NewTask::new(handler.parse().unwrap(), payload.to_owned())
            };
            client.enqueue(task).await.unwrap().id
        };
        let mut ids = Vec::new();
        for number in 0..SLOTS {
            ids.push(enqueue("large", r#"{"do":"allocate","mib":24,"hold_ms":50}"#).await);
            ids.push(enqueue("small", &format!("small {number}")).await);
        }
        let never = std::future::pending;
        let working = tokio::spawn(worker::run(backend.clone(), sandbox.clone(), at_work(), never(), never()));
        let mut most = 0;
        while !working.is_finished() {
            most = most.max(resident());
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let summary = tokio::time::timeout(PATIENCE, working).await.unwrap().unwrap().unwrap();
        for record in backend.results.get(&ids).await.unwrap() {
            let record = record.expect("every task has its end");
            assert_eq!((record.state, record.attempt), (State::Done, 1), "{record:?}");
        }
        (summary, most)
    });
    assert_eq!((summary.done, summary.dead, summary.retried), (2 * SLOTS as u64, 0, 0), "{summary:?}");
    assert!(summary.released > 0, "there was room for all: {summary:?}");
    // A run that is being ended still holds its pages for a moment.
    let held = most.saturating_sub(before);
    assert!(held <= 2 * BUDGET, "{} MiB of {} MiB", held >> 20, BUDGET >> 20);
    "done".to_owned()
}

/// A handler that enqueues a task like its own in each run, under a worker: the chain has an end.
pub(crate) fn enqueue_itself(bench: &Bench) -> String {
    let sandbox = sandbox(None);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(guest("misbehave"), folder.path().join("breeder.wasm")).unwrap();
    std::fs::write(folder.path().join("breeder.toml"), "[grants]\nenqueue = [\"breeder\"]").unwrap();
    assert!(sandbox.load_folder(folder.path()).unwrap().refused.is_empty());
    bench.runtime.block_on(async {
        let backend = backend::open(&"memory:".parse().unwrap(), None).await.unwrap();
        let client = Client::new(backend.clone());
        client.enqueue(NewTask::new("breeder".parse().unwrap(), r#"{"do":"breed"}"#)).await.unwrap();
        let never = std::future::pending;
        let working = worker::run(backend.clone(), sandbox, at_work(), never(), never());
        let summary = tokio::time::timeout(PATIENCE, working).await.unwrap().unwrap();
        // The first, and 32 behind it.
        assert_eq!((summary.done, summary.dead, summary.retried), (33, 0, 0), "{summary:?}");
        let records = backend.results.list(&Filter { limit: 100, ..Filter::default() }).await.unwrap();
        let ends = records.into_iter().map(|record| ended(&Outcome::Done(record.result.unwrap())));
        ends.into_iter().find(|end| end != "done").unwrap()
    })
}

/// What one handler keeps, another doesn't find, whatever it calls it.
pub(crate) fn store_key_of_another(bench: &Bench) -> String {
    let sandbox = sandbox(None);
    let folder = tempfile::tempdir().unwrap();
    for name in ["owner", "thief"] {
        std::fs::copy(guest("misbehave"), folder.path().join(name).with_extension("wasm")).unwrap();
        std::fs::write(folder.path().join(name).with_extension("toml"), "[grants]\nstore = true").unwrap();
    }
    assert!(sandbox.load_folder(folder.path()).unwrap().refused.is_empty());
    let handlers = sandbox.handlers();
    let tally = async |handler: &str, key: &str| {
        let handler = &handlers[&handler.parse::<Name>().unwrap()];
        run(&sandbox, handler, json!({"do": "tally", "key": key}).to_string()).await.0
    };
    bench.runtime.block_on(async {
        let backend = backend::open(&"memory:".parse().unwrap(), None).await.unwrap();
        sandbox.lend(backend.store);
        let mut end = String::new();
        tally("owner", "k").await;
        for key in ["k", "owner/k", "../owner/k", "../../owner/k", "/owner/k", "owner:k", "*"] {
            let (kept, found) = (tally("owner", "k").await, tally("thief", key).await);
            assert_ne!(kept, found, "{key}");
            // Its own, of which there was none before.
            assert_eq!(found, Outcome::Done(r#"{"ok":1}"#.into()), "{key}");
            end = told(&found);
        }
        end
    })
}

fn at_work() -> worker::Options {
    worker::Options {
        queues: Queues::Served,
        order: Order::Weighted,
        concurrency: SLOTS,
        lease: std::time::Duration::from_secs(15),
        drain_timeout: std::time::Duration::from_secs(25),
        max_lost: 3,
        until_empty: true,
        tally: Arc::default(),
    }
}

pub(crate) fn message_with_escapes(bench: &Bench) -> String {
    let handler = load(&bench.sandbox, &guest("misbehave"), "").unwrap();
    let payload = r#"{"do":"fail","code":"escapes","message":"no\u0000\r\u001b[2J\u202e\nnext"}"#;
    let (outcome, _) = bench.runtime.block_on(run(&bench.sandbox, &handler, payload));
    let Outcome::Failed(failure, _) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.message, "no\\u{0}\\r\\u{1b}[2J\\u{202e}\nnext");
    told(&outcome)
}

/// What the host logs during this test stays one line for each call.
pub(crate) fn forged_log_lines(bench: &Bench) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guest.wasm");
    std::fs::write(&file, texts::component(&std::fs::read_to_string(text_of("forged_log_lines")).unwrap())).unwrap();
    let handler = bench.sandbox.load_file(&file).unwrap();
    let log = Log::global();
    log.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let (outcome, _) = bench.runtime.block_on(run(&bench.sandbox, &handler, ""));
    let logged = String::from_utf8(log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap();
    let lines: Vec<&str> = logged.lines().filter(|line| line.contains("forged")).collect();
    assert!(lines.len() == 1 && lines[0].contains("hello") && !logged.contains(['\0', '\r', '\u{1b}']), "{logged}");
    told(&outcome)
}

/// What this process logs.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The process's, from the first call on.
    fn global() -> Log {
        static LOG: OnceLock<Log> = OnceLock::new();
        let start = || {
            let log = Log(Arc::default());
            let writer = log.clone();
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
            log
        };
        LOG.get_or_init(start).clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
