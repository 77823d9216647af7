//! `tasq-host`: parse, run, and say by the exit code how it went.

mod cli;
mod config;

// Tasks are made on one thread and dropped on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // The allocator asks for pages of 2 MiB, one for whatever little a thread begins with: half of what an idle worker took,
    // and it is no faster with them. A kernel that has none has nothing to refuse.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    cli::main()
}
