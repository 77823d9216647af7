//! The server is killed and comes back with what it had on disk: nothing that it accepted is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tasq_host::backend::Backend;
use tasq_host::broker::{Message, Order};
use tasq_host::codec;
use tasq_host::error::ErrorKind;
use tasq_host::sandbox::{self, Sandbox};
use tasq_host::task::{Name, Priority, State, Task, TaskId, TaskOptions};
use tasq_host::worker::{self, Options, Queues};
use tasq_tests::fixture::redis::Server;
use tasq_tests::guests::guest;
use tasq_tests::nouns::{DAY, id, task};
use tokio::sync::oneshot;

use super::{LIMIT, open, patiently};

/// Has the handler `h`. The first test that asks for it may wait for its compilation.
pub(super) fn sandbox() -> Sandbox {
    let handlers = tempfile::tempdir().unwrap();
    std::fs::copy(guest("misbehave"), handlers.path().join("h.wasm")).unwrap();
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let options = sandbox::Options { slots: 8, pagemap_scan: true, cache: Some(cache), memory_budget: None };
    let sandbox = Sandbox::new(options).unwrap();
    sandbox.load_folder(handlers.path()).unwrap();
    sandbox
}

pub(super) async fn work(backend: Backend, sandbox: Sandbox, stopped: oneshot::Receiver<()>) -> worker::Summary {
    let options = Options {
        queues: Queues::Named(vec![("q".parse().unwrap(), 1)]),
        order: Order::Weighted,
        concurrency: 8,
        lease: Duration::from_secs(2),
        drain_timeout: Duration::from_secs(5),
        max_lost: 100,
        until_empty: false,
        tally: Arc::default(),
    };
    let heard = async { drop(stopped.await) };
    worker::run(backend, Arc::new(sandbox), options, heard, std::future::pending()).await.unwrap()
}

pub(super) fn short_work(text: &str) -> Message {
    let (handler, queue): (Name, Name) = ("h".parse().unwrap(), "q".parse().unwrap());
    let envelope = codec::encode(&Task {
        id: id(text),
        handler: handler.clone(),
        queue: queue.clone(),
        priority: Priority::Normal,
        payload: Bytes::from(format!(r#"{{"do":"echo","text":"{text}"}}"#)),
        content_type: String::new(),
        headers: Default::default(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    });
    Message { handler, queue, remember: Some(DAY), envelope, ..task(text) }
}

/// Each of these ends well.
pub(super) async fn all_end(backend: &Backend, ids: &[TaskId]) {
    let ended = async {
        loop {
            let records = patiently(async || backend.results.get(ids).await).await;
            if records.iter().all(Option::is_some) {
                return records;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let records = match tokio::time::timeout(LIMIT, ended).await {
        Ok(records) => records,
        Err(_) => panic!("not all ended: {:?}", backend.operations.depths(Duration::ZERO).await),
    };
    for (id, record) in ids.iter().zip(records) {
        let record = record.unwrap();
        assert_eq!((record.state, record.result.as_deref()), (State::Done, Some(id.as_str().as_bytes())));
    }
}

/// Killed five times while producers push and a worker works: everything that was accepted ends with its result.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_mid_work_loses_nothing() {
    let sandbox = sandbox();
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::durable(folder.path());
    let backend = open(&server.url("p")).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let working = tokio::spawn(work(backend.clone(), sandbox, stopped));
    let accepted = Arc::new(AtomicUsize::new(0));
    let seen = accepted.clone();
    let killing = std::thread::spawn(move || {
        for kill in 1..=5 {
            while seen.load(Ordering::SeqCst) < kill * 100 {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.kill();
            server.restart();
        }
        server
    });
    let mut ids: Vec<TaskId> = Vec::new();
    for batch in 0..60 {
        let names: Vec<String> = (0..10).map(|number| format!("b{batch}-{number}")).collect();
        let messages = || names.iter().map(|name| short_work(name)).collect::<Vec<_>>();
        // Pushed again where the answer was lost: its ids were chosen, so it is one task all the same.
        let pushed = patiently(async || backend.broker.push(messages()).await).await;
        ids.extend(pushed.into_iter().map(|pushed| pushed.id));
        accepted.store(ids.len(), Ordering::SeqCst);
    }
    // It lasts until here, and so does the server.
    let _server = killing.join().unwrap();
    assert_eq!(ids.len(), 600);
    all_end(&backend, &ids).await;
    drop(stop);
    working.await.unwrap();
    let depth = backend.operations.depths(Duration::ZERO).await.unwrap().remove(0);
    assert_eq!((depth.scheduled, depth.pending, depth.running, depth.parked, depth.dead), (0, 0, 0, 0, 0));
}

/// What was answered is on disk: accepted tasks, ends, leases and what is due later.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::durable(folder.path());
    let backend = open(&server.url("p")).await.unwrap();
    let names = ["running", "done", "waiting"];
    backend.broker.push(names.map(task).to_vec()).await.unwrap();
    let held = backend.broker.reserve(&super::request(2)).await.unwrap();
    let end = tasq_tests::nouns::end(&held[1].run, tasq_host::task::Ending::Done);
    backend.broker.settle(&[end]).await.unwrap();
    let later = tasq_host::broker::Due::After(DAY);
    backend.broker.push(vec![Message { due: later, ..task("later") }]).await.unwrap();
    let ids = ["running", "done", "waiting", "later"].map(id);
    let before = backend.operations.get(&ids).await.unwrap();
    server.kill();
    let gone = backend.operations.get(&ids).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::Unavailable);
    server.restart();
    assert_eq!(patiently(async || backend.operations.get(&ids).await).await, before);
    let states: Vec<_> =
        before.into_iter().map(|standing| standing.map(|s| tasq_tests::nouns::here(Some(s)).state)).collect();
    assert_eq!(states, [Some(State::Running), None, Some(State::Pending), Some(State::Scheduled)]);
    assert!(!patiently(async || backend.broker.push(vec![task("done")]).await).await[0].created);
}
