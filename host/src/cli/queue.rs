//! `tasq-host queue …`: how full queues are, and what holds for them.

use super::error::{Code, Error};
use super::output;
use crate::config::Config;
use serde::Serialize;
use tasq_host::broker::{Depth, Setting};
use tasq_host::task::Name;

mod limit;
mod list;
mod pause;
mod purge;
mod resume;
mod show;

/// Look at queues, pause and limit them, empty them
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  tasq-host queue list
  tasq-host queue limit mail --rate 100/s --concurrency 20")]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Limit(limit::Args),
    Purge(purge::Args),
}

/// Dispatches to the verb.
pub(crate) async fn run(command: Command, config: Config) -> Result<(), Error> {
    match command {
        Command::List(args) => list::run(args, config).await,
        Command::Show(args) => show::run(args, config).await,
        Command::Pause(args) => pause::run(args, config).await,
        Command::Resume(args) => resume::run(args, config).await,
        Command::Limit(args) => limit::run(args, config).await,
        Command::Purge(args) => purge::run(args, config).await,
    }
}

/// A line of `queue list --json`, `queue show --json`, and a queue in `status --json`.
#[derive(Debug, Serialize)]
pub(super) struct QueueView {
    pub(super) queue: String,
    pub(super) scheduled: u64,
    pub(super) pending: u64,
    pub(super) running: u64,
    pub(super) parked: u64,
    pub(super) dead: u64,
    pub(super) paused: bool,
    /// Such as `100/s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) concurrency: Option<u32>,
}

impl QueueView {
    pub(super) fn of(depth: &Depth) -> QueueView {
        let Depth { queue, scheduled, pending, running, parked, dead, settings, .. } = depth;
        QueueView {
            queue: queue.to_string(),
            scheduled: *scheduled,
            pending: *pending,
            running: *running,
            parked: *parked,
            dead: *dead,
            paused: settings.paused,
            rate: settings.rate.map(|rate| rate.to_string()),
            concurrency: settings.concurrency,
        }
    }

    /// What holds for it, for people; empty where nothing does.
    pub(super) fn settings(&self) -> String {
        let paused = self.paused.then(|| "paused".to_owned());
        let rate = self.rate.as_ref().map(|rate| format!("at most {rate}"));
        let concurrency = self.concurrency.map(|most| format!("{most} at once"));
        [paused, rate, concurrency].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn table(queues: &[QueueView]) -> String {
        let head =
            ["QUEUE", "SCHEDULED", "PENDING", "RUNNING", "PARKED", "DEAD", "SETTINGS"].map(String::from).to_vec();
        let row = |view: &QueueView| {
            let counts = [view.scheduled, view.pending, view.running, view.parked, view.dead].map(|n| n.to_string());
            [vec![view.queue.clone()], counts.to_vec(), vec![view.settings()]].concat()
        };
        output::table(&std::iter::once(head).chain(queues.iter().map(row)).collect::<Vec<_>>())
    }
}

/// Changes one queue, and says on stderr what holds for it now.
async fn configure(config: &Config, queue: &Name, settings: &[Setting]) -> Result<(), Error> {
    let client = super::connect::client(config).await?;
    super::connect::within(config, client.configure(queue, settings)).await?;
    let queues = super::connect::within(config, client.queues()).await?;
    let now = queues.iter().find(|depth| depth.queue == *queue).map(|depth| QueueView::of(depth).settings());
    let now = now.filter(|settings| !settings.is_empty()).unwrap_or_else(|| "no limits".into());
    output::note(&format!("queue {queue}: {now}"));
    Ok(())
}

fn not_found(queue: &Name) -> Error {
    Error::new(Code::NotFound, format!("queue {queue}: not found; it holds no tasks and has no settings"))
}
