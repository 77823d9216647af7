//! `tasq-host enqueue`: one task onto its queue.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tasq_host::NewTask;
use tasq_host::broker::{Due, Unique};
use tasq_host::client::Unserved;
use tasq_host::task::{Backoff, Name, Priority, TaskId, TaskOptions, Timestamp};

use super::error::Error;
use super::{connect, input, output, task, view};
use crate::config::Config;

mod batch;

/// Enqueue a task
///
/// Prints the task's id, or with --wait its result. The task waits in the broker, durably, until a worker that has its
/// handler runs it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host enqueue add '{\"arg1\":5,\"arg2\":4}' --wait
  tasq-host enqueue resize @photo.jpg --content-type image/jpeg --timeout 2m
  date | tasq-host enqueue report - --in 10m --id report-today
  jq -c '.[] | {handler: \"resize\", payload: .}' photos.json | tasq-host enqueue --batch -
  tasq-host enqueue fetch https://example.org --then render --then mail=me --wait
  tasq-host enqueue add -- -5            -- ends the options, for a payload that begins with -
  tasq-host enqueue mail '\\@all'         \\@ for a payload that begins with @")]
pub(crate) struct Args {
    /// The handler that runs it
    #[arg(required_unless_present = "batch")]
    handler: Option<Name>,
    /// Its input, at most 4 MiB: a text, @FILE for a file's bytes, - for stdin's [default: nothing]
    #[arg(value_name = "PAYLOAD | @FILE | -")]
    payload: Option<OsString>,
    /// A header that the handler can read; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = input::header)]
    headers: Vec<(String, String)>,
    /// MIME type of the payload
    #[arg(long, value_name = "TYPE", default_value = "", hide_default_value = true)]
    content_type: String,
    /// A handler that runs once this one has succeeded, with its result as upstream, and without a payload of its own as
    /// its payload too; may be repeated. The id printed is the chain's
    #[arg(long = "then", value_name = "HANDLER[=PAYLOAD]", value_parser = input::step)]
    then: Vec<(Name, Option<Bytes>)>,
    /// Wait for the task's end, without a time for as long as it takes, and print its result
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = input::span)]
    wait: Option<Option<Duration>>,
    /// Enqueue a file's lines, - for stdin's: a JSON object each, with these options as keys (_ for -), `payload` or
    /// `payload_base64`, and `headers`; or {"chain":[…]} of such objects; or {"group":{"members":[…],"callback":{…}}}, whose
    /// members are such objects or chains. A bad line is named and hinders no other
    #[arg(long, value_name = "FILE | -", conflicts_with_all = [
        "handler", "payload", "headers", "content_type", "then", "wait", "queue", "id", "priority", "after", "at", "expires",
        "timeout", "cpu", "max_retries", "backoff", "retention", "unique", "unique_for",
    ])]
    batch: Option<PathBuf>,
    /// Stop a batch at its first bad line
    #[arg(long, requires = "batch")]
    strict: bool,
    /// Print a JSON object: {"id":…,"created":true|false}, with --wait that of `task show`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    limits: Limits,
}

/// Where and when it waits.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Place and time")]
struct Place {
    /// The queue it waits in [default: the handler's, as workers announce it, else default]
    #[arg(long)]
    queue: Option<Name>,
    /// An id of your own: it can't be enqueued twice until a day after its end [default: a new UUIDv7]
    #[arg(long)]
    id: Option<TaskId>,
    /// Enqueue nothing while an unfinished task of the queue holds this key: prints the holder's id
    #[arg(long, value_name = "KEY", value_parser = input::unique_key)]
    unique: Option<String>,
    /// Hold the key for this time instead, whatever becomes of the task
    #[arg(long, value_name = "TIME", value_parser = input::positive_span, requires = "unique")]
    unique_for: Option<Duration>,
    /// Its share of the queue: where all three wait, they are taken 6 : 3 : 1
    #[arg(long, value_parser = input::priority(), default_value = "normal")]
    priority: Priority,
    /// Run it after this time
    #[arg(long = "in", value_name = "TIME", value_parser = input::span, conflicts_with = "at")]
    after: Option<Duration>,
    /// Run it at this moment, such as 2026-11-24T06:44:20Z
    #[arg(long, value_name = "RFC3339", value_parser = input::moment)]
    at: Option<Timestamp>,
    /// Dead unless started within this time after it was due [default: never]
    #[arg(long, value_name = "TIME", value_parser = input::span)]
    expires: Option<Duration>,
}

/// What its runs may cost, and what becomes of them.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits and retries")]
pub(crate) struct Limits {
    /// Wall time of one run [default: the handler's, else 30s]
    #[arg(long, value_name = "TIME", value_parser = input::positive_span)]
    timeout: Option<Duration>,
    /// CPU time of one run [default: the handler's, else 5s]
    #[arg(long, value_name = "TIME", value_parser = input::positive_span)]
    cpu: Option<Duration>,
    /// Runs after the first failed one [default: the handler's, else 25]
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// Delays between them: exponential:1s..1h, linear:10s or fixed:5s [default: the handler's, else exponential:1s..1h]
    #[arg(long, value_parser = input::backoff)]
    backoff: Option<Backoff>,
    /// How long the result is kept, 0s for not at all [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = input::span)]
    retention: Option<Duration>,
}

impl Limits {
    pub(crate) fn options(self, expires: Option<Duration>) -> TaskOptions {
        let Limits { timeout, cpu, max_retries, backoff, retention } = self;
        TaskOptions { max_retries, backoff, timeout, cpu, expires, retention }
    }
}

