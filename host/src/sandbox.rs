//! Runs handlers: loads `.wasm` files, and calls one in a fresh sandbox. Knows nothing of brokers, leases or retries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::store::Store;
use crate::task::{FollowUp, Logs, Name, Outcome, Receipt, Task, Timestamp};

mod adapt;
mod budget;
mod cache;
mod call;
pub mod ceilings;
mod cgroup;
mod command;
pub mod compile;
mod engine;
mod handlers;
pub mod http;
mod imports;
mod inspect;
mod journal;
mod kinds;
mod limits;
pub mod manifest;
mod meter;
mod output;
mod producer;
mod program;
pub mod secrets;
pub mod stop;
mod store;
mod swap;
pub mod terms;

use budget::Budget;
pub use budget::Memory;
use cache::Cache;
use ceilings::{Ceilings, Operator};
use compile::{Compiler, Press};
use engine::{Built, Ticker};
use handlers::Loader;
use http::{Gateway, Internet, Reach};
pub use inspect::{HandlerKind, Inspection, Needs, Producer};
pub use manifest::Manifest;
use program::{Linkers, Program};
use secrets::Secrets;
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
pub struct Sandbox {
    shared: Arc<call::Shared>,
    loader: Loader,
    served: ArcSwap<HashMap<Name, Arc<Handler>>>,
    /// Those that were served before, as long as somebody holds them.
    replaced: Mutex<Vec<Weak<Handler>>>,
    changes: watch::Sender<()>,
    // None only while it is being dropped.
    guests: Option<Runtime>,
    notes: Vec<String>,
    // Keeps the epoch thread's view of `active` alive.
    _is_active: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// One version of a handler: immutable, named by its digest.
pub struct Handler {
    /// Whose tasks it runs.
    pub name: Name,
    /// `sha256:…` of the file.
    pub digest: Arc<str>,
    /// Its limits and grants.
    pub manifest: Manifest,
    /// Whether it was compiled for this, rather than found in the cache.
    pub compiled: bool,
    /// When it was loaded.
    pub since: Timestamp,
    running: AtomicUsize,
    program: Program,
    /// Those that its manifest asks for.
    secrets: Secrets,
    /// None without a grant of HTTP.
    reach: Option<Arc<Reach>>,
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

/// What came of one run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// What it cost.
    pub receipt: Receipt,
    /// What the handler enqueued; to be pushed together with the end of a run that succeeded, and else dropped.
    pub follow_ups: Vec<FollowUp>,
    /// What it said; none where it said nothing.
    pub logs: Option<Logs>,
}

/// What loading a folder found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Handlers that are new or changed.
    pub changed: Vec<Name>,
    /// Handlers whose files are gone.
    pub removed: Vec<Name>,
    /// Files that were not taken; what they replaced serves on.
    pub refused: Vec<Refusal>,
}

impl Sandbox {
    /// Sets up the engine, its threads and its pool, for handlers that need no secrets; files are compiled in this
    /// process. An error means that this machine can't run guests.
    pub fn new(options: Options) -> anyhow::Result<Sandbox> {
        Sandbox::under(Operator::default(), options)
    }

    /// The same, where an operator has a say in what manifests and tasks get.
    pub fn under(operator: Operator, options: Options) -> anyhow::Result<Sandbox> {
        Sandbox::with(options, operator, Some(Secrets::default()), Compiler::Here)
    }

