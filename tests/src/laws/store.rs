//! What handlers keep.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::iter;
use tasq_host::backend::Backend;
use tasq_host::store::{BYTES, KEYS, Op, Stored, VALUE};

use crate::fixture::Fixture;
use crate::nouns::*;

async fn apply(backend: &Backend, owner: &str, key: &str, op: Op) -> Stored {
    backend.store.apply(&name(owner), key, op).await.expect("apply")
}

async fn get(backend: &Backend, owner: &str, key: &str) -> Option<Bytes> {
    match apply(backend, owner, key, Op::Get).await {
        Stored::Value(value) => value,
        other => panic!("expected a value, found {other:?}"),
    }
}

fn put(value: impl Into<Bytes>, ttl: Option<Duration>) -> Op {
    Op::Put { value: value.into(), ttl }
}

fn replace(expected: Option<&'static str>, value: &'static str) -> Op {
    Op::Replace { expected: expected.map(Bytes::from), value: value.into(), ttl: None }
}

/// Each owner has keys of its own, whatever bytes they hold, and every handle sees them.
pub async fn a_value_is_kept_for_its_owner(f: Fixture) {
    let odd = "ä \"*?[\\]:{}\n";
    assert_eq!(get(&f.backend, "h", "k").await, None);
    for (owner, key, value) in [("h", "k", &b"\0\xff"[..]), ("h2", "k", b""), ("h", odd, b"odd")] {
        assert_eq!(apply(&f.backend, owner, key, put(Bytes::copy_from_slice(value), None)).await, Stored::Done);
    }
    let other = f.reopen().await;
    assert_eq!(get(&other, "h", "k").await.as_deref(), Some(&b"\0\xff"[..]));
    assert_eq!(get(&other, "h2", "k").await.as_deref(), Some(&b""[..]));
    assert_eq!(get(&other, "h", odd).await.as_deref(), Some(&b"odd"[..]));
    assert_eq!(apply(&other, "h", "k", Op::Remove).await, Stored::Done);
    assert_eq!(apply(&other, "h", "k", Op::Remove).await, Stored::Done);
    assert_eq!(get(&f.backend, "h", "k").await, None);
    assert!(get(&f.backend, "h2", "k").await.is_some());
}

/// For as long as was asked; writing again counts anew, and without a time it stays.
pub async fn a_value_expires(f: Fixture) {
    let b = &f.backend;
    apply(b, "h", "brief", put("x", Some(f.beats(3)))).await;
    apply(b, "h", "longer", put("x", Some(f.beats(3)))).await;
    apply(b, "h", "kept", put("x", Some(f.beats(3)))).await;
    f.pass(f.beats(2)).await;
    assert!(get(b, "h", "brief").await.is_some());
    apply(b, "h", "longer", put("x", Some(f.beats(3)))).await;
    apply(b, "h", "kept", put("x", None)).await;
    f.pass(f.beats(1)).await;
    assert_eq!(get(b, "h", "brief").await, None);
    assert!(get(b, "h", "longer").await.is_some());
    f.pass(f.beats(2)).await;
    assert_eq!(get(b, "h", "longer").await, None);
    assert!(get(b, "h", "kept").await.is_some());
    assert_eq!(apply(b, "h", "brief", replace(None, "new")).await, Stored::Replaced(true));
    f.pass(f.beats(30)).await;
    assert!(get(b, "h", "brief").await.is_some(), "what had expired gives its end to nobody");
}

/// Only what holds what was expected is replaced; the expiry stays.
pub async fn a_value_is_replaced_where_it_is_as_expected(f: Fixture) {
    let b = &f.backend;
    assert_eq!(apply(b, "h", "k", replace(Some("a"), "b")).await, Stored::Replaced(false));
    assert_eq!(get(b, "h", "k").await, None);
    assert_eq!(apply(b, "h", "k", replace(None, "a")).await, Stored::Replaced(true));
    assert_eq!(apply(b, "h", "k", replace(None, "b")).await, Stored::Replaced(false));
    assert_eq!(apply(b, "h", "k", replace(Some("a"), "b")).await, Stored::Replaced(true));
    assert_eq!(get(b, "h", "k").await.as_deref(), Some(&b"b"[..]));
    apply(b, "h", "t", put("1", Some(f.beats(2)))).await;
    apply(b, "h", "t", replace(Some("1"), "2")).await;
    f.pass(f.beats(2)).await;
    assert_eq!(get(b, "h", "t").await, None);
}

