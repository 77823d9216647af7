//! `tasq.toml`. Strict: a misspelt key or a value of another sort is an error, never a silence.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tasq_host::cron::Entry;
use tasq_host::keys;

use super::Misconfigured;
use super::keys::{Key, names, tables};
use super::layers::{Layer, check};
use super::values::Kind;

/// Looked for in the working folder unless a file is named.
const USUAL: &str = "tasq.toml";

/// A file that was read.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The values of its keys.
    pub(super) layer: Layer,
    /// Its tables `[[cron]]`.
    pub(super) cron: Vec<Entry>,
}

/// What `named` says, and who named it; else what the usual file says, if it is there.
pub(super) fn read(named: Option<(PathBuf, &'static str)>) -> Result<Option<File>, Misconfigured> {
    let (path, who) = named.map_or_else(|| (PathBuf::from(USUAL), None), |(path, who)| (path, Some(who)));
    let wrong = |found: &str| {
        let (origin, shown) = (who.unwrap_or(USUAL), path.display());
        Misconfigured::of(origin, format!("{shown}: expected a file, found {found}"))
    };
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text).map(|(layer, cron)| Some(File { path, layer, cron })),
        Err(error) if error.kind() == ErrorKind::NotFound && who.is_none() => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(wrong("nothing")),
        Err(_) if path.is_dir() => Err(wrong("a folder")),
        Err(error) => Err(wrong(&format!("one that can't be read: {error}"))),
    }
}

/// The values of a file's keys, and its schedules.
pub(super) fn parse(path: &Path, text: &str) -> Result<(Layer, Vec<Entry>), Misconfigured> {
    let wrong = |problem: String| Misconfigured::of(path.display(), problem);
    let tree: toml::Table = toml::from_str(text).map_err(|error| wrong(keys::mistake(text, &error)))?;
    let (mut layer, mut cron) = (Layer::new(), Vec::new());
    for (name, value) in tree {
        match value {
            toml::Value::Array(tables) if name == "cron" => {
                cron = tables.into_iter().map(schedule).collect::<Result<_, _>>().map_err(wrong)?;
            }
            toml::Value::Table(table) if tables().any(|known| known == name) => {
                for (key, value) in table {
                    let full = format!("{name}.{key}");
                    let Some(known) = Key::find(&full) else { return Err(unknown(path, &name, &key)) };
                    layer.insert(known.name, texts(known, value).map_err(|bad| wrong(format!("{full}: {bad}")))?);
                }
            }
            _ if tables().any(|known| known == name) => {
                return Err(wrong(format!("{name}: expected a table, found {}", shown(&value))));
            }
            value => match Key::find(&name) {
                Some(known) => {
                    layer.insert(known.name, texts(known, value).map_err(|bad| wrong(format!("{name}: {bad}")))?);
                }
                None => return Err(unknown(path, "", &name)),
            },
        }
    }
    Ok((layer, cron))
}

/// One of the tables `[[cron]]`, looked at now: a broker isn't needed to tell what is wrong with it.
fn schedule(table: toml::Value) -> Result<Entry, String> {
    let named = table.get("name").and_then(toml::Value::as_str).unwrap_or_default().escape_debug().to_string();
    let entry = Entry::deserialize(table);
    let entry = entry.map_err(|bad| format!("cron {named}: {}", bad.message().replace('\n', " ")))?;
    entry.schedule().map_err(|bad| bad.message)?;
    Ok(entry)
}

fn unknown(path: &Path, table: &str, key: &str) -> Misconfigured {
    let above = if table.is_empty() { String::new() } else { format!("{table}.") };
    let here = || {
        let mut known = names(table);
        if table.is_empty() {
            known.extend(tables().filter(|table| !table.is_empty()));
        }
        keys::hint(&above, key, &known)
    };
    // Known, but of another table.
    let elsewhere = super::keys::KEYS.iter().find(|known| known.place().1 == key);
    let hint = elsewhere.map_or_else(here, |known| format!("did you mean `{}`?", known.name));
    Misconfigured::of(path.display(), format!("unknown key `{above}{}`", key.escape_debug())).hint(hint)
}

