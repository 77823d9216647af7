//! A task that waits for the results of others.

use bytes::Bytes;
use tasq_host::broker::{Arrived, Due, Effect, End, Message, Reserve, Settled, UPSTREAM};
use tasq_host::task::{Ending, State};

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

/// A task that waits for so many.
fn waiting_for(count: u32, text: &str) -> Message {
    Message { due: Due::Arrivals(count), queue: name("callbacks"), ..task(text) }
}

fn arrive(text: &str, index: u32, result: impl Into<Bytes>) -> Effect {
    Effect::Arrive { task: id(text), queue: name("callbacks"), index, result: result.into() }
}

/// Runs a task whose end brings a result.
async fn bring(f: &Fixture, member: &str, effect: Effect) {
    let delivery = f.running(task(member)).await;
    let end = End { effects: vec![effect], ..end(&delivery.run, Ending::Done) };
    assert_eq!(f.settle(end).await, Settled::Applied);
}

fn callbacks(f: &Fixture) -> Reserve {
    asking(&["callbacks"], &["h"], 1, f.beats(10))
}

fn whole(results: &[&'static str]) -> Option<Arrived> {
    Some(Arrived::Whole(results.iter().map(|&result| Bytes::from_static(result.as_bytes())).collect()))
}

/// When the last one is there it is due, with all of them in their order.
pub async fn a_task_starts_once_all_have_arrived(f: Fixture) {
    f.push(vec![waiting_for(3, "cb")]).await;
    for (member, index, result) in [("a", 2, "two"), ("b", 0, "")] {
        bring(&f, member, arrive("cb", index, result)).await;
        f.pass(f.beats(20)).await;
        f.nothing(&callbacks(&f)).await;
    }
    let tracked = f.tracked("cb").await;
    assert_eq!((tracked.state, tracked.arrived), (State::Scheduled, Some((2, 3))));
    let before = f.now();
    bring(&f, "c", arrive("cb", 1, "one")).await;
    let callback = f.take(&callbacks(&f)).await.remove(0);
    assert_eq!((callback.run.id.as_str(), callback.arrived.clone()), ("cb", whole(&["", "one", "two"])));
    assert!(callback.due_at >= before && callback.due_at <= callback.reserved_at);
    f.end(&callback, Ending::Done).await;
    assert_eq!(f.standing("cb").await, None);
}

/// A member that ends twice, or two with one index: the first counts.
pub async fn the_first_of_each_index_counts(f: Fixture) {
    f.push(vec![waiting_for(2, "cb")]).await;
    let delivery = f.running(task("a")).await;
    let once = End { effects: vec![arrive("cb", 0, "first")], ..end(&delivery.run, Ending::Done) };
    f.settle(once.clone()).await;
    f.settle(once).await;
    bring(&f, "b", arrive("cb", 0, "second")).await;
    bring(&f, "c", arrive("cb", 2, "beyond")).await;
    assert_eq!(f.tracked("cb").await.arrived, Some((1, 2)));
    bring(&f, "d", arrive("cb", 1, "last")).await;
    let callback = f.take(&callbacks(&f)).await.remove(0);
    assert_eq!(callback.arrived, whole(&["first", "last"]));
    bring(&f, "e", arrive("cb", 1, "late")).await;
    f.end(&callback, Ending::Release { after: f.beats(0) }).await;
    assert_eq!(f.take(&callbacks(&f)).await[0].arrived, whole(&["first", "last"]));
}

/// A run that is no longer current brings nothing.
pub async fn a_stale_end_brings_nothing(f: Fixture) {
    f.push(vec![waiting_for(1, "cb")]).await;
    let old = f.running(task("a")).await;
    f.pass(f.beats(10)).await;
    let new = f.take_one().await;
    let bringing = |run| End { effects: vec![arrive("cb", 0, "x")], ..end(run, Ending::Done) };
    assert_eq!(f.settle(bringing(&old.run)).await, Settled::Stale);
    assert_eq!(f.tracked("cb").await.arrived, Some((0, 1)));
    f.settle(bringing(&new.run)).await;
    f.take(&callbacks(&f)).await;
}

/// A callback that fails, or whose worker vanishes, gets them again.
pub async fn what_has_arrived_stays_until_the_task_leaves(f: Fixture) {
    f.push(vec![waiting_for(1, "cb")]).await;
    bring(&f, "a", arrive("cb", 0, "x")).await;
    let first = f.take(&callbacks(&f)).await.remove(0);
    f.end(&first, retry(&first, f.beats(1))).await;
    f.pass(f.beats(1)).await;
    assert_eq!(f.take(&callbacks(&f)).await[0].arrived, whole(&["x"]));
    f.pass(f.beats(11)).await;
    let third = f.take(&callbacks(&f)).await.remove(0);
    assert_eq!((third.lost, third.arrived), (1, whole(&["x"])));
}

/// One that has left, or never was, or stands elsewhere: nothing happens to anyone.
pub async fn what_arrives_for_nobody_is_dropped(f: Fixture) {
    f.push(vec![waiting_for(1, "cb"), task("plain")]).await;
    bring(&f, "a", arrive("never", 0, "x")).await;
    bring(&f, "b", Effect::Arrive { task: id("cb"), queue: name("q"), index: 0, result: "x".into() }).await;
    bring(&f, "c", Effect::Arrive { task: id("plain"), queue: name("q"), index: 0, result: "x".into() }).await;
    assert_eq!(f.tracked("cb").await.arrived, Some((0, 1)));
    assert_eq!(f.standing("never").await, None);
}

/// More than fits is not kept, and said.
pub async fn results_that_are_too_large_together_are_not_kept(f: Fixture) {
    let half = vec![7; UPSTREAM / 2 - 1000];
    f.push(vec![waiting_for(2, "fits"), waiting_for(3, "cb")]).await;
    for index in 0..2 {
        bring(&f, &format!("a{index}"), arrive("fits", index, half.clone())).await;
    }
    let callback = f.take(&callbacks(&f)).await.remove(0);
    assert!(matches!(&callback.arrived, Some(Arrived::Whole(all)) if all.iter().all(|one| *one == half)));
    f.end(&callback, Ending::Done).await;
    for index in 0..3 {
        bring(&f, &format!("b{index}"), arrive("cb", index, half.clone())).await;
    }
    assert_eq!(f.take(&callbacks(&f)).await[0].arrived, Some(Arrived::TooLarge));
}

/// The last one wakes whoever waits for the callback.
pub async fn an_arrival_wakes_a_waiting_reserve(f: Fixture) {
    f.push(vec![waiting_for(1, "cb")]).await;
    let delivery = f.running(task("a")).await;
    let waiting = Reserve { wait: PATIENCE, ..callbacks(&f) };
    let bring = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        f.settle(End { effects: vec![arrive("cb", 0, "x")], ..end(&delivery.run, Ending::Done) }).await
    };
    let (taken, _) = tokio::join!(f.look(&waiting), bring);
    assert_eq!(ids(&taken), ["cb"]);
}

/// However members meet: once.
pub async fn a_callback_starts_once_when_all_end_together(f: Fixture) {
    let others = [f.reopen().await, f.reopen().await];
    f.push(vec![waiting_for(20, "cb")]).await;
    f.push(tasks("a", 20)).await;
    let taken = f.take(&f.asking(20)).await;
    let ends = taken.iter().enumerate().map(|(index, delivery)| {
        let broker = others[index % 2].broker.clone();
        let end = End { effects: vec![arrive("cb", index as u32, "x")], ..end(&delivery.run, Ending::Done) };
        async move { broker.settle(&[end.clone(), end]).await.expect("settle") }
    });
    futures_util::future::join_all(ends).await;
    let callback = f.take(&callbacks(&f)).await.remove(0);
    assert!(matches!(&callback.arrived, Some(Arrived::Whole(all)) if all.len() == 20));
    f.end(&callback, Ending::Done).await;
    f.nothing(&callbacks(&f)).await;
}
