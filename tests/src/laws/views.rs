//! What people and programs see of tasks, queues and workers.

use std::time::Duration;

use tasq_host::broker::finding::Severity;
use tasq_host::broker::{Depth, Due, HandlerReport, Message, Reserve, Settings, Signal, Standing, WorkerReport};
use tasq_host::results::{Cursor, Filter};
use tasq_host::task::{Ending, Headers, Priority, State};
use tokio::sync::broadcast::error::TryRecvError;

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

async fn listed(f: &Fixture, filter: Filter) -> Vec<String> {
    let standings = f.backend.operations.list(&filter).await.expect("list");
    standings.into_iter().map(|standing| here(Some(standing)).id.to_string()).collect()
}

/// A scheduled, a pending, a running and a parked task, and some that have ended.
async fn one_of_each(f: &Fixture) {
    for text in ["done", "cancelled", "dead"] {
        let delivery = f.running(task(text)).await;
        let ending = match text {
            "done" => Ending::Done,
            "cancelled" => Ending::Cancelled,
            _ => death(DAY),
        };
        f.end(&delivery, ending).await;
    }
    f.running(task("running")).await;
    f.push(for_handler("missing", vec![task("parked")])).await;
    f.nothing(&f.asking(1)).await;
    f.push(vec![Message { due: Due::After(f.beats(5)), ..task("scheduled") }]).await;
    f.push(vec![Message { due: Due::After(f.beats(500)), ..task("far") }]).await;
    f.push(vec![task("pending")]).await;
}

/// A task tells its state and all that is known of it; what has left, or never was, tells nothing.
pub async fn a_task_tells_where_it_stands(f: Fixture) {
    one_of_each(&f).await;
    for state in [State::Scheduled, State::Pending, State::Running, State::Parked, State::Dead] {
        assert_eq!(f.tracked(state.as_str()).await.state, state);
    }
    let names = ["done", "dead", "unknown", "running"].map(id);
    let found = f.backend.operations.get(&names).await.expect("get");
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, true]);
    let running = f.tracked("running").await;
    assert_eq!((running.queue.as_str(), running.handler.as_str()), ("q", "h"));
    assert_eq!((running.priority, &running.envelope[..]), (Priority::Normal, &b"running"[..]));
    assert_eq!((running.run, running.worker), (1, Some(worker("w1"))));
    assert!(running.started_at >= Some(running.due_at));
    let scheduled = f.tracked("scheduled").await;
    assert_eq!((scheduled.due_at, scheduled.run), (scheduled.enqueued_at.plus(f.beats(5)), 0));
    f.pass(f.beats(5)).await;
    assert_eq!(f.tracked("scheduled").await.state, State::Pending);
}

/// Unfinished tasks, newest first; state, queue and handler select.
pub async fn unfinished_tasks_are_listed_newest_first_and_filtered(f: Fixture) {
    f.push(vec![task("a")]).await;
    f.pass(f.beats(1)).await;
    f.push(on_queue("q2", vec![task("c"), task("b")])).await;
    f.pass(f.beats(1)).await;
    f.push(vec![Message { handler: name("other"), due: Due::After(f.beats(9)), ..task("d") }]).await;
    let all = Filter { limit: 10, ..Filter::default() };
    assert_eq!(listed(&f, all.clone()).await, ["d", "c", "b", "a"]);
    assert_eq!(listed(&f, Filter { limit: 2, ..all.clone() }).await, ["d", "c"]);
    assert_eq!(listed(&f, Filter { state: Some(State::Scheduled), ..all.clone() }).await, ["d"]);
    assert_eq!(listed(&f, Filter { queue: Some(name("q")), ..all.clone() }).await, ["d", "a"]);
    assert_eq!(listed(&f, Filter { handler: Some(name("h")), ..all.clone() }).await, ["c", "b", "a"]);
    f.take_one().await;
    assert_eq!(listed(&f, Filter { state: Some(State::Running), ..all.clone() }).await, ["a"]);
    assert_eq!(listed(&f, Filter { state: Some(State::Pending), ..all }).await, ["c", "b"]);
}

/// What has ended is the results' to list.
pub async fn ended_tasks_are_not_listed_as_unfinished(f: Fixture) {
    one_of_each(&f).await;
    let mut names = listed(&f, Filter { limit: 50, ..Filter::default() }).await;
    names.sort_unstable();
    assert_eq!(names, ["far", "parked", "pending", "running", "scheduled"]);
}

