//! What comes by the clock.

use bytes::Bytes;
use tasq_host::backend::Backend;
use tasq_host::broker::Message;
use tasq_host::schedules::{Plan, Put, Tick, Ticked};
use tasq_host::task::{Ending, State, Timestamp};

use crate::fixture::Fixture;
use crate::nouns::*;

async fn plan(backend: &Backend, of: &str) -> Option<Plan> {
    let plans = backend.schedules.list().await.expect("list").plans;
    plans.into_iter().find(|plan| plan.name.as_str() == of)
}

async fn put(f: &Fixture, of: &str, body: &'static str) -> Put {
    f.backend.schedules.put(&name(of), Bytes::from_static(body.as_bytes())).await.expect("put")
}

/// The first tick after `plan`'s time.
fn tick(plan: &Plan, text: &str) -> Tick {
    let at = Timestamp(plan.since.0 + 1);
    Tick { name: plan.name.clone(), since: plan.since, at, message: task(text), overlap: true }
}

/// A new one, and one with another body, count from now; the same again changes nothing.
pub async fn a_schedule_counts_from_when_it_was_put(f: Fixture) {
    let before = f.now();
    assert_eq!(put(&f, "nightly", "one").await, Put::Created);
    let first = plan(&f.backend, "nightly").await.expect("it is kept");
    assert!(first.since >= before && first.since <= f.now());
    assert_eq!((&first.body[..], &first.last), (&b"one"[..], &None));
    f.pass(f.beats(3)).await;
    assert_eq!(put(&f, "nightly", "one").await, Put::Same);
    assert_eq!(plan(&f.reopen().await, "nightly").await, Some(first.clone()));
    assert_eq!(put(&f, "nightly", "two").await, Put::Changed);
    let second = plan(&f.backend, "nightly").await.expect("it is kept");
    assert!(second.since >= first.since.plus(f.beats(3)));
    assert_eq!(&second.body[..], b"two");
}

/// All are listed by name, with the server's time, until they are removed.
pub async fn schedules_are_listed_until_they_are_removed(f: Fixture) {
    for of in ["c", "a", "b"] {
        put(&f, of, "x").await;
    }
    let plans = f.backend.schedules.list().await.expect("list");
    let names: Vec<_> = plans.plans.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(plans.now >= plans.plans[0].since && plans.now <= f.now().plus(f.beats(1)));
    assert!(f.backend.schedules.remove(&name("b")).await.expect("remove"));
    assert!(!f.backend.schedules.remove(&name("b")).await.expect("remove"));
    assert_eq!(f.backend.schedules.list().await.expect("list").plans.len(), 2);
    assert_eq!(put(&f, "b", "x").await, Put::Created);
}

/// The task is there, the time has moved, and who comes second with the same tick changes nothing.
pub async fn a_tick_gives_its_task_once(f: Fixture) {
    put(&f, "s", "x").await;
    let before = plan(&f.backend, "s").await.expect("it is kept");
    let ticked = f.backend.schedules.tick(tick(&before, "cron:s:1")).await.expect("tick");
    assert_eq!(ticked, Ticked::Pushed);
    let after = plan(&f.backend, "s").await.expect("it is kept");
    assert_eq!((after.since.0, after.last.clone()), (before.since.0 + 1, Some(id("cron:s:1"))));
    let again = Tick { message: task("cron:s:2"), ..tick(&before, "cron:s:1") };
    assert_eq!(f.backend.schedules.tick(again).await.expect("tick"), Ticked::Moved);
    assert_eq!(f.standing("cron:s:2").await, None);
    let back = Tick { at: after.since, ..tick(&after, "cron:s:3") };
    assert_eq!(f.backend.schedules.tick(back).await.expect("tick"), Ticked::Moved, "not after");
    assert_eq!(f.take_one().await.run.id, id("cron:s:1"));
}

