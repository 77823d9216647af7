//! Plain values: a task, its names and options, and what can become of it. Open to every other file, imports none.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Unix time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Later than any other: for a task that waits for something else than a time. Backends keep it exactly, those with
    /// floating point numbers, too.
    pub const NEVER: Timestamp = Timestamp(9_000_000_000_000_000);

    /// This moment and `span` more; the latest moment there is rather than an overflow.
    pub fn plus(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(span)))
    }

    /// How long before this moment `earlier` was; zero when it was not before.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339, UTC, milliseconds: `2026-11-24T06:44:20.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0).ok().and_then(chrono::DateTime::from_timestamp_millis);
        match time {
            Some(time) => f.write_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// A span in whole milliseconds, capped at what 63 bits hold (SQLite's and Redis's integers are signed).
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(i64::MAX as u64)
}

/// A name, id or header that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{found}\": expected {rule}")]
pub struct InvalidName {
    what: &'static str,
    found: String,
    rule: &'static str,
}

fn check(what: &'static str, rule: &'static str, text: &str, good: bool) -> Result<Arc<str>, InvalidName> {
    if good {
        return Ok(text.into());
    }
    let found = text.chars().take(80).flat_map(char::escape_debug).collect();
    Err(InvalidName { what, found, rule })
}

/// Reads a text without copying it before it is checked.
struct Checked<T>(PhantomData<T>);

impl<T: FromStr<Err = InvalidName>> Visitor<'_> for Checked<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Checked(PhantomData))
            }
        }
    };
}

/// The name of a handler or a queue: `[a-z0-9][a-z0-9_-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);
checked_text!(Name);

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.len() <= 64
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || b == b'_' || b == b'-');
        check("name", "[a-z0-9][a-z0-9_-]{0,63}", text, good).map(Name)
    }
}

impl Name {
    /// Where tasks wait that nobody sent elsewhere.
    pub fn default_queue() -> Name {
        Name("default".into())
    }
}

/// A task's id: `[A-Za-z0-9][A-Za-z0-9_:/-]{0,127}`. Chosen by the producer, generated (UUIDv7), or derived
/// (`cron:…`, `<id>/f1`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Arc<str>);
checked_text!(TaskId);

impl TaskId {
    /// A new UUIDv7: ids sort by the time they were made, and nobody else has this one.
    pub fn generate() -> TaskId {
        TaskId(uuid::Uuid::now_v7().to_string().into())
    }
}

impl FromStr for TaskId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let good = text.len() <= 128
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:/-".contains(&b));
        check("id", "[A-Za-z0-9][A-Za-z0-9_:/-]{0,127}", text, good).map(TaskId)
    }
}

/// A worker process: unique, whatever its machine is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);
checked_text!(WorkerId);

impl WorkerId {
    /// Stands in the record of a task that ended without a worker: it was cancelled while it waited.
    pub fn nobody() -> WorkerId {
        WorkerId("-".into())
    }

    /// A new id, readable (`<machine>-<process>-<random>`) and unique even where two machines share a name.
    pub fn generate() -> WorkerId {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine: String =
            machine.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        let machine = if machine.is_empty() { "worker" } else { &machine };
        let random = uuid::Uuid::now_v7().simple().to_string();
        WorkerId(format!("{machine}-{}-{}", std::process::id(), &random[24..]).into())
    }
}

impl From<&WorkerId> for Arc<str> {
    fn from(id: &WorkerId) -> Arc<str> {
        id.0.clone()
    }
}

impl FromStr for WorkerId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let good =
            !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        check("worker", "[A-Za-z0-9-]{1,128}", text, good).map(WorkerId)
    }
}

/// Headers by name (`[a-z0-9._-]{1,64}`); names that begin with `tasq-` are the host's own.
pub type Headers = BTreeMap<String, String>;

/// Refuses a header name that breaks the rule or takes the reserved prefix `tasq-`.
pub fn check_header(name: &str) -> Result<(), InvalidName> {
    let good = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && !name.starts_with("tasq-");
    check("header", "[a-z0-9._-]{1,64} without the reserved prefix \"tasq-\"", name, good).map(drop)
}

