//! `tasq-host cron add`: a task that comes by the clock from now on.

use std::ffi::OsString;
use std::time::Duration;

use super::super::enqueue::Limits;
use super::super::error::Error;
use super::super::{connect, input, output};
use super::refuse_files;
use crate::config::Config;
use tasq_host::NewTask;
use tasq_host::broker::Unique;
use tasq_host::cron::{self, Overlap, Schedule};
use tasq_host::schedules::Put;
use tasq_host::task::{Name, Priority};

/// Have a task come by the clock
///
/// EXPRESSION is minute, hour, day of month, month and day of week, as crontab(5) has them: numbers, names (jan, mon),
/// ranges, lists and steps; Monday is 1, Sunday 0 or 7; where both day fields are restricted, either of them will do. A
/// sixth field in front is for seconds. Or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.
///
/// Where clocks are set, times of the day come once a day: at the end of a gap if they were skipped, the first time if they
/// are repeated. What begins with * in seconds, minutes or hours comes by the clock as it runs.
///
/// A schedule of this name is replaced, and ticks from now on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host cron add nightly '0 3 * * *' report --tz Europe/Berlin
  tasq-host cron add poll '*/10 * * * * *' fetch https://example.org --overlap skip --expires 10s
  tasq-host cron add payday '0 9 1,15 * *' mail '{\"to\":\"all\"}' --max-retries 3")]
pub(crate) struct Args {
    /// The schedule's name
    name: Name,
    /// When, such as '*/5 * * * *'
    expression: String,
    /// The handler that runs the tasks
    handler: Name,
    /// Their input, at most 4 MiB: a text, @FILE for a file's bytes, - for stdin's [default: nothing]
    #[arg(value_name = "PAYLOAD | @FILE | -")]
    payload: Option<OsString>,
    /// The time zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = cron::zone)]
    tz: chrono_tz::Tz,
    /// What becomes of a tick while the last tick's task is unfinished
    #[arg(long, value_name = "WHAT", default_value = "allow", value_parser = overlap())]
    overlap: Overlap,
    /// Print a JSON object: {"name":…,"created":true|false,"changed":true|false}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    limits: Limits,
}

/// What its tasks are like.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Its tasks")]
struct Place {
    /// The queue they wait in [default: the handler's, as workers have it, else default]
    #[arg(long)]
    queue: Option<Name>,
    /// A tick gives none while an unfinished task of the queue holds this key
    #[arg(long, value_name = "KEY", value_parser = input::unique_key)]
    unique: Option<String>,
    /// Hold the key for this time instead, whatever becomes of the task
    #[arg(long, value_name = "TIME", value_parser = input::positive_span, requires = "unique")]
    unique_for: Option<Duration>,
    /// Their share of the queue: where all three wait, they are taken 6 : 3 : 1
    #[arg(long, value_parser = input::priority(), default_value = "normal")]
    priority: Priority,
    /// Dead unless started within this time after the tick [default: never]
    #[arg(long, value_name = "TIME", value_parser = input::span)]
    expires: Option<Duration>,
    /// A header that the handler can read; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = input::header)]
    headers: Vec<(String, String)>,
    /// MIME type of the payload
    #[arg(long, value_name = "TYPE", default_value = "", hide_default_value = true)]
    content_type: String,
}

/// `--json`.
#[derive(serde::Serialize)]
struct AddedView<'a> {
    name: &'a Name,
    created: bool,
    changed: bool,
}

fn overlap() -> impl clap::builder::TypedValueParser<Value = Overlap> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(["allow", "skip"]).map(|text| if text == "skip" { Overlap::Skip } else { Overlap::Allow })
}

/// Keeps the schedule, and says when it ticks first.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let Args { name, expression, handler, payload, tz, overlap, json, place, limits } = args;
    let Place { queue, unique, unique_for, priority, expires, headers, content_type } = place;
    let task = NewTask {
        queue,
        unique: unique.map(|key| Unique { key, hold: unique_for }),
        priority,
        content_type,
        headers: headers.into_iter().collect(),
        options: limits.options(expires),
        ..NewTask::new(handler, input::payload(payload.as_deref())?)
    };
    let schedule = Schedule::new(&expression, task.try_into()?)?;
    let schedule = Schedule { tz, overlap, ..schedule };
    let client = connect::client(&config).await?;
    if let Some(before) = connect::within(&config, client.find_schedule(&name)).await?
        && let Ok(before) = &before.schedule
    {
        refuse_files(&name, before.source)?;
    }
    let put = connect::within(&config, client.put_schedule(&name, &schedule)).await?;
    let known = connect::within(&config, client.find_schedule(&name)).await?;
    let next: Vec<String> =
        known.into_iter().flat_map(|known| known.next).map(|tick| tick.to_string()).take(3).collect();
    output::note(&format!("next: {}", next.join(", ")));
    if json {
        let view = AddedView { name: &name, created: put == Put::Created, changed: put != Put::Same };
        return Ok(output::json(&view)?);
    }
    Ok(output::line(name.as_str())?)
}
