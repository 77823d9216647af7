//! Takes tasks from the broker, runs them, and hands in how they ended.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::broker::Order;
use crate::sandbox::Sandbox;
use crate::task::Name;

/// What a worker does.
#[derive(Clone, Debug)]
pub struct Options {
    /// The queues to take from, with weights of at least 1.
    pub queues: Vec<(Name, u32)>,
    /// How they share.
    pub order: Order,
    /// Runs at once.
    pub concurrency: usize,
    /// How long a lease is; extended each third of it.
    pub lease: Duration,
    /// How long running tasks may go on after the first stop.
    pub drain_timeout: Duration,
    /// Begun runs whose worker vanished before a task counts as `poison`.
    pub max_lost: u32,
    /// End when nothing is pending, running or due within a second.
    pub until_empty: bool,
}

/// What a worker did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tasks that succeeded.
    pub done: u64,
    /// Runs that failed and whose tasks come again.
    pub retried: u64,
    /// Tasks that went to the dead letters.
    pub dead: u64,
    /// Runs given back unfinished.
    pub released: u64,
    /// Under `until_empty`: what is left in the worker's queues, scheduled later.
    pub scheduled: u64,
    /// Under `until_empty`: what is left without a handler.
    pub parked: u64,
}

/// Works until `stop` resolves (then drains), or the queues are empty if that is asked. `stop_now` resolves to give
/// everything back at once. An error means that the broker's data can't be used; an unreachable broker is waited for.
pub async fn run(
    _backend: Backend,
    _sandbox: Arc<Sandbox>,
    _options: Options,
    _stop: impl Future<Output = ()>,
    _stop_now: impl Future<Output = ()>,
) -> crate::error::Result<Summary> {
    todo!()
}
