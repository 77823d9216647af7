//! What takes several scripts where each queue lives in a slot of its own, as in a cluster.
//!
//! A script reaches one slot. So what an end leaves for other queues is written into its own queue with the end, and brought
//! from there, by whoever settled it or, where that one died, by whoever looks next; bringing it twice changes nothing.
//! And an id that must not be in two queues is held, for a moment, by who pushes it, while all queues are searched. Who
//! holds it for too long has lost it: a queue refuses what comes after half of that time, so that clocks of nodes may
//! differ by the other half.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::call::Script;
use super::layout::{Blocks, Search};
use super::wire::{self, Answer, Taken, Words};
use super::{Redis, kept, scripts};
use crate::broker::{Effect, End, Message, Standing};
use crate::error::{Error, ErrorKind, Result};
use crate::schedules::{Tick, Ticked};
use crate::task::{Name, TaskId};

/// Ids are held for so long; what holds on to them has half of it to come to an end.
const HELD: Duration = Duration::from_secs(6);
/// Who doesn't get to hold ids by then gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Follow-ups that were left behind are looked after this often.
const SWEEP: Duration = Duration::from_secs(1);
/// So many ids are looked for in one call.
const SEARCH: usize = 1_000;

/// Something on its way into a queue: a task, or a result for one that waits there.
struct Parcel {
    queue: Name,
    id: TaskId,
    /// Whether the id may be in another queue.
    searched: bool,
    words: Words,
}

/// Ids that are held.
struct Holding {
    slots: Vec<Vec<String>>,
    who: String,
    /// Until when, by the servers' clocks, what was found of them counts.
    limit: u64,
}

impl Redis {
    /// All or nothing per queue.
    pub(super) async fn push_split(&self, messages: &[Message]) -> Result<Vec<Taken>> {
        let parcel = |message: &Message| Parcel {
            queue: message.queue.clone(),
            id: message.id.clone(),
            searched: wire::is_chosen(message),
            words: wire::message(message, 1),
        };
        self.bring(&messages.iter().map(parcel).collect::<Vec<_>>()).await
    }

