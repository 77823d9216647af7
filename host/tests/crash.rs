//! Workers that die as `kill -9` lets them die: whole processes on one SQLite file, with guests that say when they begin
//! and end.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tasq_host::client::{Client, Known, NewTask};
use tasq_host::results::{Filter, Record};
use tasq_host::task::{State, TaskOptions};
use tasq_tests::chaos::stages::{Nats, Redis, Sqlite};
use tasq_tests::chaos::{self, Stage, Storm, Tally};
use tasq_tests::guests::guest;
use tasq_tests::processes::{GuestRun, WorkerProcess, at_once, now, until};
use tokio::runtime::Runtime;

/// What a worker may take with a thousand guests asleep in it.
const RESIDENT_KIB: u64 = 300 << 10;
/// Half of what Linux lets a process map unless told otherwise (`vm.max_map_count`).
const MAPPINGS: usize = 65_530 / 2;

struct Place {
    home: tempfile::TempDir,
    url: String,
    client: Client,
    runtime: Runtime,
}

impl Place {
    /// On a file.
    fn new() -> Place {
        let home = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", home.path().join("tasq.db").display());
        Place::at(home, url)
    }

    fn at(home: tempfile::TempDir, url: String) -> Place {
        std::fs::create_dir(home.path().join("wasm")).unwrap();
        std::fs::copy(guest("misbehave"), home.path().join("wasm/misbehave.wasm")).unwrap();
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(Client::open(&url.parse().unwrap(), None)).unwrap();
        Place { home, url, client, runtime }
    }

    fn work(&self, log: &str, concurrency: &str) -> WorkerProcess {
        self.work_with(log, &["--concurrency", concurrency])
    }

    fn work_with(&self, log: &str, arguments: &[&str]) -> WorkerProcess {
        WorkerProcess::start(&program(), self.home.path(), log, &[&["--broker", &*self.url][..], arguments].concat())
    }

    /// Stops a process at a moment when it isn't writing: one that holds the file's lock would hold up all others.
    fn freeze(&self, worker: &WorkerProcess) {
        let mut file = rusqlite::Connection::open(self.home.path().join("tasq.db")).unwrap();
        file.busy_timeout(Duration::from_millis(500)).unwrap();
        until("it is stopped without the lock", || {
            worker.signal("STOP");
            let locked = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).is_err();
            if locked {
                worker.signal("CONT");
            }
            (!locked).then_some(())
        });
    }

    /// Enqueues tasks that nap; their ids.
    fn enqueue(&self, naps: usize, nap: &str) -> BTreeSet<String> {
        let options = TaskOptions { timeout: Some(Duration::from_secs(3600)), ..TaskOptions::default() };
        let one = || NewTask { options: options.clone(), ..NewTask::new("misbehave".parse().unwrap(), nap.to_owned()) };
        let ids = async {
            let mut ids = BTreeSet::new();
            for _ in 0..naps {
                ids.insert(self.client.enqueue(one()).await.unwrap().id.to_string());
            }
            ids
        };
        self.runtime.block_on(ids)
    }

    fn list(&self, state: State) -> Vec<Known> {
        let filter = Filter { state: Some(state), limit: 10_000, ..Filter::default() };
        self.runtime.block_on(self.client.list(&filter)).unwrap().tasks
    }

    fn running(&self) -> BTreeSet<String> {
        let held = self.list(State::Running).into_iter().map(|task| match task {
            Known::Held(task) => task.id.to_string(),
            Known::Ended(record, _) => panic!("{record:?} has ended"),
        });
        held.collect()
    }

    fn done(&self) -> Vec<Record> {
        let ended = self.list(State::Done).into_iter().filter_map(|task| match task {
            Known::Ended(record, _) => Some((*record).clone()),
            Known::Held(_) => None,
        });
        ended.collect()
    }

    fn all_done(&self, count: usize) -> Vec<Record> {
        until("all are done", || Some(self.done()).filter(|done| done.len() == count))
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tasq-host"))
}

