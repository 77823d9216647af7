//! Which shape the file has, and how an older one gets there.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, Result};

/// The n-th (from 1) makes version n of the one before. What was released is never edited: a change is a new entry.
const MIGRATIONS: [&str; 2] = [include_str!("schema/1.sql"), include_str!("schema/2.sql")];

/// What this program reads and writes; `user_version` in the file.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Brings the file up to [`VERSION`]; changes nothing in one that is newer or another program's.
pub(super) fn migrate(db: &mut Connection) -> Result<()> {
    if found(db)? == VERSION {
        return Ok(());
    }
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been quicker.
    for migration in &MIGRATIONS[found(&change)?..] {
        change.execute_batch(migration)?;
    }
    change.pragma_update(None, "user_version", VERSION as i64)?;
    change.commit()?;
    Ok(())
}

/// The file's version, at most [`VERSION`], or why it is not for us.
pub(super) fn found(db: &Connection) -> Result<usize> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let ours: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'tasq_tasks')", [], |row| row.get(0))?;
    match usize::try_from(version) {
        Ok(version) if version > VERSION => Err(Error::corrupt(format!(
            "expected a schema of version {VERSION} or older, found version {version}; upgrade this tasq-host"
        ))),
        Ok(version) if ours == (version > 0) => Ok(version),
        _ => Err(Error::corrupt(format!(
            "expected a database of tasq-host, found another program's (its user_version is {version})"
        ))),
    }
}
