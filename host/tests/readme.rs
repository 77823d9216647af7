//! Follows the README, word for word, as a newcomer would: every ```` ```console ```` block, in order, in one shell.
//!
//! A line that begins with `$ ` is typed; what follows it is what the terminal shows, where `[..]` stands for anything
//! within a line and a line `...` for any lines. A command must succeed, unless `echo $?` comes next.
//! ```` ```console background ```` is another terminal, where the command goes on until the next such block, or the
//! end, stops it. A block with a file's name, ```` ```rust src/lib.rs ````, is written there. Where it says
//! `redis://localhost` or `nats://localhost`, servers of the test's own stand in.
//!
//! The shell stands in a folder that looks like a clone, so that nothing is left in the repository: its sources are
//! there as links, and `cargo` and `make` called in it work in the repository, with what is built already.

#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use snapbox::{Assert, Data};
use tasq_tests::fixture::nats::Version;
use tasq_tests::fixture::{nats, redis};
use tasq_tests::guests;

/// Ends what the shell prints for one command; no program prints it.
const MARK: char = '\u{1}';
/// Seconds for all of it: what takes longer hangs. The first time much is compiled.
const PATIENCE: &str = "900";
/// What the cargo that runs this test, or whoever runs that, says to others.
const FOREIGN: [&str; 8] = [
    "CARGO",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "RUSTUP_TOOLCHAIN",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
    "TASQ_BROKER",
    "TASQ_RESULTS",
];

#[test]
fn the_readme_can_be_followed() {
    // What commands build is compiled here once, under the lock that other tests wait at.
    guests::example("add");
    let checkout = Checkout::new();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    // As a package's redis-server, with `appendonly yes`.
    let redis = redis::Server::start(&["--save", "", "--appendonly", "yes", "--dir", folder]);
    let nats = nats::Server::start(Version::Newest, "");
    let servers = [("redis://localhost", redis.address()), ("nats://localhost", format!("nats://{}", nats.address()))];
    let mut shell = Shell::start(&checkout, servers);
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = String::new();
    let mut lines = readme.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(seen, "{line}").unwrap();
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(|line| *line != "```") {
            block.push(line);
        }
        match info.split_once(' ').unwrap_or((info, "")) {
            ("console", "") => {
                shell.let_the_worker_catch_up(&checkout);
                seen.push_str(&shell.play(&block));
            }
            ("console", "background") => {
                shell.go_on(block[0].strip_prefix("$ ").unwrap());
                writeln!(seen, "{}", block.join("\n")).unwrap();
            }
            (_, file) => {
                if !file.is_empty() {
                    shell.write(file, &block.join("\n"));
                }
                writeln!(seen, "{}", block.join("\n")).unwrap();
            }
        }
        // The end of the block: otherwise text would be taken for one.
        writeln!(seen, "{}", lines.next().expect("a block ends")).unwrap();
    }
    shell.stop_background();
    Assert::new().normalize_paths(false).eq(seen, Data::read_from(&root().join("README.md"), None));
}

/// A folder that looks like a clone of the repository.
struct Checkout {
    home: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Checkout {
        let checkout = Checkout { home: tempfile::tempdir().unwrap() };
        let (folder, bin) = (checkout.folder(), checkout.home.path().join("bin"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&bin).unwrap();
        for entry in fs::read_dir(root()).unwrap() {
            let name = entry.unwrap().file_name();
            let is_left_over = name == "wasm" || name.to_string_lossy().contains(".db");
            if name != "target" && name != ".git" && !is_left_over {
                symlink(root().join(&name), folder.join(&name)).unwrap();
            }
        }
        symlink(target(), folder.join("target")).unwrap();
        let (here, there, bin_there) = (folder.display(), root().display(), bin.display());
        let only_one = format!("flock {}/guests/lock", target().display());
        let path = format!("PATH=$(printf %s \"$PATH\" | sed 's#{bin_there}:##')");
        // A crate elsewhere finds its dependencies compiled from the last time.
        let elsewhere =
            format!("unset CARGO_TARGET_DIR RUSTFLAGS; export CARGO_BUILD_BUILD_DIR={}/readme", target().display());
        let cargo = format!("if [ \"$PWD\" = {here} ]; then cd {there}; else {elsewhere}; fi");
        program(&bin, "cargo", &format!("{path}\n{cargo}\nexec {only_one} cargo \"$@\""));
        program(
            &bin,
            "make",
            &format!("{path}\nexec {only_one} make -C {there} --no-print-directory FOLDER={here} \"$@\""),
        );
        checkout
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("tasq-host")
    }

    /// Whether a living worker has every handler that is in the folder, in the queue that its manifest says.
    fn is_announced(&self) -> bool {
        let broker = format!("sqlite:{}", self.folder().join("tasq.db").display()).parse().unwrap();
        let workers = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let backend = tasq_host::backend::open(&broker, None).await.unwrap();
            backend.operations.workers().await.unwrap()
        });
        let files = fs::read_dir(self.folder().join("wasm")).unwrap().map(|file| file.unwrap().path());
        let handlers = files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
        let wanted: BTreeSet<_> = handlers
            .map(|file| {
                let manifest = fs::read_to_string(file.with_extension("toml")).unwrap_or_default();
                let line = manifest.lines().find(|line| line.starts_with("queue"));
                let queue = line.and_then(|line| line.split('"').nth(1)).map(str::to_owned);
                (file.file_stem().unwrap().to_str().unwrap().to_owned(), queue)
            })
            .collect();
        workers.iter().any(|worker| {
            let handlers = worker.handlers.iter();
            let has =
                handlers.map(|handler| (handler.name.to_string(), handler.queue.as_ref().map(ToString::to_string)));
            has.collect::<BTreeSet<_>>() == wanted
        })
    }
}

