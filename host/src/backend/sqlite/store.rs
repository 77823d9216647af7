//! What handlers keep.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::link::Kind;
use super::rows::{Columns, collect, limit, stored};
use super::turn::Turn;
use crate::error::Result;
use crate::store::{BYTES, KEYS, Op, Store, Stored, added};
use crate::task::{Name, Timestamp};

#[async_trait]
impl Store for Sqlite {
    async fn apply(&self, owner: &Name, key: &str, op: Op) -> Result<Stored> {
        let (owner, key) = (owner.clone(), key.to_owned());
        if op == Op::Get {
            // Doesn't wait for the writer.
            return self.read(move |db, now| Ok(Stored::Value(value(db, &owner, &key, now)?))).await;
        }
        self.link.call(Kind::Write, 1, move |turn| turn.store(&owner, &key, op)).await
    }
}

/// What a key is to hold, and until when.
struct Write {
    value: Bytes,
    ttl: Option<Duration>,
    /// Without a `ttl` the present expiry stays.
    keeps: bool,
}

impl Turn<'_> {
    fn store(&mut self, owner: &Name, key: &str, op: Op) -> Result<Stored> {
        // What is over is gone, with its expiry.
        self.sql("DELETE FROM tasq_store WHERE owner = ?1 AND key = ?2 AND until <= ?3")?.execute(params![
            owner.as_str(),
            key,
            stored(self.now)
        ])?;
        let present = value(self.db, owner, key, self.now)?;
        let (write, answer) = match op {
            Op::Get => return Ok(Stored::Value(present)),
            Op::Remove => {
                self.sql("DELETE FROM tasq_store WHERE owner = ?1 AND key = ?2")?.execute([owner.as_str(), key])?;
                return Ok(Stored::Done);
            }
            Op::Put { value, ttl } => (Write { value, ttl, keeps: false }, Stored::Done),
            Op::Replace { expected, value, ttl } => {
                if expected != present {
                    return Ok(Stored::Replaced(false));
                }
                (Write { value, ttl, keeps: true }, Stored::Replaced(true))
            }
            Op::Increment { by, ttl } => {
                let Some(sum) = added(present.as_deref(), by) else { return Ok(Stored::NotANumber) };
                (Write { value: sum.to_string().into(), ttl, keeps: true }, Stored::Number(sum))
            }
        };
        let gone = present.map(|value| key.len() + value.len());
        if !self.has_room(owner, gone, key.len() + write.value.len())? {
            self.sql("DELETE FROM tasq_store WHERE owner = ?1 AND until <= ?2")?
                .execute(params![owner.as_str(), stored(self.now)])?;
            if !self.has_room(owner, gone, key.len() + write.value.len())? {
                return Ok(Stored::Full);
            }
        }
        self.write(owner, key, &write)?;
        Ok(answer)
    }

    /// Whether an owner may keep so many bytes more in place of what is `gone`.
    fn has_room(&self, owner: &Name, gone: Option<usize>, more: usize) -> Result<bool> {
        let mut usage = self.sql("SELECT keys, bytes FROM tasq_store_usage WHERE owner = ?1")?;
        let usage = usage.query_row([owner.as_str()], |row| Ok((row.get("keys")?, row.get("bytes")?)));
        let (keys, bytes): (i64, i64) = usage.optional()?.unwrap_or((0, 0));
        let bytes = bytes.saturating_sub(limit(gone.unwrap_or(0))).saturating_add(limit(more));
        Ok(keys + i64::from(gone.is_none()) <= limit(KEYS) && bytes <= limit(BYTES))
    }

    fn write(&self, owner: &Name, key: &str, write: &Write) -> Result<()> {
        let until = write.ttl.map(|ttl| stored(self.now.plus(ttl)));
        self.sql(
            "INSERT INTO tasq_store (owner, key, value, until) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (owner, key) DO UPDATE SET value = ?3, until = CASE WHEN ?5 THEN ifnull(?4, until) ELSE ?4 END",
        )?
        .execute(params![owner.as_str(), key, &write.value[..], until, write.keeps])?;
        Ok(())
    }
}

fn value(db: &Connection, owner: &Name, key: &str, now: Timestamp) -> Result<Option<Bytes>> {
    let mut find = db.prepare_cached(
        "SELECT value FROM tasq_store WHERE owner = ?1 AND key = ?2 AND (until IS NULL OR until > ?3)",
    )?;
    let found = find.query(params![owner.as_str(), key, stored(now)])?;
    Ok(collect(found, |row| row.bytes("value"))?.into_iter().next())
}
