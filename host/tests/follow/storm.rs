//! Handlers that are replaced, broken, removed and added while a worker is under load: no task fails for it, nothing of what
//! was replaced stays, and what waited for a handler runs once it is back. `TASQ_CHANGES` says how many changes (`make reload`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::broker::activity::Activity;
use tasq_host::broker::{WorkerReport, versions};
use tasq_host::client::{Client, NewTask, Work};
use tasq_host::results::Filter;
use tasq_host::task::{Name, State, TaskId, TaskOptions};
use tasq_tests::processes::until;
use tasq_tests::texts::component;
use tokio::runtime::Runtime;

use super::{Worker, home, tasq_host as command};

const CHANGES: usize = 60;
/// A round is six changes: two replacements, a file that is broken and mended, one that is removed and put back.
const ROUND: usize = 6;
/// Until then caches fill and allocators settle: what is held from here on is the baseline.
const WARM_UP: usize = 4;
const SLOTS: usize = 8;
/// The producer keeps so many tasks waiting.
const WAITING: u64 = 64;
/// Of the handler that is replaced, the producer looks at its tasks once there are so many.
const UNSEEN: usize = 2_000;
/// Enqueued for a handler that is gone.
const PARKED: usize = 5;
/// What the end may have above the baseline: allocators keep some, SQLite's cache grows to 2 MiB. A hundredth of what the long
/// form's versions take together.
const SLACK: u64 = 24 << 20;

/// A handler that naps for `ms` and returns its version, six digits.
fn version(number: usize, ms: u64) -> Vec<u8> {
    let nap = ms * 1_000_000;
    // Ok at 1024: the list's address and length stand behind the discriminant, aligned to 8.
    component(&format!(
        r#"(import "host" "subscribe" (func $subscribe (param i64) (result i32)))
        (import "host" "block" (func $block (param i32)))
        (import "host" "drop" (func $drop (param i32)))
        (data (i32.const 1032) "\00\08\00\00\06\00\00\00") (data (i32.const 2048) "{number:06}")
        (func (export "handle") (param i32) (result i32) (local $p i32)
          (local.set $p (call $subscribe (i64.const {nap})))
          (call $block (local.get $p))
          (call $drop (local.get $p))
          (i32.const 1024))"#
    ))
}

/// A worker's folder, and the way to its broker.
struct Place {
    home: tempfile::TempDir,
    runtime: Runtime,
    backend: Backend,
}

impl Place {
    fn new() -> Place {
        let home = home();
        let runtime = Runtime::new().expect("threads");
        let url = format!("sqlite:{}", home.path().join("tasq.db").display()).parse().expect("a URL");
        let backend = runtime.block_on(backend::open(&url, None)).expect("it opens");
        Place { home, runtime, backend }
    }

    fn client(&self) -> Client {
        Client::new(self.backend.clone())
    }

    fn file(&self, handler: &str) -> PathBuf {
        self.home.path().join("wasm").join(handler).with_extension("wasm")
    }

    /// Puts a whole file into its place at once.
    fn ship(&self, handler: &str, bytes: Vec<u8>) {
        let part = self.file(handler).with_extension("part");
        fs::write(&part, bytes).and_then(|()| fs::rename(&part, self.file(handler))).expect("it can be written");
    }

    fn enqueue(&self, handler: &str, count: usize) -> Vec<TaskId> {
        self.runtime.block_on(enqueue(&self.client(), handler, count))
    }

    /// What the worker tells of itself.
    fn report(&self) -> Option<WorkerReport> {
        self.runtime.block_on(self.backend.operations.workers()).expect("it answers").pop()
    }

    /// Tasks in the default queue: waiting, running, parked, dead.
    fn counts(&self) -> [u64; 4] {
        let queues = self.runtime.block_on(self.client().queues()).expect("it answers");
        let default = queues.iter().find(|depth| depth.queue == Name::default_queue());
        default.map_or([0; 4], |depth| [depth.pending + depth.scheduled, depth.running, depth.parked, depth.dead])
    }

    /// Versions that the worker has loaded, once all runs of what was replaced have ended.
    fn versions_at_rest(&self) -> usize {
        until("nothing but what is served is loaded", || {
            let versions = versions::of(&self.report()?);
            versions.iter().all(|version| !version.replaced && version.told.is_some()).then_some(versions.len())
        })
    }
}

async fn enqueue(client: &Client, handler: &str, count: usize) -> Vec<TaskId> {
    let handler: Name = handler.parse().expect("a name");
    let options = TaskOptions { max_retries: Some(0), ..TaskOptions::default() };
    let one = || Work::Task(Box::new(NewTask { options: options.clone(), ..NewTask::new(handler.clone(), "payload") }));
    let works = (0..count).map(|_| one()).collect();
    let enqueued = client.enqueue_all(works).await.expect("the broker takes them");
    enqueued.into_iter().map(|answer| answer.expect("it is accepted").id).collect()
}

