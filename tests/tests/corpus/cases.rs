//! The cases, by what they attack.

use crate::{Case, Trial, corpus, load, special};

/// Limits of most cases: short, so that the tests are.
const SHORT: &str = "timeout = \"1s\"\ncpu = \"100ms\"\nmemory = \"32MiB\"";
/// For what touches all of its memory: the kernel's part takes long where many do.
const ROOMY: &str = "timeout = \"5s\"\ncpu = \"1s\"\nmemory = \"32MiB\"";
/// For what only waits.
const WAITS: &str = "timeout = \"250ms\"\ncpu = \"100ms\"";
/// For what is meant to come to its end by itself.
const LONG: &str = "timeout = \"20s\"\ncpu = \"10s\"";

// With more guests that compute than cores, the wall clock of a busy machine may be first: both are limits.
const COMPUTES: &[&str] = &["retry: limit cpu-limit", "retry: limit timeout"];
const WAITED: &[&str] = &["retry: limit timeout"];
const TRAP: &[&str] = &["retry: trap trap"];
const NO_MEMORY: &[&str] = &["retry: trap out-of-memory"];
const INVALID: &[&str] = &["discard: limit invalid-result"];
const DONE: &[&str] = &["done"];

corpus! {
    "Load":
    random_bytes = here(load::random_bytes, "is random bytes", &["refused: not a WebAssembly component or module: found other data"]),
    truncated = here(load::truncated, "is the first half of a component", &["refused: not a valid component: "]),
    empty = here(load::empty, "is empty", &["refused: not a WebAssembly component or module: the file is empty"]),
    plain_text = here(load::text, "is text", &["refused: not a WebAssembly component or module: found text"]),
    machine_code = here(load::machine_code, "is a component that this engine has compiled (`.cwasm`)", &["refused: not a WebAssembly component or module: found machine code"]),
    two_hundred_mib = here(load::two_hundred_mib, "is 200 MiB long", &["refused: 209715200 bytes: expected at most 67108864"]),
    a_million_functions = here(load::a_million_functions, "has more than a million functions", &["refused: not a valid component: "]),
    pipe = here(load::pipe, "is a pipe, of which nobody writes the other end", &["refused: not a regular file"]),
    unreadable = here(load::unreadable, "is a link to itself, which can't be read", &["refused: can't be read: "]),
    link_inside = here(load::link_inside, "is a link that stays in the folder, as Kubernetes mounts it", &["served"]),
    link_outside = here(load::link_outside, "is a link out of the folder", &["refused: links out of the folder, to "]),
    replaced_during_the_read = here(load::replaced_during_the_read, "is replaced again and again while it is read", &["served"]),
    broken_version_under_load = here(load::broken_version_under_load, "becomes a broken version while it serves", &["refused: not a valid component: "]),
    unknown_import = text(&["refused: imports what no handler gets: acme:db/query@1.0.0"]),
    wrong_type_of_handle = text(&["refused: expected a `handle` of the contract's type, found another: "]),
    missing_export = text(&["refused: expected an export tasq:handler/handler@0.1.0 or wasi:cli/run@0.2, found nothing"]),
    newer_minor = text(&["refused: expected an export tasq:handler/handler@0.1.0 or wasi:cli/run@0.2, found tasq:handler/handler@0.2.0"]),
    escapes_in_names = text(&["refused: not a valid component: "]),
    ten_memories = text(DONE),
    eleven_memories = text(&["refused: not a valid component: "]),
    four_gib_of_memory = text(&["refused: begins with 4.0 GiB of memory: expected at most its limit of 32.0 MiB"]),
    memory64 = text(&["refused: not a valid component: "]),
    shared_memory = text(&["refused: not a valid component: "]),

    "Start":
    start_loops = text(COMPUTES),
    start_traps = text(TRAP),
    start_grows_to_the_limit = text(NO_MEMORY),
    start_calls_the_host_a_million_times = text(DONE).under(LONG),
    data_behind_the_memory = text(TRAP),

    "CPU":
    endless_loop = misbehave(r#"{"do":"loop"}"#, "loops without a call", COMPUTES),
    endless_host_calls = misbehave(r#"{"do":"loop-calls"}"#, "loops in small calls into the host", COMPUTES),
    every_slot_loops_on_one_core = here(special::every_slot_loops_on_one_core, "loops in each of 16 slots, with one core for all", COMPUTES),
    loop_in_realloc = text(COMPUTES),
    loop_in_post_return = text(COMPUTES),
    memory_fill_in_a_loop = text(COMPUTES),
    memory_fill_of_128_mib = text(COMPUTES).under("timeout = \"1s\"\ncpu = \"100ms\""),
    runaway_regex = misbehave(r#"{"do":"backtrack"}"#, "matches `(a+)+b` against 64 `a`, going back 2⁶³ times", COMPUTES),
    recursion = misbehave(r#"{"do":"recurse"}"#, "calls itself without end", &["retry: trap stack-overflow"]),
    wide_recursion = misbehave(r#"{"do":"recurse-wide"}"#, "calls itself without end, with large frames in its memory", TRAP),
    just_under_the_cpu_limit = misbehave(r#"{"do":"spin","ms":60}"#, "computes for 60 of the 100 ms that it may", DONE).alone(),

    "Time":
    sleep_of_an_hour = misbehave(r#"{"do":"sleep"}"#, "sleeps for an hour", WAITED).under(WAITS),
    poll_ten_thousand = text(TRAP),
    poll_four_hundred = text(WAITED).under(WAITS),
    sleep_zero_in_a_loop = text(COMPUTES),
    just_under_the_time_limit = misbehave(r#"{"do":"sleep","ms":300}"#, "sleeps for 0.3 of the second that it may", DONE),
    long_wait_with_little_cpu = misbehave(r#"{"do":"sleep","ms":400}"#, "waits eight times as long as it may compute", DONE).under("timeout = \"10s\"\ncpu = \"50ms\""),

    "Memory":
    grow_and_touch = misbehave(r#"{"do":"grow","then":"touch"}"#, "grows until it is refused, then writes behind the end", NO_MEMORY),
    grow_and_abort = misbehave(r#"{"do":"grow","then":"abort"}"#, "grows until it is refused, then aborts", NO_MEMORY),
    grow_and_return = misbehave(r#"{"do":"grow"}"#, "grows until it is refused, and lives on", DONE),
    leak = misbehave(r#"{"do":"allocate"}"#, "allocates without end", NO_MEMORY).under(ROOMY),
    several_memories = text(NO_MEMORY),
    table_growth = text(DONE),
    a_million_handles = text(TRAP),
    realloc_returns_zero = text(DONE),
    realloc_returns_odd = text(INVALID),
    realloc_returns_behind_the_memory = text(INVALID),
    every_slot_at_its_limit = here(special::every_slot_at_its_limit, "fills 24 MiB in each of 16 slots, with 64 MiB for all", DONE),

    "Output":
    result_behind_the_memory = text(INVALID),
    result_without_end = text(INVALID),
    result_at_the_limit = misbehave(r#"{"do":"result","bytes":1048576}"#, "returns the 1 MiB that it may", DONE),
    result_one_over = misbehave(r#"{"do":"result","bytes":1048577}"#, "returns 1 MiB and a byte", INVALID),
    result_of_8_mib = misbehave(r#"{"do":"result","bytes":8388608}"#, "returns 8 MiB", INVALID),
    message_of_100_mib = text(INVALID).under("memory = \"128MiB\""),
    message_not_utf8 = text(INVALID),
    message_with_escapes = here(special::message_with_escapes, "fails with a message of NULs, line ends and escapes", &["retry: handler escapes"]),
    forged_log_lines = here(special::forged_log_lines, "logs a text and a field with line ends, NULs and escapes, in which another line of the log is forged", DONE),
    ten_million_log_lines = misbehave(r#"{"do":"log","lines":10000000,"bytes":100}"#, "logs ten million lines", COMPUTES),
    output_flood = misbehave(r#"{"do":"flood","stdout_mib":8,"stderr_mib":8}"#, "prints 8 MiB to stdout and to stderr", DONE).under(LONG),
    output_flood_of_a_command = command("flood 67108864", "is a program that prints 64 MiB as its result", INVALID).under(LONG),
    exit_inside_the_call = misbehave(r#"{"do":"exit","code":0}"#, "exits inside the call, successfully", &["retry: trap exit"]),
    unknown_result = text(INVALID),
    unknown_kind_of_failure = text(INVALID),
    delay_without_end = text(&["retry: handler"]),
    bool_2 = text(DONE),
    char_d800 = text(TRAP),

    "Host calls":
    random_without_end = text(TRAP),
    progress_without_end = misbehave(r#"{"do":"progress","times":1000000000}"#, "reports progress as fast as it can", COMPUTES),
    text_behind_the_memory = text(TRAP),
    text_without_end = text(TRAP),
    text_not_utf8 = text(TRAP),
    unknown_level = text(TRAP),
    handle_of_nobody = text(TRAP),
    // Follow-up tasks and the store, where they are granted, belong here; so does HTTP.
}

fn text(ends: &[&'static str]) -> Case {
    case(Trial::Text, ends)
}

fn misbehave(payload: &'static str, what: &'static str, ends: &[&'static str]) -> Case {
    case(Trial::Misbehave(payload, what), ends)
}

fn command(payload: &'static str, what: &'static str, ends: &[&'static str]) -> Case {
    case(Trial::Command(payload, what), ends)
}

fn here(trial: fn(&crate::Bench) -> String, what: &'static str, ends: &[&'static str]) -> Case {
    case(Trial::Here(trial, what), ends)
}

/// Twice as many at once as there are cores.
fn case(trial: Trial, ends: &[&'static str]) -> Case {
    Case { name: "", group: "", trial, ends: ends.to_vec(), manifest: SHORT, per_core: 2 }
}

impl Case {
    fn under(self, manifest: &'static str) -> Case {
        Case { manifest, ..self }
    }

    /// One run: what takes as long as it may can't share a core.
    fn alone(self) -> Case {
        Case { per_core: 0, ..self }
    }
}
