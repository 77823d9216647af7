//! Holds the Rust SDK, the examples and the hostile guests against the real sandbox: they are components of the contract,
//! they import no more than they use, and what a native test says of a handler is true of its component.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tasq_host::sandbox::{Call, Handler, Options, Sandbox, Stop};
use tasq_host::task::{Failure, Outcome, Priority, Receipt, Task, TaskId, TaskOptions, Timestamp, Verdict};
use tasq_tests::guests::{example, example_by_cargo_component, guest};

const CONTRACT: [&str; 5] = ["context", "log", "config", "producer", "store"];

fn sandbox() -> Sandbox {
    Sandbox::new(Options { slots: 2, pagemap_scan: false, cache: None, memory_budget: None }).unwrap()
}

async fn run(sandbox: &Sandbox, handler: &Arc<Handler>, payload: impl Into<Bytes>) -> (Outcome, Receipt) {
    let task = Task {
        id: TaskId::generate(),
        handler: handler.name.clone(),
        queue: "default".parse().unwrap(),
        priority: Priority::Normal,
        payload: payload.into(),
        content_type: String::new(),
        headers: Default::default(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    };
    let now = Timestamp(0);
    let call = Call { task, run: 1, attempt: 1, max_retries: 25, enqueued_at: now, due_at: now, started_at: now };
    sandbox.run(handler, call, Stop::new()).await
}

async fn outcome(file: &Path, payload: &'static str) -> Outcome {
    let sandbox = sandbox();
    let handler = sandbox.load_file(file).unwrap();
    run(&sandbox, &handler, payload).await.0
}

/// Which of the contract's interfaces a component imports, in the contract's order.
fn imported(file: &Path) -> Vec<&'static str> {
    let seen = sandbox().inspect(file).unwrap();
    assert_eq!(seen.refusal, None, "{}", file.display());
    let imports = |interface: &str| {
        let wanted = format!("tasq:handler/{interface}@0.1.0");
        seen.imports.iter().any(|import| import.interface == wanted)
    };
    CONTRACT.into_iter().filter(|interface| imports(interface)).collect()
}

#[test]
fn a_component_imports_only_what_its_code_calls() {
    assert_eq!(imported(&guest("noop")), [""; 0]);
    assert_eq!(imported(&guest("echo")), [""; 0]);
    assert_eq!(imported(&example("add")), [""; 0]);
    assert_eq!(imported(&example_by_cargo_component("add")), [""; 0]);
    assert_eq!(imported(&guest("misbehave")), CONTRACT);
}

#[tokio::test]
async fn add_adds_however_it_was_built() {
    let builds: [PathBuf; 2] = [example("add"), example_by_cargo_component("add")];
    assert_ne!(builds[0], builds[1]);
    for file in builds {
        let sum = outcome(&file, r#"{"arg1":5,"arg2":4}"#).await;
        assert_eq!(sum, Outcome::Done(Bytes::from_static(br#"{"result":9}"#)), "{}", file.display());
    }
}

#[tokio::test]
async fn a_payload_of_another_type_is_discarded_with_a_reason() {
    for payload in ["{not json", "", "[1,2,3]", r#"{"arg1":5}"#] {
        let Outcome::Failed(Failure { code, message, .. }, verdict) = outcome(&example("add"), payload).await else {
            panic!("{payload} was taken");
        };
        assert_eq!((code.as_str(), verdict), ("invalid-payload", Verdict::Discard), "{payload}: {message}");
    }
}

#[tokio::test]
async fn a_failure_arrives_as_the_handler_meant_it() {
    let fail = |payload| async move { outcome(&guest("misbehave"), payload).await };
    let Outcome::Failed(failure, verdict) =
        fail(r#"{"do":"fail","kind":"retry","message":"busy","code":"rate-limited","after_ms":1500}"#).await
    else {
        panic!("it didn't fail");
    };
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("rate-limited", "busy"));
    assert_eq!(verdict, Verdict::Retry(Some(std::time::Duration::from_millis(1500))));
    let plain = fail(r#"{"do":"fail"}"#).await;
    assert!(matches!(plain, Outcome::Failed(_, Verdict::Retry(None))), "{plain:?}");
}

#[tokio::test]
async fn a_panic_says_its_message_and_where() {
    let sandbox = sandbox();
    let handler = sandbox.load_file(&guest("misbehave")).unwrap();
    let (outcome, receipt) = run(&sandbox, &handler, r#"{"do":"panic","message":"no such customer"}"#).await;
    assert!(matches!(outcome, Outcome::Failed(..)), "{outcome:?}");
    assert!(receipt.stderr.contains("no such customer"), "{}", receipt.stderr);
    assert!(receipt.frames.iter().any(|frame| frame.contains("misbehave")), "{:?}", receipt.frames);
}

#[tokio::test]
async fn a_handler_starts_with_memory_enough_for_a_common_payload() {
    let sandbox = sandbox();
    let handler = sandbox.load_file(&guest("echo")).unwrap();
    let mut peaks = Vec::new();
    for size in [0, 300 << 10] {
        let (outcome, receipt) = run(&sandbox, &handler, vec![7; size]).await;
        assert_eq!(outcome, Outcome::Done(vec![7; size].into()));
        peaks.push(receipt.peak_memory_bytes);
    }
    assert_eq!(peaks[0], peaks[1], "the guest's memory grew");
}
