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

/// For what is granted something.
const ENQUEUES: &str = "timeout = \"1s\"\ncpu = \"100ms\"\nmemory = \"32MiB\"\n[grants]\nenqueue = [\"echo\"]";
const ENQUEUES_MUCH: &str = "timeout = \"5s\"\ncpu = \"1s\"\nmemory = \"32MiB\"\n[grants]\nenqueue = [\"echo\"]";
const KEEPS: &str = "timeout = \"1s\"\ncpu = \"100ms\"\nmemory = \"32MiB\"\n[grants]\nstore = true";
const KEEPS_MUCH: &str = "timeout = \"20s\"\ncpu = \"10s\"\nmemory = \"32MiB\"\n[grants]\nstore = true";
const REACHES: &str = "timeout = \"5s\"\ncpu = \"1s\"\nmemory = \"32MiB\"\n[grants]\nhttp = [\"{web}\"]";
const REACHES_NAMES: &str = "timeout = \"5s\"\ncpu = \"1s\"\nmemory = \"32MiB\"\n[grants]\nhttp = [\"http://*\"]";
const REACHES_SHORT: &str = "timeout = \"250ms\"\ncpu = \"100ms\"\nmemory = \"32MiB\"\n[grants]\nhttp = [\"{web}\"]";

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

    "Follow-up tasks":
    enqueue_not_granted = misbehave(r#"{"do":"enqueue","handler":"echo"}"#, "enqueues a task of a handler that isn't granted", &["done: denied: "]),
    enqueue_without_end = misbehave(r#"{"do":"enqueue","handler":"echo","times":1000000000}"#, "enqueues as fast as it can", COMPUTES).under(ENQUEUES),
    enqueue_one_too_many = misbehave(r#"{"do":"enqueue","handler":"echo","times":101}"#, "enqueues 101 tasks", &["done: too many: one run enqueues at most 100 tasks"]).under(ENQUEUES),
    enqueue_a_byte_too_much = misbehave(r#"{"do":"enqueue","handler":"echo","bytes":4194305}"#, "enqueues a payload of 4 MiB and a byte", &["done: too large: payload of 4194305 bytes"]).under(ENQUEUES_MUCH),
    enqueue_16_mib_together = misbehave(r#"{"do":"enqueue","handler":"echo","times":16,"bytes":1048576}"#, "enqueues 16 payloads of 1 MiB", &["done: too large: payload of 1048576 bytes: expected at most 4194304, and 8388608 in one run"]).under(ENQUEUES_MUCH),
    enqueue_8_mib_at_once = misbehave(r#"{"do":"enqueue","handler":"echo","bytes":8388608}"#, "enqueues a payload of 8 MiB", TRAP).under(ENQUEUES_MUCH),
    enqueue_without_a_time = misbehave(r#"{"do":"enqueue","handler":"echo","delay_ms":18446744073709551615}"#, "enqueues a task that is due in 584 million years", &["done: invalid: a delay of 18446744073709551615 ms"]).under(ENQUEUES),
    enqueue_itself = here(special::enqueue_itself, "enqueues itself, in each of its runs", &["done: too many: 32 tasks in a row were enqueued by one another"]),

    "Store":
    store_not_granted = misbehave(r#"{"do":"tally","key":"k"}"#, "keeps something where nothing is granted", &["done: denied: the store is not granted"]),
    store_without_end = misbehave(r#"{"do":"put","times":1000000000,"key_bytes":20}"#, "writes to its store as fast as it can", COMPUTES).under(KEEPS),
    store_one_too_many = misbehave(r#"{"do":"put","times":1001,"key_bytes":20}"#, "writes to its store 1,001 times", &["done: too many: one run asks the store at most 1000 times"]).under(KEEPS_MUCH),
    store_16_mib_together = misbehave(r#"{"do":"put","times":32,"key_bytes":20,"value_bytes":524288}"#, "writes 32 values of 512 KiB", &["done: too large: one run writes at most 8388608 bytes"]).under(KEEPS_MUCH),
    store_a_byte_too_much = misbehave(r#"{"do":"put","value_bytes":524289}"#, "writes a value of 512 KiB and a byte", &["done: too large: a value of 524289 bytes"]).under(KEEPS),
    store_8_mib_at_once = misbehave(r#"{"do":"put","value_bytes":8388608}"#, "writes a value of 8 MiB", TRAP).under(KEEPS),
    store_long_key = misbehave(r#"{"do":"put","key_bytes":257}"#, "writes under a key of 257 bytes", &["done: invalid: a key: expected 1 to 256 bytes"]).under(KEEPS),
    store_key_of_10_mib = misbehave(r#"{"do":"put","key_bytes":10485760}"#, "writes under a key of 10 MiB", TRAP).under(KEEPS),
    store_key_of_another = here(special::store_key_of_another, "looks for another handler's key, by its name and by ways up", DONE),

    "HTTP":
    http_not_granted = fetch(r#"{"requests":[{"url":"{web}/ok"}]}"#, "asks a server that isn't granted", &["done: HttpRequestDenied"]).under(REACHES_NAMES),
    http_metadata = fetch(r#"{"requests":[{"url":"http://169.254.169.254/"},{"url":"http://[::ffff:a9fe:a9fe]/"},{"url":"http://[64:ff9b::a9fe:a9fe]/"},{"url":"http://0xa9fea9fe/"},{"url":"http://2852039166/"},{"url":"http://0251.0376.0251.0376/"}]}"#, "asks for a cloud's metadata, in some spellings", &["done: HttpRequestDenied"]).under(REACHES_NAMES),
    http_name_of_this_machine = fetch(r#"{"requests":[{"url":"http://localhost/"}]}"#, "asks for `localhost` where any name is granted", &["done: DestinationIpProhibited"]).under(REACHES_NAMES),
    http_redirect_inside = fetch(r#"{"requests":[{"url":"{web}/to/http://169.254.169.254/latest"},{"url":"http://169.254.169.254/latest"}]}"#, "is sent on to a cloud's metadata, and goes there", &["done: 302, HttpRequestDenied"]).under(REACHES),
    http_host_of_another = fetch(r#"{"requests":[{"url":"{web}/ok","headers":[["Host","169.254.169.254"]]}]}"#, "names another host in a header", &["done: header: HeaderError::Forbidden"]).under(REACHES),
    http_a_hundred_at_once = fetch(r#"{"requests":[{"url":"{web}/late/10","times":100}]}"#, "sends 100 requests before it reads an answer", &["done: 200, HttpRequestDenied"]).under(REACHES),
    http_a_thousand_at_once = fetch(r#"{"requests":[{"url":"{web}/late/10","times":1000}]}"#, "sends 1,000 requests before it reads an answer", TRAP).under(REACHES),
    http_server_is_silent = fetch(r#"{"requests":[{"url":"{web}/silent","times":16}]}"#, "asks a server that never answers", WAITED).under(REACHES_SHORT),
    http_server_stalls = fetch(r#"{"requests":[{"url":"{web}/stall","times":16}]}"#, "asks a server that stops after three bytes", WAITED).under(REACHES_SHORT),
    http_server_drips = fetch(r#"{"requests":[{"url":"{web}/drip","times":4}]}"#, "asks a server that sends a byte now and then", WAITED).under(REACHES_SHORT),
    http_endless_body = fetch(r#"{"requests":[{"url":"{web}/endless"}]}"#, "gets a body without end", &["done: HTTP response body size exceeds limit"]).under(REACHES),
    http_endless_headers = fetch(r#"{"requests":[{"url":"{web}/headers"}]}"#, "gets headers without end", &["done: HttpResponseHeaderSectionSize(Some(65536))"]).under(REACHES),
    http_endless_hints = fetch(r#"{"requests":[{"url":"{web}/hints"}]}"#, "gets early hints without end, and no answer", &["done: HttpResponseHeaderSectionSize(Some(65536))"]).under(REACHES),
    http_header_of_1_mib = fetch(r#"{"requests":[{"url":"{web}/header/1048576"}]}"#, "gets a header of 1 MiB", &["done: HttpResponseHeaderSectionSize(Some(65536))"]).under(REACHES),
    http_request_of_64_mib = fetch(r#"{"requests":[{"url":"{web}/ok","method":"POST","body":67108864}]}"#, "sends a body of 64 MiB", &["done: HttpRequestBodySize"]).under(REACHES),
}

fn text(ends: &[&'static str]) -> Case {
    case(Trial::Text, ends)
}

fn misbehave(payload: &'static str, what: &'static str, ends: &[&'static str]) -> Case {
    case(Trial::Misbehave(payload, what), ends)
}

fn fetch(payload: &'static str, what: &'static str, ends: &[&'static str]) -> Case {
    case(Trial::Fetch(payload, what), ends)
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
