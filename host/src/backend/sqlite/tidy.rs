//! What time does: leases run out, and what was kept long enough, or is too much, is dropped. All of it in chunks.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Columns, collect, limit, stored};
use super::turn::{CHUNK, Turn};
use crate::broker::loss_delay;
use crate::error::Result;
use crate::results::{KEEP_DEAD, KEEP_DONE};
use crate::task::{TaskId, Timestamp, WorkerId};

/// What a tidying left for the next.
#[derive(Default)]
pub(super) struct Rest {
    /// There is more to drop.
    pub(super) more: bool,
    /// Queues that are still over a cap.
    pub(super) grown: HashSet<String>,
}

/// A row that is leased.
struct Lease {
    seq: i64,
    lost: u32,
    cancelled: bool,
    until: Timestamp,
}

/// The workers that hold leases, found by leaping over the index.
pub(super) fn lease_holders(db: &Connection) -> Result<Vec<String>> {
    let mut next = db.prepare_cached(
        "SELECT worker FROM tasq_tasks INDEXED BY tasq_tasks_leased WHERE state = 2 AND worker > ?1
         ORDER BY worker LIMIT 1",
    )?;
    let mut holders: Vec<String> = Vec::new();
    loop {
        let last = holders.last().map_or("", String::as_str);
        match next.query_row([last], |row| row.get(0)).optional()? {
            Some(worker) => holders.push(worker),
            None => return Ok(holders),
        }
    }
}

/// Running tasks that are to be cancelled.
pub(super) fn cancelled(db: &Connection) -> Result<HashSet<TaskId>> {
    let mut marked = db.prepare_cached(
        "SELECT id FROM tasq_tasks INDEXED BY tasq_tasks_cancelled WHERE state = 2 AND cancelled = 1",
    )?;
    Ok(collect(marked.query([])?, |row| row.parsed("id"))?.into_iter().collect())
}

/// Whether a worker holds a lease that hasn't run out.
pub(super) fn holds_lease(db: &Connection, worker: &str, now: Timestamp) -> Result<bool> {
    let mut find = db.prepare_cached(
        "SELECT 1 FROM tasq_tasks INDEXED BY tasq_tasks_leased WHERE state = 2 AND worker = ?1 AND until > ?2 LIMIT 1",
    )?;
    Ok(find.exists(params![worker, stored(now)])?)
}

/// The queues that have results or dead letters.
pub(super) fn queues_with_ended(db: &Connection) -> Result<HashSet<String>> {
    let mut queues = HashSet::new();
    for next in [
        "SELECT queue FROM tasq_records INDEXED BY tasq_results_queue WHERE queue > ?1 ORDER BY queue LIMIT 1",
        "SELECT queue FROM tasq_tasks INDEXED BY tasq_tasks_dead WHERE state = 4 AND queue > ?1
         ORDER BY queue LIMIT 1",
    ] {
        let mut next = db.prepare(next)?;
        let mut last = String::new();
        while let Some(queue) = next.query_row([&last], |row| row.get::<_, String>(0)).optional()? {
            queues.insert(queue.clone());
            last = queue;
        }
    }
    Ok(queues)
}

