//! What a worker makes of tasks: each law on memory, on an SQLite file, on Redis and on NATS, with real guests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tasq_host::backend::{self, Backend};
use tasq_host::broker::{Due, End, Message, Order, Reserve, Settled, Unique};
use tasq_host::client::{Client, Known, NewTask, Shown, Waited};
use tasq_host::codec;
use tasq_host::results::{Filter, Record};
use tasq_host::sandbox::{self, Sandbox};
use tasq_host::task::{Backoff, Ending, FailureKind, Headers, Name, Priority, State, TaskId, TaskOptions};
use tasq_host::worker::{self, Options, Queues, Summary};
use tasq_tests::fixture::nats;
use tasq_tests::guests::guest;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod cancel;
mod chains;
mod follow_ups;
mod groups;
mod letters;
mod pairs;
mod refused;
mod store;
mod watched;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    backend: Backend,
    client: Client,
    handlers: tempfile::TempDir,
    _home: tempfile::TempDir,
}

/// Runs a law over each backend.
fn law<F: Future<Output = ()>>(check: impl Fn(Place) -> F) {
    law_on(&["memory", "sqlite", "redis", "nats"], check);
}

/// Runs a law over these.
fn law_on<F: Future<Output = ()>>(servers: &[&str], check: impl Fn(Place) -> F) {
    for &server in servers {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let home = tempfile::tempdir().expect("a folder");
            let url = match server {
                "memory" => "memory:".to_owned(),
                "nats" => nats::shared(nats::Version::Newest).options().to_string(),
                "redis" => tasq_tests::fixture::redis::place().to_string(),
                _ => format!("sqlite:{}", home.path().join("tasq.db").display()),
            };
            let backend = backend::open(&url.parse().expect("a URL"), None).await.expect("it opens");
            let client = Client::new(backend.clone());
            let handlers = tempfile::tempdir().expect("a folder");
            eprintln!("over {server}");
            check(Place { backend, client, handlers, _home: home }).await;
        });
    }
}

/// A worker at work, and how to stop it.
struct Working {
    stop: oneshot::Sender<()>,
    stop_now: oneshot::Sender<()>,
    sandbox: Arc<Sandbox>,
    ended: JoinHandle<tasq_host::error::Result<Summary>>,
}

impl Working {
    async fn stop(self) -> Summary {
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.ended).await.expect("it stops").expect("no panic").expect("no error")
    }
}

