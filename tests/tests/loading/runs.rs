//! Components that break the rules of the canonical ABI, or misbehave before they are called: each ends as the outcome
//! table says, and the next run is none the worse.

use tasq_host::task::{Failure, FailureKind, Verdict};

use super::*;

/// One run under short limits; then one of another handler, which must be as ever.
fn ended(core: &Core<'_>) -> Outcome {
    outcome_of(handler(core))
}

pub(crate) fn outcome_of(component: Vec<u8>) -> Outcome {
    let (folder, sandbox) = (Folder::new(), Arc::new(sandbox()));
    folder.put("bad.wasm", component);
    folder.put("bad.toml", "timeout = \"5s\"\ncpu = \"200ms\"\nmemory = \"4MiB\"");
    let bad = sandbox.load_file(&folder.path("bad.wasm")).unwrap_or_else(|refusal| panic!("{refusal}"));
    let (outcome, receipt) = run_once(&sandbox, bad);
    assert!(receipt.peak_memory_bytes <= 4 << 20, "{receipt:?}");
    let good = sandbox.load_file(&folder.path("good.wasm")).unwrap();
    assert_eq!(run_once(&sandbox, good).0, Outcome::Done("".into()));
    outcome
}

fn failed(core: &Core<'_>) -> (Failure, Verdict) {
    failure_of(ended(core))
}

pub(crate) fn failure_of(outcome: Outcome) -> (Failure, Verdict) {
    match outcome {
        Outcome::Failed(failure, verdict) => (failure, verdict),
        other => panic!("expected a failure, found {other:?}"),
    }
}

fn is_limit(core: &Core<'_>) {
    is_limit_of(ended(core));
}

pub(crate) fn is_limit_of(outcome: Outcome) {
    let (failure, verdict) = failure_of(outcome);
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Limit, "cpu-limit"), "{failure:?}");
    assert_eq!(verdict, Verdict::Retry(None));
}

fn is_trap(core: &Core<'_>, code: &str) {
    let (failure, verdict) = failed(core);
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Trap, code), "{failure:?}");
    assert_eq!(verdict, Verdict::Retry(None));
    assert!(!failure.message.is_empty());
}

fn is_invalid(core: &Core<'_>) {
    let (failure, verdict) = failed(core);
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Limit, "invalid-result"), "{failure:?}");
    assert_eq!(verdict, Verdict::Discard);
    assert!(!failure.message.contains('\n'), "{failure:?}");
}

fn core<'a>(other: &'a str, handle: &'a str) -> Core<'a> {
    Core { other, handle, ..Core::default() }
}

fn realloc(body: &str) -> String {
    format!(r#"(func (export "realloc") (param i32 i32 i32 i32) (result i32) {body})"#)
}

const RETURN: &str = "(i32.const 1024)";

#[test]
fn a_start_function_is_under_the_same_limits() {
    is_limit(&core("(func $s (loop (br 0))) (start $s)", RETURN));
    is_trap(&core("(func $s unreachable) (start $s)", RETURN), "trap");
    is_trap(&core("(func $s (call $s)) (start $s)", RETURN), "stack-overflow");
    let grow = "(func $s (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable) (start $s)";
    is_trap(&core(grow, RETURN), "out-of-memory");
}

#[test]
fn a_guest_may_live_on_after_it_was_refused_memory() {
    let grow = "(func $s (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))) (start $s)";
    assert_eq!(ended(&core(grow, RETURN)), Outcome::Done("".into()));
    let table = "(table $t 1 funcref) (func $s (drop (table.grow $t (ref.null func) (i32.const 1000000)))) (start $s)";
    assert_eq!(ended(&core(table, RETURN)), Outcome::Done("".into()));
}

/// A component whose second module has `pages` of memory and grows it by `more`, or traps.
fn with_second_memory(pages: u32, more: u32) -> Outcome {
    let second = format!(
        "(core module $n (memory {pages})
           (func $s (if (i32.eq (memory.grow (i32.const {more})) (i32.const -1)) (then unreachable))) (start $s))
         (core instance (instantiate $n))"
    );
    let memory = r#"(memory (export "memory") 40)"#;
    let core = Core { memory, ..Core::default() }.module();
    // The second is instantiated after the first.
    outcome_of(assembled(&[TYPES, &core, LIFT, &second, EXPORT]))
}

