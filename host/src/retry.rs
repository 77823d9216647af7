//! Pure: how a run's outcome ends its task. No clock, no randomness of its own.

use std::time::Duration;

use crate::task::{Backoff, Ending, FailedRun, Outcome, Verdict};

/// What a task's options, its handler's manifest and the defaults agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Runs allowed after the first failed one.
    pub max_retries: u32,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// How long a dead task is kept.
    pub keep_dead: Duration,
}

/// Runs allowed after the first failed one, unless someone says otherwise.
pub const MAX_RETRIES: u32 = 25;
/// A snooze is at least this long: a handler can't spin.
pub const SHORTEST_SNOOZE: Duration = Duration::from_secs(1);
/// A snooze without a time.
pub const DEFAULT_SNOOZE: Duration = Duration::from_secs(30);

/// How the task ends, or none where the run may not end it (its lease is gone). `failed`: what the history gains if this
/// is a failure. `dice`: throws a number in 0..1, for jitter.
pub fn decide(
    outcome: &Outcome,
    failed: impl FnOnce() -> FailedRun,
    policy: &Policy,
    dice: impl FnOnce() -> f64,
) -> Option<Ending> {
    Some(match outcome {
        Outcome::Done(_) => Ending::Done,
        Outcome::Failed(_, Verdict::Snooze(after)) => {
            Ending::Snooze { after: after.unwrap_or(DEFAULT_SNOOZE).max(SHORTEST_SNOOZE) }
        }
        Outcome::Failed(_, Verdict::Discard) => Ending::Dead { keep: policy.keep_dead, failed: Some(failed()) },
        Outcome::Failed(_, Verdict::Retry(after)) => {
            let failed = failed();
            if failed.attempt > policy.max_retries {
                return Some(Ending::Dead { keep: policy.keep_dead, failed: Some(failed) });
            }
            let after = after.unwrap_or_else(|| delay(policy.backoff, failed.attempt, dice()));
            Ending::Retry { after, failed }
        }
        Outcome::Park => Ending::Park,
        Outcome::Release(after) => Ending::Release { after: *after },
        Outcome::Cancelled => Ending::Cancelled,
        Outcome::Gone => return None,
    })
}

/// The wait after the `attempt`-th failure (1 for the first).
pub fn delay(backoff: Backoff, attempt: u32, dice: f64) -> Duration {
    match backoff {
        Backoff::Exponential { first, most } => {
            let factor = 2u32.saturating_pow(attempt.saturating_sub(1).min(31));
            first.saturating_mul(factor).min(most).mul_f64(1.0 - dice.clamp(0.0, 1.0) / 4.0)
        }
        Backoff::Linear { step } => step.saturating_mul(attempt),
        Backoff::Fixed { delay } => delay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Failure, FailureKind, Timestamp};

    const POLICY: Policy = Policy { max_retries: 2, backoff: Backoff::DEFAULT, keep_dead: Duration::from_secs(60) };

    fn failed(attempt: u32) -> FailedRun {
        let failure = Failure { kind: FailureKind::Handler, code: "x".into(), message: "no".into() };
        FailedRun { attempt, run: attempt, at: Timestamp(0), failure }
    }

    fn end(attempt: u32, verdict: Verdict) -> Ending {
        let failed = failed(attempt);
        decide(&Outcome::Failed(failed.failure.clone(), verdict), || failed, &POLICY, || 0.0).unwrap()
    }

    fn after(ending: Ending) -> Duration {
        match ending {
            Ending::Retry { after, .. } | Ending::Snooze { after } => after,
            other => panic!("no delay: {other:?}"),
        }
    }

    #[test]
    fn retries_last_as_long_as_the_policy_says() {
        assert_eq!(after(end(1, Verdict::Retry(None))), Duration::from_secs(1));
        assert_eq!(after(end(2, Verdict::Retry(None))), Duration::from_secs(2));
        let dead = |attempt| Ending::Dead { keep: POLICY.keep_dead, failed: Some(failed(attempt)) };
        assert_eq!(end(3, Verdict::Retry(None)), dead(3));
        assert_eq!(after(end(1, Verdict::Retry(Some(Duration::from_millis(7))))), Duration::from_millis(7));
        assert_eq!(end(1, Verdict::Discard), dead(1));
    }

    #[test]
    fn a_snooze_never_spins_and_is_never_refused() {
        assert_eq!(after(end(9, Verdict::Snooze(Some(Duration::ZERO)))), SHORTEST_SNOOZE);
        assert_eq!(after(end(9, Verdict::Snooze(None))), DEFAULT_SNOOZE);
    }

    #[test]
    fn delays_grow_and_stay_bounded() {
        let most = Duration::from_secs(3600);
        assert_eq!(delay(Backoff::DEFAULT, 5, 0.0), Duration::from_secs(16));
        assert_eq!(delay(Backoff::DEFAULT, 5, 1.0), Duration::from_secs(12));
        assert_eq!(delay(Backoff::DEFAULT, u32::MAX, 0.0), most);
        assert_eq!(delay(Backoff::Linear { step: Duration::from_secs(10) }, 3, 0.5), Duration::from_secs(30));
        assert_eq!(delay(Backoff::Fixed { delay: Duration::from_secs(5) }, 3, 0.5), Duration::from_secs(5));
    }

    #[test]
    fn a_cancelled_run_ends_its_task_whatever_is_left_of_its_retries() {
        assert_eq!(decide(&Outcome::Cancelled, || unreachable!(), &POLICY, || 0.0), Some(Ending::Cancelled));
    }

    #[test]
    fn a_run_without_lease_ends_nothing() {
        assert_eq!(decide(&Outcome::Gone, || unreachable!(), &POLICY, || 0.0), None);
    }
}