fn options() -> Options {
    Options {
        queues: Queues::Named(vec![(name("default"), 1)]),
        order: Order::Weighted,
        concurrency: 8,
        lease: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(25),
        max_lost: 3,
        until_empty: false,
        tally: Arc::default(),
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

impl Place {
    /// Puts the guest `misbehave` into the handlers folder under this name.
    fn serve(&self, handler: &str, manifest: &str) {
        self.serve_guest("misbehave", handler, manifest);
    }

    fn serve_guest(&self, from: &str, handler: &str, manifest: &str) {
        let file = self.handlers.path().join(format!("{handler}.wasm"));
        std::fs::write(file.with_extension("toml"), manifest).expect("write");
        std::fs::copy(guest(from), &file).expect("copy");
    }

    fn sandbox(&self) -> Arc<Sandbox> {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let options = sandbox::Options { slots: 16, pagemap_scan: true, cache: Some(cache), memory_budget: None };
        let sandbox = Sandbox::new(options).expect("an engine");
        let loaded = sandbox.load_folder(self.handlers.path()).expect("a folder");
        assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
        Arc::new(sandbox)
    }

    fn work(&self, options: Options) -> Working {
        let sandbox = self.sandbox();
        let ((stop, stopped), (stop_now, stopped_now)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
        let heard = |receiver: oneshot::Receiver<()>| async { drop(receiver.await) };
        let working = worker::run(self.backend.clone(), sandbox.clone(), options, heard(stopped), heard(stopped_now));
        Working { stop, stop_now, sandbox, ended: tokio::spawn(working) }
    }

    async fn until_empty(&self, options: Options) -> Summary {
        let options = Options { until_empty: true, ..options };
        let never = std::future::pending;
        let working = worker::run(self.backend.clone(), self.sandbox(), options, never(), never());
        tokio::time::timeout(PATIENCE, working).await.expect("it ends").expect("no error")
    }

    async fn enqueue(&self, handler: &str, behaviour: Value, options: TaskOptions) -> TaskId {
        let task = NewTask { options, ..NewTask::new(name(handler), behaviour.to_string()) };
        self.client.enqueue(task).await.expect("it is accepted").id
    }

    async fn record(&self, id: &TaskId) -> Record {
        let shown = self.client.show(id).await.expect("it answers").expect("it is known");
        shown.record().unwrap_or_else(|| panic!("not ended: {shown:?}")).as_ref().clone()
    }

    async fn state(&self, id: &TaskId) -> State {
        self.client.show(id).await.expect("it answers").expect("it is known").state()
    }

    /// Waits until a task stands so.
    async fn until(&self, id: &TaskId, state: State) {
        let seen = async {
            while self.state(id).await != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            panic!("{id} never was {state}: it is {}", self.state(id).await);
        }
    }

    /// As another worker would take it.
    async fn take(&self, handler: &str, lease: Duration) -> tasq_host::broker::Delivery {
        let request = Reserve {
            worker: "another".parse().expect("a worker"),
            queues: vec![(name("default"), 1)],
            order: Order::Weighted,
            max: 1,
            room: Arc::new([(name(handler), 1)].into()),
            format: codec::FORMAT,
            lease,
            wait: PATIENCE,
            recall: Arc::default(),
        };
        self.backend.broker.reserve(&request).await.expect("it answers").remove(0)
    }
}

fn fast(max_retries: u32) -> TaskOptions {
    let backoff = Some(Backoff::Fixed { delay: Duration::from_millis(20) });
    TaskOptions { max_retries: Some(max_retries), backoff, ..TaskOptions::default() }
}

#[test]
fn a_task_runs_and_its_result_and_receipt_are_kept() {
    law(|place| async move {
        place.serve("m", "");
        let id = place.enqueue("m", json!({"do": "echo", "text": "hello"}), TaskOptions::default()).await;
        let summary = place.until_empty(options()).await;
        assert_eq!(summary, Summary { done: 1, ..Summary::default() });
        let record = place.record(&id).await;
        assert_eq!((record.state, record.result.as_deref()), (State::Done, Some(&b"hello"[..])));
        assert_eq!((record.attempt, record.run, record.lost, record.max_retries), (1, 1, 0, 25));
        assert!(record.receipt.digest.starts_with("sha256:") && *record.receipt.worker == *record.worker.as_str());
        assert!(record.receipt.peak_memory_bytes > 0 && record.finished_at >= record.started_at);
    });
}

#[test]
fn a_failure_is_retried_until_it_succeeds() {
    law(|place| async move {
        place.serve("m", "");
        let id = place.enqueue("m", json!({"do": "flaky", "failures": 2}), fast(5)).await;
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.done, summary.retried), (1, 2));
        let record = place.record(&id).await;
        assert_eq!((record.attempt, record.run, record.result.as_deref()), (3, 3, Some(&b"3"[..])));
        assert_eq!(record.history.iter().map(|run| run.attempt).collect::<Vec<_>>(), [1, 2]);
    });
}

#[test]
fn retries_end_in_the_dead_letters_with_every_error() {
    law(|place| async move {
        place.serve("m", "max_retries = 2\nbackoff = \"fixed:10ms\"");
        let id = place.enqueue("m", json!({"do": "fail", "message": "no", "code": "c"}), TaskOptions::default()).await;
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.dead, summary.retried), (1, 2));
        let record = place.record(&id).await;
        assert_eq!((record.state, record.attempt, record.history.len()), (State::Dead, 3, 3));
        let failure = record.failure.expect("a reason");
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Handler, "c"));
        let kept = place.client.show(&id).await.expect("it answers").expect("it is known");
        let Shown::Task(kept) = kept else { panic!("a task") };
        assert!(kept.task().expect("the envelope is kept for a retry").is_ok());
    });
}

