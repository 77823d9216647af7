//! Cancelling: what waits leaves at once, what runs is told.

use std::time::Duration;

use tasq_host::backend::Backend;
use tasq_host::broker::{Broker, Cancel, Due, Effect, End, Held, Message, Settled, Signal};
use tasq_host::task::{Ending, Run, State, TaskId};
use tokio::sync::broadcast::Receiver;

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

/// The end that cancels a task which has begun so many runs.
fn cancelling(text: &str, number: u32) -> End {
    end(&Run { queue: name("q"), id: id(text), number }, Ending::Cancelled)
}

async fn cancel(f: &Fixture, end: End) -> Cancel {
    let answers = f.backend.operations.cancel(vec![end]).await.expect("cancel");
    assert_eq!(answers.len(), 1, "one answer per end");
    answers[0]
}

/// Scheduled, pending, parked or out of room: it leaves with its record, and its id stays taken.
pub async fn a_waiting_task_leaves_at_once(f: Fixture) {
    f.push(for_handler("missing", vec![task("parked")])).await;
    f.push(for_handler("full", vec![task("aside")])).await;
    let request = tasq_host::broker::Reserve { room: room(&[("h", 9), ("full", 0)]), ..f.asking(9) };
    f.nothing(&request).await;
    f.push(vec![Message { due: Due::After(f.beats(5)), ..task("scheduled") }, task("pending")]).await;
    let mut signals = f.backend.signals.listen();
    let texts = ["parked", "aside", "scheduled", "pending"];
    for text in texts {
        let tracked = f.tracked(text).await;
        let times = (tracked.enqueued_at, f.now());
        let record = ended(text, "q", State::Cancelled, times, DAY);
        let effects = vec![Effect::Record(std::sync::Arc::new(record))];
        assert_eq!(cancel(&f, End { effects, ..cancelling(text, 0) }).await, Cancel::Done, "{text}");
        assert_eq!(f.standing(text).await, None, "{text}");
        assert_eq!(f.record(text).await.map(|record| record.state), Some(State::Cancelled), "{text}");
        assert!(!f.push_one(task(text)).await, "{text} is remembered");
        assert_eq!(cancel(&f, cancelling(text, 0)).await, Cancel::Gone, "{text}");
    }
    let mut heard = Vec::new();
    while heard.len() < texts.len() {
        let signal = tokio::time::timeout(PATIENCE, signals.recv()).await.expect("a signal in time").expect("a signal");
        heard.extend(if let Signal::Ended(id) = signal { Some(id.to_string()) } else { None });
    }
    assert_eq!(heard, texts);
    f.pass(f.beats(30)).await;
    f.nothing(&asking(&["q"], &["h", "full", "missing"], 9, f.beats(10))).await;
    let depths = f.backend.operations.depths(Duration::ZERO).await.expect("depths");
    assert!(depths.iter().all(|depth| depth.pending + depth.parked + depth.scheduled + depth.running == 0));
}

/// A running task's worker is told when it extends, goes on holding the lease, and writes the end.
pub async fn a_running_task_is_told(f: Fixture) {
    let delivery = f.running(task("a")).await;
    assert_eq!(f.extend(&delivery.run, f.beats(10)).await, Held::Kept);
    assert_eq!(cancel(&f, cancelling("a", 1)).await, Cancel::Asked);
    assert_eq!(cancel(&f, cancelling("a", 1)).await, Cancel::Asked);
    let tracked = f.tracked("a").await;
    assert_eq!((tracked.state, tracked.cancelled), (State::Running, true));
    for _ in 0..3 {
        assert_eq!(f.extend(&delivery.run, f.beats(10)).await, Held::Cancelled);
        f.pass(f.beats(8)).await;
    }
    assert_eq!(f.end(&delivery, Ending::Cancelled).await, Settled::Applied);
    assert_eq!(f.standing("a").await, None);
}

/// Whoever listens hears of it within a second, in another process too.
pub async fn listeners_hear_of_a_wish_to_cancel(f: Fixture) {
    let other = f.reopen().await;
    let mut signals = [f.backend.signals.listen(), other.signals.listen()];
    let delivery = f.running(task("a")).await;
    cancel(&f, cancelling("a", delivery.run.number)).await;
    for (backend, signals) in [&f.backend, &other].into_iter().zip(&mut signals) {
        // Who may have missed it would ask; here it is said again.
        let again = async || assert_eq!(cancel(&f, cancelling("a", delivery.run.number)).await, Cancel::Asked);
        assert_eq!(told_to_cancel(backend, signals, again).await, id("a"));
    }
}

