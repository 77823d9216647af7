//! What live workers serve, remembered for a moment: who enqueues one task after another doesn't ask before each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Operations, WorkerReport};
use crate::error::Result;
use crate::task::Name;

/// What workers said this long ago still goes: they themselves announce it less often.
const FRESH: Duration = Duration::from_secs(1);

/// The latest answer.
#[derive(Default)]
pub(super) struct Workers(Mutex<Option<(Instant, Arc<[WorkerReport]>)>>);

impl Workers {
    /// The live workers. Those of a moment ago where they have all of these handlers: a handler that nobody has is asked
    /// for anew, for it may just have come.
    pub(super) async fn with<'a>(
        &self,
        mut handlers: impl Iterator<Item = &'a Name>,
        operations: &dyn Operations,
    ) -> Result<Arc<[WorkerReport]>> {
        let fresh = self.lock().clone().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, workers)| workers);
        if let Some(workers) = fresh
            && handlers.all(|handler| workers.iter().any(|worker| worker.handlers.iter().any(|it| it.name == *handler)))
        {
            return Ok(workers);
        }
        let workers: Arc<[WorkerReport]> = operations.workers().await?.into();
        *self.lock() = Some((Instant::now(), workers.clone()));
        Ok(workers)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<[WorkerReport]>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
