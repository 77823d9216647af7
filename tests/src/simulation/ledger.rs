//! What really happened, call by call, held to the contract of `broker.rs` and to PRODUCT's rules of attempts and losses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tasq_host::broker::{Cancel, Delivery, Due, Effect, End, Held, Message, Pushed, Reserve, Settled, loss_delay};
use tasq_host::client::{Enqueued, Work};
use tasq_host::clock::{Clock, Simulated};
use tasq_host::codec;
use tasq_host::cron::Schedule;
use tasq_host::results::Record;
use tasq_host::sandbox::Call;
use tasq_host::schedules::{Put, Tick, Ticked};
use tasq_host::task::{Ending, Name, Outcome, Run, State, Task, TaskId, Timestamp};
use tasq_host::worker::Summary;
use tokio::time::Instant;

use super::{Story, Telling, script, settling};

/// How often what happened, over a story or many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    /// With what another story had.
    pub fn add(&mut self, other: &Seen) {
        other.0.iter().for_each(|(what, count)| *self.0.entry(what).or_default() += count);
    }

    /// How often.
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// All of it, by name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(what, count)| (*what, *count))
    }
}

/// A task as the ledger knows it.
pub(super) struct Known {
    pub(super) task: Task,
    /// When it may run next.
    due: Timestamp,
    pub(super) stand: Stand,
    run: u32,
    failed: u32,
    lost: u32,
    /// Someone has cancelled it while it ran.
    is_cancelled: bool,
    /// What a callback waits for, and what has arrived.
    arrivals: Option<(u32, BTreeSet<u32>)>,
    pub(super) runs: BTreeMap<u32, Given>,
    /// What its end left for the results.
    pub(super) record: Option<Record>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Waiting,
    /// With a lease until then.
    Running(Timestamp),
    Ended(State),
}

/// A run that was given to a worker.
pub(super) struct Given {
    life: u32,
    pub(super) cancelled: bool,
    pub(super) failed: u32,
    pub(super) lost: u32,
    pub(super) late: Duration,
    /// The worker has heard of it.
    reached: bool,
    /// Since when the worker knows that it may go on no more, and why.
    told: Option<(Instant, Held)>,
    pub(super) guest: Guest,
    settled: bool,
}

/// The handler's part in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guest {
    /// Never called.
    Absent,
    Running,
    /// Dropped with its worker.
    Dropped,
    Ended(Outcome),
}

/// A schedule, and the ticks that were done: when, by the tick's moment.
struct Clockwork {
    schedule: Schedule,
    since: Timestamp,
    done: BTreeMap<Timestamp, Timestamp>,
}

#[derive(Default)]
struct Book {
    tasks: BTreeMap<TaskId, Known>,
    /// Who holds a unique key, and how long, where that doesn't depend on the task.
    keys: HashMap<(Name, String), (TaskId, Option<Timestamp>)>,
    schedules: BTreeMap<Name, Clockwork>,
    refused: BTreeSet<TaskId>,
    lives: u32,
    seen: Seen,
    lines: Vec<String>,
    broken: Option<String>,
}

/// See above.
pub(super) struct Ledger {
    clock: Arc<Simulated>,
    telling: Telling,
    book: Mutex<Book>,
}