/// Absent counts as 0; what is no number, or would be none, stays as it is.
pub async fn a_number_is_counted(f: Fixture) {
    let b = &f.backend;
    let add = |by| Op::Increment { by, ttl: None };
    assert_eq!(apply(b, "h", "n", add(5)).await, Stored::Number(5));
    assert_eq!(apply(b, "h", "n", add(-7)).await, Stored::Number(-2));
    assert_eq!(get(b, "h", "n").await.as_deref(), Some(&b"-2"[..]));
    apply(b, "h", "x", put("12 ", None)).await;
    assert_eq!(apply(b, "h", "x", add(1)).await, Stored::NotANumber);
    let most = i64::MAX.to_string();
    apply(b, "h", "most", put(most.clone(), None)).await;
    assert_eq!(apply(b, "h", "most", add(1)).await, Stored::NotANumber);
    assert_eq!(get(b, "h", "most").await.as_deref(), Some(most.as_bytes()));
    assert_eq!(apply(b, "h", "most", add(-1)).await, Stored::Number(i64::MAX - 1));
    apply(b, "h", "t", Op::Increment { by: 1, ttl: Some(f.beats(2)) }).await;
    apply(b, "h", "t", add(1)).await;
    f.pass(f.beats(2)).await;
    assert_eq!(apply(b, "h", "t", add(1)).await, Stored::Number(1));
}

/// Counting by many at once loses nothing.
pub async fn a_number_counted_by_many_is_right(f: Fixture) {
    let others = [f.reopen().await, f.reopen().await];
    let counts = (0..60).map(|number| {
        let backend = &others[number % 2];
        async move { apply(backend, "h", "n", Op::Increment { by: 1, ttl: None }).await }
    });
    futures_util::future::join_all(counts).await;
    assert_eq!(get(&f.backend, "h", "n").await.as_deref(), Some(&b"60"[..]));
}

/// One owner can't take more than its share of keys; what it has it may change, and what has expired makes room.
pub async fn keys_are_bounded(f: Fixture) {
    let puts = iter(0..KEYS).map(|number| {
        let ttl = (number == 7).then(|| f.beats(2));
        let backend = &f.backend;
        async move { apply(backend, "h", &format!("k{number}"), put("x", ttl)).await }
    });
    let stored: Vec<_> = puts.buffer_unordered(500).collect().await;
    assert!(stored.iter().all(|stored| *stored == Stored::Done));
    let b = &f.backend;
    assert_eq!(apply(b, "h", "more", put("x", None)).await, Stored::Full);
    assert_eq!(apply(b, "h", "more", replace(None, "x")).await, Stored::Full);
    assert_eq!(apply(b, "h", "more", Op::Increment { by: 1, ttl: None }).await, Stored::Full);
    assert_eq!(get(b, "h", "more").await, None);
    assert_eq!(apply(b, "h", "k1", put("y", None)).await, Stored::Done);
    assert_eq!(apply(b, "h2", "more", put("x", None)).await, Stored::Done);
    f.pass(f.beats(2)).await;
    assert_eq!(apply(b, "h", "more", put("x", None)).await, Stored::Done);
    assert_eq!(apply(b, "h", "again", put("x", None)).await, Stored::Full);
    apply(b, "h", "k1", Op::Remove).await;
    assert_eq!(apply(b, "h", "again", put("x", None)).await, Stored::Done);
}

/// Nor of bytes.
pub async fn bytes_are_bounded(f: Fixture) {
    let b = &f.backend;
    let value = Bytes::from(vec![7; VALUE - 16]);
    for number in 0..BYTES / VALUE {
        let key = format!("k{number:03}");
        assert_eq!(apply(b, "h", &key, put(value.clone(), None)).await, Stored::Done, "{number}");
    }
    assert_eq!(apply(b, "h", "more", put(value.clone(), None)).await, Stored::Full);
    assert_eq!(get(b, "h", "k000").await, Some(value.clone()));
    assert_eq!(apply(b, "h", "k000", put(value.clone(), None)).await, Stored::Done);
    assert_eq!(apply(b, "h", "k000", put("x", None)).await, Stored::Done);
    assert_eq!(apply(b, "h", "more", put(value, None)).await, Stored::Done);
}
