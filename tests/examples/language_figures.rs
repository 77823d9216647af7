//! The figures of `sdk/README.md`: size of each language's `examples/LANGUAGE/add`, time of a run in a fresh sandbox, and
//! memory, as rows of a Markdown table. `make figures`
#![allow(clippy::unwrap_used, reason = "no part of the product")]

use std::time::Instant;

use tasq_host::sandbox::{Call, Options, Sandbox, Stop};
use tasq_host::task::{Headers, Outcome, Priority, Task, TaskId, TaskOptions, Timestamp};
use tasq_tests::guests;
use tasq_tests::projects::project;

const RUNS: u32 = 500;
/// As the table calls it, and where it stands; Rust's is built by plain cargo.
const LANGUAGES: [(&str, Option<&str>); 11] = [
    ("Rust", None),
    ("Python", Some("examples/python/add")),
    ("JavaScript", Some("examples/javascript/add")),
    ("JavaScript on SpiderMonkey", Some("examples/javascript/add-spidermonkey")),
    ("TypeScript", Some("examples/typescript/add")),
    ("TypeScript on SpiderMonkey", Some("examples/typescript/add-spidermonkey")),
    ("Go", Some("examples/go/add")),
    ("C", Some("examples/c/add")),
    ("C++", Some("examples/cpp/add")),
    ("Zig", Some("examples/zig/add")),
    ("AssemblyScript", Some("examples/assemblyscript/add")),
];

#[tokio::main]
async fn main() {
    let sandbox = Sandbox::new(Options { slots: 2, pagemap_scan: true, cache: None, memory_budget: None }).unwrap();
    println!("| language | KB | loading without a cache, ms | fresh run (median), ms | memory of a run, KB |");
    println!("|---|--:|--:|--:|--:|");
    for (language, folder) in LANGUAGES {
        let file = folder.map_or_else(|| guests::example("add"), |folder| project(folder, "add", ""));
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
