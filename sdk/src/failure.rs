//! How a run fails.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use crate::FailureKind;
use crate::export::WireFailure;

/// Why a run failed, and what should become of the task.
///
/// Any error turns into one by `?`: the task is tried again after its own backoff, while it has retries left. So only
/// what should end otherwise needs a word:
///
/// ```
/// # use std::time::Duration;
/// # use tasq_sdk::{Failure, OrFail};
/// fn send(address: &str) -> Result<(), Failure> {
///     if !address.contains('@') {
///         return Err(Failure::discard(format!("{address:?} is no address")).with_code("bad-address"));
///     }
///     let port: u16 = "25".parse()?;                               // an error here is tried again
///     let limit: u32 = "10".parse().or_discard("bad-limit")?;      // here it isn't
///     if limit < 1 {
///         return Err(Failure::retry("rate limit reached").after(Duration::from_secs(60)));
///     }
///     if port == 0 {
///         return Err(Failure::snooze(Duration::from_secs(300)));   // not now; costs no retry
///     }
///     Ok(())
/// }
/// # send("a@b").unwrap();
/// ```
///
/// It is not an [`Error`] itself; that is what lets every error become one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Failure {
    /// What becomes of the task.
    pub kind: FailureKind,
    /// For people: the first line sums up, more may follow. The host keeps 4 KiB.
    pub message: String,
    /// For programs: a short class such as `rate-limited`, or empty.
    pub code: String,
    /// When to run again; none leaves it to the task's backoff. Means nothing for a discard.
    pub after: Option<Duration>,
}

impl Failure {
    /// Try again while retries are left.
    pub fn retry(message: impl Display) -> Failure {
        Failure::new(FailureKind::Retry, message, None)
    }

    /// Never try again: the task goes to the dead letters.
    pub fn discard(message: impl Display) -> Failure {
        Failure::new(FailureKind::Discard, message, None)
    }

    /// Not now: run again after `delay` (the host makes it a second at least). Costs no retry.
    pub fn snooze(delay: Duration) -> Failure {
        Failure::new(FailureKind::Snooze, "", Some(delay))
    }

    /// The same with a code, a short class for programs such as `rate-limited`.
    pub fn with_code(self, code: impl Into<String>) -> Failure {
        Failure { code: code.into(), ..self }
    }

    /// The same with another message.
    pub fn with_message(self, message: impl Display) -> Failure {
        Failure { message: message.to_string(), ..self }
    }

    /// The same with a delay of its own instead of the task's backoff.
    pub fn after(self, delay: Duration) -> Failure {
        Failure { after: Some(delay), ..self }
    }

    fn new(kind: FailureKind, message: impl Display, after: Option<Duration>) -> Failure {
        Failure { kind, message: message.to_string(), code: String::new(), after }
    }
}

/// Tried again; the message is the error's, with a line for each error that caused it.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(&format!("\ncaused by: {cause}"));
            source = cause.source();
        }
        Failure::retry(message)
    }
}

impl From<Failure> for WireFailure {
    fn from(failure: Failure) -> WireFailure {
        // 0 would leave the delay to the host, so the shortest that a handler can ask for is a millisecond.
        let retry_after_ms = failure.after.map_or(0, |delay| millis(delay).max(1));
        WireFailure { kind: failure.kind, message: failure.message, code: failure.code, retry_after_ms }
    }
}

/// Says in passing how an error should end. For any error that can be shown, `anyhow`'s included (which `?` alone
/// doesn't take, as it is no [`Error`]); the message is its `{:#}` form.
pub trait OrFail<T> {
    /// An error means: never try again.
    fn or_discard(self, code: &str) -> Result<T, Failure>;

    /// An error means: try again while retries are left.
    fn or_retry(self, code: &str) -> Result<T, Failure>;

    /// An error means: not now, run again after `delay`; costs no retry.
    fn or_snooze(self, delay: Duration) -> Result<T, Failure>;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    fn or_discard(self, code: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::discard(format!("{error:#}")).with_code(code))
    }

    fn or_retry(self, code: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::retry(format!("{error:#}")).with_code(code))
    }

    fn or_snooze(self, delay: Duration) -> Result<T, Failure> {
        self.map_err(|error| Failure::snooze(delay).with_message(format!("{error:#}")))
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl Display for Outer {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("bad port")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_keeps_what_caused_it() {
        let failure = Failure::from(Outer("x".parse::<u16>().unwrap_err()));
        assert_eq!(failure, Failure::retry("bad port\ncaused by: invalid digit found in string"));
    }

    #[test]
    fn a_delay_is_never_sent_as_none() {
        let sent = |failure: Failure| WireFailure::from(failure).retry_after_ms;
        assert_eq!(sent(Failure::retry("x")), 0);
        assert_eq!(sent(Failure::retry("x").after(Duration::ZERO)), 1);
        assert_eq!(sent(Failure::snooze(Duration::from_secs(3))), 3_000);
        assert_eq!(sent(Failure::snooze(Duration::MAX)), u64::MAX);
    }

    #[test]
    fn an_error_ends_as_it_is_told_to() {
        let bad = || "x".parse::<u16>();
        assert_eq!(bad().or_discard("port").unwrap_err().kind, FailureKind::Discard);
        assert_eq!(bad().or_retry("port").unwrap_err().code, "port");
        let snoozed = bad().or_snooze(Duration::from_secs(9)).unwrap_err();
        assert_eq!(snoozed.after, Some(Duration::from_secs(9)));
        assert_eq!(snoozed.message, "invalid digit found in string");
    }
}
