//! Many at once: nothing is given to two, nothing is lost, nothing is done twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasq_host::backend::Backend;
use tasq_host::broker::{Delivery, End, Reserve, Settled};
use tasq_host::task::{Ending, TaskId};

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

const TASKS: usize = 2_000;

/// What the crowd did: the runs of each task that anyone was given, and how many tasks have ended.
#[derive(Default)]
struct Tally {
    runs: Mutex<HashMap<TaskId, Vec<u32>>>,
    ended: AtomicUsize,
}

/// One of the crowd: takes, ends (every fifth first run fails), until all have ended.
async fn work(backend: Backend, request: Reserve, tally: Arc<Tally>) {
    while tally.ended.load(Ordering::SeqCst) < TASKS {
        let taken = backend.broker.reserve(&request).await.expect("reserve");
        let ends = taken.iter().map(|delivery| end(&delivery.run, ending(delivery))).collect::<Vec<End>>();
        for delivery in &taken {
            let mut runs = tally.runs.lock().expect("no panic elsewhere");
            runs.entry(delivery.run.id.clone()).or_default().push(delivery.run.number);
        }
        let done = ends.iter().filter(|end| end.ending == Ending::Done).count();
        let answers = backend.broker.settle(&ends).await.expect("settle");
        assert!(answers.iter().all(|&answer| answer == Settled::Applied), "nobody else had them");
        tally.ended.fetch_add(done, Ordering::SeqCst);
    }
}

fn ending(delivery: &Delivery) -> Ending {
    let fails = delivery.run.number == 1 && delivery.run.id.as_str().ends_with(['0', '5']);
    if fails { retry(delivery, Duration::ZERO) } else { Ending::Done }
}

/// Eight workers over two handles, pushes going on meanwhile: each run is given to exactly one.
pub async fn no_run_is_given_to_two(f: Fixture) {
    let handles = [f.backend.clone(), f.reopen().await];
    let tally = Arc::new(Tally::default());
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..8 {
        let request = Reserve {
            worker: worker(&format!("w{number}")),
            wait: Duration::from_millis(100),
            ..f.asking(1 + number * 3)
        };
        crowd.spawn(work(handles[number % 2].clone(), request, tally.clone()));
    }
    for batch in 0..TASKS / 100 {
        f.push(tasks(&format!("b{batch}-"), 100)).await;
        tokio::task::yield_now().await;
    }
    while let Some(done) = crowd.join_next().await {
        done.expect("no worker of the crowd panicked");
    }
    let runs = tally.runs.lock().expect("no panic elsewhere");
    assert_eq!(runs.len(), TASKS);
    for (id, runs) in runs.iter() {
        let expected: &[u32] = if id.as_str().ends_with(['0', '5']) { &[1, 2] } else { &[1] };
        assert_eq!(runs, expected, "{id}");
    }
}

/// Many producers push the same ids at once: each id is one task, and one producer is told that it made it.
pub async fn an_id_pushed_by_many_is_created_by_one(f: Fixture) {
    let other = f.reopen().await;
    let pushes = (0..8).map(|number| {
        let backend = if number % 2 == 0 { f.backend.clone() } else { other.clone() };
        tokio::spawn(async move { backend.broker.push(tasks("same", 50)).await.expect("push") })
    });
    let mut created = 0;
    for push in pushes.collect::<Vec<_>>() {
        created += push.await.expect("no panic").iter().filter(|pushed| pushed.created).count();
    }
    assert_eq!(created, 50);
    f.take(&f.asking(50)).await;
    f.nothing(&f.asking(50)).await;
}

/// Two holders of the same run (one was believed dead, and its end is on the way) settle at once: at most one is told
/// that it ended it.
pub async fn a_run_ended_by_two_at_once_ends_once(f: Fixture) {
    let other = f.reopen().await;
    for round in 0..20 {
        let delivery = f.running(task(&format!("a{round}"))).await;
        let ends = |ending| [end(&delivery.run, ending)];
        let (done, retried) = (ends(Ending::Done), ends(retry(&delivery, Duration::ZERO)));
        let (done, retried) = tokio::join!(f.backend.broker.settle(&done), other.broker.settle(&retried));
        let answers = [done.expect("settle")[0], retried.expect("settle")[0]];
        assert_eq!(answers.iter().filter(|&&answer| answer == Settled::Applied).count(), 1, "{answers:?}");
        for delivery in f.look(&Reserve { wait: Duration::ZERO, ..f.asking(5) }).await {
            f.end(&delivery, Ending::Done).await;
        }
    }
}

/// A crowd waits; one task comes: one gets it, the others go on waiting.
pub async fn one_task_wakes_one_of_many(f: Fixture) {
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..6 {
        let request =
            Reserve { worker: worker(&format!("w{number}")), wait: Duration::from_secs(2), ..f.asking(1) };
        let broker = f.backend.broker.clone();
        crowd.spawn(async move { broker.reserve(&request).await.expect("reserve").len() });
    }
    tokio::task::yield_now().await;
    f.push(vec![task("a")]).await;
    let got = tokio::time::timeout(PATIENCE, crowd.join_all()).await.expect("in time");
    assert_eq!(got.iter().sum::<usize>(), 1);
}
