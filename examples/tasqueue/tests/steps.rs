//! Each step of the example, as a reader runs it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

fn said(step: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(tasq_tests::guests::example("add"), folder.path().join("add.wasm")).unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_tasqueue"));
    let output = example.arg(step).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(Into::into).collect()
}

#[test]
fn a_job_has_a_result() {
    let lines = said("basic");
    assert!(lines[0].ends_with(" is done"), "{lines:?}");
    assert_eq!(lines[1], r#"{"result":9}"#);
}

#[test]
fn a_chain_runs_its_steps() {
    let lines = said("chain");
    assert!(lines[0].ends_with(" is done, 3 of 3 steps done"), "{lines:?}");
    assert_eq!(lines[1..], [r#"  {"result":4}"#, r#"  {"result":5}"#, r#"  {"result":6}"#]);
}

#[test]
fn a_group_runs_its_members_and_its_callback() {
    let lines = said("group");
    assert!(lines[0].ends_with(" is done, 2 of 2 members done"), "{lines:?}");
    assert_eq!(lines[1..], [r#"  {"result":4}"#, r#"  {"result":5}"#, r#"  {"result":101}"#]);
}

#[test]
fn a_schedule_ticks() {
    let lines = said("schedule");
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("cron:every-second:") && lines[2] != lines[0], "{lines:?}");
    assert_eq!((lines[1].as_str(), lines[3].as_str()), (r#"  {"result":9}"#, r#"  {"result":9}"#));
}

#[test]
fn an_unknown_step_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_tasqueue")).arg("dance").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected basic, chain, group or schedule"));
}
