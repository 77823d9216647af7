//! The writer: shared transactions, the outbox, and what it drops in time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::broker::{Delivery, Message, Pushed, Settled, Standing};
use tasq_host::clock::{Clock, System};
use tasq_host::error::{ErrorKind, Result};
use tasq_host::results::KEEP_DEAD;
use tasq_host::task::{Ending, Run, State};
use tasq_tests::nouns::{DAY, death, end, ended, id, name, record, recorded, task, tasks};

use super::{LIMIT, Place, done, open, request, waiting};

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Three pushes of ten in one transaction, the second with a task more that a trigger refuses in its way.
async fn push_with_a_bad_one(place: &Place, backend: &Backend, refuse: &str) -> [Result<Vec<Pushed>>; 3] {
    let foreign = place.foreign();
    foreign
        .execute_batch(&format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON tasq_tasks WHEN new.id = 'bad'
             BEGIN SELECT raise({refuse}, 'no'); END",
        ))
        .unwrap();
    // While the file is locked, all of these gather for one transaction.
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let push = |messages: Vec<Message>| {
        let broker = backend.broker.clone();
        tokio::spawn(async move { broker.push(messages).await })
    };
    let before = push(tasks("a", 10));
    let bad = push([tasks("b", 10), vec![task("bad")]].concat());
    let after = push(tasks("c", 10));
    tokio::time::sleep(Duration::from_millis(50)).await;
    foreign.execute_batch("COMMIT").unwrap();
    [before.await.unwrap(), bad.await.unwrap(), after.await.unwrap()]
}

#[tokio::test]
async fn a_failure_in_a_batch_spares_its_neighbours() {
    let place = Place::new();
    let backend = place.open().await;
    let [before, bad, after] = push_with_a_bad_one(&place, &backend, "ABORT").await;
    assert!(before.is_ok() && after.is_ok());
    assert_eq!(bad.unwrap_err().kind, ErrorKind::Rejected);
    assert_eq!((place.count("tasq_tasks"), place.count("tasq_envelopes")), (20, 20));
}

/// As SQLite does by itself when the disk is full.
#[tokio::test]
async fn nobody_in_a_batch_that_is_rolled_back_is_told_otherwise() {
    let place = Place::new();
    let backend = place.open().await;
    let answers = push_with_a_bad_one(&place, &backend, "ROLLBACK").await;
    let kept: usize = answers.iter().flatten().map(Vec::len).sum();
    assert!(answers[1].is_err());
    assert_eq!(place.count("tasq_tasks"), kept as i64, "what is accepted is there: {answers:?}");
    let told = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(told >= 2, "at least two shared the transaction: {answers:?}");
    backend.broker.push(tasks("d", 1)).await.unwrap();
    assert_eq!(place.count("tasq_tasks"), kept as i64 + 1);
}

