//! Ended tasks.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use super::link::Kind;
use super::listed::{Source, newest};
use super::rows::{Columns, collect, stored};
use super::turn::Turn;
use crate::error::Result;
use crate::results::{Filter, Record, Results};
use crate::task::{State, TaskId, Timestamp};

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
            let mut find =
                db.prepare_cached("SELECT record, result FROM tasq_records WHERE id = ?1 AND expires_at > ?2")?;
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

    async fn tell(&self, _records: &[Arc<Record>]) -> Result<()> {
        // The view `tasq_results` shows them as they are.
        Ok(())
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let (ids, rows) = (ids.to_vec(), ids.len());
        let delete = move |turn: &mut Turn<'_>| {
            let mut delete = turn.sql("DELETE FROM tasq_records WHERE id = ?1 RETURNING expires_at > ?2")?;
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

const DONE: Source = ended("state = 'done'");
const DEAD: Source = ended("state = 'dead'");
const CANCELLED: Source = ended("state = 'cancelled'");

const fn ended(part: &'static str) -> Source {
    let (table, index) = ("tasq_records", "tasq_results_listed");
    Source { table, index, part, only: "expires_at > :now", by_handler: true }
}

fn list(db: &Connection, filter: &Filter, now: Timestamp) -> Result<Vec<Record>> {
    let sources: &[Source] = match filter.state {
        None => &[DONE, DEAD, CANCELLED],
        Some(State::Done) => &[DONE],
        Some(State::Dead) => &[DEAD],
        Some(State::Cancelled) => &[CANCELLED],
        // Those haven't ended.
        Some(State::Scheduled | State::Pending | State::Running | State::Parked) => &[],
    };
    let mut find = db.prepare_cached("SELECT record, result FROM tasq_records WHERE seq = ?1")?;
    let mut one = |seq| find.query_row([seq], |row| Ok(row.record()))?;
    newest(db, sources, filter, now)?.into_iter().map(&mut one).collect()
}