#[test]
fn a_discard_is_dead_at_once_and_a_snooze_costs_no_attempt() {
    law(|place| async move {
        place.serve("m", "");
        let dead = place.enqueue("m", json!({"do": "fail", "kind": "discard"}), fast(5)).await;
        let snoozed = place.enqueue("m", json!({"do": "fail", "kind": "snooze", "after_ms": 60_000}), fast(0)).await;
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.dead, summary.retried, summary.scheduled), (1, 1, 1));
        assert_eq!((place.state(&dead).await, place.state(&snoozed).await), (State::Dead, State::Scheduled));
        let Some(Shown::Task(Known::Held(tracked))) = place.client.show(&snoozed).await.expect("it answers") else {
            panic!("a snoozed task is held")
        };
        assert_eq!((tracked.run, tracked.failed, tracked.lost), (1, 0, 0));
    });
}

#[test]
fn a_delay_without_end_is_a_delay_like_another() {
    law(|place| async move {
        place.serve("m", "");
        let behaviour = json!({"do": "fail", "after_ms": u64::MAX});
        let id = place.enqueue("m", behaviour, fast(5)).await;
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.retried, summary.scheduled), (1, 1));
        assert_eq!(place.state(&id).await, State::Scheduled);
    });
}

#[test]
fn a_task_without_handler_is_parked_and_runs_once_one_appears() {
    law(|place| async move {
        place.serve("m", "");
        let id = place.enqueue("late", json!({"do": "echo", "text": "x"}), TaskOptions::default()).await;
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.done, summary.parked), (0, 1));
        assert_eq!(place.state(&id).await, State::Parked);
        let working = place.work(options());
        place.serve("late", "");
        working.sandbox.load_folder(place.handlers.path()).expect("a folder");
        place.until(&id, State::Done).await;
        assert_eq!(working.stop().await.done, 1);
    });
}

#[test]
fn a_stop_lets_running_tasks_finish() {
    law(|place| async move {
        place.serve("m", "");
        let id = place.enqueue("m", json!({"do": "until-stopped"}), TaskOptions::default()).await;
        let working = place.work(options());
        place.until(&id, State::Running).await;
        assert_eq!(working.stop().await, Summary { done: 1, ..Summary::default() });
        assert_eq!(place.record(&id).await.result.as_deref(), Some(&b"shutting-down"[..]));
    });
}

#[test]
fn what_does_not_finish_is_given_back_uncharged() {
    law(|place| async move {
        place.serve("m", "timeout = \"2h\"");
        let id = place.enqueue("m", json!({"do": "sleep"}), TaskOptions::default()).await;
        for again in 1..=2 {
            let working = place.work(Options { drain_timeout: Duration::from_millis(50), ..options() });
            place.until(&id, State::Running).await;
            let summary = if again == 1 {
                working.stop().await
            } else {
                // The second signal: at once, whatever the time that was given.
                drop(working.stop_now);
                tokio::time::timeout(PATIENCE, working.ended).await.expect("it stops").expect("ok").expect("ok")
            };
            assert_eq!(summary, Summary { released: 1, ..Summary::default() });
            let Some(Shown::Task(Known::Held(tracked))) = place.client.show(&id).await.expect("it answers") else {
                panic!("it is held")
            };
            assert_eq!(tracked.state, State::Pending);
            assert_eq!((tracked.run, tracked.failed, tracked.lost), (again, 0, 0));
        }
    });
}

