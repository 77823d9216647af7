//! Handlers that know the contract and none of our glue: made from `wit/` alone by each tool as it is today, `tests/bare/TOOL`, and
//! in Rust `tests/guests/bare`.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tasq_host::sandbox::{Handler, Options, Ran, Sandbox, Stop};
use tasq_host::task::{FailureKind, LogLevel, Outcome, Verdict};
use tasq_tests::projects::project;
use tasq_tests::{guests, runs};

const MANIFEST: &str = "[grants]\nconfig = { greeting = \"Salut\" }\n";

fn sandbox() -> &'static Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        Arc::new(Sandbox::new(Options { slots: 2, pagemap_scan: true, cache, memory_budget: None }).unwrap())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn by_wit_bindgen_in_rust() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare.wasm");
    let file = || {
        std::fs::copy(guests::guest("bare"), &copy).unwrap();
        std::fs::write(copy.with_extension("toml"), MANIFEST).unwrap();
        copy.clone()
    };
    speaks_the_contract(tokio::task::block_in_place(file)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_componentize_py_in_python() {
    speaks_the_contract(built("python")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_jco_in_javascript() {
    speaks_the_contract(built("javascript")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_componentize_qjs_in_javascript() {
    speaks_the_contract(built("javascript-quickjs")).await;
}

fn built(tool: &str) -> PathBuf {
    tokio::task::block_in_place(|| project(&format!("tests/bare/{tool}"), "bare", MANIFEST))
}

/// A result, a failure, and what the host is asked on the way.
async fn speaks_the_contract(file: PathBuf) {
    let handler = tokio::task::block_in_place(|| sandbox().load_file(&file)).unwrap();
    let Ran { outcome, logs, .. } = attempt(&handler, r#"{"arg1":5,"arg2":4}"#).await;
    assert_eq!(outcome, Outcome::Done(r#"{"result":9,"greeting":"Salut","refused":true}"#.into()));
    let lines = logs.expect("it logs").lines;
    assert!(lines.iter().any(|line| line.level == LogLevel::Warn && line.text == "größer attempt=1"), "{lines:?}");
    for payload in ["{not json", "", "[1,2]", r#"{"arg1":5}"#] {
        let Outcome::Failed(failure, verdict) = attempt(&handler, payload).await.outcome else {
            panic!("{payload} was taken")
        };
        assert_eq!(
            (failure.kind, &*failure.code, verdict),
            (FailureKind::Handler, "invalid-payload", Verdict::Discard)
        );
        assert_eq!(failure.message, "expected arg1 and arg2");
    }
}

async fn attempt(handler: &Arc<Handler>, payload: &'static str) -> Ran {
    let (handler, call) = (handler.clone(), runs::call(handler, payload));
    sandbox().guests().spawn(async move { sandbox().attempt(&handler, call, Stop::new()).await }).await.unwrap()
}