    /// Each end is written with its effects or not at all, in its queue; the rest follows. What meets in an id happens in the
    /// order of the ends.
    pub(super) async fn end_split(&self, script: &Script, beside: &[String], ends: &[End]) -> Result<Vec<u64>> {
        let mut answers = Vec::with_capacity(ends.len());
        let mut rest = ends;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(strangers(rest));
            answers.extend(self.end_at_once(script, beside, now).await?);
            rest = later;
        }
        Ok(answers)
    }

    async fn end_at_once(&self, script: &Script, beside: &[String], ends: &[End]) -> Result<Vec<u64>> {
        let mut by_queue: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
        for (place, end) in ends.iter().enumerate() {
            by_queue.entry(&end.run.queue).or_default().push(place);
        }
        let written = by_queue.values().map(|places| {
            let ends: Vec<&End> = places.iter().map(|&place| &ends[place]).collect();
            async move { self.end_together(script, beside, &ends).await }
        });
        let mut answers = vec![0; ends.len()];
        for (places, written) in by_queue.values().zip(try_join_all(written).await?) {
            places.iter().zip(written).for_each(|(&place, answer)| answers[place] = answer);
        }
        let applied: Vec<&End> =
            ends.iter().zip(&answers).filter(|(_, answer)| **answer == 1).map(|(end, _)| end).collect();
        self.follow(&applied).await;
        Ok(answers)
    }

    /// Brings on its way what these ends left for other queues. What can't be brought now isn't lost.
    async fn follow(&self, ends: &[&End]) {
        let left = |end: &&&End| end.effects.iter().any(|effect| is_for_elsewhere(effect, end));
        let from: BTreeSet<&Name> = ends.iter().filter(left).map(|end| &end.run.queue).collect();
        let brought = join_all(from.iter().map(|queue| self.relay(queue))).await;
        let outdone = self.outdo(ends).await;
        for error in brought.into_iter().chain([outdone]).filter_map(Result::err) {
            tracing::debug!("what follows from an end has to wait: {error}");
        }
    }

    /// Brings what was left behind: by all queues.
    pub(super) async fn relay_all(&self, queues: impl Iterator<Item = &Name>) {
        for error in join_all(queues.map(|queue| self.relay(queue))).await.into_iter().filter_map(Result::err) {
            tracing::debug!("what follows from an end has to wait: {error}");
        }
    }

    /// Brings what one queue was seen to have left behind: now and then, for mostly somebody is at it.
    pub(super) async fn sweep(&self, queue: &Name) {
        let is_time = {
            let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_time = swept.is_none_or(|swept: Instant| swept.elapsed() >= SWEEP);
            if is_time {
                *swept = Some(Instant::now());
            }
            is_time
        };
        if is_time {
            self.relay_all(std::iter::once(queue)).await;
        }
    }

    async fn relay(&self, queue: &Name) -> Result<()> {
        loop {
            let mut call = self.link.call(&scripts::FOLLOW_UPS);
            self.layout.keys(queue, &mut call);
            let mut answer = Answer::new(self.link.send(&call).await?)?;
            let (mut numbers, mut parcels) = (Vec::new(), Vec::new());
            while !answer.is_over() {
                numbers.push(answer.number()?);
                let words = [answer.bytes()?, answer.bytes()?, answer.bytes()?];
                let (queue, id, words) = wire::from_elsewhere(words)?;
                parcels.push(Parcel { queue, id, searched: wire::is_message(&words), words });
            }
            if numbers.is_empty() {
                return Ok(());
            }
            self.bring(&parcels).await?;
            let mut call = self.link.call(&scripts::RELAYED);
            self.layout.keys(queue, &mut call);
            call.arg(numbers);
            self.link.send(&call).await?;
        }
    }

    /// Brings parcels into their queues. Of an id that is to go into two of them, the second waits for what becomes of the
    /// first.
    async fn bring(&self, parcels: &[Parcel]) -> Result<Vec<Taken>> {
        let mut answers: Vec<Taken> = parcels.iter().map(|_| Taken::No).collect();
        let mut left: Vec<usize> = (0..parcels.len()).collect();
        while !left.is_empty() {
            let mut queue_of: HashMap<&TaskId, &Name> = HashMap::new();
            let (now, later): (Vec<usize>, Vec<usize>) = left.into_iter().partition(|&place| {
                let Parcel { id, queue, .. } = &parcels[place];
                *queue_of.entry(id).or_insert(queue) == queue
            });
            // Too late for some: once more.
            let late = self.bring_at_once(parcels, &now, &mut answers).await?;
            left = late.into_iter().chain(later).collect();
        }
        Ok(answers)
    }

    /// Those that came too late.
    async fn bring_at_once(&self, parcels: &[Parcel], places: &[usize], answers: &mut [Taken]) -> Result<Vec<usize>> {
        let of = |&place: &usize| &parcels[place];
        // They are known before anybody searches who holds one of the ids after us.
        self.queues(&places.iter().map(|place| &of(place).queue).collect::<Vec<_>>()).await?;
        let ids: BTreeSet<&TaskId> =
            places.iter().map(of).filter(|parcel| parcel.searched).map(|parcel| &parcel.id).collect();
        if ids.is_empty() {
            return self.bring_until(0, parcels, places, answers).await;
        }
        let holding = self.hold(ids.iter().map(|id| id.as_str())).await?;
        let brought = async {
            let found = self.find(places.iter().map(of).filter(|parcel| parcel.searched)).await?;
            let free: Vec<usize> = places.iter().copied().filter(|place| !found.contains(&of(place).id)).collect();
            self.bring_until(holding.limit, parcels, &free, answers).await
        };
        let brought = brought.await;
        self.release(&holding).await;
        brought
    }

    async fn bring_until(
        &self,
        limit: u64,
        parcels: &[Parcel],
        places: &[usize],
        answers: &mut [Taken],
    ) -> Result<Vec<usize>> {
        let mut by_queue: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
        for &place in places {
            by_queue.entry(&parcels[place].queue).or_default().push(place);
        }
        let brought = by_queue.iter().map(|(queue, places)| async move {
            let mut blocks = Blocks::default();
            blocks.add(queue);
            let mut call = self.link.call(&scripts::PUSH);
            self.layout.accept(&blocks, &BTreeMap::new(), Search::There, &mut call);
            call.arg(limit);
            places.iter().for_each(|&place| call.words(parcels[place].words.clone()));
            self.link.write(&call).await
        });
        let mut late = Vec::new();
        for (places, answer) in by_queue.values().zip(try_join_all(brought).await?) {
            match wire::fresh(answer) {
                Some(answer) => {
                    places.iter().zip(wire::taken(answer)?).for_each(|(&place, taken)| answers[place] = taken);
                }
                None => late.extend(places),
            }
        }
        Ok(late)
    }

    /// Those of the ids that another queue holds than the one that they are to go into.
    async fn find<'a>(&self, parcels: impl Iterator<Item = &'a Parcel> + Clone) -> Result<BTreeSet<TaskId>> {
        let queues = self.meet(&[]).await?;
        let searched = queues.keys().map(|queue| {
            let ids: Vec<&TaskId> =
                parcels.clone().filter(|parcel| parcel.queue != *queue).map(|parcel| &parcel.id).collect();
            async move {
                let mut found = Vec::new();
                for ids in ids.chunks(SEARCH) {
                    let mut call = self.link.call(&scripts::HOLDS);
                    self.layout.keys(queue, &mut call);
                    for id in ids {
                        call.arg(id.as_str());
                    }
                    let mut answer = Answer::new(self.link.send(&call).await?)?;
                    for &id in ids {
                        if answer.number()? == 1 {
                            found.push(id.clone());
                        }
                    }
                }
                Ok::<_, Error>(found)
            }
        });
        Ok(try_join_all(searched).await?.into_iter().flatten().collect())
    }

    async fn hold<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<Holding> {
        let slots: Vec<Vec<String>> = self.layout.held(ids).into_values().collect();
        let who = uuid::Uuid::now_v7().simple().to_string();
        let began = Instant::now();
        loop {
            let held = try_join_all(slots.iter().map(async |keys| {
                let mut call = self.link.call(&scripts::HOLD);
                call.key(keys).arg(&who).arg(HELD.as_millis() as u64);
                wire::number(self.link.send(&call).await?)
            }));
            let held = held.await.map(|since| since.into_iter().min().unwrap_or_default());
            let limit = held.as_ref().map_or(0, |since| since + HELD.as_millis() as u64 / 2);
            let holding = Holding { slots: slots.clone(), who: who.clone(), limit };
            if held.as_ref().is_ok_and(|&since| since > 0) {
                return Ok(holding);
            }
            self.release(&holding).await;
            held?;
            if began.elapsed() > PATIENCE {
                let message = format!("others have pushed tasks of the same ids for {PATIENCE:?}, without an end");
                return Err(Error { kind: ErrorKind::Unavailable, message });
            }
            // Not all at once again.
            tokio::time::sleep(Duration::from_micros(1_000 + u64::from(uuid::Uuid::now_v7().as_u128() as u8) * 40))
                .await;
        }
    }

    /// What can't be released is free again soon anyway.
    async fn release(&self, holding: &Holding) {
        join_all(holding.slots.iter().map(async |keys| {
            let mut call = self.link.call(&scripts::RELEASE);
            call.key(keys).arg(&holding.who);
            let _ = self.link.send(&call).await;
        }))
        .await;
    }

    /// Of an id that had another life in another queue, the record of the highest run stands.
    async fn outdo(&self, ends: &[&End]) -> Result<()> {
        let mut records = Vec::new();
        for effect in ends.iter().filter(|_| !self.foreign_results).flat_map(|end| &end.effects) {
            if let Effect::Record(record) = effect
                && !wire::is_generated(&record.id)
            {
                records.push(record);
            }
        }
        let queues = self.queues(&[]).await?;
        let outdone = queues.keys().map(|queue| {
            let records: Vec<_> = records.iter().filter(|record| record.queue != *queue).collect();
            async move {
                if records.is_empty() {
                    return Ok(Vec::new());
                }
                let mut call = self.link.call(&scripts::OUTDO);
                self.layout.keys(queue, &mut call);
                for record in &records {
                    call.arg(record.id.as_str()).arg(record.run);
                }
                let mut answer = Answer::new(self.link.send(&call).await?)?;
                let mut stand = Vec::new();
                for record in records {
                    if answer.number()? == 0 {
                        stand.push(*record);
                    }
                }
                Ok::<_, Error>(stand)
            }
        });
        for record in try_join_all(outdone).await?.into_iter().flatten() {
            let mut call = self.link.call(&scripts::DELETE);
            self.layout.keys(&record.queue, &mut call);
            call.arg(record.id.as_str());
            self.link.send(&call).await?;
        }
        Ok(())
    }

    /// The task first, which is idempotent, then the schedule; one at a time does so for each schedule.
    pub(super) async fn tick_split(&self, tick: &Tick) -> Result<Ticked> {
        // No id begins with a dot.
        let holding = self.hold(std::iter::once(format!(".{}", tick.name).as_str())).await?;
        let ticked = self.tick_held(tick).await;
        self.release(&holding).await;
        ticked
    }

    async fn tick_held(&self, Tick { name, since, at, message, overlap }: &Tick) -> Result<Ticked> {
        let mut call = self.link.call(&scripts::PLANS);
        call.key(self.layout.schedules());
        let plans = kept::plans(self.link.send(&call).await?)?.plans;
        let Some(plan) = plans.into_iter().find(|plan| plan.name == *name && plan.since == *since && at > since) else {
            return Ok(Ticked::Moved);
        };
        let is_free = match plan.last.filter(|_| !overlap) {
            Some(last) => !self.is_unfinished(last).await?,
            None => true,
        };
        if is_free {
            self.push_split(std::slice::from_ref(message)).await?;
        }
        let mut call = self.link.call(&scripts::ADVANCE);
        call.key(self.layout.schedules()).arg(name.as_str()).arg(since.0.min(scripts::FAR)).arg(at.0.min(scripts::FAR));
        call.arg(if is_free { message.id.as_str() } else { "" });
        Ok(match (wire::number(self.link.write(&call).await?)?, is_free) {
            (0, _) => Ticked::Moved,
            (_, true) => Ticked::Pushed,
            (_, false) => Ticked::Skipped,
        })
    }

    async fn is_unfinished(&self, id: TaskId) -> Result<bool> {
        let queues = self.meet(&[]).await?;
        let standing = self.standings(&queues, &[id]).await?.remove(0);
        Ok(matches!(standing, Some(Standing::Here(here)) if !here.state.is_final()))
    }
}

/// How many of these ends, at least one, have nothing to do with what those before them enqueue.
fn strangers(ends: &[End]) -> usize {
    let mut enqueued: HashSet<&TaskId> = HashSet::new();
    for (place, end) in ends.iter().enumerate() {
        let its: Vec<&TaskId> = end.effects.iter().filter_map(enqueues).collect();
        if enqueued.contains(&end.run.id) || its.iter().any(|&id| enqueued.contains(id)) {
            return place;
        }
        enqueued.extend(its);
    }
    ends.len()
}

fn enqueues(effect: &Effect) -> Option<&TaskId> {
    match effect {
        Effect::Push(message) => Some(&message.id),
        Effect::Record(_) | Effect::Arrive { .. } => None,
    }
}

/// Whether an effect leaves the slot of its end, or may have to be looked for outside of it.
pub(super) fn is_for_elsewhere(effect: &Effect, end: &End) -> bool {
    match effect {
        Effect::Push(_) => true,
        Effect::Arrive { queue, .. } => *queue != end.run.queue,
        Effect::Record(_) => false,
    }
}
