//! Tasks going out: what has run out comes back, what waits aside goes first, then what is due.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use super::limits::Allowed;
use super::rows::{Columns, collect, limit, stored};
use super::turn::{CHUNK, Turn};
use crate::broker::shares::{PRIORITIES, shares};
use crate::broker::{Delivery, Order, Reserve};
use crate::error::Result;
use crate::task::{Name, Priority, Run, Timestamp};

/// What one look at the queues gave.
pub(super) struct Look {
    pub(super) taken: Vec<Delivery>,
    /// There was more to promote, take back or move aside than fits in one call: look again.
    pub(super) unfinished: bool,
    /// When something becomes due or runs out next.
    pub(super) next: Option<Timestamp>,
}

/// Whether a caller can run a task.
enum Fit {
    Runs,
    /// It has the handler, but no room now.
    Full,
    /// No such handler, or an envelope that it can't read.
    Unknown,
}

impl Turn<'_> {
    /// One look at the queues that `request` names.
    pub(super) fn reserve(&mut self, request: &Reserve) -> Result<Look> {
        let promoted = self.promote()?;
        let (reaped, lease_end) = self.take_back()?;
        let (free, allowed) = (HashMap::new(), Allowed::default());
        let mut taking = Taking { request, free, allowed, budget: CHUNK, taken: Vec::new() };
        let max = request.max.min(CHUNK);
        match request.order {
            Order::Strict => {
                for (queue, _) in &request.queues {
                    for priority in Priority::ALL {
                        taking.take(self, queue, priority, max - taking.taken.len())?;
                    }
                }
            }
            Order::Weighted => {
                let weights: Vec<u32> = request.queues.iter().map(|&(_, weight)| weight).collect();
                let dice = |turn: &mut Self| turn.dice.queues();
                share(self, weights, max, dice, |turn, queue, part| {
                    let queue = &request.queues[queue].0;
                    let dice = |turn: &mut Self| turn.dice.priorities();
                    share(turn, PRIORITIES.to_vec(), part, dice, |turn, priority, part| {
                        taking.take(turn, queue, Priority::ALL[priority], part)
                    })
                })?;
            }
        }
        let unfinished = promoted == CHUNK || reaped == CHUNK || taking.budget == 0;
        taking.allowed.charge(self)?;
        let taken = taking.taken;
        let next = if taken.is_empty() {
            self.next_due()?.into_iter().chain(lease_end).chain(self.next_allowed(request)?).min()
        } else {
            None
        };
        Ok(Look { taken, unfinished, next })
    }

    /// What is due is ready from now on: at most [`CHUNK`] tasks; how many.
    fn promote(&mut self) -> Result<usize> {
        let promoted = self
            .sql(
                "UPDATE tasq_tasks SET state = 0 WHERE seq IN (
                    SELECT seq FROM tasq_tasks INDEXED BY tasq_tasks_due
                    WHERE state = 1 AND due_at <= ?1 ORDER BY due_at, queue LIMIT ?2)",
            )?
            .execute(params![stored(self.now), limit(CHUNK)])?;
        self.news.runnable |= promoted > 0;
        Ok(promoted)
    }

    fn next_due(&self) -> Result<Option<Timestamp>> {
        let mut next = self.sql(
            "SELECT due_at FROM tasq_tasks INDEXED BY tasq_tasks_due WHERE state = 1 ORDER BY due_at, queue LIMIT 1",
        )?;
        collect(next.query([])?, |row| row.time("due_at")).map(|times| times.into_iter().next())
    }

    /// Gives the lease of a task to a worker.
    fn lease(&self, seq: i64, request: &Reserve) -> Result<Delivery> {
        let mut envelope = self.sql("SELECT envelope FROM tasq_envelopes WHERE seq = ?1")?;
        let envelope = envelope.query_row([seq], |row| Ok(row.bytes("envelope")))??;
        let mut lease = self.sql(
            "UPDATE tasq_tasks SET state = 2, parked = 0, run = run + 1, worker = ?2, since = ?3, until = ?4
             WHERE seq = ?1 RETURNING id, queue, handler, priority, run, failed, lost, enqueued_at, due_at, history,
                cancelled, wants IS NOT NULL AS waits, arrived_bytes",
        )?;
        let until = stored(self.now.plus(request.lease));
        let mut rows = lease.query(params![seq, request.worker.as_str(), stored(self.now), until])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let delivery = Delivery {
            run: Run { queue: row.parsed("queue")?, id: row.parsed("id")?, number: row.number("run")? },
            handler: row.parsed("handler")?,
            priority: row.priority()?,
            failed: row.number("failed")?,
            lost: row.number("lost")?,
            enqueued_at: row.time("enqueued_at")?,
            due_at: row.time("due_at")?,
            reserved_at: self.now,
            history: row.history()?,
            cancelled: row.get("cancelled")?,
            arrived: if row.get("waits")? { Some(self.arrived(seq, row.get("arrived_bytes")?)?) } else { None },
            envelope,
        };
        // The statement is finished only when it has been asked for a second row.
        rows.next()?;
        Ok(delivery)
    }

    /// Gives a claim back whose caller has gone: as if it had never been taken, but for the number of its run.
    pub(super) fn give_back(&mut self, run: &Run) -> Result<()> {
        let given = self
            .sql(
                "UPDATE tasq_tasks SET state = 0, worker = NULL, since = NULL, until = NULL
                 WHERE id = ?1 AND run = ?2 AND queue = ?3 AND state = 2",
            )?
            .execute(params![run.id.as_str(), run.number, run.queue.as_str()])?;
        self.news.runnable |= given > 0;
        Ok(())
    }
}

