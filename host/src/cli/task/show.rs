//! `tasq-host task show`: everything that is known of one task.

use super::super::connect;
use super::super::error::Error;
use crate::config::Config;
use tasq_host::task::TaskId;

/// Show everything that is known of a task
///
/// A chain's id shows its steps and their states, a group's its members and its callback.
///
/// Its payload is shown as long as the broker keeps it: until the task has ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host task show report-today
  tasq-host task show report-today --json | jq -r .error.message")]
pub(crate) struct Args {
    /// The task's id
    id: TaskId,
    /// Print one JSON object; times in UTC, numbers with their unit in the name
    #[arg(long)]
    json: bool,
}

/// Shows one task.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let known = connect::within(&config, client.show(&args.id)).await?.ok_or_else(|| super::not_found(&args.id))?;
    super::print(&client, &known, args.json).await
}
