//! What other programs leave.

use std::collections::BTreeSet;
use std::time::Duration;

use tasq_host::broker::{Cancel, Due, Message};
use tasq_host::inbox::{Content, HOLD, Parcel, Ticket};
use tasq_host::results::Record;
use tasq_host::task::{Ending, Run, State, TaskId, Timestamp};

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::{DAY, ended, id, name, record, recorded, task};

const AT_ONCE: Duration = Duration::ZERO;

async fn read(f: &Fixture, max: usize) -> Vec<Parcel> {
    f.backend.inbox.read(max, AT_ONCE).await.expect("read")
}

/// So many, in as many looks as it takes.
async fn read_all(f: &Fixture, count: usize) -> Vec<Parcel> {
    let mut all = Vec::new();
    while all.len() < count {
        let more = f.backend.inbox.read(count - all.len(), PATIENCE).await.expect("read");
        assert!(!more.is_empty(), "{count} parcels expected, found {}", all.len());
        all.extend(more);
    }
    all
}

async fn take(f: &Fixture, parcels: &[Parcel]) {
    let tickets: Vec<Ticket> = parcels.iter().map(|parcel| parcel.ticket.clone()).collect();
    f.backend.inbox.taken(tickets).await.expect("taken");
}

fn text(parcel: &Parcel) -> &str {
    match &parcel.content {
        Content::Object { text, .. } => std::str::from_utf8(text).expect("it was text"),
        parts => panic!("expected an object, found {parts:?}"),
    }
}

/// The oldest first, each under an id of its own.
pub async fn what_others_leave_is_read_in_order(f: Fixture) {
    assert_eq!(read(&f, 9).await, []);
    for number in 0..5 {
        f.leave(&number.to_string()).await;
    }
    let read = read_all(&f, 5).await;
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    let ids: BTreeSet<&TaskId> = read.iter().map(|parcel| &parcel.id).collect();
    assert_eq!(ids.len(), 5, "each has an id of its own");
}

/// What one reader has is for no other.
pub async fn a_read_gives_at_most_what_was_asked(f: Fixture) {
    for number in 0..5 {
        f.leave(&number.to_string()).await;
    }
    assert_eq!(read(&f, 0).await, []);
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < 5 {
        let some = f.backend.inbox.read(2, PATIENCE).await.expect("read");
        assert!((1..=2).contains(&some.len()));
        seen.extend(some.iter().map(|parcel| text(parcel).to_owned()));
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"], "what one has read isn't given to the next");
}

/// A reader that dies leaves its parcels to the next one, which sees by the id that they are the same.
pub async fn what_is_not_taken_is_handed_out_again_under_its_id(f: Fixture) {
    f.leave("a").await;
    let first = read_all(&f, 1).await.remove(0);
    let elsewhere = f.reopen().await;
    let mut again = Vec::new();
    while again.is_empty() {
        assert_eq!(f.backend.inbox.left().await.expect("left"), 1);
        // By a server's own time it takes as long as it takes.
        f.pass(HOLD).await;
        again = elsewhere.inbox.read(9, f.beats(1).min(Duration::from_secs(1))).await.expect("read");
    }
    assert_eq!((&again[0].id, text(&again[0])), (&first.id, "a"));
    take(&f, &again).await;
    f.soon("it is gone", async || f.backend.inbox.left().await.expect("left") == 0).await;
}

/// Taking twice, or nothing, does no harm.
pub async fn what_is_taken_is_gone(f: Fixture) {
    for number in 0..5 {
        f.leave(&number.to_string()).await;
    }
    let parcels = read_all(&f, 5).await;
    assert_eq!(f.backend.inbox.left().await.expect("left"), 5);
    take(&f, &parcels[..3]).await;
    take(&f, &parcels[..3]).await;
    f.soon("two are left", async || f.backend.inbox.left().await.expect("left") == 2).await;
    take(&f, &parcels).await;
    take(&f, &[]).await;
    f.soon("none is left", async || f.backend.inbox.left().await.expect("left") == 0).await;
    f.pass(HOLD * 2).await;
    assert_eq!(read(&f, 9).await, []);
}

/// Whether the server says so or the reader looks.
pub async fn what_comes_ends_the_wait(f: Fixture) {
    let waits = f.backend.inbox.read(9, PATIENCE);
    let comes = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        f.leave("a").await;
    };
    let (read, ()) = tokio::join!(waits, comes);
    assert_eq!(read.expect("read").iter().map(text).collect::<Vec<_>>(), ["a"]);
}

