//! What live workers serve, remembered for a moment: who enqueues one task after another doesn't ask before each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::NewTask;
use crate::broker::{Operations, WorkerReport};
use crate::error::Result;
use crate::task::Name;

/// What workers said this long ago still goes: they themselves announce it less often.
const FRESH: Duration = Duration::from_secs(1);

/// The latest answer.
#[derive(Default)]
pub(super) struct Workers(Mutex<Option<(Instant, Arc<[WorkerReport]>)>>);

impl Workers {
    /// The live workers, or those of a moment ago.
    pub(super) async fn known(&self, operations: &dyn Operations) -> Result<Arc<[WorkerReport]>> {
        if let Some((_, workers)) = self.lock().clone().filter(|(at, _)| at.elapsed() < FRESH) {
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

/// No live worker has a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// The handler that was asked for.
    pub handler: Name,
    /// The handler with the most similar name, where one is similar.
    pub nearest: Option<Name>,
    /// How many workers live.
    pub workers: usize,
}

/// Its own, else the handler's, as workers announce it, else `default`.
pub(super) fn queue(new: &NewTask, workers: &[WorkerReport]) -> Name {
    let announced = || announced_queue(&new.handler, workers);
    new.queue.clone().or_else(announced).unwrap_or_else(Name::default_queue)
}

fn announced_queue(handler: &Name, workers: &[WorkerReport]) -> Option<Name> {
    let mut reports = workers.iter().flat_map(|worker| &worker.handlers);
    reports.find_map(|report| report.queue.clone().filter(|_| report.name == *handler))
}

pub(super) fn unserved(handler: &Name, workers: &[WorkerReport]) -> Option<Unserved> {
    let names = || workers.iter().flat_map(|worker| &worker.handlers).map(|report| &report.name);
    if names().any(|name| name == handler) {
        return None;
    }
    let similarity = |name: &Name| strsim::jaro_winkler(name.as_str(), handler.as_str());
    let nearest = names().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    // Below this, what is nearest is merely another handler.
    let nearest = nearest.filter(|name| similarity(name) > 0.75).cloned();
    Some(Unserved { handler: handler.clone(), nearest, workers: workers.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::HandlerReport;
    use crate::task::Headers;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn worker(handlers: &[(&str, Option<&str>)]) -> WorkerReport {
        let handlers = handlers.iter().map(|(handler, queue)| HandlerReport {
            name: name(handler),
            digest: String::new(),
            queue: queue.map(name),
            max_retries: None,
        });
        WorkerReport {
            id: "w-1".parse().unwrap(),
            queues: vec![],
            concurrency: 1,
            handlers: handlers.collect(),
            notes: Headers::new(),
        }
    }

    #[test]
    fn the_queue_that_workers_announce_is_taken() {
        let workers = [worker(&[("add", None)]), worker(&[("mail", Some("slow")), ("add", Some("sums"))])];
        assert_eq!(announced_queue(&name("add"), &workers), Some(name("sums")));
        assert_eq!(announced_queue(&name("sub"), &workers), None);
    }

    #[test]
    fn an_unknown_handler_names_the_similar_one() {
        let workers = [worker(&[("add", None), ("send-mail", None)])];
        assert_eq!(unserved(&name("add"), &workers), None);
        let nearest = |handler| unserved(&name(handler), &workers).unwrap().nearest;
        assert_eq!(nearest("ad"), Some(name("add")));
        assert_eq!(nearest("sendmail"), Some(name("send-mail")));
        assert_eq!(nearest("zip"), None);
        assert_eq!(unserved(&name("add"), &[]), Some(Unserved { handler: name("add"), nearest: None, workers: 0 }));
    }
}
