//! Writes how runs ended: what has gathered while the previous batch was under way goes in one call.

use tokio::sync::mpsc;

use super::lease::Leases;
use super::{Summary, Trouble};
use crate::backend::Backend;
use crate::broker::{End, Settled};
use crate::error::{ErrorKind, Result};
use crate::task::Ending;

/// An end (none where the run may not end anything) and the seat that it frees.
pub(super) struct Ended {
    pub(super) end: Option<End>,
    pub(super) seat: u64,
}

/// More than about this isn't written in one call.
const BATCH: usize = 1_000;
/// So many batches may wait.
pub(super) const BACKLOG: usize = 16;

/// Settles what comes until every sender is gone and the last end is written. An error means that nothing can be
/// settled any more.
pub(super) async fn settle_all(
    backend: &Backend,
    leases: &Leases,
    mut batches: mpsc::Receiver<Vec<Ended>>,
) -> Result<Summary> {
    let mut summary = Summary::default();
    while let Some(mut batch) = batches.recv().await {
        while batch.len() < BATCH
            && let Ok(more) = batches.try_recv()
        {
            batch.extend(more);
        }
        let (mut ends, mut seats) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for Ended { end, seat } in batch {
            ends.extend(end);
            seats.push(seat);
        }
        let kinds: Vec<Kind> = ends.iter().map(|end| Kind::of(&end.ending)).collect();
        let answers = if ends.is_empty() { Vec::new() } else { settle(backend, ends).await? };
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
