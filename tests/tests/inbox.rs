//! Taking in what other programs left, over every backend: what is read, where it goes, and a crash after each step.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tasq_host::backend::Backend;
use tasq_host::broker::finding::Finding;
use tasq_host::broker::{
    Broker, Cancel, Delivery, Depth, End, Held, Letter, Message, Operations, Pushed, Reserve, Revive, Setting, Settled,
    Standing, WorkerReport,
};
use tasq_host::client::{Client, Known, Shown};
use tasq_host::error::{Error, ErrorKind, Result};
use tasq_host::inbox::{HOLD, Inbox, Parcel, Ticket};
use tasq_host::results::Filter;
use tasq_host::task::{Ending, FailureKind, Name, Run, State, TaskId};
use tasq_host::worker::inbox::{UNREADABLE, take_in};
use tasq_tests::fixture::nats::Nats;
use tasq_tests::fixture::redis::Redis;
use tasq_tests::fixture::{Fixture, MemoryThreaded, Sqlite};
use tasq_tests::nouns::{DAY, asking, id, record, recorded};

/// Makes a test of each, over each backend.
macro_rules! over_all {
    ($($law:ident,)+) => {
        mod memory { $(#[test] fn $law() { super::MemoryThreaded::run(super::$law); })+ }
        mod sqlite { $(#[test] fn $law() { super::Sqlite::run(super::$law); })+ }
        mod redis { $(#[test] fn $law() { super::Redis::run(super::$law); })+ }
        mod nats_oldest { $(#[test] fn $law() { super::Nats::oldest(super::$law); })+ }
        mod nats_newest { $(#[test] fn $law() { super::Nats::newest(super::$law); })+ }
    };
}

over_all! {
    what_is_left_becomes_tasks,
    chains_and_groups_are_taken_in,
    an_id_that_is_taken_stays_its_task,
    what_cannot_be_read_becomes_a_dead_letter,
    a_crash_after_any_step_doubles_nothing,
    a_crash_after_any_step_of_burying_doubles_nothing,
    what_the_broker_refuses_hinders_no_other,
}

fn nowhere(_: &Name) -> Option<Name> {
    None
}

/// Until nothing is left.
async fn take_in_all(f: &Fixture, backend: &Backend) {
    while f.backend.inbox.left().await.expect("left") > 0 {
        take_in(backend, nowhere).await.expect("take in");
    }
}

async fn known(f: &Fixture, text: &str) -> Known {
    match Client::new(f.backend.clone()).show(&id(text)).await.expect("show") {
        Some(Shown::Task(known)) => known,
        other => panic!("{text}: expected a task, found {other:?}"),
    }
}

async fn all(f: &Fixture, state: Option<State>) -> Vec<Known> {
    let filter = Filter { state, limit: 1_000, ..Filter::default() };
    Client::new(f.backend.clone()).list(&filter).await.expect("list").tasks
}

async fn what_is_left_becomes_tasks(f: Fixture) {
    f.leave(r#"{"handler":"add","payload":{"arg1":5},"id":"a1","queue":"q","headers":{"k":"v"}}"#).await;
    f.leave(r#"{"handler":"add","payload":"text"}"#).await;
    f.leave(r#"{"handler":"mine","id":"m1"}"#).await;
    let mine = |handler: &Name| (handler.as_str() == "mine").then(|| "slow".parse().expect("a name"));
    while f.backend.inbox.left().await.expect("left") > 0 {
        take_in(&f.backend, mine).await.expect("take in");
    }
    let task = known(&f, "a1").await.task().expect("an envelope").expect("a task");
    assert_eq!((task.queue.as_str(), &task.payload[..]), ("q", &br#"{"arg1":5}"#[..]));
    assert_eq!(task.headers["k"], "v");
    assert_eq!(known(&f, "m1").await.task().expect("an envelope").expect("a task").queue.as_str(), "slow");
    let mut queues: Vec<String> = Vec::new();
    for task in all(&f, None).await {
        queues.push(task.task().expect("an envelope").expect("a task").queue.to_string());
    }
    queues.sort();
    assert_eq!(queues, ["default", "q", "slow"]);
}

async fn chains_and_groups_are_taken_in(f: Fixture) {
    f.leave(r#"{"chain":[{"handler":"a","payload":1},{"handler":"b"}],"id":"c"}"#).await;
    f.leave(r#"{"group":{"members":[{"handler":"a"},{"handler":"b"}],"callback":{"handler":"c"}},"id":"g"}"#).await;
    take_in_all(&f, &f.backend).await;
    let mut ids: Vec<String> = all(&f, None).await.iter().map(|task| task.id().to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["c/s1", "g/cb", "g/m1", "g/m2"]);
}

async fn an_id_that_is_taken_stays_its_task(f: Fixture) {
    for number in 1..=3 {
        f.leave(&format!(r#"{{"handler":"add","payload":{number},"id":"a1"}}"#)).await;
        take_in_all(&f, &f.backend).await;
    }
    assert_eq!(all(&f, None).await.len(), 1);
    assert_eq!(known(&f, "a1").await.task().expect("an envelope").expect("a task").payload, "1");
}

const BAD: [(&str, &str); 7] = [
    ("{", "expected a JSON object"),
    ("\u{1}\u{7f}", "expected a JSON object"),
    (r#"{"payload":1}"#, "missing field `handler`"),
    (r#"{"handler":"add","colour":"red"}"#, "unknown field `colour`"),
    (r#"{"handler":"No such name"}"#, "expected [a-z0-9]"),
    (r#"{"handler":"add","id":"cron:x:1"}"#, "reserved"),
    (r#"{"handler":"add","timeout":"soon"}"#, "timeout: expected a time"),
];

async fn what_cannot_be_read_becomes_a_dead_letter(f: Fixture) {
    let large = format!(r#"{{"handler":"add","payload_base64":"{}"}}"#, "A".repeat(850_000));
    let mut expected: Vec<(String, String)> = Vec::new();
    for (text, why) in BAD {
        f.leave(text).await;
        f.leave(&format!(r#"{{"handler":"add","payload":{}}}"#, expected.len())).await;
        expected.push((text.to_owned(), why.to_owned()));
    }
    f.leave(&large).await;
    take_in_all(&f, &f.backend).await;
    assert_eq!(all(&f, Some(State::Pending)).await.len(), BAD.len() + 1, "they hinder no other");
    let dead = all(&f, Some(State::Dead)).await;
    assert_eq!(dead.len(), BAD.len());
    for letter in dead {
        let letter = known(&f, letter.id().as_str()).await;
        let record = letter.record().expect("a record");
        let failure = record.failure.as_ref().expect("a reason");
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Corrupt, "corrupt"));
        assert_eq!((record.handler.as_str(), record.run, record.history.len()), (UNREADABLE, 0, 1));
        let payload = letter.task().expect("the bytes are kept").expect("a task").payload;
        let place = expected.iter().position(|(text, _)| *text == payload).expect("its bytes");
        let (_, why) = expected.remove(place);
        assert!(failure.message.contains(&why), "{why}: {}", failure.message);
    }
    f.nothing(&asking(&["default"], &[UNREADABLE], 9, DAY)).await;
}

/// Passes calls on, until so many of those that change something have been made; the next one is made, and its answer lost.
struct Crashing {
    inner: Backend,
    left: AtomicUsize,
}

impl Crashing {
    /// A backend whose `steps`-th change, from 0, is its last.
    fn after(inner: &Backend, steps: usize) -> Backend {
        let crashing = Arc::new(Crashing { inner: inner.clone(), left: AtomicUsize::new(steps) });
        Backend { broker: crashing.clone(), operations: crashing.clone(), inbox: crashing, ..inner.clone() }
    }

    fn step(&self) -> Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Error::unavailable("crashed"))
    }
}

#[async_trait]
impl Inbox for Crashing {
    async fn read(&self, max: usize, wait: Duration) -> Result<Vec<Parcel>> {
        let read = self.inner.inbox.read(max, wait).await?;
        if !read.is_empty() {
            self.step()?;
        }
        Ok(read)
    }

    async fn taken(&self, tickets: Vec<Ticket>) -> Result<()> {
        if tickets.is_empty() {
            return Ok(());
        }
        self.step()?;
        self.inner.inbox.taken(tickets).await
    }

    async fn left(&self) -> Result<u64> {
        self.inner.inbox.left().await
    }
}

#[async_trait]
impl Broker for Crashing {
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>> {
        // One that is refused as a whole.
        if messages.iter().any(|message| message.handler.as_str() == "refused") {
            return Err(Error::rejected("refused"));
        }
        let pushed = self.inner.broker.push(messages).await?;
        self.step()?;
        Ok(pushed)
    }

    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>> {
        self.inner.broker.reserve(request).await
    }

    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>> {
        self.inner.broker.extend(runs, lease).await
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>> {
        self.inner.broker.settle(ends).await
    }

    async fn outbox(&self, max: usize) -> Result<Vec<Letter>> {
        self.inner.broker.outbox(max).await
    }

    async fn delivered(&self, letters: &[u64]) -> Result<()> {
        self.inner.broker.delivered(letters).await
    }
}

#[async_trait]
impl Operations for Crashing {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        self.inner.operations.list(filter).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        self.inner.operations.get(ids).await
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        self.inner.operations.depths(soon).await
    }

    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>> {
        let answers = self.inner.operations.cancel(ends).await?;
        self.step()?;
        Ok(answers)
    }

    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>> {
        self.inner.operations.revive(ids).await
    }

    async fn remove(&self, ids: &[TaskId]) -> Result<u64> {
        self.inner.operations.remove(ids).await
    }

    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        self.inner.operations.configure(queue, settings).await
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        self.inner.operations.announce(worker, every).await
    }

    async fn withdraw(&self, worker: &tasq_host::task::WorkerId) -> Result<()> {
        self.inner.operations.withdraw(worker).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>> {
        self.inner.operations.workers().await
    }

    async fn findings(&self) -> Result<Vec<Finding>> {
        self.inner.operations.findings().await
    }
}

/// A worker that dies at its `steps`-th change; whether it did.
async fn dies(f: &Fixture, steps: usize) -> bool {
    let crashing = Crashing::after(&f.backend, steps);
    while f.backend.inbox.left().await.expect("left") > 0 {
        match take_in(&crashing, nowhere).await {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
                return true;
            }
        }
    }
    false
}

/// What the next worker finds, once what the dead one had read is nobody's.
async fn recover(f: &Fixture) {
    while f.backend.inbox.left().await.expect("left") > 0 {
        f.pass(HOLD).await;
        take_in(&f.backend, nowhere).await.expect("take in");
    }
}

async fn a_crash_after_any_step_doubles_nothing(f: Fixture) {
    let mut steps = 0;
    let mut expected = 0;
    loop {
        for payload in 0..3 {
            f.leave(&format!(r#"{{"handler":"h","payload":{payload},"queue":"q"}}"#)).await;
        }
        expected += 3;
        let died = dies(&f, steps).await;
        // What it had pushed may have been done by the time somebody reads it again.
        if steps == 1 {
            for delivery in f.look(&f.asking(9)).await {
                f.settle(recorded(&delivery.run, Ending::Done, record(&delivery, State::Done, DAY))).await;
            }
        }
        recover(&f).await;
        f.soon("all are there", async || all(&f, None).await.len() >= expected).await;
        assert_eq!(all(&f, None).await.len(), expected, "after {steps} steps");
        if !died {
            assert!(steps >= 3, "read, push and take are three");
            return;
        }
        steps += 1;
    }
}

async fn a_crash_after_any_step_of_burying_doubles_nothing(f: Fixture) {
    let mut steps = 0;
    loop {
        f.leave("{").await;
        let died = dies(&f, steps).await;
        recover(&f).await;
        assert_eq!(all(&f, Some(State::Dead)).await.len(), steps + 1, "after {steps} steps");
        assert_eq!(all(&f, None).await.len(), steps + 1, "and nothing else");
        if !died {
            assert!(steps >= 4, "read, push, end and take are four");
            return;
        }
        steps += 1;
    }
}

async fn what_the_broker_refuses_hinders_no_other(f: Fixture) {
    for number in 0..7 {
        let handler = if number == 3 { "refused" } else { "h" };
        f.leave(&format!(r#"{{"handler":"{handler}"}}"#)).await;
    }
    take_in_all(&f, &Crashing::after(&f.backend, usize::MAX)).await;
    assert_eq!(all(&f, Some(State::Pending)).await.len(), 6);
    let dead = all(&f, Some(State::Dead)).await;
    assert_eq!(dead[0].record().expect("a record").failure.as_ref().expect("a reason").message, "refused");
}
