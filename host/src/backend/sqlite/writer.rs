//! The writer: one plain thread that owns the only connection that writes. Each of its transactions takes along all that
//! has queued up meanwhile, so that the price of a commit is shared, and nothing waits for a timer.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::alive::Locks;
use super::limits::Limits;
use super::link::{Answer, Begun, Job, Kind, Post};
use super::tidy;
use super::turn::{CHUNK, Dice, News, Turn};
use super::wake::Bell;
use crate::backend::url::Sync;
use crate::broker::Signal;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::task::{TaskId, Timestamp};

/// A transaction takes no further jobs once it has so many rows to touch.
const BATCH: usize = 2_000;
/// How often to look, in an idle process, for what must be dropped and what other processes did.
const TICK: Duration = Duration::from_secs(1);
/// How often to look whether other workers that hold leases are alive.
const PULSE: Duration = Duration::from_millis(250);
/// Left to another process that writes, too, after a transaction: SQLite's lock has no queue.
const COURTESY: Duration = Duration::from_millis(2);

/// A failure of one job that SQLite answered by taking back the whole transaction: a full disk, for one.
const ROLLED_BACK: &str = "the transaction was rolled back with another's failure";

/// The thread's state.
pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) posts: Receiver<Post>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sync: Sync,
    pub(super) foreign_results: bool,
    pub(super) locks: Locks,
    pub(super) bell: Arc<Bell>,
    pub(super) state: State,
}

/// What the writer remembers between two transactions.
pub(super) struct State {
    /// The connection's `synchronous` now.
    synchronous: Option<Sync>,
    /// SQLite's counter of other connections' commits.
    version: i64,
    dice: Dice,
    limits: Limits,
    /// The running tasks whose cancelling was told of.
    cancelled: HashSet<TaskId>,
    /// Other workers hold leases.
    others: bool,
    felt: Instant,
    tidied: Timestamp,
    /// More was to be dropped than one transaction takes.
    untidy: bool,
    /// Queues whose number of results may be over the cap.
    grown: HashSet<String>,
}

impl State {
    /// What begins at once: foreign changes from now on count as news.
    pub(super) fn new(db: &Connection) -> Result<State> {
        Ok(State {
            synchronous: None,
            version: version(db)?,
            dice: Dice::new(),
            limits: Limits::default(),
            // Who listens learns of those that were marked before.
            cancelled: HashSet::new(),
            others: true,
            felt: Instant::now(),
            tidied: Timestamp(0),
            untidy: false,
            // All queues, for another process may have died before it tidied up.
            grown: tidy::queues_with_ended(db)?,
        })
    }
}

