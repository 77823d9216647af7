//! `tasq-host task …`: what became of tasks.

use super::error::{Code, Error};
use crate::config::Config;
use tasq_host::task::TaskId;

pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod show;
pub(crate) mod wait;

/// Look at tasks
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  tasq-host task list --state dead
  tasq-host task show report-today --json")]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Wait(wait::Args),
    Logs(logs::Args),
}

/// Dispatches to the verb.
pub(crate) async fn run(command: Command, config: Config) -> Result<(), Error> {
    match command {
        Command::List(args) => list::run(args, config).await,
        Command::Show(args) => show::run(args, config).await,
        Command::Wait(args) => wait::run(args, config).await,
        Command::Logs(args) => logs::run(args, config).await,
    }
}

fn not_found(id: &TaskId) -> Error {
    Error::new(Code::NotFound, format!("task {id}: not found; it was never enqueued here, or its retention is over"))
}
