//! A [`Backend`] is the bundle of seams over one or two servers. [`open`] is the only place that names them.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Broker, Operations, Signals};
use crate::clock::{Clock, System};
use crate::error::{Error, Result};
use crate::inbox::Inbox;
use crate::results::Results;
use crate::schedules::Schedules;
use crate::store::Store;

pub mod memory;
pub mod nats;
pub mod redis;
pub mod sqlite;
pub mod url;

use url::Url;

/// Everything a worker or command needs, over one layout (and another one for results, if they live elsewhere).
#[derive(Clone)]
pub struct Backend {
    /// Tasks.
    pub broker: Arc<dyn Broker>,
    /// Hints.
    pub signals: Arc<dyn Signals>,
    /// Looking and reporting.
    pub operations: Arc<dyn Operations>,
    /// Ended tasks.
    pub results: Arc<dyn Results>,
    /// Cron.
    pub schedules: Arc<dyn Schedules>,
    /// What handlers keep.
    pub store: Arc<dyn Store>,
    /// What other programs leave; on the broker's server.
    pub inbox: Arc<dyn Inbox>,
    /// Whether results are another server's, so that every record leaves by the broker's outbox.
    pub foreign_results: bool,
}

/// Something that a backend keeps on its server or disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As the server or the file system calls it.
    pub name: String,
    /// What is in it.
    pub holds: &'static str,
}

/// What an open backend at `url` consists of. Nothing in memory has a name.
pub fn parts(url: &Url) -> Vec<Part> {
    let parts = match url {
        Url::Sqlite(options) => sqlite::parts(options),
        Url::Redis(options) => redis::parts(options),
        Url::Nats(options) => nats::parts(options),
        Url::Memory | Url::Other { .. } => Vec::new(),
    };
    parts.into_iter().map(|(name, holds)| Part { name, holds }).collect()
}

/// What a server has used since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPU time.
    pub cpu: Duration,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// What the server at `url` tells of itself; none where it tells nothing, or is this process.
pub async fn usage(url: &Url) -> Result<Option<Usage>> {
    match url {
        Url::Redis(options) => redis::usage(options).await,
        Url::Memory | Url::Sqlite(_) | Url::Nats(_) | Url::Other { .. } => Ok(None),
    }
}

/// Opens what `broker` names, creating what is missing, with results on `results` where that is another place.
pub async fn open(broker: &Url, results: Option<&Url>) -> Result<Backend> {
    let results = results.filter(|&results| results != broker);
    let backend = open_one(broker, results.is_some()).await?;
    match results {
        None => Ok(backend),
        Some(url) => Ok(Backend { results: open_one(url, false).await?.results, ..backend }),
    }
}

/// `foreign_results`: records go to the outbox instead of this server's own results.
async fn open_one(url: &Url, foreign_results: bool) -> Result<Backend> {
    let clock: Arc<dyn Clock> = Arc::new(System);
    match url {
        Url::Memory => Ok(memory::open(clock, foreign_results)),
        Url::Sqlite(options) => sqlite::open(options, clock, foreign_results).await,
        Url::Redis(options) => redis::open(options, redis::Time::Server, foreign_results).await,
        Url::Nats(options) => nats::open(options, nats::Tuning::default(), foreign_results).await,
        Url::Other { scheme, shown } => Err(Error::rejected(format!(
            "{shown}: no backend for \"{scheme}\"; expected sqlite:PATH, redis://HOST, nats://HOST or memory:"
        ))),
    }
}
