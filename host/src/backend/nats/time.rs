//! What time it is on the server, where there is no message yet that says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, System};
use crate::task::Timestamp;

/// The server's clock as far as it is known here: ours, set right by what the server stamps on our own messages. In
/// tests a clock that they turn; then messages carry its time, and the server's stamps are ignored.
pub(super) struct Time {
    turned: Option<Arc<dyn Clock>>,
    /// The server's clock minus ours, in ms.
    ahead: AtomicI64,
}

impl Time {
    pub(super) fn new(turned: Option<Arc<dyn Clock>>) -> Time {
        Time { turned, ahead: AtomicI64::new(0) }
    }

    /// For messages: none where the server's stamp tells.
    pub(super) fn told(&self) -> Option<Timestamp> {
        self.turned.as_ref().map(|clock| clock.now())
    }

    /// For looking, and for what is a moment off without harm.
    pub(super) fn now(&self) -> Timestamp {
        match &self.turned {
            Some(clock) => clock.now(),
            None => Timestamp(System.now().0.saturating_add_signed(self.ahead.load(Ordering::Relaxed))),
        }
    }

    /// The server's clock minus ours, in ms, as far as it is known.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Ours, unset.
    pub(super) fn local(&self) -> Timestamp {
        System.now()
    }

    /// The server stamped a message that was sent at `sent` and is back at `back`, both by our clock.
    pub(super) fn learn(&self, stamped: Timestamp, sent: Timestamp, back: Timestamp) {
        let minus = |a: Timestamp, b: Timestamp| i64::try_from(i128::from(a.0) - i128::from(b.0)).unwrap_or(0);
        // It was between the two when our clock said what the stamp says: that is all that is known for certain.
        let (least, most) = (minus(stamped, back), minus(stamped, sent));
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.ahead.store(ahead.max(least).min(most.max(least)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_set_the_clock_right_and_late_ones_do_not_set_it_wrong() {
        let time = Time::new(None);
        let ahead = || time.ahead.load(Ordering::Relaxed);
        time.learn(Timestamp(10_005), Timestamp(5_000), Timestamp(5_010));
        assert_eq!(ahead(), 4_995);
        time.learn(Timestamp(20_001), Timestamp(15_000), Timestamp(16_000));
        assert_eq!(ahead(), 4_995, "known better");
        time.learn(Timestamp(900), Timestamp(1_000), Timestamp(1_002));
        assert_eq!(ahead(), -100, "the server's clock was set back");
    }
}
