//! What only Redis has to keep: a server that crashes, that is cut off, that can't be used, and that mustn't fill up.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

use std::time::Duration;

use tasq_host::backend::{self, Backend};
use tasq_host::broker::{Delivery, Reserve};
use tasq_host::error::Error;
use tasq_host::task::WorkerId;
use tasq_tests::nouns::{DAY, asking};

mod cluster;
mod crashes;
mod failover;
mod footprint;
mod gone;
mod listing;
mod told;
mod trouble;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

async fn open(url: &str) -> Result<Backend, Error> {
    backend::open(&url.parse().unwrap(), None).await
}

/// A worker of its own, with a lease of a day, that takes what is there.
fn request(max: usize) -> Reserve {
    Reserve { worker: WorkerId::generate(), ..asking(&["q"], &["h"], max, DAY) }
}

/// Takes all there is, in as many looks as it takes.
async fn take_all(backend: &Backend) -> Vec<Delivery> {
    let mut taken = Vec::new();
    loop {
        let more = backend.broker.reserve(&request(1_000)).await.unwrap();
        if more.is_empty() {
            return taken;
        }
        taken.extend(more);
    }
}

/// Calls until it is answered: a connection that was cut fails the calls that meet it.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, Error>) -> T {
    let trying = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(error) => assert_eq!(error.kind, tasq_host::error::ErrorKind::Unavailable, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, trying).await.expect("an answer in the end")
}
