//! `tasq-host run`: a worker, from its start to its last word.

use std::io::IsTerminal;
use std::sync::Arc;

use tasq_host::backend::Backend;
use tasq_host::broker::Order;
use tasq_host::client::Synced;
use tasq_host::task::Name;
use tasq_host::worker::{self, Options, Queues, Summary};
use tasq_host::{Client, backend, sandbox};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::error::{Code, Error};
use super::live::Line;
use super::logging::{self, Levels, LogFormat};
use super::sandbox::{SandboxArgs, handlers, load_folder};
use super::secrets::permitted;
use super::{connect, doctor, follow, supervise};
use crate::config::{Config, SecretsFlag, Share, Worker, WorkerFlags};

/// Begun runs whose worker vanished before a task counts as `poison`.
pub(super) const MAX_LOST: u32 = 3;

/// Run tasks: a worker that takes them from its queues and runs their handlers
///
/// The first SIGTERM or Ctrl-C, or the end of its terminal, takes no more tasks and lets running ones finish; the second
/// gives them back at once, without charging an attempt. Files that are put into the handlers folder, replaced or removed
/// take effect at once (SIGHUP looks again); runs in progress finish on the version they began with. Settings, schedules of
/// the file and secrets are read once, at the start. Several workers may share a broker.
/// On a terminal the last line shows how it goes, unless logs are JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host run --handlers ./wasm
  tasq-host run --handlers ./wasm --queue mail=3 --queue default --concurrency 8
  tasq-host run --handlers ./wasm --until-empty")]
pub(crate) struct Args {
    #[command(flatten)]
    _flags: WorkerFlags,
    /// End when nothing is pending, running or due within a second; exit with 1 if a task died
    #[arg(long)]
    until_empty: bool,
    /// Log each task as well, and what handlers log for information; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(flatten)]
    _secrets: SecretsFlag,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// Works until it is stopped, or its queues are empty if that is asked.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let log_format = config.worker.log_format;
    let line = if log_format == LogFormat::Text { Line::on_stderr() } else { Line::none() };
    logging::start(log_format, Levels::of(args.verbose), line.clone());
    let handlers = handlers(&config)?;
    let sandbox = args.sandbox.open(&config, config.worker.concurrency, permitted(&config)?)?;
    let loaded = load_folder(&sandbox, handlers)?;
    let sandbox = Arc::new(sandbox);
    let following = follow::start(sandbox.clone(), handlers.to_owned(), loaded)?;
    let options = options(&args, &config.worker);
    let backend = connect::within(&config, backend::open(&config.broker, config.results.as_ref())).await?;
    sync_schedules(&config, &backend).await?;
    let (stop, stop_now) = stops()?;
    say_hello(&config, &sandbox, &options);
    let _supervised = supervise::ready(sandbox.clone());
    let shown = line.show(backend.operations.clone(), sandbox.clone(), &options);
    // Among the runtime's other tasks: from the main thread each turn of the worker would wake another one.
    let working = tokio::spawn(worker::run(backend, sandbox, options, stop, stop_now));
    let summary = working.await.map_err(|panic| Error::new(Code::Failed, format!("a bug in tasq-host: {panic}")))??;
    drop((following, shown));
    say_goodbye(&summary, args.until_empty);
    let died = args.until_empty && summary.dead > 0;
    if died { Err(Error::silent(Code::Failed)) } else { Ok(()) }
}

/// Makes the schedules that belong to the file what it says now. Without a file they stay as another worker's says.
async fn sync_schedules(config: &Config, backend: &Backend) -> Result<(), Error> {
    let Some(entries) = &config.cron else { return Ok(()) };
    let client = Client::new(backend.clone());
    let Synced { changed, removed } = connect::within(config, client.sync_schedules(entries)).await?;
    changed.iter().for_each(|name| tracing::info!("schedule {name} is what the file says"));
    removed.iter().for_each(|name| tracing::info!("schedule {name} is gone from the file, and removed"));
    Ok(())
}

fn options(args: &Args, worker: &Worker) -> Options {
    Options {
        queues: queues(&worker.queues),
        order: if worker.strict { Order::Strict } else { Order::Weighted },
        concurrency: worker.concurrency,
        lease: worker.lease,
        drain_timeout: worker.drain_timeout,
        max_lost: MAX_LOST,
        until_empty: args.until_empty,
        tally: Arc::default(),
    }
}

/// The queues that were asked for, else those of the handlers.
fn queues(asked: &[Share]) -> Queues {
    match asked {
        [] => Queues::Served,
        asked => Queues::Named(asked.iter().map(|Share(name, weight)| (name.clone(), *weight)).collect()),
    }
}

/// Resolve at the first and at the second SIGTERM or Ctrl-C. The end of the terminal that it was started on counts as one.
fn stops() -> Result<(impl Future<Output = ()>, impl Future<Output = ()>), Error> {
    let failed = |error: std::io::Error| Error::new(Code::Failed, format!("signals can't be listened for: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let on_terminal = std::io::stderr().is_terminal();
    let (first, stop) = oneshot::channel::<()>();
    let (second, stop_now) = oneshot::channel::<()>();
    tokio::spawn(async move {
        for (which, sender) in
            [("finishing what runs; once more gives it back at once", first), ("giving back what runs", second)]
        {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = terminal_gone(&mut hangup), if on_terminal => {}
            }
            tracing::info!("stopping: {which}");
            supervise::stopping();
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

/// A worker must not outlive the terminal that shows it. Any other SIGHUP is a wish to look at the folder again.
async fn terminal_gone(hangup: &mut Signal) {
    while hangup.recv().await.is_some() && std::io::stderr().is_terminal() {}
}

fn say_hello(config: &Config, sandbox: &sandbox::Sandbox, options: &Options) {
    for note in sandbox.notes() {
        tracing::info!("{note}");
    }
    let mappings = doctor::mappings(options.concurrency);
    if let Some(risk) = mappings.risk {
        tracing::warn!("{}: {risk}; {}", mappings.found, mappings.mend.unwrap_or_default());
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
    let Summary { done, retried, dead, cancelled, released, stale, scheduled, parked, paused } = *summary;
    tracing::info!(done, retried, dead, released, "stopped");
    if cancelled > 0 {
        tracing::info!("{cancelled} tasks were cancelled");
    }
    if stale > 0 {
        tracing::warn!("{stale} runs ended too late: other workers had their tasks by then");
    }
    if until_empty && paused > 0 {
        tracing::info!("{paused} tasks are left in paused queues");
    }
    if until_empty && scheduled + parked > 0 {
        tracing::info!(scheduled, parked, "left in the queues");
    }
}
