//! Who holds a task, for how long, and what is counted when the holder vanishes.

use std::collections::HashSet;
use std::time::Duration;

use tasq_host::broker::{Held, Reserve, Settled, loss_delay};
use tasq_host::task::{Ending, Run, State};

use crate::fixture::Fixture;
use crate::nouns::*;

/// While one worker holds a task, nobody else is given it.
pub async fn reserve_hides_a_task_from_others(f: Fixture) {
    let other = f.reopen().await;
    f.running(task("a")).await;
    f.nothing(&f.asking(10)).await;
    let theirs = Reserve { worker: worker("w2"), ..f.asking(10) };
    assert_eq!(other.broker.reserve(&theirs).await.expect("reserve"), []);
    f.pass(f.beats(9)).await;
    f.nothing(&f.asking(10)).await;
    assert_eq!(f.tracked("a").await.state, State::Running);
}

/// A worker that vanished is found out when its lease is over; the loss is counted and is no attempt.
pub async fn a_lease_that_runs_out_brings_the_task_back(f: Fixture) {
    let first = f.running(task("a")).await;
    f.pass(f.beats(10)).await;
    let again = f.take_one().await;
    assert_eq!((again.run.number, again.lost, again.failed), (2, 1, 0));
    assert_eq!((&again.envelope, again.enqueued_at, again.history.len()), (&first.envelope, first.enqueued_at, 0));
    assert!(again.reserved_at >= first.reserved_at.plus(f.beats(10)).plus(loss_delay(1)), "{again:?}");
}

/// A task that takes its workers with it comes back later and later: 0.25 s, 2 s, 16 s.
pub async fn losses_are_counted_and_delay_more_and_more(f: Fixture) {
    f.push(vec![task("a")]).await;
    for lost in 0..4 {
        let delivery = f.take_one().await;
        assert_eq!((delivery.lost, delivery.failed, delivery.run.number), (lost, 0, lost + 1));
        f.pass(f.beats(10)).await;
        // Takes the lease back; the task is not due before its delay.
        f.nothing(&f.asking(1)).await;
        let lost = f.tracked("a").await;
        let lease_end = delivery.reserved_at.plus(f.beats(10));
        assert_eq!((lost.lost, lost.run, &lost.worker), (delivery.lost + 1, delivery.run.number, &None));
        assert!(lost.due_at >= lease_end.plus(loss_delay(lost.lost)), "{lost:?}");
        f.pass(loss_delay(lost.lost)).await;
    }
}

/// Only what the vanished worker held is delayed and counted.
pub async fn the_neighbours_of_a_lost_task_lose_nothing(f: Fixture) {
    f.push(tasks("a", 3)).await;
    let held = f.take(&f.asking(2)).await;
    f.pass(f.beats(5)).await;
    assert_eq!(f.extend(&held[1].run, f.beats(10)).await, Held::Kept);
    f.pass(f.beats(5)).await;
    let taken = f.take(&f.asking(2)).await;
    let counted: Vec<_> = taken.iter().map(|delivery| (delivery.run.id.as_str(), delivery.lost)).collect();
    assert_eq!(counted, [("a2", 0), ("a0", 1)]);
    assert_eq!(f.end(&held[1], Ending::Done).await, Settled::Applied);
}

/// An extension counts from when it is made, and holds.
pub async fn an_extended_lease_is_kept(f: Fixture) {
    let delivery = f.running(task("a")).await;
    f.pass(f.beats(8)).await;
    assert_eq!(f.extend(&delivery.run, f.beats(10)).await, Held::Kept);
    f.pass(f.beats(8)).await;
    f.nothing(&f.asking(1)).await;
    assert_eq!(f.extend(&delivery.run, f.beats(2)).await, Held::Kept);
    f.pass(f.beats(2)).await;
    assert_eq!(f.take_one().await.lost, 1, "the last extension decides, though it was the shorter one");
}

/// However long a task takes, it runs once, as long as its worker extends (Celery and taskiq run it again).
pub async fn a_long_task_is_not_run_twice(f: Fixture) {
    let delivery = f.running(task("a")).await;
    for _ in 0..60 {
        f.pass(f.beats(3)).await;
        assert_eq!(f.extend(&delivery.run, f.beats(10)).await, Held::Kept);
        f.nothing(&f.asking(1)).await;
    }
    assert_eq!(f.end(&delivery, Ending::Done).await, Settled::Applied);
}

