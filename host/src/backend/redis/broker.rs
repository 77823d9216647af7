//! Producers and workers.

use std::time::Duration;

use super::call::{Call, Script};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep_until};

use super::layout::{Blocks, Search};
use super::split::is_for_elsewhere;
use super::wire::{self, Answer, Taken, span};
use super::{Redis, scripts};
use crate::broker::{Broker, Delivery, Effect, End, Held, Letter, Message, Pushed, Reserve, Settled};
use crate::error::{Error, Result};
use crate::task::{Ending, Name, Run};

/// No call carries more tasks than this, nor, where each is smaller, more bytes: none holds the server for long.
const CHUNK: usize = 1_000;
const BYTES: usize = 4 << 20;
/// A waiting reserve looks at least this often: it may not have heard of something.
const LOOK: Duration = Duration::from_secs(1);

/// Letters are numbered in each queue; its own number stands above these bits.
const LETTERS: u32 = 40;

#[async_trait]
impl Broker for Redis {
    /// All or nothing per [`CHUNK`]: more in one call are accepted one chunk after the other.
    async fn push(&self, messages: Vec<Message>) -> Result<Vec<Pushed>> {
        let mut pushed = Vec::with_capacity(messages.len());
        for chunk in chunks(&messages, |message| message.envelope.len()) {
            let answers = self.push_chunk(chunk).await?;
            pushed.extend(chunk.iter().zip(answers).map(|(message, taken)| wire::pushed(message, taken)));
        }
        Ok(pushed)
    }

    async fn reserve(&self, request: &Reserve) -> Result<Vec<Delivery>> {
        let deadline = Instant::now().checked_add(request.wait);
        if request.max == 0 {
            return Ok(Vec::new());
        }
        // Listening before looking: what comes in between wakes us too.
        let mut wakes = self.ear.wakes();
        loop {
            let look = self.look(request).await?;
            if !look.taken.is_empty() {
                return Ok(look.taken);
            }
            let start = Instant::now();
            if look.unfinished {
                continue;
            }
            if deadline.is_some_and(|deadline| deadline <= start) {
                return Ok(Vec::new());
            }
            let nap = look.next.map_or(LOOK, |(next, now)| next.since(now).min(LOOK));
            let until = deadline.map_or(start + nap, |deadline| deadline.min(start + nap));
            tokio::select! {
                () = woken(&mut wakes, request) => {}
                () = request.recall.notified() => return Ok(Vec::new()),
                () = sleep_until(until) => {}
            }
        }
    }

    async fn extend(&self, runs: &[Run], lease: Duration) -> Result<Vec<Held>> {
        let mut held = vec![Held::Gone; runs.len()];
        let mut places: Vec<usize> = (0..runs.len()).collect();
        places.sort_by_key(|&place| &runs[place].queue);
        for of_queue in places.chunk_by(|&a, &b| runs[a].queue == runs[b].queue) {
            for chunk in of_queue.chunks(CHUNK) {
                let mut call = self.link.call(&scripts::EXTEND);
                self.layout.keys(&runs[chunk[0]].queue, &mut call);
                call.arg(span(lease));
                for &place in chunk {
                    call.arg(runs[place].id.as_str()).arg(runs[place].number);
                }
                let mut answer = Answer::new(self.link.send(&call).await?)?;
                for &place in chunk {
                    held[place] = match answer.number()? {
                        0 => Held::Gone,
                        1 => Held::Kept,
                        _ => Held::Cancelled,
                    };
                }
            }
        }
        Ok(held)
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>> {
        let mut answers = Vec::with_capacity(ends.len());
        for chunk in chunks(ends, weight) {
            let applied = self.settle_chunk(chunk).await?;
            let over = |ending: &Ending| matches!(ending, Ending::Done | Ending::Cancelled | Ending::Dead { .. });
            let ended = chunk.iter().zip(&applied).filter(|(end, applied)| **applied && over(&end.ending));
            self.ear.tell(ended.map(|(end, _)| end.run.id.clone()));
            answers.extend(applied.into_iter().map(|yes| if yes { Settled::Applied } else { Settled::Stale }));
        }
        Ok(answers)
    }

    async fn outbox(&self, max: usize) -> Result<Vec<Letter>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let queues = self.meet(&[]).await?;
        let asked = queues.iter().map(|(queue, number)| async move {
            let mut call = self.link.call(&scripts::OUTBOX);
            self.layout.keys(queue, &mut call);
            call.arg(max.min(CHUNK));
            let mut answer = Answer::new(self.link.send(&call).await?)?;
            let mut letters = Vec::new();
            while !answer.is_over() {
                let number = number << LETTERS | answer.number()?;
                let record = wire::kept_record(&answer.bytes()?)?;
                letters.push((record.finished_at, number, record.into()));
            }
            Ok::<_, Error>(letters)
        });
        let mut letters: Vec<_> = try_join_all(asked).await?.into_iter().flatten().collect();
        letters.sort_by_key(|&(finished_at, number, _)| (finished_at, number));
        letters.truncate(max);
        Ok(letters.into_iter().map(|(_, number, record)| Letter { number, record }).collect())
    }