    /// The same, with the secrets that manifests may ask for, and the one who compiles. No secrets where handlers are only
    /// looked at: then nothing that they ask for is missing.
    pub fn with(
        options: Options,
        operator: Operator,
        secrets: Option<Secrets>,
        compiler: Compiler,
    ) -> anyhow::Result<Sandbox> {
        let Built { engine, reservation, mut notes } = engine::build(options.slots, options.pagemap_scan)?;
        let cache = options.cache.as_deref().map(Cache::open).transpose().unwrap_or_else(|reason| {
            notes.push(format!("compiled code is not kept: {reason}"));
            None
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let guests = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("guest")
            .enable_all()
            .build()?;
        let active = Arc::new(AtomicUsize::new(0));
        let counted = active.clone();
        let is_active: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(move || counted.load(Ordering::SeqCst) > 0);
        let ticker = Ticker::start(engine.clone(), Arc::downgrade(&is_active))?;
        let shared = call::Shared {
            engine: engine.clone(),
            budget: Arc::new(Budget::new(options.memory_budget)),
            ceilings: operator.ceilings.clone(),
            turns: Arc::new(Semaphore::new(threads.saturating_sub(1).max(1))),
            active,
            wake: Box::new(move || ticker.wake()),
            kept: OnceLock::new(),
        };
        let (gateway, ceiling) = (Arc::new(Gateway::new(Internet::new())), operator.http.clone().map(Arc::from));
        let (linkers, press) = (Linkers::new(&engine)?, Press::new(compiler, reservation));
        let loader = Loader { linkers, engine, cache, press, gateway, secrets, ceiling, operator };
        Ok(Sandbox {
            shared: Arc::new(shared),
            loader,
            served: ArcSwap::default(),
            replaced: Mutex::default(),
            changes: watch::Sender::new(()),
            guests: Some(guests),
            notes,
            _is_active: is_active,
        })
    }

    /// Where handlers that are granted it keep what outlives their runs. The first that is lent stands; without one they are
    /// answered `unavailable`.
    pub fn lend(&self, store: Arc<dyn Store>) {
        // Handlers would lose sight of what they have kept.
        let _ = self.shared.kept.set(store);
    }

    /// Serves every `NAME.wasm` in `folder` as the handler `NAME`, and nothing else. Files that aren't taken are
    /// reported; the version before serves on. An error means that the folder itself can't be read. Compiling what
    /// the cache doesn't have takes up to seconds a file.
    pub fn load_folder(&self, folder: &Path) -> std::io::Result<Loaded> {
        let before = self.served.load_full();
        let (served, mut loaded) = self.loader.folder(folder, &before)?;
        loaded.removed = before.keys().filter(|name| !served.contains_key(*name)).cloned().collect();
        if !loaded.changed.is_empty() || !loaded.removed.is_empty() {
            let goes = |old: &&Arc<Handler>| served.get(&old.name).is_none_or(|new| !Arc::ptr_eq(old, new));
            self.lock_replaced().extend(before.values().filter(goes).map(Arc::downgrade));
            self.served.store(Arc::new(served));
            self.changes.send_replace(());
        }
        Ok(loaded)
    }

    /// Loads one file, without serving it.
    pub fn load_file(&self, file: &Path) -> Result<Arc<Handler>, Refusal> {
        self.loader.file(file, None)
    }

    /// What the host would make of a file. An error means that it can't be read at all.
    pub fn inspect(&self, file: &Path) -> Result<Inspection, Refusal> {
        self.loader.inspect(file)
    }

    /// The handlers that are served now. A run keeps the version it began with.
    pub fn handlers(&self) -> Arc<HashMap<Name, Arc<Handler>>> {
        self.served.load_full()
    }

    /// Versions that are no longer served, and are still here because runs go on that began with them.
    pub fn replaced(&self) -> Vec<Arc<Handler>> {
        let mut replaced = self.lock_replaced();
        let held: Vec<Arc<Handler>> = replaced.iter().filter_map(Weak::upgrade).collect();
        *replaced = held.iter().map(Arc::downgrade).collect();
        held
    }

    fn lock_replaced(&self) -> MutexGuard<'_, Vec<Weak<Handler>>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handler of this name, if it is served now.
    pub fn handler(&self, name: &Name) -> Option<Arc<Handler>> {
        self.served.load().get(name).cloned()
    }

    /// What no task gets more of, whatever its options say.
    pub fn ceilings(&self) -> &Ceilings {
        &self.shared.ceilings
    }

    /// Changes when [`Sandbox::handlers`] does.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Where guests run: threads of their own, so that a guest that computes holds up nothing else. Whatever calls
    /// [`Sandbox::run`] should be spawned here.
    pub fn guests(&self) -> &tokio::runtime::Handle {
        self.guests.as_ref().expect("there until dropped").handle()
    }

    /// Runs `handler` once in a fresh sandbox, within its limits. Dropping the future stops the guest.
    pub async fn attempt(&self, handler: &Arc<Handler>, call: Call, stop: Stop) -> Ran {
        let _running = Running::begin(handler);
        self.shared.run(handler, call, stop).await
    }

    /// [`Sandbox::attempt`], to try a handler: what it enqueued is dropped.
    pub async fn run(&self, handler: &Arc<Handler>, call: Call, stop: Stop) -> (Outcome, Receipt) {
        let Ran { outcome, receipt, .. } = self.attempt(handler, call, stop).await;
        (outcome, receipt)
    }

    /// Instantiates and calls `handler` with nothing around it, to measure what the rest costs. Without limits.
    pub async fn bare(&self, handler: &Arc<Handler>, call: &Call) -> anyhow::Result<()> {
        Ok(self.shared.bare(handler, call).await?)
    }

    /// What runs hold of the pool at this moment: instances, memories, tables and stacks together. 0 when nothing runs.
    pub fn occupied(&self) -> u64 {
        self.shared.engine.pooling_allocator_metrics().map_or(0, |pool| {
            let places = pool.memories() + pool.tables() + pool.stacks();
            pool.component_instances() + pool.core_instances() + places as u64
        })
    }

    /// What all runs together use of what they may.
    pub fn memory(&self) -> Memory {
        self.shared.budget.memory()
    }

    /// What a user should know about how the pool is set up: one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Handler {
    /// Runs of it that go on now.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// Counts a run until it is dropped, with the run's future if need be.
struct Running<'a>(&'a AtomicUsize);

impl Running<'_> {
    fn begin(handler: &Handler) -> Running<'_> {
        handler.running.fetch_add(1, Ordering::Relaxed);
        Running(&handler.running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Dropped inside a runtime as often as not, where waiting for its threads is not allowed.
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

/// Wall time of one run, unless task or manifest say otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// CPU time of one run, unless task or manifest say otherwise.
pub const CPU: Duration = Duration::from_secs(5);
/// Memory of one run, unless the manifest says otherwise.
pub const MEMORY: u64 = 128 << 20;
/// The largest result.
pub const RESULT: usize = 1 << 20;
