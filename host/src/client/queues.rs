//! Queues: how full they are, and what holds for them.

use std::time::Duration;

use super::Client;
use crate::broker::{Depth, Setting};
use crate::error::{Error, Result};
use crate::task::Name;

/// What counts as due soon in [`Depth::soon`].
const SOON: Duration = Duration::from_secs(1);

impl Client {
    /// The queues that hold something or have settings, by name.
    pub async fn queues(&self) -> Result<Vec<Depth>> {
        self.backend.operations.depths(SOON).await
    }

    /// Changes a queue's settings, in all workers from their next task on; whatever isn't among `settings` stays.
    pub async fn configure(&self, queue: &Name, settings: &[Setting]) -> Result<()> {
        if settings.contains(&Setting::Concurrency(Some(0))) {
            return Err(Error::rejected("a concurrency of 0: expected at least 1, or a queue that is paused"));
        }
        self.backend.operations.configure(queue, settings).await
    }
}
