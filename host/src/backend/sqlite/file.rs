//! Opening the file: what is refused, and how its connections are set up.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::schema;
use crate::error::{Error, ErrorKind, Result};

/// How long a connection waits for another program's lock before a call fails. Less than the 5 s within which a
/// command has to give up.
const PATIENCE: Duration = Duration::from_millis(4_500);

/// The first bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Opens the file for the writer, creating it and its tables where they are missing. Nothing is written to a file that
/// is refused.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    check_place(path)?;
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    wait_for_locks(&mut db)?;
    if db.is_readonly("main")? {
        return Err(Error::rejected("expected a file that can be written, found it read-only"));
    }
    schema::found(&db)?;
    turn_on_wal(&db)?;
    schema::migrate(&mut db)?;
    db.pragma_update(None, "cache_size", -16_384)?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    db.set_prepared_statement_cache_capacity(128);
    Ok(db)
}

/// One more connection that changes nothing.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    wait_for_locks(&mut db)?;
    db.pragma_update(None, "query_only", true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// SQLite's own waiting sleeps up to 100 ms between looks, and then rarely gets in between two busy processes.
fn wait_for_locks(db: &mut Connection) -> Result<()> {
    let mut began = Instant::now();
    db.busy_handler(Some(move |tries| {
        if tries == 0 {
            began = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(1));
        began.elapsed() < PATIENCE
    }))?;
    Ok(())
}

/// Errors of SQLite for these say "unable to open" and not why.
fn check_place(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::rejected(format!("expected the folder {} to exist; create it first", folder.display())));
    }
    if path.is_dir() {
        return Err(Error::rejected("expected a file, found a folder"));
    }
    let start = match File::open(path) {
        Ok(file) => {
            let mut start = Vec::new();
            file.take(MAGIC.len() as u64)
                .read_to_end(&mut start)
                .map_err(|error| Error::unavailable(format!("can't be read: {error}")))?;
            start
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::rejected(format!("can't be opened: {error}"))),
    };
    if !start.is_empty() && start != MAGIC {
        return Err(Error::corrupt("expected an SQLite database, found other data"));
    }
    writable(path)
}

fn writable(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|error| Error::rejected(format!("can't be opened: {error}")))?;
    if metadata.permissions().readonly() {
        return Err(Error::rejected("expected a file that can be written, found it read-only"));
    }
    Ok(())
}

/// Switching takes the file for itself, and SQLite doesn't wait for that by itself when two processes do it at once.
fn turn_on_wal(db: &Connection) -> Result<()> {
    let began = Instant::now();
    loop {
        let mode = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match mode.map_err(Error::from) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(Error::unavailable(format!("expected journal mode wal, found {mode}"))),
            Err(error) if error.kind == ErrorKind::Unavailable && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
}