#[tokio::test]
async fn a_busy_foreign_writer_costs_waiting_only() {
    let place = Place::new();
    let backend = place.open().await;
    let foreign = place.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE; CREATE TABLE theirs (x)").unwrap();
    let broker = backend.broker.clone();
    let push = tokio::spawn(async move { broker.push(tasks("t", 3)).await });
    // Reading doesn't even wait.
    assert!(backend.operations.depths(DAY).await.unwrap().is_empty());
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
    let error = backend.broker.push(tasks("t", 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(8));
    foreign.execute_batch("COMMIT").unwrap();
    backend.broker.push(tasks("t", 1)).await.unwrap();
    assert_eq!(place.count("tasq_tasks"), 1);
}

async fn with_foreign_results(place: &Place) -> Backend {
    let (tasks, results) = (place.url(), format!("{}-results", place.url()));
    backend::open(&tasks.parse().unwrap(), Some(&results.parse().unwrap())).await.unwrap()
}

#[tokio::test]
async fn foreign_results_go_through_the_outbox() {
    let place = Place::new();
    let backend = with_foreign_results(&place).await;
    let id = id("t0");
    backend.broker.push(tasks("t", 1)).await.unwrap();
    let taken = backend.broker.reserve(&request(1)).await.unwrap();
    let end = done(&taken[0]);
    assert_eq!(backend.broker.settle(std::slice::from_ref(&end)).await.unwrap(), [Settled::Applied]);
    assert_eq!(backend.broker.settle(&[end]).await.unwrap(), [Settled::Stale]);
    assert!(backend.results.get(std::slice::from_ref(&id)).await.unwrap()[0].is_none());
    let standing = backend.operations.get(std::slice::from_ref(&id)).await.unwrap().remove(0);
    assert!(matches!(standing, Some(Standing::Leaving(record)) if record.id == id));
    // Handed out until it is confirmed, also after a restart.
    drop(backend);
    let backend = with_foreign_results(&place).await;
    let letters = backend.broker.outbox(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let record = letters[0].record.clone();
    backend.results.record(vec![Arc::unwrap_or_clone(record)]).await.unwrap();
    backend.broker.delivered(&[letters[0].number]).await.unwrap();
    assert!(backend.broker.outbox(10).await.unwrap().is_empty());
    assert!(backend.operations.get(std::slice::from_ref(&id)).await.unwrap()[0].is_none());
    assert!(backend.results.get(&[id]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn a_letters_number_never_comes_again() {
    let place = Place::new();
    let backend = with_foreign_results(&place).await;
    let mut numbers = HashSet::new();
    for name in ["a", "b"] {
        backend.broker.push(tasks(name, 1)).await.unwrap();
        let taken = backend.broker.reserve(&request(1)).await.unwrap();
        backend.broker.settle(&[done(&taken[0])]).await.unwrap();
        let letter = backend.broker.outbox(1).await.unwrap()[0].number;
        assert!(numbers.insert(letter));
        backend.broker.delivered(&[letter]).await.unwrap();
    }
}

#[tokio::test]
async fn a_claim_that_nobody_reads_goes_back_unharmed() {
    let place = Place::new();
    let backend = place.open().await;
    backend.broker.push(tasks("t", 1)).await.unwrap();
    let nobodys = Run { queue: name("q"), id: id("nobody"), number: 1 };
    for round in 0..50 {
        let (once, broker) = (request(1), backend.broker.clone());
        let mut reserve = Box::pin(async move { broker.reserve(&once).await });
        // Polled once: the claim is on its way. Where it has arrived within that poll it is read, and given back.
        let early = tokio::select! { biased; taken = &mut reserve => taken.unwrap(), () = async {} => Vec::new() };
        if let [taken] = &early[..] {
            let back = end(&taken.run, Ending::Release { after: Duration::ZERO });
            backend.broker.settle(&[back]).await.unwrap();
            continue;
        }
        // In every other round it arrives and is not read: the writer works in order, and the second of two calls one
        // after the other comes after it.
        for _ in 0..2 * (round % 2) {
            backend.broker.extend(std::slice::from_ref(&nobodys), DAY).await.unwrap();
        }
        drop(reserve);
    }
    let taken = backend.broker.reserve(&waiting(1)).await.unwrap();
    assert_eq!((taken.len(), taken[0].lost, taken[0].failed), (1, 0, 0));
    assert!(taken[0].run.number > 10, "some had arrived: {}", taken[0].run.number);
}

#[tokio::test]
async fn what_is_over_a_cap_is_dropped_chunk_by_chunk_and_whole() {
    let place = Place::new();
    let backend = open(&format!("{}?sync=normal", place.url())).await.unwrap();
    for chunk in tasks("t", KEEP_DEAD + 2_500).chunks(1_000) {
        backend.broker.push(chunk.to_vec()).await.unwrap();
        let taken = backend.broker.reserve(&request(chunk.len())).await.unwrap();
        let dead = |task: &Delivery| recorded(&task.run, death(DAY), record(task, State::Dead, DAY));
        backend.broker.settle(&taken.iter().map(dead).collect::<Vec<_>>()).await.unwrap();
    }
    let tables = ["tasq_records", "tasq_tasks", "tasq_envelopes"];
    until("the surplus is gone", async || tables.map(|table| place.count(table)) == [KEEP_DEAD as i64; 3]).await;
    assert_eq!(place.count("tasq_tombstones"), 2_500, "their ids stay taken");
}

#[tokio::test]
async fn an_idle_file_is_tidied_too() {
    let place = Place::new();
    let backend = place.open().await;
    let now = System.now();
    let short = ended("r1", "q", State::Done, (now, now), Duration::from_millis(50));
    backend.results.record(vec![short]).await.unwrap();
    until("the record has expired", async || place.count("tasq_records") == 0).await;
    drop(backend);
}
