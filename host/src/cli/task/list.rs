//! `tasq-host task list`: tasks, newest first.

use std::str::FromStr;

use super::super::error::Error;
use super::super::{connect, input, output, view};
use crate::config::Config;
use tasq_host::results::{Cursor, Filter};
use tasq_host::task::{Name, State, Timestamp};

/// List tasks, newest first
///
/// Where there are more, stderr says how to get the next page.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host task list --state dead
  tasq-host task list --handler add --json | jq -r .id")]
pub(crate) struct Args {
    /// Only tasks in this state
    #[arg(long, value_parser = input::state())]
    state: Option<State>,
    /// Only tasks of this queue
    #[arg(long)]
    queue: Option<Name>,
    /// Only tasks for this handler
    #[arg(long)]
    handler: Option<Name>,
    /// At most this many tasks
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// All tasks, a thousand at a time
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on after this place, as the page before named it
    #[arg(long, value_name = "CURSOR")]
    after: Option<Place>,
    /// Print one JSON object a line; payloads, results and receipts are left to `task show`
    #[arg(long)]
    json: bool,
}

/// A [`Cursor`] as it is typed: `<unix milliseconds>:<id>`.
#[derive(Clone, Debug)]
struct Place(Cursor);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let parsed = text.split_once(':').and_then(|(time, id)| {
            let time = time.parse().ok().filter(|&time| i64::try_from(time).is_ok())?;
            Some(Place(Cursor(Timestamp(time), id.parse().ok()?)))
        });
        parsed.ok_or_else(|| "expected a cursor as a page before named it".into())
    }
}

fn typed(Cursor(Timestamp(time), id): &Cursor) -> String {
    format!("{time}:{id}")
}

/// Under `--all`, tasks that are asked for at once.
const PAGE: usize = 1_000;

/// Lists one page, or all.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let Args { state, queue, handler, limit, all, after, json } = args;
    let limit = if all { PAGE } else { limit as usize };
    let mut filter = Filter { state, queue, handler, limit, after: after.map(|Place(cursor)| cursor) };
    let mut is_first = true;
    loop {
        let page = connect::within(&config, client.list(&filter)).await?;
        let tasks: Vec<_> = page.tasks.iter().map(view::TaskLine::of).collect();
        if json {
            for task in &tasks {
                output::json(task)?;
            }
        } else if !tasks.is_empty() {
            output::line(&view::TaskLine::table(&tasks))?;
        } else if is_first {
            output::note("no tasks");
        }
        match page.next {
            Some(next) if all => (filter.after, is_first) = (Some(next), false),
            next => {
                next.iter().for_each(|next| output::note(&format!("more: --after {}", typed(next))));
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_it_was_printed() {
        let cursor = Cursor(Timestamp(1_767_225_600_000), "cron:nightly:17".parse().unwrap());
        let Place(read) = typed(&cursor).parse().unwrap();
        assert_eq!(read, cursor);
        for bad in ["", "1", ":a", "1:", "x:a", "-1:a", "18446744073709551615:a", "1:.."] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
