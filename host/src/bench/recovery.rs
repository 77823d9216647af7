//! How long tasks are lost to the world when their worker is killed.

use std::collections::HashMap;
use std::io::Read;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;

use super::Load;
use crate::backend::Backend;
use crate::broker::{Standing, Tracked};
use crate::results::Filter;
use crate::sandbox::Sandbox;
use crate::task::{State, TaskId};
use crate::worker;

/// How often it is looked where the tasks are.
const LOOK: Duration = Duration::from_millis(10);
/// A worker that doesn't run its tasks by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of tasks whose worker was killed; times from the kill on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// So many ran when it was killed.
    pub running: usize,
    /// When another worker had begun the first of them again.
    pub first_s: f64,
    /// And the last.
    pub last_s: f64,
    /// When all had ended.
    pub ended_s: f64,
}

/// Kills `worker` (a command that works on the load's queues, so many at once; its stderr piped) as `kill -9` does once `tasks` run, and
/// counts how long they take to come back to a worker of this process, which began to wait before the kill. The handler
/// has to take longer than `tasks` take to start.
pub async fn recovery(
    backend: &Backend,
    sandbox: &Arc<Sandbox>,
    options: worker::Options,
    load: &Load,
    tasks: usize,
    mut worker: Command,
) -> anyhow::Result<Recovery> {
    let mut doomed = Doomed(worker.spawn()?);
    backend.broker.push(load.messages(tasks)).await?;
    let cut = all_running(backend, load, tasks, &mut doomed).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let working = worker::run(backend.clone(), sandbox.clone(), options, stopped, std::future::pending());
    let mut working = tokio::spawn(working);
    drop(doomed);
    let returned = tokio::select! {
        ended = &mut working => anyhow::bail!("the worker ended before its tasks did: {:?}", ended??),
        returned = come_back(backend, &cut) => returned?,
    };
    drop(stop);
    working.await??;
    Ok(returned)
}

/// A worker that is killed when this is dropped.
struct Doomed(Child);

impl Drop for Doomed {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The numbers of their runs, by id.
type Cut = HashMap<TaskId, u32>;

async fn all_running(backend: &Backend, load: &Load, tasks: usize, worker: &mut Doomed) -> anyhow::Result<Cut> {
    let until = Instant::now() + PATIENCE;
    let mut most = 0;
    while Instant::now() < until {
        if let Some(status) = worker.0.try_wait()? {
            let mut said = String::new();
            worker.0.stderr.take().map(|mut pipe| pipe.read_to_string(&mut said)).transpose()?;
            anyhow::bail!("the worker that was to be killed ended by itself, {status}: {}", said.trim_end());
        }
        let mut cut = Cut::new();
        for queue in &load.queues {
            let running =
                Filter { state: Some(State::Running), queue: Some(queue.clone()), limit: tasks, ..Filter::default() };
            let standings = backend.operations.list(&running).await?;
            cut.extend(standings.into_iter().filter_map(|standing| match standing {
                Standing::Here(task) => Some((task.id.clone(), task.run)),
                Standing::Leaving(_) => None,
            }));
        }
        if cut.len() == tasks {
            return Ok(cut);
        }
        most = most.max(cut.len());
        tokio::time::sleep(LOOK).await;
    }
    let seconds = PATIENCE.as_secs();
    anyhow::bail!(
        "recovery: expected {tasks} tasks to run at once within {seconds} s, found at most {most}: it needs a handler that takes some seconds, and that may run so often at once"
    )
}

async fn come_back(backend: &Backend, cut: &Cut) -> anyhow::Result<Recovery> {
    let killed = Instant::now();
    let (mut first, mut last) = (None, None);
    loop {
        let ids: Vec<TaskId> = cut.keys().cloned().collect();
        let standings = backend.operations.get(&ids).await?;
        let is_back = |(id, standing): (&TaskId, &Option<Standing>)| match standing {
            Some(Standing::Here(task)) => begun_again(task, cut.get(id).copied().unwrap_or(0)),
            Some(Standing::Leaving(_)) | None => true,
        };
        let back = ids.iter().zip(&standings).filter(|&pair| is_back(pair)).count();
        let now = killed.elapsed().as_secs_f64();
        if back > 0 {
            first.get_or_insert(now);
        }
        if back == ids.len() {
            last.get_or_insert(now);
        }
        let is_over = |standing: &Option<Standing>| match standing {
            Some(Standing::Here(task)) => task.state.is_final(),
            Some(Standing::Leaving(_)) | None => true,
        };
        if let Some((first_s, last_s)) = first.zip(last).filter(|_| standings.iter().all(is_over)) {
            return Ok(Recovery { running: ids.len(), first_s, last_s, ended_s: now });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether this is a later run than the one that was cut off.
fn begun_again(task: &Tracked, cut: u32) -> bool {
    task.run > cut || task.state.is_final()
}
