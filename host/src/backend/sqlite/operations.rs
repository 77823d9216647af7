//! Looking and reporting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::Sqlite;
use super::error::unreadable;
use super::link::Kind;
use super::rows::{Columns, collect, limit, stored, tracked};
use crate::broker::finding::Finding;
use crate::broker::{Depth, Operations, Standing, WorkerReport};
use crate::error::{Error, Result};
use crate::results::Filter;
use crate::task::{Name, State, TaskId, Timestamp, WorkerId};

const TRACKED: &str = "SELECT * FROM tasq_tasks JOIN tasq_envelopes USING (seq)";

#[async_trait]
impl Operations for Sqlite {
    async fn list(&self, filter: &Filter) -> Result<Vec<Standing>> {
        let filter = filter.clone();
        self.read(move |db, now| list(db, &filter, now)).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<Standing>>> {
        let ids = ids.to_vec();
        self.read(move |db, now| ids.iter().map(|id| standing(db, id, now)).collect()).await
    }

    async fn depths(&self, soon: Duration) -> Result<Vec<Depth>> {
        self.read(move |db, now| depths(db, now, now.plus(soon))).await
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        let worker = worker.clone();
        let announce = move |turn: &mut super::turn::Turn<'_>| {
            turn.locks.hold(&worker.id).map_err(|error| {
                Error::unavailable(format!("the lock of worker {} can't be taken: {error}", worker.id))
            })?;
            // Strings and numbers: nothing in it could fail.
            let report = serde_json::to_string(&worker).expect("a report serialises");
            let until = stored(turn.now.plus(every.saturating_mul(3)));
            turn.sql("INSERT OR REPLACE INTO tasq_workers (id, until, report) VALUES (?1, ?2, ?3)")?
                .execute(params![worker.id.as_str(), until, report])?;
            Ok(())
        };
        self.link.call(Kind::Hold, 1, announce).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<()> {
        let worker = worker.clone();
        self.link.call(Kind::Hold, 1, move |turn| turn.withdraw(&worker)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>> {
        self.read(|db, now| {
            let mut alive = db.prepare_cached("SELECT report FROM tasq_workers WHERE until > ?1 ORDER BY id")?;
            collect(alive.query([stored(now)])?, |row| {
                let report = row.get_ref("report")?.as_str().map_err(|error| unreadable("report", error))?;
                serde_json::from_str(report).map_err(|error| unreadable("report", error))
            })
        })
        .await
    }

    async fn findings(&self) -> Result<Vec<Finding>> {
        Sqlite::findings(self).await
    }
}

/// What is shown as a state, in terms of the columns.
fn is_in(state: State) -> &'static str {
    match state {
        State::Scheduled => "state = 1 AND due_at > :now",
        State::Pending => "(state = 0 OR (state = 1 AND due_at <= :now) OR (state = 3 AND parked = 0))",
        State::Running => "state = 2",
        State::Parked => "state = 3 AND parked = 1",
        // Those have left, or are the results' to list.
        State::Done | State::Dead | State::Cancelled => "0",
    }
}

fn list(db: &Connection, filter: &Filter, now: Timestamp) -> Result<Vec<Standing>> {
    let state = filter.state.map_or("state <> 4", is_in);
    let (time, id) = filter.after.as_ref().map_or((i64::MAX, None), |after| (stored(after.0), Some(after.1.as_str())));
    // The inner part finds the rows without their envelopes: a batch of thousands shares one moment and is sorted.
    let mut find = db.prepare_cached(&format!(
        "{TRACKED} WHERE seq IN (
            SELECT seq FROM tasq_tasks WHERE {state} AND :now = :now
            AND (:queue IS NULL OR queue = :queue) AND (:handler IS NULL OR handler = :handler)
            AND enqueued_at <= :time AND (:id IS NULL OR enqueued_at < :time OR id < :id)
            ORDER BY enqueued_at DESC, id DESC LIMIT :limit)
         ORDER BY enqueued_at DESC, id DESC"
    ))?;
    let rows = find.query(rusqlite::named_params! {
        ":now": stored(now),
        ":queue": filter.queue.as_ref().map(Name::as_str),
        ":handler": filter.handler.as_ref().map(Name::as_str),
        ":time": time,
        ":id": id,
        ":limit": limit(filter.limit),
    })?;
    collect(rows, |row| Ok(Standing::Here(Box::new(tracked(row, now)?))))
}

fn standing(db: &Connection, id: &TaskId, now: Timestamp) -> Result<Option<Standing>> {
    let mut leaving = db.prepare_cached("SELECT record FROM tasq_outbox WHERE id = ?1 ORDER BY number DESC LIMIT 1")?;
    if let Some(row) = leaving.query([id.as_str()])?.next()? {
        return Ok(Some(Standing::Leaving(Arc::new(row.record()?))));
    }
    let mut here = db.prepare_cached(&format!("{TRACKED} WHERE id = ?1 AND NOT (state = 4 AND until <= ?2)"))?;
    let mut rows = here.query(params![id.as_str(), stored(now)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Standing::Here(Box::new(tracked(row, now)?))))
}

/// How the rows of a state are counted, by queue, and where the count is added.
type Count = (&'static str, fn(&mut Depth, &Row<'_>) -> rusqlite::Result<()>);

