//! The command line: the tree of commands, one dispatch, and how an error becomes an exit code. A file per verb holds
//! its `Args` and its `run(args, config)`.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Config, Environment, Flags, Layer};
use error::{Code, Error};

mod bench;
mod compile;
mod completions;
mod connect;
mod cron;
mod doctor;
mod enqueue;
mod error;
mod follow;
mod handler;
mod input;
mod live;
mod logging;
mod output;
mod print_config;
mod queue;
#[cfg(test)]
mod reference;
mod run;
mod sandbox;
mod secrets;
mod setup;
mod status;
mod supervise;
mod task;
mod view;

/// A task queue whose handlers are WebAssembly components.
///
/// A producer puts a task (a handler's name, a payload, options) on a queue; a worker takes it, runs the handler in a
/// fresh sandbox, keeps its result, and retries or buries it as its options say.
#[derive(Debug, Parser)]
#[command(name = "tasq-host", version, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  tasq-host run --handlers ./wasm
  tasq-host enqueue add '{\"arg1\":5,\"arg2\":4}' --wait

Exit codes:
  0    done
  1    it failed: a task ended dead or cancelled, a handler was refused
  2    wrong usage or configuration
  3    the broker can't be reached
  4    not found
  5    waited long enough
  130  interrupted")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Enqueue(Box<enqueue::Args>),
    #[command(subcommand)]
    Task(task::Command),
    #[command(subcommand)]
    Queue(queue::Command),
    #[command(subcommand)]
    Cron(cron::Command),
    #[command(subcommand)]
    Handler(handler::Command),
    Setup(setup::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Completions(completions::Args),
}

/// Parses the process's arguments, does what they say, and tells how it went.
pub(crate) fn main() -> ExitCode {
    let mut given = std::env::args_os().skip(1);
    if given.next().is_some_and(|first| first == tasq_host::sandbox::compile::COMMAND) {
        return compile::main(given);
    }
    let (cli, typed) = match parse() {
        Ok(parsed) => parsed,
        Err(answer) => {
            // Nowhere is left to say that help or a usage error can't be written.
            let _ = answer.print();
            return if answer.use_stderr() { Code::Usage } else { Code::Done }.into();
        }
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if matches!(cli.command, Some(Command::Run(_) | Command::Bench(_))) {
        // A worker's own work is one loop: of two threads, the second would be woken each time only to find nothing.
        runtime.worker_threads(1);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Error::new(Code::Failed, format!("threads can't be started: {error}")).report(),
    };
    let result = runtime.block_on(execute(cli, typed));
    // Whatever still reads or computes, such as a read from a terminal, must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => Code::Done.into(),
        Err(error) => error.report(),
    }
}

/// What was typed, and of it what belongs to the configuration.
fn parse() -> Result<(Cli, Layer), clap::Error> {
    let matches = Cli::command().try_get_matches().or_else(|answer| {
        let no_command = [ErrorKind::MissingSubcommand, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
        if !no_command.contains(&answer.kind()) {
            return Err(answer);
        }
        // Only this does without a command.
        match Cli::command().subcommand_required(false).arg_required_else_help(false).try_get_matches() {
            Ok(matches) if matches.get_flag("print_config") => Ok(matches),
            _ => Err(answer),
        }
    })?;
    Ok((Cli::from_arg_matches(&matches)?, config::typed(&matches)))
}

async fn execute(cli: Cli, typed: Layer) -> Result<(), Error> {
    let (print_config, json) = (cli.flags.print_config, cli.flags.json);
    let config = Config::resolve(cli.flags, typed, &Environment::read())?;
    let Some(command) = cli.command.filter(|_| !print_config) else {
        return print_config::run(&config, json);
    };
    if json && matches!(command, Command::Run(_)) {
        return Err(
            Error::usage("--json: expected a command that prints data, found run").hint("its logs: --log-format json")
        );
    }
    // A benchmark shares its tasks with nobody.
    if !matches!(command, Command::Bench(_)) {
        connect::refuse_memory(&config)?;
    }
    match command {
        Command::Run(args) => run::run(args, config).await,
        Command::Enqueue(args) => interruptible(enqueue::run(*args, config)).await,
        Command::Task(command) => interruptible(task::run(command, config)).await,
        Command::Queue(command) => interruptible(queue::run(command, config)).await,
        Command::Cron(command) => interruptible(cron::run(command, config)).await,
        Command::Handler(command) => interruptible(handler::run(command, config)).await,
        Command::Setup(args) => interruptible(setup::run(args, config)).await,
        Command::Status(args) => interruptible(status::run(args, config)).await,
        Command::Doctor(args) => interruptible(doctor::run(args, config)).await,
        Command::Bench(args) => interruptible(bench::run(args, config)).await,
        Command::Completions(args) => completions::run(&args),
    }
}

/// Ends `command` at Ctrl-C. It has a thread of its own, so that one that reads or compiles can be interrupted as well.
async fn interruptible(command: impl Future<Output = Result<(), Error>> + Send + 'static) -> Result<(), Error> {
    let mut command = tokio::spawn(command);
    let ended = tokio::select! {
        ended = &mut command => ended,
        Ok(()) = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
    };
    ended.unwrap_or_else(|panic| Err(Error::new(Code::Failed, format!("a bug in tasq-host: {panic}"))))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_tree_of_commands_is_sound() {
        super::Cli::command().debug_assert();
    }
}
