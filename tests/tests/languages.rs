//! One table: every language with an SDK against every case, through the real sandbox. The guests are
//! `tests/languages/LANGUAGE`, which do what the payload's `op` says, and `examples/LANGUAGE/add`; Rust's are
//! `tests/guests/probe` and `examples/add`.
//!
//! A language is a line in `languages!` with what it does in its own way; it gets every case, and a folder without a
//! line fails. `TASQ_RUNS` says how many runs in a row each has to pass.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

#[path = "languages/logs.rs"]
mod logs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tasq_host::backend::memory;
use tasq_host::clock::System;
use tasq_host::sandbox::stop::Wish;
use tasq_host::sandbox::{Call, Handler, Options, Ran, Sandbox, Stop};
use tasq_host::task::{
    Failure, FailureKind, FollowUp, Headers, Outcome, Priority, Task, TaskId, TaskOptions, Timestamp, Verdict,
};
use tasq_tests::guests;
use tasq_tests::projects::project;

/// What a language does in its own way.
struct Language {
    name: &'static str,
    /// The code of an ordinary error, and a word of its stack.
    ordinary_error: (&'static str, &'static str),
    /// Code of the failure when it calls itself without end.
    endless_recursion: &'static str,
    /// What its own random numbers do from run to run; none where it has none without a seed.
    random: Option<Random>,
    /// Code of the failure when it panics; empty where nothing but an ordinary error is thrown.
    panic: &'static str,
    /// Fresh runs in a row.
    runs: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Random {
    Differs,
    /// Its seed is frozen at build, as its README says.
    Repeats,
}

const MANY: usize = 10_000;
/// Of the slow ones, for `make test`.
const SOME: usize = 1_000;

macro_rules! languages {
    ($($name:ident: $language:expr;)*) => {
        const LANGUAGES: &[&str] = &[$(stringify!($name)),*];
        $(cases!($name, $language);)*
    };
}

macro_rules! cases {
    ($name:ident, $language:expr) => {
        cases!($name, $language, [
            the_example_adds, adds, discards_what_does_not_fit, takes_and_returns_a_mebibyte, returns_nothing,
            sees_every_field_of_its_task, fails_as_it_says, an_ordinary_error_is_a_retry_with_its_stack,
            discards_an_unknown_operation, draws_random_numbers, logs, reports_progress_and_hears_of_a_stop, reads_its_configuration,
            enqueues_a_follow_up_where_it_may, keeps_things_in_the_store, adds_in_many_fresh_runs, recurses_without_end,
            panics,
        ]);
    };
    ($name:ident, $language:expr, [$($case:ident),* $(,)?]) => {
        mod $name {
            use super::*;

            fn guest() -> &'static Guest {
                static GUEST: OnceLock<Guest> = OnceLock::new();
                GUEST.get_or_init(|| Guest::new($language))
            }

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(tokio::task::block_in_place(guest)).await;
            })*
        }
    };
}

