//! Carries what attempts hand in, in batches, out of the guests' threads.

use tokio::runtime::Handle;
use tokio::sync::mpsc;

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

const BATCH: usize = 1_000;

/// The porter runs among the guests and steps back behind those that are ready to run: under load it carries many ends
/// at once, where waking another thread for each would cost more than the run did; when nothing else is ready it goes
/// at once. It ends when every sender is gone. Slots are free only once the settler has taken the ends, so a broker
/// that is slow holds up attempts, and never fills memory.
pub(super) fn start(
    ends: mpsc::Sender<Vec<Ended>>,
    guests: &Handle,
) -> (mpsc::UnboundedSender<Handed>, mpsc::Receiver<Vec<Name>>) {
    let (handed, mut receiver) = mpsc::unbounded_channel();
    let (freed, freed_receiver) = mpsc::channel(16);
    guests.spawn(async move {
        let mut batch = Vec::new();
        while receiver.recv_many(&mut batch, BATCH).await > 0 {
            tokio::task::yield_now().await;
            while let Ok(handed) = receiver.try_recv() {
                batch.push(handed);
            }
            let (names, ended): (Vec<Name>, Vec<Ended>) =
                batch.drain(..).map(|Handed { handler, end, seat }| (handler, Ended { end, seat })).unzip();
            // Gone when the worker is dropped, or its settler has failed for good: then it ends with that error.
            let _ = ends.send(ended).await;
            let _ = freed.send(names).await;
        }
    });
    (handed, freed_receiver)
}
