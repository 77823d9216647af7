//! Working off: the bare loop of the sandbox, and a worker on a queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Load, Meter, Rate};
use crate::backend::Backend;
use crate::sandbox::{Call, Sandbox};
use crate::task::Timestamp;
use crate::worker::{self, Summary};

/// How often a worker's counts are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The bare instantiate-and-call loop, on all of the sandbox's threads: what no queue can be faster than. The first
/// handler is called.
pub async fn bare(sandbox: &Arc<Sandbox>, load: &Load, calls: usize, meter: &Meter) -> anyhow::Result<Rate> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = calls.div_ceil(threads);
    let mut loops = JoinSet::new();
    let watch = meter.start().await?;
    for _ in 0..threads {
        let (sandbox, handler) = (sandbox.clone(), load.handlers[0].clone());
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
                for _ in 0..each {
                    sandbox.bare(&handler, &call).await?;
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
    meter.stop(watch.read((each * threads) as u64)).await
}

/// Works off `tasks` tasks, results kept, and leaves what else waits. A run that fails is an error: what is measured then
/// is something else. From the worker's start until the last end is written.
pub async fn drain(
    backend: &Backend,
    sandbox: &Arc<Sandbox>,
    options: worker::Options,
    tasks: u64,
    meter: &Meter,
) -> anyhow::Result<Rate> {
    let options = worker::Options { tally: Arc::default(), ..options };
    let tally = options.tally.clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let watch = meter.start().await?;
    let working = worker::run(backend.clone(), sandbox.clone(), options, stopped, std::future::pending());
    let mut working = tokio::spawn(working);
    let counted = async {
        while tally.done() < tasks && tally.failed() == 0 {
            tokio::time::sleep(LOOK).await;
        }
        watch.read(tally.done())
    };
    let read = tokio::select! {
        // It ends by itself only where it can't go on.
        ended = &mut working => anyhow::bail!("the worker ended before its tasks did: {:?}", ended??),
        read = counted => read,
    };
    let rate = meter.stop(read).await?;
    drop(stop);
    let summary: Summary = working.await??;
    let failed = summary.retried + summary.dead;
    anyhow::ensure!(
        failed == 0,
        "drain: expected every run to succeed, found {failed} that failed: try the payload with `tasq-host handler run`"
    );
    Ok(rate)
}