fn program(folder: &Path, name: &str, script: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// One shell, from the first block to the last.
struct Shell {
    shell: Child,
    typed: ChildStdin,
    shown: BufReader<ChildStdout>,
    works_in_background: bool,
    /// Servers as the README names them, and where they are.
    servers: [(&'static str, String); 2],
}

impl Shell {
    fn start(checkout: &Checkout, servers: [(&'static str, String); 2]) -> Shell {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("timeout");
        command.args([PATIENCE, "sh"]).current_dir(checkout.folder());
        command.env("PATH", format!("{}:{path}", checkout.home.path().join("bin").display()));
        let of_a_package = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("CARGO_PKG_"));
        for name in of_a_package.chain(FOREIGN.map(str::to_owned)) {
            command.env_remove(name);
        }
        // The handler that the README writes has its dependencies as they are locked here.
        command.env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_TERM_COLOR", "never");
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (typed, shown) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        let mut shell = Shell { shell, typed, shown, works_in_background: false, servers };
        shell.run("exec 2>&1");
        shell
    }

    /// Types the block's commands, and gives it as it is now.
    fn play(&mut self, block: &[&str]) -> String {
        let mut seen = String::new();
        for (at, line) in block.iter().enumerate() {
            let Some(command) = line.strip_prefix("$ ") else { continue };
            let next = block.get(at + 1).copied();
            let (shown, code) = self.run_with_servers(command);
            let may_fail = block[at + 1..].iter().find(|line| line.starts_with("$ ")) == Some(&"$ echo $?");
            assert!(code == 0 || may_fail, "$ {command}\n{shown}\nexit code {code}");
            writeln!(seen, "$ {command}").unwrap();
            // What the README doesn't show of a command isn't compared.
            if next.is_some_and(|line| !line.starts_with("$ ")) {
                seen.push_str(&shown);
            }
        }
        seen
    }

    /// The same as [`Shell::run`], with the servers where they are.
    fn run_with_servers(&mut self, command: &str) -> (String, i32) {
        let servers = self.servers.clone();
        let typed = servers.iter().fold(command.to_owned(), |text, (name, there)| text.replace(name, there));
        let (shown, code) = self.run(&typed);
        (servers.iter().fold(shown, |text, (name, there)| text.replace(there, name)), code)
    }

    /// What the terminal shows for a command, and its exit code.
    fn run(&mut self, command: &str) -> (String, i32) {
        writeln!(self.typed, "{command}\ns=$?; printf '\\n\\001%d\\n' $s; (exit $s)").unwrap();
        let mut shown = String::new();
        loop {
            let mut line = Vec::new();
            assert!(self.shown.read_until(b'\n', &mut line).unwrap() > 0, "the shell ended at\n$ {command}\n{shown}");
            let line = String::from_utf8_lossy(&line);
            if let Some(code) = line.strip_prefix(MARK) {
                return (ended(&shown), code.trim().parse().unwrap());
            }
            shown.push_str(&line);
        }
    }

    /// Writes a file where the shell stands. Beside a `Cargo.toml`, versions are locked as in the repository.
    fn write(&mut self, file: &str, text: &str) {
        let folder = PathBuf::from(self.run("pwd").0.trim());
        fs::write(folder.join(file), format!("{text}\n")).unwrap();
        if file == "Cargo.toml" {
            fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        }
    }

    /// Starts a worker.
    fn go_on(&mut self, command: &str) {
        self.stop_background();
        self.run(&format!("{command} > worker.log 2>&1 & background=$!"));
        self.works_in_background = true;
    }

    /// Waits until producers see the worker, with what is in its folder: who reads and types is slower than that.
    fn let_the_worker_catch_up(&mut self, checkout: &Checkout) {
        let began = Instant::now();
        while self.works_in_background && !checkout.is_announced() {
            assert!(began.elapsed() < Duration::from_secs(60), "no worker: {}", self.run("tail worker.log").0);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ctrl-C in the other terminal.
    fn stop_background(&mut self) {
        if std::mem::take(&mut self.works_in_background) {
            let (shown, code) = self.run("kill -TERM $background; wait $background");
            assert_eq!(code, 0, "the worker's end: {shown}");
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // A failed test leaves no worker behind. `timeout` hands the signal on to its group.
        let _ = Command::new("kill").arg(self.shell.id().to_string()).status();
        let _ = self.shell.wait();
    }
}

/// Without what separates it from the mark, and without spaces at the ends of lines.
fn ended(shown: &str) -> String {
    let shown = shown.strip_suffix('\n').unwrap_or(shown);
    let lines = shown.lines().map(str::trim_end);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Where cargo built the binary under test.
fn target() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tasq-host")).ancestors().nth(2).unwrap().to_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