/// Large ones come a few at a time.
pub async fn many_parcels_of_any_size_all_come(f: Fixture) {
    let large = "x".repeat(700 << 10);
    for number in 0..60 {
        f.leave(&format!("{number}{}", if number % 5 == 0 { large.as_str() } else { "" })).await;
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 60 {
        let some = f.backend.inbox.read(50, PATIENCE).await.expect("read");
        assert!(some.len() == 1 || some.iter().map(|parcel| text(parcel).len()).sum::<usize>() <= 8 << 20);
        take(&f, &some).await;
        seen.extend(some.iter().map(|parcel| text(parcel).trim_end_matches('x').to_owned()));
    }
    f.soon("none is left", async || f.backend.inbox.left().await.expect("left") == 0).await;
}

/// Ended without a run, whether it was due or not, with its record; it can be tried again.
pub async fn a_task_that_could_never_run_becomes_a_dead_letter(f: Fixture) {
    f.push(vec![Message { due: Due::At(Timestamp::NEVER), ..task("a") }, task("b")]).await;
    let dead = |text: &str, number| {
        let record = ended(text, "q", State::Dead, (f.now(), f.now()), DAY);
        let run = Run { queue: name("q"), id: id(text), number };
        recorded(&run, Ending::Dead { keep: DAY, failed: None }, record)
    };
    let answers = f.backend.operations.cancel(vec![dead("a", 0), dead("b", 0), dead("c", 0)]).await.expect("cancel");
    assert_eq!(answers, [Cancel::Done, Cancel::Done, Cancel::Gone]);
    for text in ["a", "b"] {
        let letter = f.tracked(text).await;
        assert_eq!((letter.state, letter.run, &letter.envelope[..]), (State::Dead, 0, text.as_bytes()));
        assert_eq!(f.record(text).await.expect("a record").state, State::Dead);
        assert!(!f.push_one(task(text)).await, "its id stays taken");
    }
    f.nothing(&f.asking(9)).await;
    assert_eq!(f.backend.operations.cancel(vec![dead("a", 0)]).await.expect("cancel"), [Cancel::Gone]);
    let depth = f.backend.operations.depths(Duration::ZERO).await.expect("depths").remove(0);
    assert_eq!((depth.dead, depth.pending, depth.scheduled), (2, 0, 0));
    f.backend.operations.revive(&[id("b")]).await.expect("revive");
    assert_eq!(f.take_one().await.run.id.as_str(), "b");
}

/// Wherever results are, for whoever tells it; telling twice does no harm.
pub async fn a_record_that_is_told_leaves_by_the_outbox_and_stays(f: Fixture) {
    for (text, told) in [("a", true), ("b", false)] {
        let delivery = f.running(task(text)).await;
        let record = Record { told, ..record(&delivery, State::Done, DAY) };
        f.settle(recorded(&delivery.run, Ending::Done, record.clone())).await;
        f.soon("it is kept", async || f.backend.results.get(std::slice::from_ref(&record.id)).await.expect("get")[0].is_some()).await;
    }
    let letters = f.backend.broker.outbox(9).await.expect("outbox");
    let told: Vec<(&str, bool)> = letters.iter().map(|letter| (letter.record.id.as_str(), letter.record.told)).collect();
    assert_eq!(told, [("a", true)]);
    f.backend.results.tell(&[letters[0].record.clone()]).await.expect("tell");
    f.backend.results.tell(&[letters[0].record.clone()]).await.expect("tell");
    f.backend.broker.delivered(&[letters[0].number]).await.expect("delivered");
    assert_eq!(f.backend.broker.outbox(9).await.expect("outbox"), []);
    assert!(f.record("a").await.expect("a record").told);
}
