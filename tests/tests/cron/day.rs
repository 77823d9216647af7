//! A day of simulated time: three workers' clockworks over one broker that fails now and then, and is away for two hours.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tasq_host::backend::{Backend, memory};
use tasq_host::client::Client;
use tasq_host::clock::{Clock, Simulated};
use tasq_host::cron::{Overlap, Schedule, Template};
use tasq_host::error::{Error, Result};
use tasq_host::results::Filter;
use tasq_host::schedules::{Plans, Put, Schedules, Tick, Ticked};
use tasq_host::task::{Headers, Name, Priority, TaskOptions, Timestamp};
use tasq_host::worker::cron::keep_ticking;

/// Seconds of the day: the broker is away from the first up to the second.
const AWAY: (u64, u64) = (9 * 3600 + 38, 11 * 3600 + 20 * 60 + 33);
const DAY: u64 = 24 * 3600;

/// Loses every seventh call on its way there, and of the others every eleventh answer.
struct Faulty {
    inner: Arc<dyn Schedules>,
    clock: Arc<Simulated>,
    calls: AtomicU64,
}

impl Faulty {
    fn second(&self) -> u64 {
        self.clock.now().since(Simulated::START).as_secs()
    }

    async fn pass<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let lost = || Error::unavailable("the broker is away");
        if (AWAY.0..AWAY.1).contains(&self.second()) || number % 7 == 3 {
            return Err(lost());
        }
        let answer = call.await;
        if number % 11 == 5 { Err(lost()) } else { answer }
    }
}

#[async_trait]
impl Schedules for Faulty {
    async fn put(&self, name: &Name, body: Bytes) -> Result<Put> {
        self.inner.put(name, body).await
    }

    async fn list(&self) -> Result<Plans> {
        self.pass(self.inner.list()).await
    }

    async fn remove(&self, name: &Name) -> Result<bool> {
        self.inner.remove(name).await
    }

