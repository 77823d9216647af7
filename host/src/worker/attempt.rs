//! One attempt at a task: decode, find the handler, run it, decide, hand in the end. Every task leaves by this door.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::follow_ups;
use super::lease::Seat;
use super::porter::{Counter, Handed};
use super::runner::Runner;
use crate::broker::{Arrived, Delivery, Effect, End, HISTORY, UPSTREAM};
use crate::chain;
use crate::codec;
use crate::group;
use crate::results::{RETENTION, RETENTION_DEAD, Record};
use crate::retry::{self, MAX_RETRIES, Policy};
use crate::sandbox::{Call, Handler, Ran, Stop};
use crate::task::{
    Backoff, Chain, Ending, FailedRun, Failure, FailureKind, FollowUp, Link, Logs, Member, Outcome, Receipt, Run,
    State, TOLD, Task, Timestamp, Verdict, WorkerId,
};

/// What every attempt of a worker shares.
pub(super) struct Crew {
    pub(super) worker: WorkerId,
    pub(super) sandbox: Arc<dyn Runner>,
    pub(super) counter: Arc<Counter>,
    pub(super) max_lost: u32,
}

/// How a run went, and what decides what that means.
struct Finished {
    outcome: Outcome,
    receipt: Receipt,
    policy: Policy,
    retention: Duration,
    chain: Option<Chain>,
    group: Option<Member>,
    follow_ups: Vec<FollowUp>,
    logs: Option<Logs>,
    told: bool,
    /// False for what was failed without being run: that is no attempt.
    ran: bool,
}

/// Runs one delivery to its end and hands that in.
pub(super) async fn run(crew: &Crew, mut delivery: Delivery, seat: Seat) {
    let began = Instant::now();
    let handler = crew.sandbox.handler(&delivery.handler);
    let finished = match codec::decode(&delivery.envelope) {
        Ok(task) => attempt(crew, &mut delivery, task, handler.as_ref(), seat.stop).await,
        Err(_) if delivery.cancelled => not_run(Outcome::Cancelled),
        // A newer envelope too: a broker gives those only to who reads them, so this one's label is wrong.
        Err(unreadable) => not_run(discard(FailureKind::Corrupt, "corrupt", unreadable.to_string())),
    };
    let finished_at = delivery.reserved_at.plus(began.elapsed());
    let handler = delivery.handler.clone();
    let said = tracing::enabled!(tracing::Level::DEBUG).then(|| (delivery.run.clone(), delivery.failed + 1));
    let end = end(crew, delivery, finished, finished_at);
    if let Some((Run { id: task, queue, number: run }, attempt)) = said {
        let ending = end.as_ref().map(|end| &end.ending);
        tracing::debug!(%task, %handler, attempt, %queue, run, took = ?began.elapsed(), ?ending, "ran");
    }
    crew.counter.hand_in(Handed { handler, end, seat: seat.number });
}

async fn attempt(
    crew: &Crew,
    delivery: &mut Delivery,
    mut task: Task,
    handler: Option<&Arc<Handler>>,
    stop: Stop,
) -> Finished {
    let manifest = handler.map(|handler| &handler.manifest);
    let options = &task.options;
    let max_retries = options.max_retries.or(manifest.and_then(|its| its.max_retries)).unwrap_or(MAX_RETRIES);
    let policy = Policy {
        max_retries: crew.sandbox.ceilings().max_retries(max_retries),
        backoff: options.backoff.or(manifest.and_then(|its| its.backoff)).unwrap_or(Backoff::DEFAULT),
        keep_dead: RETENTION_DEAD,
    };
    let (retention, expires) = (options.retention.unwrap_or(RETENTION), options.expires);
    let (chain, group) = (task.chain.take(), task.group.take());
    let told = task.headers.remove(TOLD).is_some();
    if delivery.cancelled {
        return Finished { policy, retention, chain, group, told, ..not_run(Outcome::Cancelled) };
    }
    let Some(handler) = handler else {
        return not_run(Outcome::Park);
    };
    if let Some(outcome) = hopeless(delivery, expires, crew.max_lost) {
        return Finished { policy, retention, chain, group, told, ..not_run(outcome) };
    }
    if let Some(Arrived::Whole(results)) = delivery.arrived.take() {
        task.upstream = results;
    }
    let call = Call {
        run: delivery.run.number,
        attempt: delivery.failed + 1,
        max_retries: policy.max_retries,
        enqueued_at: delivery.enqueued_at,
        due_at: delivery.due_at,
        started_at: delivery.reserved_at,
        task,
    };
    let Ran { outcome, receipt, follow_ups, logs } = crew.sandbox.attempt(handler, call, stop).await;
    Finished { outcome, receipt, policy, retention, chain, group, follow_ups, logs, told, ran: true }
}

fn not_run(outcome: Outcome) -> Finished {
    let policy = Policy { max_retries: MAX_RETRIES, backoff: Backoff::DEFAULT, keep_dead: RETENTION_DEAD };
    Finished {
        outcome,
        receipt: Receipt::default(),
        policy,
        retention: RETENTION,
        chain: None,
        group: None,
        follow_ups: Vec::new(),
        logs: None,
        told: false,
        ran: false,
    }
}

