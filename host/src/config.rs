//! flags, else environment, else `tasq.toml`, else defaults: decided here, once. Nothing else reads the environment.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use tasq_host::backend::url::Url;
use tasq_host::cron::Entry;
use tasq_host::sandbox::ceilings::{Ceilings, Defaults, Operator};
use tasq_host::sandbox::http::Rule;
use tasq_host::text;

mod file;
mod flags;
mod keys;
mod layers;
mod values;

pub(crate) use flags::{
    CacheFlag, ConcurrencyFlag, Flags, HandlersFlag, LeaseFlag, SandboxFlags, SecretsFlag, WorkerFlags, typed,
};
pub(crate) use keys::Fallback;
pub(crate) use layers::{Environment, Layer, Origin, Setting, Settings};
pub(crate) use values::{Kind, LogFormat, Share};

/// What it all means.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that was read, and who named it.
    pub(crate) file: (Option<PathBuf>, Origin),
    /// The schedules of the file, if there is one.
    pub(crate) cron: Option<Vec<Entry>>,
    /// Where tasks live.
    pub(crate) broker: Url,
    /// Where results go, if they were given a place of their own.
    pub(crate) results: Option<Url>,
    /// Where compiled handlers are kept unless a command's own flag says otherwise; none where there is no home.
    pub(crate) cache: Option<PathBuf>,
    /// Bytes that all runs together may use, if someone has said.
    pub(crate) memory_budget: Option<ByteSize>,
    /// Whether memory may be reset by `PAGEMAP_SCAN`.
    pub(crate) pagemap_scan: bool,
    /// How a worker works.
    pub(crate) worker: Worker,
    /// Defaults, ceilings, and what may be granted.
    pub(crate) operator: Operator,
    /// Secrets that a manifest may ask for: `NAME`, from that variable, or `NAME=@FILE`.
    pub(crate) secrets: Vec<String>,
    /// All of it as it was said, and by whom.
    pub(crate) settings: Settings,
}

/// `[run]`.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) handlers: Option<PathBuf>,
    /// Empty for those of the handlers.
    pub(crate) queues: Vec<Share>,
    pub(crate) strict: bool,
    pub(crate) concurrency: usize,
    pub(crate) drain_timeout: Duration,
    pub(crate) lease: Duration,
    pub(crate) log_format: LogFormat,
}

/// A value that can't be understood, and who said it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub(crate) struct Misconfigured {
    origin: String,
    problem: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Misconfigured {
    fn of(origin: impl fmt::Display, problem: String) -> Misconfigured {
        Misconfigured { origin: origin.to_string(), problem, hint: None }
    }

    fn hint(self, hint: String) -> Misconfigured {
        Misconfigured { hint: Some(hint), ..self }
    }
}

/// The variable that holds a secret which the operator has named.
pub(crate) fn secret(name: &str) -> Option<std::ffi::OsString> {
    // The standard library panics at such names.
    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
    is_name.then(|| std::env::var_os(name)).flatten()
}

impl Config {
    /// Reads the file that `flags` or the environment name, else `tasq.toml`, and puts it beneath them. `typed` is what
    /// commands were told by their own flags.
    pub(crate) fn resolve(flags: Flags, typed: Layer, environment: &Environment) -> Result<Config, Misconfigured> {
        let variable = environment.config.as_ref().map(|path| (PathBuf::from(path), "TASQ_CONFIG"));
        let named = flags.config.map(|path| (path, "--config")).or(variable);
        let origin = match named {
            Some((_, "--config")) => Origin::Flag("config"),
            Some(_) => Origin::Variable("TASQ_CONFIG"),
            None => Origin::Default,
        };
        let file = file::read(named)?;
        let (path, cron) = file.as_ref().map(|file| (file.path.clone(), file.cron.clone())).unzip();
        let file = file.map(|file| (file.path, file.layer));
        Ok(Config { file: (path, origin), cron, ..Config::of(typed, environment, file)? })
    }

