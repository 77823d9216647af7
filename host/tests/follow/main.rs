//! A worker follows its handlers folder: what is put there serves at once, and what is broken replaces nothing.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tasq_tests::guests::{example, guest};

mod storm;

/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Worker {
    process: Child,
    log: Receiver<String>,
    /// What was read of it so far.
    said: RefCell<Vec<String>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Worker {
    fn start(home: &Path) -> Worker {
        Worker::start_with(home, &[])
    }

    fn start_with(home: &Path, arguments: &[&str]) -> Worker {
        let mut process = tasq_host(home)
            .args(["run", "--handlers", "wasm", "--cache", "cache"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("tasq-host starts");
        let stderr = BufReader::new(process.stderr.take().expect("piped"));
        let (sender, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let worker = Worker { process, log, said: RefCell::default() };
        worker.says("working");
        worker
    }

    /// Waits for a log line with this text, after those that were read before.
    fn says(&self, text: &str) {
        let begin = self.said.borrow().len();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => self.said.borrow_mut().push(line),
                Err(_) => panic!("it never said {text:?}, but {:#?}", &self.said.borrow()[begin..]),
            }
            if self.said.borrow().last().is_some_and(|line| line.contains(text)) {
                return;
            }
        }
    }

    fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it lives");
    }
}

fn tasq_host(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasq-host"));
    command.current_dir(home).stdin(Stdio::null()).env_remove("TASQ_BROKER").env_remove("TASQ_RESULTS");
    command
}

/// Enqueues and waits; what came out on stdout.
fn result_of(home: &Path, handler: &str, payload: &str) -> String {
    let output = tasq_host(home).args(["enqueue", handler, payload, "--wait=60s"]).output().expect("tasq-host starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    fs::create_dir(home.path().join("wasm")).expect("a folder");
    home
}

#[test]
fn a_file_that_is_put_into_the_folder_serves_at_once() {
    let home = home();
    let worker = Worker::start(home.path());
    // Enqueued before there is a handler: it waits, parked, and runs as soon as there is one.
    let waiting = std::thread::spawn({
        let home = home.path().to_owned();
        move || result_of(&home, "add", r#"{"arg1":5,"arg2":4}"#)
    });
    fs::copy(example("add"), home.path().join("wasm/add.wasm")).expect("copy");
    worker.says("handler add is new");
    assert_eq!(waiting.join().expect("a result"), r#"{"result":9}"#);
    fs::remove_file(home.path().join("wasm/add.wasm")).expect("remove");
    worker.says("handler add is gone");
}

#[test]
fn a_broken_file_is_said_once_and_replaces_nothing() {
    let home = home();
    let file = home.path().join("wasm/add.wasm");
    fs::copy(example("add"), &file).expect("copy");
    let worker = Worker::start(home.path());
    fs::write(&file, "no component").expect("write");
    worker.says("not a WebAssembly component or module: found text; not served");
    assert_eq!(result_of(home.path(), "add", r#"{"arg1":1,"arg2":2}"#), r#"{"result":3}"#);
    // Looked at again for another file, the broken one is not told of again.
    fs::copy(guest("echo"), home.path().join("wasm/echo.wasm")).expect("copy");
    worker.says("echo is new");
    assert_eq!(worker.said.borrow().iter().filter(|line| line.contains("found text")).count(), 1);
    fs::copy(guest("echo"), &file).expect("copy");
    worker.says("handler add is new");
    assert_eq!(result_of(home.path(), "add", "mended"), "mended");
}

#[test]
fn a_manifests_queue_is_taken_from_once_it_is_there() {
    let home = home();
    let worker = Worker::start(home.path());
    fs::write(home.path().join("wasm/echo.toml"), "queue = \"reports\"").expect("write");
    fs::copy(guest("echo"), home.path().join("wasm/echo.wasm")).expect("copy");
    worker.says("handler echo is new");
    let output = tasq_host(home.path())
        .args(["enqueue", "echo", "x", "--queue", "reports", "--wait=60s"])
        .output()
        .expect("tasq-host starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "x");
}

#[test]
fn a_hangup_makes_it_look_at_a_folder_that_was_replaced() {
    let home = home();
    let worker = Worker::start(home.path());
    // A new folder under the old name: the watch still looks at the old one.
    fs::create_dir(home.path().join("next")).expect("a folder");
    fs::copy(guest("echo"), home.path().join("next/echo.wasm")).expect("copy");
    fs::rename(home.path().join("wasm"), home.path().join("old")).expect("rename");
    fs::rename(home.path().join("next"), home.path().join("wasm")).expect("rename");
    worker.hang_up();
    worker.says("handler echo is new");
    assert_eq!(result_of(home.path(), "echo", "x"), "x");
}
