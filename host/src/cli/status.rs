//! `tasq-host status`: queues, workers and handlers at a glance.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde::Serialize;

use super::error::Error;
use super::queue::QueueView;
use super::{connect, output};
use crate::config::Config;
use tasq_host::backend;
use tasq_host::broker::activity::Activity;
use tasq_host::broker::{Depth, WorkerReport};
use tasq_host::clock::{Clock, System};
use tasq_host::task::{Name, millis};

mod screen;

/// Between two looks of `--watch`.
const AGAIN: Duration = Duration::from_secs(1);
/// What counts as due soon, which isn't shown.
const SOON: Duration = Duration::ZERO;

/// Show queues, workers and handlers at a glance
///
/// Rates are what the workers themselves say of the last seconds: they report each third of their lease (5 s unless
/// --lease says otherwise), and when their handlers change.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host status
  tasq-host status --watch
  tasq-host status --json | jq '.queues[] | select(.dead > 0)'")]
pub(crate) struct Args {
    /// Look again each second until Ctrl-C; a terminal is drawn anew, anything else gets one more block
    #[arg(long)]
    watch: bool,
    /// Print one JSON object (with --watch one a line); numbers carry their unit in the name
    #[arg(long)]
    json: bool,
}

/// `status --json`.
#[derive(Debug, Serialize)]
struct Status {
    /// When this machine looked.
    at: String,
    broker: String,
    total: Total,
    queues: Vec<QueueView>,
    workers: Vec<WorkerView>,
    handlers: Vec<HandlerView>,
}

/// All workers and queues together.
#[derive(Debug, Serialize)]
struct Total {
    workers: usize,
    concurrency: usize,
    pending: u64,
    running: u64,
    done_per_second: f64,
    failed_per_second: f64,
}

#[derive(Debug, Serialize)]
struct WorkerView {
    id: String,
    queues: Vec<Name>,
    concurrency: usize,
    /// Absent for a worker of a version that doesn't tell.
    #[serde(flatten)]
    activity: Option<ActivityView>,
}

#[derive(Debug, Serialize)]
struct ActivityView {
    up_ms: u64,
    running: u64,
    done: u64,
    failed: u64,
    done_per_second: f64,
    failed_per_second: f64,
}

#[derive(Debug, Serialize)]
struct HandlerView {
    name: Name,
    queue: Name,
    /// How many workers have it.
    workers: usize,
    /// More than one while workers serve different versions.
    digests: BTreeSet<String>,
}

/// Looks once, or until it is interrupted.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let backend = connect::within(&config, backend::open(&config.broker, None)).await?;
    loop {
        let depths = connect::within(&config, backend.operations.depths(SOON)).await?;
        let workers = connect::within(&config, backend.operations.workers()).await?;
        let status = Status::of(config.broker.to_string(), &depths, &workers);
        if args.json {
            output::json(&status)?;
        } else {
            show(&status, args.watch)?;
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn show(status: &Status, watch: bool) -> std::io::Result<()> {
    let stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    let coloured = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    let size = terminal_size::terminal_size_of(&stdout).filter(|_| is_terminal);
    let lines = screen::lines(status, size.map(|(width, _)| usize::from(width.0)), coloured);
    let mut out = stdout.lock();
    if watch && is_terminal {
        out.write_all(screen::frame(lines, size.map(|(_, height)| usize::from(height.0))).as_bytes())?;
    } else {
        let end = if watch { "\n\n" } else { "\n" };
        out.write_all((lines.join("\n") + end).as_bytes())?;
    }
    out.flush()
}

impl Status {
    fn of(broker: String, depths: &[Depth], workers: &[WorkerReport]) -> Status {
        let queues: Vec<QueueView> = depths.iter().map(QueueView::of).collect();
        let handlers = handlers(workers);
        let workers: Vec<WorkerView> = workers.iter().map(WorkerView::of).collect();
        let told = || workers.iter().filter_map(|worker| worker.activity.as_ref());
        let total = Total {
            workers: workers.len(),
            concurrency: workers.iter().map(|worker| worker.concurrency).sum(),
            pending: queues.iter().map(|queue| queue.pending).sum(),
            running: queues.iter().map(|queue| queue.running).sum(),
            // From zero: the sum of nothing is -0.0.
            done_per_second: told().fold(0.0, |sum, activity| sum + activity.done_per_second),
            failed_per_second: told().fold(0.0, |sum, activity| sum + activity.failed_per_second),
        };
        Status { at: System.now().to_string(), broker, total, queues, workers, handlers }
    }
}

impl WorkerView {
    fn of(report: &WorkerReport) -> WorkerView {
        let activity = Activity::of(report).map(|activity| ActivityView {
            up_ms: millis(activity.up),
            running: activity.running,
            done: activity.done,
            failed: activity.failed,
            done_per_second: activity.done_per_second,
            failed_per_second: activity.failed_per_second,
        });
        let WorkerReport { id, queues, concurrency, .. } = report;
        WorkerView { id: id.to_string(), queues: queues.clone(), concurrency: *concurrency, activity }
    }
}

/// Of all workers, by name.
fn handlers(workers: &[WorkerReport]) -> Vec<HandlerView> {
    let mut handlers: BTreeMap<&Name, HandlerView> = BTreeMap::new();
    for report in workers.iter().flat_map(|worker| &worker.handlers) {
        let handler = handlers.entry(&report.name).or_insert_with(|| HandlerView {
            name: report.name.clone(),
            queue: report.queue.clone().unwrap_or_else(Name::default_queue),
            workers: 0,
            digests: BTreeSet::new(),
        });
        handler.workers += 1;
        handler.digests.insert(report.digest.clone());
    }
    handlers.into_values().collect()
}
