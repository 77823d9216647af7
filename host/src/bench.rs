//! Load on a broker and a handler, and what came of it. Rates are only comparable within one process and one run: the
//! machine's mood is in all of them alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::broker::{Due, Message, Signal};
use crate::codec;
use crate::results::Filter;
use crate::sandbox::{Call, Handler, Sandbox};
use crate::task::{Headers, Name, Priority, Task, TaskId, TaskOptions, Timestamp};
use crate::worker::{self, Summary};

/// What to run, over and over.
#[derive(Clone)]
pub struct Load {
    /// The handler.
    pub handler: Arc<Handler>,
    /// Its input.
    pub payload: Bytes,
    /// A queue of the benchmark's own.
    pub queue: Name,
}

/// One measurement.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Rate {
    /// How many.
    pub tasks: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// CPU time of this process meanwhile (a server's is not in it).
    pub cpu_seconds: f64,
}

impl Rate {
    /// Tasks per second.
    pub fn per_second(&self) -> f64 {
        self.tasks as f64 / self.seconds
    }
}

/// A stopwatch for wall and CPU time.
struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    fn start() -> Watch {
        Watch { wall: Instant::now(), cpu: process_cpu() }
    }

    fn stop(self, tasks: u64) -> Rate {
        let seconds = self.wall.elapsed().as_secs_f64();
        Rate { tasks, seconds, cpu_seconds: (process_cpu() - self.cpu).as_secs_f64() }
    }
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

impl Load {
    fn task(&self) -> Task {
        Task {
            id: TaskId::generate(),
            handler: self.handler.name.clone(),
            queue: self.queue.clone(),
            priority: Priority::Normal,
            payload: self.payload.clone(),
            content_type: String::new(),
            headers: Headers::new(),
            upstream: Vec::new(),
            options: TaskOptions::default(),
            chain: None,
            group: None,
        }
    }

    fn message(&self) -> Message {
        codec::message(self.task(), Due::Now, None)
    }
}

/// Tasks that go in with one call.
const BATCH: usize = 1_000;

/// The bare instantiate-and-call loop, on all of the sandbox's threads: what no queue can be faster than.
pub async fn bare(sandbox: &Arc<Sandbox>, load: &Load, calls: usize) -> anyhow::Result<Rate> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut loops = JoinSet::new();
    let watch = Watch::start();
    for _ in 0..threads {
        let (sandbox, load) = (sandbox.clone(), load.clone());
        let guests = sandbox.guests().clone();
        let call = Call {
            task: load.task(),
            run: 1,
            attempt: 1,
            max_retries: 0,
            enqueued_at: Timestamp(0),
            due_at: Timestamp(0),
            started_at: Timestamp(0),
        };
        loops.spawn_on(
            async move {
                for _ in 0..calls / threads {
                    sandbox.bare(&load.handler, &call).await?;
                    tokio::task::consume_budget().await;
                }
                anyhow::Ok(())
            },
            &guests,
        );
    }
    for ended in loops.join_all().await {
        ended?;
    }
    Ok(watch.stop((calls / threads * threads) as u64))
}

/// Pushes `tasks` in batches.
pub async fn enqueue(backend: &Backend, load: &Load, tasks: usize) -> anyhow::Result<Rate> {
    let watch = Watch::start();
    let mut left = tasks;
    while left > 0 {
        let batch = left.min(BATCH);
        backend.broker.push((0..batch).map(|_| load.message()).collect()).await?;
        left -= batch;
    }
    Ok(watch.stop(tasks as u64))
}

/// Works off what is in the queue, results kept.
pub async fn drain(
    backend: &Backend,
    sandbox: &Arc<Sandbox>,
    options: worker::Options,
) -> anyhow::Result<(Rate, Summary)> {
    let watch = Watch::start();
    let never = std::future::pending;
    let options = worker::Options { until_empty: true, ..options };
    let working = worker::run(backend.clone(), sandbox.clone(), options, never(), never());
    let summary = tokio::spawn(working).await??;
    Ok((watch.stop(summary.done + summary.dead), summary))
}

/// Enqueues `tasks` one at a time, `every` apart, beside a worker that waits for them. Microseconds from before the
/// enqueue until the end is written.
pub async fn latency(
    backend: &Backend,
    sandbox: &Arc<Sandbox>,
    options: worker::Options,
    load: &Load,
    tasks: usize,
    every: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let working = worker::run(backend.clone(), sandbox.clone(), options, stopped, std::future::pending());
    let working = tokio::spawn(working);
    let mut histogram = Histogram::new(3)?;
    let mut ticks = tokio::time::interval(every);
    let mut signals = backend.signals.listen();
    for _ in 0..tasks {
        ticks.tick().await;
        let message = load.message();
        let id = message.id.clone();
        let began = Instant::now();
        backend.broker.push(vec![message]).await?;
        loop {
            match signals.recv().await {
                Ok(Signal::Ended(ended)) if ended == id => break,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => anyhow::bail!("the broker closed its signals"),
            }
        }
        histogram.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    drop(stop);
    working.await??;
    Ok(histogram)
}

/// Removes the results that a benchmark left.
pub async fn tidy(backend: &Backend, queue: &Name) -> anyhow::Result<()> {
    loop {
        let filter = Filter { queue: Some(queue.clone()), limit: BATCH, ..Filter::default() };
        let ids: Vec<TaskId> = backend.results.list(&filter).await?.into_iter().map(|record| record.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        backend.results.delete(&ids).await?;
    }
}
