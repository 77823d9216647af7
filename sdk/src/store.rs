//! A small store that outlives the run, for checkpoints, cursors and counters. Each handler sees only its own keys: 1 to
//! 256 bytes, without NUL. Writes are immediate: a run that fails later doesn't undo them. One run makes at most 1,000 calls
//! and writes 8 MiB of values. Answers `denied` unless the handler's manifest grants it.

use std::time::Duration;

use crate::failure::millis;
use crate::{HostError, host};

/// The key's value, none where it is absent.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, HostError> {
    host::store_get(key)
}

/// Writes a value and keeps it until it is removed.
pub fn put(key: &str, value: &[u8]) -> Result<(), HostError> {
    host::store_put(key, value, 0)
}

/// Writes a value and keeps it for `ttl` (a millisecond at least).
pub fn put_for(key: &str, value: &[u8], ttl: Duration) -> Result<(), HostError> {
    // 0 would keep it for ever.
    host::store_put(key, value, millis(ttl).max(1))
}

/// Writes only where the key holds `expected` (none: where it is absent); false where it doesn't.
pub fn replace(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool, HostError> {
    host::store_replace(key, expected, value)
}

/// Adds to a decimal number, 0 where the key is absent, and returns the sum.
pub fn increment(key: &str, by: i32) -> Result<i64, HostError> {
    host::store_increment(key, by)
}

/// Removes a key; fine where it is absent.
pub fn remove(key: &str) -> Result<(), HostError> {
    host::store_remove(key)
}