/// Why this task should not be run at all.
fn hopeless(delivery: &Delivery, expires: Option<Duration>, max_lost: u32) -> Option<Outcome> {
    if delivery.lost >= max_lost {
        let message = format!("{} runs began and their workers vanished", delivery.lost);
        return Some(discard(FailureKind::Lost, "poison", message));
    }
    if let Some(Arrived::TooLarge) = delivery.arrived {
        let message =
            format!("expected at most {UPSTREAM} bytes of results together ({} MiB), found more", UPSTREAM >> 20);
        return Some(discard(FailureKind::Upstream, "upstream-too-large", message));
    }
    // From the first due time on: a task that has been started once is past expiring.
    let was_started = delivery.run.number > 1;
    let late = delivery.reserved_at.since(delivery.due_at);
    let expires = expires.filter(|&expires| !was_started && late > expires)?;
    let message = format!("nobody started it within {} of being due", humantime::format_duration(expires));
    Some(discard(FailureKind::Expired, "expired", message))
}

fn discard(kind: FailureKind, code: &str, message: String) -> Outcome {
    Outcome::Failed(Failure { kind, code: code.to_owned(), message }, Verdict::Discard)
}

/// The end of the run with its effects; none where the run may not end anything.
fn end(crew: &Crew, delivery: Delivery, finished: Finished, finished_at: Timestamp) -> Option<End> {
    let Finished { outcome, receipt, policy, retention, chain, group, follow_ups, logs, told, ran } = finished;
    let attempt = delivery.failed + u32::from(ran);
    let failed = match &outcome {
        Outcome::Failed(failure, _) => {
            Some(FailedRun { attempt, run: delivery.run.number, at: finished_at, failure: failure.clone() })
        }
        _ => None,
    };
    let dice = || dice(&delivery.run);
    let ending = retry::decide(&outcome, || failed.clone().expect("only asked for a failure"), &policy, dice)?;
    let (state, result, keep) = match (&ending, outcome) {
        (Ending::Done, Outcome::Done(result)) => (State::Done, Some(result), retention),
        (Ending::Dead { .. }, _) => (State::Dead, None, policy.keep_dead.max(retention)),
        (Ending::Cancelled, _) => (State::Cancelled, None, retention),
        _ => return Some(End { run: delivery.run, ending, effects: Vec::new() }),
    };
    let run = delivery.run.clone();
    let link = chain.as_ref().map(|chain| chain.link.clone());
    let next = chain.and_then(|chain| result.clone().and_then(|result| chain::next(chain, group.clone(), result)));
    // Of a chain, the last step.
    let arrival = result.as_ref().filter(|_| next.is_none());
    let arrival = arrival.and_then(|result| group::arrival(group.as_ref()?, result));
    let follow_ups = follow_ups.into_iter().filter(|_| state == State::Done);
    let follow_ups = follow_ups.map(|follow_up| follow_ups::message(follow_up, &*crew.sandbox));
    let mut effects: Vec<Effect> = next.into_iter().chain(follow_ups).map(Effect::Push).collect();
    effects.extend(arrival);
    if !keep.is_zero() {
        let receipt = Receipt { worker: (&crew.worker).into(), ..receipt };
        let ended =
            Ended { state, attempt, result, failed, receipt, finished_at, keep, policy, link, group, logs, told };
        effects.push(Effect::Record(Arc::new(record(crew, delivery, ended))));
    }
    Some(End { run, ending, effects })
}

struct Ended {
    state: State,
    attempt: u32,
    result: Option<Bytes>,
    failed: Option<FailedRun>,
    receipt: Receipt,
    finished_at: Timestamp,
    keep: Duration,
    policy: Policy,
    link: Option<Link>,
    group: Option<Member>,
    logs: Option<Logs>,
    told: bool,
}

fn record(crew: &Crew, delivery: Delivery, ended: Ended) -> Record {
    let mut history = delivery.history;
    let failure = ended.failed.as_ref().map(|failed| failed.failure.clone());
    history.extend(ended.failed);
    if history.len() > HISTORY {
        history.drain(..history.len() - HISTORY);
    }
    Record {
        id: delivery.run.id,
        handler: delivery.handler,
        queue: delivery.run.queue,
        priority: delivery.priority,
        state: ended.state,
        run: delivery.run.number,
        attempt: ended.attempt,
        lost: delivery.lost,
        max_retries: ended.policy.max_retries,
        enqueued_at: delivery.enqueued_at,
        due_at: delivery.due_at,
        started_at: delivery.reserved_at,
        finished_at: ended.finished_at,
        worker: crew.worker.clone(),
        result: ended.result,
        failure,
        history,
        receipt: ended.receipt,
        chain: ended.link,
        group: ended.group,
        logs: ended.logs.as_ref().map(codec::encode_logs),
        told: ended.told,
        keep: ended.keep,
    }
}

/// A number in 0..1 for jitter: spread over runs matters, unpredictability doesn't, and a run that is repeated in a
/// simulation gets the same.
fn dice(run: &Run) -> f64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    run.hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}
