//! What holds for a queue, over all workers.

use std::time::Duration;

use tasq_host::broker::{Reserve, Setting, Settings};
use tasq_host::task::{Ending, Rate};

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

const BRIEF: Duration = Duration::from_millis(50);

async fn set(f: &Fixture, setting: Setting) {
    f.backend.operations.configure(&name("q"), &[setting]).await.expect("configure");
}

fn waiting(f: &Fixture) -> Reserve {
    Reserve { wait: PATIENCE, ..f.asking(10) }
}

/// Nothing is taken from it, not even what waits aside, by no handle, until it is resumed; other queues go on.
pub async fn a_paused_queue_gives_nothing(f: Fixture) {
    let other = f.reopen().await;
    f.push(for_handler("full", vec![task("aside")])).await;
    f.nothing(&Reserve { room: room(&[("full", 0)]), ..f.asking(9) }).await;
    set(&f, Setting::Paused(true)).await;
    f.push(vec![task("a")]).await;
    f.push(on_queue("q2", vec![task("b")])).await;
    let both = asking(&["q", "q2"], &["h", "full"], 9, f.beats(10));
    assert_eq!(ids(&other.broker.reserve(&both).await.expect("reserve")), ["b"]);
    f.nothing(&both).await;
    set(&f, Setting::Paused(false)).await;
    let mut taken = f.take(&Reserve { max: 2, ..both }).await;
    taken.sort_by(|a, b| a.run.id.cmp(&b.run.id));
    assert_eq!(ids(&taken), ["a", "aside"]);
}

/// A pause stops no run, and its end is written; what has to come back does.
pub async fn a_pause_leaves_runs_alone(f: Fixture) {
    let first = f.running(task("a")).await;
    f.running(task("b")).await;
    set(&f, Setting::Paused(true)).await;
    assert_eq!(f.end(&first, Ending::Done).await, tasq_host::broker::Settled::Applied);
    f.pass(f.beats(10)).await;
    f.nothing(&f.asking(1)).await;
    f.pass(f.beats(10)).await;
    set(&f, Setting::Paused(false)).await;
    assert_eq!(f.take_one().await.lost, 1);
}

/// Whoever waits hears of the end of a pause.
pub async fn a_resumed_queue_wakes_a_waiting_reserve(f: Fixture) {
    set(&f, Setting::Paused(true)).await;
    f.push(vec![task("a")]).await;
    let resume = async {
        tokio::time::sleep(BRIEF).await;
        set(&f, Setting::Paused(false)).await;
    };
    let (taken, ()) = tokio::join!(async { f.look(&waiting(&f)).await }, resume);
    assert_eq!(ids(&taken), ["a"]);
}

/// No more of its tasks run at once, whoever takes them.
pub async fn a_limit_holds_over_all_handles(f: Fixture) {
    let other = f.reopen().await;
    set(&f, Setting::Concurrency(Some(3))).await;
    f.push(tasks("a", 10)).await;
    let mine = f.take(&f.asking(2)).await;
    let theirs = other.broker.reserve(&f.asking(10)).await.expect("reserve");
    assert_eq!(theirs.len(), 1);
    f.nothing(&f.asking(10)).await;
    f.end(&mine[0], Ending::Done).await;
    f.end(&theirs[0], retry(&theirs[0], DAY)).await;
    assert_eq!(f.look(&f.asking(10)).await.len(), 2);
    f.nothing(&f.asking(10)).await;
    // A run that is lost makes room as well.
    f.pass(f.beats(10)).await;
    assert!(!f.look(&f.asking(10)).await.is_empty());
    set(&f, Setting::Concurrency(None)).await;
    f.pass(f.beats(30)).await;
    assert!(f.look(&f.asking(10)).await.len() > 3);
}

