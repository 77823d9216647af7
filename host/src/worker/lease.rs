//! Holds the leases of what runs; a guest whose lease is gone is stopped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::broker::{Broker, Held};
use crate::sandbox::Stop;
use crate::sandbox::stop::Wish;
use crate::task::Run;

/// Every run from its reserve until its end is written.
#[derive(Default)]
pub(super) struct Leases {
    seats: Mutex<HashMap<u64, (Run, Stop)>>,
    next: AtomicU64,
}

/// One run's place among the leases.
pub(super) struct Seat {
    pub(super) number: u64,
    pub(super) stop: Stop,
}

impl Leases {
    /// These runs' leases are held from now on.
    pub(super) fn take(&self, runs: impl ExactSizeIterator<Item = Run>) -> Vec<Seat> {
        let first = self.next.fetch_add(runs.len() as u64, Ordering::Relaxed);
        let mut seats = self.lock();
        let taken = (first..).zip(runs).map(|(number, run)| {
            let stop = Stop::new();
            seats.insert(number, (run, stop.clone()));
            Seat { number, stop }
        });
        taken.collect()
    }

    /// The runs have ended, or are no longer ours.
    pub(super) fn leave(&self, numbers: impl IntoIterator<Item = u64>) {
        let mut seats = self.lock();
        for number in numbers {
            seats.remove(&number);
        }
    }

    /// Wishes the same of everything that runs.
    pub(super) fn wish_all(&self, wish: Wish) {
        for (_, stop) in self.lock().values() {
            stop.wish(wish);
        }
    }

    fn all(&self) -> Vec<(Run, Stop)> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Run, Stop)>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than this isn't extended in one call.
const BATCH: usize = 1_000;

/// Extends every lease each third of `lease` until it is dropped. While the broker can't be reached guests run on: if
/// a lease is lost meanwhile, their ends are refused.
pub(super) fn start(broker: Arc<dyn Broker>, leases: Arc<Leases>, lease: Duration) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut pause = lease / 3;
        loop {
            tokio::time::sleep(pause).await;
            pause = lease / 3;
            for seats in leases.all().chunks(BATCH) {
                if !extend(&*broker, seats, lease).await {
                    pause = (lease / 15).min(Duration::from_secs(1));
                    break;
                }
            }
        }
    }))
}

/// False where the broker could not be asked.
async fn extend(broker: &dyn Broker, seats: &[(Run, Stop)], lease: Duration) -> bool {
    let runs: Vec<Run> = seats.iter().map(|(run, _)| run.clone()).collect();
    match broker.extend(&runs, lease).await {
        Ok(answers) => {
            for ((run, stop), answer) in seats.iter().zip(answers) {
                // Also true of a run whose end was written a moment ago: then nobody listens any more.
                if answer == Held::Gone {
                    tracing::debug!(task = %run.id, queue = %run.queue, run = run.number, "the lease is gone");
                    stop.wish(Wish::Abandon);
                }
            }
            true
        }
        Err(error) => {
            tracing::debug!("leases not extended: {error}");
            false
        }
    }
}
