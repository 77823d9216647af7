//! Delivers what ends left in the outbox for another server. Any worker delivers any letter; delivering one twice
//! changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::Trouble;
use crate::backend::Backend;
use crate::error::Result;

const BATCH: usize = 500;
const IDLE: Duration = Duration::from_millis(200);

/// Relays until it is dropped; none where ends leave no letters.
pub(super) fn start(backend: &Backend) -> Option<AbortOnDropHandle<()>> {
    if !backend.has_outbox {
        return None;
    }
    let backend = backend.clone();
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        let mut trouble = Trouble::default();
        loop {
            match relay(&backend).await {
                Ok(BATCH) => trouble.over(),
                Ok(_) => {
                    trouble.over();
                    tokio::time::sleep(IDLE).await;
                }
                Err(error) => tokio::time::sleep(trouble.pause(&error)).await,
            }
        }
    })))
}

/// Delivers what waits, a batch at most; how much that was.
pub(super) async fn relay(backend: &Backend) -> Result<usize> {
    let letters = backend.broker.outbox(BATCH).await?;
    let numbers: Vec<u64> = letters.iter().map(|letter| letter.number).collect();
    if !numbers.is_empty() {
        let records = letters.into_iter().map(|letter| Arc::unwrap_or_clone(letter.record)).collect();
        backend.results.record(records).await?;
        backend.broker.delivered(&numbers).await?;
    }
    Ok(numbers.len())
}
