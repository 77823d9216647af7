//! `tasq-host task retry`: dead tasks, once more.

use super::super::error::Error;
use super::chosen::{Answer, Chosen, Refusal};
use crate::config::Config;
use tasq_host::client::Retried;
use tasq_host::task::State;

/// Try dead tasks again
///
/// They get their full retries again. A chain's id stands for its dead step, which resumes it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host task retry report-today
  tasq-host task retry --handler mail --all")]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Tries again what is chosen.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let retry = |client: tasq_host::Client, ids: Vec<_>| async move {
        Ok(client.retry(&ids).await?.into_iter().map(answer).collect())
    };
    args.chosen.each(&config, &[State::Dead], retry).await
}

fn answer(retried: Retried) -> Answer {
    let because = |why: String| Some(Refusal::Because(why));
    let (outcome, refusal) = match retried {
        Retried::Done => ("retried", None),
        Retried::Held(holder) => ("held", because(format!("stays dead: {holder} holds its unique key"))),
        Retried::NotDead(state) => ("not-dead", because(format!("is {state}: expected a dead one"))),
        Retried::Forgotten => ("forgotten", because("is dead for too long: only its record is kept".into())),
        Retried::Unknown => ("not-found", Some(Refusal::NotFound)),
    };
    Answer { outcome, refusal }
}
