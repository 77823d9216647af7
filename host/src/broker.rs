//! The seams between the worker, the command line and whatever keeps the tasks. A backend implements all of them over
//! one layout, and exists when it passes the suite of laws in `tests/`.
//!
//! No method is optional. Every method is plural: what has gathered while the previous call was under way goes in one
//! call. Futures may be dropped at any time; what that means is said where it matters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, broadcast};

use crate::error::Result;
use crate::results::{Filter, Record};
use crate::task::{Ending, FailedRun, Headers, Name, Priority, Rate, Run, State, TaskId, Timestamp, WorkerId};

use finding::Finding;

pub mod activity;
pub mod finding;
pub mod shares;
pub mod versions;

/// What producers and workers need.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Accepts tasks: what is answered is durable. All or nothing per call. A message whose id is held by an unfinished
    /// task, a dead letter or a tombstone is not pushed again, and its answer says so. The answers stand in the
    /// messages' order. Dropping the future leaves open whether they were accepted.
    ///
    /// A message whose unique key is held in its queue isn't pushed either: the answer names the holder. Its id is looked
    /// at first.
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>>;

    /// Takes up to `max` tasks and gives their lease to the caller; waits at most `wait` for the first. Promotes what
    /// is due and takes back leases that ran out: the loss is counted, and the task comes back with a delay of
    /// [`loss_delay`] from that moment. It takes a call that asks for at least one task to do so; a run whose lease is
    /// over, but that nobody took back yet, may still be extended and ended.
    ///
    /// A task that the caller has no room for, no handler for or can't read waits aside, by handler, until a worker
    /// with room asks, and then comes before what is due in its queue and priority; it never blocks those behind it.
    ///
    /// Nothing is taken from a queue that is paused or at its limit, and no more than its limits allow ([`Settings`]).
    ///
    /// Dropping the future loses no task: one taken but not read is given back, or its lease runs out.
    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>>;

    /// Holds leases for `lease` from now. One answer per run, in order; who is told [`Held::Gone`] must stop that run
    /// and settle nothing for it.
    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>>;

    /// Ends runs: each end and its effects are written atomically, or, where the run is no longer current, nothing of
    /// it is. One answer per end, in order. Dropping the future leaves open whether they were written; settling
    /// the same end again is then answered [`Settled::Stale`] or [`Settled::Applied`], and changes nothing twice.
    ///
    /// A task that is to be cancelled ([`Operations::cancel`]) and would come back later comes back at once instead, to be
    /// delivered as [`Delivery::cancelled`].
    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>>;

    /// Records that belong to another server and wait to be delivered there, or that wait to be told
    /// ([`Record::told`]), oldest first. They are handed out until
    /// [`Broker::delivered`] names them, so delivering must be idempotent.
    async fn outbox(&self, max: usize) -> Result<Vec<Letter>>;

    /// Drops letters that have arrived.
    async fn delivered(&self, letters: &[u64]) -> Result<()>;
}

/// Hints that something changed. Lossy: whoever listens also looks by itself now and then.
pub trait Signals: Send + Sync {
    /// From now on; a slow listener misses the oldest.
    fn listen(&self) -> broadcast::Receiver<Signal>;

    /// The same for who only wants [`Signal::Cancel`], and may be spared the others.
    fn cancels(&self) -> broadcast::Receiver<Signal> {
        self.listen()
    }
}

/// See [`Signals`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// This task has ended.
    Ended(TaskId),
    /// Another process changed something.
    Changed,
    /// Signals of any kind may have been missed: the way here has just come about, or again.
    Missed,
    /// The running task is to be cancelled: whoever runs it extends its lease now, and is told.
    Cancel(TaskId),
}

/// What the command line needs.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Unfinished tasks, newest first. (Ended ones are the results' to list.)
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>>;

    /// Where each of these stands; none for one that the broker doesn't hold. Dead letters are held; while the record of
    /// one is on its way to another server, it is answered as leaving, for the record says more.
    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>>;

    /// How full each queue is. `soon`: what counts as due soon.
    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>>;

    /// Cancels waiting tasks: each end's `run` names the number that [`Operations::get`] last gave (0 before the first
    /// run), and its ending is [`Ending::Cancelled`], or [`Ending::Dead`] without a failed run for one that could never
    /// run; where that still holds and the task waits, it is ended as by [`Broker::settle`]. A running one is marked
    /// instead: its worker is told at once ([`Signal::Cancel`]) and with the next extension, and writes the end itself;
    /// should the run be lost or fail first, the task is delivered once more, as [`Delivery::cancelled`]. One answer per
    /// end, in order. Idempotent.
    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>>;

    /// Dead letters are due again now, with all their retries: failed and lost runs count from 0, the history stays. One
    /// answer per id, in order. (Their records are the caller's to delete, before: a later record replaces them anyway.)
    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>>;

    /// Drops dead letters; their ids stay taken as after any end. How many there were.
    async fn remove(&self, ids: &[TaskId]) -> Result<u64>;

    /// Changes a queue's settings, in all workers from their next reserve on; a queue that has some is among the
    /// [`Operations::depths`] even when it is empty.
    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()>;

    /// Says that a worker lives and what it has; forgotten 3 × `every` after the last time.
    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()>;

    /// Says that a worker has left. Its leases, if any are left, count as run out.
    async fn withdraw(&self, worker: &WorkerId) -> Result<()>;

    /// The workers that live.
    async fn workers(&self) -> Result<Vec<WorkerReport>>;

    /// How the server or file is set up, as far as that decides whether anything is lost. Takes as long as it takes.
    async fn findings(&self) -> Result<Vec<Finding>>;
}

