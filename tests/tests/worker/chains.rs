//! Chains, from the first step to the last.

use super::*;
use tasq_host::client::KnownChain;
use tasq_host::task::Failure;

fn step(handler: &str, payload: Option<&str>) -> NewTask {
    let options = TaskOptions { max_retries: Some(0), ..TaskOptions::default() };
    let payload = payload.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    NewTask { payload, options, ..NewTask::without_payload(name(handler)) }
}

fn failing() -> NewTask {
    step("odd", Some(&json!({"do": "fail", "kind": "discard", "message": "no", "code": "bad"}).to_string()))
}

async fn chain(place: &Place, id: &TaskId) -> KnownChain {
    match place.client.show(id).await.expect("it answers").expect("it is known") {
        Shown::Chain(chain) => chain,
        other => panic!("expected a chain, found {other:?}"),
    }
}

#[test]
fn each_step_starts_with_the_result_of_the_one_before() {
    law(async |place| {
        place.serve_guest("echo", "echo", "");
        let steps = [step("echo", Some("one")), step("echo", None), step("echo", Some("")), step("echo", None)];
        let first = NewTask { id: Some("c".parse().expect("an id")), ..steps[0].clone() };
        let enqueued = place.client.chain([vec![first], steps[1..].to_vec()].concat()).await.expect("it is accepted");
        assert_eq!((enqueued.id.as_str(), enqueued.created), ("c", true));
        assert_eq!(
            (chain(&place, &enqueued.id).await.state(), chain(&place, &enqueued.id).await.of),
            (State::Pending, 4)
        );
        place.until_empty(options()).await;
        let ended = chain(&place, &enqueued.id).await;
        let results: Vec<Bytes> = ended.steps.iter().map(|s| s.record().unwrap().result.clone().unwrap()).collect();
        // The third has an empty payload of its own, and gives nothing to the fourth: a chain goes on all the same.
        assert_eq!(results, ["one", "one", "", ""]);
        assert_eq!(ended.state(), State::Done);
        let links = ended.steps.iter().map(|step| step.link().map(|link| (link.step, link.of)));
        assert!(links.eq((1..=4).map(|step| Some((step, 4)))));
    });
}

#[test]
fn a_chain_is_enqueued_once() {
    law(async |place| {
        let first = NewTask { id: Some("c".parse().expect("an id")), ..step("echo", Some("one")) };
        let steps = vec![first, step("echo", None)];
        assert!(place.client.chain(steps.clone()).await.expect("it is accepted").created);
        assert!(!place.client.chain(steps).await.expect("it is answered").created);
    });
}

#[test]
fn a_dead_step_ends_the_chain_visibly() {
    law(async |place| {
        place.serve("odd", "");
        place.serve_guest("echo", "echo", "");
        let steps = vec![step("echo", Some("one")), failing(), step("echo", None)];
        let id = place.client.chain(steps).await.expect("it is accepted").id;
        let summary = place.until_empty(options()).await;
        assert_eq!(summary.dead, 1);
        let ended = chain(&place, &id).await;
        assert_eq!((ended.state(), ended.steps.len(), ended.of), (State::Dead, 2, 3));
        let Waited::Ended(shown) = place.client.wait(&id, Some(PATIENCE), |_| {}).await.expect("it answers") else {
            panic!("it has ended")
        };
        let Failure { message, .. } = shown.record().expect("a record").failure.clone().expect("a failure");
        assert_eq!(message, "no");
    });
}

#[test]
fn the_waiting_producer_gets_the_last_result() {
    law(async |place| {
        place.serve_guest("echo", "echo", "");
        let working = place.work(options());
        let delayed = NewTask { due: Due::After(Duration::from_millis(50)), ..step("echo", Some("last")) };
        let id = place.client.chain(vec![step("echo", Some("one")), delayed]).await.expect("it is accepted").id;
        let waited = place.client.wait(&id, Some(PATIENCE), |_| {}).await.expect("it answers");
        let Waited::Ended(shown) = waited else { panic!("expected an end, found {waited:?}") };
        assert_eq!((shown.state(), shown.record().unwrap().result.as_deref()), (State::Done, Some(&b"last"[..])));
        working.stop().await;
    });
}

#[test]
fn a_chain_whose_last_step_keeps_nothing_is_done_all_the_same() {
    law(async |place| {
        place.serve_guest("echo", "echo", "");
        let mut last = step("echo", None);
        last.options.retention = Some(Duration::ZERO);
        let id = place.client.chain(vec![step("echo", Some("one")), last]).await.expect("it is accepted").id;
        place.until_empty(options()).await;
        let waited = place.client.wait(&id, Some(PATIENCE), |_| {}).await.expect("it answers");
        let Waited::Ended(shown) = waited else { panic!("expected an end, found {waited:?}") };
        // Not the first step's result: that isn't the chain's.
        assert_eq!((shown.state(), shown.record()), (State::Done, None));
    });
}
