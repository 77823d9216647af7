//! Handlers that know nothing of the contract: programs with the payload on stdin and the result on stdout.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::output::printable;
use super::{Call, RESULT};
use crate::task::{Failure, FailureKind, Outcome, Verdict, millis, truncate};

/// Bad data: never again (EX_DATAERR).
const DISCARD: i32 = 65;
/// Not now (EX_TEMPFAIL).
const SNOOZE: i32 = 75;

/// What a command finds around it.
pub(super) struct Surroundings {
    payload: Bytes,
    environment: Vec<(String, String)>,
    /// Where its result gathers.
    pub(super) stdout: Gathered,
}

impl Surroundings {
    pub(super) fn of(call: &Call, timeout: Duration) -> Surroundings {
        let task = &call.task;
        let facts = [
            ("ID", task.id.to_string()),
            ("HANDLER", task.handler.to_string()),
            ("QUEUE", task.queue.to_string()),
            ("ATTEMPT", call.attempt.to_string()),
            ("RUN", call.run.to_string()),
            ("MAX_RETRIES", call.max_retries.to_string()),
            ("CONTENT_TYPE", task.content_type.clone()),
            ("ENQUEUED_AT_MS", call.enqueued_at.0.to_string()),
            ("DUE_AT_MS", call.due_at.0.to_string()),
            ("DEADLINE_MS", call.started_at.0.saturating_add(millis(timeout)).to_string()),
        ];
        let name = |fact: &str| if matches!(fact, "ID") { "TASQ_TASK_ID".to_owned() } else { format!("TASQ_{fact}") };
        let facts = facts.into_iter().map(|(fact, value)| (name(fact), value));
        let headers = task.headers.iter().map(|(name, value)| {
            let name = name.to_ascii_uppercase().replace(['.', '-'], "_");
            (format!("TASQ_HEADER_{name}"), value.clone())
        });
        // A NUL ends a variable in C, so none can be in one.
        let environment = facts.chain(headers).map(|(name, value)| (name, value.replace('\0', ""))).collect();
        Surroundings { payload: task.payload.clone(), environment, stdout: Gathered::default() }
    }

    pub(super) fn lay_out(&self, context: &mut WasiCtxBuilder) {
        context.stdin(MemoryInputPipe::new(self.payload.clone())).stdout(self.stdout.clone()).envs(&self.environment);
    }
}

/// A result that gathers: takes everything, keeps as much as a result may have and one byte more.
#[derive(Clone, Default)]
pub(super) struct Gathered(Arc<Mutex<Vec<u8>>>);

impl Gathered {
    /// None where more was written than a result may have.
    pub(super) fn result(&self) -> Option<Bytes> {
        let gathered = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (gathered.len() <= RESULT).then(|| gathered.into())
    }
}

impl IsTerminal for Gathered {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Gathered {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only preview 3 asks for this one, and it isn't linked.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Gathered {
    async fn ready(&mut self) {}
}

impl OutputStream for Gathered {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = RESULT + 1 - gathered.len();
        gathered.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

/// What an exit means: 0 succeeds, 65 discards, 75 snoozes, anything else is a failure to retry, with the end of stderr
/// as its message. A last line `tasq: discard: …`, `tasq: snooze 30s: …` or `tasq: retry 5s: …` says it where the
/// toolchain's exit carries only success or failure.
pub(super) fn outcome(status: i32, stdout: &Gathered, stderr: &str) -> Outcome {
    if status == 0 {
        return match stdout.result() {
            Some(result) => Outcome::Done(result),
            None => {
                let message = format!("a result of more than {RESULT} bytes on stdout");
                let code = "invalid-result".to_owned();
                Outcome::Failed(Failure { kind: FailureKind::Limit, code, message }, Verdict::Discard)
            }
        };
    }
    let (verdict, message) = match stderr.trim_end().lines().next_back().and_then(said) {
        Some(said) => said,
        None => {
            let verdict = match status {
                DISCARD => Verdict::Discard,
                SNOOZE => Verdict::Snooze(None),
                _ => Verdict::Retry(None),
            };
            (verdict, stderr.trim())
        }
    };
    let mut message =
        if message.is_empty() { format!("the command exited with status {status}") } else { printable(message) };
    truncate(&mut message, super::call::MESSAGE);
    Outcome::Failed(Failure { kind: FailureKind::Handler, code: format!("exit-{status}"), message }, verdict)
}

/// `tasq: VERB [TIME]: MESSAGE`
fn said(line: &str) -> Option<(Verdict, &str)> {
    let (verb, message) = line.strip_prefix("tasq:")?.trim_start().split_once(':')?;
    let (verb, time) = verb.split_once(' ').map_or((verb, None), |(verb, time)| (verb, Some(time)));
    let after = time.map(|time| humantime::parse_duration(time.trim())).transpose().ok()?;
    let verdict = match verb {
        "discard" if after.is_none() => Verdict::Discard,
        "snooze" => Verdict::Snooze(after),
        "retry" => Verdict::Retry(after),
        _ => return None,
    };
    Some((verdict, message.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: i32, stderr: &str) -> (String, String, Verdict) {
        match outcome(status, &Gathered::default(), stderr) {
            Outcome::Failed(failure, verdict) => (failure.code, failure.message, verdict),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_status_says_what_becomes_of_the_task() {
        assert_eq!(failed(1, "no luck\n"), ("exit-1".into(), "no luck".into(), Verdict::Retry(None)));
        assert_eq!(failed(65, "bad data"), ("exit-65".into(), "bad data".into(), Verdict::Discard));
        assert_eq!(failed(75, "").2, Verdict::Snooze(None));
        assert_eq!(failed(3, "").1, "the command exited with status 3");
    }

    #[test]
    fn the_last_line_says_it_where_the_status_cannot() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (line, verdict, message) in [
            ("trace\ntasq: discard: bad data", Verdict::Discard, "bad data"),
            ("tasq: snooze 30s: later\n", Verdict::Snooze(seconds(30)), "later"),
            ("tasq: snooze: later", Verdict::Snooze(None), "later"),
            ("tasq: retry 5s: busy", Verdict::Retry(seconds(5)), "busy"),
            // Not in that form: the whole end of stderr is the message.
            ("tasq: retry soon: busy", Verdict::Retry(None), "tasq: retry soon: busy"),
            ("tasq: explode: now", Verdict::Retry(None), "tasq: explode: now"),
        ] {
            assert_eq!(failed(1, line), ("exit-1".into(), message.into(), verdict), "{line}");
        }
    }

    #[test]
    fn a_result_on_stdout_has_the_limit_of_results() {
        let mut stdout = Gathered::default();
        for (bytes, taken) in [(RESULT, true), (RESULT + 1, false)] {
            stdout.write(vec![0; bytes].into()).unwrap();
            assert_eq!(matches!(outcome(0, &stdout, ""), Outcome::Done(result) if result.len() == bytes), taken);
        }
    }
}
