//! tasq-host as the harness of other queues asks for one (`tests/peers/run`): one process, one phase, one line of JSON.
//! The worker is set up as `tasq-host run` sets it up; the producer is the library's client.
//!
//! | variable | |
//! |---|---|
//! | `PHASE` | `enqueue`, `pace` (one each 5 ms): a producer; `drain`, `latency`, `worker` (for ever): a worker; `reset`: empties NATS |
//! | `MODE` | `single`, `bulk` (1,000 a call) |
//! | `N` `C` `PAYLOAD` | jobs, runs at once, bytes |
//! | `REDIS_PORT` `REDIS_DB` `NATS_PORT` | the servers; `BROKER=nats` takes the other one |
//! | `EVLOG` `SLEEP_MS` | where handlers say that they begin and end, and how long they take |
//! | `PEERS_BUILD` | handlers in `handlers/`, compiled code in `cache/` |
//! | `PAGEMAP_SCAN=off` | resets memory without it |

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tasq_host::backend::url::Url;
use tasq_host::backend::{self, Backend};
use tasq_host::broker::Order;
use tasq_host::client::{Client, NewTask, Work};
use tasq_host::results::Filter;
use tasq_host::sandbox::{Options, Sandbox};
use tasq_host::worker::{self, Queues, Tally};
use tokio::sync::oneshot;

// As in the host.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Jobs that go in with one call.
const BULK: u64 = 1_000;
/// How far apart `pace` enqueues.
const PACE: Duration = Duration::from_millis(5);
/// How often a worker's counts are looked at.
const LOOK: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    // As in the host.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let asked = Asked::by_the_environment();
    let mut runtime = match asked.phase.as_str() {
        // As in the host: a worker's own work is one thread's.
        "drain" | "latency" | "worker" => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.worker_threads(1).enable_all().build()?;
    let line = runtime.block_on(async move {
        match asked.phase.as_str() {
            "reset" => reset(&asked).await,
            "enqueue" | "pace" => Some(produce(&asked).await),
            "drain" | "latency" | "worker" => Some(work(&asked).await),
            other => panic!("PHASE: expected one of enqueue, pace, drain, latency, worker, reset, found \"{other}\""),
        }
    });
    line.map_or(Ok(()), |line| writeln!(io::stdout(), "{line}"))
}

fn text(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn number(name: &str, default: u64) -> u64 {
    match text(name).as_str() {
        "" => default,
        given => given.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found \"{given}\"")),
    }
}

/// What the environment asks for.
struct Asked {
    phase: String,
    mode: String,
    jobs: u64,
    concurrency: usize,
    payload: usize,
    broker: Url,
    folder: PathBuf,
}

impl Asked {
    fn by_the_environment() -> Asked {
        let database = number("REDIS_DB", 0);
        let broker = match text("BROKER").as_str() {
            // Its databases are name spaces.
            "nats" => format!("nats://127.0.0.1:{}?prefix=db{database}", number("NATS_PORT", 14_222)),
            _ => format!("redis://127.0.0.1:{}/{database}", number("REDIS_PORT", 16_379)),
        };
        Asked {
            phase: text("PHASE"),
            mode: text("MODE"),
            jobs: number("N", 20_000),
            concurrency: number("C", 50) as usize,
            payload: number("PAYLOAD", 100) as usize,
            broker: broker.parse().expect("it is well formed"),
            folder: text("PEERS_BUILD").into(),
        }
    }

    fn line(&self, seconds: f64, latency: Option<(f64, f64)>, cpu: Duration) -> Value {
        json!({
            "peer": "tasq-host", "version": text("TASQ_COMMIT"), "phase": self.phase, "mode": self.mode, "n": self.jobs,
            "seconds": seconds, "jobs_per_s": self.jobs as f64 / seconds,
            "p50_ms": latency.map(|(p50, _)| p50), "p99_ms": latency.map(|(_, p99)| p99),
            "client_cpu_s": cpu.as_secs_f64(),
        })
    }

