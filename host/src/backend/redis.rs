//! Redis ≥ 6.2 or Valkey: one server, the master of some sentinels or a cluster, shared by any number of machines.
//!
//! What is kept where stands in [`layout`]; every change is a script in `redis/lua/`, so it happens whole or not at all
//! and by the server's clock. What scripts are given and answer is [`wire`]'s to know.
//!
//! Follow-ups for other queues and the search for an id in all of them need the keys of several queues in one script. A
//! single server allows that; in a cluster, where a script reaches one slot, and so one queue, [`split`] does it in steps.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::Backend;
use super::url::RedisOptions;
use crate::broker::{Signal, Signals};
use crate::clock::Clock;
use crate::error::Result;
use crate::task::Name;

mod broker;
mod call;
mod checkup;
mod error;
mod inbox;
mod kept;
mod layout;
mod link;
mod list;
mod operations;
mod reserve;
mod results;
mod schedules;
mod scripts;
mod signals;
mod split;
mod store;
mod usage;
mod wire;

use layout::Layout;
use link::Link;
use signals::Ear;
pub(super) use usage::usage;

/// Whose time counts.
#[derive(Clone)]
pub enum Time {
    /// The server's, as always outside of tests.
    Server,
    /// The server's, set forward by so many milliseconds.
    Ahead(Arc<AtomicU64>),
    /// This clock's instead.
    Given(Arc<dyn Clock>),
}

impl Time {
    /// As `prelude.lua` reads it.
    fn argument(&self) -> String {
        match self {
            Time::Server => "+0".into(),
            Time::Ahead(by) => format!("+{}", by.load(Ordering::SeqCst)),
            Time::Given(clock) => format!("={}", clock.now().0),
        }
    }
}

/// Connects to the server. `foreign_results`: records wait in the outbox instead of being kept here. Call it inside a
/// runtime that outlives the backend.
pub async fn open(options: &RedisOptions, time: Time, foreign_results: bool) -> Result<Backend> {
    let layout = Layout::new(&options.prefix);
    let link = Link::open(options, time).await?;
    let ear = Ear::open(link.hearsay(), &layout);
    let redis =
        Arc::new(Redis { link, layout, queues: Mutex::default(), swept: Mutex::default(), ear, foreign_results });
    // Also finds out whether the server lets us work: a replica doesn't, nor does one without rights for scripts.
    redis.meet(&[]).await?;
    Ok(Backend {
        broker: redis.clone(),
        signals: redis.clone(),
        operations: redis.clone(),
        results: redis.clone(),
        schedules: redis.clone(),
        store: redis.clone(),
        inbox: redis,
        foreign_results,
    })
}

/// The keys that there may be, by name; the server makes each as it is first written.
pub fn parts(options: &RedisOptions) -> Vec<(String, &'static str)> {
    let layout = Layout::new(&options.prefix);
    vec![
        (layout.queues(), "the queues and their numbers"),
        (layout.workers(), "the workers that live"),
        (format!("{}:{{QUEUE}}:*", options.prefix), "tasks and results of each queue"),
        (layout.inbox(), "the list that other programs push tasks to"),
        (format!("{}:result:ID", options.prefix), "what became of a task that came by it"),
        (layout.told(), "the ids of these, the oldest first"),
    ]
}

struct Redis {
    link: Link,
    layout: Layout,
    /// Those that this process knows, with their numbers.
    queues: Mutex<Arc<Queues>>,
    /// When follow-ups that were left behind were last looked after.
    swept: Mutex<Option<Instant>>,
    ear: Ear,
    foreign_results: bool,
}

/// All queues, with their numbers.
type Queues = BTreeMap<Name, u64>;

impl Redis {
    /// The queues known to this process: `wanted` at least.
    async fn queues(&self, wanted: &[&Name]) -> Result<Arc<Queues>> {
        let known = self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if wanted.iter().all(|&name| known.contains_key(name)) { Ok(known) } else { self.meet(wanted).await }
    }

    /// Asks the server for its queues, and makes `wanted` some of them.
    async fn meet(&self, wanted: &[&Name]) -> Result<Arc<Queues>> {
        let mut call = self.link.call(&scripts::QUEUES);
        call.key(self.layout.queues());
        for name in wanted {
            call.arg(name.as_str());
        }
        let queues = Arc::new(wire::queues(self.link.send(&call).await?)?);
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner) = queues.clone();
        Ok(queues)
    }
}

impl Signals for Redis {
    fn listen(&self) -> broadcast::Receiver<Signal> {
        self.ear.listen()
    }

    fn cancels(&self) -> broadcast::Receiver<Signal> {
        self.ear.cancels()
    }
}
