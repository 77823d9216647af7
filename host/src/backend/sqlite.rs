//! One file, durable, shared by any number of processes on one machine. Not on a network file system: its locks lie.
//!
//! The layout is what `sqlite/schema/*.sql` make, one after the other. Beside the file `tasq.db` stand SQLite's own `tasq.db-wal` and `tasq.db-shm`,
//! `tasq.db-wake`, which is touched to wake other processes, and `tasq.db-workers/`, where each worker keeps a lock.
//!
//! All changes go through one thread ([`writer`]) in transactions that they share; a job ([`link::Job`]) is a function
//! over a [`turn::Turn`]. Reads have connections of their own and never wait for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::{fs, thread};

use rusqlite::Connection;
use tokio::sync::broadcast;

use super::Backend;
use super::url::{SqliteOptions, Sync as Durability};
use crate::broker::{Signal, Signals};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::task::Timestamp;

mod accept;
mod alive;
mod alter;
mod arrivals;
mod broker;
mod checkup;
mod claim;
mod ends;
mod error;
mod file;
mod inbox;
mod limits;
mod link;
mod listed;
mod operations;
mod results;
mod rows;
mod schedules;
mod schema;
mod store;
mod tidy;
mod turn;
mod uniques;
mod wake;
mod writer;

use alive::Locks;
use link::Link;
use wake::Bell;
use writer::{State, Writer};

/// So many idle connections for reading are kept.
const READERS: usize = 4;

/// Opens or creates the file. `foreign_results`: records wait in the outbox instead of being kept here. Call it inside
/// the runtime whose time `clock` follows.
pub async fn open(options: &SqliteOptions, clock: Arc<dyn Clock>, foreign_results: bool) -> Result<Backend> {
    let place: Arc<str> = format!("sqlite:{}", options.path.display()).into();
    let (options, named) = (options.clone(), place.clone());
    let opened = tokio::task::spawn_blocking(move || Sqlite::open(&options, named, clock, foreign_results));
    let opened =
        opened.await.map_err(|error| Error::unavailable(format!("{place}: opening it was cut off: {error}")))?;
    let sqlite = Arc::new(opened.map_err(|error| error::at(&place, &error))?);
    Ok(Backend {
        broker: sqlite.clone(),
        signals: sqlite.clone(),
        operations: sqlite.clone(),
        results: sqlite.clone(),
        schedules: sqlite.clone(),
        store: sqlite.clone(),
        inbox: sqlite,
        foreign_results,
    })
}

/// What there is once it has been opened, by name.
pub fn parts(options: &SqliteOptions) -> Vec<(String, &'static str)> {
    let beside = |suffix| beside(&options.path, suffix).display().to_string();
    vec![
        (options.path.display().to_string(), "tasks, results and what is known of workers"),
        (beside("-wal"), "what was written last, and its index in -shm"),
        (beside("-wake"), "touched to wake other processes"),
        (beside("-workers"), "a locked file for each worker, once there has been one"),
    ]
}

struct Sqlite {
    link: Link,
    bell: Arc<Bell>,
    clock: Arc<dyn Clock>,
    path: PathBuf,
    sync: Durability,
    readers: Arc<Mutex<Vec<Connection>>>,
    /// Stops watching when it is dropped.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Sqlite {
    fn open(options: &SqliteOptions, place: Arc<str>, clock: Arc<dyn Clock>, foreign_results: bool) -> Result<Sqlite> {
        let db = file::open_writer(&options.path)?;
        // By its real name, so that all processes agree on what stands beside it.
        let path = fs::canonicalize(&options.path)
            .map_err(|error| Error::unavailable(format!("can't be found again: {error}")))?;
        let wake = beside(&path, "-wake");
        let bell = Arc::new(Bell::hang(&wake)?);
        let locks = Locks::new(beside(&path, "-workers"));
        locks.sweep(&tidy::lease_holders(&db)?);
        let state = State::new(&db)?;
        let (posts, received) = mpsc::channel();
        let link = Link { posts, place, simulated: clock.is_simulated() };
        let writer = Writer {
            db,
            posts: received,
            clock: clock.clone(),
            sync: options.sync,
            foreign_results,
            locks,
            bell: bell.clone(),
            state,
        };
        let runtime = tokio::runtime::Handle::current();
        let spawned = thread::Builder::new().name("sqlite-writer".into()).spawn(move || {
            // A simulated clock asks the runtime for the time.
            let _inside = runtime.enter();
            writer.run();
        });
        spawned.map_err(|error| Error::unavailable(format!("no thread for the writer: {error}")))?;
        let watcher = bell.watch(&wake, link.clone());
        Ok(Sqlite { link, bell, clock, path, sync: options.sync, readers: Arc::default(), _watcher: watcher })
    }

    /// Runs `look` on a connection of its own, in one read transaction, with the present time.
    async fn read<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, Timestamp) -> Result<T> + Send + 'static,
    {
        let (path, readers, now) = (self.path.clone(), self.readers.clone(), self.clock.now());
        let read = move || {
            let idle = lock(&readers).pop();
            let mut db = idle.map_or_else(|| file::open_reader(&path), Ok)?;
            let snapshot = db.transaction()?;
            let found = look(&snapshot, now)?;
            snapshot.finish()?;
            let mut readers = lock(&readers);
            if readers.len() < READERS {
                readers.push(db);
            }
            Ok(found)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(found) => found.map_err(|error: Error| error::at(&self.link.place, &error)),
            Err(error) => Err(Error::unavailable(format!("{}: reading was cut off: {error}", self.link.place))),
        }
    }
}

impl Signals for Sqlite {
    fn listen(&self) -> broadcast::Receiver<Signal> {
        self.bell.listen()
    }
}

/// What stands beside the database under its name and `suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn lock(readers: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    // A list of idle connections is whole whatever panicked.
    readers.lock().unwrap_or_else(PoisonError::into_inner)
}
