//! How a run in progress is asked, or made, to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// Shared by who runs a task and who may stop it. Clones are the same stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    wish: AtomicU8,
    changed: Notify,
}

/// What is wished of a run; the later ones outrank the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Wish {
    /// Go on.
    #[default]
    None = 0,
    /// Finish early, please: the worker is shutting down. The guest can ask for it.
    Finish = 1,
    /// Stop now and give the task back.
    GiveBack = 2,
    /// Stop now and end the task: someone cancelled it.
    Cancel = 3,
    /// Stop now and record nothing: the lease is gone.
    Abandon = 4,
}

impl Stop {
    /// Nothing is wished yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Raises the wish; a lower one than stands changes nothing.
    pub fn wish(&self, wish: Wish) {
        self.0.wish.fetch_max(wish as u8, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// What is wished now.
    pub fn wished(&self) -> Wish {
        match self.0.wish.load(Ordering::SeqCst) {
            0 => Wish::None,
            1 => Wish::Finish,
            2 => Wish::GiveBack,
            3 => Wish::Cancel,
            _ => Wish::Abandon,
        }
    }

    /// Waits until the guest must stop ([`Wish::GiveBack`] and what outranks it).
    pub async fn stopped(&self) -> Wish {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let wish = self.wished();
            if wish >= Wish::GiveBack {
                return wish;
            }
            changed.await;
        }
    }
}
