//! `tasq-host`: parse, run, and say by the exit code how it went.

mod cli;
mod config;

// Tasks are made on one thread and dropped on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
