//! `tasq-host queue purge`: what a queue holds in one state, all of it.

use std::io::IsTerminal;

use serde::Serialize;

use super::super::error::{Code, Error};
use super::super::{connect, input, output};
use crate::config::Config;
use tasq_host::Client;
use tasq_host::client::Deleted;
use tasq_host::error;
use tasq_host::results::Filter;
use tasq_host::task::{Name, State, TaskId};

/// Remove all tasks of a queue that are in one state
///
/// Those that wait are cancelled without a record, those that have ended are forgotten. Prints how many there were.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host queue purge mail --state dead --yes")]
pub(crate) struct Args {
    /// The queue's name
    queue: Name,
    /// The state; running tasks can be cancelled, but not purged
    #[arg(long, value_parser = input::state())]
    state: State,
    /// They can't be brought back: yes
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// `queue purge --json`.
#[derive(Serialize)]
struct PurgeView<'a> {
    queue: &'a Name,
    state: State,
    purged: u64,
    /// They started, or ended, in the meantime.
    left: u64,
}

/// Tasks that go to the broker in one call.
const PAGE: usize = 1_000;

/// Purges one queue.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let Args { queue, state, yes, json } = args;
    if state == State::Running {
        return Err(Error::usage("--state running: expected tasks that wait or have ended")
            .hint(format!("stop them with: tasq-host task cancel --queue {queue} --state running --all")));
    }
    if !yes {
        let message = format!("queue purge {queue}: expected --yes, for {state} tasks that can't be brought back");
        return Err(Error::new(Code::Usage, message));
    }
    let client = connect::client(&config).await?;
    let (mut purged, mut left, mut after) = (0, 0, None);
    let watched = std::io::stderr().is_terminal();
    loop {
        let (of, handler) = (Some(queue.clone()), None);
        let filter = Filter { state: Some(state), queue: of, handler, limit: PAGE, after };
        let page = connect::within(&config, client.list(&filter)).await?;
        let ids: Vec<TaskId> = page.tasks.iter().map(|task| task.id().clone()).collect();
        let gone = if ids.is_empty() { 0 } else { connect::within(&config, purge(&client, &ids, state)).await? };
        purged += gone;
        left += ids.len() as u64 - gone;
        if watched {
            eprint!("\r{purged} purged\r");
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        output::json(&PurgeView { queue: &queue, state, purged, left })?;
    } else {
        let rest = if left > 0 { format!(", {left} were no longer {state}") } else { String::new() };
        output::line(&format!("{purged} purged{rest}"))?;
    }
    Ok(())
}

/// How many of these are gone now.
async fn purge(client: &Client, ids: &[TaskId], state: State) -> error::Result<u64> {
    if !state.is_final() {
        return client.discard(ids).await;
    }
    Ok(client.delete(ids).await?.into_iter().filter(|deleted| *deleted == Deleted::Done).count() as u64)
}