/// An end makes room for whoever waits.
pub async fn an_end_wakes_who_waits_for_a_limit(f: Fixture) {
    set(&f, Setting::Concurrency(Some(1))).await;
    f.push(tasks("a", 2)).await;
    let first = f.take_one().await;
    let end = async {
        tokio::time::sleep(BRIEF).await;
        f.end(&first, Ending::Done).await
    };
    let (taken, _) = tokio::join!(async { f.look(&waiting(&f)).await }, end);
    assert_eq!(ids(&taken), ["a1"]);
}

/// So many in a time, over all workers; what wasn't used isn't saved up.
pub async fn a_rate_is_kept(f: Fixture) {
    let other = f.reopen().await;
    let hourly = Rate { tasks: 2, per: Duration::from_secs(2 * 3600) };
    set(&f, Setting::Rate(Some(hourly))).await;
    f.push(tasks("a", 9)).await;
    let hour = Duration::from_secs(3600);
    // With leases that outlive it.
    let asking = Reserve { lease: DAY, ..f.asking(9) };
    assert_eq!(f.look(&asking).await.len(), 1);
    assert_eq!(other.broker.reserve(&asking).await.expect("reserve"), []);
    f.pass(hour / 2).await;
    f.nothing(&asking).await;
    f.pass(hour / 2).await;
    assert_eq!(other.broker.reserve(&asking).await.expect("reserve").len(), 1);
    f.pass(3 * hour).await;
    assert_eq!(f.look(&asking).await.len(), 1);
    f.nothing(&asking).await;
    set(&f, Setting::Rate(None)).await;
    assert_eq!(f.look(&asking).await.len(), 6);
}

/// What was taken by another rate doesn't count: a rate that was far too low is mended at once.
pub async fn a_new_rate_begins_anew(f: Fixture) {
    set(&f, Setting::Rate(Some(Rate { tasks: 1, per: Duration::from_secs(3600) }))).await;
    f.push(tasks("a", 3)).await;
    assert_eq!(f.look(&f.asking(3)).await.len(), 1);
    f.nothing(&f.asking(3)).await;
    set(&f, Setting::Rate(Some(Rate { tasks: 100, per: Duration::from_secs(1) }))).await;
    assert_eq!(f.look(&f.asking(3)).await.len(), 2);
}

/// Whoever waits gets the next one when the rate allows it.
pub async fn a_rate_wakes_a_waiting_reserve(f: Fixture) {
    set(&f, Setting::Rate(Some(Rate { tasks: 4, per: Duration::from_secs(1) }))).await;
    f.push(tasks("a", 3)).await;
    for number in 0..3 {
        assert_eq!(ids(&f.look(&waiting(&f)).await), [format!("a{number}")]);
    }
}

/// Settings are seen, each for itself, also of a queue without tasks, and by every handle.
pub async fn settings_are_seen(f: Fixture) {
    let rate = Rate { tasks: 100, per: Duration::from_secs(1) };
    let both = [Setting::Rate(Some(rate)), Setting::Concurrency(Some(20))];
    f.backend.operations.configure(&name("idle"), &both).await.expect("configure");
    let seen = async |queue: &str| {
        let depths = f.reopen().await.operations.depths(Duration::ZERO).await.expect("depths");
        depths.into_iter().find(|depth| depth.queue.as_str() == queue).map(|depth| depth.settings)
    };
    let expected = Settings { paused: false, rate: Some(rate), concurrency: Some(20) };
    assert_eq!(seen("idle").await, Some(expected.clone()));
    f.backend.operations.configure(&name("idle"), &[Setting::Paused(true)]).await.expect("configure");
    assert_eq!(seen("idle").await, Some(Settings { paused: true, ..expected.clone() }));
    f.backend.operations.configure(&name("idle"), &[Setting::Rate(None)]).await.expect("configure");
    assert_eq!(seen("idle").await, Some(Settings { paused: true, rate: None, ..expected }));
    f.push(vec![task("a")]).await;
    assert_eq!(seen("q").await, Some(Settings::default()));
}
