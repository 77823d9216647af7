//! Looking and reporting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::Sqlite;
use super::error::unreadable;
use super::limits::all_settings;
use super::link::Kind;
use super::listed::{Source, newest};
use super::rows::{Columns, collect, limit, stored, tracked};
use super::turn::Turn;
use crate::broker::finding::Finding;
use crate::broker::{Cancel, Depth, End, Operations, Revive, Setting, Settings, Standing, WorkerReport};
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

    async fn cancel(&self, ends: Vec<End>) -> Result<Vec<Cancel>> {
        self.alter(ends, |turn, end| turn.cancel(end)).await
    }

    async fn revive(&self, ids: &[TaskId]) -> Result<Vec<Revive>> {
        self.alter(ids.to_vec(), |turn, id| turn.revive(id)).await
    }

    async fn remove(&self, ids: &[TaskId]) -> Result<u64> {
        let removed = self.alter(ids.to_vec(), |turn, id| turn.remove(id)).await?;
        Ok(removed.into_iter().filter(|&removed| removed).count() as u64)
    }

    async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        let (queue, settings) = (queue.clone(), settings.to_vec());
        self.link.call(Kind::Write, 1, move |turn| turn.configure(&queue, &settings)).await
    }

    async fn announce(&self, worker: &WorkerReport, every: Duration) -> Result<()> {
        let worker = worker.clone();
        let announce = move |turn: &mut Turn<'_>| {
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

impl Sqlite {
    /// Does the same to each in one transaction.
    async fn alter<T, A>(&self, all: Vec<T>, alter: fn(&mut Turn<'_>, &T) -> Result<A>) -> Result<Vec<A>>
    where
        T: Send + 'static,
        A: Send + 'static,
    {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let rows = all.len();
        self.link.call(Kind::Write, rows, move |turn| all.iter().map(|one| alter(turn, one)).collect()).await
    }
}

const READY: Source = waiting("state IN (0, 1, 3) AND state = 0", "1");
const TIMED: Source = waiting("state IN (0, 1, 3) AND state = 1", "1");
const DUE: Source = waiting("state IN (0, 1, 3) AND state = 1", "due_at <= :now");
const LATER: Source = waiting("state IN (0, 1, 3) AND state = 1", "due_at > :now");
const NO_ROOM: Source = waiting("state IN (0, 1, 3) AND state = 3", "parked = 0");
const NO_HANDLER: Source = waiting("state IN (0, 1, 3) AND state = 3", "parked = 1");
const LEASED: Source =
    Source { table: "tasq_tasks", index: "tasq_tasks_leased", part: "state = 2", only: "1", by_handler: false };
/// Those that nobody has promoted yet, sorted.
const FEW_DUE: Source = Source { index: "tasq_tasks_due", part: "state = 1 AND due_at <= :now", ..LEASED };
/// So many are sorted rather than walked to, past all that is due later.
const FEW: usize = 1_000;

const fn waiting(part: &'static str, only: &'static str) -> Source {
    Source { table: "tasq_tasks", index: "tasq_tasks_listed", part, only, by_handler: true }
}

/// Where tasks of a state are found.
fn sources(db: &Connection, state: Option<State>, now: Timestamp) -> Result<Vec<Source>> {
    Ok(match state {
        None => vec![READY, TIMED, NO_ROOM, NO_HANDLER, LEASED],
        Some(State::Scheduled) => vec![LATER],
        Some(State::Pending) => vec![READY, if is_much_due(db, now)? { DUE } else { FEW_DUE }, NO_ROOM],
        Some(State::Running) => vec![LEASED],
        Some(State::Parked) => vec![NO_HANDLER],
        // Those have left, or are the results' to list.
        Some(State::Done | State::Dead | State::Cancelled) => Vec::new(),
    })
}

fn is_much_due(db: &Connection, now: Timestamp) -> Result<bool> {
    let mut last = db.prepare_cached(
        "SELECT 1 FROM tasq_tasks INDEXED BY tasq_tasks_due WHERE state = 1 AND due_at <= ?1 LIMIT 1 OFFSET ?2",
    )?;
    Ok(last.exists(params![stored(now), limit(FEW)])?)
}

fn list(db: &Connection, filter: &Filter, now: Timestamp) -> Result<Vec<Standing>> {
    let mut find = db.prepare_cached(&format!("{TRACKED} WHERE seq = ?1"))?;
    let mut one = |seq| Ok(Standing::Here(Box::new(find.query_row([seq], |row| Ok(tracked(row, now)))??)));
    newest(db, &sources(db, filter.state, now)?, filter, now)?.into_iter().map(&mut one).collect()
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

/// One walk over each state's own index, never over the tasks themselves. `?1` is now, `?2` is soon.
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
    let known = all_settings(db)?.into_iter();
    let mut depths: BTreeMap<Name, Depth> =
        known.map(|(queue, settings)| (queue.clone(), Depth { settings, ..empty(queue) })).collect();
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
    Depth { queue, scheduled: 0, soon: 0, pending: 0, running: 0, parked: 0, dead: 0, settings: Settings::default() }
}
