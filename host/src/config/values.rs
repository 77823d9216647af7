//! What values look like, as they are typed, written in the file, or set in the environment.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use tasq_host::task::{InvalidName, Name};
use tasq_host::text;

use super::layers::Environment;

/// Runs at once, for each core: most handlers wait more than they compute.
const PER_CORE: usize = 16;

/// A sort of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Url,
    Folder,
    /// Queues with their weights.
    Shares,
    Switch,
    /// From the first to the second.
    Number(u32, u32),
    Span,
    /// A time of at least a second: a shorter lease would run out between two extensions.
    Lease,
    /// A time of at least a millisecond.
    Limit,
    Size,
    /// What one run may have: 64 KiB to 4 GiB.
    RunMemory,
    Backoff,
    OneOf(&'static [&'static str]),
    /// A queue.
    Name,
    /// Handlers.
    Names,
    Texts,
}

impl Kind {
    /// What `text` should have been, if it can't be understood. A URL is looked at where it is read, because what is
    /// said here may be shown together with `text`, password and all.
    pub(crate) fn check(self, text: &str) -> Result<(), String> {
        match self {
            Kind::Url => Ok(()),
            Kind::Folder | Kind::Texts if text.is_empty() => Err("expected a text, found none".into()),
            Kind::Folder | Kind::Texts => Ok(()),
            Kind::Shares => text.parse::<Share>().map(drop),
            Kind::Switch => switch(text).map(drop),
            Kind::Number(least, most) => number(text, least, most).map(drop),
            Kind::Span => text::span(text).map(drop),
            Kind::Lease => lease(text).map(drop),
            Kind::Limit => text::positive_span(text).map(drop),
            Kind::Size => size(text).map(drop),
            Kind::RunMemory => run_memory(text).map(drop),
            Kind::Backoff => text::backoff(text).map(drop),
            Kind::OneOf(choices) if choices.contains(&text) => Ok(()),
            Kind::OneOf(choices) => Err(format!("expected {}", choices.join(" or "))),
            Kind::Name | Kind::Names => name(text).map(drop),
        }
    }

    /// Several values are one.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Kind::Shares | Kind::Names | Kind::Texts)
    }

    /// What it is in TOML.
    pub(crate) fn in_toml(self) -> &'static str {
        match self {
            Kind::Shares | Kind::Names | Kind::Texts => "an array of texts",
            Kind::Switch => "true or false",
            Kind::Number(..) => "a whole number",
            _ => "a text",
        }
    }

    /// What stands for a value in help.
    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Kind::Url => "URL",
            Kind::Folder => "DIR",
            Kind::Shares => "NAME[=WEIGHT]",
            Kind::Switch => "true|false",
            Kind::Number(..) => "N",
            Kind::Span | Kind::Lease | Kind::Limit => "TIME",
            Kind::Size | Kind::RunMemory => "SIZE",
            Kind::Backoff => "BACKOFF",
            Kind::OneOf(_) => "WHICH",
            Kind::Name | Kind::Names | Kind::Texts => "NAME",
        }
    }
}

/// A queue and its weight, at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share(pub(crate) Name, pub(crate) u32);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let (queue, weight) = text.split_once('=').unwrap_or((text, "1"));
        let queue = name(queue)?;
        let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
        weight.map(|weight| Share(queue, weight)).ok_or_else(|| "expected a weight from 1 to 1000000".into())
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

pub(crate) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected true or false".into())
}

pub(crate) fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
}

pub(crate) fn lease(text: &str) -> Result<Duration, String> {
    text::span(text).and_then(|span| text::at_least(span, Duration::from_secs(1)))
}

pub(crate) fn size(text: &str) -> Result<ByteSize, String> {
    let size = text.parse::<ByteSize>().ok().filter(|size| size.as_u64() > 0);
    size.ok_or_else(|| "expected a size such as 512MiB or 2GiB".into())
}

pub(crate) fn run_memory(text: &str) -> Result<ByteSize, String> {
    let fits = |size: &ByteSize| (64 << 10..=4 << 30).contains(&size.as_u64());
    text.parse().ok().filter(fits).ok_or_else(|| "expected a size from 64KiB to 4GiB".into())
}

pub(crate) fn name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|bad: InvalidName| bad.to_string())
}

/// Runs at once unless someone says otherwise.
pub(crate) fn concurrency(_: &Environment) -> Option<OsString> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Some((cores * PER_CORE).min(100_000).to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_have_a_share_of_at_least_one() {
        assert_eq!("mail=3".parse(), Ok(Share("mail".parse().unwrap(), 3)));
        assert_eq!("mail".parse(), Ok(Share("mail".parse().unwrap(), 1)));
        for bad in ["", "mail=", "mail=0", "mail=-1", "mail=x", "=1", "Mail", "mail=4294967296"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn values_keep_the_rules_of_their_kind() {
        for (kind, good, bad) in [
            (Kind::Lease, "1s", "999ms"),
            (Kind::Limit, "1ms", "0s"),
            (Kind::Span, "0s", "soon"),
            (Kind::Size, "1", "0"),
            (Kind::Size, "2GiB", "lots"),
            (Kind::RunMemory, "64KiB", "5GiB"),
            (Kind::Number(1, 9), "9", "10"),
            (Kind::Number(0, 9), "0", "-1"),
            (Kind::Switch, "true", "yes"),
            (Kind::OneOf(&["a", "b"]), "b", "c"),
            (Kind::Names, "mail", "Mail"),
            (Kind::Texts, "x", ""),
            (Kind::Backoff, "fixed:1s", "never"),
        ] {
            assert!(kind.check(good).is_ok(), "{kind:?} {good}");
            assert!(kind.check(bad).is_err(), "{kind:?} {bad}");
        }
    }
}
