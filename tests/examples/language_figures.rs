//! The figures of `sdk/README.md`: size of each language's `examples/LANGUAGE/add`, time of a run in a fresh sandbox, and
//! memory, as rows of a Markdown table. `cargo run -p tasq-tests --example language_figures`
#![allow(clippy::unwrap_used, reason = "no part of the product")]

use std::time::Instant;

use tasq_host::sandbox::{Call, Options, Sandbox, Stop};
use tasq_host::task::{Headers, Outcome, Priority, Task, TaskId, TaskOptions, Timestamp};
use tasq_tests::projects::project;

const RUNS: u32 = 500;
const LANGUAGES: [&str; 10] = [
    "python",
    "javascript",
    "javascript-spidermonkey",
    "typescript",
    "typescript-spidermonkey",
    "go",
    "c",
    "cpp",
    "zig",
    "assemblyscript",
];

#[tokio::main]
async fn main() {
    let sandbox = Sandbox::new(Options { slots: 2, pagemap_scan: true, cache: None, memory_budget: None }).unwrap();
    println!(
        "| language | KB | loading without a cache, ms | fresh run, ms | memory of a run, KB |\n|---|--:|--:|--:|--:|"
    );
    for language in LANGUAGES {
        let folder = match language.strip_suffix("-spidermonkey") {
            Some(language) => format!("examples/{language}/add-spidermonkey"),
            None => format!("examples/{language}/add"),
        };
        let file = project(&folder, "add", "");
        let began = Instant::now();
        let handler = sandbox.load_file(&file).unwrap();
        let load = began.elapsed().as_millis();
        let mut memory = 0;
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let began = Instant::now();
            let (outcome, receipt) = sandbox.run(&handler, call(), Stop::new()).await;
            times.push(began.elapsed());
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
            memory = receipt.peak_memory_bytes;
        }
        times.sort();
        let median = times[times.len() / 2].as_secs_f64() * 1e3;
        let size = std::fs::metadata(&file).unwrap().len();
        println!("| {language} | {} | {load} | {median:.2} | {} |", size / 1000, memory / 1000);
    }
}

fn call() -> Call {
    let task = Task {
        id: TaskId::generate(),
        handler: "add".parse().unwrap(),
        queue: "default".parse().unwrap(),
        priority: Priority::Normal,
        payload: r#"{"arg1":5,"arg2":4}"#.into(),
        content_type: String::new(),
        headers: Headers::new(),
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    };
    let now = Timestamp(0);
    Call { task, run: 1, attempt: 1, max_retries: 0, enqueued_at: now, due_at: now, started_at: now }
}
