//! Nothing of a task reaches the next one that gets its place: a pattern left in memory isn't found, and what a program
//! begins with is as its author wrote it. With each way in which the host may set up its pool.
//!
//! `TASQ_PROBES` says how often, 2,000 times by default; `make leaks` 100,000 times.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tasq_host::sandbox::{Handler, Options, Sandbox};
use tasq_host::task::Outcome;
use tasq_tests::guests::guest;
use tasq_tests::runs::run;

/// As few places as there are runs at once, so that each probe gets one that was just filled.
const SLOTS: usize = 2;

fn probes() -> usize {
    std::env::var("TASQ_PROBES").map_or(2_000, |number| number.parse().expect("TASQ_PROBES is a number"))
}

fn sandbox(pagemap_scan: bool) -> Sandbox {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    Sandbox::new(Options { slots: SLOTS, pagemap_scan, cache: Some(cache), memory_budget: None }).unwrap()
}

#[test]
fn nothing_is_found_with_pagemap_scan() {
    nothing_is_found(sandbox(true));
}

#[test]
fn nothing_is_found_without_pagemap_scan() {
    nothing_is_found(sandbox(false));
}

#[test]
fn nothing_is_found_where_address_space_is_short() {
    for pagemap_scan in [true, false] {
        let sandbox = in_little_address_space(|| sandbox(pagemap_scan));
        let notes = sandbox.notes().join("\n");
        assert!(notes.contains("reserved 256 MiB each"), "{notes}");
        nothing_is_found(sandbox);
    }
}

/// Makes something while this process may have a few GiB of addresses more than it has.
fn in_little_address_space<T>(make: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::As);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    setrlimit(Resource::As, Rlimit { current: Some((kib << 10) + (8 << 30)), maximum: before.maximum }).unwrap();
    let made = make();
    setrlimit(Resource::As, before).unwrap();
    made
}

/// Fills 2 MiB, in the memory that the program began with and in what it grew by, then looks for that in both.
fn nothing_is_found(sandbox: Sandbox) {
    // One test at a time: the limit on addresses is the process's, and so are the cores.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let sandbox = Arc::new(sandbox);
    let handler = sandbox.load_file(&guest("misbehave")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let left = Arc::new(AtomicUsize::new(probes()));
    runtime.block_on(async {
        let probing: Vec<_> =
            (0..SLOTS).map(|_| tokio::spawn(probe(sandbox.clone(), handler.clone(), left.clone()))).collect();
        for probing in probing {
            probing.await.unwrap();
        }
    });
}

async fn probe(sandbox: Arc<Sandbox>, handler: Arc<Handler>, left: Arc<AtomicUsize>) {
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        for (payload, expected) in [
            (r#"{"do":"fill","seed":7,"mib":2}"#, "filled"),
            (r#"{"do":"look","seed":7,"mib":2}"#, "0"),
            (r#"{"do":"count"}"#, "1"),
        ] {
            assert_eq!(run(&sandbox, &handler, payload).await.0, Outcome::Done(expected.into()), "{payload}");
        }
    }
}

/// The probe itself finds what there is.
#[test]
fn a_pattern_that_is_there_is_found() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sandbox = Arc::new(sandbox(true));
        let handler = sandbox.load_file(&guest("misbehave")).unwrap();
        let (outcome, _) = run(&sandbox, &handler, r#"{"do":"fill","seed":7,"mib":2,"look":true}"#).await;
        let Outcome::Done(found) = outcome else { panic!("{outcome:?}") };
        let found: usize = std::str::from_utf8(&found).unwrap().parse().unwrap();
        // 64 bytes each: all but what the allocator's own words interrupt.
        assert!((32_000..=32_768 + 64).contains(&found), "{found}");
    });
}
