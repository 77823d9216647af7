//! The seam behind which handlers run.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::sandbox::ceilings::Ceilings;
use crate::sandbox::{Call, Handler, Ran, Sandbox, Stop};
use crate::store::Store;
use crate::task::Name;

/// What a worker runs its tasks with: the [`Sandbox`], which has threads and a clock of its own; in simulations, where time
/// and the order of things are made up, a script.
#[async_trait]
pub trait Runner: Send + Sync {
    /// The handlers that are served now. The same map as before where nothing has changed.
    fn handlers(&self) -> Arc<HashMap<Name, Arc<Handler>>>;

    /// The handler of this name, if it is served now.
    fn handler(&self, name: &Name) -> Option<Arc<Handler>>;

    /// Versions that are no longer served, and are still here because runs go on that began with them.
    fn replaced(&self) -> Vec<Arc<Handler>>;

    /// Changes when [`Runner::handlers`] does.
    fn changes(&self) -> watch::Receiver<()>;

    /// What no task gets more of, whatever its options say.
    fn ceilings(&self) -> &Ceilings;

    /// Where handlers keep what outlives their runs. The first that is lent stands.
    fn lend(&self, store: Arc<dyn Store>);

    /// Where attempts are spawned, so that a handler that computes holds up nothing else.
    fn guests(&self) -> &Handle;

    /// Runs `handler` once. A failure of the handler is an outcome; what is wished of `stop` is obeyed at once. Dropping
    /// the future stops the run.
    async fn attempt(&self, handler: &Arc<Handler>, call: Call, stop: Stop) -> Ran;
}

#[async_trait]
impl Runner for Sandbox {
    fn handlers(&self) -> Arc<HashMap<Name, Arc<Handler>>> {
        self.handlers()
    }

    fn handler(&self, name: &Name) -> Option<Arc<Handler>> {
        self.handler(name)
    }

    fn replaced(&self) -> Vec<Arc<Handler>> {
        self.replaced()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changes()
    }

    fn ceilings(&self) -> &Ceilings {
        self.ceilings()
    }

    fn lend(&self, store: Arc<dyn Store>) {
        self.lend(store);
    }

    fn guests(&self) -> &Handle {
        self.guests()
    }

    async fn attempt(&self, handler: &Arc<Handler>, call: Call, stop: Stop) -> Ran {
        self.attempt(handler, call, stop).await
    }
}