    async fn delivered(&self, letters: &[u64]) -> Result<()> {
        let queues = self.meet(&[]).await?;
        for (queue, number) in queues.iter() {
            let its: Vec<u64> = letters.iter().filter(|&letter| letter >> LETTERS == *number).copied().collect();
            for chunk in its.chunks(CHUNK) {
                let mut call = self.link.call(&scripts::DELIVERED);
                self.layout.keys(queue, &mut call);
                for letter in chunk {
                    call.arg(letter & ((1 << LETTERS) - 1));
                }
                self.link.send(&call).await?;
            }
        }
        Ok(())
    }
}

impl Redis {
    async fn push_chunk(&self, messages: &[Message]) -> Result<Vec<Taken>> {
        if self.link.is_split() {
            return self.push_split(messages).await;
        }
        let mut blocks = Blocks::default();
        messages.iter().for_each(|message| blocks.add(&message.queue));
        loop {
            let queues = self.queues(&blocks.names()).await?;
            let mut call = self.link.call(&scripts::PUSH);
            let chosen = messages.iter().any(wire::is_chosen);
            let search = if chosen { Search::Everywhere } else { Search::There };
            self.layout.accept(&blocks, &queues, search, &mut call);
            // However long it takes.
            call.arg(0);
            messages.iter().for_each(|message| call.words(wire::message(message, blocks.place(&message.queue))));
            if let Some(answer) = wire::fresh(self.link.write(&call).await?) {
                return wire::taken(answer);
            }
            self.meet(&blocks.names()).await?;
        }
    }

    async fn settle_chunk(&self, ends: &[End]) -> Result<Vec<bool>> {
        let answers = self.end(&scripts::SETTLE, &[], ends).await?;
        Ok(answers.into_iter().map(|answer| answer == 1).collect())
    }

    /// Gives `script` the ends, behind what it wants to know beside.
    pub(super) async fn end(&self, script: &Script, beside: &[String], ends: &[End]) -> Result<Vec<u64>> {
        if self.link.is_split() {
            self.end_split(script, beside, ends).await
        } else {
            self.end_together(script, beside, &ends.iter().collect::<Vec<_>>()).await
        }
    }

    /// In one call: where queues live apart, of one queue.
    pub(super) async fn end_together(&self, script: &Script, beside: &[String], ends: &[&End]) -> Result<Vec<u64>> {
        let is_split = self.link.is_split();
        let mut blocks = Blocks::default();
        let mut search = Search::There;
        for end in ends {
            blocks.add(&end.run.queue);
            for effect in end.effects.iter().filter(|_| !is_split) {
                blocks.add(queue_of(effect));
                let searches = match effect {
                    Effect::Push(_) => true,
                    Effect::Arrive { .. } => false,
                    Effect::Record(record) => !self.foreign_results && !wire::is_generated(&record.id),
                };
                if searches {
                    search = Search::Everywhere;
                }
            }
        }
        loop {
            let queues = self.queues(&blocks.names()).await?;
            let mut call = self.link.call(script);
            self.layout.accept(&blocks, &queues, search, &mut call);
            call.arg(self.layout.ended()).arg(&self.ear.origin).arg(u8::from(self.foreign_results));
            call.arg(beside).arg(ends.len());
            ends.iter().for_each(|end| write_end(end, &blocks, &mut call));
            ends.iter().for_each(|end| write_effects(end, &blocks, is_split, &mut call));
            if let Some(answers) = wire::answers(self.link.write(&call).await?)? {
                return Ok(answers);
            }
            self.meet(&blocks.names()).await?;
        }
    }
}