/// Page by page, each is listed once, however many were pushed in one moment.
pub async fn pages_of_tasks_miss_nothing(f: Fixture) {
    for batch in 0..3 {
        f.push(tasks(&format!("b{batch}-"), 20)).await;
        f.pass(f.beats(1)).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = f.backend.operations.list(&Filter { limit: 7, after, ..Filter::default() }).await.expect("list");
        let page: Vec<_> = page.into_iter().map(|standing| here(Some(standing))).collect();
        let Some(last) = page.last() else { break };
        after = Some(Cursor(last.enqueued_at, last.id.clone()));
        seen.extend(page.into_iter().map(|tracked| Cursor(tracked.enqueued_at, tracked.id)));
    }
    assert_eq!(seen.len(), 60);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, each once");
}

/// Each queue's numbers, by state.
pub async fn depths_count_what_is_there(f: Fixture) {
    one_of_each(&f).await;
    f.push(on_queue("q2", tasks("b", 3))).await;
    // What a full handler holds back is still pending.
    f.push(on_queue("q2", for_handler("full", tasks("full", 2)))).await;
    let request = asking(&["q2"], &["h"], 3, f.beats(10));
    f.take(&Reserve { room: room(&[("h", 9), ("full", 0)]), ..request.clone() }).await;
    f.nothing(&Reserve { room: room(&[("h", 9), ("full", 0)]), ..request }).await;
    let depths = f.backend.operations.depths(f.beats(6)).await.expect("depths");
    let depth = |queue| depths.iter().find(|depth| depth.queue == name(queue)).expect("the queue is there").clone();
    let q = Depth { queue: name("q"), scheduled: 2, soon: 1, pending: 1, running: 1, parked: 1, dead: 1, settings: Settings::default() };
    assert_eq!(depth("q"), q);
    let q2 = Depth { queue: name("q2"), scheduled: 0, soon: 0, pending: 2, running: 3, parked: 0, dead: 0, settings: Settings::default() };
    assert_eq!(depth("q2"), q2);
}

fn report(text: &str) -> WorkerReport {
    let handler = HandlerReport {
        name: name("add"),
        digest: "sha256:00ff".into(),
        queue: Some(name("sums")),
        max_retries: Some(3),
    };
    WorkerReport {
        id: worker(text),
        queues: vec![name("q"), name("sums")],
        concurrency: 16,
        handlers: vec![handler],
        notes: Headers::from([("version".into(), "0.1.0".into())]),
    }
}

async fn alive(f: &Fixture) -> Vec<WorkerReport> {
    let mut workers = f.backend.operations.workers().await.expect("workers");
    workers.sort_by(|a, b| a.id.cmp(&b.id));
    workers
}

/// A worker is seen with all that it tells, in its latest words, until it leaves.
pub async fn workers_are_seen_until_they_leave(f: Fixture) {
    let operations = &f.backend.operations;
    operations.announce(&report("w1"), f.beats(1)).await.expect("announce");
    f.reopen().await.operations.announce(&report("w2"), f.beats(1)).await.expect("announce");
    let changed = WorkerReport { handlers: Vec::new(), ..report("w1") };
    operations.announce(&changed, f.beats(1)).await.expect("announce");
    assert_eq!(alive(&f).await, [changed, report("w2")]);
    operations.withdraw(&worker("w1")).await.expect("withdraw");
    operations.withdraw(&worker("unknown")).await.expect("withdraw");
    assert_eq!(alive(&f).await, [report("w2")]);
}

/// One that says nothing for three times its interval is forgotten.
pub async fn a_silent_worker_is_forgotten(f: Fixture) {
    f.backend.operations.announce(&report("silent"), f.beats(1)).await.expect("announce");
    f.backend.operations.announce(&report("steady"), f.beats(1)).await.expect("announce");
    f.pass(f.beats(2)).await;
    f.backend.operations.announce(&report("steady"), f.beats(1)).await.expect("announce");
    assert_eq!(alive(&f).await.len(), 2);
    f.pass(f.beats(2)).await;
    assert_eq!(alive(&f).await, [report("steady")]);
}

