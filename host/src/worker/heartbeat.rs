//! Tells the others that the worker lives, and what it has.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::attempt::Crew;
use super::runner::Runner;
use super::{Options, Pace, Queues};
use crate::backend::Backend;
use crate::broker::versions::{self, Told, Version};
use crate::broker::{HandlerReport, WorkerReport};
use crate::sandbox::Handler;
use crate::task::{Headers, Name, WorkerId};

/// As long as runs of replaced versions go on, those who wait for their end hear of it within this time.
const LEAVING: Duration = Duration::from_secs(1);

/// Announces the worker now, each third of a lease, and whenever its handlers change, until it is dropped.
pub(super) fn start(backend: &Backend, crew: &Crew, options: &Options) -> AbortOnDropHandle<()> {
    let operations = backend.operations.clone();
    let (worker, sandbox) = (crew.worker.clone(), crew.sandbox.clone());
    let (queues, concurrency, every) = (options.queues.clone(), options.concurrency, options.lease / 3);
    let tally = options.tally.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut pace = Pace::new(&tally);
        let mut changes = sandbox.changes();
        loop {
            let mut report = report(&worker, &*sandbox, &queues, concurrency);
            report.notes.extend(pace.look(&tally).notes());
            let replaced = sandbox.replaced();
            report.notes.extend([versions::note(&loaded(&*sandbox, &replaced))]);
            let every_now = if replaced.is_empty() { every } else { every.min(LEAVING) };
            drop(replaced);
            if let Err(error) = operations.announce(&report, every).await {
                tracing::debug!("not announced: {error}");
            }
            wait(&mut changes, every_now).await;
        }
    }))
}

async fn wait(changes: &mut tokio::sync::watch::Receiver<()>, every: Duration) {
    tokio::select! {
        biased;
        () = tokio::time::sleep(every) => {}
        Ok(()) = changes.changed() => {}
    }
}

fn loaded(sandbox: &dyn Runner, replaced: &[Arc<Handler>]) -> Vec<Version> {
    let version = |handler: &Handler, replaced: bool| Version {
        name: handler.name.clone(),
        digest: handler.digest.to_string(),
        queue: handler.manifest.queue.clone().filter(|_| !replaced),
        replaced,
        told: Some(Told { since: handler.since, running: handler.running() }),
    };
    let served = sandbox.handlers();
    let served = served.values().map(|handler| version(handler, false));
    served.chain(replaced.iter().map(|handler| version(handler, true))).collect()
}

fn report(worker: &WorkerId, sandbox: &dyn Runner, queues: &Queues, concurrency: usize) -> WorkerReport {
    let served = sandbox.handlers();
    let queues: Vec<Name> = queues.with(&served).into_iter().map(|(queue, _)| queue).collect();
    let mut handlers: Vec<HandlerReport> = served
        .values()
        .map(|handler| HandlerReport {
            name: handler.name.clone(),
            digest: handler.digest.to_string(),
            queue: handler.manifest.queue.clone(),
            max_retries: handler.manifest.max_retries,
        })
        .collect();
    handlers.sort_by(|a, b| a.name.cmp(&b.name));
    WorkerReport { id: worker.clone(), queues, concurrency, handlers, notes: Headers::new() }
}