/// A task on its way in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// The task's id.
    pub id: TaskId,
    /// Where it waits.
    pub queue: Name,
    /// Who runs it.
    pub handler: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// When it may run, by the server's clock.
    pub due: Due,
    /// For an id that someone chose or that is derived: how long after its end it stays taken. None for a generated
    /// one, which nobody pushes again.
    pub remember: Option<Duration>,
    /// A key that at most one task of the queue holds.
    pub unique: Option<Unique>,
    /// Version of the envelope: a worker that reads only older ones leaves it to others.
    pub format: u8,
    /// The task as `codec` wrote it; opaque here.
    pub envelope: Bytes,
}

/// When a task may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Due {
    /// At once.
    Now,
    /// This long after the server accepted it.
    After(Duration),
    /// At this time; if it is past, at once, as if it were due now.
    At(Timestamp),
    /// Once so many have arrived ([`Effect::Arrive`]), at least one; until then scheduled for [`Timestamp::NEVER`].
    Arrivals(u32),
}

/// At most one task of a queue holds a key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unique {
    /// 1 to 256 bytes.
    pub key: String,
    /// How long from now it is held, whatever becomes of the task; none for until the task is done, dead or cancelled.
    pub hold: Option<Duration>,
}

/// The answer to one pushed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The task that holds the id, or the unique key.
    pub id: TaskId,
    /// False where the id was there before, or is remembered, or the key is held.
    pub created: bool,
}

/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// Who asks. The same for all calls of one process.
    pub worker: WorkerId,
    /// The queues to look in, with their weights (≥ 1).
    pub queues: Vec<(Name, u32)>,
    /// How queues and priorities share.
    pub order: Order,
    /// At most this many tasks.
    pub max: usize,
    /// The handlers that the worker has, and how many more runs of each it has room for.
    pub room: Arc<HashMap<Name, usize>>,
    /// The newest envelope version it reads.
    pub format: u8,
    /// How long the lease is.
    pub lease: Duration,
    /// How long to wait for a first task.
    pub wait: Duration,
    /// Ends the wait early: the answer is what there is, as if `wait` were over. (Dropping the future would do, but a
    /// claim under way would have to be given back.)
    pub recall: Arc<Notify>,
}

/// How queues and priorities share what a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Order {
    /// By weight: nobody starves.
    Weighted,
    /// The first named queue first, high priority first: what comes later may starve.
    Strict,
}

/// A task taken, with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The fencing token of this run.
    pub run: Run,
    /// Who runs it.
    pub handler: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// Failed runs so far.
    pub failed: u32,
    /// Runs so far whose worker vanished.
    pub lost: u32,
    /// When the broker accepted it.
    pub enqueued_at: Timestamp,
    /// When this run was due.
    pub due_at: Timestamp,
    /// Now, by the broker's clock.
    pub reserved_at: Timestamp,
    /// The failed runs, oldest first, at most [`HISTORY`].
    pub history: Vec<FailedRun>,
    /// It is to be cancelled: end it so, without running it.
    pub cancelled: bool,
    /// What has arrived for it ([`Due::Arrivals`]).
    pub arrived: Option<Arrived>,
    /// For `codec`.
    pub envelope: Bytes,
}

/// The results that a task waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// All of them, by index.
    Whole(Vec<Bytes>),
    /// They are more than [`UPSTREAM`] together, and weren't kept.
    TooLarge,
}

/// At most so many bytes of results are kept for a task that waits for them.
pub const UPSTREAM: usize = 4 << 20;

/// So many failed runs are kept with a task: the latest.
pub const HISTORY: usize = 25;

/// Losses grow rarer: a quarter of a second, 2 s, 16 s, …, at most an hour, before a task whose worker vanished comes back.
pub fn loss_delay(lost: u32) -> Duration {
    let delay = 250u64.saturating_mul(8u64.saturating_pow(lost.saturating_sub(1)));
    Duration::from_millis(delay.min(3_600_000))
}

