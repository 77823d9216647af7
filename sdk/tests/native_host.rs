//! Holds what `testing` promises: a handler meets, natively, a host that behaves as the real one does.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::time::Duration;

use tasq_sdk::context::{self, Stop};
use tasq_sdk::log::Level;
use tasq_sdk::producer::{NewTask, enqueue};
use tasq_sdk::testing::{Host, Line, run};
use tasq_sdk::{Failure, HostErrorKind, Json, Task, config, store};

fn text(result: Result<Vec<u8>, Failure>) -> String {
    String::from_utf8(result.unwrap()).unwrap()
}

#[test]
fn nothing_is_granted_unless_the_test_grants_it() {
    let seen =
        Host::new().enter(|| (config::get("region"), enqueue(NewTask::new("mail")), store::get("cursor"))).answer;
    assert_eq!(seen.0, None);
    assert_eq!(seen.1.unwrap_err().kind, HostErrorKind::Denied);
    assert_eq!(seen.2.unwrap_err().kind, HostErrorKind::Denied);
}

#[test]
fn a_setting_is_there_for_one_host_only() {
    let region = |(): ()| config::require("region");
    assert_eq!(text(Host::new().config("region", "eu").run(region, "").answer), "eu");
    assert_eq!(run(region, "").unwrap_err().code, "missing-config");
}

#[test]
fn log_lines_come_with_level_and_fields() {
    let seen = Host::new().level(Level::Info).enter(|| {
        let rows = 3;
        tasq_sdk::debug!("left out");
        tasq_sdk::info!("plain");
        tasq_sdk::warn!(rows = rows, file = "a.csv", "{rows} rows of {}", 4);
    });
    let line = |level, message: &str, fields: &[(&str, &str)]| Line {
        level,
        message: message.into(),
        fields: fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    };
    let warning = line(Level::Warn, "3 rows of 4", &[("rows", "3"), ("file", "a.csv")]);
    assert_eq!(seen.seen.log, [line(Level::Info, "plain", &[]), warning]);
}

#[test]
fn a_message_that_would_be_dropped_is_not_even_formatted() {
    struct Unshowable;
    impl std::fmt::Display for Unshowable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("formatted")
        }
    }
    Host::new().level(Level::Error).enter(|| tasq_sdk::warn!(field = Unshowable, "{Unshowable}"));
}

#[test]
fn a_run_can_be_told_to_stop() {
    let host = Host::new().remaining(Duration::from_secs(5)).stopping(Stop::ShuttingDown);
    let run = host.run(
        |(): (), task: &Task| {
            context::progress(250, "half way");
            match context::stopping() {
                Some(_) => Err(Failure::snooze(context::remaining())),
                None => Ok(task.id.clone()),
            }
        },
        "",
    );
    assert_eq!(run.answer.unwrap_err().after, Some(Duration::from_secs(5)));
    assert_eq!((run.seen.progress[0].percent, run.seen.progress[0].note.as_str()), (100, "half way"));
}

#[test]
fn follow_up_tasks_are_kept_for_the_test() {
    let run = Host::new().grant_enqueue("mail").run(
        |Json(to): Json<String>| {
            enqueue(NewTask::new("mail").json(&to)?.delay(Duration::from_secs(2))).map_err(Failure::from)
        },
        r#""ada""#,
    );
    assert_eq!(text(run.answer), "enqueued-1");
    let task = &run.seen.enqueued[0];
    assert_eq!((task.payload.as_slice(), task.delay_ms), (&br#""ada""#[..], 2_000));
}

#[test]
fn the_store_keeps_counts_and_guards() {
    let run = Host::new().grant_store([("hits", b"41")]).enter(|| {
        assert_eq!(store::increment("hits", 1), Ok(42));
        assert_eq!(store::replace("cursor", None, b"a"), Ok(true));
        assert_eq!(store::replace("cursor", Some(b"b"), b"c"), Ok(false));
        assert_eq!(store::increment("cursor", 1).unwrap_err().kind, HostErrorKind::Invalid);
        store::put("gone", b"x").unwrap();
        store::remove("gone").unwrap();
    });
    let store = run.seen.store.unwrap();
    assert_eq!(store["hits"], b"42");
    assert_eq!(store["cursor"], b"a");
    assert!(!store.contains_key("gone"));
}

#[test]
fn a_handler_that_panics_leaves_no_host_behind() {
    let panicked = std::panic::catch_unwind(|| Host::new().config("a", "1").enter(|| panic!("on purpose")));
    assert!(panicked.is_err());
    assert_eq!(config::get("a"), None);
}