/// `value` as it would be typed, if it is of the sort that `key` wants.
fn texts(key: &Key, value: toml::Value) -> Result<Vec<OsString>, String> {
    let expected = |found: &toml::Value| format!("expected {}, found {}", key.kind.in_toml(), shown(found));
    let texts = match (key.kind, value) {
        (kind, toml::Value::Array(values)) if kind.is_list() => values
            .iter()
            .map(|value| value.as_str().map(OsString::from).ok_or_else(|| expected(value)))
            .collect::<Result<_, _>>()?,
        (Kind::Number(..), toml::Value::Integer(number)) => vec![number.to_string().into()],
        (Kind::Switch, toml::Value::Boolean(switch)) => vec![switch.to_string().into()],
        (Kind::Number(..) | Kind::Switch, found) => return Err(expected(&found)),
        (kind, toml::Value::String(text)) if !kind.is_list() => vec![text.into()],
        (_, found) => return Err(expected(&found)),
    };
    texts.iter().try_for_each(|text| check(key, text))?;
    Ok(texts)
}

/// Its sort, and what it is where that is short.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(_) => "a text".into(),
        toml::Value::Array(_) => "an array".into(),
        toml::Value::Table(_) => "a table".into(),
        short => short.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, Option<String>) {
        let bad = parse(Path::new("tasq.toml"), text).err().unwrap();
        (bad.to_string(), bad.hint)
    }

    #[test]
    fn a_misspelt_key_is_named_with_the_nearest() {
        let (message, hint) = refused("[run]\nleese = \"15s\"");
        assert_eq!(message, "tasq.toml: unknown key `run.leese`");
        assert_eq!(hint.unwrap(), "did you mean `run.lease`?");
        assert_eq!(refused("brocker = \"x\"").1.unwrap(), "did you mean `broker`?");
        assert_eq!(refused("[ceiling]\ncpu = \"1s\"").1.unwrap(), "did you mean `ceilings`?");
        assert_eq!(refused("lease = \"15s\"").1.unwrap(), "did you mean `run.lease`?");
        assert_eq!(refused("[run.lease]\nx = 1").0, "tasq.toml: run.lease: expected a text, found a table");
    }

    #[test]
    fn a_wrong_value_names_key_expectation_and_find() {
        for (text, want) in [
            (
                "[run]\nlease = \"soon\"",
                "run.lease: expected a time such as 30s, 10m or 1h, at most 36500d, found \"soon\"",
            ),
            ("[run]\nlease = 15", "run.lease: expected a text, found 15"),
            ("[run]\nstrict = \"yes\"", "run.strict: expected true or false, found a text"),
            ("[run]\nconcurrency = 0", "run.concurrency: expected a whole number from 1 to 100000, found \"0\""),
            ("[run]\nqueues = \"mail\"", "run.queues: expected an array of texts, found a text"),
            ("[run]\nqueues = [\"mail\", 1]", "run.queues: expected an array of texts, found 1"),
            ("[run]\nlog_format = \"xml\"", "run.log_format: expected text or json, found \"xml\""),
            ("run = 1", "run: expected a table, found 1"),
            ("broker = [\"a\"]", "broker: expected a text, found an array"),
            ("broker =", "line 1: "),
            ("cron = 1", "unknown key `cron`"),
            ("[[cron]]\nname = \"n\"\nhandler = \"h\"", "cron n: missing field `expression`"),
            ("[[cron]]\nname = \"n\"\ncolour = 1", "cron n: unknown field `colour`"),
            (
                "[[cron]]\nname = \"n\"\nhandler = \"h\"\nexpression = \"* *\"",
                "cron n: cron expression \"* *\": expected minute",
            ),
        ] {
            let (message, _) = refused(text);
            assert!(message.starts_with(&format!("tasq.toml: {want}")), "{text}: {message}");
        }
    }

    #[test]
    fn only_a_file_that_was_named_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no.toml");
        let bad = read(Some((missing.clone(), "--config"))).err().unwrap().to_string();
        assert_eq!(bad, format!("--config: {}: expected a file, found nothing", missing.display()));
        let bad = read(Some((folder.path().into(), "TASQ_CONFIG"))).err().unwrap().to_string();
        assert!(bad.starts_with("TASQ_CONFIG: ") && bad.ends_with("found a folder"), "{bad}");
    }
}
