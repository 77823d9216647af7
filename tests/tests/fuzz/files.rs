//! What stands in a folder of handlers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tasq_host::sandbox::{Handler, Options, Refusal, Sandbox};
use tasq_host::task::{FailureKind, Outcome};
use tasq_tests::guests::guest;
use tasq_tests::runs::run;
use tasq_tests::texts;

use crate::stored::is_a_line;

/// What all inputs are held against.
pub(crate) fn sandbox() -> &'static Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    let options = || Options { slots: 16, pagemap_scan: true, cache: None, memory_budget: None };
    SANDBOX.get_or_init(|| Arc::new(Sandbox::new(options()).unwrap()))
}

pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let full = r#"queue = "reports"
concurrency = 8
max_retries = 5
backoff = "exponential:2s..10m"
timeout = "30s"
cpu = "5s"
memory = "128MiB"
on_trap = "discard"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
[grants]
config = { region = "eu" }
"#;
    let short = "timeout = \"1h 3min\"\nmemory = \"64 kB\"\n[grants.config]\n\"\\u0041\" = '''x'''\n";
    vec![full.into(), short.into(), Vec::new()]
}

/// Beside a small component, that nothing but the manifest can be wrong.
pub(crate) fn read_manifest(bytes: &[u8]) {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good.wasm"), texts::component("")).unwrap();
        folder
    });
    fs::write(folder.path().join("good.toml"), bytes).unwrap();
    match sandbox().load_file(&folder.path().join("good.wasm")) {
        Ok(handler) => {
            let manifest = &handler.manifest;
            assert!(manifest.concurrency != Some(0));
            assert!(manifest.timeout.is_none_or(|timeout| !timeout.is_zero()));
            assert!(manifest.memory.is_none_or(|memory| (64 << 10..=4 << 30).contains(&memory.as_u64())));
        }
        Err(refusal) => is_clear(&refusal),
    }
}

/// Every text of the corpus that is small, compiled.
pub(crate) fn components() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|file| texts::component(&fs::read_to_string(file).unwrap()));
    texts.chain([fs::read(guest("noop")).unwrap()]).collect()
}

/// What is taken is run as well.
pub(crate) fn check_component(bytes: &[u8]) {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let file = folder.path().join("bad.wasm");
    fs::write(&file, bytes).unwrap();
    fs::write(file.with_extension("toml"), "timeout = \"200ms\"\ncpu = \"30ms\"\nmemory = \"4MiB\"").unwrap();
    let inspection = sandbox().inspect(&file).unwrap();
    inspection.imports.iter().for_each(|import| is_a_line(&import.interface));
    match (inspection.refusal, sandbox().load_file(&file)) {
        (Some(refusal), Err(_)) => is_clear(&refusal),
        (None, Ok(handler)) => ends(&handler),
        (refusal, loaded) => panic!("`check` says {refusal:?}, loading says {:?}", loaded.err()),
    }
}

/// One run, which ends in time, and not because the host broke.
pub(crate) fn ends(handler: &Arc<Handler>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let running =
        async { tokio::time::timeout(std::time::Duration::from_secs(20), run(sandbox(), handler, "payload")).await };
    let (outcome, receipt) = runtime.block_on(running).expect("it ends");
    assert!(receipt.peak_memory_bytes <= 4 << 20, "{receipt:?}");
    match outcome {
        Outcome::Done(_) => {}
        Outcome::Failed(failure, _) => {
            assert!(failure.kind != FailureKind::Host, "{failure:?}");
            is_a_line(&failure.code);
        }
        other => panic!("{other:?}"),
    }
}

fn is_clear(refusal: &Refusal) {
    is_a_line(&refusal.reason);
    is_a_line(refusal.hint.as_deref().unwrap_or_default());
}
