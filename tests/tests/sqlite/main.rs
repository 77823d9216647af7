//! What only SQLite has to keep: the file itself, several processes on it, and a writer that batches.
#![allow(clippy::unwrap_used, reason = "only tests and what they share")]

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use tasq_host::backend::{self, Backend};
use tasq_host::broker::{Delivery, End, Reserve};
use tasq_host::error::Error;
use tasq_host::task::{Ending, State, WorkerId};
use tasq_tests::nouns::{DAY, asking, record, recorded};
use tempfile::TempDir;

mod file;
mod processes;
mod writer;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tasq.db")
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    async fn open(&self) -> Backend {
        open(&self.url()).await.unwrap()
    }

    /// The file as another program sees it.
    fn foreign(&self) -> Connection {
        let db = Connection::open(self.path()).unwrap();
        db.busy_timeout(LIMIT).unwrap();
        db
    }

    fn count(&self, table: &str) -> i64 {
        self.foreign().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

async fn open(url: &str) -> Result<Backend, Error> {
    backend::open(&url.parse().unwrap(), None).await
}

/// A worker of its own, with a lease of a day, that takes what is there.
fn request(max: usize) -> Reserve {
    Reserve { worker: WorkerId::generate(), ..asking(&["q"], &["h"], max, DAY) }
}

fn waiting(max: usize) -> Reserve {
    Reserve { wait: LIMIT, ..request(max) }
}

fn done(delivery: &Delivery) -> End {
    recorded(&delivery.run, Ending::Done, record(delivery, State::Done, DAY))
}
