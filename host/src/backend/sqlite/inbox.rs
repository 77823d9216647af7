//! What others inserted into `tasq_inbox`, in transactions of their own.
//!
//! Who inserts tells nobody: the writer sees within a second that the file has changed, and rings the bell.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};
use tokio::time::{Instant, sleep_until};

use super::Sqlite;
use super::link::Kind;
use super::rows::{Columns, collect, limit, stored};
use super::turn::Turn;
use crate::error::Result;
use crate::inbox::{BYTES, Content, HOLD, Inbox, Parcel, Ticket, derived_id};
use crate::request::HEADER;

/// However often the bell rings, two looks are no closer than this.
const SHORTEST: Duration = Duration::from_millis(20);

/// The columns that are options, and what `request` calls them.
const OPTIONS: [(&str, &str); 13] = [
    ("queue", "queue"),
    ("priority", "priority"),
    ("delay", "delay"),
    ("at", "at"),
    ("expires", "expires"),
    ("timeout", "timeout"),
    ("cpu", "cpu"),
    ("max_retries", "max-retries"),
    ("backoff", "backoff"),
    ("retention", "retention"),
    ("unique_key", "unique"),
    ("unique_for", "unique-for"),
    ("content_type", "content-type"),
];

#[async_trait]
impl Inbox for Sqlite {
    async fn read(&self, max: usize, wait: Duration) -> Result<Vec<Parcel>> {
        let end = Instant::now() + wait;
        let mut rung = self.bell.wait();
        loop {
            // Marked before looking: what comes in between wakes us too.
            rung.mark_unchanged();
            // Looking costs the writer nothing.
            let there = self.read(|db, now| {
                let mut look = db.prepare_cached("SELECT 1 FROM tasq_inbox WHERE held_until <= ?1 LIMIT 1")?;
                Ok(look.exists([stored(now)])?)
            });
            if max > 0 && there.await? {
                return self.link.call(Kind::Hold, max, move |turn| turn.hand_out(max)).await;
            }
            let now = Instant::now();
            if now >= end {
                return Ok(Vec::new());
            }
            sleep_until(end.min(now + SHORTEST)).await;
            tokio::select! {
                // The bell hangs as long as we do.
                _ = rung.changed() => {}
                () = sleep_until(end) => {}
            }
        }
    }

    async fn taken(&self, tickets: Vec<Ticket>) -> Result<()> {
        if tickets.is_empty() {
            return Ok(());
        }
        let rows = tickets.len();
        let drop = move |turn: &mut Turn<'_>| {
            let mut drop = turn.sql("DELETE FROM tasq_inbox WHERE number = ?1")?;
            for Ticket(number) in tickets {
                drop.execute([number.parse::<i64>().unwrap_or_default()])?;
            }
            Ok(())
        };
        self.link.call(Kind::Write, rows, drop).await
    }

    async fn left(&self) -> Result<u64> {
        self.read(|db, _| {
            let count: i64 = db.query_row("SELECT count(*) FROM tasq_inbox", [], |row| row.get(0))?;
            Ok(count.cast_unsigned())
        })
        .await
    }
}

impl Turn<'_> {
    fn hand_out(&self, max: usize) -> Result<Vec<Parcel>> {
        let now = stored(self.now);
        let mut lengths = self.sql(
            "SELECT number, coalesce(octet_length(payload), 0) AS bytes FROM tasq_inbox WHERE held_until <= ?1
             ORDER BY number LIMIT ?2",
        )?;
        let (mut last, mut bytes) = (None, 0);
        let mut rows = lengths.query(params![now, limit(max)])?;
        while let Some(row) = rows.next()? {
            bytes += row.get::<_, i64>("bytes")?.unsigned_abs();
            if bytes > BYTES as u64 && last.is_some() {
                break;
            }
            last = Some(row.get::<_, i64>("number")?);
        }
        drop(rows);
        let mut read = self.sql("SELECT * FROM tasq_inbox WHERE held_until <= ?1 AND number <= ?2 ORDER BY number")?;
        let parcels = collect(read.query(params![now, last])?, parcel)?;
        self.sql("UPDATE tasq_inbox SET held_until = ?3 WHERE held_until <= ?1 AND number <= ?2")?.execute(params![
            now,
            last,
            stored(self.now.plus(HOLD))
        ])?;
        Ok(parcels)
    }
}

fn parcel(row: &Row<'_>) -> Result<Parcel> {
    let (number, id) = (row.get::<_, i64>("number")?, text(row, "id")?.unwrap_or_default());
    let received = row.time("received_at")?.0;
    Ok(Parcel {
        ticket: Ticket(number.to_string()),
        // The row's own id is for its writer to choose.
        id: derived_id(received, &[b"sqlite", &number.to_be_bytes(), &received.to_be_bytes(), id.as_bytes()]),
        content: content(row, id)?,
    })
}

fn content(row: &Row<'_>, id: String) -> Result<Content> {
    let payload = bytes(row.get_ref("payload")?);
    let Some(handler) = text(row, "handler")? else {
        return Ok(Content::Object { text: payload.unwrap_or_default(), id: Some(id) });
    };
    let mut options = vec![("id".to_owned(), id)];
    for (column, name) in OPTIONS {
        options.extend(text(row, column)?.map(|value| (name.to_owned(), value)));
    }
    if let Some(headers) = text(row, "headers")? {
        match serde_json::from_str::<BTreeMap<String, String>>(&headers) {
            Ok(headers) => options.extend(headers.into_iter().map(|(name, value)| (format!("{HEADER}{name}"), value))),
            // No option is called so: whoever reads it says so.
            Err(_) => options.push(("headers (expected a JSON object of texts)".to_owned(), headers)),
        }
    }
    Ok(Content::Parts { handler, payload, options })
}

fn text(row: &Row<'_>, column: &str) -> Result<Option<String>> {
    let bytes = bytes(row.get_ref(column)?);
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Numbers as SQLite writes them.
fn bytes(value: ValueRef<'_>) -> Option<Bytes> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(number.to_string().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Bytes::copy_from_slice(bytes)),
    }
}