/// One caller's taking: what it has so far.
struct Taking<'a> {
    request: &'a Reserve,
    /// Room that is left where some of it is used.
    free: HashMap<Name, usize>,
    /// What the queues' settings leave.
    allowed: Allowed,
    /// How many more may be moved aside in this call.
    budget: usize,
    taken: Vec<Delivery>,
}

impl Taking<'_> {
    /// Takes up to `max` of one priority of one queue; how many.
    fn take(&mut self, turn: &mut Turn<'_>, queue: &Name, priority: Priority, max: usize) -> Result<usize> {
        let max = self.allowed.most(turn, queue, max)?;
        if max == 0 {
            return Ok(0);
        }
        let before = self.taken.len();
        for (seq, handler) in self.aside(turn, queue, priority, max)? {
            // Several formats of a handler may have offered more together than there is room.
            if self.taken.len() - before < max && self.room(&handler) > 0 {
                self.lease(turn, seq, handler)?;
            }
        }
        self.take_ready(turn, queue, priority, before + max)?;
        let taken = self.taken.len() - before;
        self.allowed.took(queue, taken);
        Ok(taken)
    }

    /// The oldest tasks aside that this caller may have room for, at most `max` a handler and format. Leaps from handler
    /// to handler on both sides, the caller's and the index's: what costs is neither how many tasks are aside nor how
    /// many handlers the caller has, but the smaller number of handlers.
    fn aside(&self, turn: &Turn<'_>, queue: &Name, priority: Priority, max: usize) -> Result<Vec<(i64, Name)>> {
        let (mut found, mut wanted) = (Vec::new(), Vec::new());
        let mut format = next_format(turn, queue, priority, None, self.request.format)?;
        while let Some(present) = format {
            if wanted.is_empty() {
                wanted = self.request.room.keys().filter(|handler| self.room(handler) > 0).collect();
                wanted.sort_unstable();
            }
            let mut index = 0;
            while let Some(&handler) = wanted.get(index) {
                match next_handler(turn, queue, priority, present, handler)? {
                    None => break,
                    Some(there) if there == *handler => {
                        let most = max.min(self.room(handler));
                        found.extend(oldest_aside(turn, queue, priority, present, handler, most)?);
                        index += 1;
                    }
                    Some(there) => index += wanted[index..].partition_point(|handler| **handler < there),
                }
            }
            format = next_format(turn, queue, priority, Some(present), self.request.format)?;
        }
        found.sort_unstable_by_key(|&(place, _)| place);
        Ok(found.into_iter().map(|((_, seq), handler)| (seq, handler)).collect())
    }

    /// Takes what is due until there are `full` in all. What can't run here goes aside, so that nobody walks past it
    /// again: each row that is looked at leaves the index, and the next look begins at its front.
    fn take_ready(&mut self, turn: &mut Turn<'_>, queue: &Name, priority: Priority, full: usize) -> Result<()> {
        while self.taken.len() < full && self.budget > 0 {
            let most = (full - self.taken.len()).clamp(16, 256);
            let page = oldest_ready(turn, queue, priority, most)?;
            let last = page.len() < most;
            for (seq, handler, format) in page {
                if self.taken.len() == full || self.budget == 0 {
                    return Ok(());
                }
                let parked = match self.fit(&handler, format) {
                    Fit::Runs => {
                        self.lease(turn, seq, handler)?;
                        continue;
                    }
                    Fit::Full => false,
                    Fit::Unknown => true,
                };
                turn.sql("UPDATE tasq_tasks SET state = 3, parked = ?2 WHERE seq = ?1")?
                    .execute(params![seq, parked])?;
                self.budget -= 1;
                // Another worker may have the handler, or room for it.
                turn.news.runnable = true;
            }
            if last {
                return Ok(());
            }
        }
        Ok(())
    }

    fn lease(&mut self, turn: &Turn<'_>, seq: i64, handler: Name) -> Result<()> {
        self.taken.push(turn.lease(seq, self.request)?);
        let left = self.room(&handler).saturating_sub(1);
        self.free.insert(handler, left);
        Ok(())
    }

    fn room(&self, handler: &Name) -> usize {
        self.free.get(handler).or_else(|| self.request.room.get(handler)).copied().unwrap_or(0)
    }

    fn fit(&self, handler: &Name, format: u8) -> Fit {
        if format > self.request.format || !self.request.room.contains_key(handler) {
            Fit::Unknown
        } else if self.room(handler) == 0 {
            Fit::Full
        } else {
            Fit::Runs
        }
    }
}

