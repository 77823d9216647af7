//! The state that playing the log leads to: a pure function of its messages, the same in every process.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::blobs;
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
    /// What stands apart and comes before this number may be named no more.
    swept: u64,
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
        State { layout, parts, grown: 0, since_claim: 0, last_snapshot: 0, compacting: None, swept: 0 }
    }

    pub(super) fn play(&mut self, sent: Sent, now: Timestamp) -> Played {
        let mut played = Played::default();
        self.grown += sent.body.len() as u64 + 64;
        self.since_claim += sent.body.len() as u64 + 64;
        let sender = sent.sender;
        let Some(body) = self.whole(sent, now) else { return played };
        for (call, command) in calls(&body) {
            let (length, lowest) = blobs::apart(&command);
            self.grown += length;
            self.since_claim += length;
            let answer = if lowest.is_some_and(|lowest| lowest < self.swept) {
                Answer::Refused
            } else {
                self.step(command, sender, now, &mut played.signals)
            };
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
                let settled = ends.iter().map(|end| layout.settle(end, now));
                Answer::Settled(settled.map(|written| told(signals, (written.answer, written.ended))).collect())
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
            Command::Cancel { ends, foreign } => {
                layout.outbox.set_foreign(foreign);
                Answer::Cancelled(ends.into_iter().map(|end| told(signals, layout.cancel(end, now))).collect())
            }
            Command::Revive(ids) => Answer::Revived(ids.iter().map(|id| layout.revive(id, now)).collect()),
            Command::Remove(ids) => Answer::Deleted(ids.iter().filter(|id| layout.remove(id, now)).count() as u64),
            Command::Configure(queue, settings) => {
                layout.configure(&queue, &settings);
                Answer::Done
            }
            Command::Plan(name, body) => Answer::Put(layout.put(&name, body, now)),
            Command::Unplan(name) => Answer::Deleted(layout.plans.remove(&name).is_some().into()),
            Command::Tick(tick) => Answer::Ticked(layout.tick(*tick, now)),
            Command::Store(owner, key, op) => Answer::Stored(layout.store(&owner, &key, op, now)),
            Command::Sweep { below } => {
                self.swept = self.swept.max(below);
                Answer::Done
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
        queues.filter(|queue| queue.allowed(now) > 0).any(|queue| {
            let due =
                |line: &BTreeMap<(Timestamp, u64), _>| line.first_key_value().is_some_and(|(&(due, _), _)| due <= now);
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

/// The answer; what listeners are to hear goes to `signals`.
fn told<A>(signals: &mut Vec<Signal>, (answer, signal): (A, Option<Signal>)) -> A {
    signals.extend(signal);
    answer
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::command::{Ask, append};
    use super::*;
    use crate::broker::{Due, Effect, End, Message, Order, Setting, Unique};
    use crate::results::Record;
    use crate::schedules::Tick;
    use crate::store::Op;
    use crate::task::{Ending, FailedRun, Failure, FailureKind, Name, Rate, Receipt, Run, State as Of};

    fn message(text: &str, due: Due) -> Message {
        Message {
            id: text.parse().unwrap(),
            queue: "q".parse().unwrap(),
            handler: if text.starts_with('x') { "other" } else { "h" }.parse().unwrap(),
            priority: Priority::ALL[text.len() % 3],
            due,
            remember: Some(Duration::from_secs(60)),
            unique: None,
            format: 1,
            envelope: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    fn ask(max: usize) -> Command {
        Command::Reserve(Ask::from(&Reserve {
            worker: "w".parse().unwrap(),
            queues: vec![("q".parse().unwrap(), 1)],
            order: Order::Weighted,
            max,
            room: std::sync::Arc::new([("h".parse().unwrap(), 9)].into()),
            format: 1,
            lease: Duration::from_secs(5),
            wait: Duration::ZERO,
            recall: std::sync::Arc::default(),
        }))
    }

    fn run(text: &str, number: u32) -> Run {
        Run { queue: "q".parse().unwrap(), id: text.parse().unwrap(), number }
    }

    fn record(text: &str) -> Record {
        Record {
            id: text.parse().unwrap(),
            handler: "h".parse().unwrap(),
            queue: "q".parse().unwrap(),
            priority: Priority::Low,
            state: Of::Done,
            run: 1,
            attempt: 1,
            lost: 0,
            max_retries: 3,
            enqueued_at: Timestamp(1),
            due_at: Timestamp(2),
            started_at: Timestamp(3),
            finished_at: Timestamp(4),
            worker: "w".parse().unwrap(),
            result: Some(Bytes::from_static(b"9")),
            failure: None,
            history: Vec::new(),
            receipt: Receipt::default(),
            chain: None,
            group: None,
            logs: None,
            told: false,
            keep: Duration::from_secs(60),
        }
    }

    /// What people and the clock ask.
    fn sequel() -> Vec<(u64, Command)> {
        let (q, h): (Name, Name) = ("q".parse().unwrap(), "h".parse().unwrap());
        let unique = |hold| Some(Unique { key: "k".into(), hold });
        let held = Message { unique: unique(None), ..message("u1", Due::Now) };
        let timed = Message { unique: unique(Some(Duration::from_secs(1))), ..message("u2", Due::Now) };
        let waits = message("cb", Due::Arrivals(1));
        let arrive = Effect::Arrive {
            task: "cb".parse().unwrap(),
            queue: q.clone(),
            index: 0,
            result: Bytes::from_static(b"9"),
        };
        let end = |text, number, ending, effects| End { run: run(text, number), ending, effects };
        let cancel = |text, number| end(text, number, Ending::Cancelled, vec![Effect::Record(record(text).into())]);
        let rate = Rate { tasks: 2, per: Duration::from_secs(2) };
        let settings = vec![Setting::Rate(Some(rate)), Setting::Concurrency(Some(2)), Setting::Paused(false)];
        let at = Timestamp(20_500);
        let tick =
            Tick { name: h.clone(), since: Timestamp(20_400), at, message: message("tick", Due::Now), overlap: true };
        let add = Op::Increment { by: 2, ttl: Some(Duration::from_secs(1)) };
        let ids = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        vec![
            (20_000, Command::Push(vec![held, timed, waits])),
            (20_100, ask(9)),
            (20_200, Command::Settle { ends: vec![end("u1", 1, Ending::Done, vec![arrive])], foreign: false }),
            (20_300, ask(9)),
            (20_310, Command::Cancel { ends: vec![cancel("cb", 1), cancel("u1", 1)], foreign: false }),
            (20_320, Command::Extend(vec![run("cb", 1)], Duration::from_secs(1))),
            (
                20_330,
                Command::Settle {
                    ends: vec![end("cb", 1, Ending::Dead { keep: Duration::from_secs(9), failed: None }, vec![])],
                    foreign: false,
                },
            ),
            (20_340, Command::Revive(ids(&["cb", "u1"]))),
            (20_350, Command::Cancel { ends: vec![cancel("cb", 1)], foreign: false }),
            (20_360, Command::Remove(ids(&["ccc", "none"]))),
            (20_370, Command::Configure(q, settings)),
            (20_400, Command::Plan(h.clone(), Bytes::from_static(b"body"))),
            (20_600, Command::Tick(Box::new(tick.clone()))),
            (20_610, Command::Tick(Box::new(tick))),
            (20_700, Command::Push(vec![message("r1", Due::Now), message("r2", Due::Now), message("r3", Due::Now)])),
            (20_800, ask(9)),
            (22_000, ask(9)),
            (22_100, Command::Store(h.clone(), "k".into(), add)),
            (22_200, Command::Store(h.clone(), "k".into(), Op::Remove)),
            (22_300, Command::Unplan(h)),
        ]
    }

    /// A bit of everything, with the time of each.
    fn story() -> Vec<(u64, Command)> {
        let pushed = ["a", "bb", "ccc", "x1", "dddd", "a"].map(|text| message(text, Due::Now)).to_vec();
        let failure = Failure { kind: FailureKind::Handler, code: "no".into(), message: "no".into() };
        let failed = FailedRun { attempt: 1, run: 1, at: Timestamp(1_500), failure };
        let endings = [
            ("a", Ending::Done),
            ("bb", Ending::Retry { after: Duration::from_secs(1), failed: failed.clone() }),
            ("ccc", Ending::Dead { keep: Duration::from_secs(9), failed: Some(failed) }),
            ("none", Ending::Park),
        ];
        let end = |(text, ending): (&str, Ending)| {
            let follow = Effect::Push(message(&format!("{text}/f1"), Due::After(Duration::from_secs(2))));
            let effects = vec![Effect::Record(record(text).into()), follow];
            End { run: run(text, 1), ending, effects }
        };
        vec![
            (1_000, Command::Push(pushed)),
            (1_500, ask(3)),
            (1_600, Command::Extend(vec![run("a", 1), run("dddd", 1), run("x1", 1)], Duration::from_secs(1))),
            (1_700, Command::Settle { ends: endings.map(end).to_vec(), foreign: false }),
            (1_800, Command::Record(vec![record("elsewhere")])),
            (2_700, ask(1)),
            (2_800, Command::Delete(vec!["elsewhere".parse().unwrap()])),
            (3_000, Command::Withdraw("w".parse().unwrap())),
            (9_000, ask(9)),
            (9_500, ask(9)),
            (9_600, Command::Compact),
            (9_700, Command::Compacted { bytes: 7 }),
            (9_800, Command::Delivered(vec![1])),
        ]
    }

    /// Processes of one version play the same log and must agree; so must those of different versions, unless they are
    /// told apart by `FORMAT`.
    #[test]
    fn a_story_ends_as_ever() {
        let (mut state, mut digest) = (State::new(), Sha256::new());
        for (at, command) in story().into_iter().chain(sequel()) {
            let mut body = BytesMut::new();
            append(at, &command, &mut body);
            digest.update(&body);
            let sent = Sent { sender: 1, batch: 1, part: 0, of: 1, at: None, body: body.freeze() };
            digest.update(format!("{:?}", state.play(sent, Timestamp(at)).answers));
            // What a snapshot keeps goes on in the same way.
            let bytes = postcard::to_stdvec(&state).unwrap();
            state = postcard::from_bytes(&bytes).unwrap();
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let why = "commands mean something else than before: raise FORMAT, and then this test's expectation";
        assert_eq!(digest, "7f9953f6ef5ce2ffc6f8d4efa9cf941b6e6fd629ca43da7b940d91f988eab5d8", "{why}");
    }

    #[test]
    fn what_may_have_been_swept_is_not_taken_for_there() {
        let mut state = State::new();
        let mut play = |command: Command| {
            let mut body = BytesMut::new();
            append(1, &command, &mut body);
            let sent = Sent { sender: 1, batch: 1, part: 0, of: 1, at: None, body: body.freeze() };
            state.play(sent, Timestamp(1)).answers.remove(0).1
        };
        // 3 bytes, a checksum, and the numbers of two pieces.
        let apart: Vec<u8> =
            [&[1u8][..], &3u64.to_be_bytes(), &[0; 8], &8u64.to_be_bytes(), &7u64.to_be_bytes()].concat();
        let of =
            |text: &str| Command::Push(vec![Message { envelope: apart.clone().into(), ..message(text, Due::Now) }]);
        assert!(matches!(play(Command::Sweep { below: 7 }), Answer::Done));
        assert!(matches!(play(of("a")), Answer::Pushed(pushed) if pushed[0].created));
        assert!(matches!(play(Command::Sweep { below: 8 }), Answer::Done));
        assert!(matches!(play(of("b")), Answer::Refused));
        // Nothing of it was done; stored again it is accepted.
        assert!(
            matches!(play(Command::Push(vec![message("b", Due::Now)])), Answer::Pushed(pushed) if pushed[0].created)
        );
    }

    #[test]
    fn parts_make_a_whole_in_any_order_and_others_do_not_disturb() {
        let mut state = State::new();
        let mut body = BytesMut::new();
        append(7, &Command::Push(vec![message("a", Due::Now)]), &mut body);
        let body = body.freeze();
        let part = |sender, part: u32| {
            let at = body.len() / 2;
            let body = if part == 0 { body.slice(..at) } else { body.slice(at..) };
            Sent { sender, batch: 1, part, of: 2, at: None, body }
        };
        assert!(state.play(part(1, 1), Timestamp(1)).answers.is_empty());
        assert!(state.play(part(2, 0), Timestamp(2)).answers.is_empty());
        assert_eq!(state.play(part(1, 0), Timestamp(3)).answers.len(), 1);
        // Whoever dies between parts leaves nothing for ever.
        let late = Timestamp(2).plus(PARTS);
        assert!(state.play(part(3, 0), late).answers.is_empty());
        assert_eq!(state.parts.len(), 1);
    }
}
