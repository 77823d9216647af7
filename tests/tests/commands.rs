//! Programs that know nothing of the contract, `examples/command/LANGUAGE`: all count the same, and end the same way.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tasq_host::sandbox::{Handler, HandlerKind, Options, Sandbox};
use tasq_host::task::{Failure, FailureKind, Outcome, Verdict};
use tasq_tests::projects::project;
use tasq_tests::runs::run;

macro_rules! commands {
    ($($name:ident)*) => {
        const COMMANDS: &[&str] = &[$(stringify!($name)),*];
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() { counts_discards_and_snoozes(stringify!($name)).await; })*
    };
}

commands! { rust c cpp go zig assemblyscript nim d }

#[test]
fn every_command_has_its_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/command");
    let folders = std::fs::read_dir(folder).unwrap();
    let mut folders: Vec<String> = folders.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    let mut tested = COMMANDS.to_vec();
    folders.sort();
    tested.sort_unstable();
    assert_eq!(folders, tested);
}

fn sandbox() -> &'static Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        Arc::new(Sandbox::new(Options { slots: 4, pagemap_scan: true, cache, memory_budget: None }).unwrap())
    })
}

fn load(name: &str) -> Arc<Handler> {
    let file = project(&format!("examples/command/{name}"), name, "");
    assert_eq!(sandbox().inspect(&file).unwrap().kind, Some(HandlerKind::CommandModule));
    sandbox().load_file(&file).unwrap()
}

async fn counts_discards_and_snoozes(name: &str) {
    let command = tokio::task::block_in_place(|| load(name));
    let counted = |lines, words, characters| {
        Outcome::Done(format!(r#"{{"lines":{lines},"words":{words},"characters":{characters}}}"#).into())
    };
    for (payload, expected) in [
        ("one", counted(0, 1, 3)),
        ("one two\n größe\t🙂\n", counted(2, 4, 17)),
        ("\n\n", counted(2, 0, 2)),
        (&*"ü \n".repeat(1 << 18), counted(1 << 18, 1 << 18, 3 << 18)),
    ] {
        assert_eq!(trimmed(run(sandbox(), &command, payload.to_owned()).await.0), expected);
    }
    for bytes in [&b"a\xff"[..], b"\xc3", b"\xc0\x80"] {
        let (failure, verdict) = failed(run(sandbox(), &command, bytes.to_vec()).await.0);
        assert_eq!((&*failure.code, failure.kind, verdict), ("exit-65", FailureKind::Handler, Verdict::Discard));
        assert!(failure.message.starts_with("no UTF-8"), "{failure:?}");
    }
    let (failure, verdict) = failed(run(sandbox(), &command, Vec::new()).await.0);
    assert_eq!((&*failure.message, verdict), ("nothing to count yet", Verdict::Snooze(Some(Duration::from_secs(30)))));
}

/// Some end their line, some don't.
fn trimmed(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Done(result) => Outcome::Done(result.trim_ascii_end().to_vec().into()),
        other => other,
    }
}

fn failed(outcome: Outcome) -> (Failure, Verdict) {
    match outcome {
        Outcome::Failed(failure, verdict) => (failure, verdict),
        other => panic!("expected a failure, found {other:?}"),
    }
}