#[test]
fn a_guest_whose_lease_is_gone_is_stopped_and_its_end_changes_nothing() {
    law(|place| async move {
        place.serve("m", "timeout = \"2h\"");
        let id = place.enqueue("m", json!({"do": "sleep"}), TaskOptions::default()).await;
        // Extended each 700 ms; between two extensions the task is ended under the worker's hands.
        let working = place.work(Options { lease: Duration::from_millis(2_100), ..options() });
        place.until(&id, State::Running).await;
        let run = tasq_host::task::Run { queue: name("default"), id: id.clone(), number: 1 };
        let end = End { run: run.clone(), ending: Ending::Cancelled, effects: Vec::new() };
        assert_eq!(place.backend.broker.settle(&[end]).await.expect("it answers"), [Settled::Applied]);
        // The slot is free again: with one slot only, the next task could not run otherwise.
        let ends = place.work(Options { concurrency: 1, ..options() });
        let next = place.enqueue("m", json!({"do": "echo", "text": "x"}), TaskOptions::default()).await;
        place.until(&next, State::Done).await;
        ends.stop().await;
        let summary = working.stop().await;
        assert_eq!((summary.dead, summary.released), (0, 0), "{summary:?}");
    });
}

#[test]
fn a_task_whose_workers_vanish_is_poison_after_three() {
    law(|place| async move {
        place.serve("m", "");
        let id = place.enqueue("m", json!({"do": "echo", "text": "x"}), TaskOptions::default()).await;
        let neighbour = place.enqueue("m", json!({"do": "echo", "text": "y"}), TaskOptions::default()).await;
        let first = place.take("m", Duration::from_millis(1)).await;
        assert_eq!(first.run.id, id);
        // Only this task's leases run out: the neighbour is done meanwhile.
        let summary = place.until_empty(Options { max_lost: 1, ..options() }).await;
        assert_eq!((summary.done, summary.dead), (1, 1));
        let record = place.record(&id).await;
        let failure = record.failure.expect("a reason");
        assert_eq!((failure.kind, failure.code.as_str(), record.lost), (FailureKind::Lost, "poison", 1));
        assert_eq!(record.attempt, 0, "no attempt was charged");
        assert_eq!(place.state(&neighbour).await, State::Done);
    });
}

#[test]
fn a_task_that_nobody_started_in_time_expires() {
    law(|place| async move {
        place.serve("m", "");
        let expires = TaskOptions { expires: Some(Duration::ZERO), ..TaskOptions::default() };
        let due = Due::At(tasq_host::task::Timestamp(1));
        let task = NewTask { options: expires, due, ..NewTask::new(name("m"), "{}") };
        let id = place.client.enqueue(task).await.expect("it is accepted").id;
        assert_eq!(place.until_empty(options()).await.dead, 1);
        let failure = place.record(&id).await.failure.expect("a reason");
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Expired, "expired"));
    });
}

#[test]
fn an_envelope_that_cannot_be_read_is_a_dead_letter_and_a_newer_one_waits() {
    law(|place| async move {
        place.serve("m", "");
        let message = |id: &str, format: u8, envelope: &'static [u8]| Message {
            id: id.parse().expect("an id"),
            queue: name("default"),
            handler: name("m"),
            priority: Priority::Normal,
            due: Due::Now,
            remember: None,
            unique: None,
            format,
            envelope: Bytes::from_static(envelope),
        };
        let messages = vec![
            message("damaged", codec::FORMAT, b"\x01\xff\xff\xff"),
            message("newer", codec::FORMAT + 1, b"\x02?"),
            message("newer-unsaid", codec::FORMAT, b"\x02?"),
        ];
        place.backend.broker.push(messages).await.expect("accepted");
        let working = place.work(options());
        let [damaged, newer, unsaid] =
            ["damaged", "newer", "newer-unsaid"].map(|id| id.parse::<TaskId>().expect("an id"));
        place.until(&damaged, State::Dead).await;
        let failure = place.record(&damaged).await.failure.expect("a reason");
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Corrupt, "corrupt"));
        place.until(&newer, State::Parked).await;
        // What claims a format that its bytes don't have is damaged.
        place.until(&unsaid, State::Dead).await;
        working.stop().await;
        assert_eq!(place.state(&newer).await, State::Parked);
    });
}

