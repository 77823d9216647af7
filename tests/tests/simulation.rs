//! Workers in stormy weather, on simulated time: the same seeds each time. `make simulate SEEDS=100000` tries others, and
//! `TASQ_SEED` tells the story of one.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use tasq_tests::simulation::{self, Catalogue, Seen, Telling};

/// So many are tried unless somebody says otherwise.
const SHORT: u64 = 2_000;

/// What is rare, but has to be seen in so many stories.
const RARE: [&str; 24] = [
    "calls beside one that has lost its lease",
    "clock jumps",
    "deliveries of letters",
    "ends that come too late",
    "faults",
    "losses",
    "retries",
    "runs given back",
    "runs that are told to stop",
    "snoozes",
    "tasks buried",
    "tasks cancelled by their worker",
    "tasks cancelled while they run",
    "tasks cancelled while they wait",
    "tasks dead",
    "tasks done",
    "tasks expired",
    "tasks held by another's unique key",
    "tasks poisoned",
    "tasks that follow from ends",
    "ticks",
    "ticks that are skipped",
    "workers that die",
    "workers that stop",
];

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: expected a number")))
}

#[test]
fn everything_has_its_one_end_whatever_fails() {
    if let Some(seed) = number("TASQ_SEED") {
        simulation::hold(&Arc::new(Catalogue::new()), seed, Telling::Lines);
        return;
    }
    let (first, count) = match number("TASQ_SEEDS") {
        None => (0, SHORT),
        Some(count) => (UNIX_EPOCH.elapsed().unwrap().as_secs() << 20, count),
    };
    let began = Instant::now();
    let seen = simulation::try_all(first, count);
    println!("{count} seeds from {first} in {:?}", began.elapsed());
    seen.all().for_each(|(what, count)| println!("{count:>9} {what}"));
    saw_enough(&seen, count);
}

/// A storm that does nothing finds nothing.
fn saw_enough(seen: &Seen, count: u64) {
    if count >= SHORT {
        let missing: Vec<_> = RARE.iter().filter(|what| seen.count(what) == 0).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
    }
}

#[test]
fn a_seed_tells_the_same_story_each_time() {
    let catalogue = Arc::new(Catalogue::new());
    for seed in 0..40 {
        let [one, other] = [(); 2].map(|()| simulation::play(&catalogue, seed, Telling::Lines));
        let first = one.lines.iter().zip(&other.lines).find(|(one, other)| one != other);
        assert_eq!(first, None, "seed {seed}");
        assert_eq!(one, other, "seed {seed}");
    }
}
