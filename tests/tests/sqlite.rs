//! What only SQLite has to keep: the file itself, several processes on it, and a writer that batches.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::Connection;
use tasq_host::backend::{self, Backend};
use tasq_host::broker::{Due, Effect, End, Message, Order, Reserve, Settled, Signal, Standing};
use tasq_host::error::{Error, ErrorKind};
use tasq_host::results::{KEEP_DEAD, KEEP_DONE, Record};
use tasq_host::task::{Ending, Priority, Receipt, Run, State, TaskId, Timestamp, WorkerId};
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);
/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tasq.db")
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    async fn open(&self) -> Backend {
        open(&self.url()).await.unwrap()
    }

    /// The file as another program sees it.
    fn foreign(&self) -> Connection {
        let db = Connection::open(self.path()).unwrap();
        db.busy_timeout(LIMIT).unwrap();
        db
    }

    fn count(&self, table: &str) -> i64 {
        self.foreign().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

async fn open(url: &str) -> Result<Backend, Error> {
    backend::open(&url.parse().unwrap(), None).await
}

async fn refusal(path: &Path) -> Error {
    let error = open(&format!("sqlite:{}", path.display())).await.err().expect("the file is refused");
    assert!(error.message.contains(path.to_str().unwrap()), "names the file: {error}");
    assert!(!error.message.contains('\n'), "one line: {error}");
    error
}

fn message(id: &str) -> Message {
    Message {
        id: id.parse().unwrap(),
        queue: "q".parse().unwrap(),
        handler: "h".parse().unwrap(),
        priority: Priority::Normal,
        due: Due::Now,
        remember: None,
        format: 1,
        envelope: Bytes::copy_from_slice(id.as_bytes()),
    }
}

fn messages(name: &str, count: usize) -> Vec<Message> {
    (0..count).map(|n| message(&format!("{name}{n:06}"))).collect()
}

fn request(max: usize) -> Reserve {
    Reserve {
        worker: WorkerId::generate(),
        queues: vec![("q".parse().unwrap(), 1)],
        order: Order::Weighted,
        max,
        room: Arc::new(HashMap::from([("h".parse().unwrap(), usize::MAX)])),
        format: 1,
        lease: HOUR,
        wait: Duration::ZERO,
        recall: Arc::default(),
    }
}

fn waiting(max: usize) -> Reserve {
    Reserve { wait: LIMIT, ..request(max) }
}

fn end(run: &Run, ending: Ending, state: State) -> End {
    End { run: run.clone(), ending, effects: vec![Effect::Record(std::sync::Arc::new(record(run, state)))] }
}

fn record(run: &Run, state: State) -> Record {
    let now = Timestamp(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64);
    Record {
        id: run.id.clone(),
        handler: "h".parse().unwrap(),
        queue: run.queue.clone(),
        priority: Priority::Normal,
        state,
        run: run.number,
        attempt: 1,
        lost: 0,
        max_retries: 0,
        enqueued_at: now,
        due_at: now,
        started_at: now,
        finished_at: now,
        worker: WorkerId::generate(),
        result: Some(Bytes::from_static(b"9")),
        failure: None,
        history: Vec::new(),
        receipt: Receipt::default(),
        keep: HOUR,
    }
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn tasks_and_results_survive_closing_the_file() {
    let place = Place::new();
    {
        let backend = place.open().await;
        backend.broker.push(messages("t", 2)).await.unwrap();
        let taken = backend.broker.reserve(&request(1)).await.unwrap();
        backend.broker.settle(vec![end(&taken[0].run, Ending::Done, State::Done)]).await.unwrap();
    }
    let backend = place.open().await;
    let taken = backend.broker.reserve(&waiting(2)).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].envelope, "t000001");
    let kept = backend.results.get(&["t000000".parse().unwrap()]).await.unwrap();
    assert_eq!(kept[0].as_ref().unwrap().result.as_deref(), Some(&b"9"[..]));
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_as_it_is() {
    let place = Place::new();
    drop(place.open().await);
    place.foreign().pragma_update(None, "user_version", 7).unwrap();
    let error = refusal(&place.path()).await;
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.contains("version 1 ") && error.message.contains("version 7"), "{error}");
    let version: i64 = place.foreign().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 7);
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let place = Place::new();
    place.foreign().execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1").unwrap();
    let before = std::fs::read(place.path()).unwrap();
    let error = refusal(&place.path()).await;
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
}

