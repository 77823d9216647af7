//! What is printed of a task: under `--json` the fields that the README promises; `people` has the same for people.

use bytes::Bytes;
use serde::Serialize;

use tasq_host::broker::Tracked;
use tasq_host::client::{Known, KnownChain, KnownGroup, Shown};
use tasq_host::results::Record;
use tasq_host::task::{FailedRun, Failure, Link, Priority, Receipt, State, TaskId, Timestamp, WorkerId};

use super::output;

mod people;

pub(crate) use people::{cost, failure_text};

/// `enqueue --json`.
#[derive(Debug, Serialize)]
pub(crate) struct EnqueuedView<'a> {
    pub(crate) id: &'a TaskId,
    pub(crate) created: bool,
}

/// A line of `task list --json`, and the beginning of `task show --json`.
#[derive(Debug, Serialize)]
pub(crate) struct TaskLine {
    id: String,
    handler: String,
    queue: String,
    priority: Priority,
    state: State,
    /// Attempts begun: 0 before the first.
    attempt: u32,
    run: u32,
    lost: u32,
    /// Absent while it is undecided: the handler's manifest has its say when the task runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_retries: Option<u32>,
    enqueued_at: String,
    /// Absent while it waits for something else than a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// `task show --json` of a chain.
#[derive(Debug, Serialize)]
struct ChainView {
    id: String,
    state: State,
    /// Steps that have succeeded.
    done: usize,
    total: u32,
    /// Those that have been enqueued.
    steps: Vec<TaskLine>,
}

/// `task show --json` of a group.
#[derive(Debug, Serialize)]
struct GroupView {
    id: String,
    state: State,
    /// Members that have succeeded.
    done: u32,
    total: u32,
    /// Those that aren't forgotten.
    members: Vec<MemberView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<TaskLine>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum MemberView {
    Task(Box<TaskLine>),
    Chain(ChainView),
}

/// Where a task stands in a group.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) id: String,
    /// 1 for the first member, 0 for the callback.
    pub(crate) index: u32,
    /// Members that have succeeded.
    pub(crate) done: u32,
    pub(crate) total: u32,
}

/// Prints what an id stands for: as JSON, or for people. `group`: where a task stands in one.
pub(crate) fn print(shown: &Shown, group: Option<Place>, json: bool) -> std::io::Result<()> {
    match shown {
        Shown::Task(known) if json => output::json(&TaskView { group, ..TaskView::of(known) }),
        Shown::Task(known) => output::line(&TaskView { group, ..TaskView::of(known) }.block()),
        Shown::Chain(chain) if json => output::json(&ChainView::of(chain)),
        Shown::Chain(chain) => output::line(&ChainView::of(chain).block()),
        Shown::Group(group) if json => output::json(&GroupView::of(group)),
        Shown::Group(group) => output::line(&GroupView::of(group).block()),
    }
}

impl GroupView {
    fn of(group: &KnownGroup) -> GroupView {
        let member = |member: &Shown| match member {
            Shown::Task(known) => Some(MemberView::Task(Box::new(TaskLine::of(known)))),
            Shown::Chain(chain) => Some(MemberView::Chain(ChainView::of(chain))),
            Shown::Group(_) => None,
        };
        GroupView {
            id: group.id.to_string(),
            state: group.state(),
            done: group.done(),
            total: group.of,
            members: group.members.iter().filter_map(member).collect(),
            callback: group.callback.as_ref().map(TaskLine::of),
        }
    }
}

impl ChainView {
    fn of(chain: &KnownChain) -> ChainView {
        ChainView {
            id: chain.id.to_string(),
            state: chain.state(),
            done: chain.steps.iter().filter(|step| step.state() == State::Done).count(),
            total: chain.of,
            steps: chain.steps.iter().map(TaskLine::of).collect(),
        }
    }
}

/// `task show --json`.
#[derive(Debug, Serialize)]
pub(crate) struct TaskView {
    #[serde(flatten)]
    line: TaskLine,
    #[serde(flatten)]
    payload: Option<Payload>,
    #[serde(flatten)]
    result: Option<ResultBytes>,
    errors: Vec<ErrorView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    /// For people: why there is no payload although the broker has the task.
    #[serde(skip)]
    unreadable: Option<String>,
}

/// Bytes under the name `payload`, or `payload_base64` where they are no UTF-8.
#[derive(Debug, Serialize)]
enum Payload {
    #[serde(rename = "payload")]
    Text(String),
    #[serde(rename = "payload_base64")]
    Base64(String),
}

/// The same for results.
#[derive(Debug, Serialize)]
pub(crate) enum ResultBytes {
    #[serde(rename = "result")]
    Text(String),
    #[serde(rename = "result_base64")]
    Base64(String),
}

/// A failed run.
#[derive(Debug, Serialize)]
struct ErrorView {
    attempt: u32,
    run: u32,
    at: String,
    #[serde(flatten)]
    failure: Failure,
}

/// `Ok` for text, `Err` with base64 for other bytes.
fn text(bytes: &Bytes) -> Result<String, String> {
    use base64::Engine;
    let text = std::str::from_utf8(bytes).map(Into::into);
    text.map_err(|_| base64::engine::general_purpose::STANDARD.encode(bytes))
}

impl ResultBytes {
    /// These bytes.
    pub(crate) fn of(bytes: &Bytes) -> ResultBytes {
        text(bytes).map_or_else(ResultBytes::Base64, ResultBytes::Text)
    }
}

impl TaskLine {
    /// What is known, for a list.
    pub(crate) fn of(known: &Known) -> TaskLine {
        match known {
            Known::Held(tracked) => TaskLine::held(tracked),
            Known::Ended(record, _) => TaskLine::ended(record),
        }
    }

