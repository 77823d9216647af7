//! `tasq-host queue list`: all queues, by name.

use super::super::error::Error;
use super::super::{connect, output};
use super::QueueView;
use crate::config::Config;

/// List queues: how many tasks are in them, and what holds for them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host queue list --json | jq -r 'select(.paused).queue'")]
pub(crate) struct Args {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Lists the queues.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let queues = connect::within(&config, client.queues()).await?;
    let queues: Vec<QueueView> = queues.iter().map(QueueView::of).collect();
    if args.json {
        for queue in &queues {
            output::json(queue)?;
        }
    } else if queues.is_empty() {
        output::note("no queues");
    } else {
        output::line(&QueueView::table(&queues))?;
    }
    Ok(())
}
