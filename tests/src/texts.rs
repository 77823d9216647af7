//! Guests written as text, so that one can be wrong in a single thing that no toolchain would let pass: the contract around
//! a core module, what such a module leaves out, and what it may call.

/// The contract's types, imported as every toolchain does it.
pub const TYPES: &str = r#"
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
pub const LIFT: &str = r#"
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (alias core export $i "handle" (core func $core))
    (alias core export $i "post" (core func $post))
    (func $handle (param "payload" (list u8)) (param "task" $task) (result (result (list u8) (error $failure)))
      (canon lift (core func $core) (memory (core memory $memory)) (realloc (core func $realloc)) (post-return (core func $post))))
    (instance $handler (export "handle" (func $handle)))"#;

/// What a handler exports.
pub const EXPORT: &str = r#"(export "tasq:handler/handler@0.1.0" (instance $handler))"#;

/// A memory of 128 KiB.
pub const MEMORY: &str = r#"(memory (export "memory") 2)"#;

/// Gives out what lies behind 4096, and never takes it back.
pub const REALLOC: &str = r#"
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at))"#;

/// Returns nothing, successfully: the memory behind 1024 is zero.
const HANDLE: &str = r#"(func (export "handle") (param i32) (result i32) (i32.const 1024))"#;
const POST: &str = r#"(func (export "post") (param i32))"#;

/// What a core module may call: the instance `$host`. Its memory is a module's of its own, because calls may be made before
/// the guest is there.
const HOST: &str = r#"
    (alias export $types "header" (type $header-of-types))
    (import "tasq:handler/context@0.1.0" (instance $context
      (export "remaining-ms" (func (result u64)))
      (export "progress" (func (param "percent" u8) (param "note" string)))))
    (import "tasq:handler/log@0.1.0" (instance $log
      (alias outer 1 $header-of-types (type $t))
      (export "header" (type $header (eq $t)))
      (type $l (enum "trace" "debug" "info" "warn" "error"))
      (export "level" (type $level (eq $l)))
      (export "enabled" (func (param "level" $level) (result bool)))
      (export "log" (func (param "level" $level) (param "message" string) (param "fields" (list $header))))))
    (import "wasi:random/random@0.2.6" (instance $random
      (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
    (import "wasi:io/poll@0.2.6" (instance $poll
      (export "pollable" (type $p (sub resource)))
      (export "[method]pollable.block" (func (param "self" (borrow $p))))
      (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
      (alias outer 1 $pollable (type $p))
      (export "pollable" (type $pp (eq $p)))
      (export "subscribe-duration" (func (param "when" u64) (result (own $pp))))))
    (core module $beneath (memory (export "memory") 2) {realloc})
    (core instance $beneath (instantiate $beneath))
    (alias core export $beneath "memory" (core memory $mem))
    (alias core export $beneath "realloc" (core func $room))
    (alias export $context "remaining-ms" (func $remaining))
    (alias export $context "progress" (func $progress))
    (alias export $log "enabled" (func $enabled))
    (alias export $log "log" (func $write))
    (alias export $random "get-random-bytes" (func $bytes))
    (alias export $poll "poll" (func $all))
    (alias export $poll "[method]pollable.block" (func $block))
    (alias export $clock "subscribe-duration" (func $subscribe))
    (core func $c-remaining (canon lower (func $remaining)))
    (core func $c-progress (canon lower (func $progress) (memory (core memory $mem))))
    (core func $c-enabled (canon lower (func $enabled)))
    (core func $c-log (canon lower (func $write) (memory (core memory $mem))))
    (core func $c-random (canon lower (func $bytes) (memory (core memory $mem)) (realloc (core func $room))))
    (core func $c-poll (canon lower (func $all) (memory (core memory $mem)) (realloc (core func $room))))
    (core func $c-block (canon lower (func $block)))
    (core func $c-subscribe (canon lower (func $subscribe)))
    (core func $c-drop (canon resource.drop $pollable))
    (core instance $host
      (export "memory" (memory $mem)) (export "remaining" (func $c-remaining))
      (export "progress" (func $c-progress)) (export "enabled" (func $c-enabled)) (export "log" (func $c-log))
      (export "random" (func $c-random)) (export "poll" (func $c-poll)) (export "block" (func $c-block))
      (export "subscribe" (func $c-subscribe)) (export "drop" (func $c-drop)))"#;

/// A guest from its text, which is one of two things:
///
/// - a whole component, in which `{types}`, `{core}`, `{lift}` and `{export}` stand for the contract around a core module
///   that does nothing;
/// - the fields of a core module, from whatever it imports from `"host"` on. What of `memory`, `realloc`, `handle` and
///   `post` it doesn't export is given to it.
///
/// Panics at a text that can't be translated, with the place.
pub fn component(text: &str) -> Vec<u8> {
    if text.contains("(component") {
        let whole = text.replace("{types}", TYPES).replace("{lift}", LIFT).replace("{export}", EXPORT);
        return translated(&whole.replace("{core}", &core("")));
    }
    if !text.contains("\"host\"") {
        return assembled(&[TYPES, &core(text), LIFT, EXPORT]);
    }
    let host = HOST.replace("{realloc}", REALLOC);
    let lift = LIFT.replace("(instantiate $m)", r#"(instantiate $m (with "host" (instance $host)))"#);
    assembled(&[TYPES, &host, &core(text), &lift, EXPORT])
}

/// A component from its fields.
pub fn assembled(parts: &[&str]) -> Vec<u8> {
    translated(&format!("(component {})", parts.join("\n")))
}

fn core(fields: &str) -> String {
    let shared = r#"(import "host" "memory" (memory 2)) (export "memory" (memory 0))"#;
    let memory = if fields.contains("\"host\"") { shared } else { MEMORY };
    let missing = |export: &str, default| if fields.contains(&format!("\"{export}\"")) { "" } else { default };
    let memory = if fields.contains("(export \"memory\")") { "" } else { memory };
    let (realloc, handle, post) = (missing("realloc", REALLOC), missing("handle", HANDLE), missing("post", POST));
    format!("(core module $m {memory}\n{fields}\n{realloc} {handle} {post})")
}

fn translated(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}
