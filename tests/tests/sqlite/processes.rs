//! Several processes, or handles, on one file.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tasq_host::broker::{Cancel, Reserve, Setting, Settled, Signal};
use tasq_host::task::{Ending, Run};
use tasq_tests::nouns::{end, id, name, tasks};

use super::{LIMIT, Place, done, request, waiting};

/// Ends with its test, if the test hasn't killed it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a process says.
type Said = BufReader<ChildStdout>;

/// A process of its own that holds all leases there are; how many; and what else it says.
fn holder(place: &Place) -> (Killed, usize, Said) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hold_leases"));
    let child = command.args([&place.url(), "q", "h"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let (mut line, mut said) = (String::new(), BufReader::new(child.0.stdout.take().unwrap()));
    said.read_line(&mut line).unwrap();
    let held = line.trim().parse().expect("the holder says how many");
    (child, held, said)
}

#[tokio::test]
async fn a_killed_workers_tasks_come_back_within_about_a_second() {
    let place = Place::new();
    let backend = place.open().await;
    backend.broker.push(tasks("t", 50)).await.unwrap();
    let (mut other, held, _said) = holder(&place);
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

/// Each within a second of the wish, though nothing else happens to the file.
#[tokio::test]
async fn another_process_hears_what_it_is_to_cancel() {
    let place = Place::new();
    let backend = place.open().await;
    backend.broker.push(tasks("t", 3)).await.unwrap();
    let (_other, held, mut said) = holder(&place);
    assert_eq!(held, 3);
    let began = Instant::now();
    for text in ["t1", "t0"] {
        let run = Run { queue: name("q"), id: id(text), number: 1 };
        let asked = backend.operations.cancel(vec![end(&run, Ending::Cancelled)]).await.unwrap();
        assert_eq!(asked, [Cancel::Asked]);
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), text);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("both heard after {took:?}");
}

/// What one handle sets holds for the very next claim of another, which read the settings before.
#[tokio::test]
async fn a_setting_holds_for_other_handles_at_once() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await, place.open().await);
    ours.broker.push(tasks("t", 40)).await.unwrap();
    for _ in 0..20 {
        ours.operations.configure(&name("q"), &[Setting::Paused(true)]).await.unwrap();
        assert!(theirs.broker.reserve(&request(1)).await.unwrap().is_empty());
        theirs.operations.configure(&name("q"), &[Setting::Paused(false)]).await.unwrap();
        assert_eq!(ours.broker.reserve(&request(1)).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_living_keep_their_leases() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await, place.open().await);
    ours.broker.push(tasks("t", 3)).await.unwrap();
    let taken = theirs.broker.reserve(&request(3)).await.unwrap();
    // Longer than it takes to find out that a worker is dead.
    let none = ours.broker.reserve(&Reserve { wait: Duration::from_millis(1500), ..request(3) }).await.unwrap();
    assert!(none.is_empty());
    let ends = taken.iter().map(done).collect::<Vec<_>>();
    assert_eq!(theirs.broker.settle(&ends).await.unwrap(), [Settled::Applied; 3]);
}

#[tokio::test]
async fn a_closed_backends_tasks_come_back_at_once() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await, place.open().await);
    ours.broker.push(tasks("t", 3)).await.unwrap();
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
    theirs.broker.push(tasks("t", 1)).await.unwrap();
    let taken = taken.await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(tokio::time::timeout(LIMIT, signals.recv()).await.unwrap().unwrap(), Signal::Changed);
    let mut theirs = theirs.signals.listen();
    ours.broker.settle(&[done(&taken[0])]).await.unwrap();
    assert_eq!(signals.recv().await.unwrap(), Signal::Ended(id("t0")));
    tokio::time::timeout(LIMIT, theirs.recv()).await.unwrap().unwrap();
}

/// Without a wake-up each round would take what a look now and then takes: a quarter of a second at best.
#[tokio::test]
async fn another_handle_is_woken_at_once() {
    let place = Place::new();
    let (ours, theirs) = (place.open().await, place.open().await);
    let began = Instant::now();
    for round in 0..100 {
        let broker = ours.broker.clone();
        let taken = tokio::spawn(async move { broker.reserve(&waiting(1)).await.unwrap() });
        // It looks meanwhile, and waits; if it didn't, the round would only be shorter.
        tokio::time::sleep(Duration::from_millis(5)).await;
        theirs.broker.push(tasks(&format!("t{round}-"), 1)).await.unwrap();
        assert_eq!(taken.await.unwrap().len(), 1);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
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
            for chunk in tasks(name, count).chunks(100) {
                backend.broker.push(chunk.to_vec()).await.unwrap();
            }
            let (request, mut ended) = (Reserve { wait: Duration::from_secs(2), ..request(100) }, Vec::new());
            loop {
                let taken = backend.broker.reserve(&request).await.unwrap();
                if taken.is_empty() {
                    return ended;
                }
                let ends = taken.iter().map(done).collect::<Vec<_>>();
                assert!(backend.broker.settle(&ends).await.unwrap().iter().all(|s| *s == Settled::Applied));
                ended.extend(taken.into_iter().map(|task| task.run.id));
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
    assert_eq!((place.count("tasq_tasks"), place.count("tasq_records")), (0, 3 * count as i64));
}
