//! Cron schedules.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::params;

use super::Sqlite;
use super::link::Kind;
use super::rows::{Columns, collect, stored};
use super::turn::Turn;
use crate::error::Result;
use crate::schedules::{Plan, Plans, Put, Schedules, Tick, Ticked};
use crate::task::{Name, TaskId};

#[async_trait]
impl Schedules for Sqlite {
    async fn put(&self, name: &Name, body: Bytes) -> Result<Put> {
        let name = name.clone();
        self.link.call(Kind::Write, 1, move |turn| turn.put(&name, &body)).await
    }

    async fn list(&self) -> Result<Plans> {
        self.read(|db, now| {
            let mut plans = db.prepare_cached("SELECT name, body, since, last FROM tasq_schedules ORDER BY name")?;
            let plans = collect(plans.query([])?, |row| {
                let last = row.get_ref("last")? != rusqlite::types::ValueRef::Null;
                Ok(Plan {
                    name: row.parsed("name")?,
                    body: row.bytes("body")?,
                    since: row.time("since")?,
                    last: if last { Some(row.parsed("last")?) } else { None },
                })
            })?;
            Ok(Plans { now, plans })
        })
        .await
    }

    async fn remove(&self, name: &Name) -> Result<bool> {
        let name = name.clone();
        let remove = move |turn: &mut Turn<'_>| {
            Ok(turn.sql("DELETE FROM tasq_schedules WHERE name = ?1")?.execute([name.as_str()])? > 0)
        };
        self.link.call(Kind::Write, 1, remove).await
    }

    async fn tick(&self, tick: Tick) -> Result<Ticked> {
        self.link.call(Kind::Write, 1, move |turn| turn.tick(&tick)).await
    }
}

impl Turn<'_> {
    fn put(&mut self, name: &Name, body: &[u8]) -> Result<Put> {
        let put = params![name.as_str(), body, stored(self.now)];
        let changed =
            self.sql("UPDATE tasq_schedules SET body = ?2, since = ?3 WHERE name = ?1 AND body <> ?2")?.execute(put)?;
        let created = self
            .sql("INSERT INTO tasq_schedules (name, body, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(put)?;
        Ok(match (created, changed) {
            (1, _) => Put::Created,
            (_, 0) => Put::Same,
            _ => Put::Changed,
        })
    }

    fn tick(&mut self, tick: &Tick) -> Result<Ticked> {
        let moved = self
            .sql("UPDATE tasq_schedules SET since = ?3 WHERE name = ?1 AND since = ?2 AND since < ?3")?
            .execute(params![tick.name.as_str(), stored(tick.since), stored(tick.at)])?;
        if moved == 0 {
            return Ok(Ticked::Moved);
        }
        if !tick.overlap && self.is_last_unfinished(&tick.name)? {
            return Ok(Ticked::Skipped);
        }
        self.tell_last(&tick.name, &tick.message.id)?;
        self.push(&tick.message)?;
        Ok(Ticked::Pushed)
    }

    fn is_last_unfinished(&self, name: &Name) -> Result<bool> {
        let mut find = self.sql(
            "SELECT 1 FROM tasq_schedules JOIN tasq_tasks ON tasq_tasks.id = last WHERE name = ?1 AND state <> 4",
        )?;
        Ok(find.exists([name.as_str()])?)
    }

    fn tell_last(&self, name: &Name, last: &TaskId) -> Result<()> {
        self.sql("UPDATE tasq_schedules SET last = ?2 WHERE name = ?1")?.execute([name.as_str(), last.as_str()])?;
        Ok(())
    }
}
