//! Who holds which unique key.

use rusqlite::params;

use super::rows::{Columns, collect, stored};
use super::turn::Turn;
use crate::broker::Unique;
use crate::error::Result;
use crate::task::{Name, TaskId};

impl Turn<'_> {
    /// The task that holds a key now.
    pub(super) fn holder(&self, queue: &Name, key: &str) -> Result<Option<TaskId>> {
        let mut find =
            self.sql("SELECT id FROM tasq_uniques WHERE queue = ?1 AND key = ?2 AND (until IS NULL OR until > ?3)")?;
        let found = find.query(params![queue.as_str(), key, stored(self.now)])?;
        collect(found, |row| row.parsed("id")).map(|holders| holders.into_iter().next())
    }

    /// The key is free, or its time is over.
    pub(super) fn take_key(&self, queue: &Name, unique: &Unique, id: &TaskId) -> Result<()> {
        let until = unique.hold.map(|hold| stored(self.now.plus(hold)));
        self.sql("INSERT OR REPLACE INTO tasq_uniques (queue, key, id, until) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![queue.as_str(), unique.key, id.as_str(), until])?;
        Ok(())
    }

    /// The task has ended: its key is free, unless it is held for a time.
    pub(super) fn release_key(&self, queue: &Name, key: &str, id: &TaskId) -> Result<()> {
        self.sql("DELETE FROM tasq_uniques WHERE queue = ?1 AND key = ?2 AND id = ?3 AND until IS NULL")?
            .execute(params![queue.as_str(), key, id.as_str()])?;
        Ok(())
    }
}
