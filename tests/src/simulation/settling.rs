//! What a worker owes for each run: the end that follows from what its handler did, by the task's options, with all that
//! belongs to it.

use std::time::Duration;

use bytes::Bytes;
use tasq_host::broker::{Effect, End, Settled};
use tasq_host::results::Record;
use tasq_host::task::{Backoff, Ending, Outcome, State, Task, TaskId, Verdict};

use super::ledger::{Given, Guest, Known};
use super::script;
use crate::nouns::id;

/// Losses after which a task is poison.
pub(super) const MAX_LOST: u32 = 3;

/// An error says what is wrong with an end.
pub(super) fn check(known: &Known, end: &End) -> Result<(), String> {
    let run = end.run.number;
    let given = known.runs.get(&run).ok_or("an end of a run that was never given")?;
    let (task, ending) = (&known.task, &end.ending);
    let expected = match &given.guest {
        Guest::Running | Guest::Dropped => return Err(format!("run {run} is ended while it runs")),
        Guest::Absent => not_called(task, given, run),
        Guest::Ended(outcome) => called(task, given, outcome)?,
    };
    let delay = check_delay(task, given, ending);
    delay.and_then(|()| check_effects(task, given, end)).and_then(|()| {
        let found = kind(ending);
        (found == expected).then_some(()).ok_or(format!("run {run} is ended as {found}, not {expected}"))
    })
}

/// Why a handler isn't called, and what that means.
fn not_called(task: &Task, given: &Given, run: u32) -> &'static str {
    let is_expired = task.options.expires.is_some_and(|expires| run == 1 && given.late > expires);
    match given {
        Given { cancelled: true, .. } => "cancelled",
        Given { lost, .. } if *lost >= MAX_LOST => "dead",
        _ if is_expired => "dead",
        _ => "a call of its handler",
    }
}

fn called(task: &Task, given: &Given, outcome: &Outcome) -> Result<&'static str, String> {
    Ok(match outcome {
        Outcome::Done(_) => "done",
        Outcome::Failed(_, Verdict::Retry(_)) if given.failed + 1 > max_retries(task) => "dead",
        Outcome::Failed(_, Verdict::Retry(_)) => "retry",
        Outcome::Failed(_, Verdict::Snooze(_)) => "snooze",
        Outcome::Failed(_, Verdict::Discard) => "dead",
        Outcome::Release(_) => "release",
        Outcome::Cancelled => "cancelled",
        Outcome::Park => "park",
        Outcome::Gone => return Err("an end of a run whose lease is gone".to_owned()),
    })
}

/// The manifest of `side` says 2, and nobody else leaves it to the default.
fn max_retries(task: &Task) -> u32 {
    let own = if task.handler.as_str() == "side" { 2 } else { tasq_host::retry::MAX_RETRIES };
    task.options.max_retries.unwrap_or(own)
}

fn check_delay(task: &Task, given: &Given, ending: &Ending) -> Result<(), String> {
    let Ending::Retry { after, failed } = ending else { return Ok(()) };
    let attempt = given.failed + 1;
    let (least, most) = match task.options.backoff.unwrap_or(Backoff::DEFAULT) {
        Backoff::Fixed { delay } => (delay, delay),
        Backoff::Linear { step } => (step * attempt, step * attempt),
        Backoff::Exponential { first, most } => {
            let full = (first * 2u32.pow(attempt - 1)).min(most);
            (full.mul_f64(0.749), full)
        }
    };
    let is_right = (least..=most).contains(after) && failed.attempt == attempt;
    is_right.then_some(()).ok_or(format!("attempt {} is followed after {after:?}", failed.attempt))
}