impl Ledger {
    pub(super) fn new(clock: Arc<Simulated>, telling: Telling) -> Ledger {
        Ledger { clock, telling, book: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a line of the story.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.telling == Telling::Lines {
            let line = format!("{:>9} {}", self.clock.now().since(Simulated::START).as_millis(), line());
            self.lock().lines.push(line);
        }
    }

    /// Holds someone to a law; the first that is broken is kept.
    pub(super) fn law(&self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            let broken = otherwise();
            self.tell(|| format!("BROKEN: {broken}"));
            self.lock().broken.get_or_insert(broken);
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    pub(super) fn saw(&self, what: &'static str) {
        *self.lock().seen.0.entry(what).or_default() += 1;
    }

    pub(super) fn story(&self) -> Story {
        let mut book = self.lock();
        let (seen, lines) = (std::mem::take(&mut book.seen), std::mem::take(&mut book.lines));
        Story { seen, lines, broken: book.broken.take() }
    }

    /// A further life of a worker, or of another caller.
    pub(super) fn begin_life(&self) -> u32 {
        let mut book = self.lock();
        book.lives += 1;
        book.lives
    }

    pub(super) fn jumped(&self, by: Duration) {
        self.saw("clock jumps");
        self.tell(|| format!("the clock jumps by {by:?}"));
    }

    /// What ends this task with effects is refused by the broker, for good.
    pub(super) fn refuse(&self, task: &TaskId) {
        self.lock().refused.insert(task.clone());
    }

    pub(super) fn refuses(&self, end: &End) -> bool {
        !end.effects.is_empty() && self.lock().refused.contains(&end.run.id)
    }

    /// Does something to a known task.
    fn with<T>(&self, task: &TaskId, action: impl FnOnce(&mut Known) -> T) -> Option<T> {
        let answer = self.lock().tasks.get_mut(task).map(action);
        self.law(answer.is_some(), || format!("{task} was never accepted"));
        answer
    }
}

/// Coming in.
impl Ledger {
    pub(super) fn pushed(&self, messages: &[Message], answers: &[Pushed]) {
        self.law(messages.len() == answers.len(), || "one answer per message".to_owned());
        for (message, answer) in messages.iter().zip(answers) {
            let is_known = self.lock().tasks.contains_key(&message.id);
            let holder = self.holder(message);
            let expected = match holder {
                _ if is_known => Pushed { id: message.id.clone(), created: false },
                Some(holder) => Pushed { id: holder, created: false },
                None => Pushed { id: message.id.clone(), created: true },
            };
            self.law(*answer == expected, || format!("{}: pushed {answer:?}, expected {expected:?}", message.id));
            if answer.created {
                self.accept(message);
            } else if answer.id != message.id {
                self.saw("tasks held by another's unique key");
            }
        }
    }

    fn holder(&self, message: &Message) -> Option<TaskId> {
        let (book, now) = (self.lock(), self.clock.now());
        let key = (message.queue.clone(), message.unique.as_ref()?.key.clone());
        let (holder, until) = book.keys.get(&key)?;
        let is_open = || !matches!(book.tasks.get(holder).map(|known| known.stand), Some(Stand::Ended(_)));
        until.map_or_else(is_open, |until| until > now).then(|| holder.clone())
    }

    /// Also what follows from ends and ticks; once.
    fn accept(&self, message: &Message) {
        let (mut book, now) = (self.lock(), self.clock.now());
        if book.tasks.contains_key(&message.id) {
            return;
        }
        if let Some(unique) = &message.unique {
            let key = (message.queue.clone(), unique.key.clone());
            book.keys.insert(key, (message.id.clone(), unique.hold.map(|hold| now.plus(hold))));
        }
        let (due, arrivals) = match message.due {
            Due::Now => (now, None),
            Due::After(span) => (now.plus(span), None),
            Due::At(time) => (time.max(now), None),
            Due::Arrivals(count) => (Timestamp::NEVER, Some((count, BTreeSet::new()))),
        };
        let known = Known {
            task: codec::decode(&message.envelope).expect("a story has good envelopes"),
            due,
            stand: Stand::Waiting,
            run: 0,
            failed: 0,
            lost: 0,
            is_cancelled: false,
            arrivals,
            runs: BTreeMap::new(),
            record: None,
        };
        book.tasks.insert(message.id.clone(), known);
        drop(book);
        self.saw("tasks");
        self.tell(|| format!("{} is accepted, {:?}", message.id, message.due));
    }

    /// What a producer was answered is there.
    pub(super) fn acknowledged(&self, asked: &TaskId, answer: &Enqueued, work: &Work) {
        let first = match work {
            _ if answer.id != *asked => answer.id.clone(),
            Work::Task(_) => asked.clone(),
            Work::Chain(_) => crate::nouns::id(&format!("{asked}/s1")),
            Work::Group(_) => crate::nouns::id(&format!("{asked}/cb")),
        };
        self.with(&first, |_| ());
    }

    pub(super) fn put(&self, name: &Name, body: &[u8], put: Put) {
        if put == Put::Created {
            let schedule = Schedule::decode(body).expect("a story has good schedules");
            let since = self.clock.now();
            self.lock().schedules.insert(name.clone(), Clockwork { schedule, since, done: BTreeMap::new() });
        }
    }

    pub(super) fn ticked(&self, tick: &Tick, ticked: &Ticked) {
        if *ticked == Ticked::Moved {
            return;
        }
        self.saw(if *ticked == Ticked::Pushed { "ticks" } else { "ticks that are skipped" });
        self.tell(|| format!("tick {}: {ticked:?}", tick.message.id));
        let now = self.clock.now();
        let before = self.lock().schedules.get_mut(&tick.name).and_then(|its| its.done.insert(tick.at, now));
        self.law(before.is_none(), || format!("{} comes twice", tick.message.id));
        self.law(tick.at <= now, || format!("{} is early", tick.message.id));
        if *ticked == Ticked::Pushed {
            self.accept(&tick.message);
        }
    }

    pub(super) fn schedules(&self) -> Vec<Name> {
        self.lock().schedules.keys().cloned().collect()
    }

    /// Each tick came, but for those that were more than [`GRACE`](tasq_host::cron::GRACE) late when somebody looked.
    pub(super) fn check_ticks(&self) {
        let now = self.clock.now();
        let mut missed = Vec::new();
        for (name, its) in &self.lock().schedules {
            let mut at = its.since;
            while let Some(next) = its.schedule.next(at).filter(|next| now.since(*next) > Duration::from_secs(3)) {
                let later = its.done.range(next..).next();
                // All up to the one that was done are gone where the first was missed by so much.
                let is_excused = later.is_some_and(|(_, when)| when.since(next) > tasq_host::cron::GRACE);
                at = match later {
                    Some((tick, _)) if *tick == next || is_excused => *tick,
                    _ => {
                        missed.push(format!("{name} at {next}"));
                        next
                    }
                };
            }
            missed.extend(
                its.done
                    .keys()
                    .filter(|tick| its.schedule.next(Timestamp(tick.0 - 1)) != Some(**tick))
                    .map(|tick| format!("{name} at {tick}, where it has none")),
            );
        }
        self.law(missed.is_empty(), || format!("ticks are missing: {missed:?}"));
    }
}

/// Runs.
impl Ledger {
    pub(super) fn delivered(&self, life: u32, request: &Reserve, delivery: &Delivery) {
        let (now, run) = (self.clock.now(), delivery.run.number);
        self.saw("runs");
        self.tell(|| format!("{} is given as run {run} to life {life}", delivery.run.id));
        let wrong = self.with(&delivery.run.id, |known| {
            if let Stand::Running(until) = known.stand {
                if until > now {
                    return Some(format!("given to two at once: run {} has a lease until {until}", known.run));
                }
                known.lost += 1;
                known.due = if known.is_cancelled { until } else { until.plus(loss_delay(known.lost)) };
            }
            if let Stand::Ended(state) = known.stand {
                return Some(format!("given out, and is {state}"));
            }
            known.run += 1;
            known.stand = Stand::Running(now.plus(request.lease));
            let given = Given {
                life,
                cancelled: delivery.cancelled,
                failed: delivery.failed,
                lost: delivery.lost,
                late: delivery.reserved_at.since(delivery.due_at),
                reached: false,
                told: None,
                guest: Guest::Absent,
                settled: false,
            };
            known.runs.insert(run, given);
            let found = (run, delivery.failed, delivery.lost, delivery.cancelled, delivery.history.len() as u32);
            let expected = (known.run, known.failed, known.lost, known.is_cancelled, known.failed);
            if known.due > now {
                return Some(format!("given out {:?} early", known.due.since(now)));
            }
            (found != expected)
                .then(|| format!("(run, failed, lost, cancelled, history) are {found:?}, not {expected:?}"))
        });
        if delivery.lost > 0 {
            self.saw("losses");
        }
        self.law(wrong.as_ref().is_none_or(Option::is_none), || format!("{}: {wrong:?}", delivery.run.id));
    }

    fn with_run<T>(&self, task: &TaskId, run: u32, action: impl FnOnce(&mut Given) -> T) -> Option<T> {
        let answer = self.with(task, |known| known.runs.get_mut(&run).map(action)).flatten();
        self.law(answer.is_some(), || format!("{task}: run {run} was never given"));
        answer
    }

    /// The worker has heard of it.
    pub(super) fn reached(&self, run: &Run) {
        self.with_run(&run.id, run.number, |given| given.reached = true);
    }

    /// A handler is called.
    pub(super) fn begun(&self, life: u32, call: &Call) {
        let (task, run) = (&call.task.id, call.run);
        self.tell(|| format!("{task} begins, run {run}"));
        self.saw("calls");
        let others = self.with(task, |known| known.runs.values().filter(|given| given.guest == Guest::Running).count());
        if others.unwrap_or_default() > 0 {
            // By the one whose lease is gone and who doesn't know yet.
            self.saw("calls beside one that has lost its lease");
        }
        let upstream = self.with(task, |known| settling::upstream(&known.task)).unwrap_or_default();
        self.law(call.task.upstream == upstream, || format!("{task} gets {:?} of others", call.task.upstream));
        let wrong = self.with_run(task, run, |given| {
            let before = std::mem::replace(&mut given.guest, Guest::Running);
            if given.life != life {
                return Some("is run by someone who didn't get it");
            }
            if before != Guest::Absent {
                return Some("is called twice in one run");
            }
            if given.cancelled {
                return Some("is called, and was cancelled before");
            }
            (given.lost >= settling::MAX_LOST).then_some("is called, and is poison")
        });
        self.law(wrong.is_none_or(|wrong| wrong.is_none()), || format!("{task}, run {run}: {wrong:?}"));
        let failed = self.with(task, |known| known.failed + 1);
        self.law(failed == Some(call.attempt) || self.is_past(task, run), || {
            format!("{task}: attempt {}", call.attempt)
        });
    }

    /// Whether someone else has this task by now.
    fn is_past(&self, task: &TaskId, run: u32) -> bool {
        self.with(task, |known| known.run > run).unwrap_or_default()
    }

    /// A handler has ended, or was dropped.
    pub(super) fn ended(&self, task: &TaskId, run: u32, outcome: Option<Outcome>) {
        self.tell(|| format!("{task} ends, run {run}: {outcome:?}"));
        let now = Instant::now();
        let told = self.with_run(task, run, |given| {
            given.guest = outcome.clone().map_or(Guest::Dropped, Guest::Ended);
            given.told.filter(|(since, _)| now > *since)
        });
        let Some(Some((_, held))) = told else { return };
        let obeyed = match outcome {
            Some(Outcome::Gone) | None => true,
            Some(Outcome::Cancelled) => held == Held::Cancelled,
            Some(_) => false,
        };
        self.law(obeyed, || format!("{task}: run {run} went on after its worker was told {held:?}"));
    }

    pub(super) fn extended(&self, run: &Run, held: Held, lease: Duration) {
        let now = self.clock.now();
        let right = self.with(&run.id, |known| {
            let current = known.run == run.number;
            match (known.stand, held) {
                (Stand::Running(_), Held::Kept | Held::Cancelled) if current => {
                    known.stand = Stand::Running(now.plus(lease));
                    (held == Held::Cancelled) == known.is_cancelled
                }
                // Someone has taken it back, and nobody got it yet.
                (Stand::Running(until), Held::Gone) if current => until <= now,
                (_, held) => held == Held::Gone,
            }
        });
        self.law(right == Some(true), || format!("{}: run {} is told {held:?}", run.id, run.number));
    }

    /// The worker has heard of that.
    pub(super) fn told(&self, run: &Run, held: Held) {
        if held != Held::Kept {
            self.saw("runs that are told to stop");
            self.with_run(&run.id, run.number, |given| given.told.get_or_insert((Instant::now(), held)).1 = held);
        }
    }

    pub(super) fn withdrew(&self, life: u32) {
        let now = self.clock.now();
        for known in self.lock().tasks.values_mut() {
            let its = known.runs.get(&known.run).is_some_and(|given| given.life == life);
            if let Stand::Running(until) = &mut known.stand
                && its
            {
                *until = now.min(*until);
            }
        }
    }

    /// A worker has stopped in good order: whatever it knew of has an end.
    pub(super) fn departed(&self, life: u32, summary: &Summary) {
        self.tell(|| format!("life {life} stops: {summary:?}"));
        self.saw("workers that stop");
        let mut left = Vec::new();
        for (id, known) in &self.lock().tasks {
            for (run, given) in &known.runs {
                let is_settled = given.settled || given.guest == Guest::Ended(Outcome::Gone);
                if given.life == life && given.reached && !is_settled {
                    left.push(format!("{id}, run {run}"));
                }
            }
        }
        self.law(left.is_empty(), || format!("life {life} stopped and left {left:?}"));
    }

    pub(super) fn died(&self, life: u32, age: Duration) {
        self.tell(|| format!("life {life} dies after {age:?}"));
        self.saw("workers that die");
    }
}

/// Ends.
impl Ledger {
    pub(super) fn settled(&self, end: &End, answer: Settled) {
        let End { run, ending, effects } = end;
        self.tell(|| format!("{}, run {}: {ending:?} is {answer:?}", run.id, run.number));
        let is_refused = self.lock().refused.contains(&run.id);
        let wrong = self.with(&run.id, |known| {
            let is_buried = is_refused && matches!(ending, Ending::Dead { .. }) && effects.is_empty();
            let duty = if is_buried { Ok(()) } else { settling::check(known, end) };
            if let Some(given) = known.runs.get_mut(&run.number) {
                given.settled = true;
            }
            duty.err()
        });
        self.law(wrong.as_ref().is_none_or(Option::is_none), || format!("{}: {wrong:?}", run.id));
        self.saw(settling::word(end, answer));
        let now = self.clock.now();
        let right = self.with(&run.id, |known| match (known.stand, answer) {
            (Stand::Running(_), Settled::Applied) if known.run == run.number => {
                known.apply(ending, now);
                true
            }
            // Someone has taken it back, and nobody got it yet.
            (Stand::Running(until), Settled::Stale) if known.run == run.number => until <= now,
            (_, answer) => answer == Settled::Stale,
        });
        self.law(right == Some(true), || format!("{}: {ending:?} of run {} is {answer:?}", run.id, run.number));
        if answer == Settled::Applied {
            self.follow(&run.id, effects);
        }
    }

    pub(super) fn cancelled(&self, end: &End, answer: Cancel) {
        self.tell(|| format!("{} is cancelled: {answer:?}", end.run.id));
        let mut is_done = false;
        let right = self.with(&end.run.id, |known| {
            let is_seen = known.run == end.run.number;
            match (known.stand, answer) {
                (Stand::Waiting, Cancel::Done) => {
                    known.stand = Stand::Ended(State::Cancelled);
                    is_done = true;
                    is_seen
                }
                // Its lease is over, and someone has taken it back.
                (Stand::Running(until), Cancel::Done) if until <= self.clock.now() => {
                    known.stand = Stand::Ended(State::Cancelled);
                    is_done = true;
                    is_seen
                }
                (Stand::Running(_), Cancel::Asked) => {
                    known.is_cancelled = true;
                    true
                }
                (Stand::Ended(_), answer) => answer == Cancel::Gone,
                (_, answer) => answer == Cancel::Moved && !is_seen,
            }
        });
        self.law(right == Some(true), || format!("{}: a wish to cancel is {answer:?}", end.run.id));
        self.saw(match answer {
            Cancel::Done => "tasks cancelled while they wait",
            Cancel::Asked => "tasks cancelled while they run",
            Cancel::Moved | Cancel::Gone => "wishes to cancel that come too late",
        });
        if is_done {
            self.follow(&end.run.id, &end.effects);
        }
    }

    fn follow(&self, of: &TaskId, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Push(message) => {
                    self.saw("tasks that follow from ends");
                    let is_known = self.lock().tasks.contains_key(&message.id);
                    self.law(!is_known, || format!("{} follows twice", message.id));
                    self.accept(message);
                }
                Effect::Record(record) => drop(self.with(of, |known| known.record = Some((**record).clone()))),
                Effect::Arrive { task, index, .. } => {
                    let now = self.clock.now();
                    let is_new = self.with(task, |callback| {
                        let Some((count, arrived)) = &mut callback.arrivals else { return false };
                        let is_new = arrived.insert(*index);
                        if arrived.len() as u32 == *count && callback.due == Timestamp::NEVER {
                            callback.due = now;
                        }
                        is_new
                    });
                    self.law(is_new == Some(true), || format!("member {index} of {task} arrives twice"));
                }
            }
        }
    }

