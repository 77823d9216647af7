//! Tasks that someone cancels while they run, or before they run again.

use super::*;
use tasq_host::client::Cancelled;
use tokio::time::Instant;

async fn cancel(place: &Place, id: &TaskId) -> Cancelled {
    place.client.cancel(std::slice::from_ref(id)).await.expect("it answers")[0]
}

#[test]
fn a_spinning_guest_is_stopped_at_once_and_its_slot_is_free() {
    law_on(&COMPLETE, |place| async move {
        place.serve("m", "cpu = \"1h\"\ntimeout = \"1h\"");
        let id = place.enqueue("m", json!({"do": "loop"}), fast(5)).await;
        // By itself the worker would extend, and so ask, each 20 s.
        let working = place.work(Options { concurrency: 1, lease: Duration::from_secs(60), ..options() });
        place.until(&id, State::Running).await;
        let next = place.enqueue("m", json!({"do": "echo", "text": "x"}), TaskOptions::default()).await;
        let began = Instant::now();
        assert_eq!(cancel(&place, &id).await, Cancelled::Asked);
        place.until(&id, State::Cancelled).await;
        eprintln!("stopped after {:?}", began.elapsed());
        place.until(&next, State::Done).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let record = place.record(&id).await;
        assert_eq!((record.attempt, record.run, &record.failure, &record.result), (1, 1, &None, &None));
        assert!(record.receipt.digest.starts_with("sha256:") && record.receipt.wall_ms > 0, "{:?}", record.receipt);
        assert_eq!(cancel(&place, &id).await, Cancelled::Ended(State::Cancelled));
        let summary = working.stop().await;
        assert_eq!((summary.cancelled, summary.done, summary.released, summary.stale), (1, 1, 0, 0));
    });
}

#[test]
fn a_cancelled_task_whose_worker_vanished_ends_without_running_again() {
    law_on(&COMPLETE, |place| async move {
        place.serve("m", "max_retries = 7");
        let id = place.enqueue("m", json!({"do": "echo", "text": "x"}), TaskOptions::default()).await;
        let lost = place.take("m", Duration::from_millis(1)).await;
        assert_eq!((&lost.run.id, lost.cancelled), (&id, false));
        assert_eq!(cancel(&place, &id).await, Cancelled::Asked);
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.cancelled, summary.done, summary.dead), (1, 0, 0));
        let record = place.record(&id).await;
        assert_eq!((record.state, record.run, record.attempt, record.lost), (State::Cancelled, 2, 0, 1));
        assert_eq!((record.max_retries, &record.failure, record.receipt.wall_ms), (7, &None, 0));
    });
}

#[test]
fn a_waiting_task_is_cancelled_at_once_and_leaves_a_record() {
    law_on(&COMPLETE, |place| async move {
        place.serve("m", "");
        let wish = NewTask { due: Due::After(Duration::from_secs(3600)), ..NewTask::new(name("m"), "x") };
        let id = place.client.enqueue(wish.clone()).await.expect("it is accepted").id;
        let untold = place.client.enqueue(wish).await.expect("it is accepted").id;
        assert_eq!(cancel(&place, &id).await, Cancelled::Done);
        let record = place.record(&id).await;
        assert_eq!((record.state, record.run, record.attempt), (State::Cancelled, 0, 0));
        assert_eq!(cancel(&place, &id).await, Cancelled::Ended(State::Cancelled));
        let gone =
            place.client.discard(&[untold.clone(), "nothing".parse().expect("an id")]).await.expect("it answers");
        assert_eq!(gone, 1);
        assert!(place.client.show(&untold).await.expect("it answers").is_none());
        assert_eq!(place.until_empty(options()).await, Summary::default());
    });
}

#[test]
fn a_chain_is_cancelled_by_its_own_id() {
    law_on(&COMPLETE, |place| async move {
        place.serve("m", "");
        let later = NewTask { due: Due::After(Duration::from_secs(3600)), ..NewTask::without_payload(name("m")) };
        let first = NewTask::new(name("m"), json!({"do": "echo", "text": "x"}).to_string());
        let id = place.client.chain(vec![first, later.clone(), later]).await.expect("it is accepted").id;
        place.until_empty(options()).await;
        assert_eq!(place.state(&id).await, State::Scheduled);
        assert_eq!(cancel(&place, &id).await, Cancelled::Done);
        assert_eq!(place.state(&id).await, State::Cancelled);
        assert_eq!(place.record(&id).await.id.as_str(), format!("{id}/s2"));
        assert_eq!(cancel(&place, &id).await, Cancelled::Ended(State::Cancelled));
    });
}
