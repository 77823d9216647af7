//! Tasks coming in.

use rusqlite::{OptionalExtension, params};

use super::rows::{stored, stored_span};
use super::turn::Turn;
use crate::broker::{Due, Message, Pushed};
use crate::error::Result;
use crate::task::{TaskId, Timestamp};

impl Turn<'_> {
    /// Accepts a task unless its id or its unique key is taken.
    pub(super) fn push(&mut self, message: &Message) -> Result<Pushed> {
        let (id, unique) = (&message.id, message.unique.as_ref());
        let not_created = |holder: &TaskId| Ok(Pushed { id: holder.clone(), created: false });
        if self.is_buried(id)? {
            return not_created(id);
        }
        if let Some(unique) = unique {
            // The id comes first: else a producer who tries again would hear of another task than its own.
            if self.is_held(id)? {
                return not_created(id);
            }
            if let Some(holder) = self.holder(&message.queue, &unique.key)? {
                return not_created(&holder);
            }
        }
        let created = self.insert(message)? || self.replace_forgotten(message)?;
        if let Some(unique) = unique.filter(|_| created) {
            self.take_key(&message.queue, unique, id)?;
        }
        self.news.runnable |= created;
        Ok(Pushed { id: id.clone(), created })
    }

    fn is_buried(&self, id: &TaskId) -> Result<bool> {
        let mut look = self.sql("SELECT 1 FROM tasq_tombstones WHERE id = ?1 AND until > ?2")?;
        Ok(look.exists(params![id.as_str(), stored(self.now)])?)
    }

    /// Whether a task has the id, or its tombstone, once a dead letter whose time is over has been dropped.
    fn is_held(&self, id: &TaskId) -> Result<bool> {
        self.drop_forgotten(id)?;
        let mut look = self.sql("SELECT 1 FROM tasq_tasks WHERE id = ?1")?;
        Ok(look.exists([id.as_str()])? || self.is_buried(id)?)
    }

    /// False where a task has the id.
    fn insert(&self, message: &Message) -> Result<bool> {
        let (due_at, wants) = match message.due {
            Due::Now => (self.now, None),
            Due::After(span) => (self.now.plus(span), None),
            Due::At(time) => (time.max(self.now), None),
            Due::Arrivals(wants) => (Timestamp::NEVER, Some(wants)),
        };
        let holds = message.unique.as_ref().filter(|unique| unique.hold.is_none());
        let inserted = self
            .sql(
                "INSERT INTO tasq_tasks
                    (id, queue, handler, priority, format, state, enqueued_at, due_at, remember, holds, wants)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO NOTHING",
            )?
            .execute(params![
                message.id.as_str(),
                message.queue.as_str(),
                message.handler.as_str(),
                message.priority as u8,
                message.format,
                u8::from(due_at > self.now),
                stored(self.now),
                stored(due_at),
                message.remember.map(stored_span),
                holds.map(|unique| unique.key.as_str()),
                wants,
            ])?;
        if inserted == 1 {
            self.sql("INSERT INTO tasq_envelopes (seq, envelope) VALUES (last_insert_rowid(), ?1)")?
                .execute([&message.envelope[..]])?;
        }
        Ok(inserted == 1)
    }

    fn replace_forgotten(&self, message: &Message) -> Result<bool> {
        Ok(self.drop_forgotten(&message.id)? && !self.is_buried(&message.id)? && self.insert(message)?)
    }

    /// A dead letter whose time is over holds its id no longer than its tombstone would, though nobody has dropped it
    /// yet. Whether there was one.
    fn drop_forgotten(&self, id: &TaskId) -> Result<bool> {
        let mut find = self.sql("SELECT seq FROM tasq_tasks WHERE id = ?1 AND state = 4 AND until <= ?2")?;
        let forgotten = find.query_row(params![id.as_str(), stored(self.now)], |row| row.get(0)).optional()?;
        forgotten.map_or(Ok(()), |seq| self.drop_dead_letter(seq))?;
        Ok(forgotten.is_some())
    }
}
