//! A server that can't be reached or used says so in one line, and what was reached once is reached again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tasq_host::broker::{Order, Reserve};
use tasq_host::client::{Client, Task, Waited};
use tasq_host::error::ErrorKind;
use tasq_host::sandbox::{self, Sandbox};
use tasq_host::task::State;
use tasq_host::worker::{self, Queues};
use tasq_tests::fixture::redis::{Server, place};
use tasq_tests::guests::guest;
use tasq_tests::nouns::{DAY, id, task};

use super::{LIMIT, open, patiently, request};

#[tokio::test]
async fn a_server_that_is_not_there_is_said_promptly() {
    let mut server = Server::volatile();
    let url = server.url("p").replace("redis://", "redis://user:s3cret@");
    server.kill();
    let began = Instant::now();
    let error = open(&url).await.err().expect("nothing is there");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("redis://user:***@127.0.0.1") && !error.message.contains("s3cret"), "{error}");
    assert_eq!(error.message.lines().count(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_no_server_that_is_gone() {
    let server = Server::start(&["--requirepass", "right", "--save", "", "--dir", "/"]);
    for credentials in ["", ":wr0ng@"] {
        let url = server.url("p").replace("redis://", &format!("redis://{credentials}"));
        let error = open(&url).await.err().expect("it isn't the password");
        assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
        assert!(!error.message.contains("wr0ng"), "{error}");
    }
    let right = open(&server.url("p").replace("redis://", "redis://:right@")).await.unwrap();
    assert!(right.broker.push(vec![task("a")]).await.unwrap()[0].created);
}

#[tokio::test]
async fn a_replica_is_told_from_its_primary() {
    let (primary, replica) = (Server::volatile(), Server::volatile());
    let backend = open(&replica.url("p")).await.unwrap();
    backend.broker.push(vec![task("a")]).await.unwrap();
    let port = primary.url("").split([':', '/']).nth(4).unwrap().to_owned();
    assert_eq!(replica.say(&["REPLICAOF", "127.0.0.1", &port]), "+OK");
    let error = backend.broker.push(vec![task("b")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("replica"), "{error}");
}

#[tokio::test]
async fn a_foreign_key_is_not_written_over() {
    let server = Server::volatile();
    assert_eq!(server.say(&["SET", "p:queues", "theirs"]), "+OK");
    let error = open(&server.url("p")).await.err().expect("the key is taken");
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert!(error.message.contains("WRONGTYPE"), "{error}");
    server.say(&["SET", "other:{q}:m", "theirs"]);
    let error = open(&server.url("other")).await.unwrap().broker.push(vec![task("a")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_full_server_refuses_and_goes_on_once_there_is_room() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    backend.broker.push(vec![task("a")]).await.unwrap();
    server.say(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = backend.broker.push(vec![task("b")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    server.say(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(backend.broker.push(vec![task("b")]).await.unwrap()[0].created);
}

#[tokio::test]
async fn prefixes_keep_environments_apart() {
    let server = Server::volatile();
    let (one, two) = (open(&server.url("one")).await.unwrap(), open(&server.url("two")).await.unwrap());
    assert!(one.broker.push(vec![task("a")]).await.unwrap()[0].created);
    assert_eq!(two.broker.reserve(&request(1)).await.unwrap(), []);
    assert!(two.broker.push(vec![task("a")]).await.unwrap()[0].created);
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_is_told_them_again() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    for text in ["a", "b"] {
        backend.broker.push(vec![task(text)]).await.unwrap();
        assert_eq!(backend.broker.reserve(&request(5)).await.unwrap().len(), 1);
        assert_eq!(server.say(&["SCRIPT", "FLUSH"]), "+OK");
    }
}

#[tokio::test]
async fn cut_connections_come_back_and_are_heard_on_again() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    for round in 0..3 {
        for kind in ["normal", "pubsub"] {
            server.say(&["CLIENT", "KILL", "TYPE", kind]);
        }
        let name = format!("a{round}");
        patiently(async || backend.broker.push(vec![task(&name)]).await).await;
        assert_eq!(patiently(async || backend.broker.reserve(&request(1)).await).await.len(), 1);
    }
    // A signal arrives sooner than the look that happens anyway: in one of a few tries, for this machine may be busy.
    let mut delays = Vec::new();
    for round in 0..5 {
        let waiting = Reserve { wait: LIMIT, ..request(1) };
        let (taken, pushed_at) =
            tokio::join!(async { (backend.broker.reserve(&waiting).await, Instant::now()) }, async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                backend.broker.push(vec![task(&format!("late{round}"))]).await.unwrap();
                Instant::now()
            });
        assert_eq!(taken.0.unwrap().len(), 1);
        delays.push(taken.1.saturating_duration_since(pushed_at));
    }
    assert!(delays.iter().any(|delay| *delay < Duration::from_millis(500)), "{delays:?}");
}

/// The worker asks once its way to hear is there again: its leases are extended each eight hours.
#[tokio::test]
async fn a_wish_to_cancel_reaches_a_worker_that_could_not_hear_it() {
    let (server, home) = (Server::volatile(), tempfile::tempdir().unwrap());
    std::fs::copy(guest("misbehave"), home.path().join("sleeper.wasm")).unwrap();
    let options = sandbox::Options { slots: 1, pagemap_scan: true, cache: None, memory_budget: None };
    let sandbox = Sandbox::new(options).unwrap();
    assert_eq!(sandbox.load_folder(home.path()).unwrap().refused, []);
    let options = worker::Options {
        queues: Queues::Served,
        order: Order::Weighted,
        concurrency: 1,
        lease: DAY,
        drain_timeout: LIMIT,
        max_lost: 3,
        until_empty: false,
        tally: Arc::default(),
    };
    let (backend, never) = (open(&server.url("p")).await.unwrap(), std::future::pending);
    let working = worker::run(backend, Arc::new(sandbox), options, never(), never());
    let working = tokio::spawn(working);
    let client = Client::new(open(&server.url("p")).await.unwrap());
    let sleeper = Task::new("sleeper", r#"{"do":"sleep","ms":3600000}"#).id("a").timeout(DAY);
    client.enqueue(sleeper).await.unwrap();
    let a = id("a");
    while client.show(&a).await.unwrap().unwrap().state() != State::Running {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.say(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    client.cancel(std::slice::from_ref(&a)).await.unwrap();
    let waited = client.wait(&a, Some(LIMIT), |_| {}).await.unwrap();
    assert!(matches!(&waited, Waited::Ended(ended) if ended.state() == State::Cancelled), "{waited:?}");
    working.abort();
}

#[tokio::test]
async fn the_place_of_a_test_is_a_url_like_any_other() {
    open(&place().to_string()).await.unwrap();
}
