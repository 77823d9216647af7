//! What a run says: its log lines, and what it writes to stdout and stderr, line by line. They go into the host's log as
//! they come, under their task, and the latest of them are kept for its record.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::Call;
use super::output::{Tail, printable};
use crate::task::{LogLevel, LogLine, Logs, Name, TaskId, Timestamp, truncate};

/// Lines that one run may write; what comes after is dropped, and that is said once.
const LINES: u64 = 1_000;
/// Bytes of one line; the rest of it is dropped.
pub(super) const LINE: usize = 8 << 10;
/// Bytes of text that are kept of one run: the latest.
const KEPT: usize = 64 << 10;

/// One run's journal, shared by all that write to it.
#[derive(Clone)]
pub(super) struct Journal(Arc<Mutex<Book>>);

struct Book {
    task: TaskId,
    handler: Name,
    queue: Name,
    attempt: u32,
    began: (Timestamp, Instant),
    lines: VecDeque<LogLine>,
    /// Of `lines`.
    bytes: usize,
    /// Lines so far, kept or not.
    said: u64,
    /// The end of stderr, for reports.
    tail: Tail,
    /// What has no line feed yet, of stdout and stderr.
    open: [Vec<u8>; 2],
}

impl Journal {
    pub(super) fn of(call: &Call) -> Journal {
        Journal(Arc::new(Mutex::new(Book {
            task: call.task.id.clone(),
            handler: call.task.handler.clone(),
            queue: call.task.queue.clone(),
            attempt: call.attempt,
            began: (call.started_at, Instant::now()),
            lines: VecDeque::new(),
            bytes: 0,
            said: 0,
            tail: Tail::default(),
            open: Default::default(),
        })))
    }

    /// Takes a line of the guest's log; `text` is called if it is wanted at all.
    pub(super) fn log(&self, level: LogLevel, text: impl FnOnce() -> String) {
        self.lock().line(level, text);
    }

    /// Where the guest's stdout goes, if it is nobody's result.
    pub(super) fn stdout(&self) -> Stream {
        Stream { journal: self.clone(), level: LogLevel::Stdout }
    }

    /// Where its stderr goes.
    pub(super) fn stderr(&self) -> Stream {
        Stream { journal: self.clone(), level: LogLevel::Stderr }
    }

    /// The end of stderr, as printable text.
    pub(super) fn tail(&self) -> String {
        self.lock().tail.text()
    }

