//! What handlers keep: part of the same state.

use async_trait::async_trait;

use super::Nats;
use super::command::{Answer, Command};
use crate::error::Result;
use crate::store::{Op, Store, Stored};
use crate::task::Name;

#[async_trait]
impl Store for Nats {
    async fn apply(&self, owner: &Name, key: &str, op: Op) -> Result<Stored> {
        if op == Op::Get {
            self.catch_up().await?;
            let now = self.replica.time.now();
            return Ok(Stored::Value(self.replica.look(|state| state.layout.stored(owner, key, now))));
        }
        match self.call(Command::Store(owner.clone(), key.to_owned(), op)).await? {
            Answer::Stored(stored) => Ok(stored),
            other => Err(self.odd(&other)),
        }
    }
}
