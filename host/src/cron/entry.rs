//! A schedule as the configuration file has it: a table `[[cron]]`.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::{Overlap, Schedule, Source, Template, zone};
use crate::broker::Unique;
use crate::error::{Error, Result};
use crate::task::{Headers, Name, Priority, TaskOptions};
use crate::text;

/// The keys of `[[cron]]`; task options are named as those of `enqueue`, with `_` for `-`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, unique in the file.
    pub name: Name,
    /// When, as `crontab(5)` has it.
    pub expression: String,
    /// The time zone; UTC by default.
    pub tz: Option<String>,
    /// Whether a task comes while the one before it is unfinished.
    #[serde(default)]
    pub overlap: Overlap,
    /// Which handler runs the tasks.
    pub handler: Name,
    /// A string stands for its UTF-8 bytes, anything else for its JSON text.
    pub payload: Option<serde_json::Value>,
    /// MIME type of the payload.
    #[serde(default)]
    pub content_type: String,
    /// What the handler can read beside the payload.
    #[serde(default)]
    pub headers: Headers,
    /// Where the tasks wait.
    pub queue: Option<Name>,
    /// A key of which their queue has at most one holder.
    pub unique: Option<String>,
    /// How long it is held, whatever becomes of the task; by default until the task has ended.
    pub unique_for: Option<String>,
    /// Their share of the queue.
    #[serde(default)]
    pub priority: Priority,
    /// Runs after the first failed one.
    pub max_retries: Option<u32>,
    /// Delays between them.
    pub backoff: Option<String>,
    /// Wall time of one run.
    pub timeout: Option<String>,
    /// CPU time of one run.
    pub cpu: Option<String>,
    /// Dead unless started within this time after the tick.
    pub expires: Option<String>,
    /// How long results are kept.
    pub retention: Option<String>,
}

impl Entry {
    /// What it says; an error names the entry and the key.
    pub fn schedule(&self) -> Result<Schedule> {
        self.read().map_err(|problem| Error::rejected(format!("cron {}: {problem}", self.name)))
    }

    fn read(&self) -> std::result::Result<Schedule, String> {
        let time = |key: &str, text: &Option<String>, read: fn(&str) -> std::result::Result<Duration, String>| {
            text.as_deref().map(read).transpose().map_err(|bad| format!("{key}: {bad}"))
        };
        let options = TaskOptions {
            max_retries: self.max_retries,
            backoff: self.backoff.as_deref().map(text::backoff).transpose()?,
            timeout: time("timeout", &self.timeout, text::positive_span)?,
            cpu: time("cpu", &self.cpu, text::positive_span)?,
            expires: time("expires", &self.expires, text::span)?,
            retention: time("retention", &self.retention, text::span)?,
        };
        let payload = match &self.payload {
            None => Bytes::new(),
            Some(serde_json::Value::String(text)) => text.clone().into(),
            Some(value) => value.to_string().into(),
        };
        let hold = time("unique_for", &self.unique_for, text::positive_span)?;
        if hold.is_some() && self.unique.is_none() {
            return Err("unique_for: expected unique beside it, found none".into());
        }
        let task = Template {
            handler: self.handler.clone(),
            queue: self.queue.clone(),
            unique: self.unique.clone().map(|key| Unique { key, hold }),
            priority: self.priority,
            payload,
            content_type: self.content_type.clone(),
            headers: self.headers.clone(),
            options,
        };
        let schedule = Schedule::new(&self.expression, task).map_err(|bad| bad.message)?;
        let tz = self.tz.as_deref().map_or(Ok(schedule.tz), zone)?;
        Ok(Schedule { tz, overlap: self.overlap, source: Source::File, ..schedule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_the_schedule_that_was_meant() {
        let entry: Entry = toml::from_str(
            "name = 'nightly'\nexpression = '0 3 * * *'\ntz = 'Europe/Berlin'\noverlap = 'skip'\nhandler = 'report'\n\
             payload = { day = 'yesterday' }\ntimeout = '2m'",
        )
        .unwrap();
        let schedule = entry.schedule().unwrap();
        assert_eq!(
            (schedule.tz.name(), schedule.overlap, schedule.source),
            ("Europe/Berlin", Overlap::Skip, Source::File)
        );
        assert_eq!(schedule.task.payload, r#"{"day":"yesterday"}"#);
        assert_eq!(schedule.task.options.timeout, Some(Duration::from_secs(120)));
    }

    #[test]
    fn what_is_wrong_in_a_table_is_named() {
        let base = "name = 'n'\nhandler = 'h'\n";
        let refused = |more: &str| {
            let entry: Entry = toml::from_str(&format!("{base}{more}")).unwrap();
            entry.schedule().unwrap_err().message
        };
        assert!(refused("expression = '* *'").starts_with("cron n: cron expression \"* *\""));
        assert!(refused("expression = '@daily'\ntz = 'Mars'").contains("time zone \"Mars\""));
        assert!(refused("expression = '@daily'\ncpu = '0s'").contains("cpu: expected at least 1ms"));
        let unknown = toml::from_str::<Entry>(&format!("{base}expression = '@daily'\ncolour = 1")).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `colour`"), "{unknown}");
    }
}