/// Whether a run still holds its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It does.
    Kept,
    /// Someone else has the task, or it has ended.
    Gone,
    /// It does, and the task is to be cancelled: stop the run and end it so.
    Cancelled,
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct End {
    /// Only the holder of this run may end it.
    pub run: Run,
    /// What becomes of the task.
    pub ending: Ending,
    /// Written together with the end.
    pub effects: Vec<Effect>,
}

/// What follows from an end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Effect {
    /// To the results.
    Record(Arc<Record>),
    /// A task to enqueue; idempotent by its id, which must be derived (`remember` is set).
    Push(Message),
    /// A result for a task that waits for several. The first of each index counts; nothing happens where the task has left
    /// or doesn't wait.
    Arrive {
        /// Who waits.
        task: TaskId,
        /// The queue that it waits in.
        queue: Name,
        /// Which of the results, from 0.
        index: u32,
        /// The result.
        result: Bytes,
    },
}

/// The answer to one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Written.
    Applied,
    /// The run was no longer current: nothing was changed.
    Stale,
}

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It waited, and is cancelled.
    Done,
    /// It runs, and its worker is told.
    Asked,
    /// It has another run number meanwhile: look again.
    Moved,
    /// It has ended, or never was.
    Gone,
}

/// What became of a wish to try a dead task again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revive {
    /// It is pending.
    Done,
    /// There is no such dead letter.
    NotDead,
    /// Its unique key is held by this task.
    Held(TaskId),
}

/// One of a queue's settings.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Setting {
    /// Whether nothing is taken from it.
    Paused(bool),
    /// How many tasks are taken from it in a time, over all workers.
    Rate(Option<Rate>),
    /// How many tasks of it run at once, over all workers (≥ 1).
    Concurrency(Option<u32>),
}

/// What holds for a queue, in all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Nothing is taken from it.
    pub paused: bool,
    /// At most so many are taken in a time.
    pub rate: Option<Rate>,
    /// At most so many run at once; those that run when a lower limit is set go on.
    pub concurrency: Option<u32>,
}

impl Settings {
    /// With one of them changed.
    pub fn set(&mut self, setting: &Setting) {
        match setting {
            Setting::Paused(paused) => self.paused = *paused,
            Setting::Rate(rate) => self.rate = *rate,
            Setting::Concurrency(most) => self.concurrency = *most,
        }
    }
}

/// A record on its way to another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Names it for [`Broker::delivered`].
    pub number: u64,
    /// What to deliver.
    pub record: Arc<Record>,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the broker: unfinished, or a dead letter.
    Here(Box<Tracked>),
    /// Ended; its record is on its way to another server.
    Leaving(Arc<Record>),
}

/// A task that the broker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The task's id.
    pub id: TaskId,
    /// Where it waits or waited.
    pub queue: Name,
    /// Who runs it.
    pub handler: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// Never done or cancelled: those have left.
    pub state: State,
    /// The last run's number, 0 before the first.
    pub run: u32,
    /// Failed runs so far.
    pub failed: u32,
    /// Runs so far whose worker vanished.
    pub lost: u32,
    /// When the broker accepted it.
    pub enqueued_at: Timestamp,
    /// When its next (or present) run is or was due.
    pub due_at: Timestamp,
    /// When its present run was reserved.
    pub started_at: Option<Timestamp>,
    /// Who runs it now.
    pub worker: Option<WorkerId>,
    /// The failed runs, oldest first.
    pub history: Vec<FailedRun>,
    /// It is to be cancelled.
    pub cancelled: bool,
    /// How many of those that it waits for have arrived, and how many there are.
    pub arrived: Option<(u32, u32)>,
    /// For `codec`.
    pub envelope: Bytes,
}

/// How full a queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Its name.
    pub queue: Name,
    /// Due later (those due soon included).
    pub scheduled: u64,
    /// Of these, due soon.
    pub soon: u64,
    /// Due, waiting.
    pub pending: u64,
    /// Leased.
    pub running: u64,
    /// No worker has the handler.
    pub parked: u64,
    /// Dead letters; those that are no longer kept may be counted until they are dropped.
    pub dead: u64,
    /// What holds for it.
    pub settings: Settings,
}

/// What a worker tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WorkerReport {
    /// Its id.
    pub id: WorkerId,
    /// The queues it takes from.
    pub queues: Vec<Name>,
    /// How many runs at once.
    pub concurrency: usize,
    /// What it can run.
    pub handlers: Vec<HandlerReport>,
    /// Anything else, for people.
    #[serde(default)]
    pub notes: Headers,
}

/// What a worker tells of one handler.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HandlerReport {
    /// Its name.
    pub name: Name,
    /// `sha256:…` of the file.
    pub digest: String,
    /// Where tasks for it go unless the producer says otherwise.
    pub queue: Option<Name>,
    /// Runs allowed after the first failed one, where its manifest says so.
    pub max_retries: Option<u32>,
}
