//! Components of other worlds than the contract's, and of other versions of it.

use super::*;

/// Whether a file is taken, and why not.
fn taken(component: Vec<u8>) -> Result<(), Refusal> {
    let folder = Folder::new();
    folder.put("bad.wasm", component);
    let loaded = folder.load(&sandbox());
    loaded.refused.into_iter().next().map_or(Ok(()), Err)
}

fn reason_of(component: Vec<u8>) -> String {
    let folder = Folder::new();
    folder.put("bad.wasm", component);
    folder.refused().reason
}

#[test]
fn another_world_is_refused_with_what_it_exports() {
    let expected = "expected an export tasq:handler/handler@0.1.0 or wasi:cli/run@0.2, found ";
    assert_eq!(reason_of(assembled(&[])), format!("{expected}nothing"));
    let run = r#"(core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (alias core export $i "run" (core func $run))
        (func $run (result (result)) (canon lift (core func $run)))
        (instance $it (export "run" (func $run)))
        (export "acme:tool/run@1.0.0" (instance $it))"#;
    assert_eq!(reason_of(assembled(&[run])), format!("{expected}acme:tool/run@1.0.0"));
}

#[test]
fn a_handle_of_another_type_is_refused() {
    let lift = r#"(core instance $i (instantiate $m))
        (alias core export $i "memory" (core memory $memory))
        (alias core export $i "realloc" (core func $realloc))
        (alias core export $i "flat" (core func $flat))
        (func $handle (param "payload" (list u8)) (result (list u8))
          (canon lift (core func $flat) (memory (core memory $memory)) (realloc (core func $realloc))))
        (instance $handler (export "handle" (func $handle)))"#;
    let flat = r#"(func (export "flat") (param i32 i32) (result i32) (i32.const 0))"#;
    let core = Core { other: flat, ..Core::default() }.module();
    let component = assembled(&[&core, lift, EXPORT]);
    let reason = reason_of(component);
    assert!(reason.starts_with("expected a `handle` of the contract's type, found another: "), "{reason}");
    // One field of one record is another.
    let types = TYPES.replace(r#"(field "attempt" u32)"#, r#"(field "attempt" u64)"#);
    let reason = reason_of(assembled(&[&types, &Core::default().module(), LIFT, EXPORT]));
    assert!(reason.ends_with("type mismatch for field attempt: expected `u32` found `u64`"), "{reason}");
}

#[test]
fn an_import_that_no_handler_gets_is_named() {
    let core = Core::default().module();
    for import in [
        r#"(import "acme:db/query@1.0.0" (instance))"#,
        r#"(import "wasi:http/incoming-handler@0.2.0" (instance))"#,
        r#"(import "wasi:cli/stdout@0.3.0" (instance))"#,
        r#"(import "tasq:handler/log@0.2.0" (instance))"#,
        r#"(import "answer" (func (result u32)))"#,
    ] {
        let name = import.split('"').nth(1).unwrap();
        let component = assembled(&[import, TYPES, &core, LIFT, EXPORT]);
        assert_eq!(reason_of(component), format!("imports what no handler gets: {name}"));
    }
}

#[test]
fn versions_of_the_contract_meet_within_a_minor() {
    let core = Core::default().module();
    let of = |version: &str| {
        let at = format!("@{version}\"");
        assembled(&[&TYPES.replace("@0.1.0\"", &at), &core, LIFT, &EXPORT.replace("@0.1.0\"", &at)])
    };
    assert_eq!((taken(of("0.1.0")), taken(of("0.1.7"))), (Ok(()), Ok(())));
    assert_eq!(reason_of(of("0.2.0")), "imports what no handler gets: tasq:handler/types@0.2.0");
    let export = assembled(&[TYPES, &core, LIFT, &EXPORT.replace("0.1.0", "0.2.0")]);
    assert!(reason_of(export).ends_with("found tasq:handler/handler@0.2.0"));
}

#[test]
fn a_function_that_only_a_newer_host_has_is_named() {
    let import = r#"(import "tasq:handler/context@0.1.9" (instance (export "remaining-ms" (func (result u64)))
        (export "priority" (func (result u64)))))"#;
    let component = assembled(&[import, TYPES, &Core::default().module(), LIFT, EXPORT]);
    let reason = reason_of(component);
    assert!(reason.starts_with("can't be linked: ") && reason.contains("priority"), "{reason}");
}

#[test]
fn an_import_of_another_type_is_named() {
    let import = r#"(import "tasq:handler/context@0.1.0" (instance (export "remaining-ms" (func (result string)))))"#;
    let component = assembled(&[import, TYPES, &Core::default().module(), LIFT, EXPORT]);
    let reason = reason_of(component);
    assert!(reason.starts_with("can't be linked: ") && reason.contains("remaining-ms"), "{reason}");
}
