//! From a file's bytes to machine code, in a process of its own with limits on memory and time: the compiler is the part
//! of the host that a file can keep busiest.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use wasmtime::{Engine, Module};

use super::adapt::{self, Misfit};
use super::engine;
use super::handlers::one_line;

/// Who compiles.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// This process, without limits: for programs that know their files.
    Here,
    /// A child process.
    Apart(Apart),
}

/// A child process that compiles one file, and its limits.
#[derive(Clone, Debug)]
pub struct Apart {
    /// The binary `tasq-host`: it calls [`compile`] for [`COMMAND`].
    pub program: PathBuf,
    /// Bytes of address space.
    pub memory: u64,
    /// Time spent computing on all cores together, in whole seconds. The clock on the wall has three times as long.
    pub cpu: Duration,
    /// What takes longer on the wall's clock, above zero, is told of, again each time that it has taken twice as long.
    pub patience: Duration,
    /// Hears of it: a line each.
    pub tell: fn(&str),
}

/// The subcommand of the child, which no help shows.
pub const COMMAND: &str = "compile-apart";

/// What is asked of a child, as it goes over the command line. The file's bytes come by standard input, machine code or
/// an error (and a hint in a second line) goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// [`Apart::memory`].
    pub memory: u64,
    /// [`Apart::cpu`], in seconds.
    pub cpu: u64,
    /// Bytes of address space that the engine reserves for each memory of a guest.
    pub reservation: u64,
    /// `component`, `module`, or the version of the contract that a module is made a component for.
    pub what: String,
}

/// What stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Component,
    Module,
    /// A core module that exports the contract's `handle`, by this version of the contract.
    Handler(String),
}

/// What is to be compiled.
pub(super) struct Job<'a> {
    pub(super) what: What,
    /// Stands for the file's contents and all that makes code of them but the engine.
    pub(super) name: String,
    /// Where it was read, for people.
    pub(super) file: &'a Path,
    pub(super) wasm: &'a [u8],
}

/// Why there is no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

/// Compiles what the cache doesn't have.
pub(super) struct Press {
    compiler: Compiler,
    reservation: u64,
    /// What was too much once, by name: folders are looked at again and again, and each time it would be too much.
    too_much: Mutex<HashMap<String, Bad>>,
}

/// Machine code of one file; what makes more is refused.
const LARGEST: u64 = 1 << 30;
const SAID: u64 = 16 << 10;

impl Apart {
    /// With limits that the largest interpreters in use keep by far: 4 GiB and two minutes. What takes more than two
    /// seconds is logged.
    pub fn new(program: PathBuf) -> Apart {
        let (cpu, patience) = (Duration::from_secs(120), Duration::from_secs(2));
        Apart { program, memory: 4 << 30, cpu, patience, tell: |line| tracing::info!("{line}") }
    }
}

impl Press {
    pub(super) fn new(compiler: Compiler, reservation: u64) -> Press {
        Press { compiler, reservation, too_much: Mutex::default() }
    }

    /// Machine code for `engine`.
    pub(super) fn code(&self, engine: &Engine, job: &Job<'_>) -> Result<Vec<u8>, Bad> {
        let Job { what, name, .. } = job;
        let Compiler::Apart(apart) = &self.compiler else { return code(engine, what, job.wasm) };
        let too_much = || self.too_much.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bad) = too_much().get(name.as_str()) {
            return Err(bad.clone());
        }
        let order = Order {
            memory: apart.memory,
            cpu: apart.cpu.as_secs().max(1),
            reservation: self.reservation,
            what: what.to_string(),
        };
        match apart.run(&order, job) {
            Ok(code) => Ok(code),
            Err(Ended::Refused(bad)) => Err(bad),
            Err(Ended::TooMuch(bad)) => {
                too_much().insert(name.clone(), bad.clone());
                Err(bad)
            }
        }
    }
}

/// Why a child gave no code.
enum Ended {
    Refused(Bad),
    TooMuch(Bad),
}

impl Apart {
    fn run(&self, order: &Order, job: &Job<'_>) -> Result<Vec<u8>, Ended> {
        let failed = |error: std::io::Error| {
            let reason = format!("can't be compiled: {}: {error}", self.program.display());
            Ended::Refused(Bad { reason, hint: None })
        };
        let began = Instant::now();
        let mut child = order.command(&self.program).spawn().map_err(failed)?;
        let (mut stdin, stdout, stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
            _ => unreachable!("all three are pipes"),
        };
        let (status, is_late, code, said) = thread::scope(|scope| {
            // A child that doesn't read to the end has a reason, which it tells.
            scope.spawn(move || stdin.write_all(job.wasm));
            let said = scope.spawn(move || read(stderr, SAID));
            let (done, ended) = mpsc::channel();
            let code = scope.spawn(move || {
                let code = read(stdout, LARGEST + 1);
                let _ = done.send(());
                code
            });
            let is_late = self.is_late(&ended, job, began);
            let status = end(&mut child, is_late);
            (status, is_late, code.join().unwrap_or_default(), said.join().unwrap_or_default())
        });
        let status = status.map_err(failed)?;
        if status.success() && code.len() as u64 <= LARGEST {
            if began.elapsed() > self.patience {
                (self.tell)(&format!("compiled {} in {:.1} s", job.file.display(), began.elapsed().as_secs_f64()));
            }
            return Ok(code);
        }
        Err(self.judged(status, is_late, &String::from_utf8_lossy(&said)))
    }

