//! The worker's slots: tasks on the guests' threads that take deliveries from one queue and run them.
//!
//! A slot that has ended one attempt takes the next delivery at once, without waking another thread, and the large
//! state of an attempt is allocated once per slot.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::attempt::{self, Crew};
use super::lease::Seat;
use crate::broker::Delivery;

/// The slots of one worker; dropping them stops what runs in them.
pub(super) struct Slots {
    queue: Arc<Queue>,
    slots: JoinSet<()>,
}

/// Deliveries that slots will take.
struct Queue {
    waiting: Mutex<VecDeque<(Delivery, Seat)>>,
    /// A permit for each that waits.
    ready: Semaphore,
}

impl Slots {
    pub(super) fn open(count: usize, crew: &Arc<Crew>) -> Slots {
        let queue = Arc::new(Queue { waiting: Mutex::default(), ready: Semaphore::new(0) });
        let mut slots = JoinSet::new();
        for _ in 0..count {
            let (queue, crew) = (queue.clone(), crew.clone());
            let guests = crew.sandbox.guests().clone();
            let slot = async move {
                loop {
                    let (delivery, seat) = queue.next().await;
                    attempt::run(&crew, delivery, seat).await;
                }
            };
            slots.spawn_on(slot, &guests);
        }
        Slots { queue, slots }
    }

    /// Hands these to slots, in order. There must be as many free ones.
    pub(super) fn fill(&self, deliveries: impl ExactSizeIterator<Item = (Delivery, Seat)>) {
        let count = deliveries.len();
        self.queue.lock().extend(deliveries);
        self.queue.ready.add_permits(count);
    }

    /// An attempt catches the panics of guests and host functions; one of its own is a bug to be seen.
    pub(super) fn check(&mut self) {
        if let Some(Err(error)) = self.slots.try_join_next() {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Queue {
    async fn next(&self) -> (Delivery, Seat) {
        loop {
            self.ready.acquire().await.expect("never closed").forget();
            if let Some(next) = self.lock().pop_front() {
                return next;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Delivery, Seat)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
