//! Producers and workers.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::Memory;
use crate::broker::{Broker, Delivery, End, Held, Letter, Message, Pushed, Reserve, Settled};
use crate::error::Result;
use crate::task::Run;

/// A waiting reserve looks at least this often: the clock may have been moved while it slept.
const LOOK: Duration = Duration::from_secs(1);

#[async_trait]
impl Broker for Memory {
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>> {
        let now = self.clock.now();
        let pushed = {
            let mut layout = self.lock();
            layout.forget(now);
            messages.into_iter().map(|message| layout.push(message, now)).collect()
        };
        self.changed.notify_waiters();
        Ok(pushed)
    }

    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>> {
        let deadline = Instant::now().checked_add(request.wait);
        loop {
            // Listening before looking: what comes in between wakes us too.
            let changed = self.changed.notified();
            let now = self.clock.now();
            let look = self.lock().reserve(request, now);
            if look.moved {
                self.changed.notify_waiters();
            }
            if !look.taken.is_empty() || request.max == 0 {
                return Ok(look.taken);
            }
            if look.unfinished {
                tokio::task::yield_now().await;
                continue;
            }
            let start = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= start) {
                return Ok(Vec::new());
            }
            let nap = look.next.map_or(LOOK, |next| next.since(now).min(LOOK));
            let until = deadline.map_or(start + nap, |deadline| deadline.min(start + nap));
            tokio::select! {
                biased;
                () = request.recall.notified() => return Ok(Vec::new()),
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>> {
        let until = self.clock.now().plus(lease);
        let mut layout = self.lock();
        Ok(runs.iter().map(|run| layout.extend(run, until)).collect())
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>> {
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(ends.len());
        let mut signals = Vec::new();
        let mut wake = false;
        {
            let listened = self.signals.receiver_count() > 0;
            let mut layout = self.lock();
            layout.forget(now);
            for end in ends {
                let written = layout.settle(end, now);
                answers.push(written.answer);
                signals.extend(written.ended.filter(|_| listened));
                wake |= written.waits;
            }
        }
        if wake {
            self.changed.notify_waiters();
        }
        self.signal(signals.into_iter());
        Ok(answers)
    }

    async fn outbox(&self, max: usize) -> Result<Vec<Letter>> {
        Ok(self.lock().outbox.letters(max).collect())
    }

    async fn delivered(&self, letters: &[u64]) -> Result<()> {
        let mut layout = self.lock();
        letters.iter().for_each(|&number| layout.outbox.drop(number));
        Ok(())
    }
}
