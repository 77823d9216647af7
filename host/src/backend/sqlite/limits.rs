//! What a queue's settings allow.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::rows::{Columns, collect};
use super::turn::Turn;
use super::writer::version;
use crate::broker::{Reserve, Setting, Settings};
use crate::error::Result;
use crate::task::{Name, Rate, Timestamp};

/// The queues that have settings, as they were last read: where there are none, a claim costs nothing more.
#[derive(Default)]
pub(super) struct Limits {
    settings: HashMap<Name, Settings>,
    /// The file's version when they were read; none where they must be read again.
    version: Option<i64>,
    /// Nobody else can change them while this transaction is under way.
    checked: bool,
}

impl Limits {
    /// Another transaction has begun.
    pub(super) fn recheck(&mut self) {
        self.checked = false;
    }

    /// What was read may not have come to be.
    pub(super) fn forget(&mut self) {
        *self = Limits::default();
    }
}

/// What one call may still take, of the queues that have settings.
#[derive(Default)]
pub(super) struct Allowed(HashMap<Name, Allowance>);

struct Allowance {
    left: usize,
    taken: usize,
    rate: Option<Rate>,
}

impl Allowed {
    /// At most `max` of a queue.
    pub(super) fn most(&mut self, turn: &mut Turn<'_>, queue: &Name, max: usize) -> Result<usize> {
        if let Some(known) = self.0.get(queue) {
            return Ok(max.min(known.left));
        }
        let Some(settings) = turn.settings(queue)? else { return Ok(max) };
        let left = turn.allowed(queue, &settings)?;
        self.0.insert(queue.clone(), Allowance { left, taken: 0, rate: settings.rate });
        Ok(max.min(left))
    }

    /// So many more were taken.
    pub(super) fn took(&mut self, queue: &Name, taken: usize) {
        if let Some(allowance) = self.0.get_mut(queue) {
            allowance.left = allowance.left.saturating_sub(taken);
            allowance.taken += taken;
        }
    }

