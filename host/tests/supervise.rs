//! A worker under a service manager, who listens on a socket: ready, alive, stopping.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tasq_tests::guests::guest;

/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Worker {
    fn start(home: &Path, watchdog: Option<&str>) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tasq-host"));
        command.args(["run", "--handlers", "wasm", "--cache", "cache", "--broker", "sqlite:t.db"]).current_dir(home);
        command.stdin(Stdio::null()).env("NOTIFY_SOCKET", home.join("notify")).env_remove("WATCHDOG_USEC");
        Worker(command.envs(watchdog.map(|limit| ("WATCHDOG_USEC", limit))).spawn().unwrap())
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
}

/// Where it speaks to, with a folder of handlers beside it.
fn manager(home: &Path) -> UnixDatagram {
    std::fs::create_dir(home.join("wasm")).unwrap();
    std::fs::copy(guest("echo"), home.join("wasm/echo.wasm")).unwrap();
    let socket = UnixDatagram::bind(home.join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer).expect("a word from the worker");
    String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
}

#[test]
fn it_says_when_it_is_ready_and_when_it_stops() {
    let home = tempfile::tempdir().unwrap();
    let socket = manager(home.path());
    let mut worker = Worker::start(home.path(), None);
    assert_eq!(heard(&socket), "READY=1");
    // Ready is who has a broker and handlers: the file is there, and so is the compiled code.
    assert!(home.path().join("t.db").is_file());
    assert_eq!(std::fs::read_dir(home.path().join("cache")).unwrap().count(), 1);
    worker.terminate();
    // Nothing came in between: nobody asked for a watchdog.
    assert_eq!(heard(&socket), "STOPPING=1");
    assert!(worker.0.wait().unwrap().success());
}

#[test]
fn it_says_that_it_lives_as_long_as_it_does() {
    let home = tempfile::tempdir().unwrap();
    let socket = manager(home.path());
    let worker = Worker::start(home.path(), Some("200000"));
    assert_eq!(heard(&socket), "READY=1");
    for _ in 0..3 {
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }
    worker.terminate();
    let after = std::iter::repeat_with(|| heard(&socket)).find(|said| said != "WATCHDOG=1");
    assert_eq!(after.unwrap(), "STOPPING=1");
}

/// Of its own, beside the program and compiled code, which processes share.
#[test]
fn an_idle_worker_takes_little_memory() {
    const MOST: u64 = 16 << 10;
    let home = tempfile::tempdir().unwrap();
    let socket = manager(home.path());
    for number in 0..9 {
        // An empty section of its own makes each another file.
        let mut file = std::fs::read(guest("echo")).unwrap();
        file.extend([0, 2, 1, b'0' + number]);
        std::fs::write(home.path().join(format!("wasm/other{number}.wasm")), file).unwrap();
    }
    // What compiles is another process; the second one finds everything compiled.
    drop({
        let first = Worker::start(home.path(), None);
        assert_eq!(heard(&socket), "READY=1");
        first
    });
    let worker = Worker::start(home.path(), None);
    assert_eq!(heard(&socket), "READY=1");
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.0.id())).unwrap();
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = of("RssAnon:").trim().trim_end_matches(" kB").parse().unwrap();
    println!("{kib} KiB of its own, {} in all", of("VmRSS:").trim());
    assert!(kib <= MOST, "{kib} KiB");
}

#[test]
fn a_worker_that_cannot_start_is_never_ready() {
    let home = tempfile::tempdir().unwrap();
    let socket = manager(home.path());
    std::fs::write(home.path().join("t.db"), "no database, but long enough to be looked at as one").unwrap();
    let mut worker = Worker::start(home.path(), Some("200000"));
    assert_eq!(worker.0.wait().unwrap().code(), Some(2));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err(), "it said something");
}
