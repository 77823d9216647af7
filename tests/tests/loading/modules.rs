//! Core modules that export the contract's `handle`: what C, Zig, Go and AssemblyScript make without further tools.

use bytes::Bytes;
use tasq_tests::guests::reactor;

use super::*;

const HANDLE: &str = r#"(func (export "tasq:handler/handler@0.1.0#handle") (param i32) (result i32) (i32.const 1024))"#;

const REALLOC: &str = r#"
    (global $top (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at))"#;

/// What `handle` points at: success, and after it, aligned for a failure's 64-bit delay, the bytes 2000 to 2004.
const ANSWER: &str = r#"
    (memory (export "memory") 2)
    (data (i32.const 1032) "\d0\07\00\00\04\00\00\00")
    (data (i32.const 2000) "done")"#;

fn module(parts: &[&str]) -> Vec<u8> {
    wat::parse_str(format!("(module {})", parts.join("\n"))).unwrap_or_else(|error| panic!("{error}"))
}

fn outcome(module: impl AsRef<[u8]>) -> Outcome {
    let folder = Folder::new();
    let sandbox = Arc::new(sandbox());
    let handler = sandbox.load_file(&folder.put("bare.wasm", module)).unwrap();
    run_once(&sandbox, handler).0
}

fn done(bytes: &'static [u8]) -> Outcome {
    Outcome::Done(Bytes::from_static(bytes))
}

#[test]
fn a_module_without_any_system_is_a_handler() {
    assert_eq!(outcome(module(&[ANSWER, REALLOC, HANDLE])), done(b"done"));
}

#[test]
fn a_module_may_name_any_patch_of_the_contract() {
    let handle = HANDLE.replace("0.1.0", "0.1.7");
    assert_eq!(outcome(module(&[ANSWER, REALLOC, &handle])), done(b"done"));
}

#[test]
fn a_module_reaches_what_the_contract_imports() {
    // The answer is one byte: whether the host keeps messages of the level `error`.
    let asks = r#"
        (import "tasq:handler/log@0.1.0" "enabled" (func $enabled (param i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 1032) "\d0\07\00\00\01\00\00\00")
        (func (export "tasq:handler/handler@0.1.0#handle") (param i32) (result i32)
          (i32.store8 (i32.const 2000) (i32.add (i32.const 48) (call $enabled (i32.const 4))))
          (i32.const 1024))"#;
    let outcome = outcome(module(&[asks, REALLOC]));
    assert!(outcome == done(b"0") || outcome == done(b"1"), "{outcome:?}");
}

#[test]
fn a_reactor_of_preview_1_is_initialised_and_has_wasi() {
    // Both halves of the answer's place are written only by `_initialize`, and there only where WASI's clock answers.
    let reactor = r#"
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 2000) "done")
        (func (export "_initialize")
          (if (i32.eqz (call $clock (i32.const 0) (i64.const 1) (i32.const 3000)))
            (then (i32.store (i32.const 1032) (i32.const 2000)) (i32.store (i32.const 1036) (i32.const 4)))))"#;
    assert_eq!(outcome(module(&[reactor, REALLOC, HANDLE])), done(b"done"));
}

#[test]
fn a_library_of_rust_for_preview_1_is_a_handler() {
    let sandbox = Arc::new(sandbox());
    let handler = sandbox.load_file(&reactor("add")).unwrap();
    let (outcome, _) = run_once(&sandbox, handler);
    let Outcome::Failed(failure, _) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.code, "invalid-payload", "{}", failure.message);
}

#[test]
fn a_module_is_adapted_and_compiled_once() {
    let (folder, cache) = (Folder::new(), tempfile::tempdir().unwrap());
    let file = folder.put("bare.wasm", module(&[ANSWER, REALLOC, HANDLE]));
    let private = cache.path().join("private");
    let load = || {
        let sandbox = Arc::new(with_cache(Some(private.clone())));
        let handler = sandbox.load_file(&file).unwrap();
        (handler.digest.clone(), run_once(&sandbox, handler).0)
    };
    let first = load();
    assert_eq!(load(), first);
    let kept: Vec<_> = fs::read_dir(&private).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    // By the file's own digest, whatever is made of it.
    let digest = first.0.trim_start_matches("sha256:");
    assert!(kept[0].to_str().unwrap().starts_with(digest), "{kept:?} {digest}");
}

#[test]
fn what_can_not_be_adapted_is_refused_with_what_is_missing() {
    let strange = r#"(import "env" "abort" (func (param i32)))"#;
    let other_shape = r#"(func (export "tasq:handler/handler@0.1.0#handle") (result i32) (i32.const 1024))"#;
    let later = HANDLE.replace("0.1.0", "0.2.0");
    let unknown = r#"(import "tasq:handler/log@0.1.0" "shout" (func))"#;
    let memory = r#"(memory (export "memory") 2)"#;
    for (parts, want) in [
        (&[strange, memory, REALLOC, HANDLE][..], "imports what no handler gets: env"),
        (&[REALLOC, HANDLE], "memory"),
        (&[memory, HANDLE], "realloc"),
        (&[memory, REALLOC, other_shape], "type mismatch for function"),
        (&[unknown, memory, REALLOC, HANDLE], "shout"),
        (
            &[memory, REALLOC, &later],
            "expected an export tasq:handler/handler@0.1.0#handle or _start, found cabi_realloc",
        ),
    ] {
        let folder = Folder::new();
        folder.put("bare.wasm", module(parts));
        let refusal = folder.refused();
        assert!(refusal.reason.contains(want), "{want}: {refusal}");
        assert!(refusal.hint.is_some(), "{refusal}");
    }
}

#[test]
fn a_damaged_module_is_refused() {
    let whole = module(&[ANSWER, REALLOC, HANDLE]);
    let folder = Folder::new();
    folder.put("bare.wasm", &whole[..whole.len() - 3]);
    assert!(folder.refused().reason.starts_with("not a valid module: "));
}
