//! The live line of `run` and other progress, on a terminal of its own that `script` makes.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tasq_tests::guests;
use tasq_tests::processes::until;

/// Runs `command` in `home`.
fn sh(command: &str, home: &Path) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_tasq-host"));
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("timeout")
        .args(["60", "sh", "-c", command])
        .current_dir(home)
        .env_clear()
        .env("PATH", format!("{}:{path}", binary.parent().unwrap().display()))
        .env("HOME", home)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A place with a handler and tasks that take a while.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("wasm")).unwrap();
    std::fs::copy(guests::guest("misbehave"), home.path().join("wasm/misbehave.wasm")).unwrap();
    for _ in 0..3 {
        let enqueued = sh(r#"tasq-host enqueue misbehave '{"do":"nap","ms":1200}'"#, home.path());
        assert!(enqueued.status.success(), "{enqueued:?}");
    }
    home
}

const RUN: &str = "tasq-host run --handlers wasm --concurrency 2 --until-empty -v";

#[test]
fn a_terminal_has_a_live_line_and_log_lines_stay_whole() {
    let home = home();
    for columns in [80, 200] {
        let run = format!("script -qec 'stty cols {columns} rows 24; {RUN}' /dev/null");
        let output = sh(&run, home.path());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        // A line is what stands there since it was last cleared or begun anew.
        let standing = |line: &str| {
            let line = line.trim_end_matches('\r');
            let line = line.rsplit(['\r', '\u{1b}']).next().unwrap_or_default();
            line.trim_start_matches("[2K").to_owned()
        };
        let lines: Vec<String> = text.split('\n').map(standing).collect();
        let logged: Vec<&String> =
            lines.iter().filter(|line| line.contains("INFO") || line.contains("DEBUG")).collect();
        assert!(logged.len() >= 2, "{text:?}");
        assert!(logged.iter().all(|line| line.starts_with("20") && !line.contains(" · ")), "{logged:?}");
        assert!(text.contains(" of 2 running · "), "{text:?}");
        for drawn in text.split(['\r', '\n', '\u{1b}']).filter(|piece| piece.contains(" running · ")) {
            let drawn = drawn.trim_start_matches("[2K").trim_start_matches("[1A");
            assert!(drawn.trim_end().chars().count() <= columns, "{drawn:?}");
        }
        assert!(lines.last().is_none_or(|last| !last.contains(" running · ")), "it is gone in the end: {text:?}");
    }
}

#[test]
fn a_pipe_has_none() {
    let home = home();
    for run in [RUN.to_owned(), format!("script -qec '{RUN} --log-format json' /dev/null")] {
        let output = sh(&run, home.path());
        assert!(output.status.success(), "{output:?}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("stopped") && !text.contains(" · ") && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn a_worker_ends_with_its_terminal() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("wasm")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_tasq-host"));
    let run = format!("{} run --handlers wasm", binary.display());
    let mut terminal = Command::new("script")
        .args(["-qec", &run, "/dev/null"])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let workers = |number: usize| {
        let status = sh("tasq-host status --json", home.path());
        let told = format!("\"workers\":{number},");
        String::from_utf8(status.stdout).unwrap().contains(&told).then_some(())
    };
    until("it works", || workers(1));
    // SIGKILL: nobody is left to hand anything on but the kernel.
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    until("it has ended as well", || workers(0));
}

#[test]
fn status_is_coloured_and_drawn_anew_on_a_terminal_alone() {
    let home = home();
    let fail = r#"tasq-host enqueue misbehave '{"do":"fail","kind":"discard"}' && tasq-host run --handlers wasm --until-empty"#;
    assert_eq!(sh(fail, home.path()).status.code(), Some(1));
    let said = |command: &str| String::from_utf8(sh(command, home.path()).stdout).unwrap();
    let red = "\u{1b}[31m1\u{1b}[0m";
    assert!(said("script -qec 'tasq-host status' /dev/null").contains(red), "a dead task");
    for plain in ["tasq-host status", "NO_COLOR=1 script -qec 'tasq-host status' /dev/null"] {
        let plain = said(plain);
        assert!(plain.contains("DEAD") && !plain.contains('\u{1b}'), "{plain:?}");
    }
    // Three times at least, each over the one before; only the first look may take a while.
    let watched = said("script -qec 'timeout 5 tasq-host status --watch' /dev/null");
    assert!(watched.matches("\u{1b}[H").count() >= 3, "{watched:?}");
    let piped = said("timeout 5 tasq-host status --watch");
    assert!(piped.matches("DEAD").count() >= 3 && !piped.contains('\u{1b}'), "{piped:?}");
}

#[test]
fn a_batch_shows_how_far_it_has_come_on_a_terminal_alone() {
    let home = tempfile::tempdir().unwrap();
    let lines = "{\"handler\":\"add\"}\n".repeat(5_000);
    std::fs::write(home.path().join("batch"), format!("no task\n{lines}")).unwrap();
    let enqueue = "tasq-host enqueue --batch batch >ids";
    let shown = sh(&format!("script -qec '{enqueue}' /dev/null"), home.path());
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(" enqueued, 1 bad, ") && shown.contains(" % "), "{shown:?}");
    assert!(shown.contains("5000 enqueued, 0 there before, 1 bad\r\n"), "{shown:?}");
    let plain = sh(enqueue, home.path());
    let plain = String::from_utf8(plain.stderr).unwrap();
    assert!(plain.contains("5000 enqueued") && !plain.contains(" % "), "{plain:?}");
    assert_eq!(std::fs::read_to_string(home.path().join("ids")).unwrap().lines().count(), 5_000);
}
