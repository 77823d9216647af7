//! What is kept of tasks, queues and schedules, read. The heads that scripts put before envelopes are described in
//! `prelude.lua`.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::wire::{Answer, CANCELLED, UNIQUE, WAITS, id, kept_record, parse, unreadable};
use crate::broker::{Arrived, Delivery, Settings, Standing, Tracked};
use crate::error::{Error, Result};
use crate::schedules::{Plan, Plans};
use crate::task::{FailedRun, Name, Priority, Rate, Run, State, TaskId, Timestamp, WorkerId};

/// A queue's settings (`depths.lua`).
pub(super) fn settings(answer: &mut Answer) -> Result<Settings> {
    let (paused, rate, most) = (answer.maybe()?.is_some(), answer.maybe()?, answer.maybe()?);
    let rate = rate.map(|rate| {
        let mut packed = Packed(rate);
        Ok::<_, Error>(Rate { tasks: packed.take_u32()?, per: Duration::from_micros(packed.take(7)?) })
    });
    let concurrency = most.map(|most| parse("a limit", &most)).transpose()?;
    Ok(Settings { paused, rate: rate.transpose()?, concurrency })
}

/// Big-endian integers of any width, from the front.
pub(super) struct Packed(pub(super) Bytes);

impl Packed {
    pub(super) fn take(&mut self, width: usize) -> Result<u64> {
        if self.0.len() < width {
            return Err(unreadable("a task's head"));
        }
        let part = self.0.split_to(width);
        Ok(part.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn take_u32(&mut self) -> Result<u32> {
        Ok(self.take(4)? as u32)
    }

    /// So many bytes behind their number.
    pub(super) fn take_bytes(&mut self, width: usize) -> Result<Bytes> {
        let length = self.take(width)? as usize;
        if self.0.len() < length {
            return Err(unreadable("a value"));
        }
        Ok(self.0.split_to(length))
    }
}

/// What the value of `m` says.
struct Head {
    priority: Priority,
    waits: bool,
    enqueued_at: Timestamp,
    due_at: Timestamp,
    handler: Name,
    envelope: Bytes,
}

fn head(value: Bytes) -> Result<Head> {
    let mut packed = Packed(value);
    let (_seq, enqueued_at, due_at) = (packed.take(6)?, Timestamp(packed.take(6)?), Timestamp(packed.take(7)?));
    let mark = packed.take(1)?;
    let priority = Priority::ALL.get((mark % UNIQUE) as usize).copied().ok_or_else(|| unreadable("a priority"))?;
    let (_format, _remember) = (packed.take(1)?, packed.take(7)?);
    let end = packed.0.iter().position(|&byte| byte == 0).ok_or_else(|| unreadable("a handler's name"))?;
    let handler = parse("a handler's name", &packed.0.split_to(end))?;
    let _end = packed.take(1)?;
    if mark & UNIQUE > 0 {
        let (_hold, _key) = (packed.take(7)?, packed.take_bytes(2)?);
    }
    Ok(Head { priority, waits: mark & WAITS > 0, enqueued_at, due_at, handler, envelope: packed.0 })
}

/// What the value of `e` says; all zero for none, with the time at which the task was due first.
struct Past {
    run: u32,
    failed: u32,
    lost: u32,
    due_at: Timestamp,
    cancelled: bool,
    history: Vec<FailedRun>,
}

fn past(blob: Bytes, first_due: Timestamp) -> Result<Past> {
    if blob.is_empty() {
        return Ok(Past { run: 0, failed: 0, lost: 0, due_at: first_due, cancelled: false, history: Vec::new() });
    }
    let mut packed = Packed(blob);
    let (run, failed, lost) = (packed.take_u32()?, packed.take_u32()?, packed.take_u32()?);
    let (due_at, count) = (Timestamp(packed.take(7)?), packed.take(1)?);
    let one = |_| serde_json::from_slice(&packed.take_bytes(4)?).map_err(|_| unreadable("a failed run"));
    let history = (0..count % CANCELLED).map(one).collect::<Result<_>>()?;
    Ok(Past { run, failed, lost, due_at, cancelled: count & CANCELLED > 0, history })
}

/// One task of a look's answer (`claim.lua`); `has_past`: whether it says what has happened to it.
pub(super) fn delivery(answer: &mut Answer, queue: &Name, has_past: bool, reserved_at: Timestamp) -> Result<Delivery> {
    let id = id(&answer.bytes()?)?;
    let head = head(answer.bytes()?)?;
    let past = past(if has_past { answer.bytes()? } else { Bytes::new() }, head.due_at)?;
    let arrived = if head.waits { Some(answer.list()?.map_or(Arrived::TooLarge, Arrived::Whole)) } else { None };
    Ok(Delivery {
        run: Run { queue: queue.clone(), id, number: past.run + 1 },
        handler: head.handler,
        priority: head.priority,
        failed: past.failed,
        lost: past.lost,
        enqueued_at: head.enqueued_at,
        due_at: past.due_at,
        reserved_at,
        history: past.history,
        cancelled: past.cancelled,
        arrived,
        envelope: head.envelope,
    })
}

/// Where one task stands (`get.lua`).
pub(super) fn standing(answer: &mut Answer, id: &TaskId, queue: &Name) -> Result<Option<Standing>> {
    let state = match answer.text()?.as_str() {
        "" => return Ok(None),
        "leaving" => return Ok(Some(Standing::Leaving(kept_record(&answer.bytes()?)?.into()))),
        "scheduled" => State::Scheduled,
        "pending" => State::Pending,
        "running" => State::Running,
        "parked" => State::Parked,
        "dead" => State::Dead,
        _ => return Err(unreadable("a state")),
    };
    let (run, blob) = (answer.bytes()?, answer.bytes()?);
    let head = head(answer.bytes()?)?;
    let past = past(blob, head.due_at)?;
    let mut tracked = Tracked {
        id: id.clone(),
        queue: queue.clone(),
        handler: head.handler,
        priority: head.priority,
        state,
        run: past.run,
        failed: past.failed,
        lost: past.lost,
        enqueued_at: head.enqueued_at,
        due_at: past.due_at,
        started_at: None,
        worker: None,
        history: past.history,
        cancelled: past.cancelled,
        arrived: if head.waits { progress(answer.bytes()?)? } else { None },
        envelope: head.envelope,
    };
    if !run.is_empty() {
        let mut packed = Packed(run);
        let _seq = packed.take(6)?;
        tracked.run = packed.take_u32()?;
        tracked.started_at = Some(Timestamp(packed.take(6)?));
        let (_remember, mark) = (packed.take(7)?, packed.take(1)?);
        tracked.cancelled = mark & CANCELLED > 0;
        let end = packed.0.iter().position(|&byte| byte == 0).unwrap_or(packed.0.len());
        tracked.worker = Some(parse::<WorkerId>("a worker's id", &packed.0[..end])?);
    }
    Ok(Some(Standing::Here(Box::new(tracked))))
}

/// All schedules (`plans.lua`).
pub(super) fn plans(value: Value) -> Result<Plans> {
    let mut answer = Answer::new(value)?;
    let now = Timestamp(answer.number()?);
    let mut plans = Vec::new();
    while !answer.is_over() {
        plans.push(plan(&answer.bytes()?, answer.bytes()?)?);
    }
    plans.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Plans { now, plans })
}

/// A schedule (`plan_value.lua`).
fn plan(name: &[u8], value: Bytes) -> Result<Plan> {
    let mut packed = Packed(value);
    let (since, last) = (Timestamp(packed.take(7)?), packed.take_bytes(2)?);
    let last = if last.is_empty() { None } else { Some(id(&last)?) };
    Ok(Plan { name: parse("a schedule's name", name)?, body: packed.0, since, last })
}

/// How many results a task waits for, and how many came.
fn progress(waiting: Bytes) -> Result<Option<(u32, u32)>> {
    let mut packed = Packed(waiting);
    let (want, got) = (packed.take_u32()?, packed.take_u32()?);
    Ok(Some((got, want)))
}
