//! Groups, from their members to their callback.

use super::*;
use tasq_host::broker::UPSTREAM;
use tasq_host::client::{Cancelled, KnownGroup, NewGroup, NewMember, Retried};

fn said(text: &str) -> NewTask {
    NewTask { options: fast(0), ..NewTask::new(name("m"), json!({"do": "echo", "text": text}).to_string()) }
}

fn doing(behaviour: Value) -> NewTask {
    NewTask { options: fast(0), ..NewTask::new(name("m"), behaviour.to_string()) }
}

/// Tells what it got from the members.
fn gathering() -> NewTask {
    doing(json!({"do": "facts"}))
}

async fn group(place: &Place, id: &TaskId) -> KnownGroup {
    match place.client.show(id).await.expect("it answers").expect("it is known") {
        Shown::Group(group) => *group,
        other => panic!("expected a group, found {other:?}"),
    }
}

async fn ended(place: &Place, id: &TaskId) -> Shown {
    let waited = place.client.wait(id, Some(PATIENCE), |_| {}).await.expect("it answers");
    let Waited::Ended(shown) = waited else { panic!("expected an end, found {waited:?}") };
    shown
}

/// What the callback got.
fn upstream(shown: &Shown) -> Value {
    let result = shown.record().expect("a record").result.clone().expect("a result");
    serde_json::from_slice::<Value>(&result).expect("JSON")["upstream"].clone()
}

#[test]
fn the_callback_gets_all_results_in_the_members_order() {
    law(async |place| {
        place.serve("m", "");
        place.serve_guest("echo", "echo", "");
        let late = NewTask { due: Due::After(Duration::from_millis(200)), ..said("first") };
        let chain = vec![said("inner"), NewTask::without_payload(name("echo"))];
        let members = vec![NewMember::from(late), chain.into(), said("").into()];
        let new = NewGroup::new(members).id("g".parse().expect("an id")).callback(gathering());
        let enqueued = place.client.group(new.clone()).await.expect("it is accepted");
        assert_eq!((enqueued.id.as_str(), enqueued.created), ("g", true));
        assert!(!place.client.group(new).await.expect("it is answered").created, "a group is enqueued once");
        let before = group(&place, &enqueued.id).await;
        assert_eq!((before.done(), before.of, before.state()), (0, 3, State::Pending));
        let working = place.work(options());
        let shown = ended(&place, &enqueued.id).await;
        assert_eq!((shown.state(), upstream(&shown)), (State::Done, json!(["first", "inner", ""])));
        let after = group(&place, &enqueued.id).await;
        assert_eq!((after.done(), after.of), (3, 3));
        let ids: Vec<&str> = after.members.iter().map(|member| member.id().as_str()).collect();
        assert_eq!(ids, ["g/m1", "g/m2", "g/m3"]);
        let member = place.record(&"g/m2/s2".parse().expect("an id")).await.group.expect("a member");
        assert_eq!((member.group.as_str(), member.index, member.of), ("g", 2, 3));
        assert_eq!(place.client.progress(&member).await.expect("it answers"), (3, 3));
        assert_eq!(working.stop().await.done, 5);
    });
}

#[test]
fn a_dead_member_leaves_the_group_open_visibly() {
    law(async |place| {
        place.serve("m", "");
        let failing = doing(json!({"do": "fail", "kind": "discard", "message": "no"}));
        let new = NewGroup::new([said("a"), failing, said("c")]).callback(gathering());
        let id = place.client.group(new).await.expect("it is accepted").id;
        let summary = place.until_empty(options()).await;
        assert_eq!((summary.done, summary.dead, summary.scheduled), (2, 1, 1));
        let open = group(&place, &id).await;
        assert_eq!((open.done(), open.state(), open.is_held_up()), (2, State::Scheduled, true));
        assert_eq!(open.failed().expect("a member").id().as_str(), format!("{id}/m2"));
        assert_eq!(open.unfinished(), [format!("{id}/cb").parse().expect("an id")]);
        let mut seen = Vec::new();
        let look = |shown: &Shown| seen.push(matches!(shown, Shown::Group(group) if group.is_held_up()));
        let waited = place.client.wait(&id, Some(Duration::from_millis(50)), look).await.expect("it answers");
        assert!(matches!(waited, Waited::TooLong(State::Scheduled)), "{waited:?}");
        assert_eq!(seen, [true]);
        let member = open.members[1].tasks()[0].member().expect("a member");
        assert_eq!(place.client.progress(&member).await.expect("it answers"), (2, 3));
    });
}

