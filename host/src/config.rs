//! flags, else environment, else defaults: decided here, once. Nothing else reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use tasq_host::backend::url::Url;

/// What was typed, for every command.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// Where tasks live: sqlite:PATH, redis://HOST or nats://HOST [env: TASQ_BROKER] [default: sqlite:tasq.db]
    #[arg(long, value_name = "URL", global = true, help_heading = "Global options")]
    broker: Option<String>,
    /// Where results go [env: TASQ_RESULTS] [default: the broker's]
    #[arg(long, value_name = "URL", global = true, help_heading = "Global options")]
    results: Option<String>,
}

/// What the environment says, unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    broker: Option<OsString>,
    results: Option<OsString>,
    cache: Option<OsString>,
    xdg_cache_home: Option<OsString>,
    home: Option<OsString>,
}

/// What it all means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where tasks live.
    pub(crate) broker: Url,
    /// Where results go, if they were given a place of their own.
    pub(crate) results: Option<Url>,
    /// Where compiled handlers are kept unless a command's own flag says otherwise; none where there is no home.
    pub(crate) cache: Option<PathBuf>,
}

/// A value that can't be understood, and who said it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub(crate) struct Misconfigured {
    origin: &'static str,
    problem: String,
}

impl Environment {
    /// Reads the process's environment. A variable that is set to nothing counts as not set.
    pub(crate) fn read() -> Environment {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Environment {
            broker: read("TASQ_BROKER"),
            results: read("TASQ_RESULTS"),
            cache: read("TASQ_CACHE_DIR"),
            xdg_cache_home: read("XDG_CACHE_HOME"),
            home: read("HOME"),
        }
    }
}

/// The variable that holds a secret which the operator has named.
pub(crate) fn secret(name: &str) -> Option<OsString> {
    // The standard library panics at such names.
    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
    is_name.then(|| std::env::var_os(name)).flatten()
}

impl Config {
    /// flags.or(environment).or(defaults).
    pub(crate) fn resolve(flags: Flags, environment: Environment) -> Result<Config, Misconfigured> {
        let broker = url("--broker", flags.broker).or_else(|| variable("TASQ_BROKER", environment.broker));
        let broker = broker.unwrap_or_else(|| Ok("sqlite:tasq.db".parse().expect("the default is a URL")))?;
        let results = url("--results", flags.results).or_else(|| variable("TASQ_RESULTS", environment.results));
        // XDG: a relative path is to be ignored.
        let xdg = environment.xdg_cache_home.map(PathBuf::from).filter(|path| path.is_absolute());
        let home = xdg.or_else(|| environment.home.map(|home| PathBuf::from(home).join(".cache")));
        let cache = environment.cache.map(PathBuf::from).or_else(|| home.map(|home| home.join("tasq-host")));
        Ok(Config { broker, results: results.transpose()?, cache })
    }
}

fn url(origin: &'static str, text: Option<String>) -> Option<Result<Url, Misconfigured>> {
    let parse = |text: String| text.parse::<Url>().map_err(|bad| Misconfigured { origin, problem: bad.to_string() });
    text.map(parse)
}

fn variable(name: &'static str, value: Option<OsString>) -> Option<Result<Url, Misconfigured>> {
    match value?.into_string() {
        Ok(text) => url(name, Some(text)),
        Err(_) => {
            Some(Err(Misconfigured { origin: name, problem: "expected a URL, found bytes that are no UTF-8".into() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flag: Option<&str>, variable: Option<&str>) -> Result<Config, Misconfigured> {
        let flags = Flags { broker: flag.map(Into::into), results: None };
        Config::resolve(flags, Environment { broker: variable.map(Into::into), ..Environment::default() })
    }

    #[test]
    fn flags_come_before_the_environment_and_that_before_the_default() {
        let broker = |flag, variable| resolve(flag, variable).unwrap().broker.to_string();
        assert_eq!(broker(Some("sqlite:a"), Some("sqlite:b")), "sqlite:a");
        assert_eq!(broker(None, Some("sqlite:b")), "sqlite:b");
        assert_eq!(broker(None, None), "sqlite:tasq.db");
        assert_eq!(resolve(None, None).unwrap().results, None);
    }

    #[test]
    fn a_bad_value_names_who_said_it() {
        let flag = resolve(Some("x"), None).unwrap_err().to_string();
        assert!(flag.starts_with("--broker: \"x\""), "{flag}");
        let variable = resolve(None, Some("x")).unwrap_err().to_string();
        assert!(variable.starts_with("TASQ_BROKER: \"x\""), "{variable}");
    }

    #[test]
    fn the_cache_is_where_it_was_put_else_in_the_users_cache() {
        let cache = |cache: Option<&str>, xdg: Option<&str>, home: Option<&str>| {
            let environment = Environment {
                cache: cache.map(Into::into),
                xdg_cache_home: xdg.map(Into::into),
                home: home.map(Into::into),
                ..Environment::default()
            };
            Config::resolve(Flags::default(), environment).unwrap().cache
        };
        assert_eq!(cache(Some("/c"), Some("/x"), Some("/h")), Some("/c".into()));
        assert_eq!(cache(None, Some("/x"), Some("/h")), Some("/x/tasq-host".into()));
        assert_eq!(cache(None, Some("relative"), Some("/h")), Some("/h/.cache/tasq-host".into()));
        assert_eq!(cache(None, None, None), None);
    }
}