    /// Waits for the end, and tells how long it takes.
    fn is_late(&self, ended: &Receiver<()>, job: &Job<'_>, began: Instant) -> bool {
        let (end, mut next) = (3 * self.cpu, self.patience);
        let size = ByteSize::b(job.wasm.len() as u64);
        loop {
            let wait = next.min(end).saturating_sub(began.elapsed());
            // The thread that would say so reads to the end in any case.
            let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) else { return false };
            if began.elapsed() >= end {
                return true;
            }
            let seconds = began.elapsed().as_secs_f64();
            (self.tell)(&format!("compiling {}, {size}: {seconds:.0} s so far", job.file.display()));
            next *= 2;
        }
    }

    fn judged(&self, status: ExitStatus, is_late: bool, said: &str) -> Ended {
        let too_much = |of: String| {
            let hint = Some("it is no more than refused: everything else goes on".to_owned());
            Ended::TooMuch(Bad { reason: format!("compiling it takes more than {of}"), hint })
        };
        let mut lines = said.lines();
        match (status.code(), lines.next()) {
            (Some(REFUSED), Some(reason)) => Ended::Refused(Bad {
                reason: reason.to_owned(),
                hint: lines.next().filter(|hint| !hint.is_empty()).map(str::to_owned),
            }),
            (Some(0), _) => too_much(format!("{} of machine code", ByteSize::b(LARGEST))),
            _ if is_late || status.signal() == Some(Signal::XCPU.as_raw()) => {
                too_much(format!("its limit of {}", humantime::format_duration(self.cpu)))
            }
            _ if status.signal() == Some(Signal::KILL.as_raw())
                || said.contains("memory allocation of")
                || said.contains("Cannot allocate memory") =>
            {
                too_much(format!("its limit of {} of memory", ByteSize::b(self.memory)))
            }
            _ => Ended::Refused(Bad { reason: format!("the compiler broke on it: {status}"), hint: None }),
        }
    }
}

fn read(from: impl Read, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Cut short, it is as good as an end: the status tells.
    let _ = from.take(most).read_to_end(&mut bytes);
    bytes
}

fn end(child: &mut Child, is_late: bool) -> std::io::Result<ExitStatus> {
    if is_late {
        child.kill()?;
    }
    child.wait()
}

const REFUSED: i32 = 1;

impl Order {
    fn command(&self, program: &PathBuf) -> Command {
        let mut command = Command::new(program);
        command.arg(COMMAND).args([&self.memory, &self.cpu, &self.reservation].map(u64::to_string)).arg(&self.what);
        // It needs nothing of the environment, where the operator's secrets are.
        command.env_clear().current_dir("/");
        // The allocator would begin with a GiB of address space, whatever it needs, and that is what is limited.
        command.env("MIMALLOC_ARENA_RESERVE", "64MiB");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What the child does: takes its limits upon itself, reads, compiles, writes. Its exit status.
pub fn compile(order: &Order) -> u8 {
    let compiled = confine(order).map_err(|error| Bad { reason: format!("can't be confined: {error}"), hint: None });
    let compiled = compiled.and_then(|()| {
        let mut wasm = Vec::new();
        let unread = |error: std::io::Error| Bad { reason: format!("can't be read: {error}"), hint: None };
        std::io::stdin().lock().read_to_end(&mut wasm).map_err(unread)?;
        let unset = |error| Bad { reason: format!("no engine: {}", one_line(&error)), hint: None };
        let engine = engine::for_compiling(order.reservation).map_err(unset)?;
        let code = code(&engine, &What::of(&order.what), &wasm)?;
        std::io::stdout().lock().write_all(&code).map_err(unread)
    });
    match compiled {
        Ok(()) => 0,
        Err(Bad { reason, hint }) => {
            let one_line = |text: String| text.replace('\n', " ");
            // Nobody is left to tell where that fails.
            let _ = writeln!(std::io::stderr(), "{}\n{}", one_line(reason), one_line(hint.unwrap_or_default()));
            REFUSED as u8
        }
    }
}

fn confine(order: &Order) -> std::io::Result<()> {
    // First of all: from here on the worker's end is this process's.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let at_most = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, at_most(order.memory))?;
    // One second more up to the signal that can't be caught.
    setrlimit(Resource::Cpu, Rlimit { current: Some(order.cpu), maximum: Some(order.cpu + 1) })?;
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Fsize, at_most(0))?;
    // Runs of handlers go first, and where memory is short the kernel is to look here first. Neither is needed.
    let _ = rustix::process::nice(10);
    let _ = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/oom_score_adj")
        .and_then(|mut file| file.write_all(b"1000"));
    Ok(())
}

fn code(engine: &Engine, what: &What, wasm: &[u8]) -> Result<Vec<u8>, Bad> {
    let invalid = |what: &str, error| Bad { reason: format!("not a valid {what}: {}", one_line(&error)), hint: None };
    match what {
        What::Component => engine.precompile_component(wasm).map_err(|error| invalid("component", error)),
        What::Module => engine.precompile_module(wasm).map_err(|error| invalid("module", error)),
        What::Handler(version) => {
            Module::validate(engine, wasm).map_err(|error| invalid("module", error))?;
            let component = adapt::component(wasm, version).map_err(|Misfit { reason, hint }| Bad {
                reason: format!("a core module that can't be made a component: {reason}"),
                hint: Some(hint.to_owned()),
            })?;
            engine.precompile_component(&component).map_err(|error| invalid("module", error))
        }
    }
}

impl What {
    fn of(text: &str) -> What {
        match text {
            "component" => What::Component,
            "module" => What::Module,
            version => What::Handler(version.to_owned()),
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            What::Component => f.write_str("component"),
            What::Module => f.write_str("module"),
            What::Handler(version) => f.write_str(version),
        }
    }
}
