//! One transaction of the writer, as a job sees it.

use std::collections::HashSet;

use rusqlite::{CachedStatement, Connection};

use super::alive::Locks;
use super::limits::Limits;
use crate::error::Result;
use crate::task::{TaskId, Timestamp};

/// At most so many rows are moved, promoted or dropped by one call.
pub(super) const CHUNK: usize = 1_000;

/// The transaction under way and what jobs need beside it.
pub(super) struct Turn<'a> {
    pub(super) db: &'a Connection,
    /// The same for all jobs of a transaction.
    pub(super) now: Timestamp,
    /// Records go to the outbox instead of this file's results.
    pub(super) foreign_results: bool,
    pub(super) locks: &'a mut Locks,
    pub(super) limits: &'a mut Limits,
    pub(super) dice: &'a mut Dice,
    pub(super) news: News,
}

/// What to tell after the commit. Telling of a job that was rolled back does no harm: news are hints.
#[derive(Default)]
pub(super) struct News {
    /// Something can run now, or is due at another time than before.
    pub(super) runnable: bool,
    /// These have ended.
    pub(super) ended: Vec<TaskId>,
    /// These run, and are to be cancelled.
    pub(super) cancelled: Vec<TaskId>,
    /// Queues whose results or dead letters have grown.
    pub(super) grown: HashSet<String>,
}

impl Turn<'_> {
    /// Runs `work` so that its failure undoes its own changes only.
    pub(super) fn apart<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.sql("SAVEPOINT job")?.execute([])?;
        let result = work(self);
        // A full disk, for one, has SQLite roll back everything by itself.
        if result.is_err() && !self.db.is_autocommit() {
            self.sql("ROLLBACK TO job")?.execute([])?;
        }
        if !self.db.is_autocommit() {
            self.sql("RELEASE job")?.execute([])?;
        }
        result
    }

    /// The statement, compiled once per connection.
    pub(super) fn sql(&self, text: &str) -> Result<CachedStatement<'_>> {
        Ok(self.db.prepare_cached(text)?)
    }
}

/// Throws that are spread more evenly than random ones: shares come out right over a few calls, not only over many.
pub(super) struct Dice {
    queues: f64,
    priorities: f64,
}

impl Dice {
    pub(super) fn new() -> Dice {
        Dice { queues: 0.0, priorities: 0.0 }
    }

    /// Steps of the golden ratio.
    pub(super) fn queues(&mut self) -> f64 {
        self.queues = (self.queues + 0.618_033_988_749_894_9).fract();
        self.queues
    }

    /// Steps that have nothing to do with those of the queues: else a queue would always get the same priority.
    pub(super) fn priorities(&mut self) -> f64 {
        self.priorities = (self.priorities + std::f64::consts::SQRT_2).fract();
        self.priorities
    }
}
