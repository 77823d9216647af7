//! What guests do to the host, and what the host lets them have: each case is a run of the guest `misbehave`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tasq_host::clock::{Clock, System};
use tasq_host::sandbox::stop::Wish;
use tasq_host::sandbox::{Call, Handler, Options, Sandbox, Stop};
use tasq_host::task::{Failure, FailureKind, Headers, Outcome, Priority, Receipt, Task, TaskOptions, Verdict};
use tasq_tests::guests::{example, example_by_cargo_component, guest, module};

const SLOTS: usize = 16;
/// How much longer than its limit a run may take where other programs have the machine too. `TASQ_OVERRUN_MS` sets it:
/// on a machine of one's own 100 must do.
fn overrun() -> Duration {
    let set = std::env::var("TASQ_OVERRUN_MS").ok().map(|ms| ms.parse().expect("TASQ_OVERRUN_MS is a number"));
    Duration::from_millis(set.unwrap_or(3_000))
}

fn sandbox() -> Sandbox {
    with_budget(None, true)
}

fn with_budget(memory_budget: Option<u64>, pagemap_scan: bool) -> Sandbox {
    Sandbox::new(Options { slots: SLOTS, pagemap_scan, cache: Some(cache()), memory_budget }).expect("an engine")
}

fn cache() -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

fn load(sandbox: &Sandbox, file: &Path) -> Arc<Handler> {
    sandbox.load_file(file).expect("a handler")
}

/// The guest `misbehave` in a folder of its own, beside this manifest.
fn misbehave(sandbox: &Sandbox, manifest: &str) -> Arc<Handler> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("misbehave.wasm");
    std::fs::copy(guest("misbehave"), &file).expect("copy");
    std::fs::write(file.with_extension("toml"), manifest).expect("write");
    load(sandbox, &file)
}

const SHORT: &str = "timeout = \"400ms\"\ncpu = \"150ms\"\nmemory = \"32MiB\"";

fn call(payload: impl Into<Bytes>) -> Call {
    let now = System.now();
    Call {
        task: Task {
            id: "t1".parse().expect("an id"),
            handler: "misbehave".parse().expect("a name"),
            queue: "default".parse().expect("a name"),
            priority: Priority::Normal,
            payload: payload.into(),
            content_type: "application/json".into(),
            headers: Headers::from([("traceparent".into(), "00-x".into())]),
            upstream: vec![Bytes::from_static(b"before")],
            options: TaskOptions::default(),
            chain: None,
            group: None,
        },
        run: 2,
        attempt: 2,
        max_retries: 7,
        enqueued_at: now,
        due_at: now,
        started_at: now,
    }
}

/// One run of one behaviour, as a worker would do it.
async fn run(sandbox: &Arc<Sandbox>, handler: &Arc<Handler>, behaviour: Value) -> (Outcome, Receipt) {
    run_until(sandbox, handler, call(behaviour.to_string()), Stop::new()).await
}

async fn run_until(sandbox: &Arc<Sandbox>, handler: &Arc<Handler>, call: Call, stop: Stop) -> (Outcome, Receipt) {
    let (here, handler) = (sandbox.clone(), handler.clone());
    sandbox.guests().spawn(async move { here.run(&handler, call, stop).await }).await.expect("no panic")
}

fn block<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(test)
}

fn failure(outcome: Outcome) -> (Failure, Verdict) {
    match outcome {
        Outcome::Failed(failure, verdict) => (failure, verdict),
        other => panic!("expected a failure, found {other:?}"),
    }
}

fn done(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Done(result) => serde_json::from_slice(&result)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&result).into_owned())),
        other => panic!("expected a result, found {other:?}"),
    }
}

