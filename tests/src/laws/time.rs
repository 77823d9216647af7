//! Delays, and what a waiting reserve wakes up for.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt;
use tasq_host::broker::{Delivery, Due, Effect, End, Message, Reserve, Settled};
use tasq_host::task::{Ending, Timestamp};
use tokio::time::Instant;

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

/// A span that a waiting reserve may really wait.
const BRIEF: Duration = Duration::from_millis(300);

fn waiting(f: &Fixture) -> Reserve {
    Reserve { wait: PATIENCE, ..f.asking(1) }
}

fn after(delay: Duration, messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().map(|message| Message { due: Due::After(delay), ..message }).collect()
}

/// Not before its delay is over, and then at once.
pub async fn a_delayed_task_is_not_early(f: Fixture) {
    f.push(after(f.beats(3), vec![task("a")])).await;
    f.pass(f.beats(2)).await;
    f.nothing(&f.asking(1)).await;
    f.pass(f.beats(1)).await;
    let delivery = f.take_one().await;
    assert_eq!(delivery.due_at, delivery.enqueued_at.plus(f.beats(3)));
    assert!(delivery.reserved_at >= delivery.due_at);
}

/// A time to come is waited for; one that has passed means now.
pub async fn a_task_comes_at_its_time(f: Fixture) {
    let later = f.now().plus(f.beats(3));
    f.push(vec![Message { due: Due::At(later), ..task("later") }]).await;
    f.push(vec![Message { due: Due::At(Timestamp(1)), ..task("past") }]).await;
    assert_eq!(f.take_one().await.run.id, id("past"));
    f.pass(f.beats(2)).await;
    f.nothing(&f.asking(1)).await;
    f.pass(f.beats(1)).await;
    let delivery = f.take_one().await;
    assert_eq!((&delivery.run.id, delivery.due_at), (&id("later"), later));
}

/// More than scripts take arguments, more than any one step promotes (apalis died of it).
pub async fn thousands_due_at_once_all_come(f: Fixture) {
    f.push(after(f.beats(1), tasks("a", 8_500))).await;
    f.pass(f.beats(1)).await;
    let mut seen = HashSet::new();
    while seen.len() < 8_500 {
        for delivery in f.take(&f.asking(500)).await {
            assert!(seen.insert(delivery.run.id));
        }
    }
    f.nothing(&f.asking(1)).await;
}

/// Whatever number of tasks waits for later, a fresh one goes first.
pub async fn delayed_tasks_do_not_block_a_fresh_one(f: Fixture) {
    f.push(tasks("retried", 1_500)).await;
    let taken = f.take(&f.asking(1_500)).await;
    let ends = taken.iter().map(|delivery| end(&delivery.run, retry(delivery, f.beats(5)))).collect::<Vec<_>>();
    f.backend.broker.settle(&ends).await.expect("settle");
    f.push(after(f.beats(5), tasks("delayed", 1_500))).await;
    f.push(vec![task("fresh")]).await;
    assert_eq!(f.take_one().await.run.id, id("fresh"));
}

