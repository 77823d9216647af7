//! `tasq-host task delete`: ended tasks, to be forgotten before their time.

use super::super::error::Error;
use super::chosen::{Answer, Chosen, Refusal};
use crate::config::Config;
use tasq_host::client::Deleted;
use tasq_host::task::State;

const STATES: [State; 3] = [State::Done, State::Dead, State::Cancelled];

/// Forget ended tasks: their results, and the dead ones themselves
///
/// Their ids stay taken as after any end. A chain's id stands for all its steps, once it has ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host task delete report-today
  tasq-host task delete --state dead --queue mail --all")]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Deletes what is chosen.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let delete = |client: tasq_host::Client, ids: Vec<_>| async move {
        Ok(client.delete(&ids).await?.into_iter().map(answer).collect())
    };
    args.chosen.each(&config, &STATES, delete).await
}

fn answer(deleted: Deleted) -> Answer {
    let (outcome, refusal) = match deleted {
        Deleted::Done => ("deleted", None),
        Deleted::Unfinished(state) => ("unfinished", Some(Refusal::Because(format!("is {state}: cancel it first")))),
        Deleted::Unknown => ("not-found", Some(Refusal::NotFound)),
    };
    Answer { outcome, refusal }
}