/// Runs twice as many of a behaviour at once as there are cores, beside another handler whose tasks must go on, and
/// holds each to its end and its time.
fn hostile(behaviour: Value, limit: Duration, expect: impl Fn(&Failure, &Receipt)) {
    block(async {
        let sandbox = Arc::new(sandbox());
        let handler = misbehave(&sandbox, SHORT);
        let bystander = load(&sandbox, &guest("noop"));
        run(&sandbox, &bystander, json!({})).await;
        let crowd = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        let over = Arc::new(AtomicBool::new(false));
        let neighbour = tokio::spawn({
            let (sandbox, over) = (sandbox.clone(), over.clone());
            async move {
                while !over.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    let (outcome, _) = run(&sandbox, &bystander, json!({})).await;
                    assert_eq!(outcome, Outcome::Done(Bytes::new()));
                    assert!(began.elapsed() <= overrun(), "the neighbour waited for {:?}", began.elapsed());
                }
            }
        });
        let runs = (0..crowd).map(|_| {
            let (sandbox, handler, behaviour) = (sandbox.clone(), handler.clone(), behaviour.clone());
            tokio::spawn(async move {
                let began = Instant::now();
                let ended = run(&sandbox, &handler, behaviour).await;
                (ended, began.elapsed())
            })
        });
        for ended in runs.collect::<Vec<_>>() {
            let ((outcome, receipt), took) = ended.await.expect("no panic");
            let (failure, _) = failure(outcome);
            expect(&failure, &receipt);
            assert!(took <= limit + overrun(), "{failure:?} took {took:?} with a limit of {limit:?}");
        }
        over.store(true, Ordering::SeqCst);
        neighbour.await.expect("the neighbour's runs all succeed");
        // The slots are free and clean again.
        let (outcome, _) = run(&sandbox, &handler, json!({"do": "echo", "text": "still here"})).await;
        assert_eq!(outcome, Outcome::Done(Bytes::from_static(b"still here")));
    });
}

const WALL: Duration = Duration::from_millis(400);

fn is(failure: &Failure, kind: FailureKind, code: &str) {
    assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{failure:?}");
}

#[test]
fn a_loop_ends_at_its_cpu_limit() {
    // With twice as many as cores the wall clock may be first: both are limits of this guest.
    hostile(json!({"do": "loop"}), WALL, |failure, receipt| {
        assert!(
            failure.kind == FailureKind::Limit && ["cpu-limit", "timeout"].contains(&&*failure.code),
            "{failure:?}"
        );
        assert!(failure.code != "cpu-limit" || receipt.cpu_ms >= 150, "{receipt:?}");
        assert!(!receipt.frames.is_empty() || failure.code == "timeout");
    });
}

#[test]
fn a_loop_of_host_calls_ends_at_its_limit() {
    hostile(json!({"do": "loop-calls"}), WALL, |failure, receipt| {
        assert!(failure.kind == FailureKind::Limit, "{failure:?}");
        assert!(receipt.host_calls > 100);
    });
}

#[test]
fn a_sleep_of_an_hour_ends_at_the_timeout() {
    hostile(json!({"do": "sleep"}), WALL, |failure, receipt| {
        is(failure, FailureKind::Limit, "timeout");
        assert!(receipt.cpu_ms < 100, "sleeping is not computing: {receipt:?}");
        assert_eq!(failure.message, "ran longer than its time limit of 400ms");
    });
}

#[test]
fn memory_beyond_the_limit_is_refused_and_the_trap_named() {
    for behaviour in
        [json!({"do": "grow", "then": "abort"}), json!({"do": "grow", "then": "touch"}), json!({"do": "allocate"})]
    {
        hostile(behaviour, WALL, |failure, receipt| {
            is(failure, FailureKind::Trap, "out-of-memory");
            assert!(receipt.peak_memory_bytes <= 32 << 20, "{receipt:?}");
            assert!(receipt.peak_memory_bytes > 24 << 20, "{receipt:?}");
        });
    }
}

#[test]
fn refused_growth_is_seen_by_the_guest() {
    block(async {
        let sandbox = Arc::new(sandbox());
        let handler = misbehave(&sandbox, SHORT);
        let (outcome, _) = run(&sandbox, &handler, json!({"do": "grow"})).await;
        let mib = done(outcome).as_u64().expect("a number");
        assert!((24..=32).contains(&mib), "{mib}");
    });
}

#[test]
fn endless_recursion_exhausts_the_guests_stack_only() {
    hostile(json!({"do": "recurse"}), WALL, |failure, receipt| {
        is(failure, FailureKind::Trap, "stack-overflow");
        assert!(!receipt.frames.is_empty() && receipt.frames.len() <= 20);
    });
    hostile(json!({"do": "recurse-wide"}), WALL, |failure, _| assert_eq!(failure.kind, FailureKind::Trap));
}

