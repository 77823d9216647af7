//! `tasq-host setup`: what the broker needs, ahead of the first use.

use serde::Serialize;
use tasq_host::backend::{self, Part};

use super::error::Error;
use super::{connect, output};
use crate::config::Config;

/// Create the files, tables or streams that tasks and results live in
///
/// Every command does so by itself; this is for whoever wants them there before the first one, with other rights perhaps.
/// Changes nothing where they are there already.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host setup
  tasq-host setup --broker 'nats://localhost?prefix=staging'")]
pub(crate) struct Args {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A line of `setup --json`.
#[derive(Serialize)]
struct PartView<'a> {
    /// Where it is, without a password.
    place: String,
    name: &'a str,
    holds: &'a str,
}

/// Opens broker and results, which creates what is missing, and prints what is there now.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let opened = connect::within(&config, backend::open(&config.broker, config.results.as_ref())).await?;
    // An answer, not only a connection.
    connect::within(&config, async { opened.operations.workers().await }).await?;
    let results = config.results.as_ref().filter(|&results| *results != config.broker);
    for url in std::iter::once(&config.broker).chain(results) {
        let parts = backend::parts(url);
        if args.json {
            let view = |Part { name, holds }: &Part| output::json(&PartView { place: url.to_string(), name, holds });
            parts.iter().try_for_each(view)?;
            continue;
        }
        let row = |Part { name, holds }: &Part| vec![format!("  {}", output::one_line(name)), (*holds).to_owned()];
        output::line(&output::one_line(&url.to_string()))?;
        output::line(&output::table(&parts.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(())
}