    /// Nothing more will happen.
    pub(super) fn is_at_rest(&self) -> bool {
        self.lock().tasks.values().all(|known| matches!(known.stand, Stand::Ended(_)))
    }

    pub(super) fn unfinished(&self) -> String {
        let book = self.lock();
        let open = book.tasks.iter().filter(|(_, known)| !matches!(known.stand, Stand::Ended(_)));
        open.map(|(id, known)| format!("{id} {:?} due {}", known.stand, known.due)).collect::<Vec<_>>().join(", ")
    }

    /// Groups all of whose members have ended, and not all of them well.
    pub(super) fn held_up(&self) -> Vec<TaskId> {
        let book = self.lock();
        let waits = |known: &Known| known.stand == Stand::Waiting && known.due == Timestamp::NEVER;
        let groups = book.tasks.values().filter(|known| waits(known)).filter_map(|known| known.task.group.clone());
        let ended = |group: &tasq_host::task::Member| {
            let members = (1..=group.of).map(|index| crate::nouns::id(&format!("{}/m{index}", group.group)));
            let known: Vec<_> = members.filter_map(|id| book.tasks.get(&id)).collect();
            known.iter().all(|known| matches!(known.stand, Stand::Ended(_)))
        };
        groups.filter(ended).map(|group| group.group).collect()
    }

    /// Every task, once all are at rest.
    pub(super) fn each(&self, mut check: impl FnMut(&TaskId, &Known)) {
        self.lock().tasks.iter().for_each(|(id, known)| check(id, known));
    }
}

impl Known {
    fn apply(&mut self, ending: &Ending, now: Timestamp) {
        let back = |after: Duration| (now.plus(after), Stand::Waiting);
        (self.due, self.stand) = match ending {
            Ending::Done => (now, Stand::Ended(State::Done)),
            Ending::Dead { .. } => (now, Stand::Ended(State::Dead)),
            Ending::Cancelled => (now, Stand::Ended(State::Cancelled)),
            Ending::Retry { after, .. } => {
                self.failed += 1;
                back(*after)
            }
            Ending::Snooze { after } | Ending::Release { after } => back(*after),
            Ending::Park => back(Duration::ZERO),
        };
        if self.is_cancelled {
            self.due = now;
        }
    }

    /// How the script of a task that has ended says that it ends, as far as it does.
    pub(super) fn script(&self) -> script::Script {
        script::Script::of(&self.task.payload)
    }
}
