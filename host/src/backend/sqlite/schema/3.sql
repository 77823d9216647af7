-- What other programs leave and read with SQLite alone: an inbox to insert into, and a view of results.

-- What a task returned, and why it is dead, as columns of their own; `record` has the rest.
ALTER TABLE tasq_results RENAME TO tasq_records;
ALTER TABLE tasq_records ADD COLUMN result      BLOB;
ALTER TABLE tasq_records ADD COLUMN error       TEXT;     -- {"kind":…,"code":…,"message":…}
ALTER TABLE tasq_records ADD COLUMN attempt     INTEGER;
ALTER TABLE tasq_records ADD COLUMN finished_at INTEGER;

CREATE VIEW tasq_results AS
    SELECT id, handler, queue, state, result, error, attempt, enqueued_at, finished_at, expires_at
    FROM tasq_records WHERE expires_at > 1000 * CAST(strftime('%s', 'now') AS INTEGER);

-- What others left; docs/INBOX.md says what the columns mean. AUTOINCREMENT, because a number that came again could make a
-- late confirmation drop the wrong parcel. An id is like those that this program generates.
CREATE TABLE tasq_inbox (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    handler      TEXT,
    payload      ANY,
    id           TEXT    NOT NULL DEFAULT (
        printf('%08x-%04x-7%s-%s%s-%s',
            CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
            CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
            substr(lower(hex(randomblob(2))), 2), substr('89ab', 1 + (random() & 3), 1),
            substr(lower(hex(randomblob(2))), 2), lower(hex(randomblob(6))))),
    queue        TEXT,
    priority     TEXT,
    delay        TEXT,
    at           TEXT,
    expires      TEXT,
    timeout      TEXT,
    cpu          TEXT,
    max_retries  INTEGER,
    backoff      TEXT,
    retention    TEXT,
    unique_key   TEXT,
    unique_for   TEXT,
    content_type TEXT,
    headers      TEXT,                                    -- {"name":"value", …}
    received_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    held_until   INTEGER NOT NULL DEFAULT 0               -- handed out to a worker until then
) STRICT;
