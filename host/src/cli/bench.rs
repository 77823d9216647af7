//! `tasq-host bench`: what a broker and a handler give on this machine.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tasq_host::backend;
use tasq_host::bench::{self, Latency, Load, Memory, Meter, Producers, Rates, Report};
use tasq_host::broker::Order;
use tasq_host::sandbox::{Handler, Loaded, Sandbox};
use tasq_host::task::{InvalidName, Name, PAYLOAD, TaskId};
use tasq_host::worker::{Options, Queues};
use tracing::Level;

use super::error::{Code, Error};
use super::logging::{self, Levels, LogFormat};
use super::sandbox::{SandboxArgs, handlers, load_folder};
use super::secrets::permitted;
use super::{connect, input, output};
use crate::config::{ConcurrencyFlag, Config, HandlersFlag, LeaseFlag, SecretsFlag};

mod series;
mod table;

use series::{Series, What};

/// Measure what a broker and a handler give on this machine
///
/// Enqueues tasks on a queue of its own, drains it with results kept, times single tasks, and removes what is left.
/// "bare" is the loop that only instantiates the handler and calls it, in this process with these settings: what no
/// queue can be faster than. Compare figures of one run with each other: machines differ, and so do hours.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host bench --broker memory: --handlers ./wasm add '{\"arg1\":5,\"arg2\":4}' --tasks 200000
  tasq-host bench --broker redis://localhost --handlers ./wasm add '{\"arg1\":5,\"arg2\":4}' --repeat 5
  tasq-host bench --handlers ./wasm mail --measure recovery --running 50")]
pub(crate) struct Args {
    /// The handler to call; of several, HANDLER,HANDLER, in turn
    #[arg(value_name = "HANDLER", value_parser = names)]
    handlers: Names,
    /// Its input: a text, @FILE for a file's bytes, - for stdin's [default: nothing]
    #[arg(value_name = "PAYLOAD | @FILE | -")]
    payload: Option<OsString>,
    #[command(flatten)]
    _handlers: HandlersFlag,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST", default_values_t = [What::Bare, What::Enqueue, What::Drain, What::Latency])]
    measure: Vec<What>,
    /// How often: the least, the median and the greatest are shown
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroU32,
    /// Tasks to enqueue in bulk and drain, and bare calls
    #[arg(long, value_name = "N", default_value = "10000")]
    tasks: NonZeroU32,
    /// Tasks to enqueue one at a time
    #[arg(long, value_name = "N", default_value = "1000")]
    singles: NonZeroU32,
    /// Producers that enqueue side by side
    #[arg(long, value_name = "N", default_value = "1")]
    producers: NonZeroU32,
    /// Tasks that go in with one call in bulk
    #[arg(long, value_name = "N", default_value = "1000")]
    batch: NonZeroU32,
    /// Make the payload this long, in bytes, with spaces at its end, which JSON lets pass
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
    /// Spread the tasks over this many queues
    #[arg(long, value_name = "N", default_value = "1")]
    queues: NonZeroU32,
    /// Let this many more tasks wait all the while
    #[arg(long, value_name = "N", default_value_t = 0)]
    waiting: u32,
    /// Tasks to time, for latency
    #[arg(long, value_name = "N", default_value = "1000")]
    timed: NonZeroU32,
    /// How many of them are enqueued per second
    #[arg(long, value_name = "N", default_value = "200")]
    rate: NonZeroU32,
    /// Tasks that run when their worker is killed, for recovery; the handler has to take some seconds
    #[arg(long, value_name = "N", default_value = "50")]
    running: NonZeroU32,
    /// The server's process on this machine, to see what it uses (Redis tells by itself)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Leave behind what still waits and what was kept, for a server that is thrown away
    #[arg(long)]
    leave: bool,
    #[command(flatten)]
    _concurrency: ConcurrencyFlag,
    #[command(flatten)]
    _lease: LeaseFlag,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    _secrets: SecretsFlag,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// One or several.
#[derive(Clone, Debug)]
struct Names(Vec<Name>);

fn names(text: &str) -> Result<Names, InvalidName> {
    Ok(Names(text.split(',').map(str::parse).collect::<Result<_, _>>()?))
}

/// Measures, prints, tidies up.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    logging::start(LogFormat::Text, Levels { host: Level::WARN, guests: Level::ERROR, stderr: None }, std::io::stderr);
    let measured: BTreeSet<What> = args.measure.iter().copied().collect();
    if measured.contains(&What::Recovery) {
        connect::refuse_memory(&config)?;
    }
    let (concurrency, folder) = (config.worker.concurrency, handlers(&config)?);
    let recovering = if measured.contains(&What::Recovery) { slots_for(count(args.running)) } else { 0 };
    let sandbox = Arc::new(args.sandbox.open(&config, concurrency.max(recovering), permitted(&config)?)?);
    // The runtime has one thread, which Ctrl-C needs while a file is compiled or stdin is read.
    let (loaded, payload) =
        tokio::task::block_in_place(|| (load_folder(&sandbox, folder), input::payload(args.payload.as_deref())));
    let (loaded, payload) = (loaded?, padded(payload?, args.size)?);
    let load = Load {
        handlers: served(&args.handlers.0, &sandbox, &loaded, folder)?,
        payload,
        queues: queues(args.queues),
        made: Arc::default(),
    };
    let backend = connect::within(&config, backend::open(&config.broker, config.results.as_ref())).await?;
    let idle_bytes = bench::resident().0;
    let producers = Producers { number: count(args.producers), batch: count(args.batch) };
    let series = Series {
        backend: backend.clone(),
        sandbox: sandbox.clone(),
        options: options(&config, &load),
        load: load.clone(),
        meter: Meter { broker: config.broker.clone(), pid: args.server_pid },
        measured,
        producers,
        tasks: count(args.tasks),
        singles: count(args.singles),
        waiting: args.waiting as usize,
        timed: count(args.timed),
        rate: args.rate.get(),
        running: count(args.running),
        worker: worker(&config, &load, slots_for(count(args.running))),
    };
    let taken = series.take(args.repeat.get()).await;
    let tidied = if args.leave { Ok(()) } else { bench::tidy(&backend, &load).await };
    let failed = |error: anyhow::Error| Error::new(Code::Failed, format!("{error:#}"));
    let taken = taken.map_err(failed)?;
    tidied.map_err(failed)?;
    let (bare, drain) = (Rates::of(&taken.bare), Rates::of(&taken.drain));
    let report = Report {
        broker: config.broker.to_string(),
        handlers: args.handlers.0,
        digest: load.handlers[0].digest.to_string(),
        queues: load.queues.len(),
        payload_bytes: load.payload.len(),
        concurrency,
        producers: producers.number,
        waiting: series.waiting,
        repeat: count(args.repeat),
        notes: sandbox.notes().to_vec(),
        bare,
        enqueue_single: Rates::of(&taken.single),
        enqueue_bulk: Rates::of(&taken.bulk),
        drain,
        drain_of_bare: bare.zip(drain).map(|(bare, drain)| drain.per_second.median / bare.per_second.median),
        latency: taken.latency.map(|times| Latency::of(&times, args.rate.get())),
        recovery: taken.recovery,
        memory: Memory {
            idle_bytes,
            peak_bytes: bench::resident().1,
            server_bytes_per_waiting_task: taken.bytes_per_task,
        },
    };
    if args.json {
        output::json(&report)?
    } else {
        output::line(&table::people(&report))?
    }
    Ok(())
}

