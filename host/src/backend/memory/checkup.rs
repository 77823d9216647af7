//! What this backend is.

use crate::broker::finding::Finding;

/// Nothing to look at.
pub(super) fn findings() -> Vec<Finding> {
    let risk = "every task and result is lost when the process ends";
    vec![
        Finding::danger("persistence", "none: tasks are in this process alone", risk)
            .mend("use sqlite:PATH, redis://HOST or nats://HOST"),
    ]
}
