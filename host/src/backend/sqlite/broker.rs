//! Producers and workers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::params;
use tokio::time::{Instant, sleep_until};

use super::Sqlite;
use super::claim::Look;
use super::link::{Kind, Link};
use super::rows::{Columns, collect, limit};
use super::turn::Turn;
use crate::broker::{Broker, Delivery, End, Held, Letter, Message, Pushed, Reserve, Settled};
use crate::error::{Error, Result};
use crate::task::{Run, Timestamp};

/// A waiting reserve looks at least this often: what other processes did may have gone unheard, and the clock may have
/// been set.
const LOOK: Duration = Duration::from_secs(1);

#[async_trait]
impl Broker for Sqlite {
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let rows = messages.len();
        let push = move |turn: &mut Turn<'_>| messages.iter().map(|message| turn.push(message)).collect();
        self.link.call(Kind::Write, rows, push).await
    }

    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>> {
        if request.max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now().checked_add(request.wait);
        let mut rung = self.bell.wait();
        loop {
            // Marked before looking: what comes in between wakes us too.
            rung.mark_unchanged();
            let mut claim = self.claim(request).await?;
            if !claim.look.taken.is_empty() {
                return Ok(claim.keep());
            }
            if claim.look.unfinished {
                continue;
            }
            let start = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= start) {
                return Ok(Vec::new());
            }
            let nap = self.nap(claim.look.next);
            let until = deadline.map_or(start + nap, |deadline| deadline.min(start + nap));
            tokio::select! {
                // The bell hangs as long as we do.
                _ = rung.changed() => {}
                () = request.recall.notified() => return Ok(Vec::new()),
                () = sleep_until(until) => {}
            }
        }
    }

    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let runs = runs.to_vec();
        self.link
            .call(Kind::Hold, runs.len(), move |turn| runs.iter().map(|run| turn.extend(run, lease)).collect())
            .await
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        // Cheap where it matters: payloads and results are shared, not copied.
        let ends = ends.to_vec();
        self.link.call(Kind::Write, ends.len(), move |turn| ends.iter().map(|end| turn.settle(end)).collect()).await
    }

    async fn outbox(&self, max: usize) -> Result<Vec<Letter>> {
        self.read(move |db, _| {
            let mut letters = db.prepare_cached("SELECT number, record FROM tasq_outbox ORDER BY number LIMIT ?1")?;
            collect(letters.query([limit(max)])?, |row| {
                let number: i64 = row.get("number")?;
                Ok(Letter { number: number.cast_unsigned(), record: Arc::new(row.record()?) })
            })
        })
        .await
    }

    async fn delivered(&self, letters: &[u64]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let (letters, rows) = (letters.to_vec(), letters.len());
        let dropped = move |turn: &mut Turn<'_>| {
            let mut dropped = turn.sql("DELETE FROM tasq_outbox WHERE number = ?1")?;
            letters.iter().try_for_each(|&letter| dropped.execute(params![letter.cast_signed()]).map(drop))?;
            Ok(())
        };
        self.link.call(Kind::Write, rows, dropped).await
    }
}

impl Sqlite {
    async fn claim(&self, request: &Reserve) -> Result<Claim> {
        let (request, link) = (request.clone(), self.link.clone());
        let rows = request.max;
        let claim = move |turn: &mut Turn<'_>| {
            // Before the first lease is written: whoever sees the lease can tell that its holder lives.
            turn.locks.hold(&request.worker).map_err(|error| {
                Error::unavailable(format!("the lock of worker {} can't be taken: {error}", request.worker))
            })?;
            Ok(Claim { look: turn.reserve(&request)?, link })
        };
        self.link.call(Kind::Claim, rows, claim).await
    }

    /// At least a millisecond: timers and the clock round differently.
    fn nap(&self, next: Option<Timestamp>) -> Duration {
        let nap = next.map_or(LOOK, |next| next.since(self.clock.now()).min(LOOK));
        nap.max(Duration::from_millis(1))
    }
}

/// Tasks on their way to a caller. Where they don't arrive, because the caller's future was dropped, they go back.
struct Claim {
    look: Look,
    link: Link,
}

impl Claim {
    fn keep(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.look.taken)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let unread = self.keep();
        if !unread.is_empty() {
            self.link.post(Kind::Hold, unread.len(), move |turn| {
                unread.iter().try_for_each(|delivery| turn.give_back(&delivery.run))
            });
        }
    }
}
