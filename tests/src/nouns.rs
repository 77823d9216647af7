//! Short ways to say what a law needs: tasks, requests, ends, records.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tasq_host::broker::{Delivery, Due, Effect, End, Message, Order, Reserve, Standing, Tracked};
use tasq_host::results::Record;
use tasq_host::task::{
    Ending, FailedRun, Failure, FailureKind, Name, Priority, Receipt, Run, State, TaskId, Timestamp, WorkerId,
};

/// A day: longer than any law takes.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// A handler's or queue's name.
pub fn name(text: &str) -> Name {
    text.parse().expect("the tests use good names")
}

/// A task's id.
pub fn id(text: &str) -> TaskId {
    text.parse().expect("the tests use good ids")
}

/// A worker's id.
pub fn worker(text: &str) -> WorkerId {
    text.parse().expect("the tests use good worker ids")
}

/// A task for handler `h` on queue `q`, due now, its id remembered for a day, its envelope its id.
pub fn task(text: &str) -> Message {
    Message {
        id: id(text),
        queue: name("q"),
        handler: name("h"),
        priority: Priority::Normal,
        due: Due::Now,
        remember: Some(DAY),
        unique: None,
        format: 1,
        envelope: Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// `count` tasks named `<prefix>0`, `<prefix>1`, …
pub fn tasks(prefix: &str, count: usize) -> Vec<Message> {
    (0..count).map(|number| task(&format!("{prefix}{number}"))).collect()
}

/// These tasks for another handler.
pub fn for_handler(handler: &str, messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().map(|message| Message { handler: name(handler), ..message }).collect()
}

/// These tasks on another queue.
pub fn on_queue(queue: &str, messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().map(|message| Message { queue: name(queue), ..message }).collect()
}

/// A worker that looks in `queues`, in equal parts, and has plenty of room for `handlers`; it doesn't wait.
pub fn asking(queues: &[&str], handlers: &[&str], max: usize, lease: Duration) -> Reserve {
    Reserve {
        worker: worker("w1"),
        queues: queues.iter().map(|queue| (name(queue), 1)).collect(),
        order: Order::Weighted,
        max,
        room: room(&handlers.iter().map(|&handler| (handler, 100_000)).collect::<Vec<_>>()),
        format: 1,
        lease,
        wait: Duration::ZERO,
        recall: Arc::default(),
    }
}

/// Room for so many runs of each handler.
pub fn room(handlers: &[(&str, usize)]) -> Arc<HashMap<Name, usize>> {
    Arc::new(handlers.iter().map(|&(handler, count)| (name(handler), count)).collect())
}

/// An end without effects.
pub fn end(run: &Run, ending: Ending) -> End {
    End { run: run.clone(), ending, effects: Vec::new() }
}

/// A failure that is to be tried again after `after`.
pub fn retry(delivery: &Delivery, after: Duration) -> Ending {
    Ending::Retry { after, failed: failed(delivery) }
}

/// What the history gains when `delivery` fails.
pub fn failed(delivery: &Delivery) -> FailedRun {
    let failure =
        Failure { kind: FailureKind::Handler, code: "no".into(), message: format!("run {}", delivery.run.number) };
    FailedRun { attempt: delivery.failed + 1, run: delivery.run.number, at: delivery.reserved_at, failure }
}

/// A death that leaves nothing to the history, as that of a run whose end was refused.
pub fn death(keep: Duration) -> Ending {
    Ending::Dead { keep, failed: None }
}

/// Every way to end a run, to try them all.
pub fn every_ending(delivery: &Delivery) -> [Ending; 7] {
    [
        Ending::Done,
        retry(delivery, Duration::ZERO),
        Ending::Snooze { after: Duration::ZERO },
        Ending::Dead { keep: DAY, failed: Some(failed(delivery)) },
        Ending::Cancelled,
        Ending::Release { after: Duration::ZERO },
        Ending::Park,
    ]
}

/// The record of a run that ended as soon as it began.
pub fn record(delivery: &Delivery, state: State, keep: Duration) -> Record {
    let Run { queue, id, number } = delivery.run.clone();
    Record {
        handler: delivery.handler.clone(),
        priority: delivery.priority,
        run: number,
        attempt: delivery.failed + 1,
        lost: delivery.lost,
        due_at: delivery.due_at,
        history: delivery.history.clone(),
        ..ended(id.as_str(), queue.as_str(), state, (delivery.enqueued_at, delivery.reserved_at), keep)
    }
}

/// A record out of nothing: enqueued and finished at `times`.
pub fn ended(text: &str, queue: &str, state: State, times: (Timestamp, Timestamp), keep: Duration) -> Record {
    let failure = Failure { kind: FailureKind::Trap, code: "trap".into(), message: "unreachable".into() };
    Record {
        id: id(text),
        handler: name("h"),
        queue: name(queue),
        priority: Priority::Normal,
        state,
        run: 1,
        attempt: 1,
        lost: 0,
        max_retries: 25,
        enqueued_at: times.0,
        due_at: times.0,
        started_at: times.1,
        finished_at: times.1,
        worker: worker("w1"),
        result: (state == State::Done).then(|| Bytes::from_static(b"{\"result\":9}\0\xff")),
        failure: (state == State::Dead).then_some(failure),
        history: Vec::new(),
        receipt: Receipt { wall_ms: 7, frames: vec!["add".into()], ..Receipt::default() },
        chain: None,
        group: None,
        logs: None,
        told: false,
        keep,
    }
}

/// An end that also keeps `record`.
pub fn recorded(run: &Run, ending: Ending, record: Record) -> End {
    End { effects: vec![Effect::Record(std::sync::Arc::new(record))], ..end(run, ending) }
}

/// The ids, in order.
pub fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.run.id.as_str()).collect()
}

/// The task that stands in the broker.
pub fn here(standing: Option<Standing>) -> Tracked {
    match standing {
        Some(Standing::Here(tracked)) => *tracked,
        other => panic!("expected a task in the broker, found {other:?}"),
    }
}
