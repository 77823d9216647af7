//! Many tasks through one worker, one in ten hostile: every task has to have its end, each hostile one the end of its kind,
//! and the worker's memory, files and places have to stay what they were.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::broker::Order;
use tasq_host::client::{Client, NewTask};
use tasq_host::sandbox::{Options, Sandbox};
use tasq_host::task::{State, TaskId, TaskOptions};
use tasq_host::worker::{self, Queues, Summary};
use tokio::sync::oneshot;

use crate::guests::guest;
use crate::runs::{Held, comes_true};

/// What the hostile ones do, by handler, and the codes with which they may end. Those that a busy machine holds up may
/// meet their time limit first.
const HOSTILE: [(&str, &str, &[&str]); 10] = [
    ("loop", r#"{"do":"loop"}"#, &["cpu-limit", "timeout"]),
    ("calls", r#"{"do":"loop-calls"}"#, &["cpu-limit", "timeout"]),
    ("sleep", r#"{"do":"sleep"}"#, &["timeout"]),
    ("grow", r#"{"do":"grow","then":"abort"}"#, &["out-of-memory", "timeout", "cpu-limit"]),
    ("leak", r#"{"do":"allocate"}"#, &["out-of-memory", "timeout", "cpu-limit"]),
    ("recursion", r#"{"do":"recurse"}"#, &["stack-overflow", "timeout", "cpu-limit"]),
    ("panic", r#"{"do":"panic","message":"no"}"#, &["trap", "timeout", "cpu-limit"]),
    ("exit", r#"{"do":"exit"}"#, &["exit", "timeout", "cpu-limit"]),
    ("flood", r#"{"do":"flood","stdout_mib":1,"stderr_mib":64}"#, &["cpu-limit", "timeout"]),
    ("result", r#"{"do":"result","bytes":2000000}"#, &["invalid-result", "timeout", "cpu-limit"]),
];
const LIMITS: &str = "timeout = \"50ms\"\ncpu = \"20ms\"\nmemory = \"8MiB\"\nmax_retries = 0\nbackoff = \"fixed:0s\"";
const SLOTS: usize = 32;
/// So many tasks are enqueued at once, and have ended before the next.
const WAVE: u64 = 2_000;
/// Longer than a wave takes, also where others have most of the machine.
const PATIENCE: Duration = Duration::from_secs(900);
/// What allocators keep.
const SLACK: u64 = 32 << 20;

/// What came of it. Printed, it is a table.
#[derive(Debug)]
pub struct Tally {
    tasks: u64,
    took: Duration,
    summary: Summary,
    /// Hostile tasks by kind and code.
    ends: BTreeMap<(&'static str, String), u64>,
    /// Tasks that have no end, or not the one of their kind.
    wrong: Vec<String>,
    /// What the broker still holds beside dead letters.
    left: u64,
    /// After the first wave, and when the worker had stopped.
    held: (Held, Held),
    /// Resident memory after each tenth of the tasks.
    memory: Vec<u64>,
}

impl Tally {
    /// Nothing is lost, nothing leaks.
    pub fn is_sound(&self) -> bool {
        let hostile = self.tasks / 10;
        self.wrong.is_empty()
            && self.left == 0
            && (self.summary.dead, self.summary.done) == (hostile, self.tasks - hostile)
            && self.held.1.is_back_at(&Held { memory: self.middle(), ..self.held.0 }, SLACK)
    }

    /// Resident memory when half was done: dead letters and records are kept up to their caps, which a long run has reached
    /// by then. From there on it has to be flat.
    fn middle(&self) -> u64 {
        self.memory.get(self.memory.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { tasks, took, summary, ends, wrong, left, held: (first, last), memory } = self;
        let rate = *tasks as f64 / took.as_secs_f64();
        writeln!(f, "tasks {tasks}, {:.1} s, {rate:.0}/s", took.as_secs_f64())?;
        writeln!(f, "done {}, dead {}, lost {left}, wrong {}", summary.done, summary.dead, wrong.len())?;
        wrong.iter().take(10).try_for_each(|wrong| writeln!(f, "  {wrong}"))?;
        writeln!(f, "\nhostile    ended as         number")?;
        for ((kind, code), number) in ends {
            writeln!(f, "{kind:<10} {code:<15} {number:>7}")?;
        }
        let mib: Vec<String> = memory.iter().map(|bytes| (bytes >> 20).to_string()).collect();
        writeln!(f, "\nMiB after each tenth: {}", mib.join(" "))?;
        for (name, held) in [("after the first wave", first), ("at the end", last)] {
            let Held { memory, files, tasks, places } = held;
            writeln!(f, "{name}: {} MiB, {files} files, {tasks} guests' tasks, {places} places", memory >> 20)?;
        }
        Ok(())
    }
}

/// Sends `tasks` tasks (whole waves: at least 2,000) through a worker on `url`.
pub async fn run(url: &str, tasks: u64) -> Tally {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = serve(folder.path());
    let backend = backend::open(&url.parse().expect("a URL"), None).await.expect("it opens");
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let working = worker::run(backend.clone(), sandbox.clone(), at_work(), stopped, std::future::pending());
    let working = tokio::spawn(working);
    let (client, began) = (Client::new(backend.clone()), Instant::now());
    let (mut ends, mut wrong, mut memory, mut first) = (BTreeMap::new(), Vec::new(), Vec::new(), None);
    let waves = tasks.div_ceil(WAVE);
    for wave in 0..waves {
        let hostile = enqueue(&client, wave).await;
        if let Err(late) = tokio::time::timeout(PATIENCE, emptied(&backend)).await {
            wrong.push(format!("wave {wave} has no end: {late}"));
            break;
        }
        check(&backend, &hostile, &mut ends, &mut wrong).await;
        let now = Held::now(&sandbox);
        first.get_or_insert(now);
        if (wave + 1) * 10 / waves > wave * 10 / waves {
            memory.push(now.memory);
        }
    }
    let took = began.elapsed();
    let left = unfinished(&backend).await;
    drop(stop);
    let summary = working.await.expect("no panic").expect("no error");
    comes_true(Duration::from_secs(10), || sandbox.occupied() == 0).await;
    let held = (first.expect("a wave"), Held::now(&sandbox));
    Tally { tasks: waves * WAVE, took, summary, ends, wrong, left, held, memory }
}

fn serve(folder: &Path) -> Arc<Sandbox> {
    let put = |file: PathBuf, name: &str, manifest: &str| {
        let to = folder.join(name).with_extension("wasm");
        std::fs::copy(file, &to).and_then(|_| std::fs::write(to.with_extension("toml"), manifest)).expect("a handler");
    };
    put(guest("echo"), "echo", "");
    HOSTILE.iter().for_each(|(kind, ..)| put(guest("misbehave"), kind, LIMITS));
    // Each is compiled once, all in this process.
    let options = Options { slots: SLOTS, pagemap_scan: true, cache: Some(folder.join("cache")), memory_budget: None };
    let sandbox = Sandbox::new(options).expect("an engine");
    let loaded = sandbox.load_folder(folder).expect("a folder");
    assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
    Arc::new(sandbox)
}

fn at_work() -> worker::Options {
    worker::Options {
        queues: Queues::Served,
        order: Order::Weighted,
        concurrency: SLOTS,
        lease: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(25),
        max_lost: 3,
        until_empty: false,
        tally: Arc::default(),
    }
}

/// One wave; which of it is hostile, and what it is.
async fn enqueue(client: &Client, wave: u64) -> Vec<(TaskId, usize)> {
    let (mut tasks, mut hostile) = (Vec::new(), Vec::new());
    for number in 0..WAVE {
        let kind = (number % 10 == 0).then_some((number / 10) as usize % HOSTILE.len());
        let (handler, payload) = kind.map_or(("echo", "payload"), |kind| (HOSTILE[kind].0, HOSTILE[kind].1));
        let id: TaskId = format!("w{wave}-{number}").parse().expect("an id");
        hostile.extend(kind.map(|kind| (id.clone(), kind)));
        // What succeeds leaves nothing behind, so that memory that grows is memory that leaks.
        let options = TaskOptions { retention: kind.is_none().then_some(Duration::ZERO), ..TaskOptions::default() };
        let id = kind.map(|_| id);
        tasks.push(NewTask { id, options, ..NewTask::new(handler.parse().expect("a name"), payload) });
    }
    for task in tasks {
        client.enqueue(task).await.expect("it is accepted");
    }
    hostile
}

async fn unfinished(backend: &Backend) -> u64 {
    let depths = backend.operations.depths(Duration::ZERO).await.expect("it answers");
    depths.iter().map(|depth| depth.scheduled + depth.pending + depth.running + depth.parked).sum()
}

async fn emptied(backend: &Backend) {
    while unfinished(backend).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Holds each hostile task to the end of its kind.
async fn check(
    backend: &Backend,
    hostile: &[(TaskId, usize)],
    ends: &mut BTreeMap<(&'static str, String), u64>,
    wrong: &mut Vec<String>,
) {
    let ids: Vec<TaskId> = hostile.iter().map(|(id, _)| id.clone()).collect();
    let records = backend.results.get(&ids).await.expect("it answers");
    for ((id, kind), record) in hostile.iter().zip(records) {
        let (kind, _, codes) = HOSTILE[*kind];
        let Some(record) = record else {
            wrong.push(format!("{id} ({kind}) has no record"));
            continue;
        };
        let code = record.failure.as_ref().map(|failure| failure.code.clone()).unwrap_or_default();
        if record.state != State::Dead || !codes.contains(&code.as_str()) {
            wrong.push(format!("{id} ({kind}) ended as {} {code}: {:?}", record.state, record.failure));
        }
        *ends.entry((kind, code)).or_default() += 1;
    }
}
