//! The state as far as the log has been played here, and who waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast, oneshot, watch};

use super::command::{Answer, Sent};
use super::state::State;
use super::time::Time;
use crate::broker::Signal;
use crate::error::{Error, Result};
use crate::task::{Run, Timestamp};

/// A listener may lag behind by so many signals before it misses the oldest.
const SIGNALS: usize = 1_024;

pub(super) struct Replica {
    /// Which messages of the log are ours: a random number.
    pub(super) sender: u64,
    pub(super) time: Time,
    played: Mutex<Played>,
    /// How far the log has been played.
    pub(super) position: watch::Sender<u64>,
    /// Something was played: waiting reserves look again.
    pub(super) changed: Notify,
    pub(super) signals: broadcast::Sender<Signal>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    calls: AtomicU64,
    /// Why the log can't be played any further: every call is answered with it.
    broken: Mutex<Option<String>>,
}

struct Played {
    state: State,
    position: u64,
    /// The server's stamp on the last message played, in ns: together with its number it tells whether a server that
    /// came back still has the same log.
    stamp: i128,
}

struct Waiting {
    answer: oneshot::Sender<Answer>,
    since: Timestamp,
}

/// What a played message asks of its reader.
#[derive(Default)]
pub(super) struct Asked {
    /// Taken for a caller that has left: to be given back.
    pub(super) unclaimed: Vec<Run>,
    /// The log has grown long.
    pub(super) is_long: bool,
    /// It is our turn to write a snapshot.
    pub(super) compact: bool,
}

impl Replica {
    pub(super) fn new(sender: u64, time: Time) -> Replica {
        Replica {
            sender,
            time,
            played: Mutex::new(Played { state: State::new(), position: 0, stamp: 0 }),
            position: watch::Sender::new(0),
            changed: Notify::new(),
            signals: broadcast::Sender::new(SIGNALS),
            waiting: Mutex::default(),
            calls: AtomicU64::new(0),
            broken: Mutex::default(),
        }
    }

    /// Looks at the state.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.played).state)
    }

    /// Where the log has been played to: the last message's number and stamp.
    pub(super) fn place(&self) -> (u64, i128) {
        let played = lock(&self.played);
        (played.position, played.stamp)
    }

    /// The state in bytes, and the place that it stands for.
    pub(super) fn snapshot(&self) -> (Vec<u8>, u64) {
        let played = lock(&self.played);
        // Serialising plain data into memory has nothing that could fail.
        (postcard::to_stdvec(&played.state).expect("plain data serialises"), played.position)
    }

    /// Begins from a snapshot (or from nothing). Where something else was played before, calls under way will never be
    /// answered.
    pub(super) fn restart(&self, state: State, (position, stamp): (u64, i128)) {
        let before = std::mem::replace(&mut *lock(&self.played), Played { state, position, stamp });
        if before.position > 0 {
            lock(&self.waiting).clear();
        }
        self.position.send_replace(position);
        self.changed.notify_waiters();
        let _ = self.signals.send(Signal::Changed);
    }

    /// Plays one message; none for one that can't be read, which is passed over by everyone alike.
    pub(super) fn play(&self, message: Option<Sent>, (position, stamp): (u64, i128), log: u64) -> Asked {
        let mut asked = Asked::default();
        let stamped = Timestamp(u64::try_from(stamp / 1_000_000).unwrap_or_default());
        let ours = message.as_ref().is_some_and(|sent| sent.sender == self.sender);
        let now = message.as_ref().and_then(|sent| sent.at).unwrap_or(stamped);
        let (answers, signals) = {
            let mut played = lock(&self.played);
            let result = message.map(|sent| played.state.play(sent, now)).unwrap_or_default();
            (played.position, played.stamp) = (position, stamp);
            asked.is_long = played.state.is_long(log, now);
            (result.answers, result.signals)
        };
        if ours {
            answers.into_iter().for_each(|(call, answer)| self.answer(call, answer, stamped, &mut asked));
        }
        self.position.send_replace(position);
        self.changed.notify_waiters();
        for signal in signals {
            // Nobody listening any more is fine.
            let _ = self.signals.send(signal);
        }
        asked
    }

    fn answer(&self, call: u64, answer: Answer, stamped: Timestamp, asked: &mut Asked) {
        let waiting = lock(&self.waiting).remove(&call);
        if let Some(waiting) = &waiting {
            self.time.learn(stamped, waiting.since, self.time.local());
        }
        let left = match (waiting, answer) {
            (_, Answer::Compact(turn)) => {
                asked.compact |= turn;
                None
            }
            (Some(waiting), answer) => waiting.answer.send(answer).err(),
            (None, answer) => Some(answer),
        };
        if let Some(Answer::Taken { taken, .. }) = left {
            asked.unclaimed.extend(taken.into_iter().map(|delivery| delivery.run));
        }
    }

    /// A number for a call, and where its answer will come.
    pub(super) fn expect(&self) -> (u64, oneshot::Receiver<Answer>) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        lock(&self.waiting).insert(call, Waiting { answer, since: self.time.local() });
        (call, receiver)
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&self, call: u64) {
        lock(&self.waiting).remove(&call);
    }

    /// The log can't be played any further.
    pub(super) fn fail(&self, why: String) {
        *lock(&self.broken) = Some(why);
        lock(&self.waiting).clear();
        self.changed.notify_waiters();
    }

    /// An error where the log can't be played any further.
    pub(super) fn check(&self) -> Result<()> {
        lock(&self.broken).as_ref().map_or(Ok(()), |why| Err(Error::corrupt(why.clone())))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under the lock is a bug in this folder; going on with what is there loses less than refusing it all.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
