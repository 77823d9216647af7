//! `tasq-host task …`: what became of tasks.

use super::error::{Code, Error};
use crate::config::Config;
use tasq_host::task::TaskId;

mod cancel;
mod chosen;
mod delete;
pub(crate) mod list;
mod retry;
pub(crate) mod show;
pub(crate) mod wait;

/// Look at tasks, cancel them, try them again, forget them
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  tasq-host task list --state dead
  tasq-host task show report-today --json
  tasq-host task retry --state dead --handler mail --all")]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Wait(wait::Args),
    Cancel(cancel::Args),
    Retry(retry::Args),
    Delete(delete::Args),
}

/// Dispatches to the verb.
pub(crate) async fn run(command: Command, config: Config) -> Result<(), Error> {
    match command {
        Command::List(args) => list::run(args, config).await,
        Command::Show(args) => show::run(args, config).await,
        Command::Wait(args) => wait::run(args, config).await,
        Command::Cancel(args) => cancel::run(args, config).await,
        Command::Retry(args) => retry::run(args, config).await,
        Command::Delete(args) => delete::run(args, config).await,
    }
}

const NOT_FOUND: &str = "not found; it was never enqueued here, or its retention is over";

fn not_found(id: &TaskId) -> Error {
    Error::new(Code::NotFound, format!("task {id}: {NOT_FOUND}"))
}
