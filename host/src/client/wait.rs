//! Waits until a task has ended. Signals make it quick, looking makes it certain.

use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

use super::{Client, Shown};
use crate::broker::Signal;
use crate::error::{ErrorKind, Result};
use crate::task::{State, TaskId};

/// The first look follows this soon, and no two looks are closer, however many signals arrive.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Pauses between looks grow up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A broker that can't be reached is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of waiting for a task.
#[derive(Clone, Debug)]
pub enum Waited {
    /// It has ended.
    Ended(Shown),
    /// The limit is reached; where it stands now.
    TooLong(State),
    /// It was never enqueued, or has ended and is forgotten.
    Unknown,
}

impl Client {
    /// Waits until the task, or the whole chain or group, has ended, at most `limit`. `seen` is shown it at first and at each
    /// change of its state, and when a member holds up its group, as far as looking now and then finds that. Dropping the
    /// future changes nothing.
    pub async fn wait(&self, id: &TaskId, limit: Option<Duration>, mut seen: impl FnMut(&Shown)) -> Result<Waited> {
        // A limit beyond what the clock can count is no limit.
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut signals = self.backend.signals.listen();
        let mut pause = SHORTEST_PAUSE;
        let mut last = None;
        let mut failing_since: Option<Instant> = None;
        loop {
            match self.show(id).await {
                Ok(None) => return Ok(Waited::Unknown),
                Ok(Some(known)) if known.state().is_final() => return Ok(Waited::Ended(known)),
                Ok(Some(known)) => {
                    failing_since = None;
                    let is_held_up = matches!(&known, Shown::Group(group) if group.is_held_up());
                    let stands = (known.state(), is_held_up);
                    if last.replace(stands) != Some(stands) {
                        pause = SHORTEST_PAUSE;
                        seen(&known);
                    }
                }
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    if failing_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            let now = Instant::now();
            if end.is_some_and(|end| end <= now) {
                return Ok(Waited::TooLong(last.map_or(State::Pending, |(state, _)| state)));
            }
            let next = end.map_or(now + pause, |end| end.min(now + pause));
            next_look(&mut signals, id, next).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

/// Returns when it is worth looking again, at `next` at the latest.
async fn next_look(signals: &mut Receiver<Signal>, id: &TaskId, next: Instant) {
    // A chain or a group ends with one of its tasks.
    let is_part = |ended: &TaskId| ended.as_str().strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with('/'));
    let soonest = next.min(Instant::now() + SHORTEST_PAUSE);
    let hint = async {
        loop {
            match signals.recv().await {
                Ok(Signal::Ended(ended)) if ended == *id => return,
                Ok(Signal::Ended(ended)) if is_part(&ended) => return tokio::time::sleep_until(soonest).await,
                Ok(Signal::Ended(_) | Signal::Cancel(_)) => {}
                // A busy broker changes all the time.
                Ok(Signal::Changed | Signal::Missed) | Err(RecvError::Lagged(_)) => {
                    return tokio::time::sleep_until(soonest).await;
                }
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = hint => {}
        () = tokio::time::sleep_until(next) => {}
    }
}
