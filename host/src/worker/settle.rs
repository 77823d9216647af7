//! Writes how runs ended: what has gathered while the previous batch was under way goes in one call.

use tokio::sync::mpsc;

use super::lease::Leases;
use super::relay::Relay;
use super::{Summary, Tally, Trouble};
use crate::backend::Backend;
use crate::broker::{End, Settled};
use crate::error::{Error, ErrorKind, Result};
use crate::results::RETENTION_DEAD;
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
    tally: &Tally,
    relay: &Relay,
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
        let posts = ends.iter().any(|end| relay.is_for(end));
        let answers = if ends.is_empty() { Vec::new() } else { settle(backend, ends).await? };
        if posts {
            relay.nudge();
        }
        leases.leave(seats);
        for (kind, answer) in answers {
            count(&mut summary, tally, kind, answer);
        }
    }
    Ok(summary)
}

/// Tries until the broker answers: an end that may have been written already changes nothing when it comes again. One end
/// that the broker refuses for good hinders no other: it is found, and its task buried.
async fn settle(backend: &Backend, mut ends: Vec<End>) -> Result<Vec<(Kind, Settled)>> {
    match try_to_settle(backend, &ends).await {
        Err(error) if error.kind == ErrorKind::Rejected && ends.len() > 1 => {
            let rest = ends.split_off(ends.len() / 2);
            let mut answers = Box::pin(settle(backend, ends)).await?;
            answers.extend(Box::pin(settle(backend, rest)).await?);
            Ok(answers)
        }
        Err(error) if error.kind == ErrorKind::Rejected => bury(backend, ends, &error).await,
        answer => answer,
    }
}

/// A dead letter without a record: what the broker refused is the record, or what was to follow.
async fn bury(backend: &Backend, ends: Vec<End>, why: &Error) -> Result<Vec<(Kind, Settled)>> {
    let dead = |End { run, .. }| {
        tracing::error!(task = %run.id, queue = %run.queue, run = run.number, "its end is refused, so it goes to the dead letters: {why}");
        End { run, ending: Ending::Dead { keep: RETENTION_DEAD, failed: None }, effects: Vec::new() }
    };
    let ends: Vec<End> = ends.into_iter().map(dead).collect();
    try_to_settle(backend, &ends).await
}

async fn try_to_settle(backend: &Backend, ends: &[End]) -> Result<Vec<(Kind, Settled)>> {
    let mut trouble = Trouble::default();
    loop {
        match backend.broker.settle(ends).await {
            Err(error) if error.kind == ErrorKind::Unavailable => tokio::time::sleep(trouble.pause(&error)).await,
            answer => return Ok(ends.iter().map(|end| Kind::of(&end.ending)).zip(answer?).collect()),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Done,
    Again,
    Later,
    Dead,
    Cancelled,
    Back,
}

impl Kind {
    fn of(ending: &Ending) -> Kind {
        match ending {
            Ending::Done => Kind::Done,
            Ending::Cancelled => Kind::Cancelled,
            Ending::Retry { .. } => Kind::Again,
            Ending::Snooze { .. } => Kind::Later,
            Ending::Dead { .. } => Kind::Dead,
            Ending::Release { .. } | Ending::Park => Kind::Back,
        }
    }
}

fn count(summary: &mut Summary, tally: &Tally, kind: Kind, answer: Settled) {
    match (answer, kind) {
        (Settled::Applied, Kind::Done) => tally.succeed(),
        (Settled::Applied, Kind::Again | Kind::Dead) => tally.fail(),
        _ => {}
    }
    let counter = match (answer, kind) {
        (Settled::Stale, _) => &mut summary.stale,
        (Settled::Applied, Kind::Done) => &mut summary.done,
        (Settled::Applied, Kind::Again | Kind::Later) => &mut summary.retried,
        (Settled::Applied, Kind::Dead) => &mut summary.dead,
        (Settled::Applied, Kind::Cancelled) => &mut summary.cancelled,
        (Settled::Applied, Kind::Back) => &mut summary.released,
    };
    *counter += 1;
}
