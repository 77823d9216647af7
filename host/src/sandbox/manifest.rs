//! `NAME.toml` beside `NAME.wasm`: a handler's limits, wishes and grants. Strict: an unknown key is an error that names
//! the nearest known one.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::Refusal;
use super::engine::MAX_MEMORY;
use super::handlers::{contents, refuse};
use super::http::Rule;
use super::secrets;
use crate::keys;
use crate::task::{Backoff, Name};

/// What a handler's author says about it; everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Where tasks for it go unless the producer says otherwise.
    pub queue: Option<Name>,
    /// At most this many runs at once in one process; at least 1.
    pub concurrency: Option<usize>,
    /// Runs allowed after the first failed one.
    pub max_retries: Option<u32>,
    /// Delays between attempts.
    #[serde(default, deserialize_with = "backoff")]
    pub backoff: Option<Backoff>,
    /// Wall time of one run.
    #[serde(default, with = "humantime_serde::option")]
    pub timeout: Option<Duration>,
    /// CPU time of one run.
    #[serde(default, with = "humantime_serde::option")]
    pub cpu: Option<Duration>,
    /// All memories and tables of one run together: 64 KiB to 4 GiB.
    pub memory: Option<ByteSize>,
    /// What a trap does to the task.
    #[serde(default)]
    pub on_trap: OnTrap,
    /// Refuse any other file.
    pub digest: Option<String>,
    /// What it may reach.
    #[serde(default)]
    pub grants: Grants,
}

/// What a trap does to the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTrap {
    /// A failed attempt like another.
    #[default]
    Retry,
    /// Never again.
    Discard,
}

/// What a handler may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// Where it may send HTTP requests.
    #[serde(default)]
    pub http: Vec<Rule>,
    /// Settings that `config.get` answers.
    #[serde(default)]
    pub config: BTreeMap<String, Setting>,
    /// Handlers whose tasks it may enqueue.
    #[serde(default)]
    pub enqueue: Vec<Name>,
    /// Whether it may keep things in the store.
    #[serde(default)]
    pub store: bool,
}

/// What `config.get` answers for one name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Setting {
    /// This text.
    Text(String),
    /// A placeholder for the secret of this name, `{ secret = "NAME" }`.
    Secret(String),
}

impl TryFrom<toml::Value> for Setting {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Setting, String> {
        const EXPECTED: &str = "expected a text or { secret = \"NAME\" }";
        match value {
            toml::Value::String(text) => Ok(Setting::Text(text)),
            toml::Value::Table(table) if table.len() == 1 => match table.get("secret").and_then(toml::Value::as_str) {
                Some(name) if secrets::is_name(name) => Ok(Setting::Secret(name.to_owned())),
                Some(name) => Err(format!("secret = {name:?}: expected letters, digits and _, as variables have")),
                None => Err(EXPECTED.into()),
            },
            other => Err(format!("{EXPECTED}, found {}", other.type_str())),
        }
    }
}

impl Grants {
    /// The names of all secrets that are asked for.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.config.values().filter_map(|setting| match setting {
            Setting::Secret(name) => Some(name.as_str()),
            Setting::Text(_) => None,
        })
    }
}

/// Larger ones are refused unread.
const LARGEST: u64 = 64 << 10;

/// Each request is held against all of them.
const RULES: usize = 100;

const KEYS: [&str; 10] =
    ["queue", "concurrency", "max_retries", "backoff", "timeout", "cpu", "memory", "on_trap", "digest", "grants"];
/// The keys under `[grants]`.
pub(super) const GRANTS: [&str; 4] = ["http", "config", "enqueue", "store"];

