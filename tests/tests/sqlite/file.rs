//! Which files are taken, which are refused, and that nothing in them is lost.

use std::path::Path;

use tasq_host::broker::{Revive, Settled};
use tasq_host::clock::{Clock, System};
use tasq_host::codec;
use tasq_host::error::{Error, ErrorKind};
use tasq_host::results::Filter;
use tasq_host::task::{State, Timestamp};
use tasq_tests::nouns::{DAY, ended, here, id, ids, record, tasks};

use super::{Place, done, open, request, waiting};

async fn refusal(path: &Path) -> Error {
    let error = open(&format!("sqlite:{}", path.display())).await.err().expect("the file is refused");
    assert!(error.message.contains(path.to_str().unwrap()), "names the file: {error}");
    assert!(!error.message.contains('\n'), "one line: {error}");
    error
}

#[tokio::test]
async fn tasks_and_results_survive_closing_the_file() {
    let place = Place::new();
    let first = {
        let backend = place.open().await;
        backend.broker.push(tasks("t", 2)).await.unwrap();
        let first = backend.broker.reserve(&request(1)).await.unwrap().remove(0);
        backend.broker.settle(&[done(&first)]).await.unwrap();
        first
    };
    let backend = place.open().await;
    let taken = backend.broker.reserve(&waiting(2)).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].envelope, "t1");
    let kept = backend.results.get(&[id("t0")]).await.unwrap();
    assert_eq!(kept[0], Some(record(&first, State::Done, DAY)));
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_as_it_is() {
    let place = Place::new();
    drop(place.open().await);
    place.foreign().pragma_update(None, "user_version", 7).unwrap();
    let error = refusal(&place.path()).await;
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.contains("version 3 ") && error.message.contains("version 7"), "{error}");
    let version: i64 = place.foreign().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 7);
}

/// As version 1 wrote it: one task ready, one due, one leased by a worker that is gone, one parked, one dead, one done.
const OLD: &str = "
    INSERT INTO tasq_tasks (id, queue, handler, priority, format, state, parked, run, enqueued_at, due_at, since, until, worker)
    VALUES ('ready', 'q', 'h', 1, 1, 0, 0, 0, 1000, 1000, NULL, NULL, NULL),
        ('due', 'q', 'h', 1, 1, 1, 0, 0, 1001, 2000, NULL, NULL, NULL),
        ('leased', 'q', 'h', 1, 1, 2, 0, 1, 1002, 1002, 1003, 9000, 'gone'),
        ('parked', 'q', 'h', 1, 1, 3, 1, 0, 1003, 1003, NULL, NULL, NULL),
        ('dead', 'q', 'h', 1, 1, 4, 0, 3, 1004, 1004, 1005, 9000000000000, NULL);
    INSERT INTO tasq_envelopes (seq, envelope) SELECT seq, CAST(id AS BLOB) FROM tasq_tasks;
    PRAGMA user_version = 1;";

#[tokio::test]
async fn a_file_of_an_older_version_is_brought_forward_with_all_that_is_in_it() {
    let place = Place::new();
    let old = place.foreign();
    old.execute_batch(include_str!("../../../host/src/backend/sqlite/schema/1.sql")).unwrap();
    old.execute_batch(OLD).unwrap();
    let done = ended("done", "q", State::Done, (Timestamp(1), System.now()), DAY);
    old.execute(
        "INSERT INTO tasq_results (id, queue, handler, state, dead, run, enqueued_at, expires_at, record)
         VALUES ('done', 'q', 'h', 'done', 0, 1, 1, 9000000000000, ?1)",
        [&codec::encode_record(&done)[..]],
    )
    .unwrap();
    drop(old);
    let backend = place.open().await;
    let filter = Filter { limit: 9, ..Filter::default() };
    let listed = backend.operations.list(&filter).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|task| here(Some(task)).id.to_string()).collect();
    assert_eq!(listed, ["parked", "leased", "due", "ready"]);
    assert_eq!(backend.results.list(&filter).await.unwrap(), [done]);
    assert_eq!(backend.operations.revive(&[id("dead")]).await.unwrap(), [Revive::Done]);
    let mut taken = Vec::new();
    while taken.len() < 5 {
        taken.extend(backend.broker.reserve(&waiting(5)).await.unwrap());
    }
    let ends = taken.iter().map(super::done).collect::<Vec<_>>();
    assert_eq!(backend.broker.settle(&ends).await.unwrap(), [Settled::Applied; 5]);
    let mut taken = ids(&taken);
    taken.sort_unstable();
    assert_eq!(taken, ["dead", "due", "leased", "parked", "ready"]);
    let version: i64 = place.foreign().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 3);
    assert_eq!(place.count("tasq_records"), 6);
    // What it returned is for everyone to read, too.
    let shown = place.foreign().query_row("SELECT state, result FROM tasq_results WHERE id = 'done'", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    assert_eq!(shown.unwrap(), ("done".to_owned(), b"{\"result\":9}\0\xff".to_vec()));
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let place = Place::new();
    place.foreign().execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1").unwrap();
    let before = std::fs::read(place.path()).unwrap();
    let error = refusal(&place.path()).await;
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
}

#[tokio::test]
async fn a_producers_own_tables_may_stand_in_the_same_file() {
    let place = Place::new();
    place.foreign().execute_batch("CREATE TABLE orders (x); INSERT INTO orders VALUES (1)").unwrap();
    place.open().await.broker.push(tasks("t", 1)).await.unwrap();
    assert_eq!((place.count("orders"), place.count("tasq_tasks")), (1, 1));
}

#[tokio::test]
async fn files_that_are_no_database_are_refused_and_left_as_they_are() {
    let place = Place::new();
    let torn = [b"SQLite format 3\0".as_slice(), &[0xa5; 8192]].concat();
    for content in [b"not a database".as_slice(), b"x", &[0; 4096], &torn] {
        std::fs::write(place.path(), content).unwrap();
        let error = refusal(&place.path()).await;
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        assert_eq!(std::fs::read(place.path()).unwrap(), content);
    }
}

#[tokio::test]
async fn a_place_where_no_file_can_be_is_refused() {
    let place = Place::new();
    let error = refusal(&place.folder.path().join("missing/tasq.db")).await;
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(error.message.contains("missing to exist"), "{error}");
    let error = refusal(place.folder.path()).await;
    assert!(error.message.contains("found a folder"), "{error}");
    drop(place.open().await);
    let mut permissions = std::fs::metadata(place.path()).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(place.path(), permissions).unwrap();
    let error = refusal(&place.path()).await;
    assert!(error.message.contains("read-only"), "{error}");
}

#[tokio::test]
async fn damage_met_later_is_told_apart_from_a_file_that_is_busy() {
    let place = Place::new();
    let backend = place.open().await;
    backend.broker.push(tasks("t", 1)).await.unwrap();
    place.foreign().execute_batch("DROP TABLE tasq_envelopes").unwrap();
    assert_eq!(backend.broker.push(tasks("u", 1)).await.unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(backend.broker.reserve(&request(1)).await.unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(backend.operations.get(&[id("t0")]).await.unwrap_err().kind, ErrorKind::Corrupt);
    // What failed left nothing behind.
    assert_eq!(place.count("tasq_tasks"), 1);
}
