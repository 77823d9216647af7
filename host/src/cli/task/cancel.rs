//! `tasq-host task cancel`: tasks that are not to run, or not to run on.

use super::super::error::Error;
use super::chosen::{Answer, Chosen, Refusal};
use crate::config::Config;
use tasq_host::client::Cancelled;
use tasq_host::task::State;

/// Those that wait first: what starts meanwhile is found among the running ones.
const STATES: [State; 4] = [State::Scheduled, State::Parked, State::Pending, State::Running];

/// Cancel tasks
///
/// Those that wait are cancelled at once; those that run are stopped by their workers within a second. A chain's id stands
/// for its present step, whose end is the chain's.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host task cancel report-today
  tasq-host task cancel --queue mail --state scheduled --all")]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Cancels what is chosen.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let cancel = |client: tasq_host::Client, ids: Vec<_>| async move {
        Ok(client.cancel(&ids).await?.into_iter().map(answer).collect())
    };
    args.chosen.each(&config, &STATES, cancel).await
}

fn answer(cancelled: Cancelled) -> Answer {
    let (outcome, refusal) = match cancelled {
        Cancelled::Done | Cancelled::Ended(State::Cancelled) => ("cancelled", None),
        Cancelled::Asked => ("cancelling", None),
        Cancelled::Ended(state) => ("ended", Some(Refusal::Because(format!("is {state}: there is nothing to cancel")))),
        Cancelled::Unknown => ("not-found", Some(Refusal::NotFound)),
    };
    Answer { outcome, refusal }
}