/// Lets `take` take `max` in all, in proportion to `weights`; what one doesn't use goes to the others. The number taken.
fn share<'t>(
    turn: &mut Turn<'t>,
    mut weights: Vec<u32>,
    max: usize,
    dice: impl Fn(&mut Turn<'t>) -> f64,
    mut take: impl FnMut(&mut Turn<'t>, usize, usize) -> Result<usize>,
) -> Result<usize> {
    let mut left = max;
    while left > 0 && weights.iter().any(|&weight| weight > 0) {
        let throw = dice(turn);
        for (index, want) in shares(&weights, left, throw) {
            let got = take(turn, index, want)?;
            left -= got;
            if got < want {
                weights[index] = 0;
            }
        }
    }
    Ok(max - left)
}

fn next_format(turn: &Turn<'_>, queue: &Name, priority: Priority, after: Option<u8>, most: u8) -> Result<Option<u8>> {
    let mut next = turn.sql(
        "SELECT format FROM tasq_tasks INDEXED BY tasq_tasks_aside
         WHERE state = 3 AND queue = ?1 AND priority = ?2 AND format > ?3 AND format <= ?4
         ORDER BY format LIMIT 1",
    )?;
    let after = after.map_or(-1, i64::from);
    Ok(next.query_row(params![queue.as_str(), priority as u8, after, most], |row| row.get(0)).optional()?)
}

fn next_handler(turn: &Turn<'_>, queue: &Name, priority: Priority, format: u8, from: &Name) -> Result<Option<Name>> {
    let mut next = turn.sql(
        "SELECT handler FROM tasq_tasks INDEXED BY tasq_tasks_aside
         WHERE state = 3 AND queue = ?1 AND priority = ?2 AND format = ?3 AND handler >= ?4
         ORDER BY handler LIMIT 1",
    )?;
    let rows = next.query(params![queue.as_str(), priority as u8, format, from.as_str()])?;
    Ok(collect(rows, |row| row.parsed("handler"))?.into_iter().next())
}

/// A task's place in the order, and its handler.
type Found = ((Timestamp, i64), Name);

fn oldest_aside(
    turn: &Turn<'_>,
    queue: &Name,
    priority: Priority,
    format: u8,
    handler: &Name,
    most: usize,
) -> Result<Vec<Found>> {
    let mut oldest = turn.sql(
        "SELECT due_at, seq FROM tasq_tasks INDEXED BY tasq_tasks_aside
         WHERE state = 3 AND queue = ?1 AND priority = ?2 AND format = ?3 AND handler = ?4
         ORDER BY due_at, seq LIMIT ?5",
    )?;
    let rows = oldest.query(params![queue.as_str(), priority as u8, format, handler.as_str(), limit(most)])?;
    collect(rows, |row| Ok(((row.time("due_at")?, row.get("seq")?), handler.clone())))
}

fn oldest_ready(turn: &Turn<'_>, queue: &Name, priority: Priority, most: usize) -> Result<Vec<(i64, Name, u8)>> {
    let mut oldest = turn.sql(
        "SELECT seq, handler, format FROM tasq_tasks INDEXED BY tasq_tasks_ready
         WHERE state = 0 AND queue = ?1 AND priority = ?2 ORDER BY due_at, seq LIMIT ?3",
    )?;
    let rows = oldest.query(params![queue.as_str(), priority as u8, limit(most)])?;
    collect(rows, |row| Ok((row.get("seq")?, row.parsed("handler")?, row.get("format")?)))
}
