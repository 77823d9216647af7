//! How runs end, and that only the holder of the current run can end it.

use std::time::Duration;

use futures_util::FutureExt;
use tasq_host::broker::{Effect, End, HISTORY, Message, Settled};
use tasq_host::results::KEEP_DEAD;
use tasq_host::task::{Ending, State};

use crate::fixture::Fixture;
use crate::nouns::*;

/// A worker that was believed dead and comes back with an end, of whatever kind, changes nothing.
pub async fn a_stale_end_changes_nothing(f: Fixture) {
    let old = f.running(task("a")).await;
    f.pass(f.beats(10)).await;
    let new = f.take_one().await;
    let before = f.tracked("a").await;
    for ending in every_ending(&old) {
        let follow_up = Effect::Push(task("a/f1"));
        let record = Effect::Record(std::sync::Arc::new(record(&old, State::Done, DAY)));
        let end = End { run: old.run.clone(), ending: ending.clone(), effects: vec![follow_up, record] };
        assert_eq!(f.settle(end).await, Settled::Stale, "{ending:?}");
        assert_eq!(f.tracked("a").await, before, "{ending:?}");
    }
    assert_eq!((f.standing("a/f1").await, f.record("a").await), (None, None));
    assert_eq!(f.end(&new, Ending::Done).await, Settled::Applied);
}

/// An end sent again, because its answer was lost, does no more than the first time.
pub async fn the_same_end_twice_counts_once(f: Fixture) {
    for ending in 0..7 {
        let text = format!("a{ending}");
        let delivery = f.running(task(&text)).await;
        let ending = every_ending(&delivery)[ending].clone();
        assert_eq!(f.end(&delivery, ending.clone()).await, Settled::Applied);
        let before = f.standing(&text).await;
        f.end(&delivery, ending.clone()).await;
        assert_eq!(f.standing(&text).await, before, "{ending:?}");
        for delivery in f.look(&f.asking(10)).await {
            assert_eq!(f.end(&delivery, Ending::Done).await, Settled::Applied);
        }
    }
}

