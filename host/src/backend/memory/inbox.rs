//! What is left for this process by itself: there is nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Memory;
use crate::error::Result;
use crate::inbox::{BYTES, Content, HOLD, Inbox, Parcel, Ticket};
use crate::task::{TaskId, Timestamp};

/// Where parcels are put into a backend in memory. Clones are the same.
#[derive(Clone, Default)]
pub struct Letterbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    left: Mutex<Left>,
    changed: Notify,
}

#[derive(Default)]
struct Left {
    parcels: BTreeMap<u64, Held>,
    last: u64,
}

struct Held {
    id: TaskId,
    object: Bytes,
    until: Timestamp,
}

impl Letterbox {
    /// Leaves a JSON object, or what should be one.
    pub fn put(&self, object: impl Into<Bytes>) {
        {
            let mut left = self.lock();
            left.last += 1;
            let (number, id) = (left.last, TaskId::generate());
            left.parcels.insert(number, Held { id, object: object.into(), until: Timestamp(0) });
        }
        self.0.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        // A map of whole parcels, whatever panicked.
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self, max: usize, now: Timestamp) -> Vec<Parcel> {
        let (mut parcels, mut bytes) = (Vec::new(), 0);
        for (number, held) in self.lock().parcels.iter_mut().filter(|(_, held)| held.until <= now) {
            bytes += held.object.len();
            if parcels.len() == max || (bytes > BYTES && !parcels.is_empty()) {
                break;
            }
            held.until = now.plus(HOLD);
            let content = Content::Object { text: held.object.clone(), id: None };
            parcels.push(Parcel { ticket: Ticket(number.to_string()), id: held.id.clone(), content });
        }
        parcels
    }
}

#[async_trait]
impl Inbox for Memory {
    async fn read(&self, max: usize, wait: Duration) -> Result<Vec<Parcel>> {
        let end = Instant::now() + wait;
        loop {
            // Listening before looking: what comes in between wakes us too.
            let changed = self.letterbox.0.changed.notified();
            let parcels = self.letterbox.hand_out(max, self.clock.now());
            if !parcels.is_empty() || max == 0 {
                return Ok(parcels);
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(end) => return Ok(self.letterbox.hand_out(max, self.clock.now())),
            }
        }
    }

    async fn taken(&self, tickets: Vec<Ticket>) -> Result<()> {
        let mut left = self.letterbox.lock();
        for Ticket(number) in tickets {
            if let Ok(number) = number.parse::<u64>() {
                left.parcels.remove(&number);
            }
        }
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        Ok(self.letterbox.lock().parcels.len() as u64)
    }
}