#[test]
fn memories_count_together() {
    // 64 pages are the limit, of which the first memory has 40.
    assert_eq!(with_second_memory(1, 23), Outcome::Done("".into()));
    for (pages, more) in [(1, 24), (25, 0)] {
        let (failure, verdict) = failure_of(with_second_memory(pages, more));
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Trap, "out-of-memory"), "{failure:?}");
        assert_eq!(verdict, Verdict::Retry(None));
    }
}

#[test]
fn a_data_segment_behind_the_memory_is_a_trap() {
    is_trap(&core(r#"(data (i32.const 1000000) "x")"#, RETURN), "trap");
}

#[test]
fn a_loop_anywhere_ends_at_the_limit() {
    is_limit(&core("", "(loop (br 0)) (i32.const 0)"));
    is_limit(&Core { realloc: &realloc("(loop (br 0)) (i32.const 0)"), ..Core::default() });
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 131072)) (br 0)) (i32.const 0)";
    is_limit(&core("", fill));
    is_limit(&Core { post: "(loop (br 0))", ..Core::default() });
}

#[test]
fn a_realloc_that_lies_is_an_end_like_another() {
    // Behind the memory, across its end, and not aligned.
    for address in ["-8", "131064", "131072", "4097"] {
        is_invalid(&Core { realloc: &realloc(&format!("(i32.const {address})")), ..Core::default() });
    }
    is_trap(&Core { realloc: &realloc("unreachable"), ..Core::default() }, "trap");
    // Nothing is wrong with address 0.
    let outcome = ended(&Core { realloc: &realloc("(i32.const 0)"), ..Core::default() });
    assert_eq!(outcome, Outcome::Done("".into()));
}

#[test]
fn a_result_outside_the_memory_is_invalid() {
    for address in ["-1", "131072", "131060", "1025"] {
        is_invalid(&core("", &format!("(i32.const {address})")));
    }
    // 4 GiB of it, behind everything, and just behind the memory.
    for list in [r"\00\08\00\00\ff\ff\ff\ff", r"\ff\ff\ff\ff\01\00\00\00", r"\00\00\02\00\01\00\00\00"] {
        let data = format!(r#"(data (i32.const 1032) "{list}")"#);
        is_invalid(&core(&data, RETURN));
    }
}

#[test]
fn discriminants_and_text_that_the_contract_doesnt_have_are_invalid() {
    for data in [
        // Neither success nor failure.
        r#"(data (i32.const 1024) "\02")"#,
        // A failure of the fourth kind.
        r#"(data (i32.const 1024) "\01") (data (i32.const 1032) "\03")"#,
        // A message of FF FE.
        r#"(data (i32.const 1024) "\01") (data (i32.const 1036) "\00\08\00\00\02\00\00\00") (data (i32.const 2048) "\ff\fe")"#,
        // A code behind the memory.
        r#"(data (i32.const 1024) "\01") (data (i32.const 1044) "\00\00\02\00\02\00\00\00")"#,
    ] {
        is_invalid(&core(data, RETURN));
    }
}

#[test]
fn a_delay_without_end_is_taken() {
    let data = r#"(data (i32.const 1024) "\01") (data (i32.const 1056) "\ff\ff\ff\ff\ff\ff\ff\ff")"#;
    let (_, verdict) = failed(&core(data, RETURN));
    assert_eq!(verdict, Verdict::Retry(Some(Duration::from_millis(u64::MAX))));
}
