//! Which shape the file has, and how an older one gets there.

use rusqlite::{Connection, TransactionBehavior, params};

use super::rows::{Columns, Kept};
use crate::error::{Error, Result};
use crate::results::Record;

/// The n-th (from 1) makes version n of the one before. What was released is never edited: a change is a new entry.
const MIGRATIONS: [&str; 3] =
    [include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql")];

/// What this program reads and writes; `user_version` in the file.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Brings the file up to [`VERSION`]; changes nothing in one that is newer or another program's.
pub(super) fn migrate(db: &mut Connection) -> Result<()> {
    if found(db)? == VERSION {
        return Ok(());
    }
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been quicker.
    let before = found(&change)?;
    for migration in &MIGRATIONS[before..] {
        change.execute_batch(migration)?;
    }
    if before < COLUMNS {
        take_apart(&change)?;
    }
    change.pragma_update(None, "user_version", VERSION as i64)?;
    change.commit()?;
    Ok(())
}

/// Since this version, what a task returned stands in a column.
const COLUMNS: usize = 3;

/// What stands in records of older versions goes into the columns that are theirs now.
fn take_apart(change: &Connection) -> Result<()> {
    let mut next =
        change.prepare("SELECT seq, record, result FROM tasq_records WHERE seq > ?1 ORDER BY seq LIMIT 1")?;
    let mut last = i64::MIN;
    while let Some(row) = next.query([last])?.next()? {
        last = row.get("seq")?;
        // One that can't be read stays as it is: whoever asks for it is told.
        if let Ok(record) = row.record() {
            write_record(change, last, record)?;
        }
    }
    Ok(())
}

fn write_record(change: &Connection, seq: i64, record: Record) -> Result<()> {
    let Kept { record, result, error, attempt, finished_at } = Kept::of(&record);
    change
        .prepare_cached("UPDATE tasq_records SET record = ?2, result = ?3, error = ?4, attempt = ?5, finished_at = ?6 WHERE seq = ?1")?
        .execute(params![seq, &record[..], result.as_deref(), error, attempt, finished_at])?;
    Ok(())
}

/// The file's version, at most [`VERSION`], or why it is not for us.
pub(super) fn found(db: &Connection) -> Result<usize> {
    // In one statement: between two of them another process may have made the tables.
    let look =
        "SELECT user_version, EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'tasq_tasks') FROM pragma_user_version";
    let (version, ours): (i64, bool) = db.query_row(look, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
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
