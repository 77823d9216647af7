//! Components that call the host with what no type allows, or too often.

use super::runs::{failure_of, is_limit_of, outcome_of};
use super::*;

/// What a guest here may call; the memory is a module's of its own, because the calls are made before the guest is.
const IMPORTS: &str = r#"
    (import "tasq:handler/context@0.1.0" (instance $context
      (export "remaining-ms" (func (result u64)))
      (export "progress" (func (param "percent" u8) (param "note" string)))))
    (import "tasq:handler/log@0.1.0" (instance $log
      (type $l (enum "trace" "debug" "info" "warn" "error"))
      (export "level" (type $level (eq $l)))
      (export "enabled" (func (param "level" $level) (result bool)))))
    (import "wasi:io/poll@0.2.6" (instance $poll (export "pollable" (type (sub resource)))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
      (alias outer 1 $pollable (type $p))
      (export "pollable" (type $pp (eq $p)))
      (export "subscribe-duration" (func (param "when" u64) (result (own $pp))))))
    (core module $memories (memory (export "memory") 2))
    (core instance $memory-of (instantiate $memories))
    (alias core export $memory-of "memory" (core memory $mem))
    (alias export $context "remaining-ms" (func $remaining))
    (alias export $context "progress" (func $progress))
    (alias export $log "enabled" (func $enabled))
    (alias export $clock "subscribe-duration" (func $subscribe))
    (core func $c-remaining (canon lower (func $remaining)))
    (core func $c-progress (canon lower (func $progress) (memory (core memory $mem))))
    (core func $c-enabled (canon lower (func $enabled)))
    (core func $c-subscribe (canon lower (func $subscribe)))
    (core instance $host
      (export "memory" (memory $mem)) (export "remaining" (func $c-remaining))
      (export "progress" (func $c-progress)) (export "enabled" (func $c-enabled))
      (export "subscribe" (func $c-subscribe)))"#;

const CORE_IMPORTS: &str = r#"
    (import "host" "memory" (memory 2)) (export "memory" (memory 0))
    (import "host" "remaining" (func $remaining (result i64)))
    (import "host" "progress" (func $progress (param i32 i32 i32)))
    (import "host" "enabled" (func $enabled (param i32) (result i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))"#;

/// What becomes of a run whose start function or `handle` does this.
fn doing(start: &str, handle: &str) -> Outcome {
    let other = format!("(func $s {start}) (start $s)");
    let handle = format!("{handle} (i32.const 1024)");
    let core = Core { memory: CORE_IMPORTS, handle: &handle, other: &other, ..Core::default() }.module();
    let lift = LIFT.replace("(instantiate $m)", r#"(instantiate $m (with "host" (instance $host)))"#);
    outcome_of(assembled(&[IMPORTS, TYPES, &core, &lift, EXPORT]))
}

#[test]
fn the_host_can_be_called_from_anywhere_and_is_under_the_same_limits() {
    let call = "(drop (call $remaining))";
    assert_eq!(doing(call, call), Outcome::Done("".into()));
    let for_ever = "(loop (drop (call $remaining)) (br 0))";
    is_limit_of(doing(for_ever, ""));
    is_limit_of(doing("", for_ever));
}

#[test]
fn what_the_contract_has_no_value_for_ends_the_run_and_is_named() {
    let text = |pointer: &str, length: &str| format!("(call $progress (i32.const 5) {pointer} {length})");
    let zero = "(i32.const 0)";
    for (body, want) in [
        (text("(i32.const -1)", "(i32.const 10)"), "out of bounds"),
        (text(zero, "(i32.const -1)"), "out of bounds"),
        (text("(i32.const 131072)", "(i32.const 1)"), "out of bounds"),
        (format!("(i32.store {zero} (i32.const -1)) {}", text(zero, "(i32.const 2)")), "invalid utf-8"),
        ("(drop (call $enabled (i32.const 5)))".into(), "unexpected discriminant: 5"),
        ("(drop (call $enabled (i32.const -1)))".into(), "unexpected discriminant: 4294967295"),
    ] {
        for outcome in [doing(&body, ""), doing("", &body)] {
            let (failure, _) = failure_of(outcome);
            assert!(failure.message.contains(want), "{body}: {failure:?}");
        }
    }
    // Of a number that is too large for its type only the lower bits count, as the canonical ABI has it.
    assert_eq!(doing("", "(call $progress (i32.const 1000) (i32.const 0) (i32.const 2))"), Outcome::Done("".into()));
}

#[test]
fn handles_without_end_end_the_run() {
    let (failure, _) = failure_of(doing("", "(loop (drop (call $subscribe (i64.const -1))) (br 0))"));
    assert!(failure.message.contains("table"), "{failure:?}");
}
