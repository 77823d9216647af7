//! Ending and extending runs: each is fenced by the run's number.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::rows::{Columns, Kept, stored, stored_history};
use super::turn::Turn;
use crate::broker::{Effect, End, HISTORY, Held, Settled};
use crate::codec;
use crate::error::Result;
use crate::results::Record;
use crate::task::{Ending, FailedRun, Run, State};

/// What an end has to know of its task.
pub(super) struct Slot {
    seq: i64,
    leased: bool,
    cancelled: bool,
    remember: Option<i64>,
    /// Its unique key, where it holds it until it ends.
    holds: Option<String>,
    /// Results may have arrived for it.
    waits: bool,
}

impl Turn<'_> {
    /// Holds a lease for `lease` from now.
    pub(super) fn extend(&self, run: &Run, lease: Duration) -> Result<Held> {
        let Some(task) = self.slot(run)?.filter(|task| task.leased) else { return Ok(Held::Gone) };
        self.sql("UPDATE tasq_tasks SET until = ?2 WHERE seq = ?1")?
            .execute(params![task.seq, stored(self.now.plus(lease))])?;
        Ok(if task.cancelled { Held::Cancelled } else { Held::Kept })
    }

    /// Writes an end and its effects, or nothing of it where the run is no longer current.
    pub(super) fn settle(&mut self, end: &End) -> Result<Settled> {
        let Some(task) = self.slot(&end.run)?.filter(|task| task.leased) else { return Ok(Settled::Stale) };
        // Where a queue is at its limit, an end makes room.
        let limited = self.settings(&end.run.queue)?.is_some_and(|settings| settings.concurrency.is_some());
        self.news.runnable |= limited;
        match &end.ending {
            Ending::Done | Ending::Cancelled => self.leave(&end.run, &task)?,
            Ending::Dead { keep, failed } => {
                failed.iter().try_for_each(|failed| self.add_failure(task.seq, failed))?;
                self.die(&end.run, &task, *keep)?
            }
            Ending::Retry { after, failed } => {
                self.add_failure(task.seq, failed)?;
                self.wait(&task, *after)?;
            }
            Ending::Snooze { after } | Ending::Release { after } => self.wait(&task, *after)?,
            Ending::Park if task.cancelled => self.wait(&task, Duration::ZERO)?,
            Ending::Park => self.park(task.seq)?,
        }
        self.apply(&end.effects)?;
        Ok(Settled::Applied)
    }

    /// What follows from an end.
    pub(super) fn apply(&mut self, effects: &[Effect]) -> Result<()> {
        for effect in effects {
            match effect {
                Effect::Push(message) => drop(self.push(message)?),
                Effect::Record(record) => {
                    if self.foreign_results || record.told {
                        self.post(record)?;
                    }
                    if !self.foreign_results {
                        self.record(record)?;
                    }
                }
                Effect::Arrive { task, queue, index, result } => self.arrive(task, queue, *index, result)?,
            }
        }
        Ok(())
    }

    /// The task whose last run is this one, or none.
    pub(super) fn slot(&self, run: &Run) -> Result<Option<Slot>> {
        let mut find = self.sql(
            "SELECT seq, state = 2 AS leased, cancelled, remember, holds, wants IS NOT NULL AS waits FROM tasq_tasks
             WHERE id = ?1 AND run = ?2 AND queue = ?3",
        )?;
        let found = find.query_row(params![run.id.as_str(), run.number, run.queue.as_str()], |row| {
            Ok(Slot {
                seq: row.get("seq")?,
                leased: row.get("leased")?,
                cancelled: row.get("cancelled")?,
                remember: row.get("remember")?,
                holds: row.get("holds")?,
                waits: row.get("waits")?,
            })
        });
        Ok(found.optional()?)
    }

    /// The task leaves the broker for good.
    pub(super) fn leave(&mut self, run: &Run, task: &Slot) -> Result<()> {
        self.erase(task.seq, task.waits)?;
        self.let_go(run, task)?;
        if let Some(remember) = task.remember {
            self.bury(run, stored(self.now).saturating_add(remember))?;
        }
        self.news.ended.push(run.id.clone());
        Ok(())
    }

    /// The task becomes a dead letter.
    pub(super) fn die(&mut self, run: &Run, task: &Slot, keep: Duration) -> Result<()> {
        self.keep_dead(task.seq, keep)?;
        self.let_go(run, task)?;
        self.news.ended.push(run.id.clone());
        self.news.grown.insert(run.queue.to_string());
        Ok(())
    }

    /// Its unique key is another's to take.
    fn let_go(&self, run: &Run, task: &Slot) -> Result<()> {
        task.holds.as_ref().map_or(Ok(()), |key| self.release_key(&run.queue, key, &run.id))
    }

    fn erase(&self, seq: i64, waits: bool) -> Result<()> {
        self.sql("DELETE FROM tasq_tasks WHERE seq = ?1")?.execute([seq])?;
        self.sql("DELETE FROM tasq_envelopes WHERE seq = ?1")?.execute([seq])?;
        if waits {
            self.sql("DELETE FROM tasq_arrivals WHERE task = ?1")?.execute([seq])?;
        }
        Ok(())
    }

    fn bury(&self, run: &Run, until: i64) -> Result<()> {
        self.sql("INSERT OR REPLACE INTO tasq_tombstones (id, until) VALUES (?1, ?2)")?
            .execute(params![run.id.as_str(), until])?;
        Ok(())
    }

    fn keep_dead(&self, seq: i64, keep: Duration) -> Result<()> {
        self.sql("UPDATE tasq_tasks SET state = 4, worker = NULL, since = ?2, until = ?3 WHERE seq = ?1")?
            .execute(params![seq, stored(self.now), stored(self.now.plus(keep))])?;
        Ok(())
    }

    fn add_failure(&self, seq: i64, failed: &FailedRun) -> Result<()> {
        let mut find = self.sql("SELECT history FROM tasq_tasks WHERE seq = ?1")?;
        let mut history = find.query_row([seq], |row| Ok(row.history()))??;
        history.push(failed.clone());
        let history = &history[history.len().saturating_sub(HISTORY)..];
        self.sql("UPDATE tasq_tasks SET failed = failed + 1, history = ?2 WHERE seq = ?1")?
            .execute(params![seq, stored_history(history)])?;
        Ok(())
    }

    /// One that is to be cancelled needn't wait: it isn't run again.
    fn wait(&mut self, task: &Slot, after: Duration) -> Result<()> {
        let due_at = if task.cancelled { self.now } else { self.now.plus(after) };
        self.sql(
            "UPDATE tasq_tasks SET state = ?2, due_at = ?3, worker = NULL, since = NULL, until = NULL WHERE seq = ?1",
        )?
        .execute(params![task.seq, u8::from(due_at > self.now), stored(due_at)])?;
        self.news.runnable = true;
        Ok(())
    }

    fn park(&mut self, seq: i64) -> Result<()> {
        self.sql(
            "UPDATE tasq_tasks SET state = 3, parked = 1, worker = NULL, since = NULL, until = NULL WHERE seq = ?1",
        )?
        .execute([seq])?;
        self.news.runnable = true;
        Ok(())
    }

    /// A record for another server.
    fn post(&self, record: &Record) -> Result<()> {
        self.sql("INSERT INTO tasq_outbox (id, record) VALUES (?1, ?2)")?
            .execute(params![record.id.as_str(), &codec::encode_record(record)[..]])?;
        Ok(())
    }

    /// Keeps a record here, unless a later run's is kept already.
    pub(super) fn record(&mut self, record: &Record) -> Result<()> {
        let expires_at = record.finished_at.plus(record.keep);
        if expires_at <= self.now {
            return Ok(());
        }
        let (dead, kept) = (record.state == State::Dead, Kept::of(record));
        // One that came in place of an expired one is as new as any: it gets a new place in the order of ending.
        self.sql("DELETE FROM tasq_records WHERE id = ?1 AND (run < ?2 OR expires_at <= ?3)")?.execute(params![
            record.id.as_str(),
            record.run,
            stored(self.now)
        ])?;
        self.sql(
            "INSERT INTO tasq_records
                (id, queue, handler, state, dead, run, enqueued_at, expires_at, record, result, error, attempt, finished_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            record.id.as_str(),
            record.queue.as_str(),
            record.handler.as_str(),
            record.state.as_str(),
            dead,
            record.run,
            stored(record.enqueued_at),
            stored(expires_at),
            &kept.record[..],
            kept.result.as_deref(),
            kept.error,
            kept.attempt,
            kept.finished_at,
        ])?;
        self.news.grown.insert(record.queue.to_string());
        Ok(())
    }

    /// A dead letter is forgotten; its id stays taken for as long as was asked from the time when it died.
    pub(super) fn drop_dead_letter(&self, seq: i64) -> Result<()> {
        self.sql(
            "INSERT OR REPLACE INTO tasq_tombstones (id, until)
             SELECT id, since + remember FROM tasq_tasks
             WHERE seq = ?1 AND remember IS NOT NULL AND since + remember > ?2",
        )?
        .execute(params![seq, stored(self.now)])?;
        self.erase(seq, true)
    }
}
