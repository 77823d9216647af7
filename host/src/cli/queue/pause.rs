//! `tasq-host queue pause`: nothing is taken from a queue any more.

use super::super::error::Error;
use crate::config::Config;
use tasq_host::broker::Setting;
use tasq_host::task::Name;

/// Pause a queue: no worker takes tasks from it
///
/// What runs goes on, and tasks can be enqueued as ever.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tasq-host queue pause mail")]
pub(crate) struct Args {
    /// The queue's name
    queue: Name,
}

/// Pauses one queue.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    super::configure(&config, &args.queue, &[Setting::Paused(true)]).await
}