/// Within a queue, tasks of these priorities are taken in the ratio 6 : 3 : 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Six of ten.
    High = 0,
    /// Three of ten; the default.
    #[default]
    Normal = 1,
    /// One of ten.
    Low = 2,
}

impl Priority {
    /// All, the most urgent first: the index is the number that backends store.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
}

/// So many in a time: `100/s`, `30/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many, at least 1.
    pub tasks: u32,
    /// In this time.
    pub per: Duration,
}

impl Rate {
    /// The time between two, in microseconds; at least one.
    pub fn interval_us(self) -> u64 {
        (u64::try_from(self.per.as_micros()).unwrap_or(u64::MAX) / u64::from(self.tasks.max(1))).max(1)
    }

    /// How many may come at once after a pause: what comes in a tenth of a second, at least one.
    pub fn burst(self) -> u64 {
        (100_000 / self.interval_us()).max(1)
    }
}

/// The text is none of `100/s`, `30/m`, `1000/h`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rate \"{0}\": expected a number from 1 to 1000000 and a time, such as 100/s, 30/m or 1000/h")]
pub struct InvalidRate(String);

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let parsed = text.split_once('/').and_then(|(tasks, unit)| {
            let tasks = tasks.parse().ok().filter(|tasks| (1..=1_000_000).contains(tasks))?;
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            Some(Rate { tasks, per: Duration::from_secs(seconds) })
        });
        parsed.ok_or_else(|| InvalidRate(text.chars().take(80).flat_map(char::escape_debug).collect()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.tasks),
            60 => write!(f, "{}/m", self.tasks),
            3600 => write!(f, "{}/h", self.tasks),
            _ => write!(f, "{}/{}", self.tasks, humantime::format_duration(self.per)),
        }
    }
}

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// Doubles from `first` up to `most`, less up to a quarter at random so that failures spread.
    Exponential {
        /// After the first failure.
        first: Duration,
        /// Never longer than this.
        most: Duration,
    },
    /// `step` after the first failure, twice that after the second, …
    Linear {
        /// The growth per failure.
        step: Duration,
    },
    /// Always the same.
    Fixed {
        /// The delay.
        delay: Duration,
    },
}

impl Backoff {
    /// From a second to an hour, doubling.
    pub const DEFAULT: Backoff =
        Backoff::Exponential { first: Duration::from_secs(1), most: Duration::from_secs(3600) };
}

/// The text is none of `exponential:1s..1h`, `linear:10s`, `fixed:5s`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("backoff \"{0}\": expected exponential:1s..1h, linear:10s or fixed:5s")]
pub struct InvalidBackoff(String);

impl FromStr for Backoff {
    type Err = InvalidBackoff;

    fn from_str(text: &str) -> Result<Self, InvalidBackoff> {
        let span = |text: &str| humantime::parse_duration(text).ok();
        let parsed = text.split_once(':').and_then(|(kind, rest)| match kind {
            "exponential" => {
                let (first, most) = rest.split_once("..")?;
                let (first, most) = (span(first)?, span(most)?);
                (!first.is_zero() && first <= most).then_some(Backoff::Exponential { first, most })
            }
            "linear" => span(rest).map(|step| Backoff::Linear { step }),
            "fixed" => span(rest).map(|delay| Backoff::Fixed { delay }),
            _ => None,
        });
        parsed.ok_or_else(|| InvalidBackoff(text.chars().take(80).flat_map(char::escape_debug).collect()))
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = humantime::format_duration;
        match *self {
            Backoff::Exponential { first, most } => write!(f, "exponential:{}..{}", span(first), span(most)),
            Backoff::Linear { step } => write!(f, "linear:{}", span(step)),
            Backoff::Fixed { delay } => write!(f, "fixed:{}", span(delay)),
        }
    }
}

