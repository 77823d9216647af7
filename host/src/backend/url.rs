//! Where tasks and results live, as users write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

mod nats;

pub use nats::{NatsOptions, NatsUser};

/// A parsed `--broker` or `--results`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `memory:`, this process only.
    Memory,
    /// `sqlite:PATH[?sync=full|normal]`.
    Sqlite(SqliteOptions),
    /// `nats://…` or `tls://…`.
    Nats(NatsOptions),
    /// `redis://…` or `rediss://…`.
    Redis(RedisOptions),
    /// A scheme that no backend serves; `shown` is the URL without its password.
    Other {
        /// What stands before the colon.
        scheme: String,
        /// For messages.
        shown: String,
    },
}

/// What a `sqlite:` URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The database file.
    pub path: PathBuf,
    /// When a commit counts as durable.
    pub sync: Sync,
}

/// SQLite's `synchronous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Every accepted task and every end is on disk before it is answered; the default.
    Full,
    /// A machine that loses power may lose the last moments; a killed process loses nothing.
    Normal,
}

/// What a `redis://` or `rediss://` URL says.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// The URL without its options, with its password.
    pub address: String,
    /// What the names of all keys begin with, so that several environments can share a server.
    pub prefix: String,
}

/// The prefix unless the URL names one.
pub const PREFIX: &str = "tasq";

/// The text is no URL of a backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(String);

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(InvalidUrl(format!("\"{text}\": expected a URL such as sqlite:tasq.db or memory:")));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        match scheme {
            "memory" if rest.is_empty() => Ok(Url::Memory),
            "memory" => Err(InvalidUrl(format!("{text}: nothing may follow \"memory:\""))),
            "sqlite" if place.is_empty() => Err(InvalidUrl(format!("{text}: expected a path, as in sqlite:tasq.db"))),
            "sqlite" => Ok(Url::Sqlite(SqliteOptions { path: place.into(), sync: sync_of(text, query)? })),
            "nats" | "tls" => NatsOptions::parse(scheme, rest)
                .map(Url::Nats)
                .map_err(|why| InvalidUrl(format!("{}: {why}", without_password(text)))),
            "redis" | "rediss" => redis_of(text),
            _ => Ok(Url::Other { scheme: scheme.into(), shown: without_password(text) }),
        }
    }
}

fn sync_of(text: &str, query: &str) -> Result<Sync, InvalidUrl> {
    let mut sync = Sync::Full;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        sync = match pair {
            "sync=full" => Sync::Full,
            "sync=normal" => Sync::Normal,
            _ => {
                return Err(InvalidUrl(format!(
                    "{text}: unknown option \"{pair}\"; expected sync=full or sync=normal"
                )));
            }
        };
    }
    Ok(sync)
}

fn redis_of(text: &str) -> Result<Url, InvalidUrl> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let shown = without_password(text);
    if address.split_once("://").is_none_or(|(_, place)| place.is_empty()) {
        return Err(InvalidUrl(format!("{shown}: expected a server, as in redis://localhost:6379")));
    }
    Ok(Url::Redis(RedisOptions { address: address.into(), prefix: prefix_of(&shown, query)? }))
}

/// The one option of a server's URL.
fn prefix_of(shown: &str, query: &str) -> Result<String, InvalidUrl> {
    let good = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    match query.split_once('=') {
        None if query.is_empty() => Ok(PREFIX.into()),
        Some(("prefix", name)) if good(name) => Ok(name.into()),
        _ => Err(InvalidUrl(format!("{shown}: unknown option \"{query}\"; expected prefix=[A-Za-z0-9_-]{{1,64}}"))),
    }
}

/// As users write it, without the password.
impl fmt::Display for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.address))?;
        if self.prefix == PREFIX { Ok(()) } else { write!(f, "?prefix={}", self.prefix) }
    }
}

/// What is logged doesn't show it either.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisOptions({self})")
    }
}

fn without_password(text: &str) -> String {
    let parts = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
    match parts {
        Some((scheme, (user, place))) => {
            // Without a colon it may be a token.
            let user = user.split_once(':').map_or(String::new(), |(user, _)| format!("{user}:"));
            format!("{scheme}://{user}***@{place}")
        }
        None => text.into(),
    }
}

/// As users write it, never with a password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Url::Memory => f.write_str("memory:"),
            Url::Sqlite(SqliteOptions { path, sync: Sync::Full }) => write!(f, "sqlite:{}", path.display()),
            Url::Sqlite(SqliteOptions { path, sync: Sync::Normal }) => {
                write!(f, "sqlite:{}?sync=normal", path.display())
            }
            Url::Nats(options) => options.fmt(f),
            Url::Redis(options) => options.fmt(f),
            Url::Other { shown, .. } => f.write_str(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_and_print() {
        let redis = ["redis://localhost", "rediss://host:6380/2?prefix=test"];
        for text in ["memory:", "sqlite:tasq.db", "sqlite:/var/lib/t.db?sync=normal"].into_iter().chain(redis) {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "tasq.db",
            "sqlite:",
            "memory:x",
            "sqlite:a?sync=off",
            "sqlite:a?x=1",
            "redis:",
            "redis://",
            "redis://h?x=1",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url: Url = "redis://user:p@ss@host:1/0".parse().unwrap();
        assert_eq!(url.to_string(), "redis://user:***@host:1/0");
        assert!(!format!("{url:?}").contains("ss@"), "{url:?}");
        let refused = "redis://user:secret@host?x=secrets".parse::<Url>().unwrap_err().to_string();
        assert!(!refused.contains("secret@"), "{refused}");
    }
}