    fn of(typed: Layer, environment: &Environment, file: Option<(PathBuf, Layer)>) -> Result<Config, Misconfigured> {
        let settings = Settings::merge(typed, environment, file)?;
        Ok(Config {
            file: (None, Origin::Default),
            cron: None,
            broker: settings.one("broker", str::parse::<Url>)?.expect("it has a default"),
            results: settings.one("results", str::parse::<Url>)?,
            cache: settings.path("cache"),
            memory_budget: settings.one("sandbox.memory_budget", values::size)?,
            pagemap_scan: settings.one("sandbox.pagemap_scan", word)?.is_none_or(|when| when == "auto"),
            worker: Worker::of(&settings)?,
            operator: operator(&settings)?,
            secrets: settings.all("grants.secrets", word)?.unwrap_or_default(),
            settings,
        })
    }
}

impl Worker {
    fn of(settings: &Settings) -> Result<Worker, Misconfigured> {
        let queues = settings.all("run.queues", str::parse::<Share>)?.unwrap_or_default();
        let twice =
            queues.iter().enumerate().find(|(n, Share(name, _))| queues[..*n].iter().any(|share| share.0 == *name));
        if let Some((_, Share(name, _))) = twice {
            let problem = format!("queue {name}: expected once, found twice");
            return Err(settings.of("run.queues").misconfigured(problem));
        }
        let number = |text: &str| text.parse::<usize>();
        Ok(Worker {
            handlers: settings.path("run.handlers"),
            queues,
            strict: settings.one("run.strict", values::switch)?.unwrap_or_default(),
            concurrency: settings.one("run.concurrency", number)?.expect("it has a default"),
            drain_timeout: settings.one("run.drain_timeout", text::span)?.expect("it has a default"),
            lease: settings.one("run.lease", values::lease)?.expect("it has a default"),
            log_format: match settings.one("run.log_format", word)?.as_deref() {
                Some("json") => LogFormat::Json,
                _ => LogFormat::Text,
            },
        })
    }
}

fn operator(settings: &Settings) -> Result<Operator, Misconfigured> {
    let number = |text: &str| text.parse::<u32>();
    let operator = Operator {
        defaults: Defaults {
            queue: settings.one("defaults.queue", values::name)?,
            max_retries: settings.one("defaults.max_retries", number)?,
            backoff: settings.one("defaults.backoff", text::backoff)?,
            timeout: settings.one("defaults.timeout", text::positive_span)?,
            cpu: settings.one("defaults.cpu", text::positive_span)?,
            memory: settings.one("defaults.memory", values::run_memory)?,
        },
        ceilings: Ceilings {
            max_retries: settings.one("ceilings.max_retries", number)?,
            timeout: settings.one("ceilings.timeout", text::positive_span)?,
            cpu: settings.one("ceilings.cpu", text::positive_span)?,
            memory: settings.one("ceilings.memory", values::run_memory)?,
            concurrency: settings.one("ceilings.concurrency", str::parse::<usize>)?,
        },
        http: settings.all("grants.http", str::parse::<Rule>)?,
        enqueue: settings.all("grants.enqueue", values::name)?,
        store: settings.one("grants.store", values::switch)?,
    };
    let Operator { defaults, ceilings, .. } = &operator;
    below(settings, "max_retries", defaults.max_retries, ceilings.max_retries)?;
    below(settings, "timeout", defaults.timeout, ceilings.timeout)?;
    below(settings, "cpu", defaults.cpu, ceilings.cpu)?;
    below(settings, "memory", defaults.memory, ceilings.memory)?;
    Ok(operator)
}

/// Two words of the operator's that can't both be meant. The host's own default gives way without a word.
fn below<T: Ord>(settings: &Settings, key: &str, default: Option<T>, ceiling: Option<T>) -> Result<(), Misconfigured> {
    let (default_key, ceiling_key) = (format!("defaults.{key}"), format!("ceilings.{key}"));
    let setting = settings.of(&default_key);
    if setting.origin == Origin::Default || ceiling.is_none() || default <= ceiling {
        return Ok(());
    }
    let (most, found) = (settings.of(&ceiling_key).shown(), setting.shown());
    Err(setting.misconfigured(format!("expected at most {ceiling_key}, {most}, found {found}")))
}

fn word(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.to_owned())
}

