//! Tasks that come by the clock: what a schedule says, and when it ticks. The broker keeps each under its name
//! (`schedules.rs`); every worker ticks (`worker/cron.rs`), and for each tick one succeeds.

use std::time::Duration;

use bytes::Bytes;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::broker::{Due, Message, Unique};
use crate::codec;
use crate::error::{Error, Result};
use crate::results::remember;
use crate::task::{Headers, Name, Priority, Task, TaskId, TaskOptions, Timestamp};

mod entry;
mod expression;
mod ticks;

pub use entry::Entry;
pub use expression::{Expression, InvalidExpression};

/// A tick that is missed by more than this is gone, and so is any that a later one follows, once none came for longer
/// than [`GRACE`].
pub const LATEST: Duration = Duration::from_secs(24 * 3600);
/// A worker may be so late for a tick, and still those before the last one run, too.
pub const GRACE: Duration = Duration::from_secs(5);

/// What a schedule says.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// When.
    pub expression: Expression,
    /// By which clock.
    pub tz: Tz,
    /// Whether a task comes while the one before it is unfinished.
    pub overlap: Overlap,
    /// Whether no tasks come at present.
    pub paused: bool,
    /// Whose it is.
    pub source: Source,
    /// What comes.
    pub task: Template,
}

/// What becomes of a tick while the last tick's task is unfinished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Its task comes all the same.
    #[default]
    Allow,
    /// No task comes for it.
    Skip,
}

/// Where a schedule was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// In the configuration file: it goes when it goes there.
    File,
    /// By a command or a program.
    Command,
}

/// A task without an id and a time: each tick gives it both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Which handler runs it.
    pub handler: Name,
    /// Where it waits: by default where its handler's manifest says, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Name>,
    /// A key of which its queue has at most one holder: where another task holds it, a tick gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// Its share of the queue.
    #[serde(default)]
    pub priority: Priority,
    /// The handler's input.
    #[serde(with = "base64_text", rename = "payload_base64")]
    pub payload: Bytes,
    /// MIME type of the payload, "" for none given.
    #[serde(default)]
    pub content_type: String,
    /// What the handler can read beside the payload.
    #[serde(default)]
    pub headers: Headers,
    /// Limits, retries and retention.
    #[serde(default)]
    pub options: TaskOptions,
}

/// The bytes under which a schedule is kept: JSON with a version, so that people can read it where it lies.
#[derive(Serialize, Deserialize)]
struct Body {
    version: u8,
    expression: String,
    tz: String,
    overlap: Overlap,
    paused: bool,
    source: Source,
    task: Template,
}

const VERSION: u8 = 1;

impl Schedule {
    /// `task` at these times by UTC, whether or not the one before it is finished; an error where `expression` is none.
    pub fn new(expression: &str, task: Template) -> Result<Schedule> {
        let expression = expression.parse().map_err(|bad: InvalidExpression| Error::rejected(bad.to_string()))?;
        let (overlap, source) = (Overlap::Allow, Source::Command);
        Ok(Schedule { expression, tz: Tz::UTC, overlap, paused: false, source, task })
    }

    /// The bytes under which it is kept.
    pub fn encode(&self) -> Bytes {
        let Schedule { expression, tz, overlap, paused, source, task } = self;
        let body = Body {
            version: VERSION,
            expression: expression.to_string(),
            tz: tz.name().into(),
            overlap: *overlap,
            paused: *paused,
            source: *source,
            task: task.clone(),
        };
        serde_json::to_vec(&body).expect("plain data serialises").into()
    }

