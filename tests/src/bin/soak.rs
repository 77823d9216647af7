//! `make soak`: many tasks through one worker, one in ten hostile, and what came of it as a table. Exits with 1 if anything
//! was lost or leaked.

use std::process::ExitCode;

use tasq_tests::{heap, soak};

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let asked = match arguments[..] {
        ["--tasks", tasks, "--broker", broker] => tasks.parse().ok().map(|tasks| (tasks, broker)),
        _ => None,
    };
    let Some((tasks, broker)) = asked else {
        eprintln!("usage: soak --tasks N --broker URL");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let tally = runtime.block_on(soak::run(broker, tasks));
    println!("{tally}");
    if tally.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