/// One answer per run, in order: whose lease is gone is told so, whatever the reason.
pub async fn extend_tells_whose_lease_is_gone(f: Fixture) {
    f.push(tasks("a", 5)).await;
    let held = f.take(&f.asking(5)).await;
    f.end(&held[0], Ending::Done).await;
    f.end(&held[1], Ending::Snooze { after: Duration::ZERO }).await;
    f.end(&held[2], death(DAY)).await;
    let again = f.take_one().await;
    assert_eq!(again.run, Run { number: 2, ..held[1].run.clone() });
    let unknown = Run { id: id("unknown"), ..held[0].run.clone() };
    let ahead = Run { number: 2, ..held[3].run.clone() };
    let mut runs: Vec<Run> = held.iter().map(|delivery| delivery.run.clone()).collect();
    runs.extend([again.run, unknown, ahead]);
    use Held::{Gone, Kept};
    let answers = f.backend.broker.extend(&runs, f.beats(10)).await.expect("extend");
    assert_eq!(answers, [Gone, Gone, Gone, Kept, Kept, Kept, Gone, Gone]);
    assert_eq!(f.backend.broker.extend(&[], f.beats(1)).await.expect("extend"), []);
}

/// A worker that lost its lease to another can't get it back by extending.
pub async fn a_lost_lease_cannot_be_extended(f: Fixture) {
    let old = f.running(task("a")).await;
    f.pass(f.beats(10)).await;
    let new = f.take_one().await;
    assert_eq!(f.extend(&old.run, f.beats(99)).await, Held::Gone);
    assert_eq!(f.extend(&new.run, f.beats(10)).await, Held::Kept);
}

/// Everything that a crowd of vanished workers held comes back (a reaper got stuck at its first hundred).
pub async fn thousands_of_lost_leases_all_come_back(f: Fixture) {
    f.push(tasks("a", 2_500)).await;
    f.take(&f.asking(2_500)).await;
    f.pass(f.beats(10)).await;
    let mut seen = HashSet::new();
    while seen.len() < 2_500 {
        for delivery in f.take(&f.asking(250)).await {
            assert_eq!(delivery.lost, 1);
            assert!(seen.insert(delivery.run.id));
        }
    }
}

/// Ten thousand in flight, each ended in its turn, last taken first.
pub async fn ten_thousand_in_flight_all_end(f: Fixture) {
    f.push(tasks("a", 10_000)).await;
    let mut taken = f.take(&f.asking(10_000)).await;
    taken.reverse();
    for batch in taken.chunks(1_000) {
        let runs: Vec<Run> = batch.iter().map(|delivery| delivery.run.clone()).collect();
        let held = f.backend.broker.extend(&runs, f.beats(20)).await.expect("extend");
        assert!(held.iter().all(|&held| held == Held::Kept));
        let ends = runs.iter().map(|run| end(run, Ending::Done)).collect::<Vec<_>>();
        let settled = f.backend.broker.settle(&ends).await.expect("settle");
        assert!(settled.iter().all(|&settled| settled == Settled::Applied));
    }
    assert_eq!(f.standing("a0").await, None);
    f.nothing(&f.asking(10)).await;
}

/// A worker that leaves says so, and what it still held needn't wait for the end of its lease.
pub async fn what_a_withdrawn_worker_held_comes_back_soon(f: Fixture) {
    f.push(tasks("a", 2)).await;
    f.take(&Reserve { worker: worker("leaves"), ..f.asking(1) }).await;
    let stays = f.take(&Reserve { worker: worker("stays"), ..f.asking(1) }).await;
    f.backend.operations.withdraw(&worker("leaves")).await.expect("withdraw");
    let again = f.take_one().await;
    assert_eq!((again.run.id, again.run.number, again.lost), (id("a0"), 2, 1));
    assert_eq!(f.extend(&stays[0].run, f.beats(10)).await, Held::Kept);
}
