//! What a producer may ask for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Within a queue, tasks of these priorities are taken in the ratio 6 : 3 : 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Six of ten.
    High = 0,
    /// Three of ten; the default.
    #[default]
    Normal = 1,
    /// One of ten.
    Low = 2,
}

impl Priority {
    /// All, the most urgent first: the index is the number that backends store.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
}

/// So many in a time: `100/s`, `30/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many, at least 1.
    pub tasks: u32,
    /// In this time.
    pub per: Duration,
}

impl Rate {
    /// The time between two, in microseconds; at least one.
    pub fn interval_us(self) -> u64 {
        (u64::try_from(self.per.as_micros()).unwrap_or(u64::MAX) / u64::from(self.tasks.max(1))).max(1)
    }

    /// How many may come at once after a pause: what comes in a tenth of a second, at least one.
    pub fn burst(self) -> u64 {
        (100_000 / self.interval_us()).max(1)
    }
}

/// The text is none of `100/s`, `30/m`, `1000/h`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rate \"{0}\": expected a number from 1 to 1000000 and a time, such as 100/s, 30/m or 1000/h")]
pub struct InvalidRate(String);

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let parsed = text.split_once('/').and_then(|(tasks, unit)| {
            let tasks = tasks.parse().ok().filter(|tasks| (1..=1_000_000).contains(tasks))?;
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            Some(Rate { tasks, per: Duration::from_secs(seconds) })
        });
        parsed.ok_or_else(|| InvalidRate(text.chars().take(80).flat_map(char::escape_debug).collect()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.tasks),
            60 => write!(f, "{}/m", self.tasks),
            3600 => write!(f, "{}/h", self.tasks),
            _ => write!(f, "{}/{}", self.tasks, humantime::format_duration(self.per)),
        }
    }
}

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// Doubles from `first` up to `most`, less up to a quarter at random so that failures spread.
    Exponential {
        /// After the first failure.
        first: Duration,
        /// Never longer than this.
        most: Duration,
    },
    /// `step` after the first failure, twice that after the second, …
    Linear {
        /// The growth per failure.
        step: Duration,
    },
    /// Always the same.
    Fixed {
        /// The delay.
        delay: Duration,
    },
}

impl Backoff {
    /// From a second to an hour, doubling.
    pub const DEFAULT: Backoff =
        Backoff::Exponential { first: Duration::from_secs(1), most: Duration::from_secs(3600) };
}

/// The text is none of `exponential:1s..1h`, `linear:10s`, `fixed:5s`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("backoff \"{0}\": expected exponential:1s..1h, linear:10s or fixed:5s")]
pub struct InvalidBackoff(String);

impl FromStr for Backoff {
    type Err = InvalidBackoff;

    fn from_str(text: &str) -> Result<Self, InvalidBackoff> {
        let span = |text: &str| humantime::parse_duration(text).ok();
        let parsed = text.split_once(':').and_then(|(kind, rest)| match kind {
            "exponential" => {
                let (first, most) = rest.split_once("..")?;
                let (first, most) = (span(first)?, span(most)?);
                (!first.is_zero() && first <= most).then_some(Backoff::Exponential { first, most })
            }
            "linear" => span(rest).map(|step| Backoff::Linear { step }),
            "fixed" => span(rest).map(|delay| Backoff::Fixed { delay }),
            _ => None,
        });
        parsed.ok_or_else(|| InvalidBackoff(text.chars().take(80).flat_map(char::escape_debug).collect()))
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = humantime::format_duration;
        match *self {
            Backoff::Exponential { first, most } => write!(f, "exponential:{}..{}", span(first), span(most)),
            Backoff::Linear { step } => write!(f, "linear:{}", span(step)),
            Backoff::Fixed { delay } => write!(f, "fixed:{}", span(delay)),
        }
    }
}

/// What a producer may ask for; absent things are decided by the handler's manifest, then by the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// Runs allowed after the first failed one.
    pub max_retries: Option<u32>,
    /// Delays between attempts.
    pub backoff: Option<Backoff>,
    /// Wall time of one run.
    pub timeout: Option<Duration>,
    /// CPU time of one run.
    pub cpu: Option<Duration>,
    /// A task that nobody started this long after it was due is dead.
    pub expires: Option<Duration>,
    /// How long the result is kept; zero for not at all.
    pub retention: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_reads_back_what_it_writes() {
        for text in ["exponential:1s..1h", "linear:10s", "fixed:5s", "fixed:0s"] {
            let backoff: Backoff = text.parse().unwrap();
            assert_eq!(backoff.to_string(), text);
        }
        for bad in [
            "",
            "fixed",
            "fixed:",
            "fixed:x",
            "exponential:1s",
            "exponential:2s..1s",
            "exponential:0s..1s",
            "sometimes:1s",
        ] {
            assert!(bad.parse::<Backoff>().is_err(), "{bad}");
        }
    }
}
