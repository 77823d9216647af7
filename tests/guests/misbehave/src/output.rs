//! Behaviours about what a handler says: output, logs, failures.

use std::io::Write;
use std::time::Duration;

use serde::Deserialize;
use tasq_sdk::log::Level;
use tasq_sdk::{Failure, FailureKind};

use crate::{one, text};

#[derive(Deserialize)]
pub(crate) struct Fail {
    kind: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    code: String,
    after_ms: Option<u64>,
}

impl From<Fail> for Failure {
    fn from(fail: Fail) -> Failure {
        let kind = match fail.kind.as_deref() {
            Some("discard") => FailureKind::Discard,
            Some("snooze") => FailureKind::Snooze,
            None | Some("retry") => FailureKind::Retry,
            Some(other) => return Failure::discard(format!("no kind of failure: {other}")).with_code("misused"),
        };
        Failure { kind, message: fail.message, code: fail.code, after: fail.after_ms.map(Duration::from_millis) }
    }
}

#[derive(Deserialize)]
pub(crate) struct Lines {
    #[serde(default = "one")]
    lines: usize,
    #[serde(default)]
    bytes: usize,
    level: Option<String>,
}

pub(crate) fn log(lines: &Lines) -> Result<Vec<u8>, Failure> {
    let level = match lines.level.as_deref() {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        None | Some("info") => Level::Info,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some(other) => return Err(Failure::discard(format!("no level: {other}")).with_code("misused")),
    };
    for n in 1..=lines.lines {
        let line = format!("line {n}");
        tasq_sdk::event!(level, n = n, "{line:width$}", width = lines.bytes);
    }
    text("logged")
}

pub(crate) fn say(stdout: &str, stderr: &str) -> Result<Vec<u8>, Failure> {
    print!("{stdout}");
    eprint!("{stderr}");
    std::io::stdout().flush()?;
    text("said")
}

pub(crate) fn flood(stdout_mib: usize, stderr_mib: usize) -> Result<Vec<u8>, Failure> {
    fill(std::io::stdout(), stdout_mib)?;
    fill(std::io::stderr(), stderr_mib)?;
    text("flooded")
}

fn fill(mut sink: impl Write, mib: usize) -> std::io::Result<()> {
    for n in 0..mib * 1024 {
        // 1,024 bytes with the newline; in one write, as stderr isn't buffered.
        sink.write_all(format!("{n:0>1023}\n").as_bytes())?;
    }
    sink.flush()
}
