//! What is kept, and the orders in which it is found again.
//!
//! The NATS backend plays its log on the same layout, in every process: what a step does depends on nothing but the state
//! and its arguments, and whoever changes what it does raises that log's format (`nats/command.rs`).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::leftovers::{Outbox, Tombstones};
use super::results::Kept;
use super::store::Owned;
use super::uniques::Uniques;
use crate::broker::{Due, Message, Pushed, Settings, Tracked, Unique, WorkerReport};
use crate::results::KEEP_DEAD;
use crate::schedules::Plan;
use crate::task::{FailedRun, Name, Priority, State, TaskId, Timestamp, WorkerId};

/// No call removes, takes back or moves aside more than this: none holds the lock for long.
pub(in crate::backend) const CHUNK: usize = 1_000;

/// A place in an order by time; the number, one per task, makes it unique and keeps the order of acceptance.
pub(in crate::backend) type Place = (Timestamp, u64);

/// Looked up several times in every task's life. Seeded anew in each process; nothing may depend on its order.
pub(in crate::backend) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Tasks in an order.
pub(in crate::backend) type Line = BTreeMap<Place, TaskId>;

#[derive(Serialize, Deserialize)]
pub(in crate::backend) struct Layout {
    /// All that is unfinished, and the dead letters. Boxed: a slot is large, and what lies in the order of acceptance is
    /// taken in it, where the map's own places are strewn.
    pub(in crate::backend) tasks: Map<TaskId, Box<Slot>>,
    pub(in crate::backend) queues: Map<Name, Queue>,
    /// Running tasks by the end of their lease.
    pub(in crate::backend) leases: Line,
    /// Dead letters by the time when they are forgotten.
    pub(in crate::backend) fading: Line,
    tombstones: Tombstones,
    pub(in crate::backend) uniques: Uniques,
    pub(in crate::backend) plans: BTreeMap<Name, Plan>,
    pub(in crate::backend) stores: BTreeMap<Name, Owned>,
    pub(in crate::backend) outbox: Outbox,
    pub(in crate::backend) results: Kept,
    /// With the time until which each is believed to live.
    pub(in crate::backend) workers: Map<WorkerId, (WorkerReport, Timestamp)>,
    accepted: u64,
    dice: u64,
}

/// A task and where it stands.
#[derive(Serialize, Deserialize)]
pub(in crate::backend) struct Slot {
    pub(in crate::backend) queue: Name,
    pub(in crate::backend) handler: Name,
    pub(in crate::backend) priority: Priority,
    pub(in crate::backend) format: u8,
    pub(in crate::backend) envelope: Bytes,
    remember: Option<Duration>,
    pub(in crate::backend) unique: Option<Box<Unique>>,
    number: u64,
    pub(in crate::backend) enqueued_at: Timestamp,
    pub(in crate::backend) due_at: Timestamp,
    pub(in crate::backend) run: u32,
    pub(in crate::backend) failed: u32,
    pub(in crate::backend) lost: u32,
    pub(in crate::backend) history: Vec<FailedRun>,
    /// It is to be cancelled.
    pub(in crate::backend) cancelled: bool,
    /// What it waits for, until it leaves.
    pub(in crate::backend) arrivals: Option<Box<Arrivals>>,
    pub(in crate::backend) stand: Stand,
}

/// Where a task stands; each but the first is entered in one [`Line`].
#[derive(Serialize, Deserialize)]
pub(in crate::backend) enum Stand {
    /// In its queue's line, due or not: what is due needs no promotion, the line is in order of due times.
    Waiting,
    /// On a shelf, for a caller that can run it.
    Aside {
        parked: bool,
    },
    Running {
        worker: WorkerId,
        since: Timestamp,
        until: Timestamp,
    },
    Dead {
        since: Timestamp,
        until: Timestamp,
    },
}

