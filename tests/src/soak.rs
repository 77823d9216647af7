//! Many tasks through one worker, one in ten hostile: every task has to have its end, each hostile one the end of its kind,
//! and the worker's memory, files and places have to stay what they were.
//!
//! Nothing grows on purpose, so that what grows is a leak: tasks that succeed leave no record, dead letters are deleted once
//! they were looked at, and no id is chosen, as chosen ones are remembered for a day.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::broker::Order;
use tasq_host::client::{Client, Deleted, NewTask, Work};
use tasq_host::sandbox::{Options, Sandbox};
use tasq_host::task::{State, TaskId, TaskOptions};
use tasq_host::worker::{self, Queues, Summary};
use tokio::sync::oneshot;

use crate::guests::guest;
use crate::heap;
use crate::runs::{Held, comes_true};

/// What the hostile ones do, by handler: limits, payload, and the code with which they end. Those that a busy machine holds
/// up may meet another limit first.
const HOSTILE: [(&str, &str, &str, &str); 10] = [
    ("loop", LOOPS, r#"{"do":"loop"}"#, "cpu-limit"),
    ("calls", LOOPS, r#"{"do":"loop-calls"}"#, "cpu-limit"),
    ("sleep", ENDS, r#"{"do":"sleep"}"#, "timeout"),
    ("grow", ENDS, r#"{"do":"grow","then":"abort"}"#, "out-of-memory"),
    ("leak", ENDS, r#"{"do":"allocate"}"#, "out-of-memory"),
    ("recursion", ENDS, r#"{"do":"recurse"}"#, "stack-overflow"),
    ("panic", ENDS, r#"{"do":"panic","message":"no"}"#, "trap"),
    ("exit", ENDS, r#"{"do":"exit"}"#, "exit"),
    ("flood", LOOPS, r#"{"do":"flood","stdout_mib":1,"stderr_mib":64}"#, "cpu-limit"),
    ("result", ENDS, r#"{"do":"result","bytes":1100000}"#, "invalid-result"),
];
const BUSY: [&str; 2] = ["cpu-limit", "timeout"];
/// For what would compute for ever. Less than a tick of the epoch: none waits for a turn, so that both cores have work.
const LOOPS: &str = "timeout = \"50ms\"\ncpu = \"5ms\"\nmemory = \"8MiB\"\nmax_retries = 0\nbackoff = \"fixed:0s\"";
/// For what has an end of its own.
const ENDS: &str = "timeout = \"50ms\"\ncpu = \"20ms\"\nmemory = \"8MiB\"\nmax_retries = 0\nbackoff = \"fixed:0s\"";
const SLOTS: usize = 32;
/// So many tasks at most are enqueued at once, and have ended before the next.
const WAVE: u64 = 2_000;
/// Each hostile kind is once among so many.
const ROUND: u64 = 10 * HOSTILE.len() as u64;
/// Of one call.
const BATCH: usize = 500;
/// Longer than a wave takes, also where others have most of the machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// How much of the heap a task may leave behind, on the average: a thousandth of what it allocates.
const LEFT: f64 = 8.0;
/// Of the heap, whatever the number of tasks: buffers that are as large as the largest that they have had.
const HEAP: f64 = (256 << 10) as f64;
/// Of resident memory, whatever the number of tasks: what the allocator and the pool keep, which moves by 16 MiB.
const RESIDENT: f64 = (48 << 20) as f64;

/// Files of the broker's own that may have been opened after the first wave: SQLite's connections come as they are needed.
/// Where a task of one kind left one behind it would be hundreds.
const FILES: usize = 4;

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
    /// What the broker still holds.
    left: u64,
    /// After the first wave, and when the worker had stopped.
    held: (Held, Held),
    /// After each wave.
    heap: Vec<u64>,
    memory: Vec<u64>,
}

impl Tally {
    /// Nothing is lost, nothing leaks.
    pub fn is_sound(&self) -> bool {
        let hostile = self.tasks / 10;
        let (first, last) = self.held;
        self.wrong.is_empty()
            && self.left == 0
            && (self.summary.dead, self.summary.done) == (hostile, self.tasks - hostile)
            && self.kinds_end_as_they_should()
            && last.is_back_at(&Held { memory: last.memory, files: first.files + FILES, ..first }, 0)
            && self.grown(&self.heap) <= HEAP + LEFT * self.tasks as f64
            && self.grown(&self.memory) <= RESIDENT + LEFT * self.tasks as f64
    }

    /// Some of each kind at least: what ended at another limit, as many do on a busy machine, has said nothing of its own.
    fn kinds_end_as_they_should(&self) -> bool {
        HOSTILE.iter().all(|(kind, _, _, code)| {
            let of_kind = self.ends.iter().filter(|((of, _), _)| of == kind);
            let all: u64 = of_kind.map(|(_, number)| number).sum();
            self.ends.get(&(*kind, (*code).to_owned())).is_some_and(|own| own * 10 > all)
        })
    }

    /// By how many bytes the last third of the waves is above the first, drawn out over all tasks. The least of each third
    /// counts: what is still under way as a wave ends is no leak. The very first wave fills what is filled once.
    fn grown(&self, samples: &[u64]) -> f64 {
        let samples = samples.get(1..).unwrap_or_default();
        let third = samples.len().div_ceil(3);
        let least = |part: &[u64]| part.iter().min().map_or(0.0, |least| *least as f64);
        let (early, late) = (least(&samples[..third]), least(&samples[samples.len() - third..]));
        (late - early) * 1.5
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { tasks, took, summary, ends, wrong, left, held: (first, last), heap, memory } = self;
        let rate = *tasks as f64 / took.as_secs_f64();
        writeln!(f, "tasks {tasks}, {:.1} s, {rate:.0}/s", took.as_secs_f64())?;
        writeln!(f, "done {}, dead {}, lost {left}, wrong {}", summary.done, summary.dead, wrong.len())?;
        wrong.iter().take(10).try_for_each(|wrong| writeln!(f, "  {wrong}"))?;
        writeln!(f, "\nhostile    ended as         number")?;
        for ((kind, code), number) in ends {
            writeln!(f, "{kind:<10} {code:<15} {number:>7}")?;
        }
        writeln!(f, "\nafter each tenth")?;
        for (name, samples, shift) in [("heap, KiB", heap, 10), ("resident, MiB", memory, 20)] {
            let tenths = (1..=10).filter_map(|tenth| samples.get((samples.len() * tenth / 10).checked_sub(1)?));
            let tenths: Vec<String> = tenths.map(|bytes| (bytes >> shift).to_string()).collect();
            let grown = self.grown(samples);
            let a_task = grown / *tasks as f64;
            writeln!(f, "{name}: {}; grown by {:.0} KiB, {a_task:.1} bytes a task", tenths.join(" "), grown / 1024.0)?;
        }
        for (name, held) in [("after the first wave", first), ("at the end", last)] {
            let Held { memory, files, tasks, places } = held;
            writeln!(f, "{name}: {} MiB, {files} files, {tasks} guests' tasks, {places} places", memory >> 20)?;
        }
        Ok(())
    }
}

/// Sends `tasks` tasks (at least 1,000; rounded up to whole waves) through a worker on `url`.
pub async fn run(url: &str, tasks: u64) -> Tally {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = serve(folder.path());
    let backend = backend::open(&url.parse().expect("a URL"), None).await.expect("it opens");
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let working = worker::run(backend.clone(), sandbox.clone(), at_work(), stopped, std::future::pending());
    let working = tokio::spawn(working);
    let (client, began) = (Client::new(backend.clone()), Instant::now());
    let (mut ends, mut wrong, mut first) = (BTreeMap::new(), Vec::new(), None);
    let (mut heap, mut memory) = (Vec::new(), Vec::new());
    let wave = wave_of(tasks);
    let waves = tasks.div_ceil(wave);
    for number in 0..waves {
        let hostile = enqueue(&client, wave).await;
        if let Err(late) = tokio::time::timeout(PATIENCE, emptied(&backend)).await {
            wrong.push(format!("wave {number} has no end: {late}"));
            break;
        }
        check(&client, &backend, hostile, &mut ends, &mut wrong).await;
        let now = Held::now(&sandbox);
        first.get_or_insert(now);
        heap.push(heap::held());
        memory.push(now.memory);
    }
    let took = began.elapsed();
    let left = unfinished(&backend).await;
    drop(stop);
    let summary = working.await.expect("no panic").expect("no error");
    comes_true(Duration::from_secs(10), || sandbox.occupied() == 0).await;
    let held = (first.expect("a wave"), Held::now(&sandbox));
    Tally { tasks: waves * wave, took, summary, ends, wrong, left, held, heap, memory }
}

/// At least ten waves, with as many of each hostile kind.
fn wave_of(tasks: u64) -> u64 {
    (tasks / 10 / ROUND * ROUND).clamp(ROUND, WAVE)
}

fn serve(folder: &Path) -> Arc<Sandbox> {
    let put = |file: PathBuf, name: &str, manifest: &str| {
        let to = folder.join(name).with_extension("wasm");
        std::fs::copy(file, &to).and_then(|_| std::fs::write(to.with_extension("toml"), manifest)).expect("a handler");
    };
    put(guest("echo"), "echo", "");
    HOSTILE.iter().for_each(|(kind, limits, ..)| put(guest("misbehave"), kind, limits));
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
    let kind = |number: u64| number.is_multiple_of(10).then_some((number / 10) as usize % HOSTILE.len());
    let new = |number: u64| {
        let (handler, payload) = kind(number).map_or(("echo", "payload"), |kind| (HOSTILE[kind].0, HOSTILE[kind].2));
        let retention = kind(number).is_none().then_some(Duration::ZERO);
        let options = TaskOptions { retention, ..TaskOptions::default() };
        NewTask { options, ..NewTask::new(handler.parse().expect("a name"), payload) }
    };
    let mut hostile = Vec::new();
    let numbers: Vec<u64> = (0..wave).collect();
    for numbers in numbers.chunks(BATCH) {
        let works = numbers.iter().map(|&number| Work::Task(Box::new(new(number)))).collect();
        let answers = client.enqueue_all(works).await.expect("it answers");
        let ids = answers.into_iter().map(|answer| answer.expect("it is accepted").id);
        hostile.extend(ids.zip(numbers).filter_map(|(id, &number)| Some((id, kind(number)?))));
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

/// Holds each hostile task to the end of its kind, and forgets it.
async fn check(
    client: &Client,
    backend: &Backend,
    hostile: Vec<(TaskId, usize)>,
    ends: &mut BTreeMap<(&'static str, String), u64>,
    wrong: &mut Vec<String>,
) {
    let (ids, kinds): (Vec<TaskId>, Vec<usize>) = hostile.into_iter().unzip();
    let records = backend.results.get(&ids).await.expect("it answers");
    for ((id, kind), record) in ids.iter().zip(kinds).zip(records) {
        let (kind, _, _, own) = HOSTILE[kind];
        let Some(record) = record else {
            wrong.push(format!("{id} ({kind}) has no record"));
            continue;
        };
        let code = record.failure.as_ref().map(|failure| failure.code.clone()).unwrap_or_default();
        if record.state != State::Dead || (code != own && !BUSY.contains(&code.as_str())) {
            wrong.push(format!("{id} ({kind}) ended as {} {code}: {:?}", record.state, record.failure));
        }
        *ends.entry((kind, code)).or_default() += 1;
    }
    let deleted = client.delete(&ids).await.expect("it answers");
    wrong.extend(
        ids.iter()
            .zip(deleted)
            .filter(|(_, deleted)| *deleted != Deleted::Done)
            .map(|(id, deleted)| format!("{id} can't be deleted: {deleted:?}")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of `tasks` tasks that holds so much after each wave, of the heap and in all.
    fn holding(tasks: u64, heap: impl Fn(u64) -> u64, memory: impl Fn(u64) -> u64) -> Tally {
        let held = Held { memory: 0, files: 0, tasks: 0, places: 0 };
        let hostile = tasks / 10;
        let summary = Summary { done: tasks - hostile, dead: hostile, ..Summary::default() };
        let ends = HOSTILE.iter().map(|(kind, _, _, code)| ((*kind, (*code).to_owned()), hostile / 10)).collect();
        let (wrong, took, left) = (Vec::new(), Duration::from_secs(1), 0);
        let waves = tasks / wave_of(tasks);
        let [heap, memory] = [(0..waves).map(heap).collect(), (0..waves).map(memory).collect()];
        Tally { tasks, took, summary, ends, wrong, left, held: (held, held), heap, memory }
    }

    #[test]
    fn a_leak_fails_and_noise_passes() {
        const MILLION: u64 = 1_000_000;
        let flat = |wave: u64| (10 << 20) + (wave * 7919 % 13) * (300 << 10);
        let noisy = |wave: u64| (140 << 20) + (wave * 7919 % 13) * (1 << 20) + wave.min(50) * (300 << 10);
        assert!(holding(MILLION, flat, noisy).is_sound());
        assert!(holding(4_000, |wave| (10 << 20) + wave * 7919 % 13, noisy).is_sound());
        // So many bytes a task: of the heap, or beside it, as the engine's and the libraries' in C are.
        for (heap, beside) in [(100, 0), (12, 0), (0, 100)] {
            let heap = |wave| flat(wave) + wave * 2_000 * heap;
            assert!(!holding(MILLION, heap, |wave| noisy(wave) + wave * 2_000 * beside).is_sound());
        }
        // Of hostile ones alone, and in the short form.
        assert!(!holding(MILLION, |wave| flat(wave) + wave * 200 * 120, noisy).is_sound());
        assert!(!holding(4_000, |wave| (10 << 20) + wave * 400 * 100, noisy).is_sound());
    }
}
