//! The reference backend: plain maps behind one lock, this process only.
//!
//! Every call takes the lock once, does a bounded amount of work, and never awaits while holding it: what a call has
//! begun is finished before anyone else looks, and dropping a future can't leave a half of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast};

use super::Backend;
use crate::broker::{Signal, Signals};
use crate::clock::Clock;

mod alter;
pub(in crate::backend) mod arrivals;
mod broker;
mod checkup;
mod ends;
mod inbox;
pub(in crate::backend) mod layout;
mod leftovers;
mod limits;
mod operations;
pub(in crate::backend) mod reserve;
pub(in crate::backend) mod results;
mod schedules;
pub(in crate::backend) mod store;
mod uniques;

pub use inbox::Letterbox;
use layout::Layout;

/// A new, empty backend. `foreign_results`: records wait in the outbox instead of being kept here.
pub fn open(clock: Arc<dyn Clock>, foreign_results: bool) -> Backend {
    open_with(clock, foreign_results, Letterbox::default())
}

/// The same, with an inbox into which others put.
pub fn open_with(clock: Arc<dyn Clock>, foreign_results: bool, letterbox: Letterbox) -> Backend {
    let memory = Arc::new(Memory {
        layout: Mutex::new(Layout::new(foreign_results)),
        clock,
        changed: Notify::new(),
        signals: broadcast::Sender::new(SIGNALS),
        letterbox,
    });
    Backend {
        broker: memory.clone(),
        signals: memory.clone(),
        operations: memory.clone(),
        results: memory.clone(),
        schedules: memory.clone(),
        store: memory.clone(),
        inbox: memory,
        foreign_results,
    }
}

/// A listener may lag behind by so many signals before it misses the oldest.
const SIGNALS: usize = 1_024;

struct Memory {
    layout: Mutex<Layout>,
    clock: Arc<dyn Clock>,
    /// Wakes waiting reserves: something may have come that they can take.
    changed: Notify,
    signals: broadcast::Sender<Signal>,
    letterbox: Letterbox,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Layout> {
        // A panic under the lock is a bug in this folder; going on with what is there loses less than refusing it all.
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signals: impl Iterator<Item = Signal>) {
        for signal in signals {
            // Nobody listening any more is fine.
            let _ = self.signals.send(signal);
        }
    }
}

impl Signals for Memory {
    fn listen(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }
}
