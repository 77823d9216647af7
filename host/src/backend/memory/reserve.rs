//! Taking tasks: what has run out, what waits aside, then what is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::layout::{CHUNK, Layout, Map, Place, Queue, Shelf, Slot, Stand};
use crate::broker::shares::{PRIORITIES, shares};
use crate::broker::{Delivery, Order, Reserve, loss_delay};
use crate::task::{Name, Priority, Run, TaskId, Timestamp};

/// What one look at the queues gave.
pub(in crate::backend) struct Look {
    pub(in crate::backend) taken: Vec<Delivery>,
    /// Something was put where another caller may want it.
    pub(in crate::backend) moved: bool,
    /// There was too much to move aside for one look: look again.
    pub(in crate::backend) unfinished: bool,
    /// When something becomes due or runs out next.
    pub(in crate::backend) next: Option<Timestamp>,
}

/// Whether a caller can run a task.
enum Fit {
    Runs,
    /// It has the handler, but no room now.
    Full,
    /// No such handler, or an envelope that it can't read.
    Unknown,
}

impl Layout {
    pub(in crate::backend) fn reserve(&mut self, request: &Reserve, now: Timestamp) -> Look {
        let lost = self.take_back(now);
        self.forget(now);
        let mut taking = Taking::new(request, now);
        match request.order {
            Order::Strict => {
                for (queue, _) in &request.queues {
                    for priority in Priority::ALL {
                        taking.take(self, queue, priority, request.max - taking.taken.len());
                    }
                }
            }
            Order::Weighted => {
                let weights: Vec<u32> = request.queues.iter().map(|&(_, weight)| weight).collect();
                share(self, weights, request.max, |layout, queue, max| {
                    let queue = &request.queues[queue].0;
                    share(layout, PRIORITIES.to_vec(), max, |layout, priority, max| {
                        taking.take(layout, queue, Priority::ALL[priority], max)
                    })
                });
            }
        }
        let next = if taking.taken.is_empty() { self.next(request, now) } else { None };
        Look { moved: lost || taking.moved, unfinished: taking.unfinished, taken: taking.taken, next }
    }

    /// Runs whose lease is over are lost: counted, and due again later and later. True if there were any.
    fn take_back(&mut self, now: Timestamp) -> bool {
        for count in 0..CHUNK {
            match self.leases.first_key_value() {
                Some((&(until, _), _)) if until <= now => {}
                _ => return count > 0,
            }
            let Some((_, id)) = self.leases.pop_first() else { break };
            let Some(slot) = self.tasks.get_mut(&id) else { continue };
            slot.lost += 1;
            // One that is to be cancelled needn't wait: it isn't run again.
            slot.due_at = if slot.cancelled { now } else { now.plus(loss_delay(slot.lost)) };
            slot.stand = Stand::Waiting;
            let queue = self.queues.entry(slot.queue.clone()).or_default();
            queue.running -= 1;
            queue.waiting[slot.priority as usize].insert(slot.place(), id);
        }
        true
    }

    pub(in crate::backend) fn next(&self, request: &Reserve, now: Timestamp) -> Option<Timestamp> {
        let queues = request.queues.iter().filter_map(|(name, _)| self.queues.get(name));
        let next = queues.filter_map(|queue| queue.next(now));
        next.chain(self.leases.first_key_value().map(|(place, _)| place.0)).min()
    }
}

/// Lets `take` take `max` in all, in proportion to `weights`; what one doesn't use goes to the others. The number taken.
fn share(
    layout: &mut Layout,
    mut weights: Vec<u32>,
    max: usize,
    mut take: impl FnMut(&mut Layout, usize, usize) -> usize,
) -> usize {
    let mut left = max;
    while left > 0 && weights.iter().any(|&weight| weight > 0) {
        let dice = layout.dice();
        for (index, want) in shares(&weights, left, dice) {
            let got = take(layout, index, want);
            left -= got;
            if got < want {
                weights[index] = 0;
            }
        }
    }
    max - left
}

/// One caller's taking: what it has so far.
struct Taking<'a> {
    request: &'a Reserve,
    now: Timestamp,
    until: Timestamp,
    /// What is left of the room, of the handlers met so far.
    left: Map<&'a Name, usize>,
    budget: usize,
    moved: bool,
    unfinished: bool,
    taken: Vec<Delivery>,
}

