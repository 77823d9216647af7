//! Every key of the configuration: its name in `tasq.toml`, its flag, its variable, its default, and what it is for. Help,
//! `--print-config`, the strict keys of the file and what is resolved all come from here.

use std::ffi::OsString;

use super::layers::Environment;
use super::values::Kind;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Key {
    /// As in the file, with its table: `run.lease`. The flag's id as well.
    pub(crate) name: &'static str,
    /// Without the dashes; none where only file and variable say it.
    pub(crate) flag: Option<&'static str>,
    /// In the environment. A list is parted by commas there.
    pub(crate) variable: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Fallback,
    /// What `--help` says of it.
    pub(crate) about: &'static str,
}

/// What counts where nobody has said anything.
#[derive(Debug)]
pub(crate) enum Fallback {
    /// This, as it would be typed.
    Is(&'static str),
    /// What comes of the machine or the environment, and how that is told.
    Found(fn(&Environment) -> Option<OsString>, &'static str),
    /// No value; what that means.
    Nothing(&'static str),
}

use Fallback::{Found, Is, Nothing};

impl Key {
    /// For `name`, which is in the table.
    pub(crate) fn of(name: &str) -> &'static Key {
        Key::find(name).expect("a key that the code asks for is in the table")
    }

    /// For what someone has written, which may be anything.
    pub(crate) fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Its table in the file, "" for none, and its name there.
    pub(crate) fn place(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }
}

/// The tables of the file, in the order of the keys.
pub(crate) fn tables() -> impl Iterator<Item = &'static str> {
    let mut before = "";
    KEYS.iter().map(|key| key.place().0).filter(move |&table| table != std::mem::replace(&mut before, table))
}

/// The names of the keys in `table`.
pub(crate) fn names(table: &str) -> Vec<&'static str> {
    KEYS.iter().map(Key::place).filter(|(above, _)| *above == table).map(|(_, name)| name).collect()
}