/// What a producer may ask for; absent things are decided by the handler's manifest, then by the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// Runs allowed after the first failed one.
    pub max_retries: Option<u32>,
    /// Delays between attempts.
    pub backoff: Option<Backoff>,
    /// Wall time of one run.
    pub timeout: Option<Duration>,
    /// CPU time of one run.
    pub cpu: Option<Duration>,
    /// A task that nobody started this long after it was due is dead.
    pub expires: Option<Duration>,
    /// How long the result is kept; zero for not at all.
    pub retention: Option<Duration>,
}

/// One step of a chain that is still to come: a task without an id, which it gets from its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which handler runs it.
    pub handler: Name,
    /// Where it waits.
    pub queue: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// How long after the step before it this one is due.
    pub delay: Duration,
    /// The handler's input; none stands for the result of the step before it.
    pub payload: Option<Bytes>,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the producer attached.
    pub headers: Headers,
    /// The producer's own wishes.
    pub options: TaskOptions,
}

/// A task that a handler enqueued in a run: it is pushed with that run's end, if the run succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// Derived from the task that enqueued it: `<id>/f1`, `<id>/f2`, …
    pub id: TaskId,
    /// Which handler runs it.
    pub handler: Name,
    /// Where it waits; none for the handler's own queue.
    pub queue: Option<Name>,
    /// Its share of the queue.
    pub priority: Priority,
    /// How long after the end of the run it is due.
    pub delay: Duration,
    /// A key of which its queue has at most one holder: where it is taken by then, the follow-up is dropped.
    pub unique_key: Option<String>,
    /// How long the key is held, whatever becomes of the task; none for as long as it is unfinished.
    pub unique_for: Option<Duration>,
    /// The handler's input.
    pub payload: Bytes,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the handler attached, and the host's own [`DEPTH`].
    pub headers: Headers,
    /// Limits, retries and retention.
    pub options: TaskOptions,
}

/// The header that counts how many tasks, each enqueued by the one before it, led to this one.
pub const DEPTH: &str = "tasq-depth";

/// The header of a task whose record is told ([`Record::told`](crate::results::Record::told)); its handler doesn't see it.
pub const TOLD: &str = "tasq-told";

/// Where a task stands in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The chain's id: its steps' ids are `<id>/s1`, `<id>/s2`, …
    pub id: TaskId,
    /// 1 for the first.
    pub step: u32,
    /// How many there are.
    pub of: u32,
}

impl Link {
    /// The id of this step's task.
    pub fn task(&self) -> Result<TaskId, InvalidName> {
        format!("{}/s{}", self.id, self.step).parse()
    }
}

/// Where a task stands in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The group's id: its members' ids are `<id>/m1`, `<id>/m2`, …, or, for a member that is a chain, that chain's;
    /// its callback's is `<id>/cb`.
    pub group: TaskId,
    /// 1 for the first member, 0 for the callback.
    pub index: u32,
    /// How many members there are.
    pub of: u32,
    /// The queue of the callback, if there is one.
    pub callback: Option<Name>,
}

impl Member {
    /// The id of this member's task or chain, or of the callback.
    pub fn id(&self) -> Result<TaskId, InvalidName> {
        match self.index {
            0 => format!("{}/cb", self.group).parse(),
            index => format!("{}/m{index}", self.group).parse(),
        }
    }
}

/// A chain as one of its steps carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Where this step stands.
    pub link: Link,
    /// What comes after it, in order.
    pub rest: Vec<Step>,
}

/// A unit of work: written once by its producer and never rewritten. Where it stands (state, attempts, times) is the
/// broker's and travels beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The same over all runs.
    pub id: TaskId,
    /// Which handler runs it.
    pub handler: Name,
    /// Where it waits.
    pub queue: Name,
    /// Its share of the queue.
    pub priority: Priority,
    /// The handler's input.
    pub payload: Bytes,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the producer attached.
    pub headers: Headers,
    /// Results of the tasks that this one follows.
    pub upstream: Vec<Bytes>,
    /// The producer's own wishes.
    pub options: TaskOptions,
    /// The chain that it is a step of.
    pub chain: Option<Chain>,
    /// The group that it, or its chain, is a member of.
    pub group: Option<Member>,
}