impl<'a> Taking<'a> {
    fn new(request: &'a Reserve, now: Timestamp) -> Taking<'a> {
        let until = now.plus(request.lease);
        let (left, taken) = (Map::default(), Vec::new());
        Taking { request, now, until, left, budget: CHUNK, moved: false, unfinished: false, taken }
    }

    /// Takes up to `max` of one priority of one queue: those aside, which have waited longest, before the others.
    fn take(&mut self, layout: &mut Layout, queue: &Name, priority: Priority, max: usize) -> usize {
        let before = self.taken.len();
        let Layout { queues, tasks, leases, .. } = layout;
        let Some(queue) = queues.get_mut(queue) else { return 0 };
        let max = queue.allowed(self.now).min(max);
        let mut heads = if queue.aside.is_empty() { BinaryHeap::new() } else { self.heads(queue, priority) };
        while self.taken.len() - before < max {
            let Some(id) = self.oldest_aside(queue, &mut heads).or_else(|| self.oldest_due(queue, tasks, priority))
            else {
                break;
            };
            let Some(slot) = tasks.get_mut(&id) else { continue };
            leases.insert(slot.at(self.until), id.clone());
            queue.running += 1;
            let delivery = self.deliver(id, slot);
            self.taken.push(delivery);
        }
        let taken = self.taken.len() - before;
        queue.charge(taken, self.now);
        taken
    }

    /// The oldest task of each shelf that this caller may take from.
    fn heads(&self, queue: &Queue, priority: Priority) -> BinaryHeap<Reverse<(Place, Shelf)>> {
        let mut heads = BinaryHeap::new();
        for (handler, &room) in self.request.room.iter() {
            if room == 0 {
                continue;
            }
            let from = Shelf { priority, handler: handler.clone(), format: 0, parked: false };
            let to = Shelf { format: self.request.format, parked: true, ..from.clone() };
            for (shelf, line) in queue.aside.range(from..=to) {
                heads.extend(line.first_key_value().map(|(&place, _)| Reverse((place, shelf.clone()))));
            }
        }
        heads
    }

    /// The oldest task aside that this caller still has room for.
    fn oldest_aside(&mut self, queue: &mut Queue, heads: &mut BinaryHeap<Reverse<(Place, Shelf)>>) -> Option<TaskId> {
        while let Some(Reverse((_, shelf))) = heads.pop() {
            if !matches!(self.fit(&shelf.handler, shelf.format), Fit::Runs) {
                continue;
            }
            let line = queue.aside.get_mut(&shelf)?;
            let (_, id) = line.pop_first()?;
            match line.first_key_value() {
                Some((&place, _)) => heads.push(Reverse((place, shelf))),
                None => drop(queue.aside.remove(&shelf)),
            }
            return Some(id);
        }
        None
    }

    /// The oldest due task that this caller can run; those before it go to a shelf, so that nobody walks past them
    /// again.
    fn oldest_due(
        &mut self,
        queue: &mut Queue,
        tasks: &mut Map<TaskId, Box<Slot>>,
        priority: Priority,
    ) -> Option<TaskId> {
        let line = &mut queue.waiting[priority as usize];
        loop {
            line.first_key_value().filter(|(place, _)| place.0 <= self.now)?;
            if self.budget == 0 {
                self.unfinished = true;
                return None;
            }
            let (place, id) = line.pop_first()?;
            let slot = tasks.get_mut(&id)?;
            let parked = match self.fit(&slot.handler, slot.format) {
                Fit::Runs => return Some(id),
                Fit::Full => false,
                Fit::Unknown => true,
            };
            slot.stand = Stand::Aside { parked };
            queue.aside.entry(slot.shelf(parked)).or_default().insert(place, id);
            self.budget -= 1;
            self.moved = true;
        }
    }

    /// Whether the caller can run one more task of this handler; if so, its room is taken.
    fn fit(&mut self, handler: &Name, format: u8) -> Fit {
        if format > self.request.format {
            return Fit::Unknown;
        }
        let left = match self.left.get_mut(handler) {
            Some(left) => left,
            None => match self.request.room.get_key_value(handler) {
                Some((handler, &room)) => self.left.entry(handler).or_insert(room),
                None => return Fit::Unknown,
            },
        };
        if *left == 0 {
            return Fit::Full;
        }
        *left -= 1;
        Fit::Runs
    }

    fn deliver(&self, id: TaskId, slot: &mut Slot) -> Delivery {
        slot.run += 1;
        slot.stand = Stand::Running { worker: self.request.worker.clone(), since: self.now, until: self.until };
        Delivery {
            run: Run { queue: slot.queue.clone(), id, number: slot.run },
            handler: slot.handler.clone(),
            priority: slot.priority,
            failed: slot.failed,
            lost: slot.lost,
            enqueued_at: slot.enqueued_at,
            due_at: slot.due_at,
            reserved_at: self.now,
            history: slot.history.clone(),
            cancelled: slot.cancelled,
            arrived: slot.arrivals.as_ref().map(|arrivals| arrivals.arrived()),
            envelope: slot.envelope.clone(),
        }
    }
}