#[test]
fn a_panic_is_a_trap_with_its_message_and_frames() {
    hostile(json!({"do": "panic", "message": "no such customer"}), WALL, |failure, receipt| {
        is(failure, FailureKind::Trap, "trap");
        assert!(failure.message.contains("no such customer"), "{failure:?}");
        assert!(receipt.stderr.contains("no such customer"), "{receipt:?}");
        // As one would write them: no mangled names, no hashes.
        let frames = &receipt.frames;
        assert!(frames.iter().any(|frame| frame == "misbehave::misbehave"), "{frames:?}");
        assert!(frames.iter().all(|frame| !frame.starts_with("_ZN") && !frame.starts_with("_R")), "{frames:?}");
    });
}

#[test]
fn an_exit_inside_the_call_is_a_failure() {
    for code in [0, 1] {
        hostile(json!({"do": "exit", "code": code}), WALL, |failure, _| is(failure, FailureKind::Trap, "exit"));
    }
}

#[test]
fn a_flood_of_output_neither_blocks_nor_fills_memory() {
    block(async {
        let sandbox = Arc::new(sandbox());
        let handler = misbehave(&sandbox, "");
        let (outcome, receipt) =
            run(&sandbox, &handler, json!({"do": "flood", "stdout_mib": 64, "stderr_mib": 64})).await;
        assert_eq!(done(outcome), json!("flooded"));
        assert!((500..=1024).contains(&receipt.stderr.len()), "{}", receipt.stderr.len());
    });
}

#[test]
fn traps_follow_the_manifest() {
    block(async {
        let sandbox = Arc::new(sandbox());
        for (manifest, expected) in [("on_trap = \"discard\"", Verdict::Discard), ("", Verdict::Retry(None))] {
            let handler = misbehave(&sandbox, manifest);
            for behaviour in ["unreachable", "out-of-bounds"] {
                let (failure, verdict) = failure(run(&sandbox, &handler, json!({"do": behaviour})).await.0);
                is(&failure, FailureKind::Trap, "trap");
                assert_eq!(verdict, expected);
            }
        }
    });
}

#[test]
fn a_result_may_be_as_large_as_the_limit_and_no_larger() {
    block(async {
        let sandbox = Arc::new(sandbox());
        let handler = misbehave(&sandbox, "");
        let (outcome, _) = run(&sandbox, &handler, json!({"do": "result", "bytes": 1 << 20})).await;
        assert!(matches!(outcome, Outcome::Done(result) if result.len() == 1 << 20));
        for bytes in [(1 << 20) + 1, 64 << 20] {
            let (failure, verdict) = failure(run(&sandbox, &handler, json!({"do": "result", "bytes": bytes})).await.0);
            is(&failure, FailureKind::Limit, "invalid-result");
            assert_eq!(verdict, Verdict::Discard);
        }
    });
}

#[test]
fn a_handlers_failure_says_what_becomes_of_the_task() {
    block(async {
        let sandbox = Arc::new(sandbox());
        let handler = misbehave(&sandbox, "");
        let second = Some(Duration::from_millis(1_500));
        for (kind, after, expected) in [
            ("retry", json!(null), Verdict::Retry(None)),
            ("retry", json!(1_500), Verdict::Retry(second)),
            ("discard", json!(null), Verdict::Discard),
            ("snooze", json!(1_500), Verdict::Snooze(second)),
        ] {
            let message = "no\u{1b}[31m";
            let behaviour = json!({"do": "fail", "kind": kind, "message": message, "code": "c-1", "after_ms": after});
            let (failure, verdict) = failure(run(&sandbox, &handler, behaviour).await.0);
            is(&failure, FailureKind::Handler, "c-1");
            assert_eq!((failure.message.as_str(), verdict), ("no\\u{1b}[31m", expected));
        }
        let (failure, _) = failure(run(&sandbox, &handler, json!({"do": "fail-long", "bytes": 100_000})).await.0);
        assert_eq!(failure.message.len(), 4 << 10);
    });
}

