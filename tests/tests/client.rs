//! What producers can rely on, over the reference backend and its simulated time.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tasq_host::backend::{Backend, memory};
use tasq_host::broker::finding::Finding;
use tasq_host::broker::{
    Cancel, Delivery, Depth, Effect, End, HandlerReport, Operations, Order, Reserve, Revive, Setting, Settled,
    Standing, WorkerReport,
};
use tasq_host::client::{Known, Shown, Waited};
use tasq_host::clock::Simulated;
use tasq_host::error::{Error, ErrorKind, Result};
use tasq_host::results::{Filter, REMEMBER, RETENTION, Record};
use tasq_host::task::{Ending, Failure, FailureKind, Headers, Name, Receipt, State, TaskId, WorkerId};
use tasq_host::{Client, NewTask, codec};
use tokio::time::Instant;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn task_of(shown: Shown) -> Known {
    match shown {
        Shown::Task(known) => known,
        other => panic!("expected a task, found {other:?}"),
    }
}

fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

fn memory() -> (Backend, Client) {
    let backend = memory::open(Arc::new(Simulated::start()), false);
    (backend.clone(), Client::new(backend))
}

fn task(id_text: &str) -> NewTask {
    NewTask { id: Some(id(id_text)), ..NewTask::new(name("add"), "payload") }
}

/// Takes up to `max` tasks for `handlers` from the queue `default`.
async fn reserve(backend: &Backend, handlers: &[&str], max: usize) -> Vec<Delivery> {
    let request = Reserve {
        worker: "w-1".parse().unwrap(),
        queues: vec![(name("default"), 1)],
        order: Order::Weighted,
        max,
        room: Arc::new(handlers.iter().map(|handler| (name(handler), max)).collect::<HashMap<_, _>>()),
        format: codec::FORMAT,
        lease: Duration::from_secs(15),
        wait: Duration::ZERO,
        recall: Arc::default(),
    };
    backend.broker.reserve(&request).await.unwrap()
}

/// Ends a run as a worker would: the end and its record together.
async fn settle(backend: &Backend, taken: &Delivery, result: std::result::Result<&'static str, Failure>) {
    let (state, ending) = match result {
        Ok(_) => (State::Done, Ending::Done),
        Err(_) => (State::Dead, Ending::Dead { keep: RETENTION, failed: None }),
    };
    let record = Record {
        id: taken.run.id.clone(),
        handler: taken.handler.clone(),
        queue: taken.run.queue.clone(),
        priority: taken.priority,
        state,
        run: taken.run.number,
        attempt: taken.failed + 1,
        lost: taken.lost,
        max_retries: 0,
        enqueued_at: taken.enqueued_at,
        due_at: taken.due_at,
        started_at: taken.reserved_at,
        finished_at: taken.reserved_at,
        worker: "w-1".parse().unwrap(),
        result: result.as_ref().ok().map(|text| Bytes::from_static(text.as_bytes())),
        failure: result.err(),
        history: taken.history.clone(),
        receipt: Receipt::default(),
        chain: None,
        group: None,
        logs: None,
        told: false,
        keep: RETENTION,
    };
    let effects = vec![Effect::Record(std::sync::Arc::new(record))];
    let settled = backend.broker.settle(&[End { run: taken.run.clone(), ending, effects }]).await.unwrap();
    assert_eq!(settled, [Settled::Applied]);
}

