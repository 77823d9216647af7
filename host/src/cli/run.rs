//! `tasq-host run`: a worker, from its start to its last word.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tasq_host::broker::Order;
use tasq_host::task::Name;
use tasq_host::worker::{self, Options, Queues, Summary};
use tasq_host::{backend, sandbox};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::error::{Code, Error};
use super::logging::{self, Levels, LogFormat};
use super::sandbox::{SandboxArgs, load_folder};
use super::secrets::SecretArgs;
use super::{connect, follow, input};
use crate::config::Config;

/// Runs at once, for each core: most handlers wait more than they compute.
const PER_CORE: usize = 16;
/// Begun runs whose worker vanished before a task counts as `poison`.
pub(super) const MAX_LOST: u32 = 3;

/// Runs at once unless someone says otherwise.
pub(super) fn default_concurrency() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) * PER_CORE
}

/// Run tasks: a worker that takes them from its queues and runs their handlers
///
/// The first SIGTERM or Ctrl-C takes no more tasks and lets running ones finish; the second gives them back at once,
/// without charging an attempt. Files that are put into the handlers folder, replaced or removed take effect at once
/// (SIGHUP looks again); runs in progress finish on the version they began with. Several workers may share a broker.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host run --handlers ./wasm
  tasq-host run --handlers ./wasm --queue mail=3 --queue default --concurrency 8
  tasq-host run --handlers ./wasm --until-empty")]
pub(crate) struct Args {
    /// The folder whose NAME.wasm files serve the handlers NAME
    #[arg(long, value_name = "DIR")]
    handlers: PathBuf,
    /// A queue to take from, and its share; may be repeated [default: default and those that manifests name]
    #[arg(long = "queue", value_name = "NAME[=WEIGHT]")]
    queues: Vec<Share>,
    /// Take from the first queue first, and from high priority first: what comes later may starve
    #[arg(long)]
    strict: bool,
    /// Runs at once [default: 16 per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: Option<u32>,
    /// How long running tasks may go on after the first stop
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = input::span)]
    drain_timeout: Duration,
    /// How long a task stays taken when its worker vanishes; extended each third of it
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = input::lease)]
    lease: Duration,
    /// End when nothing is pending, running or due within a second; exit with 1 if a task died
    #[arg(long)]
    until_empty: bool,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Log each task as well, and what handlers log for information; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(flatten)]
    secrets: SecretArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// A queue and its weight, at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Share(Name, u32);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
        let name = name.parse().map_err(|bad: tasq_host::task::InvalidName| bad.to_string())?;
        let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
        weight.map(|weight| Share(name, weight)).ok_or_else(|| "expected a weight from 1 to 1000000".into())
    }
}

/// Works until it is stopped, or its queues are empty if that is asked.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    logging::start(args.log_format, Levels::of(args.verbose));
    let concurrency = args.concurrency.map_or_else(default_concurrency, |runs| runs as usize);
    let sandbox = args.sandbox.open(&config, concurrency, args.secrets.permissions()?)?;
    let loaded = load_folder(&sandbox, &args.handlers)?;
    let sandbox = Arc::new(sandbox);
    let following = follow::start(sandbox.clone(), args.handlers.clone(), loaded)?;
    let options = options(&args, concurrency, queues(&args.queues)?);
    let backend = connect::within(&config, backend::open(&config.broker, config.results.as_ref())).await?;
    let (stop, stop_now) = stops()?;
    say_hello(&config, &sandbox, &options);
    // Among the runtime's other tasks: from the main thread each turn of the worker would wake another one.
    let working = tokio::spawn(worker::run(backend, sandbox, options, stop, stop_now));
    let summary = working.await.map_err(|panic| Error::new(Code::Failed, format!("a bug in tasq-host: {panic}")))??;
    drop(following);
    say_goodbye(&summary, args.until_empty);
    let died = args.until_empty && summary.dead > 0;
    if died { Err(Error::silent(Code::Failed)) } else { Ok(()) }
}

fn options(args: &Args, concurrency: usize, queues: Queues) -> Options {
    Options {
        queues,
        order: if args.strict { Order::Strict } else { Order::Weighted },
        concurrency,
        lease: args.lease,
        drain_timeout: args.drain_timeout,
        max_lost: MAX_LOST,
        until_empty: args.until_empty,
    }
}

/// The queues that were asked for, else those of the handlers.
fn queues(asked: &[Share]) -> Result<Queues, Error> {
    let mut seen = BTreeSet::new();
    if let Some(Share(twice, _)) = asked.iter().find(|Share(name, _)| !seen.insert(name)) {
        return Err(Error::usage(format!("queue {twice}: expected once, found twice")));
    }
    if asked.is_empty() {
        return Ok(Queues::Served);
    }
    Ok(Queues::Named(asked.iter().map(|Share(name, weight)| (name.clone(), *weight)).collect()))
}

/// Resolve at the first and at the second SIGTERM or Ctrl-C.
fn stops() -> Result<(impl Future<Output = ()>, impl Future<Output = ()>), Error> {
    let failed = |error: std::io::Error| Error::new(Code::Failed, format!("signals can't be listened for: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (first, stop) = oneshot::channel::<()>();
    let (second, stop_now) = oneshot::channel::<()>();
    tokio::spawn(async move {
        for (which, sender) in
            [("finishing what runs; once more gives it back at once", first), ("giving back what runs", second)]
        {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping: {which}");
            // Nobody listens any more once the worker has ended.
            let _ = sender.send(());
        }
    });
    let resolved = |receiver: oneshot::Receiver<()>| async {
        if receiver.await.is_err() {
            // The listener is gone without a signal: that must not pass for one.
            std::future::pending::<()>().await;
        }
    };
    Ok((resolved(stop), resolved(stop_now)))
}

fn say_hello(config: &Config, sandbox: &sandbox::Sandbox, options: &Options) {
    for note in sandbox.notes() {
        tracing::info!("{note}");
    }
    let handlers = sandbox.handlers();
    let mut names: Vec<&str> = handlers.keys().map(Name::as_str).collect();
    names.sort_unstable();
    if names.is_empty() {
        tracing::warn!("no handlers: every task that is taken waits, parked, for a worker that has its handler");
    }
    let queues = options.queues.with(&handlers);
    let queues: Vec<&str> = queues.iter().map(|(name, _)| name.as_str()).collect();
    let (handlers, queues) = (names.join(" "), queues.join(" "));
    tracing::info!(broker = %config.broker, queues, handlers, concurrency = options.concurrency, "working");
}

fn say_goodbye(summary: &Summary, until_empty: bool) {
    let Summary { done, retried, dead, released, stale, scheduled, parked } = *summary;
    tracing::info!(done, retried, dead, released, "stopped");
    if stale > 0 {
        tracing::warn!("{stale} runs ended too late: other workers had their tasks by then");
    }
    if until_empty && scheduled + parked > 0 {
        tracing::info!(scheduled, parked, "left in the queues");
    }
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
}