fn arguments(effect: &Effect) -> usize {
    match effect {
        Effect::Record(_) => wire::RECORD,
        Effect::Push(_) => wire::MESSAGE,
        Effect::Arrive { .. } => wire::ARRIVAL,
    }
}

fn queue_of(effect: &Effect) -> &Name {
    match effect {
        Effect::Record(record) => &record.queue,
        Effect::Push(message) => &message.queue,
        Effect::Arrive { queue, .. } => queue,
    }
}

/// Gives `settle.lua` an end.
fn write_end(end: &End, blocks: &Blocks<'_>, call: &mut Call<'_>) {
    let (how, after) = match &end.ending {
        Ending::Done | Ending::Cancelled => (0, Duration::ZERO),
        Ending::Dead { keep, .. } => (1, *keep),
        Ending::Snooze { after } | Ending::Release { after } => (2, *after),
        Ending::Retry { after, .. } => (3, *after),
        Ending::Park => (4, Duration::ZERO),
    };
    let Run { queue, id, number } = &end.run;
    let width: usize = end.effects.iter().map(arguments).sum();
    let (place, effects) = (blocks.place(queue) as u64, end.effects.len() as u64);
    call.arg(wire::pack(&[
        (place, 2),
        ((*number).into(), 4),
        (how, 1),
        (span(after), 7),
        (effects, 2),
        (width as u64, 2),
    ]));
    call.arg(id.as_str());
}

/// Gives it what follows from an end.
fn write_effects(end: &End, blocks: &Blocks<'_>, is_split: bool, call: &mut Call<'_>) {
    let failed = match &end.ending {
        Ending::Retry { failed, .. } => Some(Some(failed)),
        Ending::Dead { failed, .. } => Some(failed.as_ref()),
        _ => None,
    };
    if let Some(failed) = failed {
        call.arg(failed.map(wire::failed).unwrap_or_default());
    }
    let own = blocks.place(&end.run.queue);
    for effect in &end.effects {
        let leaves = is_split && is_for_elsewhere(effect, end);
        let place = if leaves {
            1
        } else if is_split {
            own
        } else {
            blocks.place(queue_of(effect))
        };
        let words = match effect {
            Effect::Record(record) => {
                wire::record(record, place, call);
                continue;
            }
            Effect::Push(message) => wire::message(message, place),
            Effect::Arrive { task, index, result, .. } => wire::arrival(task, *index, result, place),
        };
        call.words(if leaves { wire::for_elsewhere(queue_of(effect), words, own) } else { words });
    }
}

pub(super) fn weight(end: &End) -> usize {
    let of = |effect: &Effect| match effect {
        Effect::Record(record) => record.weight(),
        Effect::Push(message) => message.envelope.len(),
        Effect::Arrive { result, .. } => result.len(),
    };
    end.effects.iter().map(of).sum()
}

/// Parts of at most [`CHUNK`] elements and, where they have more than one, [`BYTES`] bytes.
pub(super) fn chunks<T>(all: &[T], weight: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(CHUNK).take_while(|element| {
            bytes += weight(element);
            bytes <= BYTES
        });
        let count = fits.count().max(1).min(rest.len());
        let (chunk, others) = rest.split_at(count);
        rest = others;
        Some(chunk).filter(|chunk| !chunk.is_empty())
    })
}

/// Until something may have come that the request can take.
async fn woken(wakes: &mut broadcast::Receiver<std::sync::Arc<str>>, request: &Reserve) {
    let asked = |name: &str| name.is_empty() || request.queues.iter().any(|(queue, _)| queue.as_str() == name);
    while wakes.recv().await.is_ok_and(|name| !asked(&name)) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_in_number_and_in_bytes() {
        let sizes = |all: &[usize]| chunks(all, |&size| size).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [] as [usize; 0]);
        assert_eq!(sizes(&[1; 2_500]), [1_000, 1_000, 500]);
        assert_eq!(sizes(&[BYTES, 1, BYTES * 2, BYTES / 2, BYTES / 2, 1]), [1, 1, 1, 2, 1]);
    }
}
