//! `tasq-host handler run`: one call here and now, under the limits that a worker would set.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::Level;

use super::super::error::{Code, Error};
use super::super::logging::{self, Levels, LogFormat};
use super::super::sandbox::SandboxArgs;
use super::super::secrets::permitted;
use super::super::{input, output, view};
use crate::config::{Config, SecretsFlag};
use tasq_host::backend::{self, url::Url};
use tasq_host::clock::{Clock, System};
use tasq_host::sandbox::{Call, Handler, Ran, Stop};
use tasq_host::task::{Failure, FollowUp, Outcome, Priority, Receipt, Task, TaskId, TaskOptions, Verdict};

/// Call a handler once, or so often, here and now, and show what it cost
///
/// Its result goes to stdout; its logs, the end of its stderr and the receipt go to stderr. No broker takes part, and
/// nothing is retried: the first failure exits with 1. What it puts into its store is forgotten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host handler run wasm/add.wasm '{\"arg1\":5,\"arg2\":4}'
  tasq-host handler run wasm/add.wasm '{\"arg1\":5,\"arg2\":4}' --repeat 1000")]
pub(crate) struct Args {
    /// The .wasm file; a manifest of the same name beside it sets the limits
    file: PathBuf,
    /// The handler's input: a text, @FILE for a file's bytes, - for stdin's [default: nothing]
    #[arg(value_name = "PAYLOAD | @FILE | -")]
    payload: Option<OsString>,
    /// Wall time [default: the manifest's, else 30s]
    #[arg(long, value_name = "TIME", value_parser = input::positive_span)]
    timeout: Option<Duration>,
    /// CPU time [default: the manifest's, else 5s]
    #[arg(long, value_name = "TIME", value_parser = input::positive_span)]
    cpu: Option<Duration>,
    /// A header that the handler can read; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = input::header)]
    headers: Vec<(String, String)>,
    /// MIME type of the payload
    #[arg(long, value_name = "TYPE", default_value = "", hide_default_value = true)]
    content_type: String,
    /// Call it so often, each time in a fresh sandbox, and tell how long that took; ends at the first failure
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeat: u32,
    /// Print one JSON object with result, error and receipt; with --repeat, times too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    _secrets: SecretsFlag,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

#[derive(Serialize)]
struct RunView<'a> {
    #[serde(flatten)]
    result: Option<view::ResultBytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
    receipt: &'a Receipt,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<&'a Repeated>,
}

/// How long calls took, the sandbox's making included.
#[derive(Serialize)]
struct Repeated {
    runs: u32,
    min_us: u64,
    median_us: u64,
    max_us: u64,
}

impl Repeated {
    /// None of a single call: the first one warms up what the others find warm.
    fn of(mut times: Vec<Duration>) -> Option<Repeated> {
        times.sort_unstable();
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (min, max) = (times.first().copied()?, times.last().copied()?);
        let (median, runs) = (times[times.len() / 2], u32::try_from(times.len()).unwrap_or(u32::MAX));
        (runs > 1).then(|| Repeated { runs, min_us: micros(min), median_us: micros(median), max_us: micros(max) })
    }
}

/// Calls one handler.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    super::expect_file(&args.file)?;
    // Of many runs nobody wants to read what each says.
    let guests = if args.repeat > 1 { Level::ERROR } else { Level::TRACE };
    logging::start(LogFormat::Text, Levels { host: Level::WARN, guests, stderr: None }, std::io::stderr);
    let (json, repeat) = (args.json, args.repeat);
    let sandbox = Arc::new(args.sandbox.open(&config, 1, permitted(&config)?)?);
    sandbox.lend(backend::open(&Url::Memory, None).await?.store);
    let handler = sandbox.load_file(&args.file)?;
    let call = call(args, &handler)?;
    let guest = sandbox.clone();
    let called = sandbox.guests().spawn(async move {
        let mut times = Vec::new();
        loop {
            let began = Instant::now();
            let ran = guest.attempt(&handler, call.clone(), Stop::new()).await;
            times.push(began.elapsed());
            if times.len() >= repeat as usize || !matches!(ran.outcome, Outcome::Done(_)) {
                return (ran, times);
            }
        }
    });
    let (Ran { outcome, receipt, follow_ups, .. }, times) =
        called.await.map_err(|panic| Error::new(Code::Failed, format!("a bug in tasq-host: {panic}")))?;
    for FollowUp { id, handler, payload, .. } in &follow_ups {
        output::note(&format!("enqueued, and dropped here: {id} for {handler}, {} bytes", payload.len()));
    }
    show(&outcome, &receipt, Repeated::of(times).as_ref(), json)?;
    failed(outcome)
}

fn call(args: Args, handler: &Handler) -> Result<Call, Error> {
    let queue = handler.manifest.queue.clone();
    let task = Task {
        id: TaskId::generate(),
        handler: handler.name.clone(),
        queue: queue.unwrap_or_else(tasq_host::task::Name::default_queue),
        priority: Priority::default(),
        payload: input::payload(args.payload.as_deref())?,
        content_type: args.content_type,
        headers: args.headers.into_iter().collect(),
        upstream: Vec::new(),
        options: TaskOptions { timeout: args.timeout, cpu: args.cpu, ..TaskOptions::default() },
        chain: None,
        group: None,
    };
    let now = System.now();
    Ok(Call { task, run: 1, attempt: 1, max_retries: 0, enqueued_at: now, due_at: now, started_at: now })
}

fn show(outcome: &Outcome, receipt: &Receipt, repeated: Option<&Repeated>, json: bool) -> Result<(), Error> {
    let (result, error) = match outcome {
        Outcome::Done(result) => (Some(result), None),
        Outcome::Failed(failure, _) => (None, Some(failure)),
        Outcome::Park | Outcome::Release(_) | Outcome::Cancelled | Outcome::Gone => (None, None),
    };
    if json {
        output::json(&RunView { result: result.map(view::ResultBytes::of), error, receipt, repeated })?;
        return Ok(());
    }
    if !receipt.stderr.is_empty() {
        output::note(output::lines(&receipt.stderr).trim_end_matches('\n'));
    }
    receipt.frames.iter().for_each(|frame| output::note(&format!("frame: {}", output::one_line(frame))));
    output::note(&format!("receipt: {}", view::cost(receipt)));
    if let Some(Repeated { runs, min_us, median_us, max_us }) = repeated {
        output::note(&format!("{runs} runs: {min_us} µs at least, {median_us} the median, {max_us} at most"));
    }
    Ok(output::bytes(result.map(|result| &result[..]).unwrap_or_default())?)
}

fn failed(outcome: Outcome) -> Result<(), Error> {
    let why = match outcome {
        Outcome::Done(_) => return Ok(()),
        Outcome::Failed(failure, verdict) => format!("{}; {}", view::failure_text(&failure), fate(verdict)),
        Outcome::Release(_) => "the host has no room for it".into(),
        Outcome::Park | Outcome::Cancelled | Outcome::Gone => "it was not run".into(),
    };
    Err(Error::new(Code::Failed, why))
}

fn fate(verdict: Verdict) -> String {
    let after = |after: Option<Duration>| match after {
        Some(after) => format!(" after {}", humantime::format_duration(after)),
        None => String::new(),
    };
    match verdict {
        Verdict::Retry(time) => format!("a worker would retry it{}", after(time)),
        Verdict::Discard => "a worker would discard it".into(),
        Verdict::Snooze(time) => format!("a worker would snooze it{}", after(time)),
    }
}
