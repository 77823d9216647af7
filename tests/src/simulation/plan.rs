//! What a seed makes of a story: who works, what comes in, and how rough it gets.

use std::time::Duration;

use bytes::Bytes;
use tasq_host::broker::{Due, Unique};
use tasq_host::client::{Client, NewGroup, NewTask, Work};
use tasq_host::cron::{Overlap, Schedule};
use tasq_host::task::{Backoff, Priority, TaskId, TaskOptions};
use tokio::time::sleep;

use super::World;
use super::script::Script;
use crate::fuzz::Dice;
use crate::nouns::{id, name};

/// A story before it is played.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) workers: usize,
    pub(super) concurrency: usize,
    pub(super) lease: Duration,
    pub(super) drain: Duration,
    pub(super) results_elsewhere: bool,
    /// Of a hundred calls, so many go wrong.
    pub(super) trouble: usize,
    /// One in so many workers lives until the storm is over.
    pub(super) survivors: usize,
    pub(super) storm: Duration,
    pub(super) jumps: usize,
    pub(super) items: Vec<Item>,
}

/// Something that someone enqueues, and may cancel.
#[derive(Debug)]
pub(super) struct Item {
    at: Duration,
    cancelled_after: Option<Duration>,
    /// The broker won't have its end.
    is_refused: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Work(Box<(TaskId, Work)>),
    /// A schedule with so many seconds between its ticks.
    Cron(u64, Overlap, Script),
}

/// Tasks go here, or to their handler's own.
pub(super) const QUEUES: [(&str, u32); 2] = [("default", 2), ("side", 1)];
/// The last one is served only once the storm is over.
const HANDLERS: [&str; 8] = ["work", "work", "work", "work", "work", "side", "side", "late"];

fn millis(dice: &mut Dice, from: usize, to: usize) -> Duration {
    Duration::from_millis((from + dice.throw(to - from + 1)) as u64)
}

impl Plan {
    pub(super) fn new(dice: &mut Dice) -> Plan {
        let storm = millis(dice, 3_000, 14_000);
        let mut items: Vec<Item> = (0..2 + dice.throw(5)).map(|number| Item::new(dice, number, storm)).collect();
        if dice.throw(3) == 0 {
            let overlap = if dice.throw(2) == 0 { Overlap::Allow } else { Overlap::Skip };
            let what = What::Cron(1 + dice.throw(4) as u64, overlap, Script::brief(dice));
            items.push(Item { at: Duration::ZERO, cancelled_after: None, is_refused: false, what });
        }
        Plan {
            workers: 1 + dice.throw(6) / 3,
            concurrency: 1 + dice.throw(4),
            lease: millis(dice, 1_500, 5_000),
            drain: millis(dice, 0, 3_000),
            results_elsewhere: dice.throw(3) == 0,
            trouble: [0, 2, 8, 20, 40][dice.throw(5)],
            survivors: 1 + dice.throw(4),
            storm,
            jumps: dice.throw(6).saturating_sub(3),
            items,
        }
    }
}

impl Item {
    fn new(dice: &mut Dice, number: usize, storm: Duration) -> Item {
        let at = storm.mul_f64(dice.throw(900) as f64 / 1_000.0);
        let cancelled_after = (dice.throw(5) == 0).then(|| millis(dice, 0, 4_000));
        let work = match dice.throw(6) {
            0 => {
                let mut steps: Vec<NewTask> = (0..2 + dice.throw(3)).map(|_| task(dice, Script::brief)).collect();
                steps[0].id = Some(id(&format!("c{number}")));
                (id(&format!("c{number}")), Work::Chain(steps))
            }
            1 => {
                let members = (0..1 + dice.throw(4)).map(|_| task(dice, Script::brief).into()).collect();
                let callback = Some(NewTask { due: Due::Now, ..task(dice, Script::brief) });
                let group = id(&format!("g{number}"));
                (group.clone(), Work::Group(Box::new(NewGroup { id: Some(group), members, callback })))
            }
            _ => {
                let task = task(dice, Script::any);
                let hold = (dice.throw(2) == 0).then(|| millis(dice, 100, 5_000));
                let unique = (dice.throw(6) == 0).then(|| Unique { key: "key".to_owned(), hold });
                let one = id(&format!("t{number}"));
                (one.clone(), Work::Task(Box::new(NewTask { id: Some(one), unique, ..task })))
            }
        };
        Item { at, cancelled_after, is_refused: dice.throw(15) == 0, what: What::Work(Box::new(work)) }
    }
}

fn task(dice: &mut Dice, script: impl Fn(&mut Dice) -> Script) -> NewTask {
    let backoff = match dice.throw(4) {
        0 => None,
        1 => Some(Backoff::Linear { step: millis(dice, 0, 500) }),
        2 => Some(Backoff::Fixed { delay: millis(dice, 0, 1_000) }),
        _ => Some(Backoff::Exponential { first: millis(dice, 1, 500), most: Duration::from_secs(2) }),
    };
    let handler = HANDLERS[dice.throw(HANDLERS.len())];
    // Only a manifest that says how often keeps a story short.
    let is_left = handler == "side" && dice.throw(2) == 0;
    let options = TaskOptions {
        max_retries: (!is_left).then(|| dice.throw(4) as u32),
        backoff,
        expires: (dice.throw(8) == 0).then(|| millis(dice, 0, 2_000)),
        retention: (dice.throw(8) == 0).then_some(Duration::ZERO),
        ..TaskOptions::default()
    };
    let payload: Bytes = script(dice).to_string().into();
    NewTask {
        due: if dice.throw(4) == 0 { Due::After(millis(dice, 0, 2_000)) } else { Due::Now },
        priority: Priority::ALL[dice.throw(3)],
        options,
        ..NewTask::new(name(handler), payload)
    }
}

/// Enqueues until it is answered, by the same id each time, and cancels the same way.
pub(super) async fn produce(world: World, client: Client, item: Item) {
    const PAUSE: Duration = Duration::from_millis(70);
    sleep(item.at).await;
    match item.what {
        What::Work(work) => {
            let (id, work) = *work;
            if item.is_refused && matches!(work, Work::Task(_)) {
                world.ledger.refuse(&id);
            }
            let enqueued = loop {
                match client.enqueue_all(vec![work.clone()]).await {
                    Ok(mut answers) => break answers.remove(0).expect("what a plan makes is accepted"),
                    Err(_) => sleep(PAUSE).await,
                }
            };
            world.ledger.acknowledged(&id, &enqueued, &work);
            if let Some(after) = item.cancelled_after {
                sleep(after).await;
                while client.cancel(std::slice::from_ref(&enqueued.id)).await.is_err() {
                    sleep(PAUSE).await;
                }
            }
        }
        What::Cron(every, overlap, script) => {
            let options = TaskOptions { max_retries: Some(2), ..TaskOptions::default() };
            let task = NewTask { options, ..NewTask::new(name("work"), script.to_string()) };
            let task = task.try_into().expect("a template");
            let expression = format!("*/{every} * * * * *");
            let schedule = Schedule { overlap, ..Schedule::new(&expression, task).expect("an expression") };
            while client.put_schedule(&name("tick"), &schedule).await.is_err() {
                sleep(PAUSE).await;
            }
        }
    }
}
