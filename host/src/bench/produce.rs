//! Enqueueing: what producers get in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::{Load, Meter, Rate};
use crate::backend::Backend;

/// Who enqueues.
#[derive(Clone, Copy, Debug)]
pub struct Producers {
    /// Side by side, each waiting for its answer before it goes on; at least 1.
    pub number: usize,
    /// Tasks that go in with one call; at least 1.
    pub batch: usize,
}

/// Pushes `tasks` tasks one at a time.
pub async fn one_at_a_time(
    backend: &Backend,
    load: &Load,
    tasks: usize,
    producers: Producers,
    meter: &Meter,
) -> anyhow::Result<Rate> {
    in_bulk(backend, load, tasks, Producers { batch: 1, ..producers }, meter).await
}

/// Pushes `tasks` tasks in batches.
pub async fn in_bulk(
    backend: &Backend,
    load: &Load,
    tasks: usize,
    producers: Producers,
    meter: &Meter,
) -> anyhow::Result<Rate> {
    let taken = Arc::new(AtomicUsize::new(0));
    let mut producing = JoinSet::new();
    let watch = meter.start().await?;
    for _ in 0..producers.number {
        let (backend, load, taken) = (backend.clone(), load.clone(), taken.clone());
        producing.spawn(async move {
            loop {
                let first = taken.fetch_add(producers.batch, Ordering::Relaxed);
                let batch = tasks.saturating_sub(first).min(producers.batch);
                if batch == 0 {
                    return anyhow::Ok(());
                }
                backend.broker.push(load.messages(batch)).await?;
            }
        });
    }
    for produced in producing.join_all().await {
        produced?;
    }
    meter.stop(watch.read(tasks as u64)).await
}
