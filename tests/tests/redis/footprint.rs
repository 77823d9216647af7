//! What is left behind, and what a waiting task costs.

use std::time::Duration;

use bytes::Bytes;
use tasq_host::broker::{End, Message};
use tasq_host::codec;
use tasq_host::task::{Ending, Name, Priority, State, Task, TaskId, TaskOptions};
use tasq_tests::fixture::redis::Server;
use tasq_tests::nouns::{death, record, recorded, retry, task};

use super::{open, take_all};

fn number(server: &Server, words: &[&str]) -> u64 {
    server.say(words).trim_start_matches(':').parse().unwrap()
}

/// What a producer pushes that names nothing but the handler, with a payload of 100 bytes.
fn ordinary() -> Message {
    let (id, handler): (TaskId, Name) = (TaskId::generate(), "h".parse().unwrap());
    let queue: Name = "q".parse().unwrap();
    let envelope = codec::encode(&Task {
        id: id.clone(),
        handler: handler.clone(),
        queue: queue.clone(),
        priority: Priority::Normal,
        payload: Bytes::from(vec![b'x'; 100]),
        content_type: String::new(),
        headers: Default::default(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    });
    Message { id, queue, handler, remember: None, envelope, ..task("ordinary") }
}

/// Done, retried, dead: once nothing of them is to be kept, nothing is.
#[tokio::test]
async fn a_crowd_that_has_ended_leaves_nothing_behind() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    let brief = Duration::from_millis(1);
    for round in 0..5 {
        let chosen = (0..200).map(|n| Message { remember: Some(brief), ..task(&format!("a{round}-{n}")) });
        let messages = (0..800).map(|_| ordinary()).chain(chosen).collect();
        backend.broker.push(messages).await.unwrap();
        let taken = take_all(&backend).await;
        assert_eq!(taken.len(), 1_000);
        let retried: Vec<End> = taken.iter().step_by(3).map(again_at_once).collect();
        backend.broker.settle(&retried).await.unwrap();
        let end = |ending: Ending, state| {
            move |d: &tasq_host::broker::Delivery| recorded(&d.run, ending.clone(), record(d, state, brief))
        };
        let rest = taken.iter().enumerate().filter(|(n, _)| n % 3 > 0).map(|(_, d)| d);
        let (dead, done): (Vec<_>, Vec<_>) = rest.partition(|d| d.run.id.as_str().ends_with('1'));
        let dead = dead.into_iter().map(end(death(brief), State::Dead));
        let done = done.into_iter().map(end(Ending::Done, State::Done));
        backend.broker.settle(&dead.chain(done).collect::<Vec<_>>()).await.unwrap();
        let again = take_all(&backend).await;
        backend.broker.settle(&again.iter().map(end(Ending::Done, State::Done)).collect::<Vec<_>>()).await.unwrap();
    }
    // The queues, and the counters of the one queue.
    let keys = async || {
        take_all(&backend).await;
        number(&server, &["DBSIZE"]) == 2
    };
    let soon = async {
        while !keys().await {
            tokio::time::sleep(Duration::from_millis(5)).await
        }
    };
    let waited = tokio::time::timeout(super::LIMIT, soon).await;
    assert!(waited.is_ok(), "{} keys are left", number(&server, &["DBSIZE"]));
}

fn again_at_once(delivery: &tasq_host::broker::Delivery) -> End {
    End { run: delivery.run.clone(), ending: retry(delivery, Duration::ZERO), effects: Vec::new() }
}

/// At most 380 bytes, its payload of 100 among them.
#[tokio::test]
async fn a_waiting_task_takes_little_memory() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    backend.broker.push(vec![ordinary()]).await.unwrap();
    let used = || -> u64 {
        let lines = server.lines(&["INFO", "memory"]);
        lines.iter().find_map(|line| line.strip_prefix("used_memory_dataset:")).unwrap().parse().unwrap()
    };
    let (before, count) = (used(), 50_000);
    for _ in 0..count / 500 {
        backend.broker.push((0..500).map(|_| ordinary()).collect()).await.unwrap();
    }
    let each = (used() - before) / count;
    assert!(each <= 380, "{each} bytes a task");
    println!("{each} bytes a task");
}