#[test]
fn a_handler_sees_its_task_and_nothing_of_the_machine() {
    block(async {
        let sandbox = Arc::new(sandbox());
        let handler = misbehave(&sandbox, "timeout = \"10s\"\n[grants]\nconfig = { region = \"eu\" }");
        let facts = done(run(&sandbox, &handler, json!({"do": "facts"})).await.0);
        let text = facts.to_string();
        for part in ["t1", "misbehave", "default", "application/json", "traceparent", "before"] {
            assert!(text.contains(part) || part == "before", "{part} is missing in {text}");
        }
        let remaining = facts["remaining_ms"].as_u64().expect("remaining_ms");
        assert!((1..=10_000).contains(&remaining), "{facts}");
        let setting = |name: &str| run_setting(&sandbox, &handler, name.to_owned());
        assert_eq!((setting("region").await, setting("other").await), (json!("eu"), Value::Null));
        let reached = done(run(&sandbox, &handler, json!({"do": "reach"})).await.0);
        assert!(!reached.to_string().contains("PATH"), "{reached}");
        for answer in [json!({"do": "enqueue", "handler": "x"}), json!({"do": "store", "key": "k"})] {
            let answer = done(run(&sandbox, &handler, answer).await.0).to_string();
            assert!(answer.to_lowercase().contains("denied"), "{answer}");
        }
    });
}

async fn run_setting(sandbox: &Arc<Sandbox>, handler: &Arc<Handler>, name: String) -> Value {
    done(run(sandbox, handler, json!({"do": "config", "name": name})).await.0)
}

#[test]
fn a_stopped_run_ends_and_says_whose_wish_it_was() {
    block(async {
        let sandbox = Arc::new(sandbox());
        let handler = misbehave(&sandbox, "timeout = \"1h\"\ncpu = \"1h\"");
        for (behaviour, wish, expected) in [
            (json!({"do": "sleep"}), Wish::Abandon, Outcome::Gone),
            (json!({"do": "sleep"}), Wish::GiveBack, Outcome::Release(Duration::ZERO)),
            (json!({"do": "loop"}), Wish::Abandon, Outcome::Gone),
            (json!({"do": "until-stopped"}), Wish::Finish, Outcome::Done(Bytes::from_static(b"shutting-down"))),
        ] {
            let stop = Stop::new();
            let running = run_until(&sandbox, &handler, call(behaviour.to_string()), stop.clone());
            // The wish comes while it runs, or before: the end is the same.
            let wishing = async {
                run(&sandbox, &handler, json!({"do": "echo", "text": ""})).await;
                stop.wish(wish);
            };
            let both = async { tokio::join!(running, wishing).0 };
            let (outcome, _) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it stops");
            assert_eq!(outcome, expected);
        }
    });
}

#[test]
fn the_budget_of_the_process_ends_the_largest_run_and_spares_the_others() {
    block(async {
        let sandbox = Arc::new(with_budget(Some(48 << 20), true));
        let handler = misbehave(&sandbox, "memory = \"128MiB\"\ntimeout = \"20s\"");
        let small = load(&sandbox, &guest("echo"));
        let greedy: Vec<_> = (0..3)
            .map(|_| {
                let (sandbox, handler) = (sandbox.clone(), handler.clone());
                tokio::spawn(async move { run(&sandbox, &handler, json!({"do": "grow", "then": "abort"})).await.0 })
            })
            .collect();
        for ended in greedy {
            assert_eq!(ended.await.expect("no panic"), Outcome::Release(Duration::from_secs(1)), "not an attempt");
        }
        let (outcome, _) = run_until(&sandbox, &small, call("still here"), Stop::new()).await;
        assert_eq!(outcome, Outcome::Done(Bytes::from_static(b"still here")));
    });
}