#[test]
fn a_member_that_is_tried_again_completes_the_group() {
    law(async |place| {
        place.serve("m", "");
        let failing = doing(json!({"do": "flaky", "failures": 1}));
        let new = NewGroup::new([vec![failing, said("b")]]).callback(gathering());
        let id = place.client.group(new).await.expect("it is accepted").id;
        let dead: TaskId = format!("{id}/m1/s1").parse().expect("an id");
        assert_eq!(place.until_empty(options()).await.dead, 1);
        let revived = place.backend.operations.revive(std::slice::from_ref(&dead)).await.expect("it answers");
        assert_eq!(revived, [tasq_host::broker::Revive::Done]);
        // Another worker's run of it succeeds.
        let taken = place.take("m", Duration::from_secs(15)).await;
        let task = codec::decode(&taken.envelope).expect("an envelope");
        let next = tasq_host::chain::next(task.chain.expect("a step"), task.group, "2".into()).expect("another step");
        let effects = vec![tasq_host::broker::Effect::Push(next)];
        let end = End { run: taken.run, ending: Ending::Done, effects };
        assert_eq!(place.backend.broker.settle(&[end]).await.expect("it answers"), [Settled::Applied]);
        let working = place.work(options());
        assert_eq!(upstream(&ended(&place, &id).await), json!(["b"]));
        working.stop().await;
    });
}

#[test]
fn a_group_without_a_callback_ends_with_its_members() {
    law(async |place| {
        place.serve("m", "");
        let id = place.client.group(NewGroup::new([said("a"), said("b")])).await.expect("it is accepted").id;
        let failing = doing(json!({"do": "fail", "kind": "discard", "message": "no"}));
        let other = place.client.group(NewGroup::new([said("a"), failing])).await.expect("it is accepted").id;
        place.until_empty(options()).await;
        let shown = ended(&place, &id).await;
        assert_eq!((shown.state(), shown.record()), (State::Done, None));
        let shown = ended(&place, &other).await;
        let failure = shown.record().expect("a record").failure.clone().expect("a reason");
        assert_eq!((shown.state(), failure.message.as_str()), (State::Dead, "no"));
    });
}

#[test]
fn results_that_are_too_large_together_bury_the_callback() {
    law(async |place| {
        place.serve("m", "");
        let members = UPSTREAM / tasq_host::sandbox::RESULT + 1;
        let large = doing(json!({"do": "result", "bytes": tasq_host::sandbox::RESULT}));
        let id = place.client.group(NewGroup::new(vec![large; members]).callback(gathering())).await.expect("ok").id;
        let working = place.work(options());
        let shown = ended(&place, &id).await;
        let failure = shown.record().expect("a record").failure.clone().expect("a reason");
        assert_eq!((shown.state(), failure.kind), (State::Dead, FailureKind::Upstream));
        assert_eq!(failure.code, "upstream-too-large");
        assert_eq!(working.stop().await.dead, 1);
    });
}

#[test]
fn a_thousand_members_have_one_callback() {
    law(async |place| {
        place.serve("m", "");
        let members = (1..=1_000).map(|number| said(&number.to_string()));
        let id = place.client.group(NewGroup::new(members).callback(gathering())).await.expect("it is accepted").id;
        let working = place.work(Options { concurrency: 16, ..options() });
        let shown = ended(&place, &id).await;
        let expected: Vec<String> = (1..=1_000).map(|number: u32| number.to_string()).collect();
        assert_eq!(upstream(&shown), json!(expected));
        assert_eq!(group(&place, &id).await.done(), 1_000);
        assert_eq!(working.stop().await.done, 1_001);
    });
}

#[test]
fn a_cancelled_group_runs_nothing_more_and_a_dead_member_can_be_tried_again() {
    law(async |place| {
        place.serve("m", "timeout = \"2h\"");
        let failing = doing(json!({"do": "fail", "kind": "discard", "message": "no"}));
        let chain = vec![doing(json!({"do": "sleep"})), said("never")];
        let new = NewGroup::new([NewMember::from(failing), chain.into()]).callback(gathering());
        let id = place.client.group(new).await.expect("it is accepted").id;
        let part = |name: &str| -> TaskId { format!("{id}/{name}").parse().expect("an id") };
        let working = place.work(options());
        place.until(&part("m1"), State::Dead).await;
        place.until(&part("m2/s1"), State::Running).await;
        let retried = place.client.retry(std::slice::from_ref(&id)).await.expect("it answers");
        assert_eq!(retried, [Retried::Done]);
        place.until(&part("m1"), State::Dead).await;
        let cancelled = place.client.cancel(std::slice::from_ref(&id)).await.expect("it answers");
        assert_eq!(cancelled, [Cancelled::Asked]);
        let shown = ended(&place, &id).await;
        assert_eq!((shown.state(), shown.record().is_some()), (State::Cancelled, true));
        place.until(&part("m2/s1"), State::Cancelled).await;
        let again = place.client.cancel(std::slice::from_ref(&id)).await.expect("it answers");
        assert_eq!(again, [Cancelled::Ended(State::Cancelled)]);
        assert!(place.client.show(&part("m2/s2")).await.expect("it answers").is_none());
        working.stop().await;
    });
}