/// What was never reserved, or has a later run than any given, can't be ended.
pub async fn a_run_that_nobody_holds_cannot_be_ended(f: Fixture) {
    let delivery = f.running(task("a")).await;
    f.end(&delivery, Ending::Release { after: Duration::ZERO }).await;
    f.push(vec![task("b")]).await;
    for (text, number) in [("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 1)] {
        let run = tasq_host::task::Run { id: id(text), number, ..delivery.run.clone() };
        assert_eq!(f.settle(end(&run, Ending::Done)).await, Settled::Stale, "{text} {number}");
    }
    f.take(&f.asking(2)).await;
}

/// Done and cancelled tasks leave.
pub async fn what_is_done_or_cancelled_leaves(f: Fixture) {
    for ending in [Ending::Done, Ending::Cancelled] {
        let delivery = f.running(task(if ending == Ending::Done { "a" } else { "b" })).await;
        assert_eq!(f.end(&delivery, ending).await, Settled::Applied);
        assert_eq!(f.standing(delivery.run.id.as_str()).await, None);
    }
    f.pass(f.beats(30)).await;
    f.nothing(&f.asking(10)).await;
}

/// A failed run is counted and remembered, and the task comes again after the delay.
pub async fn a_retry_counts_and_comes_again(f: Fixture) {
    let first = f.running(task("a")).await;
    assert_eq!(f.end(&first, retry(&first, f.beats(3))).await, Settled::Applied);
    let waiting = f.tracked("a").await;
    assert_eq!((waiting.state, waiting.failed, waiting.lost, waiting.run), (State::Scheduled, 1, 0, 1));
    assert_eq!((waiting.worker, waiting.started_at), (None, None));
    f.pass(f.beats(2)).await;
    f.nothing(&f.asking(1)).await;
    f.pass(f.beats(1)).await;
    let second = f.take_one().await;
    assert_eq!((second.run.number, second.failed, second.lost), (2, 1, 0));
    assert_eq!(second.history, [failed(&first)]);
    assert!(second.due_at >= first.reserved_at.plus(f.beats(3)) && second.reserved_at >= second.due_at);
    assert_eq!((second.enqueued_at, &second.envelope), (first.enqueued_at, &first.envelope));
}

/// The latest failures are kept, the oldest first; all are counted.
pub async fn the_history_keeps_the_latest_failures(f: Fixture) {
    f.push(vec![task("a")]).await;
    let mut expected = Vec::new();
    for _ in 0..HISTORY + 5 {
        let delivery = f.take_one().await;
        expected.push(failed(&delivery));
        f.end(&delivery, retry(&delivery, Duration::ZERO)).await;
    }
    let delivery = f.take_one().await;
    assert_eq!(delivery.failed as usize, HISTORY + 5);
    assert_eq!(delivery.history, expected[5..]);
}

/// Snoozed, given back or parked: the task has its delay and nothing is held against it.
pub async fn a_snooze_a_release_and_a_park_count_as_nothing(f: Fixture) {
    f.push(vec![task("a")]).await;
    let after = f.beats(2);
    for (run, ending) in [Ending::Snooze { after }, Ending::Release { after }].into_iter().enumerate() {
        let delivery = f.take_one().await;
        assert_eq!(delivery.run.number as usize, run + 1);
        f.end(&delivery, ending).await;
        f.pass(f.beats(1)).await;
        f.nothing(&f.asking(1)).await;
        f.pass(f.beats(1)).await;
    }
    let delivery = f.take_one().await;
    f.end(&delivery, Ending::Park).await;
    let parked = f.tracked("a").await;
    assert_eq!((parked.state, parked.run), (State::Parked, 3));
    let delivery = f.take_one().await;
    assert_eq!((delivery.run.number, delivery.failed, delivery.lost, delivery.history.len()), (4, 0, 0, 0));
}

/// Given back without delay, it is there for the next worker at once.
pub async fn a_released_task_is_there_at_once(f: Fixture) {
    f.push(tasks("a", 20)).await;
    let taken = f.take(&f.asking(20)).await;
    let ends = taken.iter().map(|delivery| end(&delivery.run, Ending::Release { after: Duration::ZERO })).collect::<Vec<_>>();
    f.backend.broker.settle(&ends).await.expect("settle");
    assert_eq!(f.look(&f.asking(20)).await.len(), 20);
}

/// A dead task doesn't run again, is held as a dead letter with all that is known of it, and is forgotten in the end.
pub async fn a_dead_task_is_kept_as_a_dead_letter(f: Fixture) {
    let first = f.running(task("a")).await;
    f.end(&first, retry(&first, Duration::ZERO)).await;
    let second = f.take_one().await;
    assert_eq!(f.end(&second, death(f.beats(20))).await, Settled::Applied);
    f.pass(f.beats(19)).await;
    f.nothing(&f.asking(1)).await;
    let dead = f.tracked("a").await;
    assert_eq!((dead.state, dead.run, dead.failed, dead.lost), (State::Dead, 2, 1, 0));
    assert_eq!((&dead.envelope, dead.history.len(), dead.worker), (&first.envelope, 1, None));
    f.pass(f.beats(1)).await;
    assert_eq!(f.standing("a").await, None);
}

/// Only so many dead letters are kept per queue: the newest.
pub async fn dead_letters_stay_bounded(f: Fixture) {
    f.push(on_queue("other", vec![task("neighbour")])).await;
    let neighbour = f.take(&asking(&["other"], &["h"], 1, DAY)).await;
    f.end(&neighbour[0], death(DAY)).await;
    for batch in 0..(KEEP_DEAD + 1_000) / 1_000 {
        f.push(tasks(&format!("b{batch}-"), 1_000)).await;
        let taken = f.take(&f.asking(1_000)).await;
        let ends = taken.iter().map(|delivery| end(&delivery.run, death(DAY))).collect::<Vec<_>>();
        f.backend.broker.settle(&ends).await.expect("settle");
        f.pass(f.beats(1)).await;
    }
    f.nothing(&f.asking(1)).await;
    f.soon("the oldest go", async || f.standing("b0-999").await.is_none()).await;
    let depths = f.backend.operations.depths(Duration::ZERO).await.expect("depths");
    let dead: Vec<_> = depths.iter().map(|depth| (depth.queue.as_str(), depth.dead)).collect();
    assert_eq!(dead, [("other", 1), ("q", KEEP_DEAD as u64)]);
    assert_eq!(f.standing("b0-0").await, None);
    assert!(f.standing("b1-0").await.is_some() && f.standing("b10-999").await.is_some());
    assert!(!f.push_one(task("b0-0")).await, "its id is remembered all the same");
}

/// One answer per end, in order.
pub async fn ends_are_answered_in_order(f: Fixture) {
    f.push(tasks("a", 3)).await;
    let held = f.take(&f.asking(3)).await;
    f.end(&held[1], Ending::Done).await;
    let ends = held.iter().map(|delivery| end(&delivery.run, Ending::Done)).collect::<Vec<_>>();
    use Settled::{Applied, Stale};
    assert_eq!(f.backend.broker.settle(&ends).await.expect("settle"), [Applied, Stale, Applied]);
    assert_eq!(f.backend.broker.settle(&[]).await.expect("settle"), []);
}

/// Whoever sees a task gone finds its record.
pub async fn a_record_is_written_with_the_end(f: Fixture) {
    for (text, ending, state) in [
        ("done", Ending::Done, State::Done),
        ("dead", death(DAY), State::Dead),
        ("cancelled", Ending::Cancelled, State::Cancelled),
    ] {
        let delivery = f.running(task(text)).await;
        assert_eq!(f.record(text).await, None);
        let record = record(&delivery, state, DAY);
        assert_eq!(f.settle(recorded(&delivery.run, ending, record.clone())).await, Settled::Applied);
        assert_eq!(f.record(text).await, Some(record));
    }
}

/// Follow-ups are enqueued with the end, with their own queue, handler and delay.
pub async fn a_follow_up_is_pushed_with_the_end(f: Fixture) {
    let delivery = f.running(task("a")).await;
    let next = Message { queue: name("q2"), handler: name("h2"), ..task("a/f1") };
    let later = Message { due: tasq_host::broker::Due::After(f.beats(3)), ..task("a/f2") };
    let effects = vec![Effect::Push(next), Effect::Push(later)];
    assert_eq!(f.standing("a/f1").await, None);
    f.settle(End { effects, ..end(&delivery.run, Ending::Done) }).await;
    let taken = f.take(&asking(&["q2"], &["h2"], 1, DAY)).await;
    assert_eq!((ids(&taken), &taken[0].envelope[..]), (vec!["a/f1"], &b"a/f1"[..]));
    f.nothing(&f.asking(1)).await;
    f.pass(f.beats(3)).await;
    assert_eq!(f.take_one().await.run.id, id("a/f2"));
}

/// A follow-up whose id is there already, or was, is not there twice, and doesn't hinder the end.
pub async fn a_follow_up_is_pushed_once(f: Fixture) {
    let ended = f.running(task("c/f2")).await;
    f.end(&ended, Ending::Done).await;
    f.push(vec![task("c")]).await;
    let delivery = f.take_one().await;
    let effects = ["c/f1", "c/f1", "c/f2"].map(|text| Effect::Push(task(text))).to_vec();
    assert_eq!(f.settle(End { effects, ..end(&delivery.run, Ending::Done) }).await, Settled::Applied);
    assert_eq!(f.take_one().await.run.id, id("c/f1"));
    f.nothing(&f.asking(10)).await;
}

/// A settle that nobody waited for is written whole or not at all.
pub async fn a_dropped_settle_is_written_whole_or_not_at_all(f: Fixture) {
    for round in 0..10 {
        let delivery = f.running(task(&format!("a{round}"))).await;
        let follow_up = format!("a{round}/f1");
        let (gone, effects) = {
            let record = Effect::Record(std::sync::Arc::new(record(&delivery, State::Done, DAY)));
            let effects = vec![record, Effect::Push(Message { queue: name("q2"), ..task(&follow_up) })];
            (delivery.run.id.as_str(), effects)
        };
        let ends = [End { effects, ..end(&delivery.run, Ending::Done) }];
        let settle = f.backend.broker.settle(&ends);
        if round % 2 == 0 {
            let _ = settle.now_or_never();
        }
        // Another write, so that one under way is over.
        f.push(on_queue("q3", vec![task(&format!("after{round}"))])).await;
        let left = f.standing(gone).await.is_none();
        let (recorded, followed) = (f.record(gone).await.is_some(), f.standing(&follow_up).await.is_some());
        assert_eq!((recorded, followed), (left, left), "round {round}");
        f.end(&delivery, Ending::Done).await;
    }
}