#[test]
fn the_example_runs_however_it_was_built() {
    block(async {
        let sandbox = Arc::new(sandbox());
        for file in [example("add"), example_by_cargo_component("add")] {
            let handler = load(&sandbox, &file);
            let run = |payload: &'static str| run_until(&sandbox, &handler, call(payload), Stop::new());
            assert_eq!(done(run(r#"{"arg1":5,"arg2":4}"#).await.0), json!({"result": 9}), "{}", file.display());
            let (failure, verdict) = failure(run("{not json").await.0);
            assert_eq!((failure.code.as_str(), verdict), ("invalid-payload", Verdict::Discard));
        }
    });
}

/// The same program as a component and as a core module.
fn commands() -> [std::path::PathBuf; 2] {
    [guest("command"), module("command")]
}

#[test]
fn a_program_gets_its_payload_on_stdin_and_its_result_is_what_it_prints() {
    block(async {
        let sandbox = Arc::new(sandbox());
        for file in commands() {
            let command = load(&sandbox, &file);
            let run = |payload: &'static [u8]| run_until(&sandbox, &command, call(payload), Stop::new());
            let (outcome, receipt) = run(b"echo\n\x00\xffbytes\n").await;
            assert_eq!(outcome, Outcome::Done(Bytes::from_static(b"\x00\xffbytes\n")), "{}", file.display());
            assert!(receipt.peak_memory_bytes > 0);
            assert_eq!(run(b"echo").await.0, Outcome::Done(Bytes::new()));
            let environment = done(run(b"environment").await.0);
            let environment = environment.as_str().expect("text");
            for line in [
                "TASQ_TASK_ID=t1",
                "TASQ_HANDLER=misbehave",
                "TASQ_QUEUE=default",
                "TASQ_ATTEMPT=2",
                "TASQ_MAX_RETRIES=7",
                "TASQ_CONTENT_TYPE=application/json",
                "TASQ_HEADER_TRACEPARENT=00-x",
            ] {
                assert!(environment.lines().any(|found| found == line), "{line} is missing in {environment}");
            }
            assert!(!environment.contains("PATH="), "{environment}");
            assert_eq!(done(run(b"files").await.0), json!("listed false, written false"));
        }
    });
}

#[test]
fn how_a_program_exits_says_what_becomes_of_the_task() {
    block(async {
        let sandbox = Arc::new(sandbox());
        let [component, module] = commands().map(|file| load(&sandbox, &file));
        for (handler, exact) in [(&component, false), (&module, true)] {
            for (payload, verdict, message) in [
                ("exit 65\nbad data", Verdict::Discard, "bad data"),
                ("exit 75\nlater", Verdict::Snooze(None), "later"),
                ("exit 3\nno luck", Verdict::Retry(None), "no luck"),
                ("exit 1\ntrace\ntasq: snooze 30s: busy", Verdict::Snooze(Some(Duration::from_secs(30))), "busy"),
                ("exit 1\ntasq: discard: bad data", Verdict::Discard, "bad data"),
            ] {
                let (outcome, _) = run_until(&sandbox, handler, call(payload), Stop::new()).await;
                let (failure, found) = failure(outcome);
                assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Handler, message), "{payload}");
                // WASI 0.2 carries no more than success or failure; preview 1 the status itself.
                let said = payload.contains("tasq:");
                assert!(found == verdict || !(exact || said), "{payload}: {found:?}");
                let status = payload.split([' ', '\n']).nth(1).expect("a status");
                assert!(failure.code == format!("exit-{status}") || !exact, "{failure:?}");
            }
        }
    });
}

#[test]
fn a_program_is_held_to_the_same_limits() {
    block(async {
        let sandbox = Arc::new(sandbox());
        for file in commands() {
            let folder = tempfile::tempdir().expect("a folder");
            let copy = folder.path().join("command.wasm");
            std::fs::copy(&file, &copy).expect("copy");
            // The CPU limit is what is looked for: on a busy machine 400 ms would be over first.
            std::fs::write(copy.with_extension("toml"), SHORT.replace("400ms", "10s")).expect("write");
            let command = load(&sandbox, &copy);
            let run = |payload: &str| run_until(&sandbox, &command, call(payload.to_owned()), Stop::new());
            let (looped, receipt) = run("loop").await;
            is(&failure(looped).0, FailureKind::Limit, "cpu-limit");
            assert!(receipt.cpu_ms >= 150, "{receipt:?}");
            let (panicked, _) = failure(run("panic\nno such customer").await.0);
            assert_eq!((panicked.kind, panicked.code.as_str()), (FailureKind::Trap, "trap"));
            assert!(panicked.message.contains("no such customer"), "{panicked:?}");
            assert!(matches!(run(&format!("flood {}", 1 << 20)).await.0, Outcome::Done(all) if all.len() == 1 << 20));
            is(&failure(run(&format!("flood {}", (1 << 20) + 1)).await.0).0, FailureKind::Limit, "invalid-result");
        }
    });
}
