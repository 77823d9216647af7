//! How quick the SQLite backend is here: pushes, reserves and settles in batches, by one caller and by several at once.
//! `cargo run -p tasq-tests --example sqlite_rate -- [FOLDER]`

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tasq_host::backend::{self, Backend};
use tasq_host::broker::{End, Reserve};
use tasq_host::task::{Ending, State};
use tasq_tests::nouns::{DAY, asking, record, recorded, tasks};

const TASKS: usize = 20_000;

#[tokio::main]
async fn main() {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    for (sync, batch, callers) in
        [("full", 100, 1), ("full", 100, 8), ("full", 1, 1), ("full", 1, 64), ("normal", 100, 1)]
    {
        let folder = tempfile::tempdir_in(&parent).expect("a folder");
        let url = format!("sqlite:{}?sync={sync}", folder.path().join("tasq.db").display());
        let backend = backend::open(&url.parse().expect("a URL"), None).await.expect("the file opens");
        let count = if batch == 1 { 500 * callers.min(8) } else { TASKS };
        println!("sync={sync}, batches of {batch}, callers at once: {callers}");
        push(&backend, count, batch, callers).await;
        let ends = reserve(&backend, count, batch).await;
        settle(&backend, ends, batch, callers).await;
        wake(&backend).await;
    }
}

async fn push(backend: &Backend, count: usize, batch: usize, callers: usize) {
    let work = (0..callers).map(|caller| {
        let broker = backend.broker.clone();
        let all = tasks(&format!("caller{caller}-task"), count / callers);
        async move {
            for chunk in all.chunks(batch) {
                broker.push(chunk.to_vec()).await.expect("push");
            }
        }
    });
    measure("push", count, work).await;
}

async fn reserve(backend: &Backend, count: usize, batch: usize) -> Vec<End> {
    let (began, mut ends) = (Instant::now(), Vec::new());
    while ends.len() < count / batch * batch {
        let taken = backend.broker.reserve(&asking(&["q"], &["h"], batch, DAY)).await.expect("reserve");
        if taken.is_empty() {
            break;
        }
        ends.extend(taken.iter().map(|task| recorded(&task.run, Ending::Done, record(task, State::Done, DAY))));
    }
    rate("reserve", count, began.elapsed());
    ends
}

async fn settle(backend: &Backend, ends: Vec<End>, batch: usize, callers: usize) {
    let count = ends.len();
    let shares: Vec<Vec<End>> = ends.chunks(count.div_ceil(callers)).map(<[End]>::to_vec).collect();
    let work = shares.into_iter().map(|share| {
        let broker = backend.broker.clone();
        async move {
            for chunk in share.chunks(batch) {
                broker.settle(chunk).await.expect("settle");
            }
        }
    });
    measure("settle", count, work).await;
}

/// From a push, commit included, until a waiting worker has the task.
async fn wake(backend: &Backend) {
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        let (broker, request) = (backend.broker.clone(), asking(&["q"], &["h"], 1, DAY));
        let waiting = tokio::spawn(async move { broker.reserve(&Reserve { wait: DAY, ..request }).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        backend.broker.push(tasks(&format!("wake{round}-"), 1)).await.expect("push");
        let pushed = Instant::now();
        waiting.await.expect("no panic").expect("reserve");
        longest = longest.max(pushed.elapsed());
    }
    println!("  pushed to taken by a waiting worker, longest of 20: {longest:?}");
}

async fn measure<F: Future<Output = ()> + Send + 'static>(what: &str, count: usize, work: impl Iterator<Item = F>) {
    let work: Vec<F> = work.collect();
    let began = Instant::now();
    let running: Vec<_> = work.into_iter().map(tokio::spawn).collect();
    for one in running {
        one.await.expect("no panic");
    }
    rate(what, count, began.elapsed());
}

fn rate(what: &str, count: usize, took: Duration) {
    println!("  {what}: {:.0}/s", count as f64 / took.as_secs_f64());
}
