//! What handlers keep.

use async_trait::async_trait;

use super::Sqlite;
use crate::error::{Error, Result};
use crate::store::{Op, Store, Stored};
use crate::task::Name;

#[async_trait]
impl Store for Sqlite {
    async fn apply(&self, _: &Name, _: &str, _: Op) -> Result<Stored> {
        Err(Error::rejected("not yet"))
    }
}
