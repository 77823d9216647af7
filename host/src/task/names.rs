//! What things are called: each text is checked once, where it comes in.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name, id or header that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{found}\": expected {rule}")]
pub struct InvalidName {
    what: &'static str,
    found: String,
    rule: &'static str,
}

fn check(what: &'static str, rule: &'static str, text: &str, good: bool) -> Result<Arc<str>, InvalidName> {
    if good {
        return Ok(text.into());
    }
    let found = text.chars().take(80).flat_map(char::escape_debug).collect();
    Err(InvalidName { what, found, rule })
}

/// Reads a text without copying it before it is checked.
struct Checked<T>(PhantomData<T>);

impl<T: FromStr<Err = InvalidName>> Visitor<'_> for Checked<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Checked(PhantomData))
            }
        }
    };
}

/// The name of a handler or a queue: `[a-z0-9][a-z0-9_-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);
checked_text!(Name);

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.len() <= 64
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || b == b'_' || b == b'-');
        check("name", "[a-z0-9][a-z0-9_-]{0,63}", text, good).map(Name)
    }
}

impl Name {
    /// Where tasks wait that nobody sent elsewhere.
    pub fn default_queue() -> Name {
        Name("default".into())
    }
}

/// A task's id: `[A-Za-z0-9][A-Za-z0-9_:/-]{0,127}`. Chosen by the producer, generated (UUIDv7), or derived
/// (`cron:…`, `<id>/f1`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Arc<str>);
checked_text!(TaskId);

impl TaskId {
    /// A new UUIDv7: ids sort by the time they were made, and nobody else has this one.
    pub fn generate() -> TaskId {
        TaskId(uuid::Uuid::now_v7().to_string().into())
    }
}

impl FromStr for TaskId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let good = text.len() <= 128
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:/-".contains(&b));
        check("id", "[A-Za-z0-9][A-Za-z0-9_:/-]{0,127}", text, good).map(TaskId)
    }
}

/// A worker process: unique, whatever its machine is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);
checked_text!(WorkerId);

impl WorkerId {
    /// Stands in the record of a task that ended without a worker: it was cancelled while it waited.
    pub fn nobody() -> WorkerId {
        WorkerId("-".into())
    }

    /// A new id, readable (`<machine>-<process>-<random>`) and unique even where two machines share a name.
    pub fn generate() -> WorkerId {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine: String =
            machine.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        let machine = if machine.is_empty() { "worker" } else { &machine };
        let random = uuid::Uuid::now_v7().simple().to_string();
        WorkerId(format!("{machine}-{}-{}", std::process::id(), &random[24..]).into())
    }
}

impl From<&WorkerId> for Arc<str> {
    fn from(id: &WorkerId) -> Arc<str> {
        id.0.clone()
    }
}

impl FromStr for WorkerId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let good =
            !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        check("worker", "[A-Za-z0-9-]{1,128}", text, good).map(WorkerId)
    }
}

/// Headers by name (`[a-z0-9._-]{1,64}`); names that begin with `tasq-` are the host's own.
pub type Headers = BTreeMap<String, String>;

/// Refuses a header name that breaks the rule or takes the reserved prefix `tasq-`.
pub fn check_header(name: &str) -> Result<(), InvalidName> {
    let good = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && !name.starts_with("tasq-");
    check("header", "[a-z0-9._-]{1,64} without the reserved prefix \"tasq-\"", name, good).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_keep_their_rules() {
        for good in ["a", "0", "send-mail_2", &"a".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a.b", "ä", "a b", "a\n", &"a".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        for good in ["A1", "cron:nightly:1700000000", "x/f1", &"a".repeat(128)] {
            assert!(good.parse::<TaskId>().is_ok(), "{good}");
        }
        for bad in ["", "/a", ":a", "a.b", "a b", &"a".repeat(129)] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
        assert!(check_header("x-trace.id").is_ok());
        assert!(check_header("tasq-depth").is_err() && check_header("X").is_err() && check_header("").is_err());
    }

    #[test]
    fn a_refused_name_cannot_forge_a_second_line() {
        let error = "a\nERROR forged".parse::<Name>().unwrap_err().to_string();
        assert_eq!(error, "name \"a\\nERROR forged\": expected [a-z0-9][a-z0-9_-]{0,63}");
    }
}