/// One walk over each state's own index, never over the tasks themselves but for the running ones. `?1` is now, `?2`
/// is soon.
const COUNTS: [Count; 5] = [
    (
        "SELECT queue, count(*) AS number FROM tasq_tasks INDEXED BY tasq_tasks_ready WHERE state = 0 GROUP BY queue",
        |depth, row| add(&mut depth.pending, row, "number"),
    ),
    (
        "SELECT queue, sum(due_at <= ?1) AS due, sum(due_at > ?1) AS later, sum(due_at > ?1 AND due_at <= ?2) AS soon
         FROM tasq_tasks INDEXED BY tasq_tasks_due WHERE state = 1 GROUP BY queue",
        |depth, row| {
            add(&mut depth.pending, row, "due")?;
            add(&mut depth.scheduled, row, "later")?;
            add(&mut depth.soon, row, "soon")
        },
    ),
    (
        "SELECT queue, count(*) AS number FROM tasq_tasks INDEXED BY tasq_tasks_leased WHERE state = 2 GROUP BY queue",
        |depth, row| add(&mut depth.running, row, "number"),
    ),
    (
        "SELECT queue, parked, count(*) AS number FROM tasq_tasks INDEXED BY tasq_tasks_aside WHERE state = 3
         GROUP BY queue, parked",
        |depth, row| add(if row.get("parked")? { &mut depth.parked } else { &mut depth.pending }, row, "number"),
    ),
    (
        "SELECT queue, count(*) AS number FROM tasq_tasks INDEXED BY tasq_tasks_dead WHERE state = 4 GROUP BY queue",
        |depth, row| add(&mut depth.dead, row, "number"),
    ),
];

fn add(to: &mut u64, row: &Row<'_>, column: &str) -> rusqlite::Result<()> {
    *to += row.get::<_, i64>(column)?.cast_unsigned();
    Ok(())
}

fn depths(db: &Connection, now: Timestamp, soon: Timestamp) -> Result<Vec<Depth>> {
    let times = [stored(now), stored(soon)];
    let mut depths = BTreeMap::new();
    for (sql, add) in COUNTS {
        let mut counted = db.prepare_cached(sql)?;
        let used = counted.parameter_count();
        let mut rows = counted.query(rusqlite::params_from_iter(&times[..used]))?;
        while let Some(row) = rows.next()? {
            let queue: Name = row.parsed("queue")?;
            add(depths.entry(queue.clone()).or_insert_with(|| empty(queue)), row)?;
        }
    }
    Ok(depths.into_values().collect())
}

fn empty(queue: Name) -> Depth {
    Depth { queue, scheduled: 0, soon: 0, pending: 0, running: 0, parked: 0, dead: 0 }
}