languages! {
    rust: Language { name: "rust", ordinary_error: ("", ""), endless_recursion: "stack-overflow", random: None, panic: "trap", runs: MANY };
    c: Language { name: "c", ordinary_error: ("", ""), endless_recursion: "trap", random: None, panic: "trap", runs: MANY };
    cpp: Language { name: "cpp", ordinary_error: ("", ""), endless_recursion: "trap", random: None, panic: "trap", runs: MANY };
    zig: Language { name: "zig", ordinary_error: ("", ""), endless_recursion: "trap", random: None, panic: "trap", runs: MANY };
    assemblyscript: Language {
        name: "assemblyscript", ordinary_error: ("", ""), endless_recursion: "stack-overflow", random: Some(Random::Differs), panic: "trap", runs: MANY
    };
    go: Language { name: "go", ordinary_error: ("", ""), endless_recursion: "stack-overflow", random: Some(Random::Differs), panic: "panic", runs: SOME };
    python: Language {
        name: "python", ordinary_error: ("RuntimeError", " in boom"), endless_recursion: "RecursionError", random: Some(Random::Differs), panic: "", runs: SOME
    };
    javascript: Language {
        name: "javascript", ordinary_error: ("Error", "at probe"), endless_recursion: "stack-overflow", random: Some(Random::Repeats), panic: "", runs: SOME
    };
    javascript_spidermonkey: Language {
        name: "javascript-spidermonkey", ordinary_error: ("Error", "probe@"), endless_recursion: "InternalError", random: Some(Random::Differs), panic: "", runs: SOME
    };
    typescript: Language {
        name: "typescript", ordinary_error: ("Error", "at probe"), endless_recursion: "stack-overflow", random: Some(Random::Repeats), panic: "", runs: SOME
    };
    typescript_spidermonkey: Language {
        name: "typescript-spidermonkey", ordinary_error: ("Error", "probe@"), endless_recursion: "InternalError", random: Some(Random::Differs), panic: "", runs: SOME
    };
}

#[test]
fn every_language_has_its_line() {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("languages")).unwrap();
    let mut folders: Vec<String> = folders.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    let in_other_languages = LANGUAGES.iter().filter(|name| **name != "rust");
    let mut lines: Vec<String> = in_other_languages.map(|name| name.replace('_', "-")).collect();
    folders.sort();
    lines.sort();
    assert_eq!(folders, lines);
}

/// `tests/examples/language_figures.rs` measures them.
#[test]
fn every_language_has_its_figures() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/README.md")).unwrap();
    let (_, figures) = page.split_once("## Figures").expect("a section");
    let rows = figures.lines().filter(|line| line.starts_with("| ")).skip(1);
    let name = |row: &str| row.split('|').nth(1).map(|name| name.trim().to_lowercase()).unwrap_or_default();
    let mut rows: Vec<String> = rows.map(|row| name(row).replace("++", "pp").replace(" on ", "_")).collect();
    let mut lines = LANGUAGES.to_vec();
    rows.sort();
    lines.sort_unstable();
    assert_eq!(rows, lines);
}

/// A language's components, loaded.
struct Guest {
    language: Language,
    probe: Arc<Handler>,
    example: OnceLock<Arc<Handler>>,
}

const MANIFEST: &str = "[grants]\nconfig = { GREETING = \"grüezi\" }\nenqueue = [\"mail\"]\nstore = true\n";

fn sandbox() -> &'static Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        let sandbox = Sandbox::new(Options { slots: 16, pagemap_scan: true, cache, memory_budget: None }).unwrap();
        sandbox.lend(memory::open(Arc::new(System), false).store);
        Arc::new(sandbox)
    })
}

impl Guest {
    fn new(language: Language) -> Guest {
        logs::capture();
        let file = match language.name {
            "rust" => beside(&guests::guest("probe"), MANIFEST),
            name => project(&format!("tests/languages/{name}"), name, MANIFEST),
        };
        let probe = sandbox().load_file(&file).unwrap();
        Guest { language, probe, example: OnceLock::new() }
    }

    fn example(&self) -> &Arc<Handler> {
        self.example.get_or_init(|| {
            let name = self.language.name;
            let file = match name.strip_suffix("-spidermonkey") {
                None if name == "rust" => guests::example("add"),
                None => project(&format!("examples/{name}/add"), "add", ""),
                Some(name) => project(&format!("examples/{name}/add-spidermonkey"), "add", ""),
            };
            sandbox().load_file(&file).unwrap()
        })
    }

    async fn op(&self, op: &str) -> Outcome {
        self.run(json!({ "op": op })).await
    }

    async fn run(&self, payload: Value) -> Outcome {
        run(&self.probe, call(payload.to_string()), Stop::new()).await
    }
}

/// A copy of a component with a manifest beside it.
fn beside(component: &Path, manifest: &str) -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(component.file_name().unwrap());
    std::fs::copy(component, &copy).unwrap();
    std::fs::write(copy.with_extension("toml"), manifest).unwrap();
    copy
}

