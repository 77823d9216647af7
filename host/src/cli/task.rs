//! `tasq-host task …`: what became of tasks.

use super::error::{Code, Error};
use super::view;
use crate::config::Config;
use tasq_host::Client;
use tasq_host::client::Shown;
use tasq_host::task::TaskId;

mod cancel;
mod chosen;
mod delete;
pub(crate) mod list;
pub(crate) mod logs;
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
    Logs(logs::Args),
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
        Command::Logs(args) => logs::run(args, config).await,
    }
}

/// Prints what an id stands for, a task with its group's progress.
async fn print(client: &Client, shown: &Shown, json: bool) -> Result<(), Error> {
    let member = if let Shown::Task(known) = shown { known.member() } else { None };
    let place = match member {
        None => None,
        Some(member) => {
            let (done, total) = client.progress(&member).await?;
            Some(view::Place { id: member.group.to_string(), index: member.index, done, total })
        }
    };
    Ok(view::print(shown, place, json)?)
}

const NOT_FOUND: &str = "not found; it was never enqueued here, or its retention is over";

fn not_found(id: &TaskId) -> Error {
    Error::new(Code::NotFound, format!("task {id}: {NOT_FOUND}"))
}
