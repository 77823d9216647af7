//! Does whatever its payload says: `{"do":"sleep","ms":50}`. Absent fields have the defaults below.
//!
//! | `do` | fields | what happens |
//! |---|---|---|
//! | `loop` | | spins for ever, calling nothing |
//! | `loop-calls` | | spins for ever in small calls into the host |
//! | `spin` | `ms` | computes for that long by its own clock, returns `spun` |
//! | `recurse` | | recurses until the engine's stack ends: a stack overflow |
//! | `recurse-wide` | | the same with large frames, until Rust's own stack in memory ends: an access out of bounds |
//! | `sleep` | `ms` (an hour) | sleeps, returns `slept` |
//! | `nap` | `ms`, `again_ms` (as `ms`) | logs `begun`, sleeps for `ms` in its first run and `again_ms` in the others, logs `ended`, returns `slept` |
//! | `until-stopped` | `ms` (an hour) | waits until the host asks it to stop, returns `cancelled` or `shutting-down`; `never` after `ms` |
//! | `grow` | `then` (`return`) | grows its memory by 1 MiB until refused; then `return`: the size in MiB, `touch`: writes behind the end, `abort`: aborts |
//! | `allocate` | `mib` (until refused), `hold_ms` (0) | fills a growing heap as a leak would; where refused, Rust's allocation error aborts; else sleeps with it for that long and returns `allocated` |
//! | `backtrack` | `length` (64) | matches that many `a` against `(a+)+b` by trying everything, which takes twice as long for each |
//! | `fill` | `seed`, `mib` (1), `look` (false) | leaves that much of a pattern made from the seed in its memory, what it began with and what it grew by; returns `filled`, or looks for it itself |
//! | `look` | `seed`, `mib` (1) | searches what it began with, and that much that it grows by, for that pattern; returns how often it was there |
//! | `count` | | adds 1 to a static, returns it: 1 in every fresh sandbox |
//! | `panic` | `message` | panics |
//! | `unreachable` | | executes an unreachable instruction |
//! | `out-of-bounds` | | reads behind the end of its memory |
//! | `exit` | `code` (0) | exits inside the call |
//! | `say` | `stdout`, `stderr` | prints both, returns `said` |
//! | `flood` | `stdout_mib` (0), `stderr_mib` (0) | prints that much in lines of 1 KiB (each with its number), returns `flooded` |
//! | `result` | `bytes` | returns that many `x` |
//! | `echo` | `text` | returns the text |
//! | `fail` | `kind` (`retry`), `message`, `code`, `after_ms` | returns that failure |
//! | `fail-long` | `bytes` | fails to retry with a message of that many `m` |
//! | `flaky` | `failures` | fails to retry while the attempt is at most that, then returns the attempt |
//! | `fail-once` | | fails for good in its first run, then returns the run's number |
//! | `facts` | | returns the task, `remaining_ms` and `stopping` as JSON |
//! | `config` | `name` | returns the setting as a JSON string, or null |
//! | `log` | `lines` (1), `bytes` (0), `level` (`info`) | logs lines `line N`, padded to that many bytes, with a field `n`; returns `logged` |
//! | `progress` | `times` (1) | reports progress from 1 on, returns `reported` |
//! | `random` | `bytes` (16) | returns random bytes in hex |
//! | `reach` | | tries environment, arguments, stdin, files, sockets and names; returns what each gave as JSON |
//! | `enqueue` | `handler`, `times` (1), `unique`, `bytes` (0), `delay_ms` (0), `then` | asks for follow-up tasks, each with its number as payload, padded to that many bytes; returns the last answer as JSON, or with `then` fails with that message |
//! | `breed` | `times` (1) | asks for that many tasks like itself, returns the last answer as JSON |
//! | `store` | `key` | tries each verb of the store; returns the answers as JSON |
//! | `tally` | `key` | adds 1 to what its store holds; returns the answer as JSON |
//! | `put` | `key_bytes` (1), `value_bytes` (0), `times` (1) | puts a value of that size under a key of that size, which begins with the call's number; returns the last answer as JSON |
//!
//! A component only: a native build of this crate is empty.
#![cfg(target_family = "wasm")]

use std::time::Duration;

use serde::Deserialize;
use tasq_sdk::producer::NewTask;
use tasq_sdk::{Failure, Json, Task};

mod asks;
mod memory;
mod output;
mod reach;
mod time;

