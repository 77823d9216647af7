//! The command line as users and scripts meet it: whole processes, in sessions under `tests/sessions/`.
//!
//! A session is what a terminal would show. A line that begins with `$ ` is run by `sh` in the session's own empty
//! folder; then come `? CODE` where the exit code isn't 0, what stdout said without its blank lines, and what stderr said,
//! each line after `! `. `[..]` stands for anything within a line. `SNAPSHOTS=overwrite cargo test -p tasq-host --test cli` writes down what
//! is; read the difference before you keep it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use snapbox::{Assert, Data};

/// One test per session, and one that no session is without its test.
macro_rules! sessions {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { play(stringify!($name)); })*

        #[test]
        fn every_session_is_played() {
            let mut files: Vec<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            files.sort();
            let mut played = vec![$(stringify!($name)),*];
            played.sort_unstable();
            assert_eq!(files, played);
        }
    };
}

sessions! {
    help,
    usage,
    payloads,
    brokers,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions")
}

fn play(name: &str) {
    let file = folder().join(name).with_extension("txt");
    let expected = std::fs::read_to_string(&file).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut seen = String::new();
    for line in expected.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => {
                writeln!(seen, "$ {command}").unwrap();
                seen.push_str(&answer(command, home.path()));
            }
            None if line.is_empty() || line.starts_with('#') => writeln!(seen, "{line}").unwrap(),
            None => {}
        }
    }
    Assert::new().normalize_paths(false).action_env("SNAPSHOTS").eq(seen, Data::read_from(&file, None));
}

/// Exit code, stdout and stderr of `command`.
fn answer(command: &str, folder: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_tasq-host"));
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:{path}", binary.parent().unwrap().display()))
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut seen = match output.status.code() {
        Some(0) => String::new(),
        Some(code) => format!("? {code}\n"),
        None => format!("? {}\n", output.status),
    };
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.trim().is_empty()) {
        writeln!(seen, "{}", line.trim_end()).unwrap();
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        writeln!(seen, "{}", format!("! {line}").trim_end()).unwrap();
    }
    seen
}
