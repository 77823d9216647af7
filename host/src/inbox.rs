//! The seam behind which other programs leave tasks, by the server's own client and in their own words. A worker takes
//! them in (`worker/inbox.rs`); what they say is `request`'s to read.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::task::TaskId;

/// What others left and nobody has taken in yet.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Hands out up to `max` parcels, the oldest first, fewer where they are large; waits at most `wait` for the first. Each
    /// is the caller's for [`HOLD`]; unless it is [`Inbox::taken`] by then, it is handed out again, with the same id. So
    /// dropping the future loses nothing.
    async fn read(&self, max: usize, wait: Duration) -> Result<Vec<Parcel>>;

    /// Drops parcels: what they asked for is in the broker. Idempotent.
    async fn taken(&self, tickets: Vec<Ticket>) -> Result<()>;

    /// How many are left, those that are handed out included.
    async fn left(&self) -> Result<u64>;
}

/// How long a parcel is its reader's. Who takes longer finds its work done twice: harmless, for a task's id is taken by then.
pub const HOLD: Duration = Duration::from_secs(10);

/// What is handed out together has no more bytes than this, unless it is one parcel.
pub(crate) const BYTES: usize = 4 << 20;

/// Something that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Names it for [`Inbox::taken`].
    pub ticket: Ticket,
    /// The same whenever it is handed out, and no other parcel's or task's: for what names no id of its own.
    pub id: TaskId,
    /// What its writer wrote.
    pub content: Content,
}

/// One handing-out of a parcel; opaque to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket(pub String);

/// What a parcel has in it, as its writer wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A JSON object, or what should be one.
    Object {
        /// Its text.
        text: Bytes,
        /// The id for what the object describes, unless it names one.
        id: Option<String>,
    },
    /// A handler, a payload and options by name (`request::named`).
    Parts {
        /// The handler's name.
        handler: String,
        /// The payload, if there is any.
        payload: Option<Bytes>,
        /// Names and values.
        options: Vec<(String, String)>,
    },
}

/// An id for a parcel from what its server knows of it: like a generated one, but the same each time.
pub(crate) fn derived_id(millis: u64, parts: &[&[u8]]) -> TaskId {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut random = [0; 10];
    random.iter_mut().zip(digest.finalize()).for_each(|(byte, by)| *byte = by);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    id.to_string().parse().expect("a UUID is an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_the_same_each_time_and_no_other_ones() {
        let id = derived_id(1_700_000_000_000, &[b"1", b"a"]);
        assert_eq!(id, derived_id(1_700_000_000_000, &[b"1", b"a"]));
        assert!(id.as_str().starts_with("018bcfe5-6800-7"), "{id}");
        for (millis, parts) in [(1_700_000_000_001, [&b"1"[..], b"a"]), (1_700_000_000_000, [b"1a", b""])] {
            assert_ne!(id, derived_id(millis, &parts));
        }
    }
}