async fn announce(backend: &Backend, handler: &str, queue: Option<&str>) {
    let report = WorkerReport {
        id: "w-1".parse().unwrap(),
        queues: vec![name("default")],
        concurrency: 1,
        handlers: vec![HandlerReport {
            name: name(handler),
            digest: "sha256:0".into(),
            queue: queue.map(name),
            max_retries: None,
        }],
        notes: Headers::new(),
    };
    backend.operations.announce(&report, Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_enqueued_task_is_shown_as_it_was_written() {
    let (_, client) = memory();
    let enqueued = client.enqueue(task("a1")).await.unwrap();
    assert!(enqueued.created);
    let known = client.show(&id("a1")).await.unwrap().unwrap();
    assert_eq!(known.state(), State::Pending);
    assert_eq!(task_of(known).task().unwrap().unwrap().payload, "payload");
    assert!(client.show(&id("a2")).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_chosen_id_is_enqueued_once_until_it_is_forgotten() {
    let (backend, client) = memory();
    assert!(client.enqueue(task("a1")).await.unwrap().created);
    assert!(!client.enqueue(task("a1")).await.unwrap().created, "pending");
    let taken = reserve(&backend, &["add"], 1).await;
    settle(&backend, &taken[0], Ok("9")).await;
    assert!(!client.enqueue(task("a1")).await.unwrap().created, "remembered");
    tokio::time::advance(REMEMBER + Duration::from_secs(1)).await;
    assert!(client.enqueue(task("a1")).await.unwrap().created, "forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_task_goes_to_its_own_queue_else_to_the_announced_one_else_to_default() {
    let (backend, client) = memory();
    let queue = async |new| client.enqueue(new).await.unwrap().queue;
    assert_eq!(queue(NewTask::new(name("add"), "")).await, name("default"));
    announce(&backend, "add", Some("sums")).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(queue(NewTask::new(name("add"), "")).await, name("sums"));
    assert_eq!(queue(NewTask { queue: Some(name("own")), ..NewTask::new(name("add"), "") }).await, name("own"));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_no_worker_can_run_is_enqueued_with_a_warning() {
    let (backend, client) = memory();
    announce(&backend, "add", None).await;
    assert_eq!(client.enqueue(task("a1")).await.unwrap().unserved, None);
    let misspelt = client.enqueue(NewTask::new(name("addd"), "")).await.unwrap();
    assert!(misspelt.created);
    let unserved = misspelt.unserved.unwrap();
    assert_eq!((unserved.nearest, unserved.workers), (Some(name("add")), 1));
}

#[tokio::test(start_paused = true)]
async fn what_workers_serve_is_remembered_for_a_moment() {
    let (backend, client) = memory();
    let queue = async || client.enqueue(NewTask::new(name("add"), "")).await.unwrap().queue;
    announce(&backend, "add", Some("sums")).await;
    assert_eq!(queue().await, name("sums"));
    announce(&backend, "add", Some("additions")).await;
    assert_eq!(queue().await, name("sums"), "who enqueues one task after another doesn't ask before each");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(queue().await, name("additions"));
}

#[tokio::test(start_paused = true)]
async fn waiting_gives_the_result_as_soon_as_there_is_one() {
    let (backend, client) = memory();
    client.enqueue(task("a1")).await.unwrap();
    let begin = Instant::now();
    let work = async {
        let taken = reserve(&backend, &["add"], 1).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        settle(&backend, &taken[0], Ok("9")).await;
    };
    let mut seen = Vec::new();
    let a1 = id("a1");
    let (waited, ()) = tokio::join!(client.wait(&a1, None, |shown| seen.push(shown.state())), work);
    let Waited::Ended(Shown::Task(Known::Ended(record, _))) = waited.unwrap() else { panic!("not ended") };
    assert_eq!((record.state, record.result.clone().unwrap()), (State::Done, Bytes::from_static(b"9")));
    assert_eq!(seen, [State::Pending, State::Running]);
    // The signal, not the next look a second later, ended the wait.
    assert!(begin.elapsed() < Duration::from_millis(10_100), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dead_task_ends_the_wait_with_its_failure() {
    let (backend, client) = memory();
    client.enqueue(task("a1")).await.unwrap();
    let failure = Failure { kind: FailureKind::Handler, code: "bad".into(), message: "no".into() };
    let taken = reserve(&backend, &["add"], 1).await;
    settle(&backend, &taken[0], Err(failure.clone())).await;
    let waited = client.wait(&id("a1"), None, |_| {}).await.unwrap();
    let Waited::Ended(known) = waited else { panic!("{waited:?}") };
    assert_eq!(known.state(), State::Dead);
    let Known::Ended(record, held) = task_of(known) else { panic!("no record") };
    assert_eq!(record.failure, Some(failure));
    assert_eq!(codec::decode(&held.expect("a dead letter").envelope).unwrap().payload, "payload");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_limit() {
    let (_, client) = memory();
    client.enqueue(task("a1")).await.unwrap();
    let begin = Instant::now();
    let waited = client.wait(&id("a1"), Some(Duration::from_secs(30)), |_| {}).await.unwrap();
    assert!(matches!(waited, Waited::TooLong(State::Pending)), "{waited:?}");
    assert_eq!(begin.elapsed().as_secs(), 30);
    let waited = client.wait(&id("a1"), Some(Duration::ZERO), |_| {}).await.unwrap();
    assert!(matches!(waited, Waited::TooLong(State::Pending)), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_what_nobody_knows_ends_at_once() {
    let (_, client) = memory();
    assert!(matches!(client.wait(&id("a1"), None, |_| {}).await.unwrap(), Waited::Unknown));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_parked_task_is_told() {
    let (backend, client) = memory();
    client.enqueue(task("a1")).await.unwrap();
    assert!(reserve(&backend, &["other"], 1).await.is_empty());
    let mut seen = Vec::new();
    client.wait(&id("a1"), Some(Duration::from_secs(5)), |shown| seen.push(shown.state())).await.unwrap();
    assert_eq!(seen, [State::Parked]);
}

#[tokio::test(start_paused = true)]
async fn pages_show_every_task_once_whether_ended_or_not() {
    let (backend, client) = memory();
    for number in 0..10 {
        client.enqueue(task(&format!("a{number}"))).await.unwrap();
        // Every other place in the order is shared by two tasks.
        if number % 2 == 0 {
            tokio::time::advance(Duration::from_millis(5)).await;
        }
    }
    for taken in reserve(&backend, &["add"], 5).await {
        settle(&backend, &taken, Ok("")).await;
    }
    let mut filter = Filter { limit: 3, ..Filter::default() };
    let (mut ids, mut pages) = (Vec::new(), 0);
    loop {
        let page = client.list(&filter).await.unwrap();
        ids.extend(page.tasks.iter().map(id_of));
        pages += 1;
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    assert_eq!((pages, ids.len()), (4, 10));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 10);
    assert_eq!(ids.first().unwrap(), &id("a9"));
    let done = Filter { state: Some(State::Done), limit: 50, ..Filter::default() };
    assert_eq!(client.list(&done).await.unwrap().tasks.len(), 5);
    let pending = Filter { state: Some(State::Pending), limit: 5, ..Filter::default() };
    let page = client.list(&pending).await.unwrap();
    assert_eq!((page.tasks.len(), page.next), (5, None));
}

fn id_of(known: &Known) -> TaskId {
    match known {
        Known::Held(tracked) => tracked.id.clone(),
        Known::Ended(record, _) => record.id.clone(),
    }
}

/// Operations that can't be reached for the first `failures` looks at a task.
struct Flaky {
    inner: Arc<dyn Operations>,
    failures: AtomicUsize,
}

#[async_trait]
impl Operations for Flaky {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        self.inner.list(filter).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(Error::unavailable("gone")),
            Err(_) => self.inner.get(ids).await,
        }
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        self.inner.depths(soon).await
    }

    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>> {
        self.inner.cancel(ends).await
    }

    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>> {
        self.inner.revive(ids).await
    }

    async fn remove(&self, ids: &[TaskId]) -> Result<u64> {
        self.inner.remove(ids).await
    }

    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        self.inner.configure(queue, settings).await
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        self.inner.announce(worker, every).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<()> {
        self.inner.withdraw(worker).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>> {
        self.inner.workers().await
    }

    async fn findings(&self) -> Result<Vec<Finding>> {
        self.inner.findings().await
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_outlasts_a_short_outage_and_gives_up_on_a_long_one() {
    let (backend, client) = memory();
    client.enqueue(task("a1")).await.unwrap();
    let taken = reserve(&backend, &["add"], 1).await;
    settle(&backend, &taken[0], Ok("9")).await;
    let wait = async |failures| {
        let operations = Arc::new(Flaky { inner: backend.operations.clone(), failures: AtomicUsize::new(failures) });
        Client::new(Backend { operations, ..backend.clone() }).wait(&id("a1"), None, |_| {}).await
    };
    assert!(matches!(wait(3).await.unwrap(), Waited::Ended(_)));
    let begin = Instant::now();
    assert_eq!(wait(usize::MAX).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
}
