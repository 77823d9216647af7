//! The state that playing the log leads to: a pure function of its messages, the same in every process.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::command::{Answer, Command, Sent, calls};
use crate::backend::memory::layout::{Layout, Shelf};
use crate::backend::memory::results::until;
use crate::broker::{Reserve, Signal};
use crate::task::{Priority, Timestamp};

/// A snapshot isn't written before the log has grown by the larger of this and twice the last snapshot.
pub(super) const LOG: u64 = 16 << 20;
/// Who was to write a snapshot and hasn't after this long is believed dead.
const COMPACTING: Duration = Duration::from_secs(60);
/// Parts whose rest hasn't come after this long belong to somebody who died between them.
const PARTS: Duration = Duration::from_secs(300);

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    pub(super) layout: Layout,
    parts: BTreeMap<(u64, u64), Parts>,
    /// Bytes of log since the last snapshot, and since the one under way was begun.
    grown: u64,
    since_claim: u64,
    last_snapshot: u64,
    /// Who writes the next one, since when.
    compacting: Option<(u64, Timestamp)>,
}

#[derive(Serialize, Deserialize)]
struct Parts {
    since: Timestamp,
    got: HashMap<u32, Bytes>,
}

/// What a message led to: an answer for each call, and what listeners are told.
#[derive(Default)]
pub(super) struct Played {
    pub(super) answers: Vec<(u64, Answer)>,
    pub(super) signals: Vec<Signal>,
}

impl State {
    pub(super) fn new() -> State {
        let (layout, parts) = (Layout::new(false), BTreeMap::new());
        State { layout, parts, grown: 0, since_claim: 0, last_snapshot: 0, compacting: None }
    }

    pub(super) fn play(&mut self, sent: Sent, now: Timestamp) -> Played {
        let mut played = Played::default();
        self.grown += sent.body.len() as u64 + 64;
        self.since_claim += sent.body.len() as u64 + 64;
        let sender = sent.sender;
        let Some(body) = self.whole(sent, now) else { return played };
        for (call, command) in calls(&body) {
            let answer = self.step(command, sender, now, &mut played.signals);
            played.answers.push((call, answer));
        }
        played
    }

    /// The batch, once its last part is there.
    fn whole(&mut self, sent: Sent, now: Timestamp) -> Option<Bytes> {
        if sent.of <= 1 {
            return Some(sent.body);
        }
        self.parts.retain(|_, parts| now.since(parts.since) < PARTS);
        let key = (sent.sender, sent.batch);
        let parts = self.parts.entry(key).or_insert_with(|| Parts { since: now, got: HashMap::new() });
        parts.got.insert(sent.part, sent.body);
        if parts.got.len() < sent.of as usize {
            return None;
        }
        let mut parts = self.parts.remove(&key)?;
        let mut whole = BytesMut::new();
        for part in 0..sent.of {
            whole.extend_from_slice(&parts.got.remove(&part)?);
        }
        Some(whole.freeze())
    }

    fn step(&mut self, command: Command, sender: u64, now: Timestamp, signals: &mut Vec<Signal>) -> Answer {
        let layout = &mut self.layout;
        match command {
            Command::Push(messages) => {
                layout.forget(now);
                Answer::Pushed(messages.into_iter().map(|message| layout.push(message, now)).collect())
            }
            Command::Reserve(ask) => {
                let look = layout.reserve(&Reserve::from(ask), now);
                Answer::Taken { taken: look.taken, again: look.moved || look.unfinished }
            }
            Command::Extend(runs, lease) => {
                let until = now.plus(lease);
                Answer::Held(runs.iter().map(|run| layout.extend(run, until)).collect())
            }
            Command::Settle { ends, foreign } => {
                layout.forget(now);
                layout.outbox.set_foreign(foreign);
                let mut settle = |end| {
                    let written = layout.settle(end, now);
                    signals.extend(written.ended);
                    written.answer
                };
                Answer::Settled(ends.into_iter().map(&mut settle).collect())
            }
            Command::Delivered(letters) => {
                letters.into_iter().for_each(|number| layout.outbox.drop(number));
                Answer::Done
            }
            Command::Announce(worker, every) => {
                layout.workers.retain(|_, (_, until)| *until > now);
                layout.workers.insert(worker.id.clone(), (*worker, now.plus(every.saturating_mul(3))));
                Answer::Done
            }
            Command::Withdraw(worker) => {
                layout.workers.remove(&worker);
                layout.abandon(&worker, now);
                Answer::Done
            }
            Command::Record(records) => {
                layout.forget(now);
                records.into_iter().for_each(|record| layout.results.record(record.into(), now));
                Answer::Done
            }
            Command::Delete(ids) => {
                let removed = ids.iter().filter_map(|id| layout.results.remove(id));
                Answer::Deleted(removed.filter(|record| until(record) > now).count() as u64)
            }
            Command::Compact => Answer::Compact(self.claim(sender, now)),
            Command::Compacted { bytes } => {
                if self.compacting.is_some_and(|(by, _)| by == sender) {
                    (self.grown, self.last_snapshot, self.compacting) = (self.since_claim, bytes, None);
                }
                Answer::Done
            }
        }
    }

    /// True if the sender is to write a snapshot: nobody else is about to.
    fn claim(&mut self, sender: u64, now: Timestamp) -> bool {
        let free = self.compacting.is_none_or(|(_, since)| now.since(since) >= COMPACTING);
        if free {
            (self.compacting, self.since_claim) = (Some((sender, now)), 0);
        }
        free
    }

    /// Whether a snapshot is due that nobody is about to write. `log`: see [`LOG`].
    pub(super) fn is_long(&self, log: u64, now: Timestamp) -> bool {
        self.grown > log.max(self.last_snapshot.saturating_mul(2))
            && self.compacting.is_none_or(|(_, since)| now.since(since) >= COMPACTING)
    }

    /// Whether asking would do something: give a task, take back a lease, move a task aside.
    pub(super) fn offers(&self, request: &Reserve, now: Timestamp) -> bool {
        let layout = &self.layout;
        if layout.leases.first_key_value().is_some_and(|(&(until, _), _)| until <= now) {
            return true;
        }
        let queues = request.queues.iter().filter_map(|(queue, _)| layout.queues.get(queue));
        queues.into_iter().any(|queue| {
            let due = |line: &BTreeMap<(Timestamp, u64), _>| {
                line.first_key_value().is_some_and(|(&(due, _), _)| due <= now)
            };
            queue.waiting.iter().any(due) || (!queue.aside.is_empty() && self.fits(queue, request))
        })
    }

    /// Whether something aside in this queue is for the caller.
    fn fits(&self, queue: &crate::backend::memory::layout::Queue, request: &Reserve) -> bool {
        let with_room = request.room.iter().filter(|&(_, &room)| room > 0);
        with_room.into_iter().any(|(handler, _)| {
            Priority::ALL.into_iter().any(|priority| {
                let from = Shelf { priority, handler: handler.clone(), format: 0, parked: false };
                let to = Shelf { format: request.format, parked: true, ..from.clone() };
                queue.aside.range(from..=to).next().is_some()
            })
        })
    }
}
