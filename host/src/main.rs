//! `tasq-host`: parse, run, and say by the exit code how it went.

mod cli;
mod config;

fn main() -> std::process::ExitCode {
    cli::main()
}
