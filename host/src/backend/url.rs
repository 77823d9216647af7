//! Where tasks and results live, as users write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

mod nats;
mod redis;

pub use nats::{NatsOptions, NatsUser};
pub use redis::{RedisOptions, RedisPlace, Sentinels};

/// A parsed `--broker` or `--results`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `memory:`, this process only.
    Memory,
    /// `sqlite:PATH[?sync=full|normal]`.
    Sqlite(SqliteOptions),
    /// `nats://…` or `tls://…`.
    Nats(NatsOptions),
    /// `redis://…`, `redis+cluster://…` or `redis+sentinel://…`; `rediss…` with TLS.
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
            "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel" => {
                RedisOptions::parse(scheme, text).map(Url::Redis)
            }
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

/// What a server's keys may begin with.
fn is_prefix(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut decoded = parts.next()?.as_bytes().to_vec();
    for part in parts {
        decoded.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        decoded.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(decoded).ok()
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