#[tokio::test]
async fn a_producers_own_tables_may_stand_in_the_same_file() {
    let place = Place::new();
    place.foreign().execute_batch("CREATE TABLE orders (x); INSERT INTO orders VALUES (1)").unwrap();
    place.open().await.broker.push(messages("t", 1)).await.unwrap();
    assert_eq!((place.count("orders"), place.count("tasq_tasks")), (1, 1));
}

#[tokio::test]
async fn files_that_are_no_database_are_refused_and_left_as_they_are() {
    let place = Place::new();
    let torn = [b"SQLite format 3\0".as_slice(), &[0xa5; 8192]].concat();
    for content in [b"not a database".as_slice(), b"x", &[0; 4096], &torn] {
        std::fs::write(place.path(), content).unwrap();
        let error = refusal(&place.path()).await;
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        assert_eq!(std::fs::read(place.path()).unwrap(), content);
    }
}

#[tokio::test]
async fn a_place_where_no_file_can_be_is_refused() {
    let place = Place::new();
    let error = refusal(&place.folder.path().join("missing/tasq.db")).await;
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(error.message.contains("missing to exist"), "{error}");
    let error = refusal(place.folder.path()).await;
    assert!(error.message.contains("found a folder"), "{error}");
    drop(place.open().await);
    let mut permissions = std::fs::metadata(place.path()).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(place.path(), permissions).unwrap();
    let error = refusal(&place.path()).await;
    assert!(error.message.contains("read-only"), "{error}");
}

#[tokio::test]
async fn damage_met_later_is_told_apart_from_a_file_that_is_busy() {
    let place = Place::new();
    let backend = place.open().await;
    backend.broker.push(messages("t", 1)).await.unwrap();
    place.foreign().execute_batch("DROP TABLE tasq_envelopes").unwrap();
    assert_eq!(backend.broker.push(messages("u", 1)).await.unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(backend.broker.reserve(&request(1)).await.unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(backend.operations.get(&["t000000".parse().unwrap()]).await.unwrap_err().kind, ErrorKind::Corrupt);
    // What failed left nothing behind.
    assert_eq!(place.count("tasq_tasks"), 1);
}

#[tokio::test]
async fn a_failure_in_a_batch_spares_its_neighbours() {
    let place = Place::new();
    let backend = place.open().await;
    let foreign = place.foreign();
    foreign
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON tasq_tasks WHEN new.id = 'bad'
             BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    // While the file is locked, all of these gather for one transaction.
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let push = |messages: Vec<Message>| {
        let broker = backend.broker.clone();
        tokio::spawn(async move { broker.push(messages).await })
    };
    let before = push(messages("a", 10));
    let bad = push([messages("b", 10), vec![message("bad")]].concat());
    let after = push(messages("c", 10));
    tokio::time::sleep(Duration::from_millis(50)).await;
    foreign.execute_batch("COMMIT").unwrap();
    assert!(before.await.unwrap().is_ok() && after.await.unwrap().is_ok());
    assert_eq!(bad.await.unwrap().unwrap_err().kind, ErrorKind::Rejected);
    assert_eq!((place.count("tasq_tasks"), place.count("tasq_envelopes")), (20, 20));
}

#[tokio::test]
async fn a_busy_foreign_writer_costs_waiting_only() {
    let place = Place::new();
    let backend = place.open().await;
    let foreign = place.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE; CREATE TABLE theirs (x)").unwrap();
    let broker = backend.broker.clone();
    let push = tokio::spawn(async move { broker.push(messages("t", 3)).await });
    // Reading doesn't even wait.
    assert!(backend.operations.depths(HOUR).await.unwrap().is_empty());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!push.is_finished());
    foreign.execute_batch("COMMIT").unwrap();
    assert_eq!(push.await.unwrap().unwrap().len(), 3);
}

#[tokio::test]
async fn a_file_that_stays_locked_is_unavailable_within_five_seconds() {
    let place = Place::new();
    let backend = place.open().await;
    let foreign = place.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let error = backend.broker.push(messages("t", 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(8));
    foreign.execute_batch("COMMIT").unwrap();
    backend.broker.push(messages("t", 1)).await.unwrap();
    assert_eq!(place.count("tasq_tasks"), 1);
}

/// Ends with its test, if the test hasn't killed it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A process of its own that holds all leases there are; how many.
fn holder(place: &Place) -> (Killed, usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hold_leases"));
    let child = command.args([&place.url(), "q", "h"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let held = line.trim().parse().expect("the holder says how many");
    (child, held)
}

#[tokio::test]
async fn a_killed_workers_tasks_come_back_within_about_a_second() {
    let place = Place::new();
    let backend = place.open().await;
    backend.broker.push(messages("t", 50)).await.unwrap();
    let (mut other, held) = holder(&place);
    assert_eq!(held, 50);
    assert!(backend.broker.reserve(&request(50)).await.unwrap().is_empty(), "they are leased for an hour");
    let began = Instant::now();
    other.0.kill().unwrap();
    let taken = backend.broker.reserve(&waiting(50)).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("back after {took:?}");
    assert_eq!(taken.len(), 50);
    assert!(taken.iter().all(|task| task.lost == 1 && task.run.number == 2));
    let files: Vec<_> = std::fs::read_dir(place.folder.path().join("tasq.db-workers")).unwrap().collect();
    assert_eq!(files.len(), 2, "the dead worker's file is gone: only this test's two are left: {files:?}");
}

#[tokio::test]
async fn the_living_keep_their_leases() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await, place.open().await);
    ours.broker.push(messages("t", 3)).await.unwrap();
    let taken = theirs.broker.reserve(&request(3)).await.unwrap();
    // Longer than it takes to find out that a worker is dead.
    let none = ours.broker.reserve(&Reserve { wait: Duration::from_millis(1500), ..request(3) }).await.unwrap();
    assert!(none.is_empty());
    let ends = taken.iter().map(|task| end(&task.run, Ending::Done, State::Done)).collect();
    assert_eq!(theirs.broker.settle(ends).await.unwrap(), [Settled::Applied; 3]);
}

#[tokio::test]
async fn a_closed_backends_tasks_come_back_at_once() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await, place.open().await);
    ours.broker.push(messages("t", 3)).await.unwrap();
    assert_eq!(theirs.broker.reserve(&request(3)).await.unwrap().len(), 3);
    drop(theirs);
    assert_eq!(ours.broker.reserve(&waiting(3)).await.unwrap().len(), 3);
}

