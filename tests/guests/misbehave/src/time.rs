//! Behaviours that take time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tasq_sdk::context::{self, Stop};
use tasq_sdk::{Failure, log};

use crate::text;

pub(crate) fn spin_for_ever() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

pub(crate) fn call_for_ever() -> ! {
    loop {
        black_box(context::remaining());
        black_box(log::enabled(log::Level::Info));
    }
}

pub(crate) fn spin(time: Duration) -> Result<Vec<u8>, Failure> {
    let start = Instant::now();
    let mut n = 0_u64;
    while start.elapsed() < time {
        // So that computing, and not asking for the time, is most of it.
        for _ in 0..10_000 {
            n = black_box(n.wrapping_add(1));
        }
    }
    text("spun")
}

/// Whether so many `a` match `(a+)+b`, as a matcher finds out that goes back and tries again. They don't: there is no `b`.
pub(crate) fn backtrack(length: usize) -> bool {
    // Each group takes at least one; what is left goes to further groups, or has to be the `b`.
    length > 0 && (1..=length).rev().any(|group| backtrack(black_box(length - group)))
}

pub(crate) fn sleep(time: Duration) -> Result<Vec<u8>, Failure> {
    std::thread::sleep(time);
    text("slept")
}

pub(crate) fn nap(time: Duration) -> Result<Vec<u8>, Failure> {
    tasq_sdk::info!("begun");
    std::thread::sleep(time);
    tasq_sdk::info!("ended");
    text("slept")
}

pub(crate) fn until_stopped(time: Duration) -> Result<Vec<u8>, Failure> {
    let start = Instant::now();
    while start.elapsed() < time {
        match context::stopping() {
            Some(Stop::Cancelled) => return text("cancelled"),
            Some(Stop::ShuttingDown) => return text("shutting-down"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    text("never")
}
