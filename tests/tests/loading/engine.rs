//! What the engine must not do for anyone, and what doesn't fit into its pool. That the features are off is a decision of
//! this project and no accident of the build: these tests fail when a dependency turns a cargo feature on and the engine
//! follows.

use super::*;

fn reason(core: &Core<'_>) -> String {
    let folder = Folder::new();
    folder.put("bad.wasm", handler(core));
    folder.refused().reason
}

#[test]
fn features_with_a_history_of_holes_are_refused() {
    for (feature, other) in [
        ("memory64", "(memory $other i64 1)"),
        ("shared memory", "(memory $other 1 1 shared)"),
        ("atomics", "(func (drop (i32.atomic.load (i32.const 0))))"),
        ("GC structs", "(type (struct (field i32)))"),
        ("GC arrays", "(type (array i8))"),
        ("GC references", "(global (ref null any) (ref.null any))"),
        ("i31", "(func (drop (ref.i31 (i32.const 1))))"),
        ("external references", "(table 1 externref)"),
        ("typed function references", "(type $f (func)) (global (ref null $f) (ref.null $f))"),
        ("exceptions", "(tag) (func (throw 0))"),
        ("try_table", "(func (try_table))"),
        ("stack switching", "(type $f (func)) (type $c (cont $f))"),
        ("64-bit tables", "(table i64 1 funcref)"),
    ] {
        let reason = reason(&Core { other, ..Core::default() });
        assert!(reason.starts_with("not a valid component: "), "{feature}: {reason}");
    }
}

#[test]
fn an_asynchronous_handle_is_refused() {
    let core = Core {
        other: r#"(func (export "callback") (param i32 i32 i32) (result i32) (i32.const 0))"#,
        ..Core::default()
    };
    let lift = LIFT.replace("(post-return (core func $post))", r#"async (callback (core func $callback))"#);
    let lift =
        lift.replacen("(func $handle", r#"(alias core export $i "callback" (core func $callback)) (func $handle"#, 1);
    let folder = Folder::new();
    for ty in ["(func $handle ", r#"(func $handle async "#] {
        let lift = lift.replacen("(func $handle ", ty, 1);
        let text = format!("(component {TYPES} {} {lift} {EXPORT})", core.module());
        let Ok(component) = wat::parse_str(&text) else { panic!("{:?}", wat::parse_str(&text)) };
        folder.put("bad.wasm", component);
        let reason = folder.refused().reason;
        assert!(reason.starts_with("not a valid component: ") && reason.contains("async"), "{reason}");
    }
    for builtin in ["(canon task.cancel (core func))", "(core func (canon waitable-set.new))"] {
        folder.put("bad.wasm", assembled(&[builtin]));
        let reason = folder.refused().reason;
        assert!(reason.starts_with("not a valid component: "), "{reason}");
    }
}

#[test]
fn what_the_pool_has_no_room_for_is_refused_and_named() {
    let two = "(memory 1)";
    let tables = "(table 1 funcref)".repeat(65);
    for (other, want) in [(two, "memories"), (tables.as_str(), "tables"), ("(table 200000 funcref)", "table")] {
        let reason = reason(&Core { other, ..Core::default() });
        assert!(reason.contains(want) && reason.contains("limit"), "{reason}");
    }
}

#[test]
fn initial_memory_above_the_limit_is_refused() {
    for (memory, found) in
        [(r#"(memory (export "memory") 65536)"#, "4.0 GiB"), (r#"(memory (export "memory") 2049)"#, "128.1 MiB")]
    {
        let reason = reason(&Core { memory, ..Core::default() });
        assert_eq!(reason, format!("begins with {found} of memory: expected at most its limit of 128.0 MiB"));
    }
}

#[test]
fn ten_memories_run_even_where_there_is_one_slot() {
    let nine = format!("(core module $n (memory 1)) {}", "(core instance (instantiate $n))".repeat(9));
    let folder = Folder::new();
    folder.put("many.wasm", assembled(&[&nine, TYPES, &Core::default().module(), LIFT, EXPORT]));
    let options = Options { slots: 1, pagemap_scan: true, cache: None, memory_budget: None };
    let sandbox = Arc::new(Sandbox::new(options).unwrap());
    let many = sandbox.load_file(&folder.path("many.wasm")).unwrap();
    assert_eq!(run_once(&sandbox, many).0, Outcome::Done("".into()));
}
