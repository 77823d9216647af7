//! `tasq-host queue show`: one queue.

use super::super::error::Error;
use super::super::{connect, output};
use super::QueueView;
use crate::config::Config;
use tasq_host::task::Name;

/// Show one queue: how many tasks are in it, and what holds for it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tasq-host queue show mail")]
pub(crate) struct Args {
    /// The queue's name
    queue: Name,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Shows one queue.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let queues = connect::within(&config, client.queues()).await?;
    let depth = queues.iter().find(|depth| depth.queue == args.queue).ok_or_else(|| super::not_found(&args.queue))?;
    let view = QueueView::of(depth);
    let shown = if args.json { output::json(&view) } else { output::line(&QueueView::table(&[view])) };
    Ok(shown?)
}