/// How many bytes a unique key may have.
pub const UNIQUE_KEY: std::ops::RangeInclusive<usize> = 1..=256;

/// The largest payload, in bytes.
pub const PAYLOAD: usize = 4 << 20;

/// One start of a task: the fencing token that every extension and every end names. Each reserve gives a higher number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run {
    /// Where the task lives: a backend finds its slot by it.
    pub queue: Name,
    /// The task.
    pub id: TaskId,
    /// 1 at the first reserve.
    pub number: u32,
}

/// Where a task stands, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Due later.
    Scheduled,
    /// Due, waiting for a worker.
    Pending,
    /// A worker holds its lease.
    Running,
    /// No worker that looked has its handler.
    Parked,
    /// Succeeded.
    Done,
    /// Failed for good.
    Dead,
    /// Stopped by someone.
    Cancelled,
}

impl State {
    /// Every state, in the order of a task's life.
    pub const ALL: [State; 7] =
        [State::Scheduled, State::Pending, State::Running, State::Parked, State::Done, State::Dead, State::Cancelled];

    /// True once nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Dead | State::Cancelled)
    }

    /// As written in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Pending => "pending",
            State::Running => "running",
            State::Parked => "parked",
            State::Done => "done",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// The handler said so; the code is its own.
    Handler,
    /// The guest broke: `trap`, `out-of-memory`, `stack-overflow`, `exit`.
    Trap,
    /// The guest went over a limit: `timeout`, `cpu-limit`, `invalid-result`, `payload-too-large`.
    Limit,
    /// The host broke: `host-panic`.
    Host,
    /// Its workers vanished: `poison`.
    Lost,
    /// Nobody started it in time: `expired`.
    Expired,
    /// The envelope can't be read: `corrupt`.
    Corrupt,
    /// `upstream-too-large`.
    Upstream,
}

impl FailureKind {
    /// As written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Handler => "handler",
            FailureKind::Trap => "trap",
            FailureKind::Limit => "limit",
            FailureKind::Host => "host",
            FailureKind::Lost => "lost",
            FailureKind::Expired => "expired",
            FailureKind::Corrupt => "corrupt",
            FailureKind::Upstream => "upstream",
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who is to blame.
    pub kind: FailureKind,
    /// For programs: a short class.
    pub code: String,
    /// For people: the first line sums up. At most 4 KiB, cut at a character.
    pub message: String,
}

/// One failed run in a task's past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRun {
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The run's number.
    pub run: u32,
    /// When it ended.
    pub at: Timestamp,
    /// Why.
    pub failure: Failure,
}

/// What a failed run wants to become of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Again, while retries are left; after the given time, or the task's backoff.
    Retry(Option<Duration>),
    /// Never again.
    Discard,
    /// Not now; costs no retry. At least a second.
    Snooze(Option<Duration>),
}

/// How one run ended. A handler that fails is a value here, never an `Err`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler returned these bytes.
    Done(Bytes),
    /// The handler failed, or was failed for what it did.
    Failed(Failure, Verdict),
    /// No handler of that name, or an envelope of a newer version: waits for a worker that can. Not an attempt.
    Park,
    /// The host had no room for it, or stopped it for reasons of its own: back after this long. Not an attempt.
    Release(Duration),
    /// Stopped, or never run, because someone cancelled the task.
    Cancelled,
    /// The lease is gone: someone else has the task, and nothing may be recorded or settled.
    Gone,
}