    /// Where the rate is limited, what was taken counts.
    pub(super) fn charge(self, turn: &Turn<'_>) -> Result<()> {
        for (queue, Allowance { taken, rate, .. }) in self.0 {
            if let Some(rate) = rate.filter(|_| taken > 0) {
                let from = turn.reached(&queue)?.max(micros(turn.now));
                let reached = from.saturating_add((taken as u64).saturating_mul(rate.interval_us()));
                turn.sql("UPDATE tasq_queues SET reached = ?2 WHERE queue = ?1")?
                    .execute(params![queue.as_str(), i64::try_from(reached).unwrap_or(i64::MAX)])?;
            }
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// What holds for a queue; none where nothing does.
    pub(super) fn settings(&mut self, queue: &Name) -> Result<Option<Settings>> {
        if !self.limits.checked {
            let version = version(self.db)?;
            if self.limits.version != Some(version) {
                let all = all_settings(self.db)?.into_iter();
                self.limits.settings = all.filter(|(_, settings)| *settings != Settings::default()).collect();
                self.limits.version = Some(version);
            }
            self.limits.checked = true;
        }
        Ok(self.limits.settings.get(queue).cloned())
    }

    pub(super) fn configure(&mut self, queue: &Name, settings: &[Setting]) -> Result<()> {
        let mut present = all_settings(self.db)?.remove(queue).unwrap_or_default();
        settings.iter().for_each(|setting| present.set(setting));
        self.sql(
            "INSERT INTO tasq_queues (queue, paused, rate, rate_us, concurrency) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (queue) DO UPDATE SET paused = ?2, rate = ?3, rate_us = ?4, concurrency = ?5,
             -- What was taken counted by another rate.
             reached = iif(?6, 0, reached)",
        )?
        .execute(params![
            queue.as_str(),
            present.paused,
            present.rate.map(|rate| rate.tasks),
            present.rate.map(|rate| i64::try_from(rate.per.as_micros()).unwrap_or(i64::MAX)),
            present.concurrency,
            settings.iter().any(|setting| matches!(setting, Setting::Rate(_))),
        ])?;
        self.limits.forget();
        // Who waits may take more now.
        self.news.runnable = true;
        Ok(())
    }

    /// How many tasks may be taken now.
    fn allowed(&self, queue: &Name, settings: &Settings) -> Result<usize> {
        if settings.paused {
            return Ok(0);
        }
        let free = match settings.concurrency {
            Some(most) => u64::from(most).saturating_sub(self.running(queue)?),
            None => u64::MAX,
        };
        let due = match settings.rate {
            Some(rate) => {
                let (interval, ahead) = (rate.interval_us(), self.reached(queue)?.saturating_sub(micros(self.now)));
                (rate.burst() * interval).saturating_sub(ahead) / interval
            }
            None => u64::MAX,
        };
        Ok(usize::try_from(free.min(due)).unwrap_or(usize::MAX))
    }

    /// When the rates allow a task that is due, in the queues that `request` names.
    pub(super) fn next_allowed(&mut self, request: &Reserve) -> Result<Option<Timestamp>> {
        let mut next = None;
        for (queue, _) in &request.queues {
            let Some(Settings { paused: false, rate: Some(rate), .. }) = self.settings(queue)? else { continue };
            let opens = self.reached(queue)?.saturating_sub((rate.burst() - 1) * rate.interval_us());
            let opens = Timestamp(opens.div_ceil(1_000));
            if opens > self.now && self.has_waiting(queue)? {
                next = next.into_iter().chain([opens]).min();
            }
        }
        Ok(next)
    }

    fn has_waiting(&self, queue: &Name) -> Result<bool> {
        let mut waiting = self.sql(
            "SELECT EXISTS (SELECT 1 FROM tasq_tasks INDEXED BY tasq_tasks_ready WHERE state = 0 AND queue = ?1)
             OR EXISTS (SELECT 1 FROM tasq_tasks INDEXED BY tasq_tasks_aside WHERE state = 3 AND queue = ?1)",
        )?;
        Ok(waiting.query_row([queue.as_str()], |row| row.get(0))?)
    }

    /// Counted, not kept: all who run together are few, and a count can't go wrong.
    fn running(&self, queue: &Name) -> Result<u64> {
        let mut count =
            self.sql("SELECT count(*) FROM tasq_tasks INDEXED BY tasq_tasks_leased WHERE state = 2 AND queue = ?1")?;
        let running: i64 = count.query_row([queue.as_str()], |row| row.get(0))?;
        Ok(running.cast_unsigned())
    }

    fn reached(&self, queue: &Name) -> Result<u64> {
        let mut find = self.sql("SELECT reached FROM tasq_queues WHERE queue = ?1")?;
        let reached: i64 = find.query_row([queue.as_str()], |row| row.get(0))?;
        Ok(u64::try_from(reached).unwrap_or(0))
    }
}

/// Of all queues that ever had some.
pub(super) fn all_settings(db: &Connection) -> Result<HashMap<Name, Settings>> {
    let mut all = db.prepare_cached("SELECT queue, paused, rate, rate_us, concurrency FROM tasq_queues")?;
    let all = collect(all.query([])?, |row| Ok((row.parsed("queue")?, settings(row)?)))?;
    Ok(all.into_iter().collect())
}

fn settings(row: &Row<'_>) -> rusqlite::Result<Settings> {
    let rate = match (row.get("rate")?, row.get::<_, Option<i64>>("rate_us")?) {
        (Some(tasks), Some(per)) => Some(Rate { tasks, per: Duration::from_micros(per.unsigned_abs()) }),
        _ => None,
    };
    Ok(Settings { paused: row.get("paused")?, rate, concurrency: row.get("concurrency")? })
}

fn micros(time: Timestamp) -> u64 {
    time.0.saturating_mul(1_000)
}
