//! Producers and workers.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep_until};

use super::blobs;
use super::command::{Answer, Ask, Command};
use super::{LOOK, Nats};
use crate::broker::{Broker, Delivery, End, Held, Letter, Message, Pushed, Reserve, Settled};
use crate::error::Result;
use crate::task::{Ending, Run};

/// Our idea of the server's clock may be ahead of it: a reserve that came too early asks again after this.
const EARLY: Duration = Duration::from_millis(2);

#[async_trait]
impl Broker for Nats {
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        loop {
            let messages = blobs::pack_messages(&self.link, &messages, self.inline).await?;
            match self.call(Command::Push(messages)).await? {
                Answer::Pushed(pushed) => return Ok(pushed),
                Answer::Refused => {}
                other => return Err(self.odd(&other)),
            }
        }
    }

    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>> {
        if request.max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now().checked_add(request.wait);
        let mut is_up_to_date = false;
        loop {
            self.replica.check()?;
            // Listening before looking: what comes in between wakes us too.
            let changed = self.replica.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = self.replica.time.now();
            let (offers, next) =
                self.replica.look(|state| (state.offers(request, now), state.layout.next(request, now)));
            let mut nap = LOOK;
            if offers {
                let (taken, again) = self.ask(request).await?;
                if !taken.is_empty() {
                    return self.unpacked(taken).await;
                }
                if again {
                    continue;
                }
                nap = EARLY;
            } else if !is_up_to_date {
                // What others have done may not have been played here yet.
                self.catch_up().await?;
                is_up_to_date = true;
                continue;
            }
            let start = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= start) {
                return Ok(Vec::new());
            }
            let nap = next.map_or(nap, |next| next.since(now).max(Duration::from_millis(1)).min(nap));
            let until = deadline.map_or(start + nap, |deadline| deadline.min(start + nap));
            tokio::select! {
                () = changed => {}
                () = request.recall.notified() => return Ok(Vec::new()),
                () = sleep_until(until) => {}
            }
        }
    }

    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        match self.call(Command::Extend(runs.to_vec(), lease)).await? {
            Answer::Held(held) => Ok(held),
            other => Err(self.odd(&other)),
        }
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        loop {
            let ends = self.packed(ends).await?;
            match self.call(Command::Settle { ends, foreign: self.foreign_results }).await? {
                Answer::Settled(settled) => return Ok(settled),
                Answer::Refused => {}
                other => return Err(self.odd(&other)),
            }
        }
    }

    async fn outbox(&self, max: usize) -> Result<Vec<Letter>> {
        self.catch_up().await?;
        let letters: Vec<Letter> = self.replica.look(|state| state.layout.outbox.letters(max).collect());
        let unpack = async |Letter { number, record }| {
            let record = blobs::unpack_record(&self.link, (*record).clone()).await?.into();
            Ok(Letter { number, record })
        };
        try_join_all(letters.into_iter().map(unpack)).await
    }

    async fn delivered(&self, letters: &[u64]) -> Result<()> {
        if !letters.is_empty() {
            self.call(Command::Delivered(letters.to_vec())).await?;
        }
        Ok(())
    }
}

impl Nats {
    /// What was taken, and whether asking again at once may give more.
    async fn ask(&self, request: &Reserve) -> Result<(Vec<Delivery>, bool)> {
        match self.call(Command::Reserve(Ask::from(request))).await? {
            Answer::Taken { taken, again } => Ok((taken, again)),
            other => Err(self.odd(&other)),
        }
    }

    /// The ends with the long parts of their effects put apart.
    pub(super) async fn packed(&self, ends: &[End]) -> Result<Vec<End>> {
        let pack = async |end: &End| {
            let effects = end.effects.iter().map(|effect| blobs::pack_effect(&self.link, effect, self.inline));
            Ok(End { effects: try_join_all(effects).await?, run: end.run.clone(), ending: end.ending.clone() })
        };
        try_join_all(ends.iter().map(pack)).await
    }

    /// What was taken with its envelopes; given back where they can't be read now.
    async fn unpacked(&self, taken: Vec<Delivery>) -> Result<Vec<Delivery>> {
        let unpacked = blobs::unpack_deliveries(&self.link, &taken).await;
        if unpacked.is_err() {
            let ending = || Ending::Release { after: Duration::ZERO };
            let ends = taken.into_iter().map(|it| End { run: it.run, ending: ending(), effects: Vec::new() });
            self.call(Command::Settle { ends: ends.collect(), foreign: self.foreign_results }).await?;
        }
        unpacked
    }
}