/// A reserve that finds nothing comes back empty after its wait, not before and not much later.
pub async fn a_reserve_waits_as_long_as_asked(f: Fixture) {
    let start = Instant::now();
    f.nothing(&Reserve { wait: BRIEF, ..f.asking(1) }).await;
    assert!(start.elapsed() >= BRIEF && start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// Sooner than a look that happens now and then by itself would be.
const PROMPT: Duration = Duration::from_millis(500);

/// One of a few tries is prompt: a busy machine may delay any of them.
async fn promptly(f: &Fixture, attempt: impl AsyncFn(&str) -> Duration) {
    let mut delays = Vec::new();
    for number in 0..5 {
        delays.push(attempt(&format!("a{number}")).await);
        if delays[number] < PROMPT || !f.keeps_time() {
            return;
        }
    }
    panic!("the reserve slept through it: {delays:?}");
}

/// The one task that `request`, which waits, is given once `wake` has happened, and how long after that.
async fn woken<T>(f: &Fixture, request: Reserve, wake: impl Future<Output = T>) -> (Delivery, Duration) {
    let broker = f.backend.broker.clone();
    let (taken, woke_at) = tokio::join!(
        async { (broker.reserve(&request).await.expect("reserve"), Instant::now()) },
        async {
            // The reserve finds nothing first, and waits.
            tokio::time::sleep(BRIEF / 2).await;
            wake.await;
            Instant::now()
        }
    );
    let (taken, taken_at) = taken;
    let delivery = taken.into_iter().next().expect("the reserve was woken with a task");
    f.end(&delivery, Ending::Done).await;
    (delivery, taken_at.saturating_duration_since(woke_at))
}

/// How long after it was due it was taken.
fn late(delivery: &Delivery) -> Duration {
    assert!(delivery.reserved_at >= delivery.due_at, "early: {delivery:?}");
    delivery.reserved_at.since(delivery.due_at)
}

/// A push wakes whoever waits.
pub async fn a_push_wakes_a_waiting_reserve(f: Fixture) {
    promptly(&f, async |text| {
        let (delivery, delay) = woken(&f, waiting(&f), f.push(vec![task(text)])).await;
        assert_eq!(delivery.run.id, id(text));
        delay
    })
    .await;
}

/// So does a push through another handle.
pub async fn a_push_elsewhere_wakes_a_waiting_reserve(f: Fixture) {
    let other = f.reopen().await;
    promptly(&f, async |text| {
        let push = other.broker.push(vec![task(text)]);
        woken(&f, waiting(&f), push).await.1
    })
    .await;
}

/// Time itself does.
pub async fn a_due_time_wakes_a_waiting_reserve(f: Fixture) {
    promptly(&f, async |text| {
        f.push(after(BRIEF, vec![task(text)])).await;
        late(&woken(&f, waiting(&f), async {}).await.0)
    })
    .await;
}

/// A reserve that waits for a far task hears of a nearer one.
pub async fn a_nearer_due_time_wakes_a_waiting_reserve(f: Fixture) {
    f.push(after(DAY, vec![task("far")])).await;
    promptly(&f, async |text| {
        let near = f.push(after(BRIEF, vec![task(text)]));
        late(&woken(&f, waiting(&f), near).await.0)
    })
    .await;
}

/// A run that failed comes again to whoever waits.
pub async fn a_retry_wakes_a_waiting_reserve(f: Fixture) {
    promptly(&f, async |text| {
        let delivery = f.running(task(text)).await;
        let retry = f.end(&delivery, retry(&delivery, BRIEF));
        let (again, _) = woken(&f, waiting(&f), retry).await;
        assert_eq!((again.run.id.as_str(), again.run.number), (text, 2));
        late(&again)
    })
    .await;
}

/// A run given back wakes whoever has room for it.
pub async fn a_release_wakes_a_waiting_reserve(f: Fixture) {
    promptly(&f, async |text| {
        let delivery = f.running(task(text)).await;
        let release = f.end(&delivery, Ending::Release { after: Duration::ZERO });
        woken(&f, waiting(&f), release).await.1
    })
    .await;
}

/// What follows from an end wakes whoever waits.
pub async fn a_follow_up_wakes_a_waiting_reserve(f: Fixture) {
    promptly(&f, async |text| {
        let delivery = f.running(task(text)).await;
        let effects = vec![Effect::Push(task(&format!("{text}/f1")))];
        let follow = f.settle(End { effects, ..end(&delivery.run, Ending::Done) });
        woken(&f, waiting(&f), follow).await.1
    })
    .await;
}

/// A task that one worker met and couldn't run wakes the one that waits for such.
pub async fn a_task_moved_aside_wakes_a_waiting_reserve(f: Fixture) {
    promptly(&f, async |text| {
        let theirs = Reserve { wait: PATIENCE, ..asking(&["q"], &["theirs"], 1, f.beats(10)) };
        let mine = f.asking(1);
        let (delivery, delay) = woken(&f, theirs, async {
            let push = f.backend.broker.push(for_handler("theirs", vec![task(text)]));
            // Whichever of the two sees the task first, the right one gets it.
            let (_, taken) = tokio::join!(push, f.backend.broker.reserve(&mine));
            assert_eq!(taken.expect("reserve"), []);
        })
        .await;
        assert_eq!(delivery.run.id, id(text));
        delay
    })
    .await;
}

/// A task that its worker parks wakes one that has room for it.
pub async fn a_parked_task_wakes_a_waiting_reserve(f: Fixture) {
    promptly(&f, async |text| {
        let delivery = f.running(task(text)).await;
        let park = f.end(&delivery, Ending::Park);
        let (again, delay) = woken(&f, waiting(&f), park).await;
        assert_eq!((again.run.number, again.failed), (2, 0));
        delay
    })
    .await;
}

/// The end of a lease does, once the loss has been waited out.
pub async fn a_lost_lease_wakes_a_waiting_reserve(f: Fixture) {
    f.push(vec![task("a")]).await;
    let first = f.take(&Reserve { lease: BRIEF, ..f.asking(1) }).await.remove(0);
    let (again, _) = woken(&f, waiting(&f), async {}).await;
    assert_eq!((again.run.id, again.run.number, again.lost), (first.run.id, 2, 1));
}

/// Whenever a reserve is dropped, nothing is lost: what it had taken comes back when its lease is over.
pub async fn a_dropped_reserve_loses_nothing(f: Fixture) {
    f.push(tasks("a", 100)).await;
    for polls in 0..40 {
        let request = Reserve { lease: f.beats(1), wait: PATIENCE, ..f.asking(2) };
        let mut reserve = f.backend.broker.reserve(&request);
        for _ in 0..polls % 4 {
            if (&mut reserve).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let mut seen = HashSet::new();
    for _ in 0..10 {
        f.pass(f.beats(2)).await;
        loop {
            let taken = f.look(&Reserve { wait: BRIEF, ..f.asking(50) }).await;
            if taken.is_empty() {
                break;
            }
            for delivery in taken {
                assert_eq!(f.end(&delivery, Ending::Done).await, Settled::Applied);
                assert!(seen.insert(delivery.run.id), "ended twice");
            }
        }
        if seen.len() == 100 {
            return;
        }
    }
    panic!("{} of 100 came", seen.len());
}

/// Recalled while it waits, or before it began to.
pub async fn a_recalled_reserve_answers_at_once(f: Fixture) {
    let request = waiting(&f);
    let broker = f.backend.broker.clone();
    let waits = broker.reserve(&request);
    let recalls = async {
        // Whether it waits by now or not makes no difference to what it answers.
        f.nothing(&f.asking(1)).await;
        request.recall.notify_one();
    };
    let start = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(waits, recalls);
    assert_eq!(answer.expect("reserve"), []);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    f.push(vec![task("a")]).await;
    assert_eq!(f.take_one().await.run.id, id("a"));
}
