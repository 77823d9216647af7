//! The seam behind which handlers keep what is to outlive a run.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::task::Name;

/// Small values by owner and key. Each call is atomic and durable.
#[async_trait]
pub trait Store: Send + Sync {
    /// Does `op` to a key (1 to 256 bytes, without NUL) of `owner`. What has expired counts as absent. Dropping the future
    /// leaves open whether it was done.
    async fn apply(&self, owner: &Name, key: &str, op: Op) -> Result<Stored>;
}

/// At most so many keys an owner; those that have expired may count until room is needed.
pub const KEYS: usize = 10_000;
/// At most so many bytes an owner, keys and values together, counted as [`KEYS`].
pub const BYTES: usize = 64 << 20;
/// At most so many bytes a value: what fits into one message of every server.
pub const VALUE: usize = 512 << 10;
/// At most so many bytes a key.
pub const KEY: usize = 256;

/// What to do to a key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Op {
    /// Look.
    Get,
    /// Write; kept for `ttl`, none for until it is removed.
    Put {
        /// At most [`VALUE`] bytes: the caller's to check.
        value: Bytes,
        /// From now.
        ttl: Option<Duration>,
    },
    /// Write where the key holds `expected` (none: where it is absent); no `ttl` keeps the present expiry.
    Replace {
        /// What it must hold.
        expected: Option<Bytes>,
        /// As in [`Op::Put`].
        value: Bytes,
        /// From now.
        ttl: Option<Duration>,
    },
    /// Add to a decimal number in ASCII, 0 where it is absent; no `ttl` keeps the present expiry.
    Increment {
        /// What to add.
        by: i32,
        /// From now.
        ttl: Option<Duration>,
    },
    /// Forget.
    Remove,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Of [`Op::Get`]; none where it is absent.
    Value(Option<Bytes>),
    /// Of [`Op::Put`] and [`Op::Remove`].
    Done,
    /// Of [`Op::Replace`]: whether it held what was expected.
    Replaced(bool),
    /// Of [`Op::Increment`].
    Number(i64),
    /// The key holds no number, or the sum fits into no 64 bits: nothing was changed.
    NotANumber,
    /// [`KEYS`] or [`BYTES`] would be exceeded: nothing was changed.
    Full,
}

/// What an [`Op::Increment`] makes of a value, absent counting as 0; none for [`Stored::NotANumber`].
pub fn added(value: Option<&[u8]>, by: i32) -> Option<i64> {
    let before = match value {
        Some(value) => std::str::from_utf8(value).ok()?.parse::<i64>().ok()?,
        None => 0,
    };
    before.checked_add(by.into())
}