impl Writer {
    /// Works until the last link is gone. What was posted before is done.
    pub(super) fn run(mut self) {
        loop {
            match self.posts.recv_timeout(self.pause()) {
                Ok(post) => self.transact(post),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Err(error) = self.look_around() {
                // Nobody waits for this work; who needs the file next gets the error.
                tracing::debug!("sqlite: looking around: {error}");
                std::thread::sleep(PULSE);
            }
        }
    }

    fn pause(&self) -> Duration {
        match (self.state.untidy, self.state.others) {
            (true, _) => Duration::ZERO,
            (false, true) => PULSE,
            (false, false) => TICK,
        }
    }

    /// `first` and what has queued up behind it, in one transaction.
    fn transact(&mut self, first: Post) {
        let mut jobs = Vec::new();
        let mut rows = 0;
        let mut next = Some(first);
        while let Some(post) = next {
            if let Post::Job(job) = post {
                rows += job.rows;
                jobs.push(job);
            }
            next = if rows < BATCH { self.posts.try_recv().ok() } else { None };
        }
        if jobs.is_empty() {
            return;
        }
        jobs.sort_by_key(|job| job.kind == Kind::Claim);
        let durable = jobs.iter().any(|job| job.kind == Kind::Write);
        let mut answers = Vec::with_capacity(jobs.len());
        match self.commit(durable, |turn| run_all(jobs, turn, &mut answers)) {
            Ok(()) => answers.into_iter().for_each(|answer| answer(Ok(()))),
            Err(error) => answers.into_iter().for_each(|answer| answer(Err(&error))),
        }
    }

    /// Runs `work` in a transaction; `work` is called in any case, with the reason if there is no transaction.
    fn commit(&mut self, durable: bool, work: impl FnOnce(Begun<'_, '_>)) -> Result<()> {
        if let Err(error) = self.begin(durable) {
            work(Err(&error));
            return Err(error);
        }
        self.state.limits.recheck();
        let mut turn = Turn {
            db: &self.db,
            now: self.clock.now(),
            foreign_results: self.foreign_results,
            locks: &mut self.locks,
            limits: &mut self.state.limits,
            dice: &mut self.state.dice,
            news: News::default(),
        };
        work(Ok(&mut turn));
        let News { runnable, ended, cancelled, grown } = turn.news;
        if self.db.is_autocommit() {
            self.state.limits.forget();
            return Err(Error::unavailable(ROLLED_BACK));
        }
        if let Err(error) = self.db.execute_batch("COMMIT") {
            self.state.limits.forget();
            if !self.db.is_autocommit() {
                self.db.execute_batch("ROLLBACK")?;
            }
            return Err(error.into());
        }
        self.state.grown.extend(grown);
        let signals = ended.into_iter().map(Signal::Ended).chain(cancelled.iter().cloned().map(Signal::Cancel));
        self.bell.ring(runnable, signals.collect());
        self.state.cancelled.extend(cancelled);
        Ok(())
    }

    fn begin(&mut self, durable: bool) -> Result<()> {
        let sync = if durable { self.sync } else { Sync::Normal };
        if self.state.synchronous != Some(sync) {
            let value = if sync == Sync::Full { "full" } else { "normal" };
            self.db.pragma_update(None, "synchronous", value)?;
            self.state.synchronous = Some(sync);
        }
        Ok(self.db.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// What has to be done besides jobs: notice other processes, bury dead workers, drop what is old.
    fn look_around(&mut self) -> Result<()> {
        self.bell.looking();
        let version = version(&self.db)?;
        if version != self.state.version {
            self.state.version = version;
            self.state.others = true;
            let cancelled = tidy::cancelled(&self.db)?;
            self.bell.heard(cancelled.difference(&self.state.cancelled).cloned());
            self.state.cancelled = cancelled;
            std::thread::sleep(COURTESY);
        }
        if self.state.others && self.state.felt.elapsed() >= PULSE {
            self.bury_the_dead()?;
        }
        let now = self.clock.now();
        if self.state.untidy || now < self.state.tidied || now.since(self.state.tidied) >= TICK {
            self.tidy(now)?;
        }
        Ok(())
    }

    /// The leases of workers whose lock is free run out now.
    fn bury_the_dead(&mut self) -> Result<()> {
        self.state.felt = Instant::now();
        self.state.others = false;
        let now = self.clock.now();
        for worker in tidy::lease_holders(&self.db)? {
            if self.locks.holds(&worker) || !tidy::holds_lease(&self.db, &worker, now)? {
                continue;
            }
            self.state.others = true;
            let Some(grave) = self.locks.find_dead(&worker) else { continue };
            while self.alone(|turn| turn.end_leases_of(&worker))? == CHUNK {}
            tracing::info!(worker, "a worker is gone; its tasks come back");
            grave.close();
        }
        Ok(())
    }

    fn tidy(&mut self, now: Timestamp) -> Result<()> {
        let grown = std::mem::take(&mut self.state.grown);
        let rest = self.alone(|turn| turn.tidy(&grown))?;
        self.state.untidy = rest.more;
        self.state.grown.extend(rest.grown);
        self.state.tidied = now;
        Ok(())
    }

    /// A transaction of the writer's own, for what can be lost with the machine's power: it is found out again.
    fn alone<T>(&mut self, work: impl FnOnce(&mut Turn<'_>) -> Result<T>) -> Result<T> {
        let mut result = None;
        self.commit(false, |turn| result = turn.ok().map(|turn| turn.apart(work)))?;
        // A transaction that was committed had the work in it.
        result.expect("committed work has a result")
    }
}

/// Changes whenever another connection has committed.
pub(super) fn version(db: &Connection) -> Result<i64> {
    Ok(db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

/// Each job on its own; once the transaction is gone, those that are left hear why.
fn run_all(jobs: Vec<Job>, turn: Begun<'_, '_>, answers: &mut Vec<Answer>) {
    match turn {
        Err(error) => answers.extend(jobs.into_iter().map(|job| (job.run)(Err(error)))),
        Ok(turn) => {
            for job in jobs {
                let answer = if turn.db.is_autocommit() {
                    (job.run)(Err(&Error::unavailable(ROLLED_BACK)))
                } else {
                    (job.run)(Ok(&mut *turn))
                };
                answers.push(answer);
            }
        }
    }
}