/// Keeps tasks of the handlers that are always served waiting, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    producing: std::thread::JoinHandle<Sent>,
}

#[derive(Default)]
struct Sent {
    all: usize,
    /// Tasks of `swap` that nobody has looked at since, with the version that was served for certain when they were enqueued.
    swap: Vec<(TaskId, usize)>,
}

impl Sent {
    /// Looks at those that have ended: each ran on a version that was served then.
    async fn look(&mut self, client: &Client) {
        let mut unfinished = Vec::new();
        for part in self.swap.chunks(500) {
            let ids: Vec<TaskId> = part.iter().map(|(id, _)| id.clone()).collect();
            let shown = client.show_all(&ids).await.expect("it answers");
            for (task, (id, served)) in shown.iter().zip(part) {
                let task = task.as_ref().expect("it is known");
                if !task.state().is_final() {
                    unfinished.push((id.clone(), *served));
                    continue;
                }
                let result = task.record().and_then(|record| record.result.clone()).expect("a result is kept");
                let ran: usize = std::str::from_utf8(&result).expect("digits").parse().expect("a version");
                assert!(ran >= *served, "{id} ran on version {ran} although {served} had taken its place before");
            }
        }
        self.swap = unfinished;
    }
}

impl Load {
    fn begin(client: Client, served: Arc<AtomicUsize>) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let producing = std::thread::spawn(move || {
            let (runtime, mut sent) = (Runtime::new().expect("threads"), Sent::default());
            while !stopped.load(Ordering::SeqCst) {
                let queues = runtime.block_on(client.queues()).expect("it answers");
                if queues.iter().map(|depth| depth.pending).sum::<u64>() >= WAITING {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                for handler in ["swap", "frail", "steady"] {
                    let version = served.load(Ordering::SeqCst);
                    let ids = runtime.block_on(enqueue(&client, handler, 16));
                    sent.all += ids.len();
                    if handler == "swap" {
                        sent.swap.extend(ids.into_iter().map(|id| (id, version)));
                    }
                }
                // Well before there are more results than a queue keeps.
                if sent.swap.len() > UNSEEN {
                    runtime.block_on(sent.look(&client));
                }
            }
            sent
        });
        Load { stop, producing }
    }

    fn end(self) -> Sent {
        self.stop.store(true, Ordering::SeqCst);
        self.producing.join().expect("no panic")
    }
}

/// What a process holds: bytes of resident memory, and open files but for those of its database, of which it opens up to
/// four more to read, when several ask at once.
fn held(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("it lives");
    let open = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let files = open.filter(|file| !file.to_string_lossy().contains("tasq.db")).count();
    (kib << 10, files)
}

fn changes() -> usize {
    std::env::var("TASQ_CHANGES").map_or(CHANGES, |text| text.parse().expect("TASQ_CHANGES: a whole number"))
}

#[test]
fn handlers_come_go_and_break_under_load_and_no_task_fails_for_it() {
    let place = Place::new();
    let naps = [("swap", 3), ("frail", 3), ("steady", 3), ("comes", 1), ("slow", 3_000), ("late", 3_000)];
    naps.iter().for_each(|(name, ms)| place.ship(name, version(0, *ms)));
    let concurrency = SLOTS.to_string();
    let worker = Worker::start_with(place.home.path(), &["--concurrency", &concurrency, "--lease", "1s"]);
    let served = Arc::new(AtomicUsize::new(0));
    let load = Load::begin(place.client(), served.clone());
    let (mut number, mut broken, mut parked, mut back, mut baseline) = (0, 0, 0, Vec::new(), None);
    let rounds = changes().div_ceil(ROUND).max(WARM_UP + 1);
    for round in 0..rounds {
        if round == WARM_UP {
            assert_eq!(place.versions_at_rest(), naps.len());
            baseline = Some(held(worker.process.id()));
        }
        let mut next = || {
            number += 1;
            number
        };
        let swap = |number| {
            place.ship("swap", version(number, 3));
            worker.says("handler swap is new");
            served.store(number, Ordering::SeqCst);
        };
        swap(next());
        // Broken in its place: the version before serves on, and it is said once, whatever else changes meanwhile.
        fs::write(place.file("frail"), format!("broken {round}")).expect("it can be written");
        worker.says("frail.wasm: not a WebAssembly component or module: found text; not served");
        broken += 1;
        swap(next());
        place.ship("frail", version(next(), 3));
        worker.says("handler frail is new");
        // Removed: its tasks wait, and run as soon as it is back.
        fs::remove_file(place.file("comes")).expect("it can be removed");
        worker.says("handler comes is gone");
        let waiting = place.enqueue("comes", PARKED);
        until("its tasks are parked", || (place.counts()[2] >= PARKED as u64).then_some(()));
        parked += PARKED;
        let put = Instant::now();
        place.ship("comes", version(next(), 1));
        worker.says("handler comes is new");
        until("they have run", || {
            let shown = place.runtime.block_on(place.client().show_all(&waiting)).expect("it answers");
            shown.iter().flatten().all(|task| task.state() == State::Done).then_some(())
        });
        back.push(put.elapsed());
    }
    let mut sent = load.end();
    until("everything has ended", || (place.counts()[..3] == [0; 3]).then_some(()));
    let versions = place.versions_at_rest();
    every_slot_is_free(&place, &worker);
    let (now, (memory, files)) = (held(worker.process.id()), baseline.expect("more rounds than the warm-up"));
    no_task_failed(&place, &mut sent, parked + SLOTS);
    each_broken_file_was_said_once(&worker, broken);
    assert_eq!(versions, naps.len());
    back.sort();
    let ms = |span: Option<&Duration>| span.map_or(0, Duration::as_millis);
    println!(
        "{} changes, {} tasks, 0 failed; parked tasks ran {} ms after their file came (median; {} ms at most); \
         resident {} MiB after the warm-up, {} MiB at the end; {files} and {} files; {versions} versions loaded",
        rounds * ROUND,
        sent.all + parked,
        ms(back.get(back.len() / 2)),
        ms(back.last()),
        memory >> 20,
        now.0 >> 20,
        now.1,
    );
    assert!(now.0 <= memory + SLACK, "{} bytes after the warm-up, {} at the end", memory, now.0);
    assert!(now.1 <= files, "{files} files after the warm-up, {} at the end", now.1);
}

