//! Load on a broker and handlers, and what came of it. Rates are only comparable within one process and one run: the
//! machine's mood is in all of them alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::backend::Backend;
use crate::broker::{Due, Message};
use crate::client::Client;
use crate::codec;
use crate::results::Filter;
use crate::sandbox::Handler;
use crate::task::{Headers, Name, Priority, State, Task, TaskId, TaskOptions};

mod latency;
mod meter;
mod produce;
mod recovery;
mod report;
mod work;

pub use latency::latency;
pub use meter::{Meter, Rate, resident};
pub use produce::{Producers, in_bulk, one_at_a_time};
pub use recovery::{Recovery, recovery};
pub use report::{Latency, Memory, Rates, Report, Spread};
pub use work::{bare, drain};

/// What to run, over and over. Clones go on counting together.
#[derive(Clone)]
pub struct Load {
    /// Whom the tasks are for, in turn; at least one.
    pub handlers: Vec<Arc<Handler>>,
    /// Their input.
    pub payload: Bytes,
    /// Queues of the benchmark's own, in turn; at least one.
    pub queues: Vec<Name>,
    /// Tasks made so far.
    pub made: Arc<AtomicUsize>,
}

impl Load {
    fn task(&self) -> Task {
        let turn = self.made.fetch_add(1, Ordering::Relaxed);
        Task {
            id: TaskId::generate(),
            handler: self.handlers[turn % self.handlers.len()].name.clone(),
            // Another queue once every handler has had its turn: so each handler has tasks in each of them.
            queue: self.queues[turn / self.handlers.len() % self.queues.len()].clone(),
            priority: Priority::Normal,
            payload: self.payload.clone(),
            content_type: String::new(),
            headers: Headers::new(),
            upstream: Vec::new(),
            options: TaskOptions::default(),
            chain: None,
            group: None,
        }
    }

    fn message(&self) -> Message {
        codec::message(self.task(), Due::Now, None)
    }

    fn messages(&self, number: usize) -> Vec<Message> {
        (0..number).map(|_| self.message()).collect()
    }
}

/// Ids that go to the broker in one call.
const PAGE: usize = 1_000;

/// Removes what a benchmark left: tasks that still wait, and results.
pub async fn tidy(backend: &Backend, load: &Load) -> anyhow::Result<()> {
    let client = Client::new(backend.clone());
    for queue in &load.queues {
        let filter = Filter { queue: Some(queue.clone()), limit: PAGE, ..Filter::default() };
        for state in [State::Pending, State::Scheduled, State::Parked] {
            loop {
                let waiting = client.list(&Filter { state: Some(state), ..filter.clone() }).await?.tasks;
                let ids: Vec<TaskId> = waiting.iter().map(|task| task.id().clone()).collect();
                if ids.is_empty() || client.discard(&ids).await? == 0 {
                    break;
                }
            }
        }
        loop {
            let ids: Vec<TaskId> = backend.results.list(&filter).await?.into_iter().map(|record| record.id).collect();
            if ids.is_empty() {
                break;
            }
            backend.results.delete(&ids).await?;
        }
    }
    Ok(())
}