/// What one run cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// From when the task was due until this run began.
    pub queue_ms: u64,
    /// From begin to end of the run.
    pub wall_ms: u64,
    /// Time spent computing.
    pub cpu_ms: u64,
    /// Highest sum of the guest's memories and tables.
    pub peak_memory_bytes: u64,
    /// Calls from the guest into `tasq:handler` interfaces.
    pub host_calls: u64,
    /// `sha256:…` of the component.
    pub digest: Arc<str>,
    /// Who ran it.
    pub worker: Arc<str>,
    /// Wasm stack frames of a trap, innermost first.
    #[serde(default)]
    pub frames: Vec<String>,
    /// The end of what the guest wrote to stderr.
    #[serde(default)]
    pub stderr: String,
}

/// What a run said, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// In order. At most a thousand; of many long ones the latest.
    pub lines: Vec<LogLine>,
    /// So many more there were.
    pub dropped: u64,
}

/// A line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// How much it matters, or where it was written to.
    pub level: LogLevel,
    /// Printable, at most 8 KiB.
    pub text: String,
}

/// How much a guest's line matters, or where it was written to. New ones go to the end: their places are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For whoever looks for a fault in the handler.
    Debug,
    /// Worth knowing in normal operation.
    Info,
    /// Odd, but the run goes on.
    Warn,
    /// Something failed.
    Error,
    /// Written to stdout by a handler whose result is elsewhere.
    Stdout,
    /// Written to stderr.
    Stderr,
}

impl LogLevel {
    /// As written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Stdout => "stdout",
            LogLevel::Stderr => "stderr",
        }
    }
}

/// What becomes of a task at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Succeeded: the task leaves the broker.
    Done,
    /// Failed, again after this long.
    Retry {
        /// The delay.
        after: Duration,
        /// What the history gains.
        failed: FailedRun,
    },
    /// Again after this long; counts as neither attempt nor loss.
    Snooze {
        /// The delay.
        after: Duration,
    },
    /// To the dead letters, and forgotten there after `keep`.
    Dead {
        /// Age limit.
        keep: Duration,
        /// What the history gains: what it died of, for who tries it again. None where its end itself was refused.
        failed: Option<FailedRun>,
    },
    /// Stopped by someone: the task leaves the broker.
    Cancelled,
    /// Given back unfinished, after this long; counts as neither.
    Release {
        /// The delay.
        after: Duration,
    },
    /// Waits for a worker that can run it; counts as neither.
    Park,
}

/// Cuts `text` to at most `limit` bytes, at a character.
pub fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_keep_their_rules() {
        for good in ["a", "0", "send-mail_2", &"a".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a.b", "ä", "a b", "a\n", &"a".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        for good in ["A1", "cron:nightly:1700000000", "x/f1", &"a".repeat(128)] {
            assert!(good.parse::<TaskId>().is_ok(), "{good}");
        }
        for bad in ["", "/a", ":a", "a.b", "a b", &"a".repeat(129)] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
        assert!(check_header("x-trace.id").is_ok());
        assert!(check_header("tasq-depth").is_err() && check_header("X").is_err() && check_header("").is_err());
    }

    #[test]
    fn a_refused_name_cannot_forge_a_second_line() {
        let error = "a\nERROR forged".parse::<Name>().unwrap_err().to_string();
        assert_eq!(error, "name \"a\\nERROR forged\": expected [a-z0-9][a-z0-9_-]{0,63}");
    }

    #[test]
    fn backoff_reads_back_what_it_writes() {
        for text in ["exponential:1s..1h", "linear:10s", "fixed:5s", "fixed:0s"] {
            let backoff: Backoff = text.parse().unwrap();
            assert_eq!(backoff.to_string(), text);
        }
        for bad in [
            "",
            "fixed",
            "fixed:",
            "fixed:x",
            "exponential:1s",
            "exponential:2s..1s",
            "exponential:0s..1s",
            "sometimes:1s",
        ] {
            assert!(bad.parse::<Backoff>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_print_in_utc_with_milliseconds() {
        assert_eq!(Timestamp(1_700_000_000_042).to_string(), "2023-11-14T22:13:20.042Z");
        assert_eq!(Timestamp(u64::MAX).plus(Duration::MAX).to_string(), format!("{} ms", u64::MAX));
    }
}