impl Turn<'_> {
    /// Takes back leases that ran out: how many, at most [`CHUNK`], and when the next one does.
    pub(super) fn take_back(&mut self) -> Result<(usize, Option<Timestamp>)> {
        let (mut taken, mut next) = (0, None);
        for worker in lease_holders(self.db)? {
            let mut leases = self.leases_of(&worker, CHUNK - taken, self.now)?;
            let end = self.leases_of(&worker, 1, Timestamp(u64::MAX))?.into_iter().map(|lease| lease.until);
            next = next.into_iter().chain(end).min();
            taken += leases.len();
            leases.drain(..).try_for_each(|lease| self.lose(&lease))?;
        }
        Ok((taken, next))
    }

    /// A worker is gone: its leases run out now, at most [`CHUNK`] a call. Whoever reserves next takes them back. How
    /// many there were.
    pub(super) fn end_leases_of(&mut self, worker: &str) -> Result<usize> {
        self.sql("DELETE FROM tasq_workers WHERE id = ?1")?.execute([worker])?;
        let ended = self
            .sql(
                "UPDATE tasq_tasks SET until = ?2 WHERE seq IN (
                    SELECT seq FROM tasq_tasks INDEXED BY tasq_tasks_leased
                    WHERE state = 2 AND worker = ?1 AND until > ?2 LIMIT ?3)",
            )?
            .execute(params![worker, stored(self.now), limit(CHUNK)])?;
        self.news.runnable |= ended > 0;
        Ok(ended)
    }

    /// A worker has left.
    pub(super) fn withdraw(&mut self, worker: &WorkerId) -> Result<()> {
        while self.end_leases_of(worker.as_str())? == CHUNK {}
        self.locks.release(worker);
        Ok(())
    }

    fn leases_of(&self, worker: &str, most: usize, until: Timestamp) -> Result<Vec<Lease>> {
        let mut leases = self.sql(
            "SELECT seq, lost, cancelled, until FROM tasq_tasks INDEXED BY tasq_tasks_leased
             WHERE state = 2 AND worker = ?1 AND until <= ?2 ORDER BY until LIMIT ?3",
        )?;
        let rows = leases.query(params![worker, stored(until), limit(most)])?;
        collect(rows, |row| {
            let (seq, cancelled) = (row.get("seq")?, row.get("cancelled")?);
            Ok(Lease { seq, lost: row.number("lost")?, cancelled, until: row.time("until")? })
        })
    }

    /// The loss is counted, and the task comes back later; one that is to be cancelled at once, for it isn't run again.
    fn lose(&mut self, lease: &Lease) -> Result<()> {
        let lost = lease.lost.saturating_add(1);
        let due_at = if lease.cancelled { self.now } else { self.now.plus(loss_delay(lost)) };
        self.sql(
            "UPDATE tasq_tasks SET state = ?2, lost = ?3, due_at = ?4, worker = NULL, since = NULL, until = NULL
             WHERE seq = ?1",
        )?
        .execute(params![lease.seq, u8::from(due_at > self.now), lost, stored(due_at)])?;
        self.news.runnable = true;
        Ok(())
    }

    /// Drops what was kept long enough, and in the queues that have `grown` what is too much.
    pub(super) fn tidy(&mut self, grown: &HashSet<String>) -> Result<Rest> {
        let mut rest = Rest { more: self.drop_expired()?, grown: HashSet::new() };
        for queue in grown {
            let over = [
                self.drop_surplus_results(queue, false, KEEP_DONE)?,
                self.drop_surplus_results(queue, true, KEEP_DEAD)?,
                self.drop_surplus_dead(queue)?,
            ];
            if over.contains(&true) {
                rest.more = true;
                rest.grown.insert(queue.clone());
            }
        }
        Ok(rest)
    }

    fn drop_expired(&mut self) -> Result<bool> {
        let mut more = false;
        for expired in [
            "DELETE FROM tasq_records WHERE seq IN (
                SELECT seq FROM tasq_records INDEXED BY tasq_results_expires
                WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
            "DELETE FROM tasq_tombstones WHERE id IN (
                SELECT id FROM tasq_tombstones INDEXED BY tasq_tombstones_until
                WHERE until <= ?1 ORDER BY until LIMIT ?2)",
            "DELETE FROM tasq_uniques WHERE (queue, key) IN (
                SELECT queue, key FROM tasq_uniques INDEXED BY tasq_uniques_until
                WHERE until <= ?1 ORDER BY until LIMIT ?2)",
            "DELETE FROM tasq_workers WHERE id IN (SELECT id FROM tasq_workers WHERE until <= ?1 LIMIT ?2)",
        ] {
            more |= self.sql(expired)?.execute(params![stored(self.now), limit(CHUNK)])? == CHUNK;
        }
        let mut dead = self.sql(
            "SELECT seq FROM tasq_tasks INDEXED BY tasq_tasks_kept WHERE state = 4 AND until <= ?1
             ORDER BY until LIMIT ?2",
        )?;
        let dead = collect(dead.query(params![stored(self.now), limit(CHUNK)])?, |row| Ok(row.get("seq")?))?;
        dead.iter().try_for_each(|&seq| self.drop_dead_letter(seq))?;
        Ok(more || dead.len() == CHUNK)
    }

    fn drop_surplus_results(&self, queue: &str, dead: bool, most: usize) -> Result<bool> {
        let dropped = self
            .sql(
                "DELETE FROM tasq_records WHERE seq IN (
                    SELECT seq FROM tasq_records INDEXED BY tasq_results_queue
                    WHERE queue = ?1 AND dead = ?2 AND seq <= (
                        SELECT seq FROM tasq_records INDEXED BY tasq_results_queue
                        WHERE queue = ?1 AND dead = ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3)
                    ORDER BY seq LIMIT ?4)",
            )?
            .execute(params![queue, dead, limit(most), limit(CHUNK)])?;
        Ok(dropped == CHUNK)
    }

    fn drop_surplus_dead(&self, queue: &str) -> Result<bool> {
        let mut surplus = self.sql(
            "SELECT seq FROM tasq_tasks INDEXED BY tasq_tasks_dead
             WHERE state = 4 AND queue = ?1 ORDER BY since DESC, seq DESC LIMIT ?2 OFFSET ?3",
        )?;
        let rows = surplus.query(params![queue, limit(CHUNK), limit(KEEP_DEAD)])?;
        let surplus = collect(rows, |row| Ok(row.get("seq")?))?;
        surplus.iter().try_for_each(|&seq| self.drop_dead_letter(seq))?;
        Ok(surplus.len() == CHUNK)
    }
}