fn ids<'a>(runs: impl IntoIterator<Item = &'a GuestRun>) -> BTreeSet<String> {
    runs.into_iter().map(|run| run.task.clone()).collect()
}

/// KiB of a process's memory that are there.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_worker_that_dies_in_the_middle_loses_nothing_and_doubles_nothing() {
    let place = Place::new();
    let enqueued = place.enqueue(1_000, r#"{"do":"nap","ms":400}"#);
    let worker = place.work("first", "200");
    until("some are done", || (place.done().len() >= 300).then_some(()));
    let before = worker.kill();
    let (finished, cut): (Vec<_>, Vec<_>) = before.iter().cloned().partition(|run| run.finished);
    let at_the_kill = place.running();
    assert!(!cut.is_empty() && finished.len() >= 300, "{} {}", cut.len(), finished.len());
    assert!(ids(&cut).is_subset(&at_the_kill), "what ran had a lease");
    let worker = place.work("second", "200");
    let done = place.all_done(1_000);
    let mut runs = worker.runs(&now());
    runs.extend(before);
    assert_eq!(done.iter().map(|record| record.id.to_string()).collect::<BTreeSet<_>>(), enqueued);
    assert_eq!(at_once(&runs), []);
    for record in done {
        let lost = u32::from(at_the_kill.contains(record.id.as_str()));
        assert_eq!((record.lost, record.run, record.attempt), (lost, 1 + lost, 1), "{}", record.id);
        let begun = runs.iter().filter(|run| run.task == record.id.as_str()).count();
        // One that had its lease and hadn't begun yet repeats nothing.
        assert!(begun == 1 || begun == 2 && lost == 1, "{} began {begun} times", record.id);
    }
}