/// One queue's orders.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::backend) struct Queue {
    /// By priority: oldest due time first.
    pub(in crate::backend) waiting: [Line; 3],
    /// What someone took and couldn't run.
    pub(in crate::backend) aside: BTreeMap<Shelf, Line>,
    pub(in crate::backend) running: u64,
    /// Dead letters, the oldest first, to keep their number bounded.
    pub(in crate::backend) dead: Line,
    pub(in crate::backend) settings: Settings,
    /// When, in microseconds, what was taken so far would all have been due at the queue's rate.
    pub(in crate::backend) reached: u64,
}

/// What all tasks on a shelf have in common, so that a caller finds those that it can run without looking at others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::backend) struct Shelf {
    pub(in crate::backend) priority: Priority,
    pub(in crate::backend) handler: Name,
    pub(in crate::backend) format: u8,
    /// Nobody who looked can run them; otherwise it is only a matter of room.
    pub(in crate::backend) parked: bool,
}

impl Slot {
    pub(in crate::backend) fn place(&self) -> Place {
        (self.due_at, self.number)
    }

    pub(in crate::backend) fn at(&self, time: Timestamp) -> Place {
        (time, self.number)
    }

    pub(in crate::backend) fn shelf(&self, parked: bool) -> Shelf {
        Shelf { priority: self.priority, handler: self.handler.clone(), format: self.format, parked }
    }

    pub(in crate::backend) fn state(&self, now: Timestamp) -> State {
        match self.stand {
            Stand::Waiting if self.due_at > now => State::Scheduled,
            Stand::Waiting | Stand::Aside { parked: false } => State::Pending,
            Stand::Aside { parked: true } => State::Parked,
            Stand::Running { .. } => State::Running,
            Stand::Dead { .. } => State::Dead,
        }
    }

    pub(in crate::backend) fn tracked(&self, id: &TaskId, now: Timestamp) -> Tracked {
        let (worker, started_at) = match &self.stand {
            Stand::Running { worker, since, .. } => (Some(worker.clone()), Some(*since)),
            _ => (None, None),
        };
        Tracked {
            id: id.clone(),
            queue: self.queue.clone(),
            handler: self.handler.clone(),
            priority: self.priority,
            state: self.state(now),
            run: self.run,
            failed: self.failed,
            lost: self.lost,
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
            started_at,
            worker,
            history: self.history.clone(),
            cancelled: self.cancelled,
            arrived: self.arrivals.as_ref().map(|arrivals| arrivals.progress()),
            envelope: self.envelope.clone(),
        }
    }
}

impl Layout {
    pub(in crate::backend) fn new(foreign_results: bool) -> Layout {
        Layout {
            tasks: Map::default(),
            queues: Map::default(),
            leases: Line::new(),
            fading: Line::new(),
            tombstones: Tombstones::default(),
            uniques: Uniques::default(),
            plans: BTreeMap::new(),
            stores: BTreeMap::new(),
            outbox: Outbox::new(foreign_results),
            results: Kept::default(),
            workers: Map::default(),
            accepted: 0,
            dice: 0,
        }
    }

    /// A number in 0..1; the same sequence in each process, so that a test that failed fails again (splitmix64).
    pub(in crate::backend) fn dice(&mut self) -> f64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(in crate::backend) fn push(&mut self, message: Message, now: Timestamp) -> Pushed {
        let id = message.id.clone();
        if self.is_taken(&id, now) {
            return Pushed { id, created: false };
        }
        if let Some(unique) = &message.unique {
            if let Some(holder) = self.uniques.holder(&message.queue, &unique.key, now) {
                return Pushed { id: holder.clone(), created: false };
            }
            self.uniques.take(&message.queue, unique, id.clone(), now);
        }
        self.accepted += 1;
        let (due_at, arrivals) = match message.due {
            Due::Now => (now, None),
            Due::After(span) => (now.plus(span), None),
            Due::At(time) => (time.max(now), None),
            Due::Arrivals(want) => (Timestamp::NEVER, Some(Box::new(Arrivals::of(want)))),
        };
        let slot = Box::new(Slot {
            queue: message.queue,
            handler: message.handler,
            priority: message.priority,
            format: message.format,
            envelope: message.envelope,
            remember: message.remember,
            unique: message.unique.map(Box::new),
            number: self.accepted,
            enqueued_at: now,
            due_at,
            run: 0,
            failed: 0,
            lost: 0,
            history: Vec::new(),
            cancelled: false,
            arrivals,
            stand: Stand::Waiting,
        });
        let queue = match self.queues.get_mut(&slot.queue) {
            Some(queue) => queue,
            None => self.queues.entry(slot.queue.clone()).or_default(),
        };
        queue.waiting[slot.priority as usize].insert(slot.place(), message.id.clone());
        self.tasks.insert(message.id, slot);
        Pushed { id, created: true }
    }

