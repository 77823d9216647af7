//! What only NATS can do to a backend: servers that die, lose their data, refuse, or are not there.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use tasq_host::backend::url::NatsOptions;
use tasq_host::backend::{Backend, nats};
use tasq_host::broker::{Message, Order, Reserve, Settled};
use tasq_host::error::{Error, ErrorKind};
use tasq_host::results::Record;
use tasq_host::sandbox::{self, Sandbox};
use tasq_host::task::{Ending, State, TaskId};
use tasq_host::worker;
use tasq_host::{Client, NewTask};
use tasq_tests::fixture::PATIENCE;
use tasq_tests::fixture::nats::{Server, Version, options, shared};
use tasq_tests::guests::guest;
use tasq_tests::nouns::{DAY, asking, end, here, id, name, record, recorded, task, tasks, worker as named};

async fn open(options: &NatsOptions) -> Backend {
    open_with(options, 64 << 10).await
}

async fn open_with(options: &NatsOptions, log: u64) -> Backend {
    nats::open(options, nats::Tuning { clock: None, log, ..nats::Tuning::default() }, false)
        .await
        .expect("open the server")
}

async fn refused(url: &str) -> Error {
    let began = Instant::now();
    let answer = nats::open(&options(url), nats::Tuning::default(), false).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    answer.err().expect("the server can't be used")
}

