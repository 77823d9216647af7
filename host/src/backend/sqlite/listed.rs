//! Lists of what may be millions of rows, newest first: index by index and handler by handler, the newest of each.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::error::unreadable;
use super::rows::{collect, limit, stored};
use crate::error::Result;
use crate::results::Filter;
use crate::task::{Name, Timestamp};

/// Where rows are listed from.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) table: &'static str,
    pub(super) index: &'static str,
    /// Which part of the index.
    pub(super) part: &'static str,
    /// What else must hold. May name `:now`.
    pub(super) only: &'static str,
    /// The index goes on with queue, handler and time of enqueueing; without, all of its part is looked at.
    pub(super) by_handler: bool,
}

/// A row and its place in the order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    enqueued_at: i64,
    id: String,
    seq: i64,
}

/// The rows to list, newest first.
pub(super) fn newest(db: &Connection, sources: &[Source], filter: &Filter, now: Timestamp) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    for source in sources {
        if source.by_handler {
            for group in groups(db, source, filter)? {
                take_newest(db, source, &group, filter, now, &mut found)?;
            }
        } else {
            let group = (filter.queue.clone(), filter.handler.clone());
            take_newest(db, source, &group, filter, now, &mut found)?;
        }
    }
    Ok(found.into_iter().map(|place| place.seq).collect())
}

/// A queue and a handler; none for any.
type Group = (Option<Name>, Option<Name>);

/// The queues and handlers that occur and are asked for, found by leaping over the index.
fn groups(db: &Connection, source: &Source, filter: &Filter) -> Result<Vec<Group>> {
    let Source { table, index, part, .. } = source;
    let leap = |beyond| {
        db.prepare_cached(&format!(
            "SELECT queue, handler FROM {table} INDEXED BY {index} WHERE {part} AND {beyond}
             ORDER BY queue, handler LIMIT 1"
        ))
    };
    // Two, for SQLite walks through all of a group to get beyond a pair.
    let (mut next_handler, mut next_queue) = (leap("queue = ?1 AND handler > ?2")?, leap("queue > ?1")?);
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let (mut groups, mut last) = (Vec::new(), (String::new(), String::new()));
    if let Some(queue) = &filter.queue {
        last.0 = queue.to_string();
    }
    loop {
        let mut found = next_handler.query_row([&last.0, &last.1], read).optional()?;
        if found.is_none() && filter.queue.is_none() {
            found = next_queue.query_row([&last.0], read).optional()?;
        }
        let Some(group) = found else { return Ok(groups) };
        last = group;
        let parse = |text: &str| text.parse::<Name>().map_err(|error| unreadable("name", error));
        let (queue, handler) = (parse(&last.0)?, parse(&last.1)?);
        if filter.handler.as_ref().is_none_or(|wanted| *wanted == handler) {
            groups.push((Some(queue), Some(handler)));
        }
    }
}

/// Adds what is newer than the oldest of those that were `found` before.
fn take_newest(
    db: &Connection,
    source: &Source,
    (queue, handler): &Group,
    filter: &Filter,
    now: Timestamp,
    found: &mut Vec<Place>,
) -> Result<()> {
    let Source { table, index, part, only, by_handler } = source;
    let group = if *by_handler {
        "queue = :queue AND handler = :handler"
    } else {
        "(:queue IS NULL OR queue = :queue) AND (:handler IS NULL OR handler = :handler)"
    };
    // The time's range is the index's; what shares one moment is sorted.
    let mut find = db.prepare_cached(&format!(
        "SELECT enqueued_at, id, seq FROM {table} INDEXED BY {index}
         WHERE {part} AND {group} AND ({only}) AND :now IS NOT NULL
         AND enqueued_at BETWEEN :floor AND :time AND (:id IS NULL OR enqueued_at < :time OR id < :id)
         ORDER BY enqueued_at DESC, id DESC LIMIT :limit"
    ))?;
    let (time, id) = filter.after.as_ref().map_or((i64::MAX, None), |after| (stored(after.0), Some(after.1.as_str())));
    let is_full = found.len() >= filter.limit;
    let floor = found.last().filter(|_| is_full).map_or(i64::MIN, |oldest| oldest.enqueued_at);
    let rows = find.query(named_params! {
        ":queue": queue.as_ref().map(Name::as_str),
        ":handler": handler.as_ref().map(Name::as_str),
        ":now": stored(now),
        ":floor": floor,
        ":time": time,
        ":id": id,
        ":limit": limit(filter.limit),
    })?;
    found.extend(collect(rows, |row| Ok(Place { enqueued_at: row.get(0)?, id: row.get(1)?, seq: row.get(2)? }))?);
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(filter.limit);
    Ok(())
}
