//! The flags that stand for keys: made from the table, and collected from what was typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, PossibleValuesParser, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

use super::keys::{Fallback, KEYS, Key};
use super::layers::Layer;
use super::values::Kind;

/// Known to every command.
const GLOBAL: [&str; 2] = ["broker", "results"];

/// What was typed, for every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Flags {
    /// File with settings [env: TASQ_CONFIG] [default: ./tasq.toml if it is there]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Global options", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    _servers: Servers,
    /// Print every setting and where it came from, and do nothing else
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) print_config: bool,
    /// Print data as JSON: one object, or one a line
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

/// A set of flags that a command flattens into its own. Their values are in `Config`, whoever said them.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident: [$($key:literal),+];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;

        impl clap::Args for $name {
            fn augment_args(command: Command) -> Command {
                [$($key),+].into_iter().fold(command, |command, key| command.arg(flag(Key::of(key))))
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl clap::FromArgMatches for $name {
            fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
                Ok($name)
            }

            fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
                Ok(())
            }
        }
    )*};
}

flags! {
    /// Where tasks and results live.
    Servers: ["broker", "results"];
    /// How a worker works.
    WorkerFlags: [
        "run.handlers", "run.queues", "run.strict", "run.concurrency", "run.drain_timeout", "run.lease", "run.log_format"
    ];
    /// The folder of handlers.
    HandlersFlag: ["run.handlers"];
    /// Runs at once.
    ConcurrencyFlag: ["run.concurrency"];
    /// How long a lease is.
    LeaseFlag: ["run.lease"];
    /// How the sandbox is set up.
    SandboxFlags: ["sandbox.memory_budget", "sandbox.pagemap_scan"];
    /// What manifests may ask for.
    SecretsFlag: ["grants.secrets"];
    /// Where compiled handlers are kept.
    CacheFlag: ["cache"];
}

fn flag(key: &'static Key) -> Arg {
    let long = key.flag.expect("a key that a command flattens has a flag");
    let arg = Arg::new(key.name).long(long).value_name(key.kind.placeholder()).value_parser(parser(key.kind));
    let arg = match key.kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Folder => arg.value_hint(ValueHint::DirPath),
        kind if kind.is_list() => arg.action(ArgAction::Append),
        _ => arg,
    };
    let arg = arg.help(help(key));
    if GLOBAL.contains(&key.name) { arg.global(true).help_heading("Global options") } else { arg }
}

fn parser(kind: Kind) -> ValueParser {
    match kind {
        Kind::Folder => PathBufValueParser::new().into(),
        Kind::OneOf(choices) => PossibleValuesParser::new(choices).into(),
        kind => ValueParser::new(move |text: &str| kind.check(text).map(|()| text.to_owned())),
    }
}

/// What it is for, its variable, and its default.
fn help(key: &Key) -> String {
    let default = match key.default {
        // Of a switch, everybody knows.
        Fallback::Is("false") => String::new(),
        Fallback::Is(shown) | Fallback::Found(_, shown) | Fallback::Nothing(shown) => format!(" [default: {shown}]"),
    };
    format!("{} [env: {}]{default}", key.about, key.variable)
}

/// What was typed, by the keys that it stands for, whichever command took it.
pub(crate) fn typed(matches: &ArgMatches) -> Layer {
    let mut layer = matches.subcommand().map(|(_, inner)| typed(inner)).unwrap_or_default();
    for key in KEYS {
        let is_typed =
            matches.ids().any(|id| id == key.name) && matches.value_source(key.name) == Some(ValueSource::CommandLine);
        if let Some(texts) = is_typed.then(|| matches.get_raw(key.name)).flatten() {
            layer.entry(key.name).or_insert_with(|| texts.map(OsString::from).collect());
        }
    }
    layer
}
