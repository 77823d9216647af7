//! Writes how runs ended: what has gathered while the previous batch was under way goes in one call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::lease::Leases;
use super::{Summary, Trouble};
use crate::backend::Backend;
use crate::broker::{End, Settled};
use crate::error::{ErrorKind, Result};
use crate::task::Ending;

/// An end and the seat that it frees.
pub(super) struct Handed {
    pub(super) end: End,
    pub(super) seat: u64,
}

const BATCH: usize = 1_000;
/// At the worker's own end, a broker that can't be reached gets so long to come back.
const LAST_TRY: Duration = Duration::from_secs(5);

/// The agent that settles; it ends when every sender is gone and the last end is written.
pub(super) struct Settling(JoinHandle<Result<Summary>>);

/// `slots`: as many attempts may hand in at once. A broker that is slow holds up attempts, not memory.
pub(super) fn start(backend: Backend, leases: Arc<Leases>, slots: usize) -> (mpsc::Sender<Handed>, Settling) {
    let (sender, receiver) = mpsc::channel(slots.max(BATCH));
    (sender, Settling(tokio::spawn(settle_all(backend, leases, receiver))))
}

impl Settling {
    /// Waits until everything handed in is written.
    pub(super) async fn finish(mut self, backend: &Backend) -> Result<Summary> {
        loop {
            match tokio::time::timeout(LAST_TRY, &mut self.0).await {
                Ok(Ok(summary)) => return summary,
                Ok(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Ok(Err(error)) => unreachable!("nobody aborts the settler: {error}"),
                // Slow is waited for; out of reach is left to the leases, and the tasks run again.
                Err(_) => {
                    if let Err(error) = backend.broker.settle(Vec::new()).await {
                        tracing::error!("the last ends could not be written, their tasks will run again: {error}");
                        self.0.abort();
                        return Err(error);
                    }
                }
            }
        }
    }
}

async fn settle_all(backend: Backend, leases: Arc<Leases>, mut receiver: mpsc::Receiver<Handed>) -> Result<Summary> {
    let (mut summary, mut handed) = (Summary::default(), Vec::new());
    while receiver.recv_many(&mut handed, BATCH).await > 0 {
        let (ends, seats): (Vec<End>, Vec<u64>) = handed.drain(..).map(|Handed { end, seat }| (end, seat)).unzip();
        let kinds: Vec<Kind> = ends.iter().map(|end| Kind::of(&end.ending)).collect();
        let answers = settle(&backend, ends).await?;
        leases.leave(seats);
        for (kind, answer) in kinds.into_iter().zip(answers) {
            count(&mut summary, kind, answer);
        }
    }
    Ok(summary)
}

/// Tries until the broker answers: an end that may have been written already changes nothing when it comes again.
async fn settle(backend: &Backend, ends: Vec<End>) -> Result<Vec<Settled>> {
    let mut trouble = Trouble::default();
    loop {
        // Cheap where it matters: payloads and results are shared, not copied.
        match backend.broker.settle(ends.clone()).await {
            Err(error) if error.kind == ErrorKind::Unavailable => tokio::time::sleep(trouble.pause(&error)).await,
            answer => return answer,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Done,
    Again,
    Dead,
    Back,
}

impl Kind {
    fn of(ending: &Ending) -> Kind {
        match ending {
            Ending::Done | Ending::Cancelled => Kind::Done,
            Ending::Retry { .. } | Ending::Snooze { .. } => Kind::Again,
            Ending::Dead { .. } => Kind::Dead,
            Ending::Release { .. } | Ending::Park => Kind::Back,
        }
    }
}

fn count(summary: &mut Summary, kind: Kind, answer: Settled) {
    let counter = match (answer, kind) {
        (Settled::Stale, _) => &mut summary.stale,
        (Settled::Applied, Kind::Done) => &mut summary.done,
        (Settled::Applied, Kind::Again) => &mut summary.retried,
        (Settled::Applied, Kind::Dead) => &mut summary.dead,
        (Settled::Applied, Kind::Back) => &mut summary.released,
    };
    *counter += 1;
}
