//! What handlers keep.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::wire::{self, span};
use super::{Redis, scripts};
use crate::error::Result;
use crate::store::{Op, Store, Stored};
use crate::task::Name;

#[async_trait]
impl Store for Redis {
    async fn apply(&self, owner: &Name, key: &str, op: Op) -> Result<Stored> {
        let mut call = self.link.call(&scripts::STORE);
        self.layout.stored(owner, &mut call);
        call.arg(key);
        let for_ms = |ttl: Option<Duration>| ttl.map_or(String::new(), |ttl| span(ttl).to_string());
        match &op {
            Op::Get => call.arg("get"),
            Op::Remove => call.arg("remove"),
            Op::Put { value, ttl } => call.arg("put").arg(for_ms(*ttl)).arg(&value[..]),
            Op::Increment { by, ttl } => call.arg("increment").arg(for_ms(*ttl)).arg(*by),
            Op::Replace { expected, value, ttl } => {
                call.arg("replace").arg(for_ms(*ttl)).arg(&value[..]).arg(u8::from(expected.is_some()));
                call.arg(expected.as_ref().map_or(&[][..], |expected: &Bytes| expected))
            }
        };
        let answer = if op == Op::Get { self.link.send(&call).await? } else { self.link.write(&call).await? };
        wire::stored(answer, &op)
    }
}
