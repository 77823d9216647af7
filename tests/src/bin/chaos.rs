//! `make chaos`: kills workers and servers while producers go on, and prints what became of the tasks, a line for each
//! broker. Exits with 1 if anything was lost, or repeated without a reason.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tasq_tests::chaos::stages::{Nats, Redis, Sqlite};
use tasq_tests::chaos::{self, Stage, Storm, Tally};

const USAGE: &str = "usage: chaos [--tasks N] [--chains N] [--groups N] [--kills N] [sqlite|redis|nats]...";

fn main() -> ExitCode {
    let mut storm = Storm {
        tasks: 100_000,
        chains: 10_000,
        groups: 1_000,
        nap: Duration::from_millis(100),
        kills: 50,
        workers: 3,
        producers: 6,
    };
    let mut brokers = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse().ok());
        let known = match argument.as_str() {
            "--tasks" => number().map(|number| storm.tasks = number),
            "--chains" => number().map(|number| storm.chains = number),
            "--groups" => number().map(|number| storm.groups = number),
            "--kills" => number().map(|number| storm.kills = number as u64),
            "sqlite" | "redis" | "nats" => {
                brokers.push(argument);
                Some(())
            }
            _ => None,
        };
        if known.is_none() {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    if brokers.is_empty() {
        brokers = ["sqlite", "redis", "nats"].map(String::from).to_vec();
    }
    println!("{storm}; each killed at random moments\n{}", Tally::HEAD);
    let mut sound = true;
    for broker in brokers {
        let folder = tempfile::tempdir().expect("a folder");
        let tally = chaos::run(&program(), stage(&broker, folder.path()).as_mut(), &storm);
        println!("{tally}");
        sound &= tally.is_sound();
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn stage(broker: &str, folder: &Path) -> Box<dyn Stage> {
    match broker {
        "redis" => Box::new(Redis::start(folder)),
        "nats" => Box::new(Nats::start()),
        _ => Box::new(Sqlite(folder.join("tasq.db"))),
    }
}

/// `tasq-host` of the same build, beside this program.
fn program() -> PathBuf {
    std::env::current_exe().expect("a program").with_file_name("tasq-host")
}