impl Manifest {
    /// The manifest beside a `.wasm` file; all defaults where there is none.
    pub(super) fn beside(wasm: &Path) -> Result<Manifest, Refusal> {
        let file = wasm.with_extension("toml");
        // A link to nothing is a mistake, and no manifest is none.
        if fs::symlink_metadata(&file).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(Manifest::default());
        }
        let bytes = contents(&file, LARGEST).map_err(|reason| refuse(&file, reason))?;
        let text = String::from_utf8(bytes).map_err(|_| refuse(&file, "not UTF-8".into()))?;
        Manifest::parse(&file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Manifest, Refusal> {
        let table: toml::Table = toml::from_str(text).map_err(|error| unreadable(file, text, &error))?;
        check_keys(file, "", &table, &KEYS)?;
        if let Some(grants) = table.get("grants").and_then(toml::Value::as_table) {
            check_keys(file, "grants.", grants, &GRANTS)?;
        }
        let manifest: Manifest = toml::from_str(text).map_err(|error| unreadable(file, text, &error))?;
        match manifest.mistake() {
            Some(mistake) => Err(refuse(file, mistake)),
            None => Ok(manifest),
        }
    }

    /// What no run could keep.
    fn mistake(&self) -> Option<String> {
        if self.concurrency == Some(0) {
            return Some("concurrency = 0: expected at least 1".into());
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) || self.cpu.is_some_and(|cpu| cpu.is_zero()) {
            return Some("a time limit of 0: expected a duration such as \"30s\"".into());
        }
        if self.grants.http.len() > RULES {
            return Some(format!("{} lines of http: expected at most {RULES}", self.grants.http.len()));
        }
        if let Some(memory) = self.memory.filter(|m| !(64 << 10..=MAX_MEMORY as u64).contains(&m.as_u64())) {
            return Some(format!("memory = \"{memory}\": expected 64KiB to 4GiB"));
        }
        let hexadecimal = |digest: &str| {
            digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        match self.digest.as_deref() {
            Some(digest) if !digest.strip_prefix("sha256:").is_some_and(hexadecimal) => {
                Some(format!("digest = \"{digest}\": expected sha256: and 64 hexadecimal digits in lower case"))
            }
            _ => None,
        }
    }
}

fn check_keys(file: &Path, above: &str, table: &toml::Table, known: &[&str]) -> Result<(), Refusal> {
    let Some(unknown) = table.keys().find(|key| !known.contains(&key.as_str())) else {
        return Ok(());
    };
    let hint = keys::hint(above, unknown, known);
    Err(Refusal { hint: Some(hint), ..refuse(file, format!("unknown key `{above}{}`", unknown.escape_debug())) })
}

fn unreadable(file: &Path, text: &str, error: &toml::de::Error) -> Refusal {
    refuse(file, keys::mistake(text, error))
}

fn backoff<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Backoff>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, Refusal> {
        Manifest::parse(Path::new("wasm/add.toml"), text)
    }

    #[test]
    fn every_key_is_read() {
        let manifest = parse(
            r#"
            queue = "reports"
            concurrency = 8
            max_retries = 5
            backoff = "exponential:2s..10m"
            timeout = "30s"
            cpu = "5s"
            memory = "128MiB"
            on_trap = "discard"
            digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
            [grants]
            http = ["https://api.example.com", "GET https://*.example.org"]
            config = { region = "eu", token = { secret = "API_TOKEN" } }
            enqueue = ["mail"]
            "#,
        )
        .unwrap();
        assert_eq!(manifest.queue.unwrap().as_str(), "reports");
        assert_eq!((manifest.concurrency, manifest.max_retries), (Some(8), Some(5)));
        assert_eq!(manifest.backoff.unwrap().to_string(), "exponential:2s..10m");
        assert_eq!((manifest.timeout, manifest.cpu), (Some(Duration::from_secs(30)), Some(Duration::from_secs(5))));
        assert_eq!((manifest.memory.unwrap().as_u64(), manifest.on_trap), (128 << 20, OnTrap::Discard));
        assert_eq!(manifest.grants.http[1].to_string(), "GET https://*.example.org");
        assert_eq!(manifest.grants.config["region"], Setting::Text("eu".into()));
        assert_eq!(manifest.grants.secrets().collect::<Vec<_>>(), ["API_TOKEN"]);
        assert_eq!(manifest.grants.enqueue[0].as_str(), "mail");
        assert_eq!(parse("").unwrap(), Manifest::default());
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_nearest() {
        let refusal = parse("max_retrys = 3").unwrap_err();
        assert_eq!(refusal.to_string(), "wasm/add.toml: unknown key `max_retrys`");
        assert_eq!(refusal.hint.as_deref(), Some("did you mean `max_retries`?"));
        assert_eq!(parse("[grants]\nconfg = {}").unwrap_err().hint.as_deref(), Some("did you mean `grants.config`?"));
    }

    #[test]
    fn wrong_values_name_the_line_or_the_rule() {
        for (text, want) in [
            ("queue = \"a\"\ntimeout = \"soon\"", "line 2: "),
            ("queue = \"Not OK\"", "expected [a-z0-9]"),
            ("concurrency = 0", "expected at least 1"),
            ("cpu = \"0s\"", "a time limit of 0"),
            ("memory = \"1KiB\"", "expected 64KiB to 4GiB"),
            ("digest = \"md5:1\"", "expected sha256:"),
            ("backoff = \"never\"", "expected exponential"),
            ("[grants]\nhttp = [\"ftp://a.com\"]", "line 2: http = \"ftp://a.com\": expected http or https"),
            ("[grants]\nconfig = { a = 1 }", "expected a text or { secret = \"NAME\" }, found integer"),
            ("[grants]\nconfig = { a = { secrets = \"A\" } }", "expected a text or { secret = \"NAME\" }"),
            ("[grants]\nconfig = { a = { secret = \"a b\" } }", "expected letters"),
            ("= 1", "line 1: "),
        ] {
            let refusal = parse(text).unwrap_err().to_string();
            assert!(refusal.contains(want) && !refusal.contains('\n'), "{text}: {refusal}");
        }
    }
}