fn call(payload: impl Into<Bytes>) -> Call {
    let task = Task {
        id: TaskId::generate(),
        handler: "add".parse().unwrap(),
        queue: "default".parse().unwrap(),
        priority: Priority::Normal,
        payload: payload.into(),
        content_type: "application/json".into(),
        headers: Headers::new(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    };
    let now = Timestamp(1_700_000_000_123);
    Call { task, run: 3, attempt: 2, max_retries: 0, enqueued_at: now, due_at: now, started_at: now }
}

async fn run(handler: &Arc<Handler>, call: Call, stop: Stop) -> Outcome {
    attempt(handler, call, stop).await.outcome
}

async fn attempt(handler: &Arc<Handler>, call: Call, stop: Stop) -> Ran {
    let handler = handler.clone();
    sandbox().guests().spawn(async move { sandbox().attempt(&handler, call, stop).await }).await.unwrap()
}

fn done(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Done(result) => serde_json::from_slice(&result).unwrap(),
        other => panic!("expected a result, found {other:?}"),
    }
}

fn failed(outcome: Outcome) -> (Failure, Verdict) {
    match outcome {
        Outcome::Failed(failure, verdict) => (failure, verdict),
        other => panic!("expected a failure, found {other:?}"),
    }
}

const ADD: &str = r#"{"arg1":5,"arg2":4}"#;

async fn the_example_adds(guest: &Guest) {
    let example = tokio::task::block_in_place(|| guest.example());
    assert_eq!(done(run(example, call(ADD), Stop::new()).await), json!({"result": 9}));
    let payloads: [&[u8]; 8] = [
        b"{not json",
        b"",
        // In Rust, serde reads a struct from a list of its fields as well.
        if guest.language.name == "rust" { b"[1,2,3]" } else { b"[1,2]" },
        b"null",
        br#"{"arg1":5}"#,
        br#"{"arg1":"x","arg2":2}"#,
        b"\xff\xfe",
        b"{\"arg1\":5,\"arg2\":4,\"x\":\"\xff\"}",
    ];
    for payload in payloads {
        let (failure, verdict) = failed(run(example, call(payload), Stop::new()).await);
        assert_eq!((verdict, failure.code.as_str()), (Verdict::Discard, "invalid-payload"), "{failure:?}");
        assert_eq!(failure.kind, FailureKind::Handler, "{failure:?}");
        assert_ne!(failure.message, "", "{}", payload.escape_ascii());
    }
}

async fn adds(guest: &Guest) {
    assert_eq!(done(run(&guest.probe, call(ADD), Stop::new()).await), json!({"result": 9}));
}

async fn discards_what_does_not_fit(guest: &Guest) {
    for payload in [&b"{not json"[..], b"", b"\xff\xfe", &[b' '; 1 << 20], &[b'['; 200]] {
        let (failure, verdict) = failed(run(&guest.probe, call(payload), Stop::new()).await);
        assert_eq!((failure.kind, verdict), (FailureKind::Handler, Verdict::Discard), "{failure:?}");
    }
}

async fn takes_and_returns_a_mebibyte(guest: &Guest) {
    let pad = "ü".repeat((1 << 19) - 100);
    assert_eq!(done(guest.run(json!({"op": "size", "pad": pad})).await), json!({"size": (1 << 19) - 100}));
    let result = guest.run(json!({"op": "big", "size": 1 << 20})).await;
    assert!(matches!(&result, Outcome::Done(bytes) if bytes.len() == 1 << 20), "not a mebibyte");
}

async fn returns_nothing(guest: &Guest) {
    assert_eq!(guest.op("none").await, Outcome::Done(Bytes::new()));
}