    fn job(&self, id: u64) -> NewTask {
        let made = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
        let job = |pad: &str| format!(r#"{{"arg1":{id},"arg2":{},"id":{id},"t":{made},"pad":"{pad}"}}"#, id + 1);
        let short = job("");
        let pad = "x".repeat(self.payload.saturating_sub(short.len()));
        NewTask::new("add".parse().expect("a name"), job(&pad))
    }
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Drops what earlier phases left on the NATS server; Redis is emptied by the harness.
async fn reset(asked: &Asked) -> Option<Value> {
    let server = async_nats::connect(format!("127.0.0.1:{}", number("NATS_PORT", 14_222))).await.expect("NATS answers");
    let streams = async_nats::jetstream::new(server);
    for part in backend::parts(&asked.broker) {
        // What was never there needs no dropping.
        let _ = streams.delete_stream(part.name).await;
    }
    None
}

async fn produce(asked: &Asked) -> Value {
    let client = Client::open(&asked.broker, None).await.expect("the server answers");
    let (before, began) = (cpu(), Instant::now());
    if asked.mode == "bulk" {
        for first in (0..asked.jobs).step_by(BULK as usize) {
            let ids = first..asked.jobs.min(first + BULK);
            let works = ids.map(|id| Work::Task(Box::new(asked.job(id)))).collect();
            let enqueued = client.enqueue_all(works).await.expect("they are enqueued");
            assert!(enqueued.iter().all(Result::is_ok), "a job was refused");
        }
    } else {
        let mut ticks = tokio::time::interval(PACE);
        for id in 0..asked.jobs {
            if asked.phase == "pace" {
                ticks.tick().await;
            }
            client.enqueue(asked.job(id)).await.expect("it is enqueued");
        }
    }
    asked.line(began.elapsed().as_secs_f64(), None, cpu() - before)
}

async fn work(asked: &Asked) -> Value {
    let events = text("EVLOG");
    if !events.is_empty() {
        tell_events(Path::new(&events));
    }
    let sandbox = sandbox(asked);
    let backend = backend::open(&asked.broker, None).await.expect("the server answers");
    let tally = Arc::<Tally>::default();
    let options = worker::Options {
        queues: Queues::Served,
        order: Order::Weighted,
        concurrency: asked.concurrency,
        lease: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(25),
        max_lost: 3,
        until_empty: false,
        tally: tally.clone(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let working = tokio::spawn(worker::run(backend.clone(), sandbox, options, stopped, std::future::pending()));
    let first = reached(&tally, |tally| tally.running() + tally.done() > 0).await;
    let jobs = if asked.phase == "worker" { u64::MAX } else { asked.jobs };
    let last = reached(&tally, |tally| tally.done() + tally.failed() >= jobs).await;
    drop(stop);
    let summary = working.await.expect("no panic").expect("the broker keeps answering");
    assert_eq!(summary.done, jobs, "{summary:?}");
    let latency = match asked.phase.as_str() {
        "latency" => Some(waited(&backend, asked.jobs).await),
        _ => None,
    };
    asked.line((last.0 - first.0).as_secs_f64(), latency, last.1 - first.1)
}

/// The moment, by wall and by CPU, when this is true of the worker's counts.
async fn reached(tally: &Tally, is_there: impl Fn(&Tally) -> bool) -> (Instant, Duration) {
    while !is_there(tally) {
        tokio::time::sleep(LOOK).await;
    }
    (Instant::now(), cpu())
}

fn sandbox(asked: &Asked) -> Arc<Sandbox> {
    let sandbox = Sandbox::new(Options {
        slots: asked.concurrency,
        pagemap_scan: text("PAGEMAP_SCAN") != "off",
        cache: Some(asked.folder.join("cache")),
        memory_budget: None,
    });
    let sandbox = sandbox.expect("the sandbox opens");
    let handlers = asked.folder.join("handlers");
    let loaded = match asked.phase.as_str() {
        "drain" => sandbox.load_folder(&handlers.join("add")),
        "latency" => sandbox.load_folder(&handlers.join("timed")),
        // Several of these run at once, each with a setting of its own.
        _ => {
            let folder = handlers.join(format!("worker-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::copy(handlers.join("timed/add.wasm"), folder.join("add.wasm")).expect("it is copied");
            let manifest = format!("[grants]\nconfig = {{ sleep_ms = \"{}\" }}\n", number("SLEEP_MS", 0));
            std::fs::write(folder.join("add.toml"), manifest).expect("it is written");
            let loaded = sandbox.load_folder(&folder);
            std::fs::remove_dir_all(&folder).expect("it is removed");
            loaded
        }
    };
    assert!(loaded.expect("the folder can be read").refused.is_empty(), "a handler was refused");
    Arc::new(sandbox)
}

/// Median and 99th percentile, in ms, of what the handlers of the last `jobs` jobs say.
async fn waited(backend: &Backend, jobs: u64) -> (f64, f64) {
    let filter = Filter { limit: jobs as usize, ..Filter::default() };
    let records = backend.results.list(&filter).await.expect("the results are there");
    let waited = |record: &tasq_host::results::Record| {
        let result: Value = serde_json::from_slice(record.result.as_ref()?).ok()?;
        Some(result["waited_us"].as_u64()? as f64 / 1_000.0)
    };
    let mut waited: Vec<f64> = records.iter().filter_map(waited).collect();
    assert_eq!(waited.len() as u64, jobs, "not all jobs have said how long they waited");
    waited.sort_by(f64::total_cmp);
    (waited[waited.len() / 2], waited[waited.len() * 99 / 100])
}

/// Writes what handlers log, `S ID TIME` and `D ID TIME`, to this file.
fn tell_events(file: &Path) {
    let file = OpenOptions::new().append(true).create(true).open(file).expect("the file of events opens");
    let file = Arc::new(file);
    let events = move || Events(file.clone());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_writer(events)
        .init();
}

struct Events(Arc<File>);

impl Write for Events {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let event: Value = serde_json::from_slice(line).unwrap_or_default();
        match event["message"].as_str().filter(|_| event["target"] == "guest") {
            Some(said) => self.0.as_ref().write_all(format!("{said}\n").as_bytes())?,
            // The host's own words are for whoever looks for a fault.
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