    async fn tick(&self, tick: Tick) -> Result<Ticked> {
        self.pass(self.inner.tick(tick)).await
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn schedule(expression: &str, overlap: Overlap) -> Schedule {
    let task = Template {
        handler: name("h"),
        queue: Some(name("q")),
        unique: None,
        priority: Priority::Normal,
        payload: Bytes::new(),
        content_type: String::new(),
        headers: Headers::new(),
        options: TaskOptions::default(),
    };
    Schedule { overlap, ..Schedule::new(expression, task).expect("an expression") }
}

/// The ids of the ticks at multiples of `every` seconds from `first` on: all but those that were missed, of which the
/// latest comes.
fn expected(name: &str, first: u64, every: u64) -> BTreeSet<String> {
    let ticks = (first..DAY).step_by(every as usize).filter(|&second| second > 0);
    let latest = ticks.clone().filter(|second| (AWAY.0..=AWAY.1).contains(second)).max();
    let came = ticks.filter(|second| !(AWAY.0..=AWAY.1).contains(second) || Some(*second) == latest);
    let begin = Simulated::START.0 / 1000;
    came.map(|second| format!("cron:{name}:{}", begin + second)).collect()
}

#[tokio::test(start_paused = true)]
async fn three_workers_give_each_tick_once_through_failures_and_an_outage() {
    let clock = Arc::new(Simulated::start());
    let backend = memory::open(clock.clone(), false);
    let client = Client::new(backend.clone());
    let put = async |text: &str, expression: &str, overlap| {
        client.put_schedule(&name(text), &schedule(expression, overlap)).await.expect("it is kept");
    };
    put("ten-seconds", "*/10 * * * * *", Overlap::Allow).await;
    put("minute", "* * * * *", Overlap::Allow).await;
    put("hour", "@hourly", Overlap::Allow).await;
    put("morning", "0 8 * * *", Overlap::Allow).await;
    put("while-away", "30 9 * * *", Overlap::Allow).await;
    put("tomorrow", "0 0 2 1 *", Overlap::Allow).await;
    put("one-at-a-time", "* * * * *", Overlap::Skip).await;
    let paused = Schedule { paused: true, ..schedule("* * * * *", Overlap::Allow) };
    client.put_schedule(&name("paused"), &paused).await.expect("it is kept");
    // One that no worker can read keeps none of the others from ticking.
    backend.schedules.put(&name("damaged"), Bytes::from_static(b"{")).await.expect("it is kept");
    let workers: Vec<_> = (0..3)
        .map(|number| {
            let (inner, clock, calls) = (backend.schedules.clone(), clock.clone(), AtomicU64::new(number));
            let backend = Backend { schedules: Arc::new(Faulty { inner, clock, calls }), ..backend.clone() };
            tokio::spawn(async move { keep_ticking(&backend, |_| None).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(DAY - 2)).await;
    workers.iter().for_each(|worker| worker.abort());
    let filter = Filter { limit: 100_000, ..Filter::default() };
    let tasks = client.list(&filter).await.expect("it answers").tasks;
    let found: BTreeSet<String> = tasks.iter().map(|task| task.id().to_string()).collect();
    let only = |name: &str| -> BTreeSet<String> {
        let prefix = format!("cron:{name}:");
        found.iter().filter(|id| id.starts_with(&prefix)).cloned().collect()
    };
    assert_eq!(only("ten-seconds"), expected("ten-seconds", 0, 10));
    assert_eq!(only("minute"), expected("minute", 0, 60));
    assert_eq!(only("hour"), expected("hour", 0, 3600));
    assert_eq!(only("morning"), expected("morning", 8 * 3600, DAY));
    assert_eq!(only("while-away"), expected("while-away", 9 * 3600 + 1800, DAY));
    // Nobody runs the first one's task.
    assert_eq!(only("one-at-a-time"), [format!("cron:one-at-a-time:{}", Simulated::START.0 / 1000 + 60)].into());
    let named = ["ten-seconds", "minute", "hour", "morning", "while-away", "one-at-a-time"];
    assert_eq!(named.iter().map(|name| only(name).len()).sum::<usize>(), found.len(), "and nothing else");
    assert!(found.len() > 8_000, "{}", found.len());
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_changes_ticks_from_then_on() {
    let clock = Arc::new(Simulated::start());
    let backend = memory::open(clock.clone(), false);
    let client = Client::new(backend.clone());
    let mut schedule = schedule("* * * * *", Overlap::Allow);
    client.put_schedule(&name("s"), &schedule).await.expect("it is kept");
    let worker = tokio::spawn(async move { keep_ticking(&backend, |_| None).await });
    let ticks = async || {
        let found = client.list(&Filter { limit: 100, ..Filter::default() }).await.expect("it answers").tasks;
        let mut seconds: Vec<u64> = found
            .iter()
            .map(|task| task.id().as_str().rsplit(':').next().and_then(|s| s.parse().ok()).expect("a tick"))
            .map(|second: u64| second - Simulated::START.0 / 1000)
            .collect();
        seconds.sort_unstable();
        seconds
    };
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(ticks().await, [60, 120]);
    schedule.paused = true;
    client.put_schedule(&name("s"), &schedule).await.expect("it is kept");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(ticks().await, [60, 120]);
    schedule.paused = false;
    client.put_schedule(&name("s"), &schedule).await.expect("it is kept");
    tokio::time::sleep(Duration::from_secs(60)).await;
    // Resumed at 750: what came by while it was paused is gone.
    assert_eq!(ticks().await, [60, 120, 780]);
    let Timestamp(now) = clock.now();
    let known = client.find_schedule(&name("s")).await.expect("it answers").expect("it is there");
    assert_eq!(known.next[0].0, now - now % 60_000 + 60_000);
    assert!(client.unschedule(&name("s")).await.expect("it answers"));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(ticks().await, [60, 120, 780]);
    worker.abort();
}
