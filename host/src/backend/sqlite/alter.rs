//! What people ask of tasks.

use rusqlite::{OptionalExtension, params};

use super::rows::stored;
use super::turn::Turn;
use crate::broker::{Cancel, End, Revive, Unique};
use crate::error::Result;
use crate::task::{Ending, TaskId};

/// A dead letter that is kept.
struct Dead {
    seq: i64,
    /// In which queue it holds which key.
    unique: Option<(String, String)>,
}

impl Turn<'_> {
    /// Ends a task that waits; one that runs is marked.
    pub(super) fn cancel(&mut self, end: &End) -> Result<Cancel> {
        let run = &end.run;
        let mut find = self.sql("SELECT state, run, queue FROM tasq_tasks WHERE id = ?1")?;
        let found = find.query_row([run.id.as_str()], |row| {
            let (state, number, queue): (u8, u32, String) = (row.get("state")?, row.get("run")?, row.get("queue")?);
            Ok((state, number == run.number && queue == run.queue.as_str()))
        });
        let found = found.optional()?;
        drop(find);
        match found {
            None | Some((4, _)) => Ok(Cancel::Gone),
            Some((_, false)) => Ok(Cancel::Moved),
            Some((2, true)) => {
                self.sql("UPDATE tasq_tasks SET cancelled = 1 WHERE id = ?1")?.execute([run.id.as_str()])?;
                self.news.cancelled.push(run.id.clone());
                Ok(Cancel::Asked)
            }
            Some(_) => {
                let task = self.slot(run)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                match end.ending {
                    Ending::Dead { keep, .. } => self.die(run, &task, keep)?,
                    _ => self.leave(run, &task)?,
                }
                self.apply(&end.effects)?;
                Ok(Cancel::Done)
            }
        }
    }

    /// A dead letter is due again, as if it had never run.
    pub(super) fn revive(&mut self, id: &TaskId) -> Result<Revive> {
        let Some(dead) = self.dead(id)? else { return Ok(Revive::NotDead) };
        if let Some((queue, key)) = dead.unique {
            let queue = queue.parse().map_err(|error| super::error::unreadable("queue", error))?;
            if let Some(holder) = self.holder(&queue, &key)? {
                return Ok(Revive::Held(holder));
            }
            self.take_key(&queue, &Unique { key, hold: None }, id)?;
        }
        self.sql(
            "UPDATE tasq_tasks SET state = 0, failed = 0, lost = 0, cancelled = 0, due_at = ?2, since = NULL, until = NULL
             WHERE seq = ?1",
        )?
        .execute(params![dead.seq, stored(self.now)])?;
        self.news.runnable = true;
        Ok(Revive::Done)
    }

    /// Drops a dead letter; whether it was there.
    pub(super) fn remove(&mut self, id: &TaskId) -> Result<bool> {
        let Some(dead) = self.dead(id)? else { return Ok(false) };
        self.drop_dead_letter(dead.seq)?;
        Ok(true)
    }

    fn dead(&self, id: &TaskId) -> Result<Option<Dead>> {
        let mut find =
            self.sql("SELECT seq, queue, holds FROM tasq_tasks WHERE id = ?1 AND state = 4 AND until > ?2")?;
        let found = find.query_row(params![id.as_str(), stored(self.now)], |row| {
            let (queue, holds) = (row.get("queue")?, row.get::<_, Option<String>>("holds")?);
            Ok(Dead { seq: row.get("seq")?, unique: holds.map(|key| (queue, key)) })
        });
        Ok(found.optional()?)
    }
}
