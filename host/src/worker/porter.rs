//! Carries what attempts hand in, in batches, out of the guests' threads.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::settle::Ended;
use crate::broker::End;
use crate::task::Name;

/// What an attempt leaves behind.
pub(super) struct Handed {
    /// Whose slot is free.
    pub(super) handler: Name,
    /// None where the run may not end anything.
    pub(super) end: Option<End>,
    /// Its place among the leases.
    pub(super) seat: u64,
}

/// Where attempts hand in.
pub(super) struct Counter {
    handed: Mutex<Vec<Handed>>,
    /// So many make a load that goes at once.
    load: usize,
    porter: Notify,
}

impl Counter {
    pub(super) fn hand_in(&self, handed: Handed) {
        let count = {
            let mut all = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(handed);
            all.len()
        };
        if count == 1 || count == self.load {
            self.porter.notify_one();
        }
    }

    fn take(&self) -> Vec<Handed> {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        // As many will soon be handed in again.
        let room = Vec::with_capacity(handed.len());
        std::mem::replace(&mut *handed, room)
    }
}

/// The porter runs among the guests. Woken by the first attempt that hands in, it steps back behind what is ready to
/// run, or until half the slots have handed in: under load it carries many ends at once, where waking another thread
/// for each would cost more than the run did, and the other half keeps the guests' threads busy meanwhile; when nothing
/// else is ready it goes at once. Slots are free only once the settler has room for the ends: a broker that is slow
/// holds up attempts, and never fills memory.
pub(super) fn start(
    slots: usize,
    ends: mpsc::Sender<Vec<Ended>>,
    guests: &Handle,
) -> (Arc<Counter>, mpsc::Receiver<Vec<Name>>, AbortOnDropHandle<()>) {
    let counter = Arc::new(Counter { handed: Mutex::default(), load: (slots / 2).max(1), porter: Notify::new() });
    let (freed, freed_receiver) = mpsc::channel(16);
    let here = counter.clone();
    let porter = guests.spawn(async move {
        loop {
            here.porter.notified().await;
            tokio::select! {
                biased;
                () = here.porter.notified() => {}
                () = tokio::task::yield_now() => {}
            }
            let handed = here.take();
            if handed.is_empty() {
                continue;
            }
            let (names, ended): (Vec<Name>, Vec<Ended>) =
                handed.into_iter().map(|Handed { handler, end, seat }| (handler, Ended { end, seat })).unzip();
            // Gone when the worker is dropped, or its settler has failed for good: then it ends with that error.
            let room = ends.reserve().await;
            // Slots first: refilling them keeps the guests' threads busy while the ends are written.
            let _ = freed.send(names).await;
            if let Ok(room) = room {
                room.send(ended);
            }
        }
    });
    (counter, freed_receiver, AbortOnDropHandle::new(porter))
}
