//! Holds the leases of what runs; a guest whose lease is gone, or whose task is cancelled, is stopped.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::backend::Backend;
use crate::broker::{Broker, Held, Signal};
use crate::sandbox::Stop;
use crate::sandbox::stop::Wish;
use crate::task::{Run, TaskId};

/// Every run from its reserve until its end is written, in the order of their seats.
#[derive(Default)]
pub(super) struct Leases {
    seats: Mutex<BTreeMap<u64, (Run, Stop)>>,
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

    fn of(&self, ids: &HashSet<TaskId>) -> Vec<(Run, Stop)> {
        self.lock().values().filter(|(run, _)| ids.contains(&run.id)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Run, Stop)>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than this isn't extended in one call.
const BATCH: usize = 1_000;
/// Signals were missed, one that cancels a run perhaps among them: everything is extended within this time, which asks.
const MISSED: Duration = Duration::from_millis(250);

/// Extends every lease each third of `lease`, and one that is to be cancelled at once, until it is dropped. While the
/// broker can't be reached guests run on: if a lease is lost meanwhile, their ends are refused.
pub(super) fn start(backend: &Backend, leases: Arc<Leases>, lease: Duration) -> AbortOnDropHandle<()> {
    let (broker, mut signals) = (backend.broker.clone(), backend.signals.cancels());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut next = Instant::now() + lease / 3;
        loop {
            let seats = tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => {
                    next = Instant::now() + lease / 3;
                    leases.all()
                }
                asked = asked(&mut signals) => match asked {
                    Some(ids) => leases.of(&ids),
                    None => {
                        next = next.min(Instant::now() + MISSED);
                        continue;
                    }
                }
            };
            for seats in seats.chunks(BATCH) {
                if !extend(&*broker, seats, lease).await {
                    next = next.min(Instant::now() + (lease / 15).min(Duration::from_secs(1)));
                    break;
                }
            }
        }
    }))
}

/// The tasks that are to be cancelled, once there are some; none where signals were missed.
async fn asked(signals: &mut Receiver<Signal>) -> Option<HashSet<TaskId>> {
    let mut ids = HashSet::new();
    loop {
        match signals.recv().await {
            Ok(Signal::Cancel(id)) => ids.insert(id),
            Ok(Signal::Ended(_) | Signal::Changed) => continue,
            Ok(Signal::Missed) | Err(RecvError::Lagged(_)) => return None,
            Err(RecvError::Closed) => std::future::pending().await,
        };
        // Those that were asked for in one call go in one.
        loop {
            match signals.try_recv() {
                Ok(Signal::Cancel(id)) => drop(ids.insert(id)),
                Ok(Signal::Ended(_) | Signal::Changed) => {}
                Ok(Signal::Missed) | Err(TryRecvError::Lagged(_)) => return None,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(ids),
            }
        }
    }
}

/// False where the broker could not be asked.
async fn extend(broker: &dyn Broker, seats: &[(Run, Stop)], lease: Duration) -> bool {
    let runs: Vec<Run> = seats.iter().map(|(run, _)| run.clone()).collect();
    match broker.extend(&runs, lease).await {
        Ok(answers) => {
            for ((run, stop), answer) in seats.iter().zip(answers) {
                match answer {
                    Held::Kept => {}
                    Held::Cancelled => stop.wish(Wish::Cancel),
                    // Also true of a run whose end was written a moment ago: then nobody listens any more.
                    Held::Gone => {
                        tracing::debug!(task = %run.id, queue = %run.queue, run = run.number, "the lease is gone");
                        stop.wish(Wish::Abandon);
                    }
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
