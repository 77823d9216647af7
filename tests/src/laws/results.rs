//! What is kept of tasks that have ended, for how long, and how many.

use std::time::Duration;

use tasq_host::results::{Cursor, Filter, KEEP_DEAD, KEEP_DONE, Record};
use tasq_host::task::{State, Timestamp};

use crate::fixture::Fixture;
use crate::nouns::*;

async fn keep(f: &Fixture, records: Vec<Record>) {
    f.backend.results.record(records).await.expect("record");
}

async fn listed(f: &Fixture, filter: Filter) -> Vec<String> {
    let records = f.backend.results.list(&filter).await.expect("list");
    records.iter().map(|record| record.id.to_string()).collect()
}

fn moment(f: &Fixture, text: &str, state: State) -> Record {
    ended(text, "q", state, (f.now(), f.now()), DAY)
}

/// A record reads back as it was written, whatever is in it; ids are answered in order.
pub async fn a_record_reads_back(f: Fixture) {
    let delivery = f.running(task("a")).await;
    let done = Record { history: vec![failed(&delivery)], ..record(&delivery, State::Done, DAY) };
    let dead = Record { attempt: 26, lost: 2, ..moment(&f, "b", State::Dead) };
    keep(&f, vec![done.clone(), dead.clone()]).await;
    let found = f.backend.results.get(&[id("b"), id("unknown"), id("a")]).await.expect("get");
    assert_eq!(found, [Some(dead), None, Some(done)]);
    assert_eq!(f.backend.results.get(&[]).await.expect("get"), []);
}

/// Kept from its end for its time, then gone from every view.
pub async fn a_record_is_forgotten_in_the_end(f: Fixture) {
    let short = Record { keep: f.beats(3), ..moment(&f, "short", State::Done) };
    let long = Record { keep: f.beats(9), ..moment(&f, "long", State::Dead) };
    keep(&f, vec![short, long]).await;
    f.pass(f.beats(2)).await;
    assert!(f.record("short").await.is_some());
    f.pass(f.beats(2)).await;
    assert_eq!(f.record("short").await, None);
    assert_eq!(listed(&f, Filter { limit: 10, ..Filter::default() }).await, ["long"]);
    assert_eq!(f.backend.results.delete(&[id("short")]).await.expect("delete"), 0);
}

/// A retention of zero keeps nothing; one without end is no overflow.
pub async fn keeping_for_no_time_keeps_nothing(f: Fixture) {
    keep(&f, vec![Record { keep: Duration::ZERO, ..moment(&f, "none", State::Done) }]).await;
    keep(&f, vec![Record { keep: Duration::MAX, ..moment(&f, "ever", State::Done) }]).await;
    f.pass(f.beats(1)).await;
    assert_eq!((f.record("none").await.is_some(), f.record("ever").await.is_some()), (false, true));
}

/// Delivering a record twice is as good as once, and a later run's record stands against an earlier one's.
pub async fn the_record_of_the_highest_run_stands(f: Fixture) {
    let of_run = |run, code: &str| {
        let mut record = Record { run, ..moment(&f, "a", State::Dead) };
        record.receipt.digest = code.into();
        record
    };
    let digest = async |f: &Fixture| f.record("a").await.expect("kept").receipt.digest.to_string();
    keep(&f, vec![of_run(2, "second"), of_run(2, "second again")]).await;
    assert_eq!(digest(&f).await, "second");
    keep(&f, vec![of_run(1, "first")]).await;
    assert_eq!(digest(&f).await, "second");
    keep(&f, vec![of_run(3, "third")]).await;
    assert_eq!(digest(&f).await, "third");
    assert_eq!(listed(&f, Filter { limit: 10, ..Filter::default() }).await, ["a"]);
}

/// What is deleted is gone; the count says how many were there.
pub async fn what_is_deleted_is_gone(f: Fixture) {
    keep(&f, ["a", "b", "c"].map(|text| moment(&f, text, State::Done)).to_vec()).await;
    let deleted = f.backend.results.delete(&[id("a"), id("unknown"), id("c"), id("a")]).await.expect("delete");
    assert_eq!(deleted, 2);
    assert_eq!(listed(&f, Filter { limit: 10, ..Filter::default() }).await, ["b"]);
}

