//! What a look at a broker's set-up found, and what to do about it.

use serde::Serialize;

use crate::clock::{Clock, System};
use crate::task::Timestamp;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Severity,
    /// What was looked at, in a word.
    pub about: &'static str,
    /// How it is.
    pub found: String,
    /// What could be lost, or what won't work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    /// What to type or to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// To be known; nothing need be done.
    Note,
    /// Something is lost when something rare happens, such as a machine that loses power.
    Warning,
    /// Tasks are lost, or not run, when something ordinary happens.
    Danger,
}

impl Severity {
    /// As written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Danger => "danger",
        }
    }
}

impl Finding {
    /// As it should be.
    pub fn ok(about: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: Severity::Ok, about, found: found.into(), risk: None, mend: None }
    }

    /// To be known.
    pub fn note(about: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: Severity::Note, ..Finding::ok(about, found) }
    }

    /// See [`Severity::Warning`].
    pub fn warning(about: &'static str, found: impl Into<String>, risk: impl Into<String>) -> Finding {
        Finding { level: Severity::Warning, risk: Some(risk.into()), ..Finding::ok(about, found) }
    }

    /// See [`Severity::Danger`].
    pub fn danger(about: &'static str, found: impl Into<String>, risk: impl Into<String>) -> Finding {
        Finding { level: Severity::Danger, risk: Some(risk.into()), ..Finding::ok(about, found) }
    }

    /// With what mends it.
    pub fn mend(self, mend: impl Into<String>) -> Finding {
        Finding { mend: Some(mend.into()), ..self }
    }

    /// What the server's clock says, asked at `asked` by ours and answered now.
    pub fn clock(server: Timestamp, asked: Timestamp) -> Finding {
        // It was between the two when the server looked at its clock: more isn't known, and less than that is no skew.
        let (earliest, latest) = (asked.0, System.now().0.max(asked.0));
        let behind = earliest.saturating_sub(server.0);
        let ahead = server.0.saturating_sub(latest);
        Finding::skew(ahead, behind)
    }

    /// The server's clock is ahead of ours, or behind it, by so many ms.
    pub fn skew(ahead: u64, behind: u64) -> Finding {
        let skew = ahead.max(behind);
        let word = if ahead > behind { "ahead of" } else { "behind" };
        if skew < 1_000 {
            return Finding::ok(
                "clock",
                format!("the server's differs from this machine's by less than {} ms", skew + 1),
            );
        }
        let span = humantime::format_duration(std::time::Duration::from_millis(skew));
        let risk = "delays and schedules follow the server's clock: --at comes at another moment than this machine's";
        Finding::warning("clock", format!("the server's is {span} {word} this machine's"), risk)
            .mend("set both by NTP: chronyc makestep, or timedatectl set-ntp true")
    }
}

/// `major.minor.patch` with whatever follows.
pub(crate) fn version(text: &str) -> (u32, u32, u32) {
    let mut numbers = text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_is_what_the_round_trip_cannot_explain() {
        let now = System.now().0;
        let level = |server: u64, asked: u64| Finding::clock(Timestamp(server), Timestamp(asked)).level;
        assert_eq!(level(now, now), Severity::Ok);
        assert_eq!(level(now - 5_000, now - 10_000), Severity::Ok, "it answered in between");
        assert_eq!(level(now - 15_000, now - 10_000), Severity::Warning);
        assert_eq!(level(now + 600_000, now), Severity::Warning);
        assert!(Finding::skew(0, 61_000).found.contains("1m 1s behind"));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version("2.9.10") > version("2.9.9") && version("7.0.15") < version("7.2"));
        assert_eq!(version("2.12.0-RC.1"), (2, 12, 0));
    }
}
