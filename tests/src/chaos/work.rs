//! What a storm's producers push, and when it has its end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tasq_host::backend::Backend;
use tasq_host::client::{NewGroup, NewTask, Work};
use tasq_host::error::Result;
use tasq_host::results::Record;
use tasq_host::task::{State, TaskId};

use super::{Storm, dice};
use crate::nouns::id;
use crate::processes::PATIENCE;

/// Steps of a chain.
const STEPS: usize = 5;
/// Members of a group.
const MEMBERS: usize = 20;
/// More results than this aren't kept in one queue.
const QUEUES: usize = 8;

/// The queues that the items are spread over.
pub(super) fn queues() -> impl Iterator<Item = String> {
    (0..QUEUES).map(|number| format!("storm{number}"))
}

/// Something that is enqueued as one.
pub(super) struct Item {
    kind: Kind,
    number: usize,
    nap: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Task,
    Chain,
    Group,
}

/// All of them, well mixed.
pub(super) fn items(storm: &Storm) -> Vec<Item> {
    let kinds = [(Kind::Task, storm.tasks), (Kind::Chain, storm.chains), (Kind::Group, storm.groups)];
    let all = kinds.into_iter().flat_map(|(kind, count)| {
        // By its share of the way, so that each kind is spread over all of it.
        (0..count).map(move |number| (number as f64 / count as f64, Item { kind, number, nap: storm.nap }))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().map(|(_, item)| item).collect()
}

impl Item {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn id(&self) -> TaskId {
        let letter = match self.kind {
            Kind::Task => "t",
            Kind::Chain => "c",
            Kind::Group => "g",
        };
        id(&format!("{letter}{}", self.number))
    }

    pub(super) fn work(&self) -> Work {
        let named = |task: NewTask| NewTask { id: Some(self.id()), ..task };
        match self.kind {
            Kind::Task => Work::Task(Box::new(named(self.nap()))),
            Kind::Chain => {
                let mut steps: Vec<NewTask> = (0..STEPS).map(|_| self.nap()).collect();
                steps[0].id = Some(self.id());
                Work::Chain(steps)
            }
            Kind::Group => {
                let members = (0..MEMBERS).map(|_| self.nap().into()).collect();
                Work::Group(Box::new(NewGroup { id: Some(self.id()), members, callback: Some(self.nap()) }))
            }
        }
    }

    fn nap(&self) -> NewTask {
        let nap = format!(r#"{{"do":"nap","ms":{}}}"#, dice(self.nap.as_millis().max(1) as u64));
        let queue = queues().nth(self.number % QUEUES).map(|queue| queue.parse().expect("a name"));
        NewTask { queue, ..NewTask::new("misbehave".parse().expect("a name"), nap) }
    }

    /// The tasks that it is made of; those of a chain in their order, of a group the callback last.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        let of = self.id();
        match self.kind {
            Kind::Task => vec![of],
            Kind::Chain => (1..=STEPS).map(|step| id(&format!("{of}/s{step}"))).collect(),
            Kind::Group => {
                let members = (1..=MEMBERS).map(|member| id(&format!("{of}/m{member}")));
                members.chain([id(&format!("{of}/cb"))]).collect()
            }
        }
    }

    /// Whether nothing more comes of it, and the tasks that never start because one before them is dead.
    pub(super) fn is_settled(&self, records: &HashMap<TaskId, Record>) -> Option<usize> {
        let tasks = self.tasks();
        let state = |task: &TaskId| records.get(task).map(|record| record.state);
        match self.kind {
            Kind::Task => state(&tasks[0]).map(|_| 0),
            Kind::Chain => {
                let dead = tasks.iter().position(|task| state(task) == Some(State::Dead));
                let last = dead.unwrap_or(STEPS - 1);
                tasks[..=last].iter().all(|task| state(task).is_some()).then_some(STEPS - 1 - last)
            }
            Kind::Group => {
                let (callback, members) = tasks.split_last()?;
                let all = members.iter().all(|task| state(task).is_some());
                let is_open = members.iter().any(|task| state(task) == Some(State::Dead));
                (all && (is_open || state(callback).is_some())).then_some(usize::from(is_open))
            }
        }
    }
}

/// What became of it all.
pub(super) struct Settled {
    pub(super) records: HashMap<TaskId, Record>,
    /// Tasks of an item that has its end which never start: those behind a dead one.
    pub(super) never: u64,
    /// Items that had no end when patience did.
    pub(super) open: u64,
    /// What the broker still holds beside dead letters and what never starts.
    pub(super) left: u64,
}

/// Waits, but not for ever, until everything has its end.
pub(super) async fn settled(backend: &Backend, items: &[Item]) -> Settled {
    let mut pending: Vec<&Item> = items.iter().collect();
    let mut settled = Settled { records: HashMap::new(), never: 0, open: 0, left: u64::MAX };
    let mut callbacks = 0;
    let mut moved = Instant::now();
    loop {
        let mut open = Vec::new();
        let before = pending.len();
        for chunk in pending.chunks(100) {
            // A server that is just coming back is asked again.
            let _ = look(backend, chunk, &mut settled.records).await;
            for &item in chunk {
                match item.is_settled(&settled.records) {
                    Some(never) => {
                        settled.never += never as u64;
                        callbacks += if item.kind == Kind::Group { never as u64 } else { 0 };
                    }
                    None => open.push(item),
                }
            }
        }
        pending = open;
        if pending.len() < before {
            moved = Instant::now();
        }
        settled.left = left(backend).await.map_or(u64::MAX, |left| left.saturating_sub(callbacks));
        settled.open = pending.len() as u64;
        if (pending.is_empty() && settled.left == 0) || moved.elapsed() > PATIENCE {
            return settled;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn look(backend: &Backend, items: &[&Item], records: &mut HashMap<TaskId, Record>) -> Result<()> {
    let ids = items.iter().flat_map(|item| item.tasks());
    let unknown: Vec<TaskId> = ids.filter(|task| !records.contains_key(task)).collect();
    for ids in unknown.chunks(500) {
        let found = backend.results.get(ids).await?;
        records.extend(found.into_iter().flatten().map(|record| (record.id.clone(), record)));
    }
    Ok(())
}

async fn left(backend: &Backend) -> Result<u64> {
    let depths = backend.operations.depths(Duration::ZERO).await?;
    Ok(depths.iter().map(|depth| depth.scheduled + depth.pending + depth.running + depth.parked).sum())
}
