//! At most one task of a queue holds a key.

use tasq_host::broker::{Due, Effect, End, Message, Pushed, Unique};
use tasq_host::task::{Ending, State};

use crate::fixture::Fixture;
use crate::nouns::*;

/// A task that holds key `k` until it has ended.
fn holding(text: &str) -> Message {
    Message { unique: Some(Unique { key: "k".into(), hold: None }), ..task(text) }
}

/// A task that holds key `k` for so many beats.
fn holding_for(f: &Fixture, beats: u32, text: &str) -> Message {
    Message { unique: Some(Unique { key: "k".into(), hold: Some(f.beats(beats)) }), ..task(text) }
}

fn held_by(text: &str) -> Vec<Pushed> {
    vec![Pushed { id: id(text), created: false }]
}

/// Until the task is done, whoever asks for its key gets its id; another queue's keys are others.
pub async fn a_key_is_held_until_its_task_is_done(f: Fixture) {
    assert!(f.push_one(holding("a")).await);
    assert_eq!(f.push(vec![holding("b")]).await, held_by("a"));
    assert_eq!(f.standing("b").await, None);
    assert!(f.push_one(Message { queue: name("q2"), ..holding("c") }).await);
    let other = Unique { key: "k2".into(), hold: None };
    assert!(f.push_one(Message { unique: Some(other), ..task("d") }).await);
    let delivery = f.take_one().await;
    assert_eq!((f.push(vec![holding("b")]).await, delivery.run.id.as_str()), (held_by("a"), "a"));
    f.end(&delivery, Ending::Done).await;
    assert!(f.push_one(holding("b")).await);
    assert_eq!(f.push(vec![holding("e")]).await, held_by("b"));
}

/// So do a dead and a cancelled task.
pub async fn dead_and_cancelled_tasks_release_their_key(f: Fixture) {
    for (text, ending) in [("a", death(DAY)), ("b", Ending::Cancelled)] {
        let delivery = f.running(holding(text)).await;
        f.end(&delivery, ending).await;
    }
    assert!(f.push_one(holding("c")).await);
}

/// A task that comes again keeps its key, whether it failed, was given back or was lost.
pub async fn a_task_that_comes_again_keeps_its_key(f: Fixture) {
    let first = f.running(holding("a")).await;
    f.end(&first, retry(&first, f.beats(1))).await;
    assert_eq!(f.push(vec![holding("b")]).await, held_by("a"));
    f.pass(f.beats(1)).await;
    let second = f.take_one().await;
    f.end(&second, Ending::Release { after: f.beats(0) }).await;
    assert_eq!(f.push(vec![holding("b")]).await, held_by("a"));
    f.take_one().await;
    f.pass(f.beats(11)).await;
    let again = f.take_one().await;
    assert_eq!((again.lost, f.push(vec![holding("b")]).await), (1, held_by("a")));
}

/// A key that is held for a time is held whatever becomes of the task, and not longer.
pub async fn a_key_held_for_a_time_is_held_for_that_time(f: Fixture) {
    let delivery = f.running(holding_for(&f, 5, "a")).await;
    f.end(&delivery, Ending::Done).await;
    assert_eq!(f.push(vec![holding("b")]).await, held_by("a"));
    f.pass(f.beats(5)).await;
    // Held for two beats by a task that waits for longer: what ends later frees nobody else's key.
    let late = Message { due: Due::After(f.beats(4)), ..holding_for(&f, 2, "b") };
    assert!(f.push_one(late).await);
    f.pass(f.beats(2)).await;
    assert!(f.push_one(Message { queue: name("q"), handler: name("other"), ..holding("c") }).await);
    f.pass(f.beats(2)).await;
    let late = f.take_one().await;
    f.end(&late, Ending::Done).await;
    assert_eq!(f.push(vec![holding("d")]).await, held_by("c"));
}

/// An id that is taken is answered as such, whoever holds the key.
pub async fn an_id_is_looked_at_before_the_key(f: Fixture) {
    f.push(vec![task("a"), holding("b")]).await;
    assert_eq!(f.push(vec![holding("a")]).await, held_by("a"));
}

/// In one push as in two.
pub async fn a_key_twice_in_one_push_is_one_task(f: Fixture) {
    let pushed = f.push(vec![holding("a"), holding("b"), task("c")]).await;
    let answers: Vec<_> = pushed.iter().map(|pushed| (pushed.id.as_str(), pushed.created)).collect();
    assert_eq!(answers, [("a", true), ("a", false), ("c", true)]);
    assert_eq!(ids(&f.take(&f.asking(2)).await).len(), 2);
}

/// What follows from an end keeps the rule as well.
pub async fn a_follow_up_with_a_held_key_is_not_pushed(f: Fixture) {
    f.push(vec![Message { due: Due::After(f.beats(5)), ..holding("a") }]).await;
    let delivery = f.running(task("b")).await;
    f.settle(End { effects: vec![Effect::Push(holding("b/f1"))], ..end(&delivery.run, Ending::Done) }).await;
    assert_eq!(f.standing("b/f1").await, None);
    assert_eq!(f.tracked("a").await.state, State::Scheduled);
}

/// Of many at once, one gets the key.
pub async fn a_key_wanted_by_many_is_given_to_one(f: Fixture) {
    let others = [f.reopen().await, f.reopen().await];
    let pushes = (0..30).map(|number| {
        let broker = others[number % 2].broker.clone();
        async move { broker.push(vec![holding(&format!("a{number}"))]).await.expect("push").remove(0) }
    });
    let pushed = futures_util::future::join_all(pushes).await;
    let created: Vec<_> = pushed.iter().filter(|pushed| pushed.created).collect();
    assert_eq!(created.len(), 1);
    assert!(pushed.iter().all(|pushed| pushed.id == created[0].id));
}
