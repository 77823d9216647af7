//! Ending and extending runs: each is fenced by the run's number.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::rows::{Columns, stored, stored_history};
use super::turn::Turn;
use crate::broker::{Effect, End, HISTORY, Held, Settled};
use crate::codec;
use crate::error::Result;
use crate::results::Record;
use crate::task::{Ending, FailedRun, Run, State};

/// A task as long as its run is the current one.
struct Leased {
    seq: i64,
    remember: Option<i64>,
}

impl Turn<'_> {
    /// Holds a lease for `lease` from now.
    pub(super) fn extend(&self, run: &Run, lease: Duration) -> Result<Held> {
        let kept = self
            .sql("UPDATE tasq_tasks SET until = ?4 WHERE id = ?1 AND run = ?2 AND queue = ?3 AND state = 2")?
            .execute(params![run.id.as_str(), run.number, run.queue.as_str(), stored(self.now.plus(lease))])?;
        Ok(if kept == 1 { Held::Kept } else { Held::Gone })
    }

    /// Writes an end and its effects, or nothing of it where the run is no longer current.
    pub(super) fn settle(&mut self, end: &End) -> Result<Settled> {
        let Some(task) = self.leased(&end.run)? else { return Ok(Settled::Stale) };
        match &end.ending {
            Ending::Done | Ending::Cancelled => {
                self.remove(task.seq)?;
                if let Some(remember) = task.remember {
                    self.bury(&end.run, stored(self.now).saturating_add(remember))?;
                }
                self.news.ended.push(end.run.id.clone());
            }
            Ending::Dead { keep } => {
                self.keep_dead(task.seq, *keep)?;
                self.news.ended.push(end.run.id.clone());
                self.news.grown.insert(end.run.queue.to_string());
            }
            Ending::Retry { after, failed } => {
                self.add_failure(task.seq, failed)?;
                self.wait(task.seq, *after)?;
            }
            Ending::Snooze { after } | Ending::Release { after } => self.wait(task.seq, *after)?,
            Ending::Park => self.park(task.seq)?,
        }
        for effect in &end.effects {
            match effect {
                Effect::Push(message) => drop(self.push(message)?),
                Effect::Record(record) if self.foreign_results => self.post(record)?,
                Effect::Record(record) => self.record(record)?,
                Effect::Arrive { .. } => todo!(),
            }
        }
        Ok(Settled::Applied)
    }

    fn leased(&self, run: &Run) -> Result<Option<Leased>> {
        let mut find =
            self.sql("SELECT seq, remember FROM tasq_tasks WHERE id = ?1 AND run = ?2 AND queue = ?3 AND state = 2")?;
        let found = find.query_row(params![run.id.as_str(), run.number, run.queue.as_str()], |row| {
            Ok(Leased { seq: row.get("seq")?, remember: row.get("remember")? })
        });
        Ok(found.optional()?)
    }

    /// The task leaves the broker.
    pub(super) fn remove(&self, seq: i64) -> Result<()> {
        self.sql("DELETE FROM tasq_tasks WHERE seq = ?1")?.execute([seq])?;
        self.sql("DELETE FROM tasq_envelopes WHERE seq = ?1")?.execute([seq])?;
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

    fn wait(&mut self, seq: i64, after: Duration) -> Result<()> {
        let due_at = self.now.plus(after);
        self.sql(
            "UPDATE tasq_tasks SET state = ?2, due_at = ?3, worker = NULL, since = NULL, until = NULL WHERE seq = ?1",
        )?
        .execute(params![seq, u8::from(due_at > self.now), stored(due_at)])?;
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
        let dead = record.state == State::Dead;
        // One that came in place of an expired one is as new as any: it gets a new place in the order of ending.
        self.sql("DELETE FROM tasq_results WHERE id = ?1 AND (run < ?2 OR expires_at <= ?3)")?.execute(params![
            record.id.as_str(),
            record.run,
            stored(self.now)
        ])?;
        self.sql(
            "INSERT INTO tasq_results (id, queue, handler, state, dead, run, enqueued_at, expires_at, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
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
            &codec::encode_record(record)[..],
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
        self.remove(seq)
    }
}