/// Newest first by the time of enqueueing, then by id; state, queue and handler select.
pub async fn results_are_listed_newest_first_and_filtered(f: Fixture) {
    let now = f.now();
    let at = |text: &str, queue: &str, state, before: u64| {
        ended(text, queue, state, (Timestamp(now.0 - before), now), DAY)
    };
    let other = Record { handler: name("other"), ..at("d", "q2", State::Cancelled, 5) };
    keep(&f, vec![at("b", "q", State::Done, 10), at("a", "q", State::Dead, 20), at("c", "q2", State::Done, 10)]).await;
    keep(&f, vec![other]).await;
    let all = Filter { limit: 10, ..Filter::default() };
    assert_eq!(listed(&f, all.clone()).await, ["d", "c", "b", "a"]);
    assert_eq!(listed(&f, Filter { limit: 2, ..all.clone() }).await, ["d", "c"]);
    assert_eq!(listed(&f, Filter { state: Some(State::Done), ..all.clone() }).await, ["c", "b"]);
    assert_eq!(listed(&f, Filter { queue: Some(name("q2")), ..all.clone() }).await, ["d", "c"]);
    assert_eq!(listed(&f, Filter { handler: Some(name("h")), ..all.clone() }).await, ["c", "b", "a"]);
    let both = Filter { queue: Some(name("q2")), handler: Some(name("h")), ..all.clone() };
    assert_eq!(listed(&f, both).await, ["c"]);
    assert!(listed(&f, Filter { state: Some(State::Running), ..all }).await.is_empty());
}

/// Page by page, each is listed once, however many share a moment.
pub async fn pages_of_results_miss_nothing(f: Fixture) {
    let now = f.now();
    let records = (0..60).map(|number| {
        let enqueued_at = Timestamp(now.0 - number / 7);
        ended(&format!("a{number}"), "q", State::Done, (enqueued_at, now), DAY)
    });
    keep(&f, records.collect()).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = Filter { limit: 8, after, ..Filter::default() };
        let page = f.backend.results.list(&filter).await.expect("list");
        let Some(last) = page.last() else { break };
        after = Some(Cursor(last.enqueued_at, last.id.clone()));
        seen.extend(page.into_iter().map(|record| Cursor(record.enqueued_at, record.id)));
    }
    assert_eq!(seen.len(), 60);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, each once");
}

async fn fill(f: &Fixture, state: State, count: usize) {
    let start = f.now();
    for chunk in 0..count.div_ceil(5_000) {
        let numbers = chunk * 5_000..count.min((chunk + 1) * 5_000);
        let record = |number: usize| {
            let at = Timestamp(start.0 + number as u64);
            // Some are kept longer than others: that isn't what makes room.
            let keep = if number.is_multiple_of(3) { DAY * 2 } else { DAY };
            ended(&format!("{state}{number}"), "q", state, (at, at), keep)
        };
        keep(f, numbers.map(record).collect()).await;
    }
}

/// Done and cancelled tasks of a queue: the newest 100,000.
pub async fn records_of_done_tasks_stay_bounded(f: Fixture) {
    keep(&f, vec![ended("neighbour", "q2", State::Done, (f.now(), f.now()), DAY)]).await;
    fill(&f, State::Done, KEEP_DONE + 500).await;
    keep(&f, vec![moment(&f, "dead", State::Dead)]).await;
    f.soon("the oldest go", async || f.record("done499").await.is_none()).await;
    assert_eq!(f.record("done0").await, None);
    assert!(f.record("done500").await.is_some());
    assert!(f.record(&format!("done{}", KEEP_DONE + 499)).await.is_some());
    assert!(f.record("neighbour").await.is_some() && f.record("dead").await.is_some());
}

/// Dead tasks of a queue: the newest 10,000, whatever else ends.
pub async fn records_of_dead_tasks_stay_bounded(f: Fixture) {
    keep(&f, vec![moment(&f, "done", State::Done)]).await;
    fill(&f, State::Dead, KEEP_DEAD + 500).await;
    f.soon("the oldest go", async || f.record("dead499").await.is_none()).await;
    assert!(f.record("dead500").await.is_some());
    assert!(f.record("done").await.is_some());
    assert_eq!(listed(&f, Filter { limit: 20_000, ..Filter::default() }).await.len(), KEEP_DEAD + 1);
}
