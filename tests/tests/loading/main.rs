//! Files that somebody puts where handlers are looked for: what they may be, what happens when they change, and what
//! becomes of components that obey no toolchain. Most are written as text here, the better to be wrong in one thing.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tasq_host::clock::{Clock, System};
use tasq_host::sandbox::{Call, Handler, Loaded, Options, Refusal, Sandbox, Stop};
use tasq_host::task::{Headers, Name, Outcome, Priority, Receipt, Task, TaskOptions};

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
        Core {
            memory: r#"(memory (export "memory") 2)"#,
            realloc: r#"
                (global $top (mut i32) (i32.const 4096))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                  (local $at i32)
                  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                  (global.set $top (i32.add (local.get $at) (local.get 3)))
                  (local.get $at))"#,
            handle: "(i32.const 1024)",
            post: "",
            other: "",
        }
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

/// The contract's types, imported as every toolchain does it.
const TYPES: &str = r#"
    (import "tasq:handler/types@0.1.0" (instance $types
      (type $h (record (field "name" string) (field "value" string)))
      (export "header" (type $header (eq $h)))
      (type $t (record (field "id" string) (field "handler" string) (field "queue" string) (field "attempt" u32)
        (field "run" u32) (field "max-retries" u32) (field "content-type" string) (field "enqueued-at-ms" u64)
        (field "due-at-ms" u64) (field "deadline-ms" u64) (field "headers" (list $header))
        (field "upstream" (list (list u8)))))
      (export "task" (type (eq $t)))
      (type $k (enum "retry" "discard" "snooze"))
      (export "failure-kind" (type $kind (eq $k)))
      (type $f (record (field "kind" $kind) (field "message" string) (field "code" string) (field "retry-after-ms" u64)))
      (export "failure" (type (eq $f)))))
    (alias export $types "task" (type $task))
    (alias export $types "failure" (type $failure))"#;

/// What lifts the core module's `handle` into the contract's.
const LIFT: &str = r#"
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (alias core export $i "handle" (core func $core))
    (alias core export $i "post" (core func $post))
    (func $handle (param "payload" (list u8)) (param "task" $task) (result (result (list u8) (error $failure)))
      (canon lift (core func $core) (memory (core memory $memory)) (realloc (core func $realloc)) (post-return (core func $post))))
    (instance $handler (export "handle" (func $handle)))"#;

const EXPORT: &str = r#"(export "tasq:handler/handler@0.1.0" (instance $handler))"#;

/// A component of the contract around a core module.
fn handler(core: &Core<'_>) -> Vec<u8> {
    assembled(&[TYPES, &core.module(), LIFT, EXPORT])
}

fn assembled(parts: &[&str]) -> Vec<u8> {
    let text = format!("(component {})", parts.join("\n"));
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// One run of a file's handler, as a worker would do it.
fn run_once(sandbox: &Arc<Sandbox>, handler: Arc<Handler>) -> (Outcome, Receipt) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (here, call) = (sandbox.clone(), call(&handler));
    let running = sandbox.guests().spawn(async move { here.run(&handler, call, Stop::new()).await });
    runtime.block_on(async { tokio::time::timeout(PATIENCE, running).await }).expect("it ends").expect("no panic")
}

fn call(handler: &Handler) -> Call {
    let now = System.now();
    let task = Task {
        id: "t1".parse().unwrap(),
        handler: handler.name.clone(),
        queue: "default".parse().unwrap(),
        priority: Priority::Normal,
        payload: "payload".into(),
        content_type: String::new(),
        headers: Headers::new(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
    };
    Call { task, run: 1, attempt: 1, max_retries: 25, enqueued_at: now, due_at: now, started_at: now }
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
