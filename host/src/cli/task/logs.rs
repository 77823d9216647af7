//! `tasq-host task logs`: what the last run of a task said.

use serde::Serialize;

use super::super::error::{Code, Error};
use super::super::{connect, output};
use crate::config::Config;
use tasq_host::client::{Known, Shown};
use tasq_host::task::{LogLevel, LogLine, Logs, TaskId};

/// Show what the last run of an ended task said
///
/// The handler's log lines from information on, and what it wrote to stderr and, where that isn't its result, to stdout.
/// They are kept with the task's result, for as long: the first 1000 lines, of 8 KiB each, and of these the latest
/// 64 KiB. A chain's id shows those of its steps.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host task logs report-today
  tasq-host task logs report-today --json | jq -r 'select(.level == \"error\") | .text'")]
pub(crate) struct Args {
    /// The task's id
    id: TaskId,
    /// Print one JSON object a line: task, at, level, text
    #[arg(long)]
    json: bool,
}

/// A line of `task logs --json`.
#[derive(Debug, Serialize)]
struct LineView<'a> {
    task: &'a TaskId,
    at: String,
    level: LogLevel,
    text: &'a str,
}

/// Shows one task's, or those of a chain's steps or a group's members.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let client = connect::client(&config).await?;
    let shown = connect::within(&config, client.show(&args.id)).await?.ok_or_else(|| super::not_found(&args.id))?;
    match &shown {
        Shown::Task(known) => print(known, args.json, Naming::Not),
        Shown::Chain(chain) => chain.steps.iter().try_for_each(|step| print(step, args.json, Naming::EachLine)),
        Shown::Group(group) => {
            let members = group.members.iter().flat_map(|member| match member {
                Shown::Task(known) => std::slice::from_ref(known),
                Shown::Chain(chain) => &chain.steps,
                // A group's members are tasks and chains.
                Shown::Group(_) => &[],
            });
            members.chain(&group.callback).try_for_each(|task| print(task, args.json, Naming::EachLine))
        }
    }
}

/// Whether lines say whose they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    Not,
    EachLine,
}

fn print(known: &Known, json: bool, naming: Naming) -> Result<(), Error> {
    let id = known.id();
    if known.record().is_none() {
        output::note(&format!("task {id} is {}: what a run says is kept once its task has ended", known.state()));
        return Ok(());
    }
    let Some(logs) = known.logs() else {
        output::note(&format!("task {id}: its last run said nothing"));
        return Ok(());
    };
    let Logs { lines, dropped } =
        logs.map_err(|error| Error::new(Code::Usage, format!("logs of task {id}: {error}")))?;
    for LogLine { at, level, text } in &lines {
        let at = at.to_string();
        if json {
            output::json(&LineView { task: id, at, level: *level, text })?;
        } else {
            let whose = if naming == Naming::EachLine { format!("{id}  ") } else { String::new() };
            output::line(&format!("{whose}{at}  {:<6}  {}", level.as_str(), output::one_line(text)))?;
        }
    }
    if dropped > 0 {
        output::note(&format!("task {id}: {dropped} more lines were not kept"));
    }
    Ok(())
}
