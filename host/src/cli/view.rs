//! What is printed of a task: the fields of PRODUCT.md under `--json`, and the same for people.

use bytes::Bytes;
use serde::Serialize;

use super::output;
use tasq_host::broker::Tracked;
use tasq_host::client::Known;
use tasq_host::results::Record;
use tasq_host::task::{FailedRun, Failure, FailureKind, Priority, Receipt, State, TaskId, Timestamp};

/// So much of a payload or result is shown to people.
const SHOWN: usize = 2_000;

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
    due_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
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
    kind: FailureKind,
    code: String,
    message: String,
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

/// `kind`, code and message in a line for people; the message as the guest wrote it.
pub(crate) fn failure_text(failure: &Failure) -> String {
    let Failure { kind, code, message } = failure;
    format!("{} {code}: {message}", kind.as_str())
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
            due_at: time(tracked.due_at),
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
            due_at: record.due_at.to_string(),
            started_at: Some(record.started_at.to_string()),
            finished_at: Some(record.finished_at.to_string()),
            worker: Some(record.worker.to_string()),
            error: record.failure.clone(),
        }
    }

    /// For people.
    pub(crate) fn table(lines: &[TaskLine]) -> String {
        let head = ["ID", "HANDLER", "QUEUE", "STATE", "ATTEMPT", "ENQUEUED", "ERROR"].map(String::from).to_vec();
        let row = |line: &TaskLine| {
            let error = line.error.as_ref().map(|error| format!("{} {}", error.kind.as_str(), error.code));
            vec![
                line.id.clone(),
                line.handler.clone(),
                line.queue.clone(),
                line.state.to_string(),
                line.attempt.to_string(),
                line.enqueued_at.clone(),
                output::one_line(&error.unwrap_or_default()),
            ]
        };
        output::table(&std::iter::once(head).chain(lines.iter().map(row)).collect::<Vec<_>>())
    }
}

impl TaskView {
    /// Everything that is known.
    pub(crate) fn of(known: &Known) -> TaskView {
        let (history, result, receipt) = match known {
            Known::Held(tracked) => (&tracked.history, None, None),
            Known::Ended(record, _) => (&record.history, record.result.as_ref(), Some(record.receipt.clone())),
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
            receipt,
            unreadable,
        }
    }

    /// For people: a fact a line.
    pub(crate) fn block(&self) -> String {
        let line = &self.line;
        let retries = line.max_retries.map(|most| format!(" of {}", u64::from(most) + 1)).unwrap_or_default();
        let mut facts = vec![
            ("id", Some(line.id.clone())),
            ("handler", Some(line.handler.clone())),
            ("queue", Some(line.queue.clone())),
            ("priority", Some(format!("{:?}", line.priority).to_lowercase())),
            ("state", Some(line.state.to_string())),
            ("attempt", Some(format!("{}{retries}", line.attempt))),
            ("run", Some(line.run.to_string())),
            ("lost", (line.lost > 0).then(|| line.lost.to_string())),
            ("enqueued", Some(line.enqueued_at.clone())),
            ("due", Some(line.due_at.clone())),
            ("started", line.started_at.clone()),
            ("finished", line.finished_at.clone()),
            ("worker", line.worker.clone()),
            ("payload", self.payload_text()),
            ("result", self.result_text()),
            ("error", line.error.as_ref().map(failure_text)),
        ];
        facts.extend(self.errors.iter().map(|error| ("failed run", Some(error.text()))));
        if let Some(receipt) = &self.receipt {
            facts.push(("cost", Some(cost(receipt))));
            facts.push(("component", Some(receipt.digest.clone()).filter(|digest| !digest.is_empty())));
            facts.extend(receipt.frames.iter().map(|frame| ("frame", Some(frame.clone()))));
            facts.push(("stderr", Some(receipt.stderr.clone()).filter(|stderr| !stderr.is_empty())));
        }
        let shown = facts.into_iter().filter_map(|(name, value)| value.map(|value| fact(name, &value)));
        shown.collect::<Vec<_>>().join("\n")
    }

    fn payload_text(&self) -> Option<String> {
        match &self.payload {
            Some(Payload::Text(text)) => Some(text.clone()),
            Some(Payload::Base64(text)) => Some(format!("base64 {text}")),
            None => self.unreadable.clone(),
        }
    }

    fn result_text(&self) -> Option<String> {
        self.result.as_ref().map(|result| match result {
            ResultBytes::Text(text) => text.clone(),
            ResultBytes::Base64(text) => format!("base64 {text}"),
        })
    }
}

impl ErrorView {
    fn of(failed: &FailedRun) -> ErrorView {
        let Failure { kind, code, message } = failed.failure.clone();
        ErrorView { attempt: failed.attempt, run: failed.run, at: failed.at.to_string(), kind, code, message }
    }

    fn text(&self) -> String {
        let ErrorView { attempt, run, at, kind, code, message } = self;
        format!("attempt {attempt}, run {run}, {at}: {} {code}: {message}", kind.as_str())
    }
}

/// What a run cost, in a line for people.
pub(crate) fn cost(receipt: &Receipt) -> String {
    let Receipt { queue_ms, wall_ms, cpu_ms, peak_memory_bytes, host_calls, .. } = receipt;
    let memory = bytesize::ByteSize(*peak_memory_bytes);
    format!("{wall_ms} ms, {cpu_ms} ms of CPU, {memory} of memory, {host_calls} host calls, waited {queue_ms} ms")
}

/// A name and a value; further lines of it are indented. A guest's text can't pass for another fact.
fn fact(name: &str, value: &str) -> String {
    let end = value.floor_char_boundary(SHOWN);
    let cut = if end < value.len() { format!(" … ({} bytes)", value.len()) } else { String::new() };
    let value = output::lines(value[..end].trim_end_matches('\n')).replace('\n', "\n            ");
    format!("{name:<10}  {value}{cut}").trim_end().to_string()
}
