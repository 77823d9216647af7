//! Files that somebody puts where handlers are looked for: what they may be, what happens when they change, and what
//! becomes of components that obey no toolchain. Most are written as text here, the better to be wrong in one thing.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tasq_host::sandbox::{Handler, Loaded, Options, Refusal, Sandbox, Stop};
use tasq_host::task::{Name, Outcome, Receipt};
use tasq_tests::runs::call;
use tasq_tests::texts::{EXPORT, LIFT, MEMORY, REALLOC, TYPES, assembled};

mod cache;
mod calls;
mod engine;
mod files;
mod modules;
mod replaced;
mod runs;
mod worlds;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn sandbox() -> Sandbox {
    with_cache(None)
}

fn with_cache(cache: Option<PathBuf>) -> Sandbox {
    Sandbox::new(Options { slots: 4, pagemap_scan: true, cache, memory_budget: None }).unwrap()
}

/// A folder with a handler that serves, `good`, beside what a test puts there.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.put("good.wasm", handler(&Core::default()));
        folder
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn put(&self, file: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(file), bytes).unwrap();
        self.path(file)
    }

    fn load(&self, sandbox: &Sandbox) -> Loaded {
        sandbox.load_folder(self.0.path()).unwrap()
    }

    /// Why nothing but `good` is served.
    fn refused(&self) -> Refusal {
        let sandbox = sandbox();
        let mut loaded = self.load(&sandbox);
        let served: Vec<String> = sandbox.handlers().keys().map(Name::to_string).collect();
        assert_eq!(served, ["good"], "{:?}", loaded.refused);
        assert_eq!(loaded.refused.len(), 1, "{:?}", loaded.refused);
        let refusal = loaded.refused.pop().unwrap();
        let shown = refusal.to_string();
        assert!(!shown.contains('\n') && shown.starts_with(self.0.path().to_str().unwrap()), "{shown}");
        refusal
    }
}

/// What a handler's core module has; each part is text.
struct Core<'a> {
    memory: &'a str,
    realloc: &'a str,
    handle: &'a str,
    post: &'a str,
    other: &'a str,
}

impl Default for Core<'_> {
    /// Takes its arguments and returns nothing, successfully: the memory behind 1024 is zero.
    fn default() -> Self {
        Core { memory: MEMORY, realloc: REALLOC, handle: "(i32.const 1024)", post: "", other: "" }
    }
}

impl Core<'_> {
    fn module(&self) -> String {
        let Core { memory, realloc, handle, post, other } = self;
        format!(
            r#"(core module $m {memory} {realloc} {other}
                 (func (export "handle") (param i32) (result i32) {handle})
                 (func (export "post") (param i32) {post}))"#
        )
    }
}

/// A component of the contract around a core module.
fn handler(core: &Core<'_>) -> Vec<u8> {
    assembled(&[TYPES, &core.module(), LIFT, EXPORT])
}

/// One run of a file's handler, as a worker would do it.
fn run_once(sandbox: &Arc<Sandbox>, handler: Arc<Handler>) -> (Outcome, Receipt) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (here, call) = (sandbox.clone(), call(&handler, "payload"));
    let running = sandbox.guests().spawn(async move { here.run(&handler, call, Stop::new()).await });
    runtime.block_on(async { tokio::time::timeout(PATIENCE, running).await }).expect("it ends").expect("no panic")
}

/// `component` with a custom section at its end: another file that does the same.
fn noted(component: &Path, note: &str) -> Vec<u8> {
    assert!(note.len() < 100, "a length of one byte");
    let mut bytes = fs::read(component).unwrap();
    bytes.extend([0, 1 + 4 + note.len() as u8, 4]);
    bytes.extend(b"note");
    bytes.extend(note.as_bytes());
    bytes
}
