//! `add` for the harness of other queues (`tests/peers/`): it adds, says how long ago its task was made, and may sleep,
//! with a word before and after.
//!
//! A component only: a native build of this crate is empty.
#![cfg(target_family = "wasm")]

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tasq_sdk::{Failure, Json, config};

#[derive(Deserialize)]
struct Job {
    arg1: i64,
    arg2: i64,
    id: u64,
    /// When the producer made it, in µs since 1970.
    t: u64,
}

#[derive(Serialize)]
struct Sum {
    result: i64,
    /// From then until this handler began.
    waited_us: u64,
}

tasq_sdk::handler!(add);

fn add(Json(job): Json<Job>) -> Result<Json<Sum>, Failure> {
    let began = now();
    if let Some(ms) = config::get("sleep_ms") {
        tasq_sdk::info!("S {} {began}", job.id);
        std::thread::sleep(Duration::from_millis(ms.parse()?));
        tasq_sdk::info!("D {} {}", job.id, now());
    }
    Ok(Json(Sum { result: job.arg1 + job.arg2, waited_us: began.saturating_sub(job.t) }))
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as u64)
}