    fn held(tracked: &Tracked) -> TaskLine {
        let options = tasq_host::codec::decode(&tracked.envelope).map(|task| task.options).unwrap_or_default();
        let time = |time: Timestamp| time.to_string();
        TaskLine {
            id: tracked.id.to_string(),
            handler: tracked.handler.to_string(),
            queue: tracked.queue.to_string(),
            priority: tracked.priority,
            state: tracked.state,
            attempt: tracked.failed + u32::from(tracked.state == State::Running),
            run: tracked.run,
            lost: tracked.lost,
            max_retries: options.max_retries,
            enqueued_at: time(tracked.enqueued_at),
            due_at: Some(tracked.due_at).filter(|due| *due < Timestamp::NEVER).map(time),
            started_at: tracked.started_at.map(time),
            finished_at: None,
            worker: tracked.worker.as_ref().map(ToString::to_string),
            error: tracked.history.last().map(|failed| failed.failure.clone()),
        }
    }

    fn ended(record: &Record) -> TaskLine {
        TaskLine {
            id: record.id.to_string(),
            handler: record.handler.to_string(),
            queue: record.queue.to_string(),
            priority: record.priority,
            state: record.state,
            attempt: record.attempt,
            run: record.run,
            lost: record.lost,
            max_retries: Some(record.max_retries),
            enqueued_at: record.enqueued_at.to_string(),
            due_at: Some(record.due_at).filter(|due| *due < Timestamp::NEVER).map(|due| due.to_string()),
            started_at: ran(record).then(|| record.started_at.to_string()),
            finished_at: Some(record.finished_at.to_string()),
            worker: ran(record).then(|| record.worker.to_string()),
            error: record.failure.clone(),
        }
    }
}

impl TaskView {
    /// Everything that is known.
    pub(crate) fn of(known: &Known) -> TaskView {
        let (history, result, receipt) = match known {
            Known::Held(tracked) => (&tracked.history, None, None),
            Known::Ended(record, _) => {
                (&record.history, record.result.as_ref(), ran(record).then(|| record.receipt.clone()))
            }
        };
        let (payload, unreadable) = match known.task() {
            Some(Ok(task)) => (Some(text(&task.payload).map_or_else(Payload::Base64, Payload::Text)), None),
            Some(Err(unreadable)) => (None, Some(unreadable.to_string())),
            None => (None, None),
        };
        let errors = history.iter().map(ErrorView::of).collect();
        TaskView {
            line: TaskLine::of(known),
            payload,
            result: result.map(ResultBytes::of),
            errors,
            chain: known.link(),
            group: None,
            receipt,
            unreadable,
        }
    }
}

/// Not for a task that was cancelled while it waited.
fn ran(record: &Record) -> bool {
    record.worker != WorkerId::nobody()
}

impl ErrorView {
    fn of(FailedRun { attempt, run, at, failure }: &FailedRun) -> ErrorView {
        ErrorView { attempt: *attempt, run: *run, at: at.to_string(), failure: failure.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasq_host::task::{FailureKind, Headers, Task, TaskOptions};

    fn failure(code: &str, message: &str) -> Failure {
        Failure { kind: FailureKind::Handler, code: code.into(), message: message.into() }
    }

    fn record(result: &'static [u8]) -> Record {
        Record {
            id: "a1".parse().unwrap(),
            handler: "add".parse().unwrap(),
            queue: "default".parse().unwrap(),
            priority: Priority::Low,
            state: State::Dead,
            run: 3,
            attempt: 2,
            lost: 1,
            max_retries: 1,
            enqueued_at: Timestamp(1_700_000_000_000),
            due_at: Timestamp(1_700_000_000_001),
            started_at: Timestamp(1_700_000_000_002),
            finished_at: Timestamp(1_700_000_000_003),
            worker: "w-1".parse().unwrap(),
            result: Some(Bytes::from_static(result)),
            failure: Some(failure("bad", "no")),
            history: vec![FailedRun { attempt: 1, run: 1, at: Timestamp(0), failure: failure("bad", "once") }],
            receipt: Receipt { frames: vec!["f\nforged   x".into()], ..Receipt::default() },
            chain: None,
            group: None,
            logs: None,
            told: false,
            keep: std::time::Duration::ZERO,
        }
    }

    fn tracked(payload: &'static [u8]) -> Tracked {
        let task = Task {
            id: "a1".parse().unwrap(),
            handler: "add".parse().unwrap(),
            queue: "default".parse().unwrap(),
            priority: Priority::Normal,
            payload: Bytes::from_static(payload),
            content_type: String::new(),
            headers: Headers::new(),
            upstream: vec![],
            options: TaskOptions { max_retries: Some(3), ..TaskOptions::default() },
            chain: None,
            group: None,
        };
        Tracked {
            id: task.id.clone(),
            queue: task.queue.clone(),
            handler: task.handler.clone(),
            priority: task.priority,
            state: State::Running,
            run: 2,
            failed: 1,
            lost: 0,
            enqueued_at: Timestamp(0),
            due_at: Timestamp(0),
            started_at: Some(Timestamp(1)),
            worker: Some("w-1".parse().unwrap()),
            history: vec![],
            cancelled: false,
            arrived: None,
            envelope: tasq_host::codec::encode(&task),
        }
    }

    fn json(known: &Known) -> serde_json::Value {
        serde_json::to_value(TaskView::of(known)).unwrap()
    }

    #[test]
    fn an_ended_task_has_the_promised_fields() {
        let shown = json(&Known::Ended(std::sync::Arc::new(record(b"9")), None));
        let expected = serde_json::json!({
            "id": "a1", "handler": "add", "queue": "default", "priority": "low", "state": "dead",
            "attempt": 2, "run": 3, "lost": 1, "max_retries": 1,
            "enqueued_at": "2023-11-14T22:13:20.000Z", "due_at": "2023-11-14T22:13:20.001Z",
            "started_at": "2023-11-14T22:13:20.002Z", "finished_at": "2023-11-14T22:13:20.003Z",
            "worker": "w-1", "result": "9",
            "error": {"kind": "handler", "code": "bad", "message": "no"},
            "errors": [{"attempt": 1, "run": 1, "at": "1970-01-01T00:00:00.000Z",
                        "kind": "handler", "code": "bad", "message": "once"}],
            "receipt": {"queue_ms": 0, "wall_ms": 0, "cpu_ms": 0, "peak_memory_bytes": 0, "host_calls": 0,
                        "digest": "", "worker": "", "frames": ["f\nforged   x"], "stderr": ""},
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let shown = json(&Known::Ended(std::sync::Arc::new(record(b"\xff")), Some(Box::new(tracked(b"\0\xff")))));
        assert_eq!((&shown["result_base64"], &shown["payload_base64"]), (&"/w==".into(), &"AP8=".into()));
        assert!(shown.get("result").is_none() && shown.get("payload").is_none());
    }

    #[test]
    fn a_running_task_shows_its_attempt_and_its_own_retries() {
        let shown = json(&Known::Held(Box::new(tracked(b"p"))));
        assert_eq!((&shown["attempt"], &shown["max_retries"]), (&2.into(), &3.into()));
        assert_eq!((&shown["payload"], &shown["state"]), (&"p".into(), &"running".into()));
        assert!(shown.get("finished_at").is_none() && shown.get("receipt").is_none());
    }

    #[test]
    fn an_envelope_that_cannot_be_read_is_no_obstacle() {
        let held = Tracked { envelope: Bytes::from_static(b"\x63"), ..tracked(b"") };
        let view = TaskView::of(&Known::Held(Box::new(held)));
        assert!(view.block().contains("payload     envelope of format 99"), "{}", view.block());
        assert!(serde_json::to_value(&view).unwrap().get("payload").is_none());
    }

    #[test]
    fn a_guests_text_cannot_pass_for_another_fact() {
        let block = TaskView::of(&Known::Ended(std::sync::Arc::new(record(b"9\nstate       done")), None)).block();
        assert_eq!(block.lines().filter(|line| line.starts_with("state ")).collect::<Vec<_>>(), ["state       dead"]);
        assert!(!block.lines().any(|line| line.starts_with("forged")), "{block}");
    }

    #[test]
    fn a_failure_without_a_code_reads_well() {
        assert_eq!(failure_text(&failure("", "not now")), "handler: not now");
        assert_eq!(failure_text(&failure("busy", "not now")), "handler busy: not now");
    }
}