    /// All that is kept; none where nothing was said. Nothing should be said after it.
    pub(super) fn close(&self) -> Option<Logs> {
        let mut book = self.lock();
        for level in [LogLevel::Stdout, LogLevel::Stderr] {
            book.feed(level);
        }
        let lines: Vec<LogLine> = std::mem::take(&mut book.lines).into();
        let dropped = book.said - lines.len() as u64;
        (book.said > 0).then_some(Logs { lines, dropped })
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn line(&mut self, level: LogLevel, text: impl FnOnce() -> String) {
        self.said += 1;
        if self.said > LINES {
            if self.said == LINES + 1 {
                let Book { task, handler, queue, attempt, .. } = self;
                tracing::warn!(target: "guest", %task, %handler, attempt, %queue, "more than {LINES} lines: the rest is dropped");
            }
            return;
        }
        let text = text();
        self.tell(level, &text);
        self.bytes += text.len();
        let (started_at, began) = self.began;
        self.lines.push_back(LogLine { at: started_at.plus(began.elapsed()), level, text });
        while self.bytes > KEPT {
            self.bytes -= self.lines.pop_front().map_or(self.bytes, |line| line.text.len());
        }
    }

    fn tell(&self, level: LogLevel, text: &str) {
        let Book { task, handler, queue, attempt, .. } = self;
        macro_rules! tell {
            ($target:literal, $level:ident) => {
                tracing::$level!(target: $target, %task, %handler, attempt, %queue, "{text}")
            };
        }
        match level {
            LogLevel::Trace => tell!("guest", trace),
            LogLevel::Debug => tell!("guest", debug),
            LogLevel::Info => tell!("guest", info),
            LogLevel::Warn => tell!("guest", warn),
            LogLevel::Error => tell!("guest", error),
            LogLevel::Stdout => tell!("guest::stdout", info),
            LogLevel::Stderr => tell!("guest::stderr", info),
        }
    }

    fn open(&mut self, level: LogLevel) -> &mut Vec<u8> {
        &mut self.open[usize::from(level == LogLevel::Stderr)]
    }

    fn write(&mut self, level: LogLevel, bytes: &[u8]) {
        if level == LogLevel::Stderr {
            self.tail.push(bytes);
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.extend(level, &rest[..end]);
            rest = &rest[end + 1..];
            // An empty line says nothing, and isn't worth one of a thousand.
            self.feed(level);
        }
        self.extend(level, rest);
    }

    fn extend(&mut self, level: LogLevel, bytes: &[u8]) {
        let open = self.open(level);
        let room = LINE - open.len();
        open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The open line is one now.
    fn feed(&mut self, level: LogLevel) {
        let open = std::mem::take(self.open(level));
        if !open.is_empty() {
            self.line(level, || line(&String::from_utf8_lossy(&open)));
        }
    }
}

/// One printable line of bounded length.
pub(super) fn line(text: &str) -> String {
    let end = text.floor_char_boundary(text.len().min(LINE));
    let mut line = printable(&text[..end]).replace('\n', "\\n");
    truncate(&mut line, LINE);
    line
}

/// Takes all, never blocks, never fails: whatever a guest does to its output, it can't do to the host.
#[derive(Clone)]
pub(super) struct Stream {
    journal: Journal,
    level: LogLevel,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only preview 3 asks for this one, and it isn't linked.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.journal.lock().write(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Headers, Priority, Task, TaskOptions};

    fn journal() -> Journal {
        let task = Task {
            id: "a1".parse().unwrap(),
            handler: "add".parse().unwrap(),
            queue: "default".parse().unwrap(),
            priority: Priority::Normal,
            payload: Bytes::new(),
            content_type: String::new(),
            headers: Headers::new(),
            upstream: vec![],
            options: TaskOptions::default(),
            chain: None,
            group: None,
        };
        let at = Timestamp(1_000);
        Journal::of(&Call { task, run: 1, attempt: 1, max_retries: 0, enqueued_at: at, due_at: at, started_at: at })
    }

    fn texts(logs: &Logs) -> Vec<(LogLevel, &str)> {
        logs.lines.iter().map(|line| (line.level, line.text.as_str())).collect()
    }

    #[test]
    fn lines_are_put_together_and_the_last_needs_no_end() {
        let journal = journal();
        let (mut stdout, mut stderr) = (journal.stdout(), journal.stderr());
        stderr.write(Bytes::from_static(b"one\n\ntw")).unwrap();
        stdout.write(Bytes::from_static(b"out\x1b[2J\n")).unwrap();
        stderr.write(Bytes::from_static(b"o\nthree")).unwrap();
        journal.log(LogLevel::Warn, || "careful".into());
        let logs = journal.close().unwrap();
        let expected = [
            (LogLevel::Stderr, "one"),
            (LogLevel::Stdout, "out\\u{1b}[2J"),
            (LogLevel::Stderr, "two"),
            (LogLevel::Warn, "careful"),
            (LogLevel::Stderr, "three"),
        ];
        assert_eq!((texts(&logs), logs.dropped), (expected.to_vec(), 0));
        assert!(logs.lines[0].at >= Timestamp(1_000));
        assert_eq!(journal.tail(), "one\n\ntwo\nthree");
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let journal = journal();
        for number in 0..3_000 {
            journal.log(LogLevel::Info, || format!("line {number}"));
        }
        let logs = journal.close().unwrap();
        assert_eq!((logs.lines.len(), logs.dropped), (1_000, 2_000));
        assert_eq!(logs.lines[0].text, "line 0", "a run that says too much is heard from its beginning");
    }

    #[test]
    fn long_lines_are_cut_and_the_latest_are_kept() {
        let journal = journal();
        let mut stderr = journal.stderr();
        for number in 0..20 {
            stderr.write(Bytes::from(format!("{number} {}", "ü".repeat(10_000)))).unwrap();
            stderr.write(Bytes::from_static(b"\n")).unwrap();
        }
        let logs = journal.close().unwrap();
        assert!(logs.lines.iter().all(|line| line.text.len() <= LINE));
        assert_eq!(logs.lines.len() as u64 + logs.dropped, 20);
        assert!(logs.lines.iter().map(|line| line.text.len()).sum::<usize>() <= KEPT && logs.lines.len() >= 8);
        assert!(logs.lines.last().unwrap().text.starts_with("19 "));
    }

    #[test]
    fn who_says_nothing_leaves_nothing() {
        assert_eq!(journal().close(), None);
    }
}
