//! A task as people read it. What guests wrote in it is spelt out where it could pass for something else.

use super::super::output;
use super::task::{ErrorView, Payload};
use super::together::MemberView;
use super::{ChainView, GroupView, Place, ResultBytes, TaskLine, TaskView};
use tasq_host::task::{Failure, Receipt};

/// So much of a payload or result is shown to people.
const SHOWN: usize = 2_000;

/// `kind`, code and message in a line for people; the message as the guest wrote it.
pub(crate) fn failure_text(failure: &Failure) -> String {
    format!("{}: {}", class(failure), failure.message)
}

/// `kind` and code; a handler may fail without a code.
fn class(failure: &Failure) -> String {
    format!("{} {}", failure.kind.as_str(), failure.code).trim_end().to_string()
}

impl TaskLine {
    /// For people.
    pub(crate) fn table<'a>(lines: impl IntoIterator<Item = &'a TaskLine>) -> String {
        let head = ["ID", "HANDLER", "QUEUE", "STATE", "ATTEMPT", "ENQUEUED", "ERROR"].map(String::from).to_vec();
        let row = |line: &TaskLine| {
            let error = line.error.as_ref().map(class);
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
        output::table(&std::iter::once(head).chain(lines.into_iter().map(row)).collect::<Vec<_>>())
    }
}

impl ChainView {
    /// For people: the facts, then the steps.
    pub(super) fn block(&self) -> String {
        let ChainView { id, state, done, total, steps } = self;
        let facts = [("chain", id.clone()), ("state", state.to_string()), ("done", format!("{done} of {total}"))];
        let facts: Vec<String> = facts.iter().map(|(name, value)| fact(name, value)).collect();
        format!("{}\n\n{}", facts.join("\n"), TaskLine::table(steps))
    }
}

impl GroupView {
    /// For people: the facts, then the members' tasks and the callback.
    pub(super) fn block(&self) -> String {
        let GroupView { id, state, done, total, members, callback } = self;
        let facts = [("group", id.clone()), ("state", state.to_string()), ("done", format!("{done} of {total}"))];
        let facts: Vec<String> = facts.iter().map(|(name, value)| fact(name, value)).collect();
        let lines = members.iter().flat_map(|member| match member {
            MemberView::Task(line) => std::slice::from_ref(line.as_ref()),
            MemberView::Chain(chain) => chain.steps.as_slice(),
        });
        format!("{}\n\n{}", facts.join("\n"), TaskLine::table(lines.chain(callback)))
    }
}

impl Place {
    fn text(&self) -> String {
        let Place { id, index, done, total } = self;
        match index {
            0 => format!("callback of {id}, {done} of {total} done"),
            _ => format!("member {index} of {total} of {id}, {done} done"),
        }
    }
}

impl TaskView {
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
            ("due", line.due_at.clone()),
            ("started", line.started_at.clone()),
            ("finished", line.finished_at.clone()),
            ("worker", line.worker.clone()),
            ("chain", self.chain.as_ref().map(|link| format!("step {} of {} of {}", link.step, link.of, link.id))),
            ("group", self.group.as_ref().map(Place::text)),
            ("payload", self.payload_text()),
            ("result", self.result_text()),
            ("error", line.error.as_ref().map(failure_text)),
        ];
        facts.extend(self.errors.iter().map(|error| ("failed run", Some(error.text()))));
        if let Some(receipt) = &self.receipt {
            facts.push(("cost", Some(cost(receipt))));
            facts.push(("component", Some(receipt.digest.to_string()).filter(|digest| !digest.is_empty())));
            facts.extend(receipt.frames.iter().map(|frame| ("frame", Some(frame.clone()))));
            facts.push(("stderr", Some(receipt.stderr.clone()).filter(|stderr| !stderr.is_empty())));
        }
        if let Some(lines) = self.log_lines {
            facts.push(("logs", Some(format!("{lines} lines: tasq-host task logs {}", line.id))));
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
    fn text(&self) -> String {
        let ErrorView { attempt, run, at, failure } = self;
        format!("attempt {attempt}, run {run}, {at}: {}", failure_text(failure))
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
