//! `tasq-host cron …`: tasks that come by the clock.

use super::error::{Code, Error};
use super::{connect, output, view};
use crate::config::Config;
use serde::Serialize;
use tasq_host::Client;
use tasq_host::client::KnownSchedule;
use tasq_host::cron::{Schedule, Source};
use tasq_host::task::Name;

mod add;
mod list;

/// Tasks that come by the clock
///
/// Every worker lets schedules tick, and each tick gives one task, whose id is cron:NAME:SECONDS. After an outage the
/// latest missed tick runs, if it is less than a day late.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  tasq-host cron add nightly '0 3 * * *' report --tz Europe/Berlin
  tasq-host cron list")]
pub(crate) enum Command {
    Add(Box<add::Args>),
    List(list::Args),
    /// Forget a schedule; tasks that it gave stay
    #[command(after_help = "Example:\n  tasq-host cron remove nightly")]
    Remove(Which),
    /// Let no tasks come until it is resumed
    #[command(after_help = "Example:\n  tasq-host cron pause nightly")]
    Pause(Which),
    /// Let tasks come again, from now on
    #[command(after_help = "Example:\n  tasq-host cron resume nightly")]
    Resume(Which),
    /// Enqueue its task now, once, beside its ticks; prints the task's id
    #[command(after_help = "Example:\n  tasq-host cron run nightly")]
    Run(Which),
}

/// A schedule that is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The schedule's name
    name: Name,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// `--json` of what changed.
#[derive(Serialize)]
struct ChangedView<'a> {
    name: &'a Name,
    changed: bool,
}

/// Dispatches to the verb.
pub(crate) async fn run(command: Command, config: Config) -> Result<(), Error> {
    match command {
        Command::Add(args) => add::run(*args, config).await,
        Command::List(args) => list::run(args, config).await,
        Command::Remove(which) => remove(which, config).await,
        Command::Pause(which) => change(which, config, |schedule| schedule.paused = true).await,
        Command::Resume(which) => change(which, config, |schedule| schedule.paused = false).await,
        Command::Run(which) => run_now(which, config).await,
    }
}

async fn remove(Which { name, json }: Which, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let known = find(&client, &name, &config).await?;
    let source = known.schedule.as_ref().map(|schedule| schedule.source);
    refuse_files(&name, source.unwrap_or(Source::Command))?;
    let changed = connect::within(&config, client.unschedule(&name)).await?;
    say(&name, json, changed)
}

async fn change(Which { name, json }: Which, config: Config, how: fn(&mut Schedule)) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let mut schedule = readable(find(&client, &name, &config).await?)?;
    let before = schedule.paused;
    how(&mut schedule);
    // The same again would be the same.
    connect::within(&config, client.put_schedule(&name, &schedule)).await?;
    say(&name, json, schedule.paused != before)
}

async fn run_now(Which { name, json }: Which, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let Some(enqueued) = connect::within(&config, client.run_schedule(&name)).await? else {
        return Err(not_found(&name));
    };
    if json {
        return Ok(output::json(&view::EnqueuedView { id: &enqueued.id, created: enqueued.created })?);
    }
    Ok(output::line(enqueued.id.as_str())?)
}

fn say(name: &Name, json: bool, changed: bool) -> Result<(), Error> {
    if json {
        return Ok(output::json(&ChangedView { name, changed })?);
    }
    Ok(output::line(name.as_str())?)
}

async fn find(client: &Client, name: &Name, config: &Config) -> Result<KnownSchedule, Error> {
    connect::within(config, client.find_schedule(name)).await?.ok_or_else(|| not_found(name))
}

fn readable(known: KnownSchedule) -> Result<Schedule, Error> {
    known.schedule.map_err(|unreadable| Error::usage(format!("cron {}: {unreadable}", known.name)))
}

/// What the file says, a command can't change for long.
fn refuse_files(name: &Name, source: Source) -> Result<(), Error> {
    match source {
        Source::Command => Ok(()),
        Source::File => Err(Error::usage(format!(
            "cron {name}: expected a schedule that a command added, found one of the configuration file"
        ))
        .hint("change it there, or stop it with: tasq-host cron pause")),
    }
}

fn not_found(name: &Name) -> Error {
    Error::new(Code::NotFound, format!("cron {name}: not found")).hint("see them all with: tasq-host cron list")
}