async fn sees_every_field_of_its_task(guest: &Guest) {
    let mut call = call(r#"{"op":"task"}"#);
    call.task.content_type = String::new();
    call.task.headers = Headers::from([("traceparent".into(), "00-ü-01".into()), ("x.empty".into(), String::new())]);
    call.task.upstream = [r#"{"result":1}"#, "", "größe 🙂"].map(Bytes::from).to_vec();
    let id = call.task.id.to_string();
    let mut seen = done(run(&guest.probe, call, Stop::new()).await);
    let deadline = seen.as_object_mut().unwrap().remove("deadline_ms").unwrap();
    assert!(deadline.as_u64().is_some_and(|deadline| deadline > 1_700_000_000_123), "{deadline}");
    let facts = json!({
        "id": id, "handler": "add", "queue": "default", "attempt": 2, "run": 3, "max_retries": 0, "content_type": "",
        "enqueued_at_ms": 1_700_000_000_123_u64, "due_at_ms": 1_700_000_000_123_u64,
        "headers": {"traceparent": "00-ü-01", "x.empty": ""}, "upstream": [r#"{"result":1}"#, "", "größe 🙂"],
    });
    assert_eq!(seen, facts);
}

async fn fails_as_it_says(guest: &Guest) {
    for (op, message, code, verdict) in [
        ("discard", "no such user", "no-user", Verdict::Discard),
        ("retry", "slow down", "rate-limited", Verdict::Retry(Some(Duration::from_secs(30)))),
        ("snooze", "closed", "", Verdict::Snooze(Some(Duration::from_secs(60)))),
    ] {
        let failure = Failure { kind: FailureKind::Handler, code: code.into(), message: message.into() };
        assert_eq!(failed(guest.op(op).await), (failure, verdict));
    }
}

async fn an_ordinary_error_is_a_retry_with_its_stack(guest: &Guest) {
    let (code, frame) = guest.language.ordinary_error;
    let (failure, verdict) = failed(guest.run(json!({"op": "boom", "message": "größer 🙂"})).await);
    assert_eq!((failure.kind, failure.code.as_str(), verdict), (FailureKind::Handler, code, Verdict::Retry(None)));
    let (first, stack) = failure.message.split_once('\n').unwrap_or((&failure.message, ""));
    assert!(first.contains("größer 🙂") && stack.contains(frame), "{failure:?}");
    // A lone surrogate is no character, and no reason for a trap.
    let (failure, _) = failed(run(&guest.probe, call(r#"{"op":"boom","message":"\ud800!"}"#), Stop::new()).await);
    let is_shown = failure.message.contains('!') || failure.code == "invalid-payload";
    assert!(failure.kind == FailureKind::Handler && is_shown, "{failure:?}");
}

async fn discards_an_unknown_operation(guest: &Guest) {
    let (failure, verdict) = failed(guest.op("nonsense").await);
    assert!(verdict == Verdict::Discard && failure.message.contains("nonsense"), "{failure:?}");
}

async fn draws_random_numbers(guest: &Guest) {
    let mut numbers = Vec::new();
    for _ in 0..3 {
        match (guest.op("random").await, guest.language.random) {
            (outcome, Some(_)) => numbers.push(done(outcome)),
            (outcome, None) => assert_eq!(failed(outcome).1, Verdict::Discard, "it has no such operation"),
        }
    }
    let seen: std::collections::BTreeSet<String> = numbers.iter().map(Value::to_string).collect();
    let expected = match guest.language.random {
        None => 0,
        Some(Random::Differs) => 3,
        Some(Random::Repeats) => 1,
    };
    assert_eq!(seen.len(), expected, "{numbers:?}");
}

async fn logs(guest: &Guest) {
    let call = call(r#"{"op":"log"}"#);
    let id = call.task.id.to_string();
    assert_eq!(done(run(&guest.probe, call, Stop::new()).await), json!({"trace": false, "error": true}));
    let lines = logs::of(&id);
    assert!(lines.iter().any(|l| l.contains("WARN") && l.contains("Größe 🙂 user.id=Zoë")), "{lines:?}");
}

async fn reports_progress_and_hears_of_a_stop(guest: &Guest) {
    let call = call(r#"{"op":"context"}"#);
    let id = call.task.id.to_string();
    let seen = done(run(&guest.probe, call, Stop::new()).await);
    assert!(seen["stopping"].is_null() && seen["remaining"].as_f64().is_some_and(|ms| ms > 0.0), "{seen}");
    let lines = logs::of(&id);
    assert!(lines.iter().any(|l| l.contains("percent=50") && l.contains("half ✓")), "{lines:?}");

    let stop = Stop::new();
    stop.wish(Wish::Finish);
    let seen = done(run(&guest.probe, self::call(r#"{"op":"context"}"#), stop).await);
    assert_eq!(seen["stopping"], "shutting-down");
}

async fn reads_its_configuration(guest: &Guest) {
    assert_eq!(done(guest.op("config").await), json!({"present": "grüezi", "absent": null}));
}

/// One that is granted, with every option that a language has, and one that isn't.
async fn enqueues_a_follow_up_where_it_may(guest: &Guest) {
    let Ran { outcome, follow_ups, .. } = attempt(&guest.probe, call(r#"{"op":"enqueue"}"#), Stop::new()).await;
    let seen = done(outcome);
    let [FollowUp { id, handler, queue, priority, delay, payload, content_type, headers, .. }] = &*follow_ups else {
        panic!("expected one task, found {follow_ups:?}")
    };
    assert_eq!((seen["id"].as_str(), &seen["error"]), (Some(id.as_str()), &json!("denied")));
    assert!(seen["message"].as_str().is_some_and(|text| text.contains("\"forbidden\" is not granted")), "{seen}");
    assert_eq!((handler.as_str(), queue.as_ref().map(|queue| queue.as_str())), ("mail", Some("low")));
    assert_eq!((*priority, *delay, &*headers["a"]), (Priority::High, Duration::from_secs(5), "b"));
    assert_eq!(serde_json::from_slice::<Value>(payload).unwrap(), json!({"to": "Zoë"}));
    assert_eq!(content_type, "application/json");
}

/// What each call answers, and the host's refusal at the end as the language's own kind of error.
async fn keeps_things_in_the_store(guest: &Guest) {
    let seen = done(guest.op("store").await);
    let (answers, rest) = seen.as_array().expect("a list").split_at(9);
    assert_eq!(answers, json!([null, "ü", false, true, "", true, 41, 42, null]).as_array().unwrap());
    assert_eq!(rest.last(), Some(&json!("invalid")), "{rest:?}");
}

async fn adds_in_many_fresh_runs(guest: &Guest) {
    let expected = done(run(&guest.probe, call(ADD), Stop::new()).await);
    let runs = std::env::var("TASQ_RUNS").map_or(guest.language.runs, |runs| runs.parse().unwrap());
    for _ in 0..runs / 8 {
        let runs: Vec<_> = (0..8).map(|_| tokio::spawn(run_owned(guest.probe.clone()))).collect();
        for run in runs {
            assert_eq!(done(run.await.unwrap()), expected);
        }
    }
}

async fn run_owned(handler: Arc<Handler>) -> Outcome {
    run(&handler, call(ADD), Stop::new()).await
}

async fn recurses_without_end(guest: &Guest) {
    let (failure, verdict) = failed(guest.op("deep").await);
    assert_eq!(
        (failure.code.as_str(), verdict),
        (guest.language.endless_recursion, Verdict::Retry(None)),
        "{failure:?}"
    );
}

async fn panics(guest: &Guest) {
    let (failure, verdict) = failed(guest.op("panic").await);
    match guest.language.panic {
        "" => assert_eq!(verdict, Verdict::Discard, "a language without panics has no such operation: {failure:?}"),
        code => assert_eq!((&*failure.code, verdict), (code, Verdict::Retry(None)), "{failure:?}"),
    }
}
