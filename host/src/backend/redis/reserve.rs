//! Taking tasks: queue by queue, in their shares; each look is one call of `claim.lua`.

use std::collections::HashMap;
use std::sync::Arc;

use super::call::Call;
use futures_util::future::try_join_all;

use super::Redis;
use super::kept::delivery;
use super::scripts::{CLAIM, RAN_OUT};
use super::wire::{Answer, span};
use crate::broker::shares::shares;
use crate::broker::{Delivery, Order, Reserve};
use crate::error::{Error, Result};
use crate::task::{Name, Timestamp};

/// A call costs the server about as much as so many tasks in it: no queue is asked for fewer where there are as many to take.
const PIECE: usize = 4;

/// What one look at all queues of a request gave.
pub(super) struct Look {
    pub(super) taken: Vec<Delivery>,
    /// There was too much to move for one look: look again.
    pub(super) unfinished: bool,
    /// When something becomes due or runs out next, and what time it was then.
    pub(super) next: Option<(Timestamp, Timestamp)>,
    /// A queue from which follow-ups are to be brought elsewhere.
    left_behind: Option<Name>,
}

/// A caller's looking: what it has so far.
struct Looking<'a> {
    redis: &'a Redis,
    request: &'a Reserve,
    /// What is left of the room.
    room: Arc<HashMap<Name, usize>>,
    /// The queues, by place, that were looked at.
    seen: Vec<bool>,
    look: Look,
}

impl Redis {
    pub(super) async fn look(&self, request: &Reserve) -> Result<Look> {
        let look = Look { taken: Vec::new(), unfinished: false, next: None, left_behind: None };
        let seen = vec![false; request.queues.len()];
        let mut looking = Looking { redis: self, request, room: request.room.clone(), seen, look };
        let answered = match request.order {
            Order::Strict => looking.strictly().await,
            Order::Weighted => looking.by_weight().await,
        };
        let answered = match answered {
            Ok(()) => looking.take_back().await,
            failed => failed,
        };
        if let Some(queue) = &looking.look.left_behind {
            self.sweep(queue).await;
        }
        match answered {
            // What is claimed already is not to be lost for the lack of more.
            Err(error) if looking.look.taken.is_empty() => Err(error),
            _ => Ok(looking.look),
        }
    }
}

impl Looking<'_> {
    async fn strictly(&mut self) -> Result<()> {
        for index in 0..self.request.queues.len() {
            let want = self.request.max - self.look.taken.len();
            if want > 0 {
                self.take(index, want).await?;
            }
            if self.look.unfinished {
                // What wasn't reached comes before the queues that follow.
                break;
            }
        }
        Ok(())
    }

    /// What one queue doesn't use goes to the others.
    async fn by_weight(&mut self) -> Result<()> {
        let mut weights: Vec<u32> = self.request.queues.iter().map(|&(_, weight)| weight).collect();
        while self.look.taken.len() < self.request.max && weights.iter().any(|&weight| weight > 0) {
            let left = self.request.max - self.look.taken.len();
            for (index, pieces) in shares(&weights, left.div_ceil(PIECE), dice()) {
                let want = (pieces * PIECE).min(self.request.max - self.look.taken.len());
                if want > 0 && self.take(index, want).await? < want {
                    weights[index] = 0;
                }
            }
        }
        Ok(())
    }

    /// Leases that ran out are taken back in the other queues, too, though there is nothing more to take.
    async fn take_back(&self) -> Result<()> {
        let unseen: Vec<usize> = (0..self.seen.len()).filter(|&index| !self.seen[index]).collect();
        // One call for all, unless each lives for itself.
        let together = if self.redis.link.is_split() { 1 } else { unseen.len().max(1) };
        try_join_all(unseen.chunks(together).map(|places| self.take_back_from(places))).await.map(drop)
    }

    async fn take_back_from(&self, places: &[usize]) -> Result<()> {
        let mut call = self.redis.link.call(&RAN_OUT);
        places.iter().for_each(|&index| self.redis.layout.leases(&self.request.queues[index].0, &mut call));
        let mut answer = Answer::new(self.redis.link.send(&call).await?)?;
        while !answer.is_over() {
            let place = usize::try_from(answer.number()?).ok().and_then(|place| places.get(place));
            let &index = place.ok_or_else(|| Error::corrupt("the server named a queue that it wasn't asked for"))?;
            self.redis.link.send(&self.call(index, 0)).await?;
        }
        Ok(())
    }

    /// Takes up to `want` from one queue; how many that were.
    async fn take(&mut self, index: usize, want: usize) -> Result<usize> {
        self.seen[index] = true;
        let mut answer = Answer::new(self.redis.link.send(&self.call(index, want)).await?)?;
        let now = Timestamp(answer.number()?);
        let state = answer.number()?;
        self.look.unfinished |= state & 1 > 0;
        self.look.left_behind =
            self.look.left_behind.take().or((state & 2 > 0).then(|| self.request.queues[index].0.clone()));
        let next = Some(answer.number()?).filter(|&next| next > 0).map(|next| (Timestamp(next), now));
        self.look.next = self.look.next.into_iter().chain(next).min();
        let has_past = answer.number()? == 1;
        let before = self.look.taken.len();
        while !answer.is_over() {
            let delivery = delivery(&mut answer, &self.request.queues[index].0, has_past, now)?;
            if let Some(left) = Arc::make_mut(&mut self.room).get_mut(&delivery.handler) {
                *left -= 1;
            }
            self.look.taken.push(delivery);
        }
        Ok(self.look.taken.len() - before)
    }

    fn call(&self, index: usize, want: usize) -> Call<'static> {
        let (Reserve { worker, format, lease, order, .. }, queue) = (self.request, &self.request.queues[index].0);
        let Redis { link, layout, .. } = self.redis;
        let mut call = link.call(&CLAIM);
        layout.keys(queue, &mut call);
        call.arg(layout.wake()).arg(queue.as_str()).arg(worker.as_str()).arg(span(*lease)).arg(want);
        call.arg(*format).arg(if *order == Order::Strict { "strict" } else { "weighted" });
        call.arg(dice()).arg(dice()).arg(dice()).arg(if want == 0 { 0 } else { self.room.len() });
        for (handler, room) in self.room.iter().filter(|_| want > 0) {
            call.arg(handler.as_str()).arg(*room);
        }
        call
    }
}

/// A random number in 0..1.
fn dice() -> f64 {
    // The last 32 bits of such an id are random, whatever counts in those before.
    f64::from(uuid::Uuid::now_v7().as_u128() as u32) / f64::from(u32::MAX)
}
