//! Delivers what ends left in the outbox: to another server, or to other programs. Any worker delivers any letter;
//! delivering one twice changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::Trouble;
use crate::backend::Backend;
use crate::broker::{Effect, End, Letter};
use crate::error::Result;
use crate::results::Record;

const BATCH: usize = 500;
/// Letters that other workers left behind are found within this.
const IDLE: Duration = Duration::from_secs(1);
/// A worker that ends tries for so long to leave no letter behind.
const LAST_TRY: Duration = Duration::from_secs(5);

/// Relays until it is dropped.
pub(super) struct Relay {
    posted: Arc<Notify>,
    foreign_results: bool,
    _relaying: AbortOnDropHandle<()>,
}

pub(super) fn start(backend: &Backend) -> Relay {
    let (posted, foreign_results) = (Arc::new(Notify::new()), backend.foreign_results);
    let (backend, hint) = (backend.clone(), posted.clone());
    let relaying = tokio::spawn(async move {
        let mut trouble = Trouble::default();
        loop {
            match relay(&backend).await {
                Ok(BATCH) => trouble.over(),
                Ok(_) => {
                    trouble.over();
                    // Either way there is nothing to be done but look.
                    let _ = tokio::time::timeout(IDLE, hint.notified()).await;
                }
                Err(error) => tokio::time::sleep(trouble.pause(&error)).await,
            }
        }
    });
    Relay { posted, foreign_results, _relaying: AbortOnDropHandle::new(relaying) }
}

impl Relay {
    /// Whether this end leaves a letter.
    pub(super) fn is_for(&self, end: &End) -> bool {
        let leaves = |record: &Record| self.foreign_results || record.told;
        end.effects.iter().any(|effect| matches!(effect, Effect::Record(record) if leaves(record)))
    }

    /// There are letters.
    pub(super) fn nudge(&self) {
        self.posted.notify_one();
    }

    /// Delivers what is left, as far as the servers answer.
    pub(super) async fn finish(&self, backend: &Backend) {
        let last = async {
            while relay(backend).await? > 0 {}
            Ok::<_, crate::error::Error>(())
        };
        match tokio::time::timeout(LAST_TRY, last).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("results are left for the next worker to deliver: {error}"),
            Err(_) => tracing::warn!("results are left for the next worker to deliver"),
        }
    }
}

/// Delivers what waits, a batch at most; how much that was.
async fn relay(backend: &Backend) -> Result<usize> {
    let letters = backend.broker.outbox(BATCH).await?;
    if letters.is_empty() {
        return Ok(0);
    }
    let told: Vec<Arc<Record>> =
        letters.iter().map(|letter| &letter.record).filter(|record| record.told).cloned().collect();
    let (numbers, records): (Vec<u64>, Vec<Arc<Record>>) =
        letters.into_iter().map(|Letter { number, record }| (number, record)).unzip();
    if backend.foreign_results {
        backend.results.record(records.into_iter().map(Arc::unwrap_or_clone).collect()).await?;
    }
    // Readers that look for one find the other, too.
    backend.results.tell(&told).await?;
    backend.broker.delivered(&numbers).await?;
    Ok(numbers.len())
}