#[tokio::test]
async fn another_handle_is_woken_and_told() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await, place.open().await);
    let mut signals = ours.signals.listen();
    let broker = ours.broker.clone();
    let taken = tokio::spawn(async move { broker.reserve(&waiting(1)).await.unwrap() });
    theirs.broker.push(messages("t", 1)).await.unwrap();
    let taken = taken.await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(tokio::time::timeout(LIMIT, signals.recv()).await.unwrap().unwrap(), Signal::Changed);
    let mut theirs = theirs.signals.listen();
    ours.broker.settle(vec![end(&taken[0].run, Ending::Done, State::Done)]).await.unwrap();
    assert_eq!(signals.recv().await.unwrap(), Signal::Ended("t000000".parse().unwrap()));
    tokio::time::timeout(LIMIT, theirs.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn foreign_results_go_through_the_outbox() {
    let place = Place::new();
    let (tasks, results) = (place.url(), format!("{}-results", place.url()));
    let backend = backend::open(&tasks.parse().unwrap(), Some(&results.parse().unwrap())).await.unwrap();
    let id: TaskId = "t000000".parse().unwrap();
    backend.broker.push(messages("t", 1)).await.unwrap();
    let taken = backend.broker.reserve(&request(1)).await.unwrap();
    let end = end(&taken[0].run, Ending::Done, State::Done);
    assert_eq!(backend.broker.settle(vec![end.clone()]).await.unwrap(), [Settled::Applied]);
    assert_eq!(backend.broker.settle(vec![end]).await.unwrap(), [Settled::Stale]);
    assert!(backend.results.get(std::slice::from_ref(&id)).await.unwrap()[0].is_none());
    let standing = backend.operations.get(std::slice::from_ref(&id)).await.unwrap().remove(0);
    assert!(matches!(standing, Some(Standing::Leaving(record)) if record.id == id));
    // Handed out until it is confirmed, also after a restart.
    drop(backend);
    let backend = backend::open(&tasks.parse().unwrap(), Some(&results.parse().unwrap())).await.unwrap();
    let letters = backend.broker.outbox(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let Effect::Record(record) = letters[0].effect.clone() else { panic!("no record") };
    backend.results.record(vec![Arc::unwrap_or_clone(record)]).await.unwrap();
    backend.broker.delivered(&[letters[0].number]).await.unwrap();
    assert!(backend.broker.outbox(10).await.unwrap().is_empty());
    assert!(backend.operations.get(std::slice::from_ref(&id)).await.unwrap()[0].is_none());
    assert!(backend.results.get(&[id]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn a_letters_number_never_comes_again() {
    let place = Place::new();
    let (tasks, results) = (place.url(), format!("{}-results", place.url()));
    let backend = backend::open(&tasks.parse().unwrap(), Some(&results.parse().unwrap())).await.unwrap();
    let mut numbers = HashSet::new();
    for name in ["a", "b"] {
        backend.broker.push(messages(name, 1)).await.unwrap();
        let taken = backend.broker.reserve(&request(1)).await.unwrap();
        backend.broker.settle(vec![end(&taken[0].run, Ending::Done, State::Done)]).await.unwrap();
        let letter = backend.broker.outbox(1).await.unwrap()[0].number;
        assert!(numbers.insert(letter));
        backend.broker.delivered(&[letter]).await.unwrap();
    }
}

#[tokio::test]
async fn a_claim_that_nobody_reads_goes_back_unharmed() {
    let place = Place::new();
    let backend = place.open().await;
    backend.broker.push(messages("t", 1)).await.unwrap();
    for _ in 0..50 {
        let (once, broker) = (request(1), backend.broker.clone());
        let mut reserve = Box::pin(async move { broker.reserve(&once).await });
        // Polled once, so that the claim is on its way, then dropped.
        tokio::select! { biased; _ = &mut reserve => panic!("too early"), () = std::future::ready(()) => {} }
        drop(reserve);
    }
    let taken = backend.broker.reserve(&waiting(1)).await.unwrap();
    assert_eq!((taken.len(), taken[0].lost, taken[0].failed), (1, 0, 0));
}

#[tokio::test]
async fn results_and_dead_letters_stay_bounded() {
    let place = Place::new();
    let backend = open(&format!("{}?sync=normal", place.url())).await.unwrap();
    let run = |n: usize| Run { queue: "q".parse().unwrap(), id: format!("r{n:06}").parse().unwrap(), number: 1 };
    let extra = 2_500;
    for chunk in (0..KEEP_DONE + extra).collect::<Vec<_>>().chunks(10_000) {
        let records = chunk.iter().map(|&n| record(&run(n), State::Done)).collect();
        backend.results.record(records).await.unwrap();
    }
    for chunk in messages("t", KEEP_DEAD + extra).chunks(1_000) {
        backend.broker.push(chunk.to_vec()).await.unwrap();
        let taken = backend.broker.reserve(&request(1_000)).await.unwrap();
        let dead = |run: &Run| end(run, Ending::Dead { keep: HOUR }, State::Dead);
        backend.broker.settle(taken.iter().map(|task| dead(&task.run)).collect()).await.unwrap();
    }
    let done = KEEP_DONE as i64;
    let dead = KEEP_DEAD as i64;
    until("the surplus is gone, and no more than that", async || {
        (place.count("tasq_results"), place.count("tasq_tasks"), place.count("tasq_envelopes"))
            == (done + dead, dead, dead)
    })
    .await;
    let first: TaskId = "r000000".parse().unwrap();
    let last = run(KEEP_DONE + extra - 1).id;
    let kept = backend.results.get(&[first, last]).await.unwrap();
    assert!(kept[0].is_none() && kept[1].is_some(), "the newest stay");
}

#[tokio::test]
async fn an_idle_file_is_tidied_too() {
    let place = Place::new();
    let backend = place.open().await;
    let run = Run { queue: "q".parse().unwrap(), id: "r1".parse().unwrap(), number: 1 };
    let short = Record { keep: Duration::from_millis(50), ..record(&run, State::Done) };
    backend.results.record(vec![short]).await.unwrap();
    until("the record has expired", async || place.count("tasq_results") == 0).await;
    drop(backend);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_on_one_file_share_the_work_without_doubling_any() {
    let place = Place::new();
    let count = 2_000;
    let mut workers = Vec::new();
    for handle in 0..3 {
        let backend = place.open().await;
        workers.push(tokio::spawn(async move {
            let name = ["a", "b", "c"][handle];
            for chunk in messages(name, count).chunks(100) {
                backend.broker.push(chunk.to_vec()).await.unwrap();
            }
            let (request, mut done) = (Reserve { wait: Duration::from_secs(2), ..request(100) }, Vec::new());
            loop {
                let taken = backend.broker.reserve(&request).await.unwrap();
                if taken.is_empty() {
                    return done;
                }
                let ends = taken.iter().map(|task| end(&task.run, Ending::Done, State::Done)).collect();
                assert!(backend.broker.settle(ends).await.unwrap().iter().all(|s| *s == Settled::Applied));
                done.extend(taken.into_iter().map(|task| task.run.id));
            }
        }));
    }
    let mut seen = HashSet::new();
    for worker in workers {
        for id in worker.await.unwrap() {
            assert!(seen.insert(id.clone()), "{id} ran twice");
        }
    }
    assert_eq!(seen.len(), 3 * count);
    assert_eq!((place.count("tasq_tasks"), place.count("tasq_results")), (0, 3 * count as i64));
}