/// The table above, as a type.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Behaviour {
    Loop,
    LoopCalls,
    Spin {
        ms: u64,
    },
    Backtrack {
        #[serde(default = "sixty_four")]
        length: usize,
    },
    Recurse,
    RecurseWide,
    Sleep {
        #[serde(default = "an_hour")]
        ms: u64,
    },
    Nap {
        ms: u64,
        again_ms: Option<u64>,
    },
    UntilStopped {
        #[serde(default = "an_hour")]
        ms: u64,
    },
    Grow {
        #[serde(default)]
        then: memory::Then,
    },
    Allocate {
        mib: Option<usize>,
        #[serde(default)]
        hold_ms: u64,
    },
    Fill {
        seed: u64,
        #[serde(default = "one")]
        mib: usize,
        #[serde(default)]
        look: bool,
    },
    Look {
        seed: u64,
        #[serde(default = "one")]
        mib: usize,
    },
    Count,
    Panic {
        message: String,
    },
    Unreachable,
    OutOfBounds,
    Exit {
        #[serde(default)]
        code: i32,
    },
    Say {
        #[serde(default)]
        stdout: String,
        #[serde(default)]
        stderr: String,
    },
    Flood {
        #[serde(default)]
        stdout_mib: usize,
        #[serde(default)]
        stderr_mib: usize,
    },
    Result {
        bytes: usize,
    },
    Echo {
        text: String,
    },
    Fail(output::Fail),
    FailLong {
        bytes: usize,
    },
    Flaky {
        failures: u32,
    },
    FailOnce,
    Facts,
    Config {
        name: String,
    },
    Log(output::Lines),
    Progress {
        #[serde(default = "one")]
        times: usize,
    },
    Random {
        #[serde(default = "sixteen")]
        bytes: usize,
    },
    Reach,
    Enqueue {
        handler: String,
        #[serde(default = "one")]
        times: usize,
        #[serde(default)]
        unique: String,
        #[serde(default)]
        bytes: usize,
        #[serde(default)]
        delay_ms: u64,
        then: Option<String>,
    },
    Breed {
        #[serde(default = "one")]
        times: usize,
    },
    Store {
        key: String,
    },
    Tally {
        key: String,
    },
    Put {
        #[serde(default = "one")]
        key_bytes: usize,
        #[serde(default)]
        value_bytes: usize,
        #[serde(default = "one")]
        times: usize,
    },
}

tasq_sdk::handler!(misbehave);

fn misbehave(Json(behaviour): Json<Behaviour>, task: &Task) -> Result<Vec<u8>, Failure> {
    match behaviour {
        Behaviour::Loop => time::spin_for_ever(),
        Behaviour::LoopCalls => time::call_for_ever(),
        Behaviour::Spin { ms } => time::spin(Duration::from_millis(ms)),
        Behaviour::Backtrack { length } => text(time::backtrack(length)),
        Behaviour::Recurse => text(memory::recurse(0)),
        Behaviour::RecurseWide => text(memory::recurse_wide(0)),
        Behaviour::Sleep { ms } => time::sleep(Duration::from_millis(ms)),
        Behaviour::Nap { again_ms: Some(ms), .. } if task.run > 1 => time::nap(Duration::from_millis(ms)),
        Behaviour::Nap { ms, .. } => time::nap(Duration::from_millis(ms)),
        Behaviour::UntilStopped { ms } => time::until_stopped(Duration::from_millis(ms)),
        Behaviour::Grow { then } => memory::grow(then),
        Behaviour::Allocate { mib, hold_ms } => memory::allocate(mib, Duration::from_millis(hold_ms)),
        Behaviour::Fill { seed, mib, look } => {
            memory::fill(seed, mib);
            if look { text(memory::look(seed, 0)) } else { text("filled") }
        }
        Behaviour::Look { seed, mib } => text(memory::look(seed, mib)),
        Behaviour::Count => text(memory::count()),
        Behaviour::Panic { message } => panic!("{message}"),
        Behaviour::Unreachable => core::arch::wasm32::unreachable(),
        Behaviour::OutOfBounds => text(memory::out_of_bounds()),
        Behaviour::Exit { code } => std::process::exit(code),
        Behaviour::Say { stdout, stderr } => output::say(&stdout, &stderr),
        Behaviour::Flood { stdout_mib, stderr_mib } => output::flood(stdout_mib, stderr_mib),
        Behaviour::Result { bytes } => Ok(vec![b'x'; bytes]),
        Behaviour::Echo { text: said } => text(said),
        Behaviour::Fail(fail) => Err(fail.into()),
        Behaviour::FailLong { bytes } => Err(Failure::retry("m".repeat(bytes))),
        Behaviour::Flaky { failures } if task.attempt <= failures => Err(Failure::retry("not yet").with_code("flaky")),
        Behaviour::Flaky { .. } => text(task.attempt),
        Behaviour::FailOnce if task.run == 1 => Err(Failure::discard("once")),
        Behaviour::FailOnce => text(task.run),
        Behaviour::Facts => asks::facts(task),
        Behaviour::Config { name } => json(&tasq_sdk::config::get(&name)),
        Behaviour::Log(lines) => output::log(&lines),
        Behaviour::Progress { times } => asks::progress(times),
        Behaviour::Random { bytes } => asks::random(bytes),
        Behaviour::Reach => json(&reach::everything()),
        Behaviour::Enqueue { handler, times, unique, bytes, delay_ms, then } => {
            let answer = asks::enqueue(times, |n| NewTask {
                unique_key: unique.clone(),
                delay_ms,
                ..NewTask::new(handler.as_str()).bytes(asks::padded(n, bytes))
            });
            then.map_or_else(|| json(&answer), |message| Err(Failure::discard(message)))
        }
        Behaviour::Breed { times } => {
            let order = format!(r#"{{"do":"breed","times":{times}}}"#);
            json(&asks::enqueue(times, |_| NewTask::new(task.handler.as_str()).bytes(order.as_str())))
        }
        Behaviour::Store { key } => json(&asks::store(&key)),
        Behaviour::Tally { key } => json(&asks::tally(&key)),
        Behaviour::Put { key_bytes, value_bytes, times } => json(&asks::put(key_bytes, value_bytes, times)),
    }
}

fn text(value: impl ToString) -> Result<Vec<u8>, Failure> {
    Ok(value.to_string().into_bytes())
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    Ok(serde_json::to_vec(value)?)
}

fn an_hour() -> u64 {
    3_600_000
}

fn one() -> usize {
    1
}

fn sixteen() -> usize {
    16
}

fn sixty_four() -> usize {
    64
}
