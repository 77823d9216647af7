//! The command line as users and scripts meet it: whole processes, in sessions under `tests/sessions/`.
//!
//! A session is what a terminal would show. A line that begins with `$ ` is run by `sh` in the session's own folder; then
//! come `? CODE` where the exit code isn't 0, what stdout said without its blank lines, and what stderr said, each line
//! after `! `. `[..]` stands for anything within a line. The folder is empty, or has handlers in `wasm/` where the first
//! line is `# wasm: NAME…`. Where the second is `# servers`, `$REDIS` and `$NATS` are the URLs of servers of the session's own,
//! which keep what they acknowledge.
//!
//! `SNAPSHOTS=overwrite cargo test -p tasq-host --test cli` writes down what is; read the difference before you keep it.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use snapbox::{Assert, Data};
use tasq_tests::fixture::nats::Version;
use tasq_tests::fixture::{nats, redis};
use tasq_tests::guests;

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
    tasks,
    damaged,
    handlers,
    check,
    projects,
    worker,
    chain,
    batch,
    group,
    cron,
    cancel,
    unique,
    queues,
    config,
    setup,
    status,
    logs,
    doctor,
    servers,
    bench,
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let version = |file: &rusqlite::Connection| {
        file.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    let file = rusqlite::Connection::open(home.path().join("newer.db")).unwrap();
    file.pragma_update(None, "user_version", 9999).unwrap();
    for command in ["enqueue add", "task list", "run --handlers ."] {
        let answer = answer(&format!("tasq-host {command} --broker sqlite:newer.db"), home.path());
        assert!(answer.starts_with("? 2\n! error: sqlite:newer.db: expected"), "{command}: {answer}");
        assert_eq!(answer.lines().count(), 2, "{command}: {answer}");
    }
    assert_eq!(version(&file), 9999);
}

#[test]
fn a_damaged_file_is_refused_and_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("cut.db");
    answer("for n in 1 2 3; do tasq-host enqueue add --broker sqlite:cut.db; done", home.path());
    // All of it into the file itself (by whoever closes it last), which then ends too early, or says other things.
    let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    rusqlite::Connection::open(&file).unwrap().query_row("SELECT count(*) FROM tasq_tasks", [], read).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let (page, half) = (4096, whole.len() / 2);
    let overwritten: Vec<u8> = whole[..page].iter().copied().chain(vec![0xa5; whole.len() - page]).collect();
    for damaged in [&whole[..half], &whole[..page], &whole[..100], &overwritten] {
        std::fs::write(&file, damaged).unwrap();
        for command in ["enqueue add", "task list", "task show a1", "run --handlers . --until-empty"] {
            let answer = answer(&format!("tasq-host {command} --broker sqlite:cut.db"), home.path());
            assert!(answer.starts_with("? 2\n! error: sqlite:cut.db: the file is damaged: "), "{command}: {answer}");
            assert_eq!(answer.lines().count(), 2, "{command}: {answer}");
        }
        assert!(std::fs::read(&file).unwrap() == damaged, "nothing is written to a file that can't be read");
    }
    std::fs::write(&file, whole).unwrap();
    let listed = answer("tasq-host task list --broker sqlite:cut.db --json", home.path());
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions")
}

fn play(name: &str) {
    let file = folder().join(name).with_extension("txt");
    let expected = std::fs::read_to_string(&file).unwrap();
    let home = tempfile::tempdir().unwrap();
    let handlers = expected.lines().next().and_then(|line| line.strip_prefix("# wasm: "));
    handlers.into_iter().flat_map(str::split_whitespace).for_each(|name| put_handler(name, home.path()));
    let servers = (expected.lines().nth(1) == Some("# servers")).then(Servers::start);
    let urls = servers.as_ref().map(Servers::urls).unwrap_or_default();
    let mut seen = String::new();
    for line in expected.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => {
                writeln!(seen, "$ {command}").unwrap();
                // How long compiling takes is the machine's: tests/compile.rs has these lines.
                let answer = answer_with(command, home.path(), &urls);
                let is_progress = |line: &str| line.starts_with("! compiling ") || line.starts_with("! compiled ");
                seen.extend(answer.split_inclusive('\n').filter(|line| !is_progress(line)));
            }
            None if line.is_empty() || line.starts_with('#') => writeln!(seen, "{line}").unwrap(),
            None => {}
        }
    }
    Assert::new().normalize_paths(false).action_env("SNAPSHOTS").eq(seen, Data::read_from(&file, None));
}

/// Puts a guest or an example where a worker looks for it.
fn put_handler(name: &str, home: &Path) {
    let example = folder().join("../../../examples").join(name).is_dir();
    let component = if example { guests::example(name) } else { guests::guest(name) };
    std::fs::create_dir_all(home.join("wasm")).unwrap();
    std::fs::copy(component, home.join("wasm").join(name).with_extension("wasm")).unwrap();
}

/// One of each, for a session.
struct Servers {
    _folder: tempfile::TempDir,
    redis: redis::Server,
    nats: nats::Server,
}

impl Servers {
    fn start() -> Servers {
        let folder = tempfile::tempdir().unwrap();
        let redis = redis::Server::durable(folder.path());
        Servers { redis, nats: nats::Server::start_synced(Version::Newest), _folder: folder }
    }

    fn urls(&self) -> Vec<(&'static str, String)> {
        vec![("REDIS", self.redis.address()), ("NATS", format!("nats://{}", self.nats.address()))]
    }
}

/// Exit code, stdout and stderr of `command`.
fn answer(command: &str, folder: &Path) -> String {
    answer_with(command, folder, &[])
}

fn answer_with(command: &str, folder: &Path, variables: &[(&str, String)]) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_tasq-host"));
    let path = std::env::var("PATH").unwrap_or_default();
    // What hangs is a failure like another, and leaves nothing running.
    let output = Command::new("timeout")
        .args(["60", "sh", "-c", command])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:{path}", binary.parent().unwrap().display()))
        .env("HOME", folder)
        .envs(variables.iter().map(|(name, value)| (name, value)))
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
