//! `tasq-host handler list`: what a folder would serve, or what workers do.

use serde::Serialize;

use super::super::error::{Code, Error};
use super::super::output;
use super::super::sandbox::{CacheArgs, handlers, load_folder, warn_refused};
use super::served;
use crate::config::{Config, HandlersFlag};
use tasq_host::retry::MAX_RETRIES;
use tasq_host::sandbox::{CPU, Handler, MEMORY, Manifest, TIMEOUT};
use tasq_host::task::{Backoff, millis};

/// List the handlers that a folder serves, with their limits, or those that workers have
///
/// Of a folder, files that would be refused are named on stderr, and make it exit with 1. Without a folder, or with
/// --served, it lists each version that a worker of the broker has: which worker (machine-process-random) loaded it and
/// when, and how many runs of it went on at the worker's last report (each third of its lease, 5 s unless --lease says
/// otherwise; each second while runs go on that began with a version which was replaced).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host handler list --handlers ./wasm
  tasq-host handler list --served
  tasq-host handler list --served --json | jq 'select(.state == \"replaced\")'")]
pub(crate) struct Args {
    #[command(flatten)]
    _handlers: HandlersFlag,
    /// What workers have, also where a folder is named
    #[arg(long, conflicts_with = "run.handlers")]
    served: bool,
    /// Print one JSON object a line; numbers carry their unit in the name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

/// A line of `handler list --json`: what a task gets that asks for nothing else.
#[derive(Serialize)]
struct HandlerView {
    name: String,
    digest: String,
    queue: String,
    /// Absent where only the worker's own concurrency counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<usize>,
    max_retries: u32,
    backoff: String,
    timeout_ms: u64,
    cpu_ms: u64,
    memory_bytes: u64,
}

/// Lists one folder, or what workers have.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    if args.served || config.worker.handlers.is_none() {
        return served::run(args.json, &config).await;
    }
    let config = &config;
    let sandbox = args.cache.open(config)?;
    let loaded = load_folder(&sandbox, handlers(config)?)?;
    let served = sandbox.handlers();
    let mut listed: Vec<_> = served.values().map(|handler| HandlerView::of(handler)).collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        for handler in &listed {
            output::json(handler)?;
        }
    } else if listed.is_empty() {
        output::note("no handlers");
    } else {
        output::line(&table(&listed))?;
    }
    loaded.refused.iter().for_each(warn_refused);
    if loaded.refused.is_empty() { Ok(()) } else { Err(Error::silent(Code::Failed)) }
}

impl HandlerView {
    fn of(handler: &Handler) -> HandlerView {
        let Manifest { queue, concurrency, max_retries, backoff, timeout, cpu, memory, .. } = &handler.manifest;
        HandlerView {
            name: handler.name.to_string(),
            digest: handler.digest.to_string(),
            queue: queue.as_ref().map_or_else(|| "default".into(), ToString::to_string),
            concurrency: *concurrency,
            max_retries: max_retries.unwrap_or(MAX_RETRIES),
            backoff: backoff.unwrap_or(Backoff::DEFAULT).to_string(),
            timeout_ms: millis(timeout.unwrap_or(TIMEOUT)),
            cpu_ms: millis(cpu.unwrap_or(CPU)),
            memory_bytes: memory.map_or(MEMORY, |memory| memory.as_u64()),
        }
    }
}

fn table(handlers: &[HandlerView]) -> String {
    let head = ["NAME", "DIGEST", "QUEUE", "AT ONCE", "RETRIES", "TIMEOUT", "CPU", "MEMORY"].map(String::from).to_vec();
    let span = |ms| humantime::format_duration(std::time::Duration::from_millis(ms)).to_string();
    let row = |handler: &HandlerView| {
        vec![
            handler.name.clone(),
            output::digest(&handler.digest),
            handler.queue.clone(),
            handler.concurrency.map_or_else(|| "-".into(), |most| most.to_string()),
            handler.max_retries.to_string(),
            span(handler.timeout_ms),
            span(handler.cpu_ms),
            bytesize::ByteSize(handler.memory_bytes).to_string(),
        ]
    };
    output::table(&std::iter::once(head).chain(handlers.iter().map(row)).collect::<Vec<_>>())
}
