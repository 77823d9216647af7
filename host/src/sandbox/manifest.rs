//! `NAME.toml` beside `NAME.wasm`: a handler's limits, wishes and grants. Strict: an unknown key is an error that names
//! the nearest known one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::task::{Backoff, Name};

/// What a handler's author says about it; everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Where tasks for it go unless the producer says otherwise.
    pub queue: Option<Name>,
    /// At most this many runs at once in one process; at least 1.
    pub concurrency: Option<usize>,
    /// Runs allowed after the first failed one.
    pub max_retries: Option<u32>,
    /// Delays between attempts.
    #[serde(default, deserialize_with = "backoff")]
    pub backoff: Option<Backoff>,
    /// Wall time of one run.
    #[serde(default, with = "humantime_serde::option")]
    pub timeout: Option<Duration>,
    /// CPU time of one run.
    #[serde(default, with = "humantime_serde::option")]
    pub cpu: Option<Duration>,
    /// All memories and tables of one run together.
    pub memory: Option<ByteSize>,
    /// What a trap does to the task.
    #[serde(default)]
    pub on_trap: OnTrap,
    /// Refuse any other file.
    pub digest: Option<String>,
    /// What it may reach.
    #[serde(default)]
    pub grants: Grants,
}

/// What a trap does to the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTrap {
    /// A failed attempt like another.
    #[default]
    Retry,
    /// Never again.
    Discard,
}

/// What a handler may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// Settings that `config.get` answers.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

fn backoff<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Backoff>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}
