//! Listing unfinished tasks, newest first.
//!
//! An order of its own would cost every task something. So this walks over the places where tasks are, and as far as those
//! have an order not over all of them: the lists, and what waits aside, are in order of due times, and no task was enqueued
//! later than it was due. Of the others it reads no more than their numbers, which grow with the time of enqueueing, once
//! it knows which are too old. Each call is short, however much there is.

use std::collections::BTreeSet;

use super::call::Call;
use bytes::Bytes;

use super::Redis;
use super::scripts::{self, FAR};
use super::wire::{self, Answer};
use crate::broker::Standing;
use crate::error::Result;
use crate::results::{Cursor, Filter};
use crate::task::{Name, State, TaskId, Timestamp};

/// So many tasks are walked over in one call.
const PAGE: usize = 500;

/// One walk: the newest so far that the filter lets through, never more than its limit.
struct Walk<'a> {
    redis: &'a Redis,
    filter: &'a Filter,
    newest: BTreeSet<Cursor>,
}

/// In one queue, the numbers of the first and the last task that may still be wanted.
#[derive(Clone, Copy)]
struct Span(u64, u64);

impl Redis {
    pub(super) async fn unfinished(&self, filter: &Filter) -> Result<Vec<Standing>> {
        let queues = self.meet(&[]).await?;
        let asked = |queue: &&Name| filter.queue.as_ref().is_none_or(|wanted| wanted == *queue);
        let matches = |standing: &Standing| match standing {
            Standing::Here(here) => !here.state.is_final() && filter.state.is_none_or(|state| state == here.state),
            Standing::Leaving(_) => false,
        };
        let (mut found, mut rest) = (Vec::new(), filter.clone());
        loop {
            let mut walk = Walk { redis: self, filter: &rest, newest: BTreeSet::new() };
            for queue in queues.keys().filter(asked) {
                walk.over(queue).await?;
            }
            let newest = walk.newest;
            let ids: Vec<TaskId> = newest.iter().rev().map(|Cursor(_, id)| id.clone()).collect();
            found.extend(self.standings(&queues, &ids).await?.into_iter().flatten().filter(matches));
            // Some may have moved on since they were found: then there are more.
            if newest.len() < rest.limit || found.len() == filter.limit {
                return Ok(found);
            }
            (rest.limit, rest.after) = (filter.limit - found.len(), newest.into_iter().next());
        }
    }
}

impl Walk<'_> {
    async fn over(&mut self, queue: &Name) -> Result<()> {
        let mut span = Span(0, FAR);
        for place in places(self.filter.state) {
            let mut cursor = Bytes::new();
            loop {
                let call = self.call(queue, place, &cursor, span);
                let mut answer = Answer::new(self.redis.link.send(&call).await?)?;
                (cursor, span.1) = (answer.bytes()?, answer.number()?);
                let mut read = Vec::new();
                while !answer.is_over() {
                    let time = Timestamp(answer.number()?);
                    self.newest.insert(Cursor(time, wire::id(&answer.bytes()?)?));
                    read.push((time, answer.number()?));
                    if self.newest.len() > self.filter.limit {
                        self.newest.pop_first();
                    }
                }
                if let Some(Cursor(oldest, _)) = self.oldest() {
                    let old = read.into_iter().filter(|(time, _)| time < oldest).map(|(_, number)| number);
                    span.0 = old.fold(span.0, u64::max);
                }
                if cursor.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What is older than this isn't wanted any more.
    fn oldest(&self) -> Option<&Cursor> {
        self.newest.first().filter(|_| self.newest.len() == self.filter.limit)
    }

    fn call(&self, queue: &Name, place: &str, cursor: &[u8], span: Span) -> Call<'static> {
        let Redis { link, layout, .. } = self.redis;
        let mut call = link.call(&scripts::SCAN);
        layout.keys(queue, &mut call);
        let Filter { state, handler, after, .. } = self.filter;
        call.arg(place).arg(cursor).arg(PAGE);
        call.arg(state.map_or("", State::as_str)).arg(handler.as_ref().map_or("", Name::as_str));
        let (before, id) = after.as_ref().map_or((FAR, ""), |before| (before.0.0.min(FAR), before.1.as_str()));
        call.arg(before).arg(id);
        let (after, id) = self.oldest().map_or((0, ""), |after| (after.0.0.min(FAR), after.1.as_str()));
        call.arg(after).arg(id).arg(span.0).arg(span.1);
        call
    }
}

/// Where tasks of a state are, in the order in which they move on: one that does meanwhile isn't missed.
fn places(state: Option<State>) -> &'static [&'static str] {
    match state {
        None => &["x", "s", "p0", "p1", "p2", "k0", "k1", "k2", "x"],
        Some(State::Scheduled) => &["s"],
        Some(State::Pending) => &["s", "p0", "p1", "p2", "k0", "k1", "k2"],
        Some(State::Running) => &["x"],
        Some(State::Parked) => &["k0", "k1", "k2"],
        Some(State::Done | State::Dead | State::Cancelled) => &[],
    }
}
