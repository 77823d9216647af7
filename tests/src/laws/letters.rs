//! Dead letters: tried again, or dropped.

use tasq_host::broker::{Message, Reserve, Revive, Unique};
use tasq_host::task::{Ending, State, TaskId};

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

async fn dead(f: &Fixture, message: Message) -> tasq_host::broker::Delivery {
    let delivery = f.running(message).await;
    f.end(&delivery, death(f.beats(500))).await;
    delivery
}

async fn revive(f: &Fixture, texts: &[&str]) -> Vec<Revive> {
    let ids: Vec<TaskId> = texts.iter().map(|text| id(text)).collect();
    f.backend.operations.revive(&ids).await.expect("revive")
}

/// It is due again at once, its failures and losses count from 0, and what failed before is still told.
pub async fn a_revived_task_has_all_its_retries_again(f: Fixture) {
    let first = f.running(task("a")).await;
    f.end(&first, retry(&first, f.beats(0))).await;
    f.take_one().await;
    f.pass(f.beats(11)).await;
    let third = f.take_one().await;
    assert_eq!((third.failed, third.lost), (1, 1));
    f.end(&third, Ending::Dead { keep: DAY, failed: Some(failed(&third)) }).await;
    f.pass(f.beats(3)).await;
    let before = f.now();
    assert_eq!(revive(&f, &["a"]).await, [Revive::Done]);
    let tracked = f.tracked("a").await;
    assert_eq!((tracked.state, tracked.failed, tracked.lost, tracked.run), (State::Pending, 0, 0, 3));
    assert!(tracked.due_at >= before);
    let fourth = f.take_one().await;
    assert_eq!((fourth.run.number, fourth.failed, fourth.lost, fourth.history.len()), (4, 0, 0, 2));
    assert_eq!(fourth.history, [failed(&first), failed(&third)], "what it died of as well");
    f.end(&fourth, Ending::Done).await;
    assert_eq!(f.standing("a").await, None);
}

/// What isn't dead can't be.
pub async fn only_dead_letters_are_revived(f: Fixture) {
    let done = f.running(task("done")).await;
    f.end(&done, Ending::Done).await;
    f.running(task("running")).await;
    dead(&f, task("dead")).await;
    f.push(vec![task("pending")]).await;
    let answers = revive(&f, &["done", "running", "dead", "pending", "never", "dead"]).await;
    let expected = [Revive::NotDead, Revive::NotDead, Revive::Done, Revive::NotDead, Revive::NotDead, Revive::NotDead];
    assert_eq!(answers, expected);
    let depth = f.backend.operations.depths(f.beats(1)).await.expect("depths").remove(0);
    assert_eq!((depth.dead, depth.pending, depth.running), (0, 2, 1));
}

/// One that nobody keeps any more is gone.
pub async fn a_faded_letter_is_not_revived(f: Fixture) {
    dead(&f, task("a")).await;
    f.pass(f.beats(500)).await;
    assert_eq!(revive(&f, &["a"]).await, [Revive::NotDead]);
    f.nothing(&f.asking(1)).await;
}

/// It takes its key again, unless somebody else has it.
pub async fn a_revived_task_needs_its_key(f: Fixture) {
    let unique = |text| Message { unique: Some(Unique { key: "k".into(), hold: None }), ..task(text) };
    dead(&f, unique("a")).await;
    let holder = f.running(unique("b")).await;
    assert_eq!(revive(&f, &["a"]).await, [Revive::Held(id("b"))]);
    assert_eq!(f.tracked("a").await.state, State::Dead);
    f.end(&holder, Ending::Done).await;
    assert_eq!(revive(&f, &["a"]).await, [Revive::Done]);
    assert!(!f.push_one(unique("c")).await);
    let again = f.take_one().await;
    f.end(&again, Ending::Done).await;
    assert!(f.push_one(unique("c")).await);
}

/// Whoever waits gets it.
pub async fn a_revived_task_wakes_a_waiting_reserve(f: Fixture) {
    dead(&f, task("a")).await;
    let waiting = Reserve { wait: PATIENCE, ..f.asking(1) };
    let revived = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        revive(&f, &["a"]).await
    };
    let (taken, _) = tokio::join!(f.look(&waiting), revived);
    assert_eq!(ids(&taken), ["a"]);
}

/// Dropped letters are gone; their ids stay taken.
pub async fn a_removed_letter_is_gone(f: Fixture) {
    dead(&f, task("a")).await;
    dead(&f, task("b")).await;
    f.push(vec![task("c")]).await;
    let wanted = [id("a"), id("c"), id("never"), id("a")];
    assert_eq!(f.backend.operations.remove(&wanted).await.expect("remove"), 1);
    assert_eq!(f.standing("a").await, None);
    assert!(!f.push_one(task("a")).await);
    assert_eq!((f.tracked("b").await.state, f.tracked("c").await.state), (State::Dead, State::Pending));
    assert_eq!(revive(&f, &["a"]).await, [Revive::NotDead]);
}

/// A cancelled wish doesn't outlive a task's death.
pub async fn a_revived_task_is_not_cancelled(f: Fixture) {
    let delivery = f.running(task("a")).await;
    f.backend.operations.cancel(vec![end(&delivery.run, Ending::Cancelled)]).await.expect("cancel");
    f.end(&delivery, death(DAY)).await;
    assert_eq!(revive(&f, &["a"]).await, [Revive::Done]);
    assert!(!f.take_one().await.cancelled);
}
