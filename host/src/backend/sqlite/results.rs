//! Ended tasks.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::Sqlite;
use super::link::Kind;
use super::rows::{Columns, collect, limit, stored};
use super::turn::Turn;
use crate::error::Result;
use crate::results::{Filter, Record, Results};
use crate::task::{Name, State, TaskId, Timestamp};

#[async_trait]
impl Results for Sqlite {
    async fn record(&self, records: Vec<Record>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let rows = records.len();
        self.link.call(Kind::Write, rows, move |turn| records.iter().try_for_each(|record| turn.record(record))).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Record>>> {
        let ids = ids.to_vec();
        self.read(move |db, now| {
            let mut find = db.prepare_cached("SELECT record FROM tasq_results WHERE id = ?1 AND expires_at > ?2")?;
            let one = |id: &TaskId| {
                let found = find.query_row(params![id.as_str(), stored(now)], |row| Ok(row.record()));
                found.optional()?.transpose()
            };
            ids.iter().map(one).collect()
        })
        .await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Record>> {
        let filter = filter.clone();
        self.read(move |db, now| list(db, &filter, now)).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let (ids, rows) = (ids.to_vec(), ids.len());
        let delete = move |turn: &mut Turn<'_>| {
            let mut delete = turn.sql("DELETE FROM tasq_results WHERE id = ?1 RETURNING expires_at > ?2")?;
            let mut there = 0;
            for id in ids {
                let deleted = collect(delete.query(params![id.as_str(), stored(turn.now)])?, |row| Ok(row.get(0)?))?;
                there += deleted.into_iter().filter(|&alive: &bool| alive).count() as u64;
            }
            Ok(there)
        };
        self.link.call(Kind::Write, rows, delete).await
    }
}

fn list(db: &Connection, filter: &Filter, now: Timestamp) -> Result<Vec<Record>> {
    let (time, id) = filter.after.as_ref().map_or((i64::MAX, None), |after| (stored(after.0), Some(after.1.as_str())));
    // The inner part finds the rows without their records: a batch of thousands shares one moment and is sorted.
    let mut find = db.prepare_cached(
        "SELECT record FROM tasq_results WHERE seq IN (
            SELECT seq FROM tasq_results WHERE expires_at > :now
            AND (:state IS NULL OR state = :state)
            AND (:queue IS NULL OR queue = :queue) AND (:handler IS NULL OR handler = :handler)
            AND enqueued_at <= :time AND (:id IS NULL OR enqueued_at < :time OR id < :id)
            ORDER BY enqueued_at DESC, id DESC LIMIT :limit)
         ORDER BY enqueued_at DESC, id DESC",
    )?;
    let rows = find.query(named_params! {
        ":now": stored(now),
        ":state": filter.state.map(State::as_str),
        ":queue": filter.queue.as_ref().map(Name::as_str),
        ":handler": filter.handler.as_ref().map(Name::as_str),
        ":time": time,
        ":id": id,
        ":limit": limit(filter.limit),
    })?;
    collect(rows, |row| row.record())
}
