//! Producers that go on, workers that are killed at random, and then a count: what was accepted has to have an end, once,
//! and every repeat has to be explained by a lease that was lost.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::client::{Client, NewTask};
use tasq_host::error::Result;
use tasq_host::results::Record;
use tasq_host::task::{State, TaskId};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::guests::guest;
use crate::processes::{GuestRun, PATIENCE, WorkerProcess, at_once, now};

/// A server for the time of a storm. A further one is a further implementation and a row in the table.
pub trait Stage {
    /// Its row's name.
    fn name(&self) -> &'static str;
    /// What `--broker` is told.
    fn url(&self) -> String;
    /// Kills the server and starts it again on its data; does nothing where there is none.
    fn strike(&mut self) {}
}

/// A file and no server: only workers can be killed.
pub struct Sqlite(pub PathBuf);

impl Stage for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }
}

/// How long, and with how many.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Producers push and workers die for so long.
    pub time: Duration,
    /// Worker processes at a time.
    pub workers: usize,
    /// Producers, each pushing one task after the other.
    pub producers: usize,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The stage's.
    pub name: String,
    /// Workers that were killed.
    pub kills: u64,
    /// Tasks that producers were told are accepted.
    pub accepted: u64,
    /// Of these, done.
    pub done: u64,
    /// Dead as poison: their runs were lost as often as is allowed.
    pub poison: u64,
    /// Without an end, or dead for another reason: there must be none.
    pub missing: u64,
    /// Runs that began and whose worker vanished.
    pub lost: u64,
    /// Times that a guest began a task again.
    pub repeats: u64,
    /// Repeats without a loss that was counted for them: there must be none.
    pub unexplained: u64,
    /// Runs of one task that overlapped: there must be none.
    pub at_once: u64,
    /// What the broker still holds beside dead letters: there must be nothing.
    pub left: u64,
}

impl Tally {
    /// The table's first line.
    pub const HEAD: &'static str =
        "broker     kills  accepted    done  poison  missing  lost  repeats  unexplained  at once  left";

    /// Everything has its end, and every repeat its reason.
    pub fn is_sound(&self) -> bool {
        self.accepted == self.done + self.poison
            && self.missing + self.unexplained + self.at_once + self.left == 0
            && self.accepted > 0
    }
}

/// A line of the table.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { name, kills, accepted, done, poison, missing, lost, repeats, unexplained, at_once, left } = self;
        write!(f, "{name:<10} {kills:>5} {accepted:>9} {done:>7} {poison:>7} {missing:>8} {lost:>5} ")?;
        write!(f, "{repeats:>8} {unexplained:>12} {at_once:>8} {left:>5}")
    }
}

/// Lets a storm loose on `stage`, waits until everything has its end, and counts. `program` is the binary `tasq-host`.
pub fn run(program: &Path, stage: &mut dyn Stage, storm: &Storm) -> Tally {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join("wasm")).expect("a folder");
    std::fs::copy(guest("misbehave"), home.path().join("wasm/misbehave.wasm")).expect("copy");
    let runtime = Runtime::new().expect("a runtime");
    let backend = runtime.block_on(open(&stage.url()));
    let over = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> =
        (0..storm.producers).map(|number| runtime.spawn(produce(backend.clone(), number, over.clone()))).collect();
    let (living, mut runs, kills) = strike(program, home.path(), stage, storm);
    over.store(true, Ordering::SeqCst);
    let accepted = runtime.block_on(gather(producers));
    let (records, left) = runtime.block_on(settled(&backend, &accepted));
    let death = now();
    living.iter().for_each(|worker| runs.extend(worker.runs(&death)));
    drop(living);
    Tally { name: stage.name().to_owned(), kills, left, ..count(&accepted, &records, &runs) }
}

