//! `make chaos`: kills workers (and servers) for a while and prints what became of the tasks. Exits with 1 if anything
//! was lost, or repeated without a reason.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tasq_tests::chaos::{self, Sqlite, Storm, Tally};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds = match &arguments[..] {
        [] => Some(60),
        [flag, seconds] if flag == "--seconds" => seconds.parse().ok(),
        _ => None,
    };
    let Some(seconds) = seconds else {
        eprintln!("usage: chaos [--seconds N]");
        return ExitCode::from(2);
    };
    let storm = Storm { time: Duration::from_secs(seconds), workers: 3, producers: 3 };
    let folder = tempfile::tempdir().expect("a folder");
    let tally = chaos::run(&program(), &mut Sqlite(folder.path().join("tasq.db")), &storm);
    println!("{}\n{tally}", Tally::HEAD);
    if tally.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `tasq-host` of the same build, beside this program.
fn program() -> PathBuf {
    std::env::current_exe().expect("a program").with_file_name("tasq-host")
}
