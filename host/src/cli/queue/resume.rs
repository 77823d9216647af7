//! `tasq-host queue resume`: the end of a pause.

use super::super::error::Error;
use crate::config::Config;
use tasq_host::broker::Setting;
use tasq_host::task::Name;

/// Resume a queue that is paused
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tasq-host queue resume mail")]
pub(crate) struct Args {
    /// The queue's name
    queue: Name,
}

/// Resumes one queue.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    super::configure(&config, &args.queue, &[Setting::Paused(false)]).await
}
