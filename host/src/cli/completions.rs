//! `tasq-host completions`: what a shell needs to complete commands, flags and their values.

use clap::CommandFactory;
use clap_complete::Shell;

use super::error::Error;
use super::output;

/// Print a completion script for a shell
///
/// It completes commands, flags, and values that are one of a few.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(tasq-host completions bash)                                           this session
  tasq-host completions bash > ~/.local/share/bash-completion/completions/tasq-host
  tasq-host completions zsh > ~/.zfunc/_tasq-host                                 a folder of $fpath
  tasq-host completions fish > ~/.config/fish/completions/tasq-host.fish")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "tasq-host", &mut script);
    // clap_complete 4.6 writes a hyphen in the program's own name in two ways, and bash would find no command below it.
    let script = String::from_utf8_lossy(&script).replace("tasq__subcmd__host", "tasq__host");
    Ok(output::bytes(script.as_bytes())?)
}
