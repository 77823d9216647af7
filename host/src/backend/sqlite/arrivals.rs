//! What a task waits for: the results of others.

use rusqlite::{OptionalExtension, params};

use super::rows::{Columns, collect, limit, stored};
use super::turn::Turn;
use crate::broker::{Arrived, UPSTREAM};
use crate::error::Result;
use crate::task::{Name, TaskId};

/// How far a task that waits for several results is.
struct Waiting {
    seq: i64,
    wants: u32,
    arrived: u32,
    bytes: i64,
}

impl Turn<'_> {
    /// A result for a task that waits for several: the first of each index counts. When the last one is there, the task
    /// is due.
    pub(super) fn arrive(&mut self, id: &TaskId, queue: &Name, index: u32, result: &[u8]) -> Result<()> {
        let Some(mut task) = self.waiting(id, queue)?.filter(|task| index < task.wants) else { return Ok(()) };
        let bytes = task.bytes.saturating_add(limit(result.len()));
        let kept = if bytes > limit(UPSTREAM) { &[] } else { result };
        let added = self
            .sql("INSERT INTO tasq_arrivals (task, place, result) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![task.seq, index, kept])?;
        if added == 0 {
            return Ok(());
        }
        if bytes > limit(UPSTREAM) && task.bytes <= limit(UPSTREAM) {
            self.sql("UPDATE tasq_arrivals SET result = x'' WHERE task = ?1")?.execute([task.seq])?;
        }
        (task.arrived, task.bytes) = (task.arrived + 1, bytes);
        self.sql("UPDATE tasq_tasks SET arrived = ?2, arrived_bytes = ?3 WHERE seq = ?1")?.execute(params![
            task.seq,
            task.arrived,
            task.bytes
        ])?;
        if task.arrived == task.wants {
            let due = self
                .sql("UPDATE tasq_tasks SET state = 0, due_at = ?2 WHERE seq = ?1 AND state IN (0, 1)")?
                .execute(params![task.seq, stored(self.now)])?;
            self.news.runnable |= due > 0;
        }
        Ok(())
    }

    fn waiting(&self, id: &TaskId, queue: &Name) -> Result<Option<Waiting>> {
        let mut find = self.sql(
            "SELECT seq, wants, arrived, arrived_bytes FROM tasq_tasks
             WHERE id = ?1 AND queue = ?2 AND wants IS NOT NULL",
        )?;
        let found = find.query_row(params![id.as_str(), queue.as_str()], |row| {
            Ok(Waiting {
                seq: row.get("seq")?,
                wants: row.get("wants")?,
                arrived: row.get("arrived")?,
                bytes: row.get("arrived_bytes")?,
            })
        });
        Ok(found.optional()?)
    }

    /// What has arrived for a task, `bytes` in all.
    pub(super) fn arrived(&self, seq: i64, bytes: i64) -> Result<Arrived> {
        if bytes > limit(UPSTREAM) {
            return Ok(Arrived::TooLarge);
        }
        let mut results = self.sql("SELECT result FROM tasq_arrivals WHERE task = ?1 ORDER BY place")?;
        Ok(Arrived::Whole(collect(results.query([seq])?, |row| row.bytes("result"))?))
    }
}
