//! A host for native tests: set up what the handler may see, run it, look at what it did.
//!
//! ```
//! use tasq_sdk::testing::{Host, run};
//! use tasq_sdk::{Failure, info};
//!
//! fn greet(name: String) -> Result<String, Failure> {
//!     info!(name = name, "greeting");
//!     Ok(format!("{}, {name}", tasq_sdk::config::require("greeting")?))
//! }
//!
//! // The shortest form: a payload in, a result or a failure out.
//! assert_eq!(run(greet, "Ada").unwrap_err().code, "missing-config");
//!
//! // With a host of its own.
//! let run = Host::new().config("greeting", "Hello").run(greet, "Ada");
//! assert_eq!(run.answer.unwrap(), b"Hello, Ada");
//! assert_eq!(run.seen.log[0].message, "greeting");
//! ```
//!
//! As in production nothing is granted unless a test says so. A handler can also be called as the plain function that it
//! is; then it has the host of a fresh [`Host::new`], unless the call is made inside [`Host::enter`]. A host belongs to
//! its thread: tests that run side by side don't see each other's, and threads that a test starts have their own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::context::Stop;
use crate::log::Level;
use crate::producer::NewTask;
use crate::{Failure, Handler, Task};

/// Runs a handler on a payload, with a [`Host::new`] and a [`Task::default`].
pub fn run<Form>(handler: impl Handler<Form>, payload: impl AsRef<[u8]>) -> Result<Vec<u8>, Failure> {
    Host::new().run(handler, payload).answer
}

/// What a handler finds in a test.
#[derive(Clone, Debug)]
#[must_use]
pub struct Host {
    task: Task,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) remaining: Duration,
    pub(crate) stopping: Option<Stop>,
    pub(crate) level: Level,
    pub(crate) may_enqueue: BTreeSet<String>,
    pub(crate) seen: Seen,
}

/// What a handler did.
#[derive(Clone, Debug)]
pub struct Run<T> {
    /// What it returned.
    pub answer: T,
    /// What it asked of the host.
    pub seen: Seen,
}

/// What was asked of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Log lines at the host's level or above, oldest first.
    pub log: Vec<Line>,
    /// Progress, oldest first.
    pub progress: Vec<Progress>,
    /// Follow-up tasks that were accepted. A real host enqueues them only if the run succeeds.
    pub enqueued: Vec<NewTask>,
    /// The store as it was left; none where it wasn't granted.
    pub store: Option<BTreeMap<String, Vec<u8>>>,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// One call of [`context::progress`](crate::context::progress).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// What it said.
    pub note: String,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
}

impl Host {
    /// Nothing granted, a minute remaining, every log line kept.
    pub fn new() -> Host {
        Host {
            task: Task::default(),
            config: BTreeMap::new(),
            remaining: Duration::from_secs(60),
            stopping: None,
            level: Level::Trace,
            may_enqueue: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    /// The same, running this task.
    pub fn task(self, task: Task) -> Host {
        Host { task, ..self }
    }

    /// The same with a setting.
    pub fn config(mut self, name: &str, value: &str) -> Host {
        self.config.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with this much time left; it doesn't run down.
    pub fn remaining(self, remaining: Duration) -> Host {
        Host { remaining, ..self }
    }

    /// The same, asking the run to end.
    pub fn stopping(self, stop: Stop) -> Host {
        Host { stopping: Some(stop), ..self }
    }

    /// The same, dropping log lines below `level`.
    pub fn level(self, level: Level) -> Host {
        Host { level, ..self }
    }

    /// The same, granting follow-up tasks for `handler`.
    pub fn grant_enqueue(mut self, handler: &str) -> Host {
        self.may_enqueue.insert(handler.to_owned());
        self
    }

    /// The same, granting a store that holds these entries.
    pub fn grant_store<const N: usize>(mut self, entries: [(&str, &[u8]); N]) -> Host {
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_vec()));
        self.seen.store = Some(entries.collect());
        self
    }

    /// Runs a handler on a payload, as the real host would: bytes in, bytes or a failure out.
    pub fn run<Form>(self, handler: impl Handler<Form>, payload: impl AsRef<[u8]>) -> Run<Result<Vec<u8>, Failure>> {
        let task = self.task.clone();
        self.enter(|| handler.call(payload.as_ref().to_vec(), &task))
    }

    /// Calls anything with this as its host: a handler as the plain function that it is, or a part of one.
    pub fn enter<T>(self, call: impl FnOnce() -> T) -> Run<T> {
        let guard = Restore(Some(HOST.replace(self)));
        let answer = call();
        let seen = with_host(|host| std::mem::take(&mut host.seen));
        drop(guard);
        Run { answer, seen }
    }
}

impl Default for Host {
    fn default() -> Host {
        Host::new()
    }
}

/// Puts the host before back even when the handler panics, so that a test that expects a panic leaves nothing behind.
struct Restore(Option<Host>);

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            HOST.set(before);
        }
    }
}

pub(crate) fn with_host<T>(use_it: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(use_it)
}