/// Enqueues, says what is odd about it, and waits if that is asked.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let (wait, json) = (args.wait, args.json);
    if let Some(file) = &args.batch {
        return batch::run(file, batch::Options { strict: args.strict, json }, &config).await;
    }
    if wait.is_some() && args.limits.retention == Some(Duration::ZERO) {
        return Err(Error::usage("--wait: expected a result that is kept, found --retention 0s"));
    }
    let steps = args.then.clone();
    let new = new_task(args)?;
    if !steps.is_empty() && new.unique.as_ref().is_some_and(|unique| unique.hold.is_none()) {
        return Err(Error::usage("--unique with --then: expected --unique-for with them, found none")
            .hint("the first task holds the key, and would free it while the chain goes on"));
    }
    let own = new.id.clone();
    let client = connect::client(&config).await?;
    let enqueued = if steps.is_empty() {
        connect::within(&config, client.enqueue(new)).await?
    } else {
        connect::within(&config, client.chain(chain(new, steps))).await?
    };
    if let Some(unserved) = &enqueued.unserved {
        output::warn(&unserved_text(unserved));
    }
    if !enqueued.created && own.as_ref() != Some(&enqueued.id) {
        output::warn(&format!("{} holds the unique key: nothing was enqueued", enqueued.id));
    } else if !enqueued.created {
        output::warn(&format!("{} was there before: nothing was enqueued", enqueued.id));
    }
    match wait {
        Some(limit) => task::wait::until_ended(&client, &enqueued.id, limit, json).await,
        None if json => Ok(output::json(&view::EnqueuedView { id: &enqueued.id, created: enqueued.created })?),
        None => Ok(output::line(enqueued.id.as_str())?),
    }
}

fn new_task(args: Args) -> Result<NewTask, Error> {
    let Some(handler) = args.handler.clone() else { return Err(Error::usage("expected a handler, found none")) };
    let Args { payload, place, limits, headers, content_type, .. } = args;
    let due = match (place.after, place.at) {
        (Some(after), _) => Due::After(after),
        (None, Some(at)) => Due::At(at),
        (None, None) => Due::Now,
    };
    let new = NewTask {
        handler,
        payload: payload.map(|typed| input::payload(Some(&typed))).transpose()?,
        queue: place.queue,
        id: place.id,
        unique: place.unique.map(|key| Unique { key, hold: place.unique_for }),
        due,
        priority: place.priority,
        content_type,
        headers: headers.into_iter().collect(),
        options: limits.options(place.expires),
        told: false,
    };
    // Before a broker is opened, and so created.
    new.check()?;
    Ok(new)
}

/// The steps share the first one's queue, priority, limits and headers.
fn chain(first: NewTask, then: Vec<(Name, Option<Bytes>)>) -> Vec<NewTask> {
    let step = |(handler, payload)| NewTask {
        handler,
        payload,
        id: None,
        unique: None,
        due: Due::Now,
        content_type: String::new(),
        ..first.clone()
    };
    let rest: Vec<NewTask> = then.into_iter().map(step).collect();
    std::iter::once(first).chain(rest).collect()
}

fn unserved_text(unserved: &Unserved) -> String {
    let handler = &unserved.handler;
    match (&unserved.nearest, unserved.workers) {
        (Some(nearest), _) => {
            format!(
                "no worker has the handler \"{handler}\", the task waits for one that does; did you mean \"{nearest}\"?"
            )
        }
        (None, 0) => format!("no worker is running, the task waits for one that has the handler \"{handler}\""),
        (None, _) => format!("no worker has the handler \"{handler}\", the task waits for one that does"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Typed::try_parse_from([&["enqueue", "add"], arguments].concat()).map(|typed| typed.args)
    }

    #[test]
    fn options_become_the_task_that_was_meant() {
        let typed = "x --in 10s --priority low --max-retries 3 --timeout 2m --retention 0s --header a=b --queue q --id i --unique k";
        let new = new_task(parse(&typed.split(' ').collect::<Vec<_>>()).unwrap()).unwrap();
        assert_eq!((new.due, new.priority), (Due::After(Duration::from_secs(10)), Priority::Low));
        assert_eq!(new.options.max_retries, Some(3));
        assert_eq!(new.options.timeout, Some(Duration::from_secs(120)));
        assert_eq!(new.options.retention, Some(Duration::ZERO));
        assert_eq!(new.options.cpu, None);
        assert_eq!(new.unique, Some(Unique { key: "k".into(), hold: None }));
        assert_eq!(new.headers["a"], "b");
        assert_eq!((new.queue.unwrap().as_str(), new.id.unwrap().as_str()), ("q", "i"));
    }

    #[test]
    fn a_double_dash_ends_the_options_and_wait_takes_its_time_only_after_an_equals_sign() {
        let args = parse(&["--wait", "--", "--json"]).unwrap();
        assert_eq!((args.wait, args.json), (Some(None), false));
        assert_eq!(args.payload.unwrap(), "--json");
        let args = parse(&["--wait", "30s"]).unwrap();
        assert_eq!((args.wait, args.payload.unwrap()), (Some(None), "30s".into()));
        assert_eq!(parse(&["--wait=30s"]).unwrap().wait, Some(Some(Duration::from_secs(30))));
        assert_eq!(parse(&[]).unwrap().wait, None);
        assert!(parse(&["--unique-for", "1m"]).is_err() && parse(&["--unique", ""]).is_err());
        assert!(parse(&["-5"]).is_err() && parse(&["-"]).is_ok());
        assert!(parse(&["--in", "1s", "--at", "2026-11-24T06:44:20Z"]).is_err());
    }
}
