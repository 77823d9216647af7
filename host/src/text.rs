//! Task options as text: how people type them, and guests say them.

use std::time::Duration;

use crate::task::{Backoff, InvalidBackoff, Priority, Timestamp};

/// No time is longer: a hundred years. Sums of times stay far from what a server's integers hold.
pub const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 3600);

/// A time such as `30s`, at most [`LONGEST`]; else what was expected.
pub fn span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok();
    span.filter(|&span| span <= LONGEST).ok_or_else(|| "expected a time such as 30s, 10m or 1h, at most 36500d".into())
}

/// A time that is not zero: no run could keep a limit of nothing.
pub fn positive_span(text: &str) -> Result<Duration, String> {
    span(text).and_then(|span| at_least(span, Duration::from_millis(1)))
}

/// `span`, if it is that long.
pub fn at_least(span: Duration, least: Duration) -> Result<Duration, String> {
    if span >= least { Ok(span) } else { Err(format!("expected at least {}", humantime::format_duration(least))) }
}

/// `exponential:1s..1h`, `linear:10s` or `fixed:5s`, none of them longer than [`LONGEST`].
pub fn backoff(text: &str) -> Result<Backoff, String> {
    let backoff: Backoff = text.parse().map_err(|bad: InvalidBackoff| bad.to_string())?;
    let longest = match backoff {
        Backoff::Exponential { most, .. } => most,
        Backoff::Linear { step } => step,
        Backoff::Fixed { delay } => delay,
    };
    if longest <= LONGEST { Ok(backoff) } else { Err("expected delays of at most 36500d".into()) }
}

/// `high`, `normal` or `low`.
pub fn priority(text: &str) -> Result<Priority, String> {
    match text {
        "high" => Ok(Priority::High),
        "normal" => Ok(Priority::Normal),
        "low" => Ok(Priority::Low),
        _ => Err("expected high, normal or low".into()),
    }
}

/// A moment such as `2026-11-24T06:44:20Z`. One before 1970 is as past as any.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let moment = chrono::DateTime::parse_from_rfc3339(text)
        .map_err(|_| "expected a date and time with its zone, such as 2026-11-24T06:44:20Z".to_string())?;
    Ok(Timestamp(u64::try_from(moment.timestamp_millis()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds() {
        assert_eq!(span("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(span("0s").unwrap(), Duration::ZERO);
        for bad in ["", "x", "-1s", "30", "99999999999h", "99999999999999999999s", "1.s"] {
            assert!(span(bad).is_err(), "{bad}");
        }
        assert!(positive_span("0s").is_err() && positive_span("1ms").is_ok());
        assert!(backoff("fixed:99999999999h").is_err() && backoff("exponential:1s..99999999999h").is_err());
        assert!(priority("low").is_ok() && priority("Low").is_err());
    }

    #[test]
    fn moments_have_their_zone() {
        assert_eq!(moment("1969-12-31T23:59:59Z").unwrap(), Timestamp(0));
        assert_eq!(moment("1970-01-01T01:00:01+01:00").unwrap(), Timestamp(1000));
        assert!(moment("2026-11-24").is_err() && moment("tomorrow").is_err());
    }
}