#[test]
fn a_thousand_tasks_sleep_in_little_memory_and_outlive_their_worker() {
    let place = Place::new();
    let enqueued = place.enqueue(1_000, r#"{"do":"nap","ms":3600000,"again_ms":10}"#);
    let worker = place.work("first", "1200");
    until("all have begun", || (worker.runs("").len() == 1_000).then_some(()));
    let taken = resident(worker.id());
    let mappings = std::fs::read_to_string(format!("/proc/{}/maps", worker.id())).unwrap().lines().count();
    println!("1,000 sleeping tasks: {} MiB resident, {mappings} mappings", taken >> 10);
    assert!(taken < RESIDENT_KIB && mappings < MAPPINGS, "{taken} KiB, {mappings} mappings");
    let before = worker.kill();
    assert_eq!((ids(&before), place.running()), (enqueued.clone(), enqueued));
    let began = Instant::now();
    let worker = place.work("second", "1200");
    let done = place.all_done(1_000);
    println!("repeated by another worker within {:?}", began.elapsed());
    assert!(done.iter().all(|record| (record.lost, record.run) == (1, 2)), "each was lost once");
    let runs: Vec<_> = before.into_iter().chain(worker.runs(&now())).collect();
    assert_eq!((runs.len(), at_once(&runs)), (2_000, vec![]));
}

#[test]
fn another_worker_gets_a_dead_ones_tasks_within_about_a_second() {
    let place = Place::new();
    place.enqueue(50, r#"{"do":"nap","ms":3600000,"again_ms":1}"#);
    let dying = place.work("dying", "50");
    until("all have begun", || (dying.runs("").len() == 50).then_some(()));
    let other = place.work("other", "50");
    let death = Instant::now();
    let before = dying.kill();
    until("one has begun again", || (!other.runs("").is_empty()).then_some(()));
    let took = death.elapsed();
    println!("begun again {took:?} after the kill");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(place.all_done(50).iter().all(|record| (record.lost, record.run) == (1, 2)));
    let runs: Vec<_> = before.into_iter().chain(other.runs(&now())).collect();
    assert_eq!(at_once(&runs), []);
}

/// A server can't see a worker die: its leases have to run out, and what comes after that is short.
fn another_worker_finishes_within_a_lease(url: String) {
    const LEASE: Duration = Duration::from_secs(2);
    const TASKS: usize = 500;
    let place = Place::at(tempfile::tempdir().unwrap(), url);
    place.enqueue(TASKS, r#"{"do":"nap","ms":3600000,"again_ms":1}"#);
    let options = ["--concurrency", "500", "--lease", "2s"];
    let dying = place.work_with("dying", &options);
    until("all have begun", || (dying.runs("").len() == TASKS).then_some(()));
    let other = place.work_with("other", &options);
    let death = Instant::now();
    let before = dying.kill();
    let done = place.all_done(TASKS);
    let took = death.elapsed();
    println!("all {TASKS} finished {took:?} after the kill, with a lease of {LEASE:?}");
    assert!(done.iter().all(|record| (record.lost, record.run) == (1, 2)));
    let runs: Vec<_> = before.into_iter().chain(other.runs(&now())).collect();
    assert_eq!((runs.len(), at_once(&runs)), (2 * TASKS, vec![]));
    // Two seconds on a machine that does nothing else.
    assert!(took < LEASE + Duration::from_secs(10), "{took:?}");
}

#[test]
fn another_worker_finishes_a_dead_ones_tasks_within_a_lease_on_redis() {
    let server = tasq_tests::fixture::redis::Server::volatile();
    another_worker_finishes_within_a_lease(server.url("crash"));
}

#[test]
fn another_worker_finishes_a_dead_ones_tasks_within_a_lease_on_nats() {
    let server = tasq_tests::fixture::nats::Server::start(tasq_tests::fixture::nats::Version::Newest, "");
    another_worker_finishes_within_a_lease(format!("nats://{}?prefix=crash", server.address()));
}

#[test]
fn a_worker_that_was_frozen_for_longer_than_its_leases_changes_nothing_any_more() {
    let place = Place::new();
    place.enqueue(20, r#"{"do":"nap","ms":3600000,"again_ms":10}"#);
    let frozen = place.work_with("frozen", &["--concurrency", "20", "--lease", "1s"]);
    until("all have begun", || (frozen.runs("").len() == 20).then_some(()));
    place.freeze(&frozen);
    let _other = place.work("other", "20");
    let is_second = |record: &Record| (record.state, record.lost, record.run) == (State::Done, 1, 2);
    let done = place.all_done(20);
    assert!(done.iter().all(is_second), "{done:?}");
    frozen.signal("CONT");
    until("its guests are stopped", || frozen.runs("").iter().all(|run| run.finished).then_some(()));
    frozen.signal("TERM");
    until("it has stopped", || frozen.has_said("stopped").then_some(()));
    assert_eq!(place.done(), done, "a late end changed something");
}

/// `make chaos` in short.
fn storm(stage: &mut dyn Stage) -> Tally {
    let nap = Duration::from_millis(300);
    let storm = Storm { tasks: 500, chains: 40, groups: 10, nap, kills: 5, workers: 2, producers: 2 };
    let tally = chaos::run(&program(), stage, &storm);
    println!("{storm}\n{}\n{tally}", Tally::HEAD);
    assert!(tally.is_sound(), "{tally:?}");
    assert!(tally.kills > 1 && tally.lost > 0, "the storm did nothing: {tally:?}");
    tally
}

#[test]
fn workers_that_die_at_random_while_producers_go_on_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    storm(&mut Sqlite(folder.path().join("tasq.db")));
}

#[test]
fn neither_does_a_redis_server_that_dies() {
    let folder = tempfile::tempdir().unwrap();
    assert!(storm(&mut Redis::start(folder.path())).strikes > 0);
}

#[test]
fn neither_does_a_nats_server_that_dies() {
    assert!(storm(&mut Nats::start()).strikes > 0);
}