/// What the next of these signals names. Calls in between, for what one process hears of another takes real time, also
/// where the clock is simulated.
async fn told_to_cancel(backend: &Backend, signals: &mut Receiver<Signal>, again: impl AsyncFn()) -> TaskId {
    let brief = Duration::from_millis(10);
    for _ in 0..PATIENCE.as_millis() / brief.as_millis() {
        match tokio::time::timeout(brief, signals.recv()).await {
            Ok(Ok(Signal::Cancel(told))) => return told,
            Ok(Ok(Signal::Missed)) => again().await,
            Ok(other) => drop(other.expect("a signal")),
            Err(_) => drop(backend.operations.get(&[]).await.expect("get")),
        }
    }
    panic!("no signal within {PATIENCE:?}");
}

/// A run that ends well before it is told has ended well.
pub async fn a_run_that_is_done_first_is_done(f: Fixture) {
    let delivery = f.running(task("a")).await;
    cancel(&f, cancelling("a", 1)).await;
    assert_eq!(f.end(&delivery, Ending::Done).await, Settled::Applied);
    assert_eq!(cancel(&f, cancelling("a", 1)).await, Cancel::Gone);
}

/// However a run ends that doesn't finish its task: it comes back at once, to be ended.
pub async fn a_cancelled_task_that_comes_back_is_marked(f: Fixture) {
    let endings = ["retry", "snooze", "release", "park"];
    for (number, how) in endings.into_iter().enumerate() {
        let text = format!("a{number}");
        let delivery = f.running(task(&text)).await;
        assert!(!delivery.cancelled);
        cancel(&f, cancelling(&text, 1)).await;
        let ending = match how {
            "retry" => retry(&delivery, DAY),
            "snooze" => Ending::Snooze { after: DAY },
            "release" => Ending::Release { after: DAY },
            _ => Ending::Park,
        };
        f.end(&delivery, ending).await;
        let again = f.take_one().await;
        assert_eq!((again.run.id.as_str(), again.run.number, again.cancelled), (text.as_str(), 2, true), "{how}");
        assert_eq!(f.end(&again, Ending::Cancelled).await, Settled::Applied);
    }
}

/// A worker that vanishes takes the wish with it into no grave.
pub async fn a_cancelled_task_that_is_lost_is_marked(f: Fixture) {
    f.running(task("a")).await;
    cancel(&f, cancelling("a", 1)).await;
    f.pass(f.beats(10)).await;
    let again = f.take_one().await;
    assert_eq!((again.lost, again.cancelled), (1, true));
    let fresh = f.running(task("b")).await;
    assert!(!fresh.cancelled);
}

/// Who looked too long ago looks again; what is dead or unknown is gone.
pub async fn a_wish_names_the_run_that_was_seen(f: Fixture) {
    let delivery = f.running(task("a")).await;
    assert_eq!(cancel(&f, cancelling("a", 0)).await, Cancel::Moved);
    assert_eq!(cancel(&f, cancelling("a", 2)).await, Cancel::Moved);
    assert_eq!(f.extend(&delivery.run, f.beats(10)).await, Held::Kept);
    f.end(&delivery, death(DAY)).await;
    assert_eq!(cancel(&f, cancelling("a", 1)).await, Cancel::Gone);
    assert_eq!(cancel(&f, cancelling("never", 0)).await, Cancel::Gone);
    assert_eq!(f.tracked("a").await.state, State::Dead);
    f.push(vec![task("b"), task("c")]).await;
    let ends = vec![cancelling("x", 0), cancelling("b", 0), cancelling("c", 7)];
    let answers = f.backend.operations.cancel(ends).await.expect("cancel");
    assert_eq!(answers, [Cancel::Gone, Cancel::Done, Cancel::Moved]);
    let broker: &dyn Broker = &*f.backend.broker;
    assert_eq!(ids(&broker.reserve(&f.asking(5)).await.expect("reserve")), ["c"]);
}