fn check_effects(task: &Task, given: &Given, end: &End) -> Result<(), String> {
    let is_done = end.ending == Ending::Done;
    let (mut pushes, mut arrivals, mut records) = (Vec::new(), 0, Vec::new());
    for effect in &end.effects {
        match effect {
            Effect::Push(message) => pushes.push(message.id.clone()),
            Effect::Arrive { .. } => arrivals += 1,
            Effect::Record(record) => records.push(record.as_ref()),
        }
    }
    let mut expected: Vec<TaskId> = Vec::new();
    if is_done {
        let next = task.chain.as_ref().filter(|chain| !chain.rest.is_empty());
        expected.extend(next.map(|chain| id(&format!("{}/s{}", chain.link.id, chain.link.step + 1))));
        let script = script::Script::of(&task.payload);
        expected.extend((1..=script.follow_ups).map(|number| script::follow_up(&task.id, number)));
    }
    if pushes != expected {
        return Err(format!("{pushes:?} follow, not {expected:?}"));
    }
    let is_member = task.group.as_ref().is_some_and(|group| group.index > 0);
    if arrivals != usize::from(is_done && is_member) {
        return Err(format!("{arrivals} results arrive"));
    }
    let state = match end.ending {
        Ending::Done => State::Done,
        Ending::Dead { .. } => State::Dead,
        Ending::Cancelled => State::Cancelled,
        _ if end.effects.is_empty() => return Ok(()),
        _ => return Err("what goes on has effects".to_owned()),
    };
    let is_kept = state == State::Dead || task.options.retention != Some(Duration::ZERO);
    match (is_kept, &records[..]) {
        (false, []) => Ok(()),
        (true, [record]) => check_record(task, given, end, state, record),
        _ => Err(format!("{} records", records.len())),
    }
}

fn check_record(task: &Task, given: &Given, end: &End, state: State, record: &Record) -> Result<(), String> {
    let called = u32::from(given.guest != Guest::Absent);
    let result = (state == State::Done).then(|| script::result(&task.id));
    let code = match (state, &given.guest) {
        (State::Dead, Guest::Absent) if given.lost >= MAX_LOST => Some("poison"),
        (State::Dead, Guest::Absent) => Some("expired"),
        (State::Dead, _) => Some("scripted"),
        _ => None,
    };
    let found = (record.state, record.run, record.attempt, record.lost, record.result.clone());
    let expected = (state, end.run.number, given.failed + called, given.lost, result);
    let found_code = record.failure.as_ref().map(|failure| failure.code.as_str());
    let is_right = found == expected && found_code == code && record.id == task.id;
    is_right.then_some(()).ok_or(format!("its record says {found:?} {found_code:?}, not {expected:?} {code:?}"))
}

/// What a task gets of those before it.
pub(super) fn upstream(task: &Task) -> Vec<Bytes> {
    match (&task.chain, &task.group) {
        (Some(chain), _) if chain.link.step > 1 => {
            vec![script::result(&id(&format!("{}/s{}", chain.link.id, chain.link.step - 1)))]
        }
        (None, Some(group)) if group.index == 0 => {
            (1..=group.of).map(|index| script::result(&id(&format!("{}/m{index}", group.group)))).collect()
        }
        _ => Vec::new(),
    }
}

fn kind(ending: &Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Retry { .. } => "retry",
        Ending::Snooze { .. } => "snooze",
        Ending::Dead { .. } => "dead",
        Ending::Cancelled => "cancelled",
        Ending::Release { .. } => "release",
        Ending::Park => "park",
    }
}

/// How an end is counted.
pub(super) fn word(end: &End, answer: Settled) -> &'static str {
    let record =
        end.effects.iter().find_map(|effect| if let Effect::Record(record) = effect { Some(record) } else { None });
    let code = record.and_then(|record| record.failure.as_ref()).map(|failure| failure.code.as_str());
    match (answer, &end.ending) {
        (Settled::Stale, _) => "ends that come too late",
        (_, Ending::Done) => "tasks done",
        (_, Ending::Retry { .. }) => "retries",
        (_, Ending::Snooze { .. }) => "snoozes",
        (_, Ending::Dead { .. }) if code == Some("poison") => "tasks poisoned",
        (_, Ending::Dead { .. }) if code == Some("expired") => "tasks expired",
        (_, Ending::Dead { .. }) if code.is_none() => "tasks buried",
        (_, Ending::Dead { .. }) => "tasks dead",
        (_, Ending::Cancelled) => "tasks cancelled by their worker",
        (_, Ending::Release { .. }) => "runs given back",
        (_, Ending::Park) => "runs parked",
    }
}