/// Whatever isn't as it should be says what may be lost, and what to do about it.
pub async fn a_checkup_tells_what_may_be_lost_and_what_mends_it(f: Fixture) {
    let findings = f.backend.operations.findings().await.expect("findings");
    assert!(findings.iter().any(|finding| finding.about == "persistence"), "{findings:?}");
    for finding in &findings {
        assert!(!finding.found.is_empty() && !finding.found.contains('\n'), "{finding:?}");
        let is_bad = finding.level > Severity::Note;
        assert!(!is_bad || (finding.risk.is_some() && finding.mend.is_some()), "{finding:?}");
    }
}

/// Who listens hears that a task has ended, in whichever way, and of no end that isn't one.
pub async fn listeners_hear_of_ends(f: Fixture) {
    let mut signals = f.backend.signals.listen();
    let first = f.running(task("a")).await;
    f.end(&first, retry(&first, Duration::ZERO)).await;
    let second = f.take_one().await;
    f.end(&first, Ending::Done).await;
    f.end(&second, death(DAY)).await;
    let third = f.running(task("b")).await;
    f.end(&third, Ending::Done).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let signal = tokio::time::timeout(PATIENCE, signals.recv()).await.expect("a signal in time").expect("a signal");
        match signal {
            Signal::Ended(id) => heard.push(id),
            Signal::Changed | Signal::Missed | Signal::Cancel(_) => {}
        }
    }
    assert_eq!(heard, [id("a"), id("b")]);
    assert!(matches!(signals.try_recv(), Err(TryRecvError::Empty) | Ok(Signal::Changed | Signal::Missed)));
}

/// Another handle hears of it too, or at least that something changed.
pub async fn listeners_elsewhere_hear_that_something_changed(f: Fixture) {
    let other = f.reopen().await;
    let mut signals = other.signals.listen();
    let delivery = f.running(task("a")).await;
    f.end(&delivery, Ending::Done).await;
    let signal = tokio::time::timeout(PATIENCE, signals.recv()).await.expect("a signal in time").expect("a signal");
    assert!(matches!(signal, Signal::Ended(_) | Signal::Changed | Signal::Missed));
}

/// Records for another server wait in the outbox, oldest first, until they are said to have arrived.
pub async fn foreign_records_wait_in_the_outbox(f: Fixture) {
    let f = f.with_foreign_results().await;
    let broker = f.backend.broker.clone();
    let mut records = Vec::new();
    for text in ["a", "b", "c"] {
        let delivery = f.running(task(text)).await;
        records.push(record(&delivery, State::Done, DAY));
        f.settle(recorded(&delivery.run, Ending::Done, records[records.len() - 1].clone())).await;
        f.settle(recorded(&delivery.run, Ending::Done, records[records.len() - 1].clone())).await;
    }
    assert_eq!(broker.outbox(0).await.expect("outbox"), []);
    assert_eq!(broker.outbox(2).await.expect("outbox").len(), 2);
    let letters = broker.outbox(10).await.expect("outbox");
    let delivered: Vec<_> = letters.iter().map(|letter| (*letter.record).clone()).collect();
    assert_eq!(delivered, records, "each once, oldest first, and none of the stale ends");
    assert!(matches!(f.standing("b").await, Some(Standing::Leaving(record)) if *record == records[1]));
    assert_eq!(f.record("b").await, None, "kept elsewhere");
    broker.delivered(&[letters[1].number, letters[0].number, 1 << 40]).await.expect("delivered");
    broker.delivered(&[letters[1].number]).await.expect("delivered");
    let left = broker.outbox(10).await.expect("outbox");
    assert_eq!(left, letters[2..]);
    assert_eq!(f.standing("b").await, None);
    assert!(f.standing("c").await.is_some());
}

/// What follows in the same place doesn't go by the outbox.
pub async fn follow_ups_of_the_same_place_do_not_wait_in_the_outbox(f: Fixture) {
    let f = f.with_foreign_results().await;
    let delivery = f.running(task("a")).await;
    let effects = vec![tasq_host::broker::Effect::Push(task("a/f1"))];
    f.settle(tasq_host::broker::End { effects, ..end(&delivery.run, Ending::Done) }).await;
    assert_eq!(f.backend.broker.outbox(10).await.expect("outbox"), []);
    assert_eq!(f.take_one().await.run.id, id("a/f1"));
}
