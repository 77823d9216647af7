-- Unique keys, cancelling, results that a task waits for, a queue's settings, schedules, what handlers keep, and lists
-- that stay quick however long they are.

ALTER TABLE tasq_tasks ADD COLUMN holds         TEXT;                        -- its unique key, where it holds it until it ends
ALTER TABLE tasq_tasks ADD COLUMN cancelled     INTEGER NOT NULL DEFAULT 0;  -- 1: it is to be cancelled
ALTER TABLE tasq_tasks ADD COLUMN wants         INTEGER;                     -- how many results it waits for; none: for no one's
ALTER TABLE tasq_tasks ADD COLUMN arrived       INTEGER NOT NULL DEFAULT 0;  -- of these
ALTER TABLE tasq_tasks ADD COLUMN arrived_bytes INTEGER NOT NULL DEFAULT 0;  -- all of them together, kept or not

-- Running tasks that are to be cancelled: few, and looked for whenever another process has changed something.
CREATE INDEX tasq_tasks_cancelled ON tasq_tasks (id) WHERE state = 2 AND cancelled = 1;

-- With the queue, so that those that run in one are counted without a look at the tasks; older versions of SQLite need
-- the state for that, too.
DROP INDEX tasq_tasks_leased;
CREATE INDEX tasq_tasks_leased ON tasq_tasks (worker, until, queue, state) WHERE state = 2;

-- A list leaps from handler to handler, takes the newest of each, and merges. The last two columns let it pass over
-- what isn't meant without a look at the task. Leased tasks are left out: they are few, a claim and an end are then as
-- cheap as with an index over the time alone, and nothing is written when a lease is extended.
DROP INDEX tasq_tasks_age;
CREATE INDEX tasq_tasks_listed ON tasq_tasks (state, queue, handler, enqueued_at, due_at, parked)
    WHERE state IN (0, 1, 3);

DROP INDEX tasq_results_age;
CREATE INDEX tasq_results_listed ON tasq_results (state, queue, handler, enqueued_at);

-- Who holds which unique key. `until`: none for as long as the task is unfinished.
CREATE TABLE tasq_uniques (
    queue TEXT NOT NULL,
    key   TEXT NOT NULL,
    id    TEXT NOT NULL,
    until INTEGER,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX tasq_uniques_until ON tasq_uniques (until) WHERE until IS NOT NULL;

-- What has arrived for a task that waits for several; empty once they are too much together.
CREATE TABLE tasq_arrivals (
    task   INTEGER NOT NULL,                  -- its seq
    place  INTEGER NOT NULL,                  -- from 0
    result BLOB    NOT NULL,
    UNIQUE (task, place)
) STRICT;

-- What holds for a queue in all workers.
CREATE TABLE tasq_queues (
    queue       TEXT    PRIMARY KEY,
    paused      INTEGER NOT NULL,
    rate        INTEGER,                      -- so many tasks
    rate_us     INTEGER,                      -- in so many microseconds
    concurrency INTEGER,
    reached     INTEGER NOT NULL DEFAULT 0    -- when, in microseconds, what was taken would all have been due at the rate
) STRICT, WITHOUT ROWID;

CREATE TABLE tasq_schedules (
    name  TEXT    PRIMARY KEY,
    body  BLOB    NOT NULL,
    since INTEGER NOT NULL,                   -- ticks up to here are done
    last  TEXT                                -- the task of the last tick that gave one
) STRICT, WITHOUT ROWID;

-- What handlers keep. Not WITHOUT ROWID, for values are large.
CREATE TABLE tasq_store (
    owner TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,
    until INTEGER,
    UNIQUE (owner, key)
) STRICT;

CREATE INDEX tasq_store_until ON tasq_store (owner, until) WHERE until IS NOT NULL;

-- What an owner keeps in all. Triggers count, so that no way of writing can forget to.
CREATE TABLE tasq_store_usage (
    owner TEXT    PRIMARY KEY,
    keys  INTEGER NOT NULL,
    bytes INTEGER NOT NULL                    -- of keys and values
) STRICT, WITHOUT ROWID;

CREATE TRIGGER tasq_store_added AFTER INSERT ON tasq_store BEGIN
    INSERT INTO tasq_store_usage (owner, keys, bytes)
    VALUES (new.owner, 1, length(CAST(new.key AS BLOB)) + length(new.value))
    ON CONFLICT (owner) DO UPDATE SET keys = keys + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER tasq_store_removed AFTER DELETE ON tasq_store BEGIN
    UPDATE tasq_store_usage
    SET keys = keys - 1, bytes = bytes - length(CAST(old.key AS BLOB)) - length(old.value) WHERE owner = old.owner;
    DELETE FROM tasq_store_usage WHERE owner = old.owner AND keys = 0;
END;

CREATE TRIGGER tasq_store_changed AFTER UPDATE OF value ON tasq_store BEGIN
    UPDATE tasq_store_usage SET bytes = bytes - length(old.value) + length(new.value) WHERE owner = new.owner;
END;