/// In the order in which they are shown: those without a table first, as the file wants it.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "broker", flag: Some("broker"), variable: "TASQ_BROKER", kind: Kind::Url, default: Is("sqlite:tasq.db"),
        about: "Where tasks live: sqlite:PATH, redis://HOST (also redis+cluster://HOSTS, redis+sentinel://HOSTS/MASTER) or nats://HOST",
    },
    Key {
        name: "results", flag: Some("results"), variable: "TASQ_RESULTS", kind: Kind::Url, default: Nothing("the broker's"),
        about: "Where results go",
    },
    Key {
        name: "cache", flag: Some("cache"), variable: "TASQ_CACHE_DIR", kind: Kind::Folder,
        default: Found(Environment::cache, "tasq-host in the user's cache"),
        about: "Folder for compiled handlers",
    },
    Key {
        name: "run.handlers", flag: Some("handlers"), variable: "TASQ_HANDLERS", kind: Kind::Folder,
        default: Nothing("none, it has to be said"),
        about: "The folder whose NAME.wasm files serve the handlers NAME",
    },
    Key {
        name: "run.queues", flag: Some("queue"), variable: "TASQ_QUEUES", kind: Kind::Shares,
        default: Nothing("default and those that manifests name"),
        about: "A queue to take from, and its share; may be repeated",
    },
    Key {
        name: "run.strict", flag: Some("strict"), variable: "TASQ_STRICT", kind: Kind::Switch, default: Is("false"),
        about: "Take from the first queue first, and from high priority first: what comes later may starve",
    },
    Key {
        name: "run.concurrency", flag: Some("concurrency"), variable: "TASQ_CONCURRENCY", kind: Kind::Number(1, 100_000),
        default: Found(super::values::concurrency, "16 per core"),
        about: "Runs at once",
    },
    Key {
        name: "run.drain_timeout", flag: Some("drain-timeout"), variable: "TASQ_DRAIN_TIMEOUT", kind: Kind::Span,
        default: Is("25s"),
        about: "How long running tasks may go on after the first stop",
    },
    Key {
        name: "run.lease", flag: Some("lease"), variable: "TASQ_LEASE", kind: Kind::Lease, default: Is("15s"),
        about: "How long a task stays taken when its worker vanishes; extended each third of it",
    },
    Key {
        name: "run.log_format", flag: Some("log-format"), variable: "TASQ_LOG_FORMAT", kind: Kind::OneOf(&["text", "json"]),
        default: Is("text"),
        about: "How log lines look: for people, or one object a line",
    },
    Key {
        name: "sandbox.memory_budget", flag: Some("memory-budget"), variable: "TASQ_MEMORY_BUDGET", kind: Kind::Size,
        default: Nothing("70 % of the container's or machine's"),
        about: "Memory that all runs together may use, such as 2GiB",
    },
    Key {
        name: "sandbox.pagemap_scan", flag: Some("pagemap-scan"), variable: "TASQ_PAGEMAP_SCAN",
        kind: Kind::OneOf(&["auto", "off"]), default: Is("auto"),
        about: "Resetting memory by PAGEMAP_SCAN, which is quicker: where it is safe, or never",
    },
    Key {
        name: "defaults.queue", flag: None, variable: "TASQ_DEFAULT_QUEUE", kind: Kind::Name, default: Nothing("default"),
        about: "Where tasks go for which neither they nor the handler's manifest name a queue; a worker announces it",
    },
    Key {
        name: "defaults.max_retries", flag: None, variable: "TASQ_DEFAULT_MAX_RETRIES",
        kind: Kind::Number(0, u32::MAX), default: Is("25"),
        about: "Runs after the first failed one, where neither task nor manifest says how many",
    },
    Key {
        name: "defaults.backoff", flag: None, variable: "TASQ_DEFAULT_BACKOFF", kind: Kind::Backoff,
        default: Is("exponential:1s..1h"),
        about: "Delays between them",
    },
    Key {
        name: "defaults.timeout", flag: None, variable: "TASQ_DEFAULT_TIMEOUT", kind: Kind::Limit, default: Is("30s"),
        about: "Wall time of one run",
    },
    Key {
        name: "defaults.cpu", flag: None, variable: "TASQ_DEFAULT_CPU", kind: Kind::Limit, default: Is("5s"),
        about: "CPU time of one run",
    },
    Key {
        name: "defaults.memory", flag: None, variable: "TASQ_DEFAULT_MEMORY", kind: Kind::RunMemory, default: Is("128MiB"),
        about: "Memory of one run",
    },
    Key {
        name: "ceilings.max_retries", flag: None, variable: "TASQ_CEILING_MAX_RETRIES",
        kind: Kind::Number(0, u32::MAX), default: Nothing("no ceiling"),
        about: "The most retries that a manifest or a task gets",
    },
    Key {
        name: "ceilings.timeout", flag: None, variable: "TASQ_CEILING_TIMEOUT", kind: Kind::Limit,
        default: Nothing("no ceiling"),
        about: "The longest wall time of one run",
    },
    Key {
        name: "ceilings.cpu", flag: None, variable: "TASQ_CEILING_CPU", kind: Kind::Limit, default: Nothing("no ceiling"),
        about: "The most CPU time of one run",
    },
    Key {
        name: "ceilings.memory", flag: None, variable: "TASQ_CEILING_MEMORY", kind: Kind::RunMemory,
        default: Nothing("no ceiling"),
        about: "The most memory of one run",
    },
    Key {
        name: "ceilings.concurrency", flag: None, variable: "TASQ_CEILING_CONCURRENCY",
        kind: Kind::Number(1, u32::MAX), default: Nothing("no ceiling"),
        about: "The most runs of one handler at once in a worker",
    },
    Key {
        name: "grants.http", flag: None, variable: "TASQ_GRANT_HTTP", kind: Kind::Texts, default: Nothing("anywhere outside"),
        about: "Where a manifest may let its handler reach over HTTP; an address inside has to be named here",
    },
    Key {
        name: "grants.enqueue", flag: None, variable: "TASQ_GRANT_ENQUEUE", kind: Kind::Names, default: Nothing("all"),
        about: "The handlers whose tasks a manifest may let its handler enqueue",
    },
    Key {
        name: "grants.store", flag: None, variable: "TASQ_GRANT_STORE", kind: Kind::Switch, default: Nothing("true"),
        about: "Whether a manifest may let its handler use a store",
    },
    Key {
        name: "grants.secrets", flag: Some("secret"), variable: "TASQ_SECRETS", kind: Kind::Texts, default: Nothing("none"),
        about: "A secret that manifests may ask for, NAME from the variable NAME, or NAME=@FILE; may be repeated",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tasq_host::retry::MAX_RETRIES;
    use tasq_host::sandbox::{CPU, MEMORY, TIMEOUT};
    use tasq_host::task::Backoff;

    #[test]
    fn names_and_variables_are_unique_and_every_default_keeps_its_own_rule() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(|key| key.variable).collect();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
        for key in KEYS {
            assert!(key.variable.starts_with("TASQ_"), "{}", key.variable);
            if let Is(text) = key.default {
                assert_eq!(key.kind.check(text), Ok(()), "{}", key.name);
            }
        }
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let default = |name| match Key::of(name).default {
            Is(text) => text.to_owned(),
            _ => String::new(),
        };
        assert_eq!(default("defaults.max_retries"), MAX_RETRIES.to_string());
        assert_eq!(default("defaults.backoff"), Backoff::DEFAULT.to_string());
        assert_eq!(default("defaults.timeout"), humantime::format_duration(TIMEOUT).to_string());
        assert_eq!(default("defaults.cpu"), humantime::format_duration(CPU).to_string());
        assert_eq!(default("defaults.memory").parse::<bytesize::ByteSize>().unwrap().as_u64(), MEMORY);
    }
}