#[test]
fn a_handler_at_its_limit_holds_up_nobody() {
    law(|place| async move {
        place.serve("slow", "concurrency = 1\ntimeout = \"2h\"");
        place.serve("m", "");
        let mut slow = Vec::new();
        for _ in 0..20 {
            slow.push(place.enqueue("slow", json!({"do": "until-stopped"}), TaskOptions::default()).await);
        }
        let mut quick = Vec::new();
        for _ in 0..20 {
            quick.push(place.enqueue("m", json!({"do": "echo", "text": "x"}), TaskOptions::default()).await);
        }
        let working = place.work(options());
        for id in &quick {
            place.until(id, State::Done).await;
        }
        let running = |states: &[State]| states.iter().filter(|&&state| state == State::Running).count();
        let mut states = Vec::new();
        for id in &slow {
            states.push(place.state(id).await);
        }
        assert_eq!(running(&states), 1, "{states:?}");
        assert!(states.iter().all(|state| [State::Running, State::Pending].contains(state)), "{states:?}");
        assert_eq!(working.stop().await.done, 21);
    });
}

#[test]
fn a_limited_handler_goes_on_as_soon_as_its_slot_is_free() {
    law(|place| async move {
        place.serve("slow", "concurrency = 1");
        place.serve("m", "");
        let mut last = None;
        for _ in 0..50 {
            last = Some(place.enqueue("slow", json!({"do": "sleep", "ms": 1}), TaskOptions::default()).await);
        }
        let began = std::time::Instant::now();
        let working = place.work(options());
        place.until(&last.expect("fifty"), State::Done).await;
        // A worker that looked only each second would take 50.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        working.stop().await;
    });
}

#[test]
fn results_may_live_elsewhere() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let home = tempfile::tempdir().expect("a folder");
        let url = |file: &str| format!("sqlite:{}", home.path().join(file).display()).parse().expect("a URL");
        let backend = backend::open(&url("tasks.db"), Some(&url("results.db"))).await.expect("both open");
        let client = Client::new(backend.clone());
        let handlers = tempfile::tempdir().expect("a folder");
        let place = Place { backend, client, handlers, _home: tempfile::tempdir().expect("a folder") };
        place.serve("m", "");
        let id = place.enqueue("m", json!({"do": "echo", "text": "far"}), TaskOptions::default()).await;
        let working = place.work(options());
        let waited = place.client.wait(&id, Some(PATIENCE), |_| {}).await.expect("it answers");
        assert!(matches!(waited, Waited::Ended(shown) if shown.record().and_then(|record| record.result.as_deref()) == Some(b"far")));
        // It gets there by the outbox: known from the first moment on, and then relayed.
        let there = backend::open(&url("results.db"), None).await.expect("it opens");
        let relayed = async {
            while there.results.get(std::slice::from_ref(&id)).await.expect("it answers")[0].is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            while !place.backend.broker.outbox(10).await.expect("it answers").is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, relayed).await.expect("it is relayed");
        working.stop().await;
    });
}

#[test]
fn a_worker_is_seen_while_it_works_and_no_longer() {
    law(|place| async move {
        place.serve("m", "queue = \"reports\"");
        let working = place.work(options());
        let workers = async {
            loop {
                let workers = place.backend.operations.workers().await.expect("it answers");
                if let [worker] = &workers[..] {
                    break worker.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let worker = tokio::time::timeout(PATIENCE, workers).await.expect("it is announced");
        assert_eq!(worker.handlers[0].queue, Some(name("reports")));
        working.stop().await;
        assert_eq!(place.backend.operations.workers().await.expect("it answers"), []);
    });
}
