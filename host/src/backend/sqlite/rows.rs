//! Columns ↔ values.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Row;

use super::error::unreadable;
use crate::broker::Tracked;
use crate::codec;
use crate::error::{Error, Result};
use crate::results::Record;
use crate::task::{FailedRun, Priority, State, Timestamp, millis};

/// SQLite's integers are signed: later than they can hold is as good as never.
pub(super) fn stored(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// A span as it is stored.
pub(super) fn stored_span(span: Duration) -> i64 {
    i64::try_from(millis(span)).unwrap_or(i64::MAX)
}

/// A limit as it is bound.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A row's columns by name, as the values that they stand for.
pub(super) trait Columns {
    /// A name or an id.
    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, column: &str) -> Result<T>;
    fn time(&self, column: &str) -> Result<Timestamp>;
    fn number(&self, column: &str) -> Result<u32>;
    fn priority(&self) -> Result<Priority>;
    fn history(&self) -> Result<Vec<FailedRun>>;
    fn bytes(&self, column: &str) -> Result<Bytes>;
    /// A record as it stands in the outbox, or in `tasq_records`.
    fn record(&self) -> Result<Record>;
}

impl Columns for Row<'_> {
    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, column: &str) -> Result<T> {
        let text = self.get_ref(column)?.as_str().map_err(|error| unreadable(column, error))?;
        text.parse().map_err(|error| unreadable(column, error))
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        let millis: i64 = self.get(column)?;
        Ok(Timestamp(u64::try_from(millis).unwrap_or(0)))
    }

    fn number(&self, column: &str) -> Result<u32> {
        Ok(self.get(column)?)
    }

    fn priority(&self) -> Result<Priority> {
        let number: usize = self.get::<_, u8>("priority")?.into();
        Priority::ALL.get(number).copied().ok_or_else(|| unreadable("priority", number))
    }

    fn history(&self) -> Result<Vec<FailedRun>> {
        let bytes = self.get_ref("history")?.as_blob_or_null().map_err(|error| unreadable("history", error))?;
        bytes.map_or(Ok(Vec::new()), |bytes| postcard::from_bytes(bytes).map_err(|e| unreadable("history", e)))
    }

    fn bytes(&self, column: &str) -> Result<Bytes> {
        let bytes = self.get_ref(column)?.as_blob().map_err(|error| unreadable(column, error))?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn record(&self) -> Result<Record> {
        let bytes = self.get_ref("record")?.as_blob().map_err(|error| unreadable("record", error))?;
        let record = codec::decode_record(bytes).map_err(|error| unreadable("record", error))?;
        // In the outbox it is whole.
        let result = self.get_ref("result").ok().and_then(|result| result.as_blob_or_null().ok().flatten());
        Ok(Record { result: result.map(Bytes::copy_from_slice).or(record.result), ..record })
    }
}

/// What `tasq_records` has of a record: what others read has columns of its own, and stands only there.
pub(super) struct Kept {
    pub(super) record: Bytes,
    pub(super) result: Option<Bytes>,
    pub(super) error: Option<String>,
    pub(super) attempt: u32,
    pub(super) finished_at: i64,
}

impl Kept {
    pub(super) fn of(record: &Record) -> Kept {
        // Three texts: nothing in it could fail.
        let error = |failure| serde_json::to_string(failure).expect("a failure serialises");
        Kept {
            result: record.result.clone(),
            error: record.failure.as_ref().map(error),
            attempt: record.attempt,
            finished_at: stored(record.finished_at),
            record: codec::encode_record(&Record { result: None, ..record.clone() }),
        }
    }
}

/// A history as it is stored: nothing for an empty one.
pub(super) fn stored_history(history: &[FailedRun]) -> Option<Vec<u8>> {
    // Serialising plain data into memory has nothing that could fail.
    (!history.is_empty()).then(|| postcard::to_stdvec(history).expect("plain data serialises"))
}

/// A row of `tasq_tasks` joined with its envelope.
pub(super) fn tracked(row: &Row<'_>, now: Timestamp) -> Result<Tracked> {
    let (state, leased) = (state(row, now)?, row.get::<_, u8>("state")? == 2);
    Ok(Tracked {
        id: row.parsed("id")?,
        queue: row.parsed("queue")?,
        handler: row.parsed("handler")?,
        priority: row.priority()?,
        state,
        run: row.number("run")?,
        failed: row.number("failed")?,
        lost: row.number("lost")?,
        enqueued_at: row.time("enqueued_at")?,
        due_at: row.time("due_at")?,
        started_at: if leased { Some(row.time("since")?) } else { None },
        worker: if leased { Some(row.parsed("worker")?) } else { None },
        history: row.history()?,
        cancelled: row.get("cancelled")?,
        arrived: row
            .get::<_, Option<u32>>("wants")?
            .map(|wants| Ok::<_, Error>((row.number("arrived")?, wants)))
            .transpose()?,
        envelope: row.bytes("envelope")?,
    })
}

fn state(row: &Row<'_>, now: Timestamp) -> Result<State> {
    Ok(match row.get::<_, u8>("state")? {
        0 => State::Pending,
        1 if row.time("due_at")? > now => State::Scheduled,
        1 => State::Pending,
        2 => State::Running,
        3 if row.get("parked")? => State::Parked,
        3 => State::Pending,
        4 => State::Dead,
        other => return Err(unreadable("state", other)),
    })
}

/// Reads every row into a value.
pub(super) fn collect<T>(mut rows: rusqlite::Rows<'_>, mut read: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut values = Vec::new();
    while let Some(row) = rows.next().map_err(Error::from)? {
        values.push(read(row)?);
    }
    Ok(values)
}
