//! Behaviours about memory and the stack.

use core::arch::wasm32::{memory_grow, memory_size};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tasq_sdk::Failure;

use crate::text;

const PAGE: usize = 64 * 1024;
const PAGES_PER_MIB: usize = 16;
/// How many times in a row the pattern has to stand to be one: more than a stack or a register spill would hold.
const RUN: usize = 8;

static COUNT: AtomicU64 = AtomicU64::new(0);

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Then {
    #[default]
    Return,
    Touch,
    Abort,
}

pub(crate) fn count() -> u64 {
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

/// Without a frame in memory, so that the engine's own stack is what ends.
#[inline(never)]
pub(crate) fn recurse(depth: u64) -> u64 {
    // Never so, but the compiler can't know and drop the recursion; and what follows the call keeps it from being a loop.
    if COUNT.load(Ordering::Relaxed) == u64::MAX {
        return depth;
    }
    recurse(depth + 1).rotate_left(3) ^ depth
}

/// With a large frame in memory, so that the stack that the compiler keeps there ends first.
#[inline(never)]
pub(crate) fn recurse_wide(depth: u64) -> u64 {
    let frame = black_box([depth; 512]);
    if COUNT.load(Ordering::Relaxed) == u64::MAX {
        return frame[0];
    }
    recurse_wide(depth + 1).rotate_left(3) ^ black_box(frame)[511]
}

pub(crate) fn grow(then: Then) -> Result<Vec<u8>, Failure> {
    while memory_grow::<0>(PAGES_PER_MIB) != usize::MAX {
        let end = memory_size::<0>() * PAGE;
        // SAFETY: the page was just added, and nothing else knows of it.
        unsafe { std::ptr::write_volatile((end - 1) as *mut u8, 1) };
    }
    match then {
        Then::Return => text(memory_size::<0>() / PAGES_PER_MIB),
        Then::Touch => text(out_of_bounds()),
        Then::Abort => std::process::abort(),
    }
}

pub(crate) fn out_of_bounds() -> u8 {
    let end = memory_size::<0>() * PAGE;
    // SAFETY: none, on purpose: this is the trap that the sandbox has to survive.
    unsafe { std::ptr::read_volatile(end as *const u8) }
}

pub(crate) fn allocate(mib: Option<usize>, hold: Duration) -> Result<Vec<u8>, Failure> {
    let mut kept = Vec::new();
    while mib.is_none_or(|mib| kept.len() < mib) {
        kept.push(black_box(vec![0xA5_u8; 1024 * 1024]));
    }
    std::thread::sleep(hold);
    black_box(&kept);
    text("allocated")
}

/// In pieces, so that the heap of the beginning is filled before it grows.
pub(crate) fn fill(seed: u64, mib: usize) {
    for _ in 0..mib * (1024 * 1024 / PAGE) {
        std::mem::forget(black_box(vec![pattern(seed); PAGE / 8]));
    }
}

/// Counts the runs of the pattern in all of this instance's memory, and in what comes to it now.
pub(crate) fn look(seed: u64, mib: usize) -> usize {
    memory_grow::<0>(mib * PAGES_PER_MIB);
    let wanted = pattern(seed);
    let (mut found, mut run) = (0, 0);
    for address in (8..memory_size::<0>() * PAGE).step_by(8) {
        // SAFETY: inside this instance's memory; volatile, as other values live there.
        let word = unsafe { std::ptr::read_volatile(address as *const u64) };
        run = if word == wanted { run + 1 } else { 0 };
        if run == RUN {
            found += 1;
            run = 0;
        }
    }
    found
}

/// Mixed, so that no seed gives a word that memory holds anyway, such as 0.
fn pattern(seed: u64) -> u64 {
    (seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1
}
