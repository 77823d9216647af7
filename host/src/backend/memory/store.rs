//! What handlers keep.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Memory;
use super::layout::Layout;
use crate::error::Result;
use crate::store::{BYTES, KEYS, Op, Store, Stored, added};
use crate::task::{Name, Timestamp};

#[async_trait]
impl Store for Memory {
    async fn apply(&self, owner: &Name, key: &str, op: Op) -> Result<Stored> {
        Ok(self.lock().store(owner, key, op, self.clock.now()))
    }
}

/// One owner's keys.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::backend) struct Owned {
    keys: BTreeMap<String, Value>,
    /// Of keys and values together.
    bytes: usize,
}

#[derive(Clone, Serialize, Deserialize)]
struct Value {
    value: Bytes,
    until: Option<Timestamp>,
}

impl Layout {
    pub(in crate::backend) fn store(&mut self, owner: &Name, key: &str, op: Op, now: Timestamp) -> Stored {
        let owned = self.stores.entry(owner.clone()).or_default();
        let stored = owned.apply(key, op, now);
        if owned.keys.is_empty() {
            self.stores.remove(owner);
        }
        stored
    }
}

impl Layout {
    pub(in crate::backend) fn stored(&self, owner: &Name, key: &str, now: Timestamp) -> Option<Bytes> {
        self.stores.get(owner)?.get(key, now)
    }
}

impl Owned {
    fn apply(&mut self, key: &str, op: Op, now: Timestamp) -> Stored {
        if self.keys.get(key).is_some_and(|held| held.is_over(now)) {
            self.remove(key);
        }
        let present = self.keys.get(key).cloned();
        let keeps = present.as_ref().and_then(|held| held.until);
        let (value, ttl, stored) = match op {
            Op::Get => return Stored::Value(present.map(|held| held.value)),
            Op::Remove => {
                self.remove(key);
                return Stored::Done;
            }
            Op::Put { value, ttl } => (value, ttl.map(|ttl| now.plus(ttl)), Stored::Done),
            Op::Replace { expected, value, ttl } => {
                if expected != present.map(|held| held.value) {
                    return Stored::Replaced(false);
                }
                (value, ttl.map(|ttl| now.plus(ttl)).or(keeps), Stored::Replaced(true))
            }
            Op::Increment { by, ttl } => {
                let Some(sum) = added(present.as_ref().map(|held| &held.value[..]), by) else {
                    return Stored::NotANumber;
                };
                (sum.to_string().into(), ttl.map(|ttl| now.plus(ttl)).or(keeps), Stored::Number(sum))
            }
        };
        if !self.has_room(key, value.len()) {
            self.forget(now);
        }
        if !self.has_room(key, value.len()) {
            return Stored::Full;
        }
        self.remove(key);
        self.bytes += key.len() + value.len();
        self.keys.insert(key.to_owned(), Value { value, until: ttl });
        stored
    }

    fn get(&self, key: &str, now: Timestamp) -> Option<Bytes> {
        self.keys.get(key).filter(|held| !held.is_over(now)).map(|held| held.value.clone())
    }

    fn has_room(&self, key: &str, value: usize) -> bool {
        let before = self.keys.get(key).map_or(0, |held| key.len() + held.value.len());
        let keys = self.keys.len() + usize::from(!self.keys.contains_key(key));
        keys <= KEYS && self.bytes - before + key.len() + value <= BYTES
    }

    fn remove(&mut self, key: &str) {
        if let Some(held) = self.keys.remove(key) {
            self.bytes -= key.len() + held.value.len();
        }
    }

    /// Drops what has expired.
    fn forget(&mut self, now: Timestamp) {
        let bytes = &mut self.bytes;
        self.keys.retain(|key, held| {
            let over = held.is_over(now);
            *bytes -= if over { key.len() + held.value.len() } else { 0 };
            !over
        });
    }
}

impl Value {
    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}
