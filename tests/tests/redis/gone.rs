//! A list can't be asked for one of its ids: what is cancelled in one stays there, counted, until somebody passes it.

use std::time::Duration;

use tasq_host::backend::Backend;
use tasq_host::broker::{Cancel, End, Message};
use tasq_host::task::{Ending, Run};
use tasq_tests::fixture::redis::Server;
use tasq_tests::nouns::{end, id, ids, name, task};

use super::{open, take_all};

/// A task whose id is free as soon as it has left.
fn forgotten(text: &str) -> Message {
    Message { remember: None, ..task(text) }
}

async fn cancel(backend: &Backend, texts: impl Iterator<Item = String>) {
    let ends: Vec<End> =
        texts.map(|text| end(&Run { queue: name("q"), id: id(&text), number: 0 }, Ending::Cancelled)).collect();
    let answers = backend.operations.cancel(ends).await.unwrap();
    assert!(answers.iter().all(|&answer| answer == Cancel::Done));
}

async fn pending(backend: &Backend) -> u64 {
    backend.operations.depths(Duration::ZERO).await.unwrap()[0].pending
}

async fn finish(backend: &Backend) {
    let ends = take_all(backend).await.iter().map(|taken| end(&taken.run, Ending::Done)).collect::<Vec<_>>();
    backend.broker.settle(&ends).await.unwrap();
}

/// Its id is in the list twice, and then three times.
#[tokio::test]
async fn a_cancelled_task_that_is_pushed_again_is_taken_once() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    backend.broker.push(vec![forgotten("a"), forgotten("b")]).await.unwrap();
    for again in ["c", "d"] {
        cancel(&backend, ["a".to_owned()].into_iter()).await;
        assert!(backend.broker.push(vec![forgotten("a")]).await.unwrap()[0].created);
        backend.broker.push(vec![forgotten(again)]).await.unwrap();
    }
    assert_eq!(pending(&backend).await, 4);
    assert_eq!(ids(&take_all(&backend).await), ["b", "c", "a", "d"]);
    assert_eq!(pending(&backend).await, 0);
}

/// Cancelled from either end, taken by somebody or not: nothing of it stays.
#[tokio::test]
async fn a_cancelled_crowd_leaves_nothing_behind() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    let text = |number: usize| format!("a{number}");
    let push = async || backend.broker.push((0..2_500).map(|number| forgotten(&text(number))).collect()).await.unwrap();
    // The queues, and the counters of the one queue.
    let keys = || server.say(&["DBSIZE"]);
    push().await;
    cancel(&backend, (0..2_500).rev().map(text)).await;
    assert_eq!(keys(), ":2", "the newest first: nobody has to look");
    push().await;
    cancel(&backend, (0..2_000).map(text)).await;
    assert_eq!(pending(&backend).await, 500);
    finish(&backend).await;
    assert_eq!((keys().as_str(), server.say(&["HLEN", "p:{q}:c"]).as_str()), (":2", ":1"));
}
