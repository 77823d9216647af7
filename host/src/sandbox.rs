//! Runs handlers: loads `.wasm` files, and calls one in a fresh sandbox. Knows nothing of brokers, leases or retries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::task::{Name, Outcome, Receipt, Task, Timestamp};

pub mod manifest;
pub mod stop;

pub use manifest::Manifest;
pub use stop::Stop;

/// How a sandbox is set up; nothing in here changes while it lives.
#[derive(Clone, Debug)]
pub struct Options {
    /// Runs at once.
    pub slots: usize,
    /// False forces `PAGEMAP_SCAN` off; true uses it where it is safe.
    pub pagemap_scan: bool,
    /// Where compiled code is kept; none for no cache.
    pub cache: Option<PathBuf>,
    /// Bytes that all runs together may use; none for 70 % of the cgroup's or the machine's memory.
    pub memory_budget: Option<u64>,
}

/// Handlers and the engine that runs them.
pub struct Sandbox {}

/// One version of a handler: immutable, named by its digest.
pub struct Handler {
    /// Whose tasks it runs.
    pub name: Name,
    /// `sha256:…` of the file.
    pub digest: String,
    /// Its limits and grants.
    pub manifest: Manifest,
}

/// Why a file isn't taken as a handler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct Refusal {
    /// The file.
    pub file: PathBuf,
    /// What was expected and found, in one line.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One import of a component and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// As the component names it: `wasi:cli/stdout@0.2.3`.
    pub interface: String,
    /// What the host does.
    pub access: Access,
}

/// What a handler gets from an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Works.
    Granted,
    /// Linked, and answers that there is nothing or that it is denied.
    Inert,
    /// The host has no such interface: the file is refused.
    Refused,
}

/// What `handler check` shows of a file that may or may not be taken.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// `sha256:…` of the file.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// Everything it imports.
    pub imports: Vec<Import>,
    /// Why it would not be taken.
    pub refusal: Option<Refusal>,
}

/// One run that is asked for.
#[derive(Clone, Debug)]
pub struct Call {
    /// What to run.
    pub task: Task,
    /// 1 for the first start.
    pub run: u32,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// As decided: the task's own, else the manifest's, else the default.
    pub max_retries: u32,
    /// When the broker accepted it.
    pub enqueued_at: Timestamp,
    /// When this run was due.
    pub due_at: Timestamp,
    /// Now.
    pub started_at: Timestamp,
}

/// What loading a folder found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Handlers that are new or changed.
    pub changed: Vec<Name>,
    /// Files that were not taken; what they replaced serves on.
    pub refused: Vec<Refusal>,
}

impl Sandbox {
    /// Sets up the engine, its threads and its pool.
    pub fn new(_options: Options) -> anyhow::Result<Sandbox> {
        todo!()
    }

    /// Serves every `NAME.wasm` in `folder` as the handler `NAME`.
    pub fn load_folder(&self, _folder: &Path) -> std::io::Result<Loaded> {
        todo!()
    }

    /// Loads one file, without serving it.
    pub fn load_file(&self, _file: &Path) -> Result<Arc<Handler>, Refusal> {
        todo!()
    }

    /// What the host would make of a file.
    pub fn inspect(&self, _file: &Path) -> Result<Inspection, Refusal> {
        todo!()
    }

    /// The handlers that are served now.
    pub fn handlers(&self) -> Arc<HashMap<Name, Arc<Handler>>> {
        todo!()
    }

    /// Runs `handler` once in a fresh sandbox. Dropping the future stops the guest.
    pub async fn run(&self, _handler: &Arc<Handler>, _call: Call, _stop: Stop) -> (Outcome, Receipt) {
        todo!()
    }

    /// What a user should know about how the pool is set up: one line each.
    pub fn notes(&self) -> Vec<String> {
        todo!()
    }
}

/// Wall time of one run, unless task or manifest say otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// CPU time of one run, unless task or manifest say otherwise.
pub const CPU: Duration = Duration::from_secs(5);
/// Memory of one run, unless the manifest says otherwise.
pub const MEMORY: u64 = 128 << 20;
/// The largest payload.
pub const PAYLOAD: usize = 4 << 20;
/// The largest result.
pub const RESULT: usize = 1 << 20;