    /// Every envelope and all that is long in records.
    pub(in crate::backend) fn kept_bytes(&self) -> impl Iterator<Item = &Bytes> {
        let arrived = self.tasks.values().filter_map(|slot| slot.arrivals.as_ref()).flat_map(|all| all.results());
        let envelopes = self.tasks.values().map(|slot| &slot.envelope);
        let records = self.results.all().chain(self.outbox.all());
        envelopes.chain(arrived).chain(records.flat_map(crate::results::Record::long_parts))
    }

    fn is_taken(&mut self, id: &TaskId, now: Timestamp) -> bool {
        match self.tasks.get(id).map(Box::as_ref) {
            Some(Slot { stand: Stand::Dead { until, .. }, .. }) if *until <= now => self.forget_dead(&id.clone()),
            Some(_) => return true,
            None => {}
        }
        self.tombstones.stands(id, now)
    }

    /// The task leaves; its id stays taken for as long as was asked from the end of its last run.
    pub(in crate::backend) fn bury(&mut self, id: &TaskId, ended_at: Timestamp) {
        let Some(slot) = self.tasks.remove(id) else { return };
        self.uniques.release(&slot, id);
        if let Some(remember) = slot.remember {
            self.tombstones.put(id.clone(), ended_at.plus(remember));
        }
    }

    /// The task becomes a dead letter, and the queue's oldest ones make room for it.
    pub(in crate::backend) fn keep_dead(&mut self, id: &TaskId, now: Timestamp, keep: Duration) {
        let (Some(slot), until) = (self.tasks.get_mut(id), now.plus(keep)) else { return };
        slot.stand = Stand::Dead { since: now, until };
        self.uniques.release(slot, id);
        self.fading.insert(slot.at(until), id.clone());
        let queue = self.queues.entry(slot.queue.clone()).or_default();
        queue.dead.insert(slot.at(now), id.clone());
        if queue.dead.len() > KEEP_DEAD
            && let Some((_, oldest)) = queue.dead.first_key_value()
        {
            let oldest = oldest.clone();
            self.forget_dead(&oldest);
        }
    }

    pub(in crate::backend) fn forget_dead(&mut self, id: &TaskId) {
        let Some(slot) = self.tasks.get(id) else { return };
        let Stand::Dead { since, until } = slot.stand else { return };
        self.fading.remove(&slot.at(until));
        if let Some(queue) = self.queues.get_mut(&slot.queue) {
            queue.dead.remove(&slot.at(since));
        }
        self.bury(id, since);
    }

    /// Forgets what has been kept long enough: a bounded number, the rest when someone calls next. Readers don't
    /// depend on it, they look at the time.
    pub(in crate::backend) fn forget(&mut self, now: Timestamp) {
        for _ in 0..CHUNK {
            match self.fading.first_key_value() {
                Some((&(until, _), id)) if until <= now => {
                    let id = id.clone();
                    self.forget_dead(&id);
                }
                _ => break,
            }
        }
        self.tombstones.forget(now);
        self.uniques.forget(now);
        self.results.forget(now);
    }
}
