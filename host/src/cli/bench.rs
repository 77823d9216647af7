//! `tasq-host bench`: what a broker and a handler give on this machine.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tasq_host::backend;
use tasq_host::bench::{self, Load, Rate};
use tasq_host::broker::Order;
use tasq_host::task::{Name, TaskId};
use tasq_host::worker::{Options, Queues};
use tracing::Level;

use super::error::{Code, Error};
use super::logging::{self, Levels, LogFormat};
use super::sandbox::{SandboxArgs, handlers, load_folder};
use super::{connect, input, output};
use crate::config::{ConcurrencyFlag, Config, HandlersFlag};

/// Measure what a broker and a handler give on this machine
///
/// Enqueues tasks on a queue of its own, drains it with results kept, times single tasks, and removes the results.
/// "bare" is the loop that only instantiates the handler and calls it, in this process with these settings: what no
/// queue can be faster than. Compare figures of one run with each other: machines differ, and so do hours.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host bench --broker memory: --handlers ./wasm add '{\"arg1\":5,\"arg2\":4}' --tasks 200000
  tasq-host bench --broker sqlite:bench.db --handlers ./wasm add '{\"arg1\":5,\"arg2\":4}'")]
pub(crate) struct Args {
    /// The handler to call
    handler: Name,
    /// Its input: a text, @FILE for a file's bytes, - for stdin's [default: nothing]
    #[arg(value_name = "PAYLOAD | @FILE | -")]
    payload: Option<OsString>,
    #[command(flatten)]
    _handlers: HandlersFlag,
    /// Tasks to enqueue and drain, and bare calls
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Tasks to time one at a time
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    timed: u32,
    /// How far apart these are enqueued
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = input::positive_span)]
    every: Duration,
    #[command(flatten)]
    _concurrency: ConcurrencyFlag,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

#[derive(Serialize)]
struct Report {
    broker: String,
    handler: Name,
    digest: String,
    concurrency: usize,
    notes: Vec<String>,
    bare: Rate,
    enqueue: Rate,
    drain: Rate,
    /// Tasks per second of `drain` through those of `bare`.
    drain_of_bare: f64,
    latency: Latency,
}

/// From before the enqueue until the end is written.
#[derive(Serialize)]
struct Latency {
    tasks: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    max_us: u64,
}

/// Measures, prints, tidies up.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    logging::start(LogFormat::Text, Levels { host: Level::WARN, guests: Level::ERROR, stderr: None }, std::io::stderr);
    let (concurrency, handlers) = (config.worker.concurrency, handlers(&config)?);
    let sandbox = Arc::new(args.sandbox.open(&config, concurrency)?);
    // The runtime has one thread, which Ctrl-C needs while a file is compiled or stdin is read.
    let (loaded, payload) =
        tokio::task::block_in_place(|| (load_folder(&sandbox, handlers), input::payload(args.payload.as_deref())));
    let (loaded, payload) = (loaded?, payload?);
    let handler = sandbox.handlers().get(&args.handler).cloned();
    let Some(handler) = handler else {
        loaded.refused.iter().for_each(super::sandbox::warn_refused);
        let found =
            format!("handlers {}: expected {}.wasm, found none that can serve", handlers.display(), args.handler);
        return Err(Error::new(Code::Failed, found));
    };
    let random = TaskId::generate().to_string();
    let queue: Name = format!("bench-{random}").parse().expect("a UUID keeps the rule for names");
    let load = Load { handler, payload, queue: queue.clone() };
    let backend = connect::within(&config, backend::open(&config.broker, config.results.as_ref())).await?;
    let options = Options {
        queues: Queues::Named(vec![(queue.clone(), 1)]),
        order: Order::Weighted,
        concurrency,
        lease: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(25),
        max_lost: super::run::MAX_LOST,
        until_empty: false,
        tally: Arc::default(),
    };
    let measured = async {
        let bare = bench::bare(&sandbox, &load, args.tasks as usize).await?;
        let enqueue = bench::enqueue(&backend, &load, args.tasks as usize).await?;
        let (drain, summary) = bench::drain(&backend, &sandbox, options.clone()).await?;
        anyhow::ensure!(
            summary.done == u64::from(args.tasks),
            "of {} tasks not all were done: {summary:?}",
            args.tasks
        );
        let timed = bench::latency(&backend, &sandbox, options, &load, args.timed as usize, args.every).await?;
        anyhow::Ok((bare, enqueue, drain, timed))
    };
    let measured = measured.await;
    let tidied = bench::tidy(&backend, &queue).await;
    let failed = |error: anyhow::Error| Error::new(Code::Failed, format!("{error:#}"));
    let (bare, enqueue, drain, timed) = measured.map_err(failed)?;
    tidied.map_err(failed)?;
    let report = Report {
        broker: config.broker.to_string(),
        handler: args.handler,
        digest: load.handler.digest.to_string(),
        concurrency,
        notes: sandbox.notes().to_vec(),
        bare,
        enqueue,
        drain,
        drain_of_bare: drain.per_second() / bare.per_second(),
        latency: Latency {
            tasks: timed.len(),
            p50_us: timed.value_at_quantile(0.5),
            p90_us: timed.value_at_quantile(0.9),
            p99_us: timed.value_at_quantile(0.99),
            max_us: timed.max(),
        },
    };
    if args.json {
        output::json(&report)?
    } else {
        output::line(&people(&report))?
    }
    Ok(())
}

fn people(report: &Report) -> String {
    let rate = |what: &str, rate: &Rate, remark: String| {
        let cpu = rate.cpu_seconds * 1e6 / rate.tasks as f64;
        vec![what.into(), format!("{:.0}/s", rate.per_second()), format!("{cpu:.1} µs"), remark]
    };
    let Latency { tasks, p50_us, p90_us, p99_us, max_us } = report.latency;
    let rows = [
        vec![String::new(), "TASKS".into(), "CPU A TASK".into(), String::new()],
        rate("bare", &report.bare, "instantiate and call, nothing else".into()),
        rate("enqueue", &report.enqueue, "in batches of 1000".into()),
        rate("drain", &report.drain, format!("{:.0} % of bare, results kept", report.drain_of_bare * 100.0)),
    ];
    let mut text = format!("{} on {}, {} at once\n\n", report.handler, report.broker, report.concurrency);
    for note in &report.notes {
        text.push_str(&format!("{note}\n\n"));
    }
    text.push_str(&output::table(&rows));
    text.push_str(&format!(
        "\n\none at a time, enqueue to end, {tasks} tasks: p50 {p50_us} µs, p90 {p90_us} µs, p99 {p99_us} µs, max {max_us} µs"
    ));
    text
}
