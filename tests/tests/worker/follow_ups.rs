//! What handlers enqueue while they run.

use super::*;

fn parse(text: String) -> TaskId {
    text.parse().expect("an id")
}

#[test]
fn what_a_handler_enqueued_runs_after_its_success() {
    law(async |place| {
        place.serve("m", "[grants]\nenqueue = [\"echo\"]");
        place.serve_guest("echo", "echo", "");
        let id =
            place.enqueue("m", json!({"do": "enqueue", "handler": "echo", "times": 3}), TaskOptions::default()).await;
        let summary = place.until_empty(options()).await;
        assert_eq!(summary.done, 4);
        assert_eq!(place.record(&id).await.result.unwrap(), format!("{{\"ok\":\"{id}/f3\"}}"));
        for n in 1..=3 {
            assert_eq!(place.record(&parse(format!("{id}/f{n}"))).await.result.unwrap(), n.to_string());
        }
    });
}

#[test]
fn a_run_that_failed_enqueues_nothing() {
    law(async |place| {
        place.serve("m", "[grants]\nenqueue = [\"echo\"]");
        let wish = json!({"do": "enqueue", "handler": "echo", "then": "no"});
        let id = place.enqueue("m", wish, TaskOptions::default()).await;
        place.until_empty(options()).await;
        assert_eq!(place.record(&id).await.state, State::Dead);
        assert!(place.client.show(&parse(format!("{id}/f1"))).await.expect("it answers").is_none());
    });
}

#[test]
fn only_granted_handlers_may_be_enqueued() {
    law(async |place| {
        place.serve("m", "[grants]\nenqueue = [\"mail\"]");
        let id = place.enqueue("m", json!({"do": "enqueue", "handler": "echo"}), TaskOptions::default()).await;
        place.until_empty(options()).await;
        let answer = place.record(&id).await.result.expect("an answer");
        assert!(String::from_utf8_lossy(&answer).contains("denied: enqueueing"), "{answer:?}");
    });
}

#[test]
fn tasks_that_enqueue_themselves_end_after_thirty_two() {
    law(async |place| {
        place.serve("m", "[grants]\nenqueue = [\"m\"]");
        let deep = Headers::from([("tasq-depth".into(), "32".into())]);
        let payload = json!({"do": "enqueue", "handler": "m"}).to_string();
        let task = tasq_host::task::Task {
            id: parse("deep".into()),
            handler: name("m"),
            queue: name("default"),
            priority: Priority::Normal,
            payload: payload.into(),
            content_type: String::new(),
            headers: deep,
            upstream: vec![],
            options: TaskOptions::default(),
            chain: None,
            group: None,
        };
        let message = codec::message(task, Due::Now, None);
        place.backend.broker.push(vec![message]).await.expect("it is accepted");
        place.until_empty(options()).await;
        let answer = place.record(&parse("deep".into())).await.result.expect("an answer");
        assert!(String::from_utf8_lossy(&answer).contains("32 tasks in a row"), "{answer:?}");
    });
}

#[test]
fn a_follow_up_whose_unique_key_is_taken_is_dropped() {
    law(|place| async move {
        place.serve("m", "[grants]\nenqueue = [\"late\"]");
        let wish = json!({"do": "enqueue", "handler": "late", "times": 2, "unique": "k"});
        let ids = [
            place.enqueue("m", wish.clone(), TaskOptions::default()).await,
            place.enqueue("m", wish, TaskOptions::default()).await,
        ];
        let summary = place.until_empty(options()).await;
        // Of four, all told their ids, one holds the key; nobody serves it yet.
        assert_eq!((summary.done, summary.parked), (2, 1));
        let holder =
            NewTask { unique: Some(Unique { key: "k".into(), hold: None }), ..NewTask::new(name("late"), "x") };
        let holder = place.client.enqueue(holder).await.expect("it answers");
        assert!(!holder.created && ids.iter().any(|id| holder.id.as_str().starts_with(id.as_str())), "{holder:?}");
    });
}
