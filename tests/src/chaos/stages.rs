//! Where a storm takes place. A further broker is a further implementation and a row in the table.

use std::path::{Path, PathBuf};

use crate::fixture::nats::{self, Version};
use crate::fixture::redis;

/// A broker for the time of a storm.
pub trait Stage {
    /// Its row's name.
    fn name(&self) -> &'static str;
    /// What `--broker` is told.
    fn url(&self) -> String;
    /// Kills the server and starts it again on its data; false where there is none.
    fn strike(&mut self) -> bool {
        false
    }
}

/// A file and no server: only workers can be killed, and each of them writes.
pub struct Sqlite(pub PathBuf);

impl Stage for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }
}

/// A server that has on disk what it acknowledged (AOF, `always`).
pub struct Redis(redis::Server);

impl Redis {
    /// Starts one with its data in `folder`.
    pub fn start(folder: &Path) -> Redis {
        Redis(redis::Server::durable(folder))
    }
}

impl Stage for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn url(&self) -> String {
        self.0.url("storm")
    }

    fn strike(&mut self) -> bool {
        self.0.kill();
        self.0.restart();
        true
    }
}

/// A server that has on disk what it acknowledged (`sync_interval: always`).
pub struct Nats(nats::Server);

impl Nats {
    /// Starts the newest one: the oldest knows no `always`.
    pub fn start() -> Nats {
        Nats(nats::Server::start_synced(Version::Newest))
    }
}

impl Stage for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn url(&self) -> String {
        format!("nats://{}?prefix=storm", self.0.address())
    }

    fn strike(&mut self) -> bool {
        self.0.kill();
        self.0.restart();
        true
    }
}
