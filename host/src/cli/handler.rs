//! `tasq-host handler …`: make and build handlers, look at them and try them, without a broker; and see what workers have.

use std::path::Path;

use super::error::Error;
use crate::config::Config;

mod build;
mod check;
mod facts;
mod inspect;
mod list;
mod new;
mod precompile;
mod run;
mod served;
mod terms;
mod workplace;

/// Make and build handlers, look at them, and try them without a broker
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  tasq-host handler new add --lang python
  tasq-host handler build ./add --handlers ./wasm
  tasq-host handler check wasm/add.wasm
  tasq-host handler run wasm/add.wasm '{\"arg1\":5,\"arg2\":4}'")]
pub(crate) enum Command {
    Build(build::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    List(list::Args),
    New(new::Args),
    Precompile(precompile::Args),
    Run(run::Args),
}

/// Dispatches to the verb.
pub(crate) async fn run(command: Command, config: Config) -> Result<(), Error> {
    match command {
        Command::Build(args) => build::run(&args, &config),
        Command::Check(args) => check::run(&args, &config),
        Command::Inspect(args) => inspect::run(&args, &config),
        Command::List(args) => list::run(args, config).await,
        Command::New(args) => new::run(&args),
        Command::Precompile(args) => precompile::run(&args, &config),
        Command::Run(args) => run::run(args, config).await,
    }
}

/// A file that isn't there was typed wrong: that is another trouble than one that is refused.
fn expect_file(file: &Path) -> Result<(), Error> {
    let wrong = |found: &str| Err(Error::usage(format!("{}: expected a file, found {found}", file.display())));
    match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => wrong("a folder"),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => wrong("nothing"),
        Err(error) => wrong(&format!("one that can't be looked at: {error}")),
    }
}
