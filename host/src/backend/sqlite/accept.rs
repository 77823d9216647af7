//! Tasks coming in.

use rusqlite::{OptionalExtension, params};

use super::rows::{stored, stored_span};
use super::turn::Turn;
use crate::broker::{Due, Message, Pushed};
use crate::error::Result;

impl Turn<'_> {
    /// Accepts a task unless its id is taken.
    pub(super) fn push(&mut self, message: &Message) -> Result<Pushed> {
        let created = !self.is_buried(message)? && (self.insert(message)? || self.replace_forgotten(message)?);
        self.news.runnable |= created;
        Ok(Pushed { id: message.id.clone(), created })
    }

    fn is_buried(&self, message: &Message) -> Result<bool> {
        let mut look = self.sql("SELECT 1 FROM tasq_tombstones WHERE id = ?1 AND until > ?2")?;
        Ok(look.exists(params![message.id.as_str(), stored(self.now)])?)
    }

    /// False where a task has the id.
    fn insert(&self, message: &Message) -> Result<bool> {
        let due_at = match message.due {
            Due::Now => self.now,
            Due::After(span) => self.now.plus(span),
            Due::At(time) => time.max(self.now),
            Due::Arrivals(_) => todo!(),
        };
        let inserted = self
            .sql(
                "INSERT INTO tasq_tasks (id, queue, handler, priority, format, state, enqueued_at, due_at, remember)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
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
            ])?;
        if inserted == 1 {
            self.sql("INSERT INTO tasq_envelopes (seq, envelope) VALUES (last_insert_rowid(), ?1)")?
                .execute([&message.envelope[..]])?;
        }
        Ok(inserted == 1)
    }

    /// A dead letter whose time is over holds its id no longer than its tombstone would, though nobody has dropped it
    /// yet.
    fn replace_forgotten(&mut self, message: &Message) -> Result<bool> {
        let mut find = self.sql("SELECT seq FROM tasq_tasks WHERE id = ?1 AND state = 4 AND until <= ?2")?;
        let forgotten = find.query_row(params![message.id.as_str(), stored(self.now)], |row| row.get(0)).optional()?;
        drop(find);
        let Some(seq) = forgotten else { return Ok(false) };
        self.drop_dead_letter(seq)?;
        Ok(!self.is_buried(message)? && self.insert(message)?)
    }
}
