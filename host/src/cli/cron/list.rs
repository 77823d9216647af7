//! `tasq-host cron list`: schedules, and when they tick.

use super::super::error::Error;
use super::super::{connect, output};
use crate::config::Config;
use serde::Serialize;
use tasq_host::client::KnownSchedule;
use tasq_host::cron::{Overlap, Source};

/// List schedules and their next ticks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host cron list
  tasq-host cron list --json | jq -r '.name + \" \" + .next[0]'")]
pub(crate) struct Args {
    /// Print one JSON object a line, with the next five ticks
    #[arg(long)]
    json: bool,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line {
    name: String,
    /// Absent, as what follows from it, where the schedule can't be read.
    #[serde(flatten)]
    said: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    next: Vec<String>,
    /// The last tick's task.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

#[derive(Serialize)]
struct Said {
    expression: String,
    tz: String,
    handler: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    overlap: Overlap,
    paused: bool,
    source: Source,
}

/// Lists them all: there are few.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let lines: Vec<Line> = connect::within(&config, client.schedules()).await?.into_iter().map(Line::of).collect();
    if args.json {
        for line in &lines {
            output::json(line)?;
        }
    } else if lines.is_empty() {
        output::note("no schedules");
    } else {
        let head = ["NAME", "EXPRESSION", "TZ", "HANDLER", "NEXT", "LAST"].map(String::from).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(lines.iter().map(Line::row)).collect();
        output::line(&output::table(&rows))?;
    }
    Ok(())
}

impl Line {
    fn of(known: KnownSchedule) -> Line {
        let KnownSchedule { name, schedule, next, last } = known;
        let unreadable = schedule.as_ref().err().cloned();
        let said = schedule.ok().map(|schedule| Said {
            expression: schedule.expression.to_string(),
            tz: schedule.tz.to_string(),
            handler: schedule.task.handler.to_string(),
            queue: schedule.task.queue.map(|queue| queue.to_string()),
            overlap: schedule.overlap,
            paused: schedule.paused,
            source: schedule.source,
        });
        Line {
            name: name.to_string(),
            said,
            unreadable,
            next: next.iter().map(ToString::to_string).collect(),
            last: last.map(|last| last.to_string()),
        }
    }

    fn row(&self) -> Vec<String> {
        let said =
            |of: fn(&Said) -> &String| self.said.as_ref().map_or("-".to_string(), |said| output::one_line(of(said)));
        let next = match (&self.said, self.next.first()) {
            (None, _) => "unreadable".into(),
            (Some(said), _) if said.paused => "paused".into(),
            (_, next) => next.cloned().unwrap_or_else(|| "never".into()),
        };
        vec![
            self.name.clone(),
            said(|said| &said.expression),
            said(|said| &said.tz),
            said(|said| &said.handler),
            next,
            self.last.clone().unwrap_or_else(|| "-".into()),
        ]
    }
}
