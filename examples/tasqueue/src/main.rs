//! Tasqueue's README, step by step, in one program that is producer and worker at once: a job, a chain, a group, a schedule.
//!
//! `cargo run -p tasqueue-example -- basic|chain|group|schedule [HANDLERS]`, where the folder HANDLERS (`wasm`) has
//! `add.wasm`: `make demo` puts it there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tasq_host::backend::{self, Backend};
use tasq_host::broker::Order;
use tasq_host::client::{NewGroup, Shown, Waited};
use tasq_host::sandbox::{self, Sandbox};
use tasq_host::task::TaskId;
use tasq_host::worker::{self, Queues};
use tasq_host::{Client, Task};

/// What the handler `add` takes.
#[derive(Serialize)]
struct SumPayload {
    arg1: i64,
    arg2: i64,
}

fn sum(arg1: i64, arg2: i64) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&SumPayload { arg1, arg2 })?)
}

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let step = arguments.next().unwrap_or_else(|| "basic".into());
    let handlers = arguments.next().unwrap_or_else(|| "wasm".into());

    // tasqueue.NewServer(tasqueue.ServerOpts{Broker: …, Results: …}): broker and results are one place here, or two with
    // a second URL. redis://127.0.0.1:6379, nats://127.0.0.1:4222 and sqlite:tasq.db work alike.
    let backend = backend::open(&"memory:".parse()?, None).await?;
    let client = Client::new(backend.clone());

    // go srv.Start(ctx)
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = tokio::spawn(work(backend, handlers, async { drop(stopped.await) }));

    match step.as_str() {
        "basic" => basic(&client).await?,
        "chain" => chain(&client).await?,
        "group" => group(&client).await?,
        "schedule" => schedule(&client).await?,
        other => bail!("step \"{other}\": expected basic, chain, group or schedule"),
    }

    // cancel(): what runs is finished first.
    drop(stop);
    working.await?
}

/// srv.RegisterTask("add", tasks.SumProcessor, tasqueue.TaskOpts{Concurrency: 5}): a handler is a file in a folder, and its
/// queue and concurrency stand in `add.toml` beside it.
async fn work(backend: Backend, handlers: String, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let sandbox = Sandbox::new(sandbox::Options { slots: 5, pagemap_scan: true, cache: None, memory_budget: None })?;
    let loaded =
        sandbox.load_folder(Path::new(&handlers)).with_context(|| format!("the handlers folder {handlers}"))?;
    if let Some(refused) = loaded.refused.first() {
        bail!("{refused}");
    }
    let options = worker::Options {
        queues: Queues::Served,
        order: Order::Weighted,
        concurrency: 5,
        lease: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(25),
        max_lost: 3,
        until_empty: false,
        tally: Arc::default(),
    };
    worker::run(backend, Arc::new(sandbox), options, stop, std::future::pending()).await?;
    Ok(())
}

/// A job: `tasqueue.NewJob`, `srv.Enqueue`, `srv.GetJob`, `srv.GetResult`.
async fn basic(client: &Client) -> anyhow::Result<()> {
    // JobOpts{Queue, MaxRetries, Timeout, ID}, what is left out is decided by the handler's manifest or the defaults.
    let job = Task::new("add", sum(5, 4)?).max_retries(5).timeout(Duration::from_secs(10));
    let id = client.enqueue(job).await?.id;
    let shown = wait(client, &id).await?;
    println!("{id} is {}", shown.state());
    let result = client.result(&id).await?.context("a result")?;
    println!("{}", String::from_utf8_lossy(&result));
    Ok(())
}

/// A chain: `tasqueue.NewChain`, `srv.EnqueueChain`, `srv.GetChain`. Each step finds the result before it in `upstream`
/// (Tasqueue: `PrevJobResult`), also when it is empty, and as its payload where it has none of its own.
async fn chain(client: &Client) -> anyhow::Result<()> {
    let jobs = [Task::new("add", sum(0, 4)?), Task::new("add", sum(1, 4)?), Task::new("add", sum(2, 4)?)];
    let id = client.chain(jobs).await?.id;
    let Shown::Chain(chain) = wait(client, &id).await? else { bail!("expected a chain") };
    println!("{id} is {}, {} of {} steps done", chain.state(), chain.steps.len(), chain.of);
    for step in &chain.steps {
        print_result(client, step.id()).await?;
    }
    Ok(())
}

/// A group: `tasqueue.NewGroup`, `srv.EnqueueGroup`, `srv.GetGroup`. It may have a callback, which gets all results.
async fn group(client: &Client) -> anyhow::Result<()> {
    let jobs = [Task::new("add", sum(0, 4)?).build()?, Task::new("add", sum(1, 4)?).build()?];
    let callback = Task::new("add", sum(100, 1)?).build()?;
    let id = client.group(NewGroup::new(jobs).callback(callback)).await?.id;
    let Shown::Group(group) = wait(client, &id).await? else { bail!("expected a group") };
    println!("{id} is {}, {} of {} members done", group.state(), group.done(), group.of);
    for task in Shown::Group(group).tasks() {
        print_result(client, task.id()).await?;
    }
    Ok(())
}

/// A schedule: `tasqueue.JobOpts{Schedule: "* * * * *"}`. It has a name, so that it can be changed and removed, and a
/// failure doesn't stop it. The sixth field in front is for seconds: nobody wants to wait for a minute here.
async fn schedule(client: &Client) -> anyhow::Result<()> {
    client.schedule("every-second", "* * * * * *", Task::new("add", sum(5, 4)?)).await?;
    let mut seen: Option<TaskId> = None;
    for _ in 0..2 {
        let tick = next_tick(client, seen.as_ref()).await?;
        wait(client, &tick).await?;
        println!("{tick}");
        print_result(client, &tick).await?;
        seen = Some(tick);
    }
    client.unschedule(&"every-second".parse()?).await?;
    Ok(())
}

/// The task of the schedule's last tick, once it is another one than `seen`.
async fn next_tick(client: &Client, seen: Option<&TaskId>) -> anyhow::Result<TaskId> {
    let looking = async {
        loop {
            let known = client.find_schedule(&"every-second".parse()?).await?.context("the schedule")?;
            if let Some(last) = known.last.filter(|last| Some(last) != seen) {
                return anyhow::Ok(last);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await?
}

async fn wait(client: &Client, id: &TaskId) -> anyhow::Result<Shown> {
    match client.wait(id, Some(PATIENCE), |_| {}).await? {
        Waited::Ended(shown) => Ok(shown),
        Waited::TooLong(state) => bail!("{id} is {state} after {PATIENCE:?}"),
        Waited::Unknown => bail!("{id} is unknown"),
    }
}

async fn print_result(client: &Client, id: &TaskId) -> anyhow::Result<()> {
    let result = client.result(id).await?.unwrap_or_default();
    println!("  {}", String::from_utf8_lossy(&result));
    Ok(())
}