    /// The schedule in these bytes; an error where they are damaged, or a newer version's.
    pub fn decode(bytes: &[u8]) -> Result<Schedule> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u8,
        }
        let corrupt =
            |what: String| Error::corrupt(format!("a schedule of {} bytes can't be read: {what}", bytes.len()));
        let Versioned { version } = serde_json::from_slice(bytes).map_err(|bad| corrupt(bad.to_string()))?;
        if version > VERSION {
            return Err(corrupt(format!("it has format {version}, and this version reads up to {VERSION}")));
        }
        let body: Body = serde_json::from_slice(bytes).map_err(|bad| corrupt(bad.to_string()))?;
        let Body { expression, tz, overlap, paused, source, task, .. } = body;
        let expression = expression.parse().map_err(|bad: InvalidExpression| corrupt(bad.to_string()))?;
        Ok(Schedule { expression, tz: zone(&tz).map_err(corrupt)?, overlap, paused, source, task })
    }

    /// The first tick after this moment; none before the year 2100.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        ticks::next(&self.expression, self.tz, after)
    }

    /// The tick to run at `now`, where all up to `since` are done: the next one, while no worker was late for it; after
    /// an outage the latest, if it is less than a day late.
    pub fn due(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let next = self.next(since).filter(|next| *next <= now)?;
        if now.since(next) <= GRACE {
            return Some(next);
        }
        // Of what comes each second a day's ticks are many: those of the last minute tell as much.
        [60, 3600, LATEST.as_secs()].into_iter().find_map(|seconds| {
            let from = Timestamp(now.0.saturating_sub(seconds * 1000)).max(since);
            let ticks = std::iter::successors(self.next(from), |tick| self.next(*tick));
            ticks.take_while(|tick| *tick <= now).last()
        })
    }

    /// The task of this tick, in `queue` unless the schedule names one.
    pub fn message(&self, name: &Name, at: Timestamp, queue: Name) -> Result<Message> {
        let id: TaskId =
            format!("cron:{name}:{}", at.0 / 1000).parse().map_err(|bad| Error::rejected(format!("{bad}")))?;
        let Template { handler, queue: own, unique, priority, payload, content_type, headers, options } =
            self.task.clone();
        let (queue, remember) = (own.unwrap_or(queue), Some(remember(&options)));
        let (upstream, chain, group) = (Vec::new(), None, None);
        let task =
            Task { id, handler, queue, priority, payload, content_type, headers, upstream, options, chain, group };
        Ok(Message { unique, ..codec::message(task, Due::At(at), remember) })
    }
}

/// A time zone by its name in the IANA database; else what was expected.
pub fn zone(name: &str) -> std::result::Result<Tz, String> {
    let zone = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name));
    zone.copied().ok_or_else(|| {
        let found: String = name.chars().take(80).flat_map(char::escape_debug).collect();
        format!("time zone \"{found}\": expected a name such as Europe/Berlin or UTC")
    })
}

mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn schedule(expression: &str) -> Schedule {
        let task = Template {
            handler: "h".parse().unwrap(),
            queue: None,
            unique: None,
            priority: Priority::Low,
            payload: Bytes::from_static(b"\0\xff"),
            content_type: String::new(),
            headers: Headers::new(),
            options: TaskOptions { timeout: Some(Duration::from_millis(1500)), ..TaskOptions::default() },
        };
        Schedule::new(expression, task).unwrap()
    }

    #[test]
    fn a_schedule_reads_back_as_it_was_written() {
        let mut written = schedule("@daily");
        (written.tz, written.overlap, written.paused) = (zone("europe/berlin").unwrap(), Overlap::Skip, true);
        let read = Schedule::decode(&written.encode()).unwrap();
        assert_eq!(read.encode(), written.encode());
        assert_eq!((read.tz.name(), read.expression.to_string().as_str()), ("Europe/Berlin", "@daily"));
        assert_eq!(read.task, written.task);
        let newer = String::from_utf8(written.encode().to_vec()).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(Schedule::decode(newer.as_bytes()).unwrap_err().message.contains("format 2"));
        assert!(Schedule::decode(b"{").is_err() && zone("Mars/Olympus").is_err());
    }

    #[test]
    fn each_tick_is_due_unless_a_worker_was_late_for_it() {
        let minutely = schedule("* * * * *");
        let at = |minutes: u64, ms: u64| Timestamp(minutes * MINUTE + ms);
        assert_eq!(minutely.due(at(10, 0), at(10, 59_999)), None);
        assert_eq!(minutely.due(at(10, 0), at(11, 0)), Some(at(11, 0)));
        assert_eq!(minutely.due(at(10, 0), at(11, 5_000)), Some(at(11, 0)));
        assert_eq!(minutely.due(at(10, 0), at(15, 30_000)), Some(at(15, 0)));
        // Every second, a few seconds late: each of them.
        let secondly = schedule("* * * * * *");
        assert_eq!(secondly.due(at(10, 0), at(10, 3_500)), Some(at(10, 1_000)));
        assert_eq!(secondly.due(at(10, 0), at(15, 3_500)), Some(at(15, 3_000)));
    }

    #[test]
    fn a_tick_that_is_a_day_late_is_gone() {
        let yearly = schedule("0 0 1 1 *");
        let (before, at) = (Timestamp(1_767_225_600_000 - 1), Timestamp(1_767_225_600_000));
        assert_eq!(yearly.due(before, at.plus(LATEST - Duration::from_secs(1))), Some(at));
        assert_eq!(yearly.due(before, at.plus(LATEST + Duration::from_secs(1))), None);
    }

    #[test]
    fn a_ticks_task_is_named_after_it() {
        let message =
            schedule("@daily").message(&"n".parse().unwrap(), Timestamp(1_767_225_600_000), Name::default_queue());
        let message = message.unwrap();
        assert_eq!(message.id.as_str(), "cron:n:1767225600");
        assert_eq!(codec::decode(&message.envelope).unwrap().payload, &b"\0\xff"[..]);
    }
}
