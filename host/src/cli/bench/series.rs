//! The measurements of one benchmark, as often as asked.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tasq_host::backend::Backend;
use tasq_host::bench::{self, Load, Meter, Producers, Rate, Recovery};
use tasq_host::sandbox::Sandbox;
use tasq_host::worker::Options;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum What {
    /// Calls of the handler in a fresh sandbox, without a queue
    Bare,
    /// Enqueueing, one at a time and in bulk
    Enqueue,
    /// Working off a queue, results kept
    Drain,
    /// From the enqueue of a single task to its end, at a rate that leaves the worker idle
    Latency,
    /// How long the tasks of a worker that is killed take to come back; takes as long as a lease
    Recovery,
}

/// What is measured with what. The numbers are the flags'.
pub(super) struct Series<W> {
    pub(super) backend: Backend,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) options: Options,
    pub(super) load: Load,
    pub(super) meter: Meter,
    pub(super) measured: BTreeSet<What>,
    pub(super) producers: Producers,
    pub(super) tasks: usize,
    pub(super) singles: usize,
    pub(super) waiting: usize,
    pub(super) timed: usize,
    pub(super) rate: u32,
    pub(super) running: usize,
    /// Makes the worker that is killed.
    pub(super) worker: W,
}

/// What came of it, one of each a repetition.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) bare: Vec<Rate>,
    pub(super) single: Vec<Rate>,
    pub(super) bulk: Vec<Rate>,
    pub(super) drain: Vec<Rate>,
    pub(super) latency: Option<Histogram<u64>>,
    pub(super) recovery: Vec<Recovery>,
    /// What the server held for each waiting task of the first bulk.
    pub(super) bytes_per_task: Option<f64>,
}

impl<W: Fn() -> Command> Series<W> {
    /// Repetitions outside, measurements inside: what disturbs the machine for a while disturbs all alike.
    pub(super) async fn take(&self, repeat: u32) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        if self.waiting > 0 {
            bench::in_bulk(&self.backend, &self.load, self.waiting, self.producers, &self.meter).await?;
        }
        for _ in 0..repeat {
            if self.measured.contains(&What::Bare) {
                taken.bare.push(bench::bare(&self.sandbox, &self.load, self.tasks, &self.meter).await?);
            }
            self.throughput(&mut taken).await?;
            if self.measured.contains(&What::Latency) {
                let times = self.latency().await?;
                match &mut taken.latency {
                    Some(all) => all.add(times)?,
                    none => *none = Some(times),
                }
            }
            if self.measured.contains(&What::Recovery) {
                taken.recovery.push(self.recovery().await?);
            }
        }
        Ok(taken)
    }

    async fn throughput(&self, taken: &mut Taken) -> anyhow::Result<()> {
        let Series { backend, load, meter, producers, .. } = self;
        let (enqueue, drain) = (self.measured.contains(&What::Enqueue), self.measured.contains(&What::Drain));
        let mut waiting = 0;
        if enqueue {
            let single = bench::one_at_a_time(backend, load, self.singles, *producers, meter).await?;
            waiting += single.tasks;
            taken.single.push(single);
        }
        if enqueue || drain {
            let before = meter.usage().await?;
            let bulk = bench::in_bulk(backend, load, self.tasks, *producers, meter).await?;
            let grown = meter.usage().await?.zip(before).map(|(after, before)| {
                after.memory_bytes.saturating_sub(before.memory_bytes) as f64 / bulk.tasks as f64
            });
            taken.bytes_per_task = taken.bytes_per_task.or(grown);
            waiting += bulk.tasks;
            if enqueue {
                taken.bulk.push(bulk);
            }
        }
        if drain {
            taken.drain.push(bench::drain(backend, &self.sandbox, self.options.clone(), waiting, meter).await?);
        }
        Ok(())
    }

    async fn latency(&self) -> anyhow::Result<Histogram<u64>> {
        let every = Duration::from_secs(1) / self.rate;
        let Series { backend, sandbox, options, load, timed, .. } = self;
        bench::latency(backend, sandbox, options.clone(), load, *timed, every).await
    }

    async fn recovery(&self) -> anyhow::Result<Recovery> {
        let Series { backend, sandbox, options, load, running, worker, .. } = self;
        // Room for all that come back at once.
        let options = Options { concurrency: options.concurrency.max(super::slots_for(*running)), ..options.clone() };
        bench::recovery(backend, sandbox, options, load, *running, worker()).await
    }
}
