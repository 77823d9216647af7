//! Everything that is known of one task.

use bytes::Bytes;
use serde::Serialize;

use tasq_host::client::Known;
use tasq_host::task::{FailedRun, Failure, Link, Receipt};

use super::line::{TaskLine, ran};
use super::together::Place;

/// `task show --json`.
#[derive(Debug, Serialize)]
pub(crate) struct TaskView {
    #[serde(flatten)]
    pub(super) line: TaskLine,
    #[serde(flatten)]
    pub(super) payload: Option<Payload>,
    #[serde(flatten)]
    pub(super) result: Option<ResultBytes>,
    pub(super) errors: Vec<ErrorView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chain: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipt: Option<Receipt>,
    /// For people: how many lines its last run said.
    #[serde(skip)]
    pub(super) log_lines: Option<usize>,
    /// For people: why there is no payload although the broker has the task.
    #[serde(skip)]
    pub(super) unreadable: Option<String>,
}

/// Bytes under the name `payload`, or `payload_base64` where they are no UTF-8.
#[derive(Debug, Serialize)]
pub(super) enum Payload {
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
pub(super) struct ErrorView {
    pub(super) attempt: u32,
    pub(super) run: u32,
    pub(super) at: String,
    #[serde(flatten)]
    pub(super) failure: Failure,
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
            log_lines: known.logs().and_then(Result::ok).map(|logs| logs.lines.len()),
            unreadable,
        }
    }
}

impl ErrorView {
    fn of(FailedRun { attempt, run, at, failure }: &FailedRun) -> ErrorView {
        ErrorView { attempt: *attempt, run: *run, at: at.to_string(), failure: failure.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasq_host::broker::Tracked;
    use tasq_host::results::Record;
    use tasq_host::task::{FailureKind, Headers, Priority, State, Task, TaskOptions, Timestamp};

    use super::super::failure_text;

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