/// Tries again while the server is away, as producers and workers do.
async fn insist<T>(mut call: impl AsyncFnMut() -> tasq_host::error::Result<T>) -> T {
    let began = Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.kind == ErrorKind::Unavailable && began.elapsed() < PATIENCE * 3, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Takes and ends until the given number of tasks has ended.
async fn work(backend: &Backend, name: &str, wanted: usize, ended: &Mutex<HashSet<TaskId>>) {
    let lease = Duration::from_secs(3);
    let request = Reserve { worker: named(name), wait: Duration::from_millis(200), ..asking(&["q"], &["h"], 7, lease) };
    while ended.lock().expect("no panic elsewhere").len() < wanted {
        for delivery in insist(async || backend.broker.reserve(&request).await).await {
            let record = record(&delivery, State::Done, DAY);
            let end = || vec![recorded(&delivery.run, Ending::Done, record.clone())];
            // Stale where the first answer was lost: then it has ended, by this run or a later one.
            insist(async || backend.broker.settle(&end()).await).await;
            ended.lock().expect("no panic elsewhere").insert(delivery.run.id);
        }
    }
}

async fn everything_ends_across_crashes(version: Version) {
    const TASKS: usize = 1_500;
    let mut server = Server::start(version, "");
    let options = server.options();
    let ended = Mutex::default();
    let (producer, first, second) = (open(&options).await, open(&options).await, open(&options).await);
    let produce = async {
        for batch in 0..TASKS / 50 {
            let push = insist(async || producer.broker.push(tasks(&format!("b{batch}-"), 50)).await);
            // Again and again the server is killed, with calls under way, and comes back with its data.
            let crash = async {
                if batch % 10 == 5 {
                    tokio::task::block_in_place(|| {
                        server.kill();
                        server.restart();
                    });
                }
            };
            tokio::join!(push, crash);
        }
    };
    let workers = async { tokio::join!(work(&first, "w1", TASKS, &ended), work(&second, "w2", TASKS, &ended)) };
    let all = tokio::time::timeout(PATIENCE * 4, async { tokio::join!(produce, workers) }).await;
    all.expect("all that was accepted ends in time");
    let ids: Vec<TaskId> = (0..TASKS).map(|number| id(&format!("b{}-{}", number / 50, number % 50))).collect();
    let fresh = open(&options).await;
    let records = fresh.results.get(&ids).await.expect("get");
    let missing = ids.iter().zip(records).filter(|(_, record)| record.is_none()).count();
    assert_eq!(missing, 0, "accepted, and without a record");
    let left = fresh.operations.depths(Duration::ZERO).await.expect("depths");
    assert!(left.iter().all(|depth| depth.pending + depth.running + depth.scheduled == 0), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_accepted_ends_though_the_oldest_server_is_killed_again_and_again() {
    everything_ends_across_crashes(Version::Oldest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_accepted_ends_though_the_newest_server_is_killed_again_and_again() {
    everything_ends_across_crashes(Version::Newest).await;
}

/// A real worker with a real guest: it goes on by itself when the server is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_when_a_killed_server_is_back() {
    let mut server = Server::start(Version::Oldest, "");
    let options = server.options();
    let backend = open(&options).await;
    let (handlers, client) = (tempfile::tempdir().expect("a folder"), Client::new(backend.clone()));
    std::fs::copy(guest("echo"), handlers.path().join("echo.wasm")).expect("copy");
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let sandbox = sandbox::Options { slots: 8, pagemap_scan: true, cache: Some(cache), memory_budget: None };
    let sandbox = Sandbox::new(sandbox).expect("an engine");
    sandbox.load_folder(handlers.path()).expect("a folder");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = worker::Options {
        queues: tasq_host::worker::Queues::Named(vec![(name("default"), 1)]),
        order: Order::Weighted,
        concurrency: 4,
        lease: Duration::from_secs(5),
        drain_timeout: Duration::from_secs(5),
        max_lost: 3,
        until_empty: false,
        tally: Arc::default(),
    };
    let stopped = async { drop(stopped.await) };
    let working = worker::run(open(&options).await, Arc::new(sandbox), working, stopped, std::future::pending());
    let working = tokio::spawn(working);
    let mut ids = Vec::new();
    for round in 0..12 {
        // Enqueued again where an answer was lost: the first is then a task that nobody waits for.
        let enqueue = async |number: usize| {
            let new = || NewTask::new(name("echo"), format!("{round} {number}"));
            insist(async || client.enqueue(new()).await).await.id
        };
        ids.extend(futures_util::future::join_all((0..50).map(&enqueue)).await);
        if round % 4 == 1 {
            tokio::task::block_in_place(|| {
                server.kill();
                server.restart();
            });
        }
    }
    let began = Instant::now();
    loop {
        let records = insist(async || backend.results.get(&ids).await).await;
        let done = records.iter().flatten().filter(|record| record.state == State::Done).count();
        if done == ids.len() {
            break;
        }
        assert!(began.elapsed() < PATIENCE * 2, "{done} of {} are done", ids.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(stop);
    working.await.expect("no panic").expect("no error");
}

/// A handle that is ahead of what the server still has begins anew with what is there.
async fn lost_ends_are_believed(version: Version) {
    let mut server = Server::start(version, "");
    let options = server.options();
    let (kept, lost) = (open(&options).await, server.folder().join("data"));
    kept.broker.push(tasks("kept", 20)).await.expect("push");
    server.kill();
    let copy = server.folder().join("copy");
    copy_all(&lost, &copy);
    server.restart();
    insist(async || kept.broker.push(tasks("lost", 20)).await).await;
    server.kill();
    std::fs::remove_dir_all(&lost).expect("remove the data");
    std::fs::rename(&copy, &lost).expect("put the old data in place");
    server.restart();
    // As many messages as were lost, and more: numbers alone don't tell.
    let anew = open(&options).await;
    insist(async || anew.broker.push(tasks("new", 5)).await).await;
    let began = Instant::now();
    loop {
        let ids = [id("kept0"), id("lost0"), id("new0")];
        let found = insist(async || kept.operations.get(&ids).await).await;
        let found: Vec<bool> = found.iter().map(Option::is_some).collect();
        if found == [true, false, true] {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let taken = insist(async || kept.broker.reserve(&asking(&["q"], &["h"], 50, DAY)).await).await;
    assert_eq!(taken.len(), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_server_is_believed_when_it_lost_the_end_of_its_log() {
    lost_ends_are_believed(Version::Oldest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_server_is_believed_when_it_lost_the_end_of_its_log() {
    lost_ends_are_believed(Version::Newest).await;
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(done.success());
}

/// Many snapshots later a new handle knows all that an old one knows, and the server keeps little.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_and_nothing_in_it_is_forgotten() {
    let server = shared(Version::Oldest);
    let options = server.options();
    let backend = open_with(&options, 16 << 10).await;
    backend.broker.push(vec![task("first")]).await.expect("push");
    for batch in 0..200 {
        let messages =
            tasks(&format!("b{batch}-"), 20).into_iter().map(|message| Message { remember: None, ..message });
        backend.broker.push(messages.collect()).await.expect("push");
        let taken = backend.broker.reserve(&asking(&["q"], &["h"], 20, DAY)).await.expect("reserve");
        let ends = taken.iter().filter(|delivery| delivery.run.id != id("first"));
        let ends = ends.map(|delivery| end(&delivery.run, Ending::Done)).collect::<Vec<_>>();
        backend.broker.settle(&ends).await.expect("settle");
    }
    let fresh = open_with(&options, 16 << 10).await;
    let first = [id("first")];
    let (old, new) = (backend.operations.get(&first).await, fresh.operations.get(&first).await);
    assert_eq!(here(old.expect("get").remove(0)), here(new.expect("get").remove(0)));
    let client = async_nats::connect(server.address()).await.expect("connect");
    let jetstream = async_nats::jetstream::new(client);
    let began = Instant::now();
    loop {
        let mut kept = 0;
        for stream in ["log", "snapshots"] {
            let name = format!("{}_{stream}", options.prefix);
            kept += jetstream.get_stream(name).await.expect("the stream").cached_info().state.bytes;
        }
        // 4,000 tasks of some 300 bytes of log each have gone by.
        if kept < 400 << 10 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{kept} bytes are kept");
        backend.broker.push(vec![task("again")]).await.expect("push");
    }
}

/// Far more than the server takes in one message, all or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_limit_on_messages_limits_no_task() {
    let server = Server::start(Version::Oldest, "max_payload: 8192\n");
    let backend = open(&server.options()).await;
    let envelope = Bytes::from(vec![7; 300_000]);
    backend.broker.push(vec![Message { envelope: envelope.clone(), ..task("big") }]).await.expect("push");
    let taken = backend.broker.reserve(&asking(&["q"], &["h"], 5, DAY)).await.expect("reserve");
    assert!(taken[0].envelope == envelope);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_promptly() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port();
    // Accepts and says nothing, like a machine that hangs.
    let silent = refused(&format!("nats://127.0.0.1:{port}")).await;
    assert_eq!(silent.kind, ErrorKind::Unavailable, "{silent}");
    drop(free);
    let absent = refused(&format!("nats://me:secret@127.0.0.1:{port}")).await;
    assert_eq!(absent.kind, ErrorKind::Unavailable, "{absent}");
    assert!(absent.message.starts_with(&format!("nats://me:***@127.0.0.1:{port}: ")), "{absent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_told_as_such() {
    let server = Server::without_jetstream();
    let error = refused(&format!("nats://{}", server.address())).await;
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    assert!(error.message.contains("JetStream"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_passwords_and_tokens_open_the_door_and_others_do_not() {
    for (config, good, bad) in [
        ("authorization { user: me, password: \"s:c@ret\" }", "me:s%3Ac%40ret@", "me:wrong@"),
        ("authorization { token: t0ken }", "t0ken@", "wrong@"),
    ] {
        let server = Server::start(Version::Newest, config);
        let url = |who: &str| format!("nats://{who}{}", server.address());
        let backend = open(&options(&url(good))).await;
        assert!(backend.broker.push(vec![task("a")]).await.expect("push")[0].created);
        for who in [bad, ""] {
            let error = refused(&url(who)).await;
            assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
            assert!(!error.message.contains("wrong"), "{error}");
        }
    }
}

/// Whoever asks while the server is away is told so, in time, and goes on when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_while_the_server_is_away_and_work_when_it_is_back() {
    let mut server = Server::start(Version::Newest, "");
    let backend = open(&server.options()).await;
    backend.broker.push(vec![task("a")]).await.expect("push");
    let delivery = backend.broker.reserve(&asking(&["q"], &["h"], 1, DAY)).await.expect("reserve").remove(0);
    server.kill();
    let error = backend.broker.push(vec![task("b")]).await.expect_err("the server is away");
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    server.restart();
    let settled = insist(async || backend.broker.settle(&[end(&delivery.run, Ending::Done)]).await).await;
    assert_eq!(settled, [Settled::Applied]);
}

/// Long payloads and results stand apart, come back whole, and leave when nobody needs them any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_long_stands_apart_and_leaves_with_its_task() {
    let server = shared(Version::Oldest);
    let options = server.options();
    let backend = open_with(&options, 256 << 10).await;
    let envelope = |text: &str| Bytes::from(text.repeat(20_000));
    let long = |text: &str| Message { envelope: envelope(text), ..task(text) };
    backend.broker.push(vec![long("stays")]).await.expect("push");
    backend.broker.reserve(&asking(&["q"], &["h"], 1, DAY)).await.expect("reserve");
    for round in 0..40 {
        let text = format!("a{round}");
        backend.broker.push(vec![long(&text)]).await.expect("push");
        let taken = backend.broker.reserve(&asking(&["q"], &["h"], 5, DAY)).await.expect("reserve").remove(0);
        assert!(taken.envelope == envelope(&text), "{text}");
        let result = Some(envelope("result"));
        let kept = if round == 7 { DAY } else { Duration::ZERO };
        let record = Record { result, ..record(&taken, State::Done, kept) };
        backend.broker.settle(&[recorded(&taken.run, Ending::Done, record)]).await.expect("settle");
    }
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.address()).await.expect("connect"));
    let blobs = jetstream.get_stream(format!("{}_blobs", options.prefix)).await.expect("the stream");
    let began = Instant::now();
    // Of 40 × 180 KB, those since the last snapshots and what is still needed.
    while blobs.get_info().await.expect("info").state.bytes > 1_500_000 {
        assert!(began.elapsed() < PATIENCE, "{:?}", blobs.get_info().await.expect("info").state);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let fresh = open(&options).await;
    let stays = here(fresh.operations.get(&[id("stays")]).await.expect("get").remove(0));
    assert!(stays.envelope == envelope("stays"));
    let record = fresh.results.get(&[id("a7")]).await.expect("get").remove(0).expect("it is kept");
    assert!(record.result == Some(envelope("result")));
}

/// What was taken for a caller that has left meanwhile was never begun: it comes back at once, and nothing is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dropped_reserve_had_taken_is_given_back_uncharged() {
    let backend = open(&shared(Version::Newest).options()).await;
    for round in 0..20 {
        let text = format!("a{round}");
        backend.broker.push(vec![task(&text)]).await.expect("push");
        let request = Reserve { wait: PATIENCE, ..asking(&["q"], &["h"], 1, DAY) };
        // Polled once, it has asked; nobody hears the answer.
        if let Some(answer) = backend.broker.reserve(&request).now_or_never() {
            // This thread was put to sleep for so long that the answer was there: given back by hand.
            let given = answer.expect("reserve").remove(0);
            let release = vec![end(&given.run, Ending::Release { after: Duration::ZERO })];
            backend.broker.settle(&release).await.expect("settle");
        }
        let taken = backend.broker.reserve(&request).await.expect("reserve").remove(0);
        assert_eq!((taken.run.id.as_str(), taken.run.number, taken.lost, taken.failed), (text.as_str(), 2, 0, 0));
        assert_eq!(backend.broker.settle(&[end(&taken.run, Ending::Done)]).await.expect("settle"), [Settled::Applied]);
    }
}

/// A server that insists on TLS, with a certificate of its own making.
#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_server_is_reached_by_who_trusts_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (key, certificate) = (file("key.pem"), file("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tasq"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("openssl; scripts/servers installs it");
    assert!(made.status.success(), "{made:?}");
    let server = Server::start(Version::Newest, &format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}"));
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://{}?ca={certificate}", server.address());
        let backend = open(&options(&url)).await;
        assert_eq!(backend.broker.push(vec![task(scheme)]).await.expect("push").len(), 1);
    }
    let distrusted = refused(&format!("tls://{}", server.address())).await;
    assert_eq!(distrusted.kind, ErrorKind::Unavailable, "{distrusted}");
    assert!(distrusted.message.contains("certificate"), "{distrusted}");
    let absent = refused(&format!("tls://{}?ca={}", server.address(), file("absent.pem"))).await;
    assert_eq!(absent.kind, ErrorKind::Rejected, "{absent}");
}
