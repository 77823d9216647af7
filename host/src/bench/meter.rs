//! What was used meanwhile: time, CPU and memory, of this process and of the server.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::backend::url::Url;
use crate::backend::{self, Usage};

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many.
    pub tasks: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// CPU time of this process meanwhile (a server's is not in it).
    pub cpu_seconds: f64,
    /// CPU time of the server, where it can be seen.
    pub server_cpu_seconds: Option<f64>,
}

impl Rate {
    /// Tasks per second.
    pub fn per_second(&self) -> f64 {
        self.tasks as f64 / self.seconds
    }
}

/// Looks at the server: by what it tells of itself, or by its process on this machine.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Where tasks live.
    pub broker: Url,
    /// The server's process, for one that tells nothing.
    pub pid: Option<u32>,
}

impl Meter {
    /// What the server has used so far; none where that can't be seen.
    pub async fn usage(&self) -> anyhow::Result<Option<Usage>> {
        match self.pid {
            None => Ok(backend::usage(&self.broker).await?),
            Some(pid) => {
                let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
                let found = read("stat").and_then(|stat| Ok((stat, read("status")?)));
                let found = found.ok().and_then(|(stat, status)| {
                    Some(Usage { cpu: cpu_of(&stat)?, memory_bytes: kib_of("VmRSS", &status)? })
                });
                let gone = || anyhow::anyhow!("process {pid}: expected the server's, found none that can be looked at");
                found.ok_or_else(gone).map(Some)
            }
        }
    }

    pub(super) async fn start(&self) -> anyhow::Result<Watch> {
        Ok(Watch { server: self.usage().await?, wall: Instant::now(), cpu: process_cpu() })
    }

    pub(super) async fn stop(&self, read: Reading) -> anyhow::Result<Rate> {
        let Reading { watch, tasks, wall, cpu } = read;
        let server = self.usage().await?.zip(watch.server).map(|(after, before)| after.cpu.saturating_sub(before.cpu));
        let [seconds, cpu_seconds] = [wall, cpu].map(|span| span.as_secs_f64());
        Ok(Rate { tasks, seconds, cpu_seconds, server_cpu_seconds: server.map(|cpu| cpu.as_secs_f64()) })
    }
}

/// A stopwatch that runs.
pub(super) struct Watch {
    server: Option<Usage>,
    wall: Instant,
    cpu: Duration,
}

/// One that has been read.
pub(super) struct Reading {
    watch: Watch,
    tasks: u64,
    wall: Duration,
    cpu: Duration,
}

impl Watch {
    /// At the last of so many tasks.
    pub(super) fn read(self, tasks: u64) -> Reading {
        let (wall, cpu) = (self.wall.elapsed(), process_cpu() - self.cpu);
        Reading { watch: self, tasks, wall, cpu }
    }
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Resident memory of this process, in bytes: now, and at most so far.
pub fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |name| kib_of(name, &status).unwrap_or_default();
    (bytes("VmRSS"), bytes("VmHWM"))
}

/// What a process counts its time in, whatever the kernel's own clock: hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// User and system time in `/proc/PID/stat`. Its second field, the program's name, may hold anything.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(|field| field.parse::<u32>().ok());
    Some(TICK * ticks.next()??.checked_add(ticks.next()??)?)
}

/// A size in `/proc/PID/status`, in bytes.
fn kib_of(name: &str, status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) S 1 2) S 1 7 7 0 -1 4194560 9 0 0 0 150 25 0 0 20 0 4 0 100 0 0";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_of("7 (a) S 1"), None);
        assert_eq!(kib_of("VmRSS", "Name:\tx\nVmHWM:\t    9 kB\nVmRSS:\t    8 kB\n"), Some(8 << 10));
        assert_eq!(kib_of("VmRSS", "Name:\tx\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let (now, most) = resident();
        assert!(now > 0 && most >= now, "{now} {most}");
        let look = |pid| {
            let meter = Meter { broker: Url::Memory, pid };
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(meter.usage())
        };
        assert!(look(Some(std::process::id())).unwrap().unwrap().memory_bytes > 0);
        assert_eq!(look(None).unwrap(), None);
        let error = look(Some(u32::MAX)).unwrap_err().to_string();
        assert_eq!(error, "process 4294967295: expected the server's, found none that can be looked at");
    }
}