/// As many runs at once as there are slots: the pool has lost no place.
fn every_slot_is_free(place: &Place, worker: &Worker) {
    // No handler gets every slot while there are others.
    place.enqueue("slow", SLOTS / 2);
    place.enqueue("late", SLOTS / 2);
    until("every slot runs one", || {
        let running = Activity::of(&place.report()?)?.running;
        (running == SLOTS as u64).then_some(())
    });
    until("they have ended", || (place.counts()[..3] == [0; 3]).then_some(()));
    assert!(!worker.said.borrow().iter().any(|line| line.contains("no room for another run")));
}

/// What was accepted is done, at the first attempt, and by a version that was served then.
fn no_task_failed(place: &Place, sent: &mut Sent, others: usize) {
    assert_eq!(place.counts(), [0; 4]);
    let dead = Filter { state: Some(State::Dead), limit: 1, ..Filter::default() };
    assert!(place.runtime.block_on(place.client().list(&dead)).expect("it answers").tasks.is_empty());
    let done = until("the worker tells of all of them", || {
        let activity = Activity::of(&place.report()?)?;
        (activity.done >= (sent.all + others) as u64).then_some(activity)
    });
    assert_eq!((done.done, done.failed), ((sent.all + others) as u64, 0));
    place.runtime.block_on(sent.look(&place.client()));
    assert!(sent.swap.is_empty());
}

fn each_broken_file_was_said_once(worker: &Worker, broken: usize) {
    let said = worker.said.borrow();
    let warnings: Vec<&String> = said.iter().filter(|line| line.contains(" WARN ") || line.contains("ERROR")).collect();
    assert!(warnings.iter().all(|line| line.contains("frail.wasm: not a WebAssembly")), "{warnings:#?}");
    assert_eq!(warnings.len(), broken);
}

#[test]
fn it_is_told_what_still_runs_on_a_version_that_was_replaced() {
    let place = Place::new();
    place.ship("slow", version(1, 25_000));
    let worker = Worker::start_with(place.home.path(), &["--lease", "1s"]);
    let tasks = place.enqueue("slow", 3);
    let listed = |home: &Path| {
        let output = command(home).args(["handler", "list", "--json"]).output().expect("tasq-host starts");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<serde_json::Value>>()
    };
    let one = |state: &str, running: u64| {
        until("it is told", || {
            let is = |line: &serde_json::Value| line["state"] == state && line["running"] == running;
            let told = listed(place.home.path()).into_iter().find(is)?;
            Some((told["digest"].clone(), told["worker"].clone()))
        })
    };
    let (old, id) = one("served", 3);
    place.ship("slow", version(2, 25_000));
    worker.says("handler slow is new");
    assert_eq!(one("replaced", 3), (old.clone(), id.clone()));
    assert_ne!(one("served", 0).0, old);
    assert!(id.as_str().is_some_and(|id| id.contains(&format!("-{}-", worker.process.id()))), "{id}");
    place.runtime.block_on(place.client().cancel(&tasks)).expect("it answers");
    until("nothing is left of it", || (listed(place.home.path()).len() == 1).then_some(()));
}