/// Of many hosts, one.
pub async fn a_tick_tried_by_many_gives_one_task(f: Fixture) {
    put(&f, "s", "x").await;
    let others = [f.reopen().await, f.reopen().await];
    let plan = plan(&f.backend, "s").await.expect("it is kept");
    let ticks = (0..20).map(|number| {
        let (schedules, tick) = (others[number % 2].schedules.clone(), tick(&plan, &format!("t{number}")));
        async move { schedules.tick(tick).await.expect("tick") }
    });
    let ticked = futures_util::future::join_all(ticks).await;
    assert_eq!(ticked.iter().filter(|ticked| **ticked == Ticked::Pushed).count(), 1);
    assert!(ticked.iter().all(|ticked| matches!(ticked, Ticked::Pushed | Ticked::Moved)));
    assert_eq!(f.look(&f.asking(20)).await.len(), 1);
}

/// The task's id is taken: the tick counts as done all the same.
pub async fn a_tick_whose_task_is_there_is_done(f: Fixture) {
    put(&f, "s", "x").await;
    f.push(vec![task("cron:s:1")]).await;
    let before = plan(&f.backend, "s").await.expect("it is kept");
    assert_eq!(f.backend.schedules.tick(tick(&before, "cron:s:1")).await.expect("tick"), Ticked::Pushed);
    assert_eq!(plan(&f.backend, "s").await.expect("it is kept").since, Timestamp(before.since.0 + 1));
    assert_eq!(f.look(&f.asking(5)).await.len(), 1);
}

/// Without overlap there is no task while the last one is unfinished, and one again when it has ended, however.
pub async fn a_tick_is_skipped_while_the_last_task_is_unfinished(f: Fixture) {
    put(&f, "s", "x").await;
    let mut number = 0;
    let mut next = async || {
        number += 1;
        let plan = plan(&f.backend, "s").await.expect("it is kept");
        let tick = Tick { overlap: false, ..tick(&plan, &format!("t{number}")) };
        let ticked = f.backend.schedules.tick(tick).await.expect("tick");
        assert_eq!(self::plan(&f.backend, "s").await.expect("it is kept").since.0, plan.since.0 + 1);
        ticked
    };
    assert_eq!(next().await, Ticked::Pushed);
    assert_eq!(next().await, Ticked::Skipped);
    let first = f.take_one().await;
    assert_eq!(next().await, Ticked::Skipped);
    f.end(&first, Ending::Done).await;
    assert_eq!(next().await, Ticked::Pushed);
    let second = f.take_one().await;
    assert_eq!((second.run.id.as_str(), next().await), ("t4", Ticked::Skipped));
    f.end(&second, death(DAY)).await;
    assert_eq!(f.tracked("t4").await.state, State::Dead);
    assert_eq!(next().await, Ticked::Pushed);
}

/// A schedule that is another one by now, or gone, has no such tick.
pub async fn a_tick_of_another_schedule_is_none(f: Fixture) {
    put(&f, "s", "x").await;
    let old = plan(&f.backend, "s").await.expect("it is kept");
    f.pass(f.beats(1)).await;
    put(&f, "s", "y").await;
    assert_eq!(f.backend.schedules.tick(tick(&old, "a")).await.expect("tick"), Ticked::Moved);
    f.backend.schedules.remove(&name("s")).await.expect("remove");
    assert_eq!(f.backend.schedules.tick(tick(&old, "a")).await.expect("tick"), Ticked::Moved);
    f.nothing(&f.asking(1)).await;
}

/// Whoever waits gets a tick's task.
pub async fn a_tick_wakes_a_waiting_reserve(f: Fixture) {
    put(&f, "s", "x").await;
    let plan = plan(&f.backend, "s").await.expect("it is kept");
    let waiting = tasq_host::broker::Reserve { wait: crate::fixture::PATIENCE, ..f.asking(1) };
    let tick = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let message = Message { envelope: vec![7; 10_000].into(), ..task("t") };
        f.backend.schedules.tick(Tick { message, ..tick(&plan, "t") }).await.expect("tick")
    };
    let (taken, _) = tokio::join!(f.look(&waiting), tick);
    assert_eq!((ids(&taken), taken[0].envelope.len()), (vec!["t"], 10_000));
}
