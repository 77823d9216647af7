//! How long a single task takes, at a rate that leaves the worker idle in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::Load;
use crate::backend::Backend;
use crate::broker::Signal;
use crate::sandbox::Sandbox;
use crate::task::TaskId;
use crate::worker;

/// Signals may be missed: what has ended is looked for as well, so often.
const LOOK: Duration = Duration::from_millis(500);

/// Enqueues `tasks` tasks, one each `every`, beside a worker that waits for them. Microseconds from before the enqueue
/// until the end is known here, which is after it was written. A task that is slow holds up none behind it.
pub async fn latency(
    backend: &Backend,
    sandbox: &Arc<Sandbox>,
    options: worker::Options,
    load: &Load,
    tasks: usize,
    every: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let working = worker::run(backend.clone(), sandbox.clone(), options, stopped, std::future::pending());
    let mut working = tokio::spawn(working);
    let (began, begun) = mpsc::unbounded_channel();
    let histogram = tokio::select! {
        biased;
        histogram = measure(backend, tasks, begun) => histogram?,
        Err(error) = produce(backend, load, tasks, every, began) => return Err(error),
        ended = &mut working => anyhow::bail!("the worker ended before its tasks did: {:?}", ended??),
    };
    drop(stop);
    working.await??;
    Ok(histogram)
}

type Began = (TaskId, Instant);

/// Tells of each task before it is enqueued. Goes on for ever, unless a task can't be enqueued.
async fn produce(
    backend: &Backend,
    load: &Load,
    tasks: usize,
    every: Duration,
    began: mpsc::UnboundedSender<Began>,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(every);
    // A late one is not made up for: two at once would measure something else.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (failed, mut failure) = mpsc::channel(1);
    for _ in 0..tasks {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(error) = failure.recv() => return Err(error),
        }
        let (message, backend, failed) = (load.message(), backend.clone(), failed.clone());
        let _ = began.send((message.id.clone(), Instant::now()));
        tokio::spawn(async move {
            if let Err(error) = backend.broker.push(vec![message]).await {
                let _ = failed.send(anyhow::Error::from(error)).await;
            }
        });
    }
    match failure.recv().await {
        Some(error) => Err(error),
        None => std::future::pending().await,
    }
}

/// Waits for the ends of so many tasks.
async fn measure(
    backend: &Backend,
    tasks: usize,
    mut begun: mpsc::UnboundedReceiver<Began>,
) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    let mut open: HashMap<TaskId, Instant> = HashMap::new();
    let mut signals = backend.signals.listen();
    let mut looks = tokio::time::interval(LOOK);
    while histogram.len() < tasks as u64 {
        let ended = tokio::select! {
            biased;
            Some((id, began)) = begun.recv() => {
                open.insert(id, began);
                continue;
            }
            signal = signals.recv() => match signal {
                Ok(Signal::Ended(id)) => vec![id],
                Ok(Signal::Missed) | Err(RecvError::Lagged(_)) => {
                    looks.reset_immediately();
                    continue;
                }
                Ok(_) => continue,
                Err(RecvError::Closed) => anyhow::bail!("the broker closed its signals"),
            },
            _ = looks.tick() => {
                let ids: Vec<TaskId> = open.keys().cloned().collect();
                let records = backend.results.get(&ids).await?;
                ids.into_iter().zip(records).filter_map(|(id, record)| record.map(|_| id)).collect()
            }
        };
        for began in ended.iter().filter_map(|id| open.remove(id)) {
            histogram.record(u64::try_from(began.elapsed().as_micros())?)?;
        }
    }
    Ok(histogram)
}
