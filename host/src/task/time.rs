//! Moments and spans.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Unix time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Later than any other: for a task that waits for something else than a time. Backends keep it exactly, those with
    /// floating point numbers, too.
    pub const NEVER: Timestamp = Timestamp(9_000_000_000_000_000);

    /// This moment and `span` more; the latest moment there is rather than an overflow.
    pub fn plus(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(span)))
    }

    /// How long before this moment `earlier` was; zero when it was not before.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339, UTC, milliseconds: `2026-11-24T06:44:20.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0).ok().and_then(chrono::DateTime::from_timestamp_millis);
        match time {
            Some(time) => f.write_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// A span in whole milliseconds, capped at what 63 bits hold (SQLite's and Redis's integers are signed).
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_in_utc_with_milliseconds() {
        assert_eq!(Timestamp(1_700_000_000_042).to_string(), "2023-11-14T22:13:20.042Z");
        assert_eq!(Timestamp(u64::MAX).plus(Duration::MAX).to_string(), format!("{} ms", u64::MAX));
    }
}
