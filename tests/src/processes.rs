//! Workers as processes of their own, made to be killed, and what their logs tell of the runs of their guests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

/// Longer than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How `tasq-host` ends where its broker can't be reached.
const UNREACHABLE: i32 = 3;

/// One run of a guest that says `begun` and `ended` (`misbehave`'s `nap`). Times are as in the log, so that their order as
/// text is their order in time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestRun {
    /// The task's id.
    pub task: String,
    /// When the guest began.
    pub begun: String,
    /// When it ended; for one of which nobody said so, when its process was seen to be dead.
    pub ended: String,
    /// It ended while its process lived.
    pub finished: bool,
}

/// `tasq-host run` in a process of its own; killed when it is dropped.
pub struct WorkerProcess {
    child: Child,
    log: PathBuf,
}

impl WorkerProcess {
    /// Starts a worker and waits until it works; one whose broker isn't there is started again, as a supervisor would, within
    /// [`PATIENCE`]. `program` is the binary `tasq-host`, `folder` where it runs, with the
    /// handlers in `wasm`; its log goes to the file `log` there, its compiled code to `cache`.
    pub fn start(program: &Path, folder: &Path, log: &str, arguments: &[&str]) -> WorkerProcess {
        let began = Instant::now();
        loop {
            match WorkerProcess::try_start(program, folder, log, arguments) {
                Ok(worker) => return worker,
                Err(status) => {
                    let unreachable = status.code() == Some(UNREACHABLE) && began.elapsed() < PATIENCE;
                    let said = || fs::read_to_string(folder.join(log)).unwrap_or_default();
                    assert!(unreachable, "it ended, {status}: {}", said());
                }
            }
        }
    }

    fn try_start(program: &Path, folder: &Path, log: &str, arguments: &[&str]) -> Result<WorkerProcess, ExitStatus> {
        let log = folder.join(log);
        let child = Command::new(program)
            .args(["run", "--handlers", "wasm", "--cache", "cache", "-v", "--log-format", "json"])
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the log can be written"))
            .spawn()
            .expect("tasq-host starts");
        let mut worker = WorkerProcess { child, log };
        until("the worker works or ends", || match worker.child.try_wait().expect("a child") {
            Some(status) => Some(Err(status)),
            None => worker.has_said("working").then_some(Ok(())),
        })?;
        Ok(worker)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().expect("there is a kill");
        assert!(sent.success(), "SIG{name} can't be sent");
    }

    /// Kills it as `kill -9` does, waits until it is dead, and tells of its guests' runs: those that it cut off end at its
    /// last sign of life. (A broker that notices the death may give a task to another worker before we have waited.)
    pub fn kill(mut self) -> Vec<GuestRun> {
        let before = now();
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it dies");
        let said = self.events().iter().filter_map(|event| Some(event["timestamp"].as_str()?.to_owned())).max();
        self.runs(&said.unwrap_or_default().max(before))
    }

    /// Whether a line of its log is this message.
    pub fn has_said(&self, message: &str) -> bool {
        self.events().iter().any(|event| event["message"] == message)
    }

    /// The runs that its guests told of. `death` stands for the end of those that didn't end.
    pub fn runs(&self, death: &str) -> Vec<GuestRun> {
        let mut runs: Vec<GuestRun> = Vec::new();
        for event in self.events() {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let (task, at) = (text("task"), text("timestamp"));
            match (event["target"].as_str(), event["message"].as_str()) {
                (Some("guest"), Some("begun")) => {
                    runs.push(GuestRun { task, begun: at, ended: death.to_owned(), finished: false });
                }
                // The host's word comes after the guest's; it stands alone where the host has stopped the guest.
                (Some("guest"), Some("ended")) | (Some("tasq_host::worker::attempt"), Some("ran")) => {
                    if let Some(run) = runs.iter_mut().rev().find(|run| run.task == task && !run.finished) {
                        (run.ended, run.finished) = (at, true);
                    }
                }
                _ => {}
            }
        }
        runs
    }

    /// What it logged, whole lines only.
    fn events(&self) -> Vec<Value> {
        let log = self.log();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log can be read")
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs of one task of which the later began before the earlier had ended.
pub fn at_once(runs: &[GuestRun]) -> Vec<(GuestRun, GuestRun)> {
    let mut runs = runs.to_vec();
    runs.sort();
    let neighbours = runs.windows(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    neighbours.filter(|(one, next)| one.task == next.task && next.begun < one.ended).collect()
}

/// The present, in the form of the log.
pub fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

/// Looks again and again, for as long as [`PATIENCE`] lasts, until there is an answer.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(task: &str, begun: &str, ended: &str) -> GuestRun {
        GuestRun { task: task.into(), begun: begun.into(), ended: ended.into(), finished: true }
    }

    #[test]
    fn runs_of_one_task_that_overlap_are_found() {
        let apart = [run("a", "2", "3"), run("a", "1", "2"), run("b", "1", "9")];
        assert_eq!(at_once(&apart), []);
        let together = [run("a", "2", "3"), run("b", "0", "9"), run("a", "1", "4")];
        assert_eq!(at_once(&together), [(run("a", "1", "4"), run("a", "2", "3"))]);
    }
}
