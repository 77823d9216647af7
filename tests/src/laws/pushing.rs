//! What a push accepts, and which ids are taken.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tasq_host::broker::{Due, Message, Pushed};
use tasq_host::results::{Filter};
use tasq_host::task::{Ending, Priority, Timestamp};

use crate::fixture::Fixture;
use crate::nouns::*;

/// Whatever was pushed comes out of a reserve as it was.
pub async fn a_task_is_delivered_as_it_was_pushed(f: Fixture) {
    let envelope = Bytes::from((0..=255u8).collect::<Vec<_>>());
    let before = f.now();
    let pushed = Message { priority: Priority::Low, envelope: envelope.clone(), ..task("A1:b/c_d-e") };
    assert_eq!(f.push(vec![pushed]).await, [Pushed { id: id("A1:b/c_d-e"), created: true }]);
    let delivery = f.take_one().await;
    assert_eq!((delivery.run.queue.as_str(), delivery.run.id.as_str(), delivery.run.number), ("q", "A1:b/c_d-e", 1));
    assert_eq!((delivery.handler.as_str(), delivery.priority), ("h", Priority::Low));
    assert_eq!((delivery.failed, delivery.lost, delivery.history.len()), (0, 0, 0));
    assert_eq!(delivery.envelope, envelope);
    assert!(before <= delivery.enqueued_at && delivery.enqueued_at <= delivery.reserved_at, "{delivery:?}");
    assert_eq!(delivery.due_at, delivery.enqueued_at);
}

/// The largest payload: every backend takes it.
pub async fn four_mebibytes_pass(f: Fixture) {
    let envelope = Bytes::from(vec![0xa5; (4 << 20) + 200]);
    f.push(vec![Message { envelope: envelope.clone(), ..task("big") }]).await;
    assert!(f.take_one().await.envelope == envelope, "the bytes differ");
}

/// Answers stand in the order of the messages; no messages, no answers.
pub async fn answers_stand_in_the_order_of_the_messages(f: Fixture) {
    assert_eq!(f.push(Vec::new()).await, []);
    f.push(vec![task("b")]).await;
    let answers = f.push(vec![task("c"), task("b"), task("a")]).await;
    let answers: Vec<_> = answers.iter().map(|answer| (answer.id.as_str(), answer.created)).collect();
    assert_eq!(answers, [("c", true), ("b", false), ("a", true)]);
}

/// Scheduled, pending, running or parked: while a task is unfinished, its id is its own, and its envelope stays.
pub async fn an_unfinished_id_is_not_pushed_again(f: Fixture) {
    let other = Message { envelope: Bytes::from_static(b"other"), ..task("a") };
    f.push(vec![Message { due: Due::After(f.beats(1)), ..task("a") }]).await;
    assert!(!f.push_one(other.clone()).await, "scheduled");
    f.pass(f.beats(1)).await;
    assert!(!f.push_one(other.clone()).await, "pending");
    let delivery = f.take_one().await;
    assert!(!f.push_one(other.clone()).await, "running");
    f.end(&delivery, Ending::Park).await;
    assert!(!f.push_one(other).await, "parked");
    assert_eq!(f.take_one().await.envelope, "a");
    f.nothing(&f.asking(10)).await;
}

/// A producer that says the same twice in one breath means one task.
pub async fn an_id_twice_in_one_push_is_one_task(f: Fixture) {
    let answers = f.push(vec![task("a"), task("a"), task("b")]).await;
    assert_eq!(answers.iter().map(|answer| answer.created).collect::<Vec<_>>(), [true, false, true]);
    f.take(&f.asking(2)).await;
    f.nothing(&f.asking(10)).await;
}

/// A chosen id outlives its task for as long as it is remembered, and is then free for a new task.
pub async fn an_ended_id_stays_taken_while_it_is_remembered(f: Fixture) {
    for (text, ending) in [("done", Ending::Done), ("cancelled", Ending::Cancelled)] {
        let message = Message { remember: Some(f.beats(3)), ..task(text) };
        let delivery = f.running(message.clone()).await;
        f.end(&delivery, ending).await;
        f.pass(f.beats(2)).await;
        assert!(!f.push_one(message.clone()).await, "{text}");
        f.nothing(&f.asking(1)).await;
        f.pass(f.beats(1)).await;
        assert!(f.push_one(message).await, "{text}");
        let again = f.take_one().await;
        assert_eq!((again.run.number, again.failed), (1, 0), "a new task begins anew");
        f.end(&again, Ending::Done).await;
    }
}

/// Nobody pushes a generated id again, so nothing of it is remembered.
pub async fn an_id_that_is_not_to_be_remembered_is_not(f: Fixture) {
    let message = Message { remember: None, ..task("01890a5d-ac96-774b-bcce-b302099a8057") };
    let delivery = f.running(message.clone()).await;
    f.end(&delivery, Ending::Done).await;
    assert!(f.push_one(message).await);
}

/// A dead letter holds its id for as long as it is kept, and then for as long as it is remembered.
pub async fn a_dead_letters_id_stays_taken(f: Fixture) {
    let kept_longer = Message { remember: Some(f.beats(1)), ..task("a") };
    let remembered_longer = Message { remember: Some(f.beats(5)), ..task("b") };
    for (message, keep) in [(&kept_longer, 5), (&remembered_longer, 1)] {
        let delivery = f.running(message.clone()).await;
        f.end(&delivery, death(f.beats(keep))).await;
    }
    f.pass(f.beats(4)).await;
    assert!(!f.push_one(kept_longer.clone()).await);
    assert!(!f.push_one(remembered_longer.clone()).await);
    f.pass(f.beats(2)).await;
    assert!(f.push_one(kept_longer).await);
    assert!(f.push_one(remembered_longer).await);
}

/// Another process sees what this one pushed, and which ids are taken.
pub async fn every_handle_sees_the_same_tasks(f: Fixture) {
    let other = f.reopen().await;
    f.push(vec![task("a")]).await;
    assert!(!other.broker.push(vec![task("a")]).await.expect("push")[0].created);
    let taken = other.broker.reserve(&f.asking(5)).await.expect("reserve");
    assert_eq!(ids(&taken), ["a"]);
    f.nothing(&f.asking(1)).await;
    f.end(&taken[0], Ending::Done).await;
    assert!(!other.broker.push(vec![task("a")]).await.expect("push")[0].created);
}

/// A push that nobody waited for is there whole or not at all.
pub async fn a_dropped_push_is_all_or_nothing(f: Fixture) {
    for round in 0..10 {
        let messages = tasks(&format!("r{round}-"), 50);
        let push = f.backend.broker.push(messages);
        // Polled once or not at all, then dropped.
        if round % 2 == 0 {
            let _ = push.now_or_never();
        }
        f.push(vec![task(&format!("after{round}"))]).await;
        let filter = Filter { limit: 10_000, ..Filter::default() };
        let count = f.backend.operations.list(&filter).await.expect("list").len();
        assert_eq!((count - round - 1) % 50, 0, "{count} tasks after {round}");
    }
}

/// A time so far off that adding to it would overflow is just never.
pub async fn the_end_of_time_is_a_due_time_like_any_other(f: Fixture) {
    let never = [Due::After(Duration::MAX), Due::At(Timestamp(u64::MAX)), Due::At(Timestamp(i64::MAX as u64))];
    for (number, due) in never.into_iter().enumerate() {
        assert!(f.push_one(Message { due, ..task(&format!("never{number}")) }).await);
    }
    f.push(vec![task("now")]).await;
    assert_eq!(ids(&f.take(&f.asking(1)).await), ["now"]);
    f.nothing(&f.asking(10)).await;
}
