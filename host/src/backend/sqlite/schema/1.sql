-- Everything is called tasq_…, because a producer may keep its own tables in the same file and enqueue in its own
-- transaction. Times are Unix milliseconds by the clock of the process that wrote them.

-- A task until it has left the broker. `state`: 0 ready, 1 due later, 2 leased, 3 aside, 4 dead letter. The numbers
-- stand in every query as literals: only so does SQLite see that a partial index fits.
CREATE TABLE tasq_tasks (
    seq         INTEGER PRIMARY KEY,          -- the order of acceptance
    id          TEXT    NOT NULL UNIQUE,
    queue       TEXT    NOT NULL,
    handler     TEXT    NOT NULL,
    priority    INTEGER NOT NULL,             -- 0 high, 1 normal, 2 low
    format      INTEGER NOT NULL,             -- of the envelope
    state       INTEGER NOT NULL,
    parked      INTEGER NOT NULL DEFAULT 0,   -- aside: 1 for no handler or a newer format, 0 for no room
    run         INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    lost        INTEGER NOT NULL DEFAULT 0,
    enqueued_at INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    since       INTEGER,                      -- leased: since when; dead: when it died
    until       INTEGER,                      -- leased: end of the lease; dead: kept until then
    worker      TEXT,                         -- leased: by whom
    remember    INTEGER,                      -- how long its id stays taken after its end
    history     BLOB                          -- failed runs, postcard
) STRICT;

-- Each ends with the row's number by itself: among tasks due at the same time the order of acceptance decides.
CREATE INDEX tasq_tasks_ready  ON tasq_tasks (queue, priority, due_at) WHERE state = 0;
CREATE INDEX tasq_tasks_due    ON tasq_tasks (due_at, queue) WHERE state = 1;
CREATE INDEX tasq_tasks_leased ON tasq_tasks (worker, until) WHERE state = 2;
CREATE INDEX tasq_tasks_aside  ON tasq_tasks (queue, priority, format, handler, due_at) WHERE state = 3;
CREATE INDEX tasq_tasks_dead   ON tasq_tasks (queue, since) WHERE state = 4;
CREATE INDEX tasq_tasks_kept   ON tasq_tasks (until) WHERE state = 4;
CREATE INDEX tasq_tasks_age    ON tasq_tasks (enqueued_at);

-- Apart from the state, so that moving a task never copies its payload.
CREATE TABLE tasq_envelopes (
    seq      INTEGER PRIMARY KEY,
    envelope BLOB NOT NULL
) STRICT;

-- Ended tasks; `record` holds everything, the columns are what is searched for.
CREATE TABLE tasq_results (
    seq         INTEGER PRIMARY KEY,          -- the order of ending
    id          TEXT    NOT NULL UNIQUE,
    queue       TEXT    NOT NULL,
    handler     TEXT    NOT NULL,
    state       TEXT    NOT NULL,             -- done, dead, cancelled
    dead        INTEGER NOT NULL,             -- 1 for dead: these have a cap of their own
    run         INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    record      BLOB    NOT NULL
) STRICT;

CREATE INDEX tasq_results_queue   ON tasq_results (queue, dead);
CREATE INDEX tasq_results_expires ON tasq_results (expires_at);
CREATE INDEX tasq_results_age     ON tasq_results (enqueued_at);

-- Ids that stay taken although their task has left.
CREATE TABLE tasq_tombstones (
    id    TEXT    PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tasq_tombstones_until ON tasq_tombstones (until);

-- Records on their way to another server. AUTOINCREMENT, because a number that came again could make a late
-- confirmation drop the wrong letter.
CREATE TABLE tasq_outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT NOT NULL,
    record BLOB NOT NULL
) STRICT;

CREATE INDEX tasq_outbox_id ON tasq_outbox (id);

-- What workers told of themselves, as JSON.
CREATE TABLE tasq_workers (
    id     TEXT    PRIMARY KEY,
    until  INTEGER NOT NULL,
    report TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
