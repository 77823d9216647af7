//! Single runs of handlers, as a worker makes them, and what they leave behind in this process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tasq_host::clock::{Clock, System};
use tasq_host::sandbox::{Call, Handler, Sandbox, Stop};
use tasq_host::task::{Headers, Outcome, Priority, Receipt, Task, TaskOptions, Verdict};

/// The first run of a task of `handler`.
pub fn call(handler: &Handler, payload: impl Into<Bytes>) -> Call {
    let now = System.now();
    let task = Task {
        id: "t1".parse().expect("an id"),
        handler: handler.name.clone(),
        queue: "default".parse().expect("a name"),
        priority: Priority::Normal,
        payload: payload.into(),
        content_type: String::new(),
        headers: Headers::new(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    };
    Call { task, run: 1, attempt: 1, max_retries: 25, enqueued_at: now, due_at: now, started_at: now }
}

/// One run on the guests' own threads.
pub async fn run(sandbox: &Arc<Sandbox>, handler: &Arc<Handler>, payload: impl Into<Bytes>) -> (Outcome, Receipt) {
    let (here, handler, call) = (sandbox.clone(), handler.clone(), call(handler, payload));
    let running = sandbox.guests().spawn(async move { here.run(&handler, call, Stop::new()).await });
    running.await.expect("no panic")
}

/// An outcome in a few words, as tables show it: `retry: trap stack-overflow`.
pub fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::Failed(failure, verdict) => {
            let verdict = match verdict {
                Verdict::Retry(_) => "retry",
                Verdict::Discard => "discard",
                Verdict::Snooze(_) => "snooze",
            };
            format!("{verdict}: {} {}", failure.kind.as_str(), failure.code).trim_end().to_owned()
        }
        Outcome::Park => "park".to_owned(),
        Outcome::Release(_) => "release".to_owned(),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Gone => "gone".to_owned(),
    }
}

/// What this process and a sandbox in it hold at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Open files.
    pub files: usize,
    /// Tasks on the guests' threads.
    pub tasks: usize,
    /// Places of the pool.
    pub places: u64,
}

impl Held {
    /// By this process and `sandbox`, now.
    pub fn now(sandbox: &Sandbox) -> Held {
        let files = std::fs::read_dir("/proc/self/fd").expect("a process").count();
        let tasks = sandbox.guests().metrics().num_alive_tasks();
        Held { memory: resident(), files, tasks, places: sandbox.occupied() }
    }

    /// True where everything that was taken since `before` was given back, but for `slack` bytes of memory.
    pub fn is_back_at(&self, before: &Held, slack: u64) -> bool {
        self.memory <= before.memory + slack
            && self.files <= before.files
            && self.tasks <= before.tasks
            && self.places <= before.places
    }
}

/// Resident memory of this process, in bytes.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Polls until `seen` is true, at most for `limit`; whether it was.
pub async fn comes_true(limit: Duration, mut seen: impl FnMut() -> bool) -> bool {
    let looking = async {
        while !seen() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(limit, looking).await.is_ok()
}
