//! What can be done about tasks that have ended.

use super::*;
use tasq_host::client::{Deleted, Retried};

fn flaky() -> Value {
    json!({"do": "flaky", "failures": 1})
}

async fn retry(place: &Place, id: &TaskId) -> Retried {
    place.client.retry(std::slice::from_ref(id)).await.expect("it answers").remove(0)
}

async fn delete(place: &Place, id: &TaskId) -> Deleted {
    place.client.delete(std::slice::from_ref(id)).await.expect("it answers").remove(0)
}

#[test]
fn a_dead_task_is_tried_again_with_all_its_retries() {
    law(|place| async move {
        place.serve("m", "");
        let id = place.enqueue("m", json!({"do": "fail", "message": "no"}), fast(1)).await;
        assert_eq!(retry(&place, &id).await, Retried::NotDead(State::Pending));
        // The history stays, what it died of with it.
        for runs in [2, 4] {
            let summary = place.until_empty(options()).await;
            assert_eq!((summary.retried, summary.dead), (1, 1));
            let record = place.record(&id).await;
            assert_eq!(
                (record.state, record.run, record.attempt, record.history.len()),
                (State::Dead, runs, 2, runs as usize)
            );
            assert_eq!(retry(&place, &id).await, Retried::Done);
            assert_eq!(place.state(&id).await, State::Pending);
            // Neither as its old end nor twice.
            let listed = place.client.list(&Filter { limit: 10, ..Filter::default() }).await.expect("it answers").tasks;
            assert_eq!(listed.iter().map(Known::state).collect::<Vec<_>>(), [State::Pending]);
        }
        assert_eq!(retry(&place, &"nothing".parse().expect("an id")).await, Retried::Unknown);
    });
}

#[test]
fn a_chain_goes_on_where_its_dead_step_is_tried_again() {
    law(|place| async move {
        place.serve("m", "");
        place.serve_guest("echo", "echo", "");
        let options_of = TaskOptions { max_retries: Some(0), ..TaskOptions::default() };
        let step = |text: &str| NewTask { options: options_of.clone(), ..NewTask::new(name("m"), text.to_owned()) };
        // Fails in its first attempt; tried again it has a first attempt once more, and so its own run decides.
        let odd = step(&json!({"do": "fail-once"}).to_string());
        let last = NewTask::without_payload(name("echo"));
        let steps = vec![step(&json!({"do": "echo", "text": "one"}).to_string()), odd, last];
        let id = place.client.chain(steps).await.expect("it is accepted").id;
        place.until_empty(options()).await;
        assert_eq!(place.state(&id).await, State::Dead);
        assert_eq!(retry(&place, &id).await, Retried::Done);
        assert_eq!(place.state(&id).await, State::Pending);
        place.until_empty(options()).await;
        assert_eq!(place.state(&id).await, State::Done);
        assert_eq!(place.record(&id).await.result.as_deref(), Some(&b"2"[..]));
        assert_eq!(delete(&place, &id).await, Deleted::Done);
        assert!(place.client.show(&id).await.expect("it answers").is_none());
    });
}

#[test]
fn a_task_whose_unique_key_is_taken_meanwhile_stays_dead_with_its_record() {
    law(|place| async move {
        place.serve("m", "");
        let unique = Some(Unique { key: "k".into(), hold: None });
        let new =
            |behaviour: Value| NewTask { unique: unique.clone(), ..NewTask::new(name("m"), behaviour.to_string()) };
        let dead = place.client.enqueue(new(json!({"do": "fail", "kind": "discard"}))).await.expect("accepted").id;
        place.until_empty(options()).await;
        let holder = place.client.enqueue(new(json!({"do": "echo", "text": "x"}))).await.expect("accepted");
        assert!(holder.created);
        assert_eq!(retry(&place, &dead).await, Retried::Held(holder.id.clone()));
        assert_eq!(place.record(&dead).await.state, State::Dead);
        place.until_empty(options()).await;
        assert_eq!(retry(&place, &dead).await, Retried::Done);
        // It holds its key again.
        let late = place.client.enqueue(new(json!({"do": "echo", "text": "x"}))).await.expect("accepted");
        assert_eq!((late.created, late.id), (false, dead));
    });
}

#[test]
fn ended_tasks_are_forgotten_and_unfinished_ones_are_not() {
    law(|place| async move {
        place.serve("m", "");
        let done = place.enqueue("m", json!({"do": "echo", "text": "x"}), TaskOptions::default()).await;
        let dead = place.enqueue("m", flaky(), fast(0)).await;
        place.until_empty(options()).await;
        let waiting = place.enqueue("m", flaky(), fast(0)).await;
        assert_eq!(delete(&place, &waiting).await, Deleted::Unfinished(State::Pending));
        for id in [&done, &dead] {
            assert_eq!(delete(&place, id).await, Deleted::Done);
            assert!(place.client.show(id).await.expect("it answers").is_none());
            assert_eq!(delete(&place, id).await, Deleted::Unknown);
        }
        assert_eq!(retry(&place, &dead).await, Retried::Unknown);
        assert_eq!(place.state(&waiting).await, State::Pending);
    });
}
