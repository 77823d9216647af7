//! `tasq-host task wait`: until a task has ended; `enqueue --wait` is the same for a task that has just been enqueued.

use std::time::Duration;

use super::super::error::{Code, Error};
use super::super::{connect, input, output, view};
use crate::config::Config;
use tasq_host::Client;
use tasq_host::client::{Shown, Waited};
use tasq_host::task::{State, TaskId};

/// Wait until a task has ended, and print its result
///
/// Prints the result's bytes as they are; of a chain its last step's, of a group its callback's. Exits with 1 when the task is dead or cancelled, and with 5 when it takes too
/// long; the task goes on in any case.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host task wait report-today --timeout 30s > report.pdf")]
pub(crate) struct Args {
    /// The task's id
    id: TaskId,
    /// Wait this long at most [default: as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = input::span)]
    timeout: Option<Duration>,
    /// Print the JSON object of `task show` instead of the result
    #[arg(long)]
    json: bool,
}

/// Waits for one task.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    until_ended(&client, &args.id, args.timeout, args.json).await
}

/// Waits at most `limit`, prints what came of it, and says once if the task is parked.
pub(crate) async fn until_ended(
    client: &Client,
    id: &TaskId,
    limit: Option<Duration>,
    json: bool,
) -> Result<(), Error> {
    let (mut said_parked, mut said_held_up) = (false, false);
    let seen = |shown: &Shown| {
        if shown.state() == State::Parked && !std::mem::replace(&mut said_parked, true) {
            output::note(&format!("task {id} is parked: no worker that looked has its handler; it runs once one has"));
        }
        if let Some(failed) = held_up(shown).filter(|_| !said_held_up) {
            said_held_up = true;
            let (member, state) = (failed.id(), failed.state());
            output::note(&format!("group {id} stays open: its member {member} is {state}"));
        }
    };
    match client.wait(id, limit, seen).await? {
        Waited::Unknown => Err(super::not_found(id)),
        Waited::TooLong(state) => {
            let waited = humantime::format_duration(limit.unwrap_or_default());
            Err(Error::new(Code::TooLong, format!("task {id} is {state} after {waited}"))
                .hint(format!("it goes on; wait again with: tasq-host task wait {id}")))
        }
        Waited::Ended(known) => print(client, id, &known, json).await,
    }
}

/// The member that keeps a group from ending.
fn held_up(shown: &Shown) -> Option<&Shown> {
    match shown {
        Shown::Group(group) if group.is_held_up() => group.failed(),
        _ => None,
    }
}

async fn print(client: &Client, id: &TaskId, known: &Shown, json: bool) -> Result<(), Error> {
    let record = known.record();
    if json {
        super::print(client, known, json).await?;
    } else if known.state() == State::Done {
        output::bytes(record.and_then(|record| record.result.as_deref()).unwrap_or_default())?;
    }
    let failure = record.and_then(|record| record.failure.as_ref());
    match (known.state(), failure) {
        (State::Done, _) => Ok(()),
        (state, None) => Err(Error::new(Code::Failed, format!("task {id} is {state}"))),
        (state, Some(failure)) => {
            Err(Error::new(Code::Failed, format!("task {id} is {state}: {}", view::failure_text(failure))))
        }
    }
}