impl Setting {
    /// Its value for people; "-" for none. A URL is shown without its password.
    pub(crate) fn shown(&self) -> String {
        self.values().map_or_else(|| "-".into(), |values| values.join(", "))
    }

    /// Its values one by one; none where there is none.
    pub(crate) fn values(&self) -> Option<Vec<String>> {
        let text = |text: &std::ffi::OsString| {
            let text = text.to_string_lossy();
            match self.key.kind {
                // What is no URL was an error before anyone could ask for this.
                Kind::Url => text.parse::<Url>().map(|url| url.to_string()).unwrap_or_default(),
                _ => text.into_owned(),
            }
        };
        self.texts.as_ref().map(|texts| texts.iter().map(text).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A layer, as "key=value" for each.
    fn layer(pairs: &[&str]) -> Layer {
        let pair = |pair: &&str| pair.split_once('=').map(|(key, value)| (keys::Key::of(key).name, vec![value.into()]));
        pairs.iter().filter_map(pair).collect()
    }

    fn environment(pairs: &[&str]) -> Environment {
        let values = layer(pairs).into_iter().map(|(key, mut texts)| (key, texts.remove(0))).collect();
        Environment { values, ..Environment::default() }
    }

    fn resolve(typed: &[&str], variables: &[&str], file: &str) -> Result<Config, Misconfigured> {
        let path = Path::new("tasq.toml");
        let (file, _) = file::parse(path, file)?;
        Config::of(layer(typed), &environment(variables), Some((path.into(), file)))
    }

    #[test]
    fn flags_come_before_the_environment_before_the_file_before_the_default() {
        let file = "[run]\nlease = \"3s\"";
        let lease = |typed: &[&str], variables: &[&str], file: &str| {
            let config = resolve(typed, variables, file).unwrap();
            (config.worker.lease.as_secs(), config.settings.of("run.lease").origin.to_string())
        };
        assert_eq!(lease(&["run.lease=1s"], &["run.lease=2s"], file), (1, "--lease".into()));
        assert_eq!(lease(&[], &["run.lease=2s"], file), (2, "TASQ_LEASE".into()));
        assert_eq!(lease(&[], &[], file), (3, "tasq.toml".into()));
        assert_eq!(lease(&[], &[], ""), (15, "default".into()));
    }

    #[test]
    fn a_bad_value_names_who_said_it_even_where_another_one_counts() {
        let refused = |typed: &[&str], variables: &[&str]| resolve(typed, variables, "").unwrap_err().to_string();
        assert!(refused(&["broker=x"], &[]).starts_with("--broker: \"x\""));
        assert!(refused(&[], &["broker=x"]).starts_with("TASQ_BROKER: \"x\""));
        assert_eq!(
            refused(&["run.lease=1s"], &["run.lease=soon"]),
            "TASQ_LEASE: expected a time such as 30s, 10m or 1h, at most 36500d, found \"soon\""
        );
        assert_eq!(
            refused(&[], &["grants.enqueue=A"]),
            "TASQ_GRANT_ENQUEUE: name \"A\": expected [a-z0-9][a-z0-9_-]{0,63}"
        );
    }

    #[test]
    fn everything_in_the_file_is_read() {
        let config = resolve(&[], &[], include_str!("config/everything.toml")).unwrap();
        assert!(config.settings.0.iter().all(|setting| setting.origin != Origin::Default), "a key is not in the file");
        let Worker { handlers, queues, strict, concurrency, drain_timeout, lease, log_format } = config.worker;
        assert_eq!(queues, [Share("mail".parse().unwrap(), 3), Share("default".parse().unwrap(), 1)]);
        assert_eq!((handlers, strict, concurrency), (Some("w".into()), true, 3));
        assert_eq!((drain_timeout.as_secs(), lease.as_secs(), log_format), (1, 2, LogFormat::Json));
        assert_eq!((config.memory_budget.unwrap().as_u64(), config.pagemap_scan), (1 << 30, false));
        let Operator { defaults, ceilings, http, enqueue, store } = config.operator;
        assert_eq!(defaults.queue, Some("bulk".parse().unwrap()));
        assert_eq!((defaults.max_retries, defaults.backoff.unwrap().to_string()), (Some(1), "fixed:1s".into()));
        let seconds = |time: Option<Duration>| time.unwrap().as_secs();
        assert_eq!((seconds(defaults.timeout), seconds(defaults.cpu)), (2, 3));
        assert_eq!((seconds(ceilings.timeout), seconds(ceilings.cpu)), (20, 30));
        assert_eq!((defaults.memory, ceilings.memory), (Some(ByteSize::mib(4)), Some(ByteSize::mib(40))));
        assert_eq!((ceilings.max_retries, ceilings.concurrency), (Some(10), Some(5)));
        assert_eq!(http.unwrap(), vec!["https://a".parse::<Rule>().unwrap()]);
        assert_eq!(enqueue.unwrap(), vec!["mail".parse().unwrap()]);
        assert_eq!((store, config.secrets), (Some(false), vec!["TOKEN".to_owned()]));
        assert_eq!(
            (config.broker.to_string(), config.results.unwrap().to_string()),
            ("sqlite:b".into(), "sqlite:r".into())
        );
        assert_eq!(config.cache, Some("c".into()));
    }

    /// `docs/tasq.toml`, of which users take a copy: each key is in it, either with its default or as a comment.
    #[test]
    fn the_example_has_every_key_and_says_its_default() {
        let example = include_str!("../../docs/tasq.toml");
        let as_it_is = resolve(&[], &[], example).unwrap().settings.0;
        let is_commented = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
        let line = |line| if is_commented(line) { &line[1..] } else { line };
        let uncommented: Vec<&str> = example.lines().map(line).collect();
        let whole = resolve(&[], &[], &uncommented.join("\n")).unwrap().settings.0;
        for (setting, filled) in as_it_is.iter().zip(&whole) {
            let name = setting.key.name;
            match setting.key.default {
                Fallback::Is(default) => assert_eq!(setting.shown(), default, "{name}: not the default"),
                _ => assert_eq!(setting.origin, Origin::Default, "{name}: expected a comment"),
            }
            assert_ne!(filled.origin, Origin::Default, "{name}: not in the example");
        }
    }

    #[test]
    fn lists_in_the_environment_are_parted_by_commas() {
        let config = resolve(&[], &["run.queues=mail=3, default", "grants.secrets=A,B"], "").unwrap();
        assert_eq!(config.worker.queues.len(), 2);
        assert_eq!(config.secrets, ["A", "B"]);
    }

    #[test]
    fn the_cache_is_where_it_was_put_else_in_the_users_cache() {
        let cache = |cache: &[&str], xdg: Option<&str>, home: Option<&str>| {
            let environment =
                Environment { xdg_cache_home: xdg.map(Into::into), home: home.map(Into::into), ..environment(cache) };
            Config::of(Layer::new(), &environment, None).unwrap().cache
        };
        assert_eq!(cache(&["cache=/c"], Some("/x"), Some("/h")), Some("/c".into()));
        assert_eq!(cache(&[], Some("/x"), Some("/h")), Some("/x/tasq-host".into()));
        assert_eq!(cache(&[], Some("relative"), Some("/h")), Some("/h/.cache/tasq-host".into()));
        assert_eq!(cache(&[], None, None), None);
    }

    #[test]
    fn a_default_of_the_operators_above_their_ceiling_is_an_error_and_the_hosts_gives_way() {
        let refused = resolve(&[], &[], "[defaults]\ntimeout = \"20s\"\n[ceilings]\ntimeout = \"10s\"").unwrap_err();
        let message = refused.to_string();
        assert_eq!(message, "tasq.toml: defaults.timeout: expected at most ceilings.timeout, 10s, found 20s");
        assert!(resolve(&[], &[], "[ceilings]\ntimeout = \"10s\"").is_ok());
    }

    #[test]
    fn a_queue_is_named_once() {
        let refused = resolve(&[], &[], "[run]\nqueues = [\"a\", \"b\", \"a=2\"]").unwrap_err().to_string();
        assert_eq!(refused, "tasq.toml: run.queues: queue a: expected once, found twice");
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = resolve(&["broker=redis://user:secret@host"], &[], "").unwrap();
        assert_eq!(config.settings.of("broker").shown(), "redis://user:***@host");
    }
}