/// Kills one worker after the other, and the server if there is one. The workers that live, and what those that are
/// dead had run.
fn strike(
    program: &Path,
    home: &Path,
    stage: &mut dyn Stage,
    storm: &Storm,
) -> (Vec<WorkerProcess>, Vec<GuestRun>, u64) {
    let (began, url) = (Instant::now(), stage.url());
    let (mut runs, mut kills, mut started) = (Vec::new(), 0, 0);
    let mut start = || {
        started += 1;
        WorkerProcess::start(program, home, &format!("log{started}"), &["--broker", &url, "--concurrency", "64"])
    };
    let mut living: Vec<_> = (0..storm.workers).map(|_| start()).collect();
    while began.elapsed() < storm.time {
        // Not for something to happen: the moment of a death is meant to be any.
        std::thread::sleep(Duration::from_millis(200 + dice(600)));
        let victim = usize::try_from(dice(storm.workers as u64)).expect("few workers");
        runs.extend(living.remove(victim).kill());
        kills += 1;
        if kills % 3 == 0 {
            stage.strike();
        }
        living.push(start());
    }
    (living, runs, kills)
}

async fn open(url: &str) -> Backend {
    backend::open(&url.parse().expect("a URL"), None).await.expect("the broker opens")
}

/// Pushes naps until it is over; the ids that the broker took.
async fn produce(backend: Backend, number: usize, over: Arc<AtomicBool>) -> Vec<TaskId> {
    let (client, mut accepted) = (Client::new(backend), Vec::new());
    while !over.load(Ordering::SeqCst) {
        let id: TaskId = format!("p{number}-{}", accepted.len()).parse().expect("an id");
        // Longer than a lost task takes to come back: a run of it that is still going on would show.
        let nap = format!(r#"{{"do":"nap","ms":{}}}"#, dice(500));
        let task = NewTask { id: Some(id.clone()), ..NewTask::new("misbehave".parse().expect("a name"), nap) };
        // A server that was struck: whether the task arrived is not known, and with its id that doesn't matter.
        if client.enqueue(task).await.is_ok() {
            accepted.push(id);
        }
        // A pace that the workers can keep up with.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    accepted
}

async fn gather(producers: Vec<JoinHandle<Vec<TaskId>>>) -> Vec<TaskId> {
    let mut accepted = Vec::new();
    for producer in producers {
        let ended = tokio::time::timeout(PATIENCE, producer).await;
        accepted.extend(ended.expect("a producer ends").expect("no panic"));
    }
    accepted
}

/// Waits, but not for ever, until everything has its end: what has one, and how much the broker still holds.
async fn settled(backend: &Backend, accepted: &[TaskId]) -> (Vec<Record>, u64) {
    let began = Instant::now();
    loop {
        // A server that is just coming back is asked again.
        let records = ended(backend, accepted).await.unwrap_or_default();
        let left = left(backend).await.unwrap_or(u64::MAX);
        if (records.len() == accepted.len() && left == 0) || began.elapsed() > PATIENCE {
            return (records, left);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ended(backend: &Backend, ids: &[TaskId]) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    for ids in ids.chunks(500) {
        found.extend(backend.results.get(ids).await?.into_iter().flatten());
    }
    Ok(found)
}

async fn left(backend: &Backend) -> Result<u64> {
    let depths = backend.operations.depths(Duration::ZERO).await?;
    Ok(depths.iter().map(|depth| depth.scheduled + depth.pending + depth.running + depth.parked).sum())
}

fn count(accepted: &[TaskId], records: &[Record], runs: &[GuestRun]) -> Tally {
    let mut begun: HashMap<&str, u64> = HashMap::new();
    runs.iter().for_each(|run| *begun.entry(&run.task).or_default() += 1);
    let mut tally = Tally { accepted: accepted.len() as u64, at_once: at_once(runs).len() as u64, ..Tally::default() };
    for record in records {
        let repeats = begun.get(record.id.as_str()).copied().unwrap_or_default().saturating_sub(1);
        tally.repeats += repeats;
        tally.lost += u64::from(record.lost);
        tally.unexplained += repeats.saturating_sub(u64::from(record.lost));
        let code = record.failure.as_ref().map(|failure| failure.code.as_str());
        match (record.state, code) {
            (State::Done, _) => tally.done += 1,
            (State::Dead, Some("poison")) if record.lost >= 3 => tally.poison += 1,
            _ => tally.missing += 1,
        }
    }
    tally.missing += tally.accepted - records.len() as u64;
    tally
}

/// A number below `sides`: spread matters, repeating it doesn't.
fn dice(sides: u64) -> u64 {
    RandomState::new().hash_one(0u8) % sides
}