fn count(number: NonZeroU32) -> usize {
    number.get() as usize
}

fn padded(payload: Bytes, size: Option<usize>) -> Result<Bytes, Error> {
    let Some(size) = size else { return Ok(payload) };
    if !(payload.len()..=PAYLOAD).contains(&size) {
        let shortest = payload.len();
        return Err(Error::usage(format!("--size {size}: expected {shortest} (the payload's) to {PAYLOAD} bytes")));
    }
    let mut padded = payload.to_vec();
    padded.resize(size, b' ');
    Ok(padded.into())
}

/// Those that were asked for.
fn served(asked: &[Name], sandbox: &Sandbox, loaded: &Loaded, folder: &Path) -> Result<Vec<Arc<Handler>>, Error> {
    let handlers = sandbox.handlers();
    let served = asked.iter().map(|name| {
        handlers.get(name).cloned().ok_or_else(|| {
            loaded.refused.iter().for_each(super::sandbox::warn_refused);
            let found = format!("handlers {}: expected {name}.wasm, found none that can serve", folder.display());
            Error::new(Code::Failed, found)
        })
    });
    served.collect()
}

/// Queues of this run alone.
fn queues(number: NonZeroU32) -> Vec<Name> {
    let random = TaskId::generate().to_string();
    let name = |n: u32| format!("bench-{random}-{n}").parse().expect("a UUID keeps the rule for names");
    (1..=number.get()).map(name).collect()
}

fn options(config: &Config, load: &Load) -> Options {
    Options {
        queues: Queues::Named(load.queues.iter().map(|queue| (queue.clone(), 1)).collect()),
        order: Order::Weighted,
        concurrency: config.worker.concurrency,
        lease: config.worker.lease,
        drain_timeout: Duration::from_secs(25),
        max_lost: super::run::MAX_LOST,
        until_empty: false,
        tally: Arc::default(),
    }
}

/// Slots of a worker that is to run so many of one handler at once: beside other handlers, an eighth is out of its reach.
fn slots_for(running: usize) -> usize {
    running + running / 7 + 1
}

/// A worker in a process of its own, to be killed, with the same settings. What flags said goes by the environment, where
/// only this user sees a URL's password.
fn worker(config: &Config, load: &Load, concurrency: usize) -> impl Fn() -> Command + use<> {
    let typed: Vec<_> = config.settings.typed().collect();
    let queues = load.queues.clone();
    move || {
        let mut command = Command::new("/proc/self/exe");
        command.arg("run").args(["--concurrency", &concurrency.to_string()]);
        command.args(queues.iter().flat_map(|queue| ["--queue", queue.as_str()]));
        command
            .envs(typed.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_padded_to_its_size_and_never_cut() {
        let padded = |size| padded(Bytes::from_static(b"{}"), size).map_err(|error| error.to_string());
        assert_eq!(padded(None).unwrap(), "{}");
        assert_eq!(padded(Some(4)).unwrap(), "{}  ");
        assert_eq!(padded(Some(PAYLOAD)).unwrap().len(), PAYLOAD);
        assert_eq!(padded(Some(1)).unwrap_err(), "error: --size 1: expected 2 (the payload's) to 4194304 bytes");
        assert!(padded(Some(PAYLOAD + 1)).is_err());
    }
}
