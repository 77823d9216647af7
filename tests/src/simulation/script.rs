//! Handlers that do what their payload says, on simulated time.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tasq_host::sandbox::ceilings::Ceilings;
use tasq_host::sandbox::stop::Wish;
use tasq_host::sandbox::{self, Call, Handler, Ran, Sandbox, Stop};
use tasq_host::store::Store;
use tasq_host::task::{
    Backoff, Failure, FailureKind, FollowUp, Headers, Name, Outcome, Priority, Receipt, TaskId, TaskOptions, Verdict,
};
use tasq_host::worker::Runner;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::ledger::Ledger;
use super::weather::Weather;
use crate::fuzz::Dice;
use crate::nouns::name;
use crate::texts;

/// The handlers of all stories: loaded as any, with their manifests.
pub struct Catalogue {
    sandbox: Sandbox,
    all: Arc<HashMap<Name, Arc<Handler>>>,
    early: Arc<HashMap<Name, Arc<Handler>>>,
}

impl Catalogue {
    /// Takes some tenths of a second.
    #[expect(clippy::new_without_default, reason = "it takes its time")]
    pub fn new() -> Catalogue {
        let folder = tempfile::tempdir().expect("a folder");
        let manifests = [("work", ""), ("late", ""), ("side", "queue = \"side\"\nconcurrency = 2\nmax_retries = 2")];
        for (handler, manifest) in manifests {
            let file = folder.path().join(handler).with_extension("wasm");
            let written = std::fs::write(&file, texts::component(""));
            written.and_then(|()| std::fs::write(file.with_extension("toml"), manifest)).expect("a handler");
        }
        let options = sandbox::Options { slots: 1, pagemap_scan: false, cache: None, memory_budget: None };
        let sandbox = Sandbox::new(options).expect("an engine");
        let loaded = sandbox.load_folder(folder.path()).expect("a folder");
        assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
        let all = sandbox.handlers();
        let early = all.iter().filter(|(handler, _)| handler.as_str() != "late");
        let early = Arc::new(early.map(|(name, handler)| (name.clone(), handler.clone())).collect());
        Catalogue { sandbox, all, early }
    }
}

/// What a handler does in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Succeed,
    Fail,
    Discard,
    Snooze,
    /// The host has no room for it.
    NoRoom,
    /// Its worker dies of it.
    Kill,
}

const ACTS: [(Act, char); 6] = [
    (Act::Succeed, '+'),
    (Act::Fail, '-'),
    (Act::Discard, 'x'),
    (Act::Snooze, 'z'),
    (Act::NoRoom, 'o'),
    (Act::Kill, 'k'),
];

/// What a handler does in all of a task's runs; a payload says it as `nap acts follow-ups`, `350 --+ 2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    nap: Duration,
    /// By the run's number; the last one stands for all that come after it.
    acts: Vec<Act>,
    pub(super) follow_ups: usize,
}

impl Script {
    pub(super) fn any(dice: &mut Dice) -> Script {
        let acts = ["+", "+", "+", "-+", "--+", "-", "x", "z+", "o+", "k+", "k", "kz-+"][dice.throw(12)];
        let nap = Duration::from_millis([1, 300, 3_000, 9_000].map(|most| dice.throw(most))[dice.throw(4)] as u64);
        Script { nap, acts: read(acts), follow_ups: dice.throw(6).saturating_sub(3) }
    }

    /// Nothing that takes long.
    pub(super) fn brief(dice: &mut Dice) -> Script {
        let acts = ["+", "+", "+", "+", "-+", "z+", "k+", "x"][dice.throw(8)];
        Script { nap: Duration::from_millis(dice.throw(500) as u64), acts: read(acts), follow_ups: 0 }
    }

    /// What this payload says.
    pub(super) fn of(payload: &[u8]) -> Script {
        let text = std::str::from_utf8(payload).expect("a script");
        let mut words = text.split(' ');
        let mut word = || words.next().expect("a script has three words");
        let nap = Duration::from_millis(word().parse().expect("a number"));
        Script { nap, acts: read(word()), follow_ups: word().parse().expect("a number") }
    }

    /// What it does in this run.
    pub(super) fn act(&self, run: u32) -> Act {
        self.acts[(run as usize - 1).min(self.acts.len() - 1)]
    }

    fn follow_ups(&self, of: &TaskId) -> Vec<FollowUp> {
        let one = |number| FollowUp {
            id: follow_up(of, number),
            handler: name("work"),
            queue: None,
            priority: Priority::Normal,
            delay: Duration::from_millis(10 * number as u64),
            unique_key: None,
            unique_for: None,
            payload: "20 -+ 0".into(),
            content_type: String::new(),
            headers: Headers::new(),
            options: TaskOptions { backoff: Some(Backoff::Fixed { delay: Duration::ZERO }), ..TaskOptions::default() },
        };
        (1..=self.follow_ups).map(one).collect()
    }
}

/// The id of the task that this one enqueues.
pub(super) fn follow_up(of: &TaskId, number: usize) -> TaskId {
    crate::nouns::id(&format!("{of}/f{number}"))
}

fn read(acts: &str) -> Vec<Act> {
    let act = |letter| ACTS.iter().find(|(_, its)| *its == letter).expect("an act").0;
    acts.chars().map(act).collect()
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |act| ACTS.iter().find(|(its, _)| its == act).map_or('?', |(_, letter)| *letter);
        let acts: String = self.acts.iter().map(letter).collect();
        write!(f, "{} {acts} {}", self.nap.as_millis(), self.follow_ups)
    }
}

/// The result of a task that succeeds.
pub(super) fn result(task: &TaskId) -> Bytes {
    Bytes::from(format!("{task} is done"))
}

/// What one life of a worker runs handlers with.
pub(super) struct Scripted {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) weather: Arc<Weather>,
    /// Which life.
    pub(super) life: u32,
    /// Ends it.
    pub(super) doom: Arc<Notify>,
    pub(super) guests: Handle,
}

#[async_trait]
impl Runner for Scripted {
    fn handlers(&self) -> Arc<HashMap<Name, Arc<Handler>>> {
        if self.weather.is_calm() { self.catalogue.all.clone() } else { self.catalogue.early.clone() }
    }

    fn handler(&self, name: &Name) -> Option<Arc<Handler>> {
        self.handlers().get(name).cloned()
    }

    fn replaced(&self) -> Vec<Arc<Handler>> {
        Vec::new()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.weather.changes()
    }

    fn ceilings(&self) -> &Ceilings {
        self.catalogue.sandbox.ceilings()
    }

    fn lend(&self, _: Arc<dyn Store>) {}

    fn guests(&self) -> &Handle {
        &self.guests
    }

    async fn attempt(&self, _: &Arc<Handler>, call: Call, stop: Stop) -> Ran {
        self.ledger.begun(self.life, &call);
        let (task, run) = (call.task.id.clone(), call.run);
        let script = Script::of(&call.task.payload);
        let mut run = OnStage { ledger: &self.ledger, task: &task, run, outcome: None };
        let outcome = tokio::select! {
            biased;
            wish = stop.stopped() => wished(wish),
            outcome = self.act(&script, &call) => outcome,
        };
        let done = matches!(outcome, Outcome::Done(_));
        run.outcome = Some(outcome.clone());
        let follow_ups = if done { script.follow_ups(&task) } else { Vec::new() };
        Ran { outcome, receipt: Receipt::default(), follow_ups, logs: None }
    }
}

impl Scripted {
    async fn act(&self, script: &Script, call: &Call) -> Outcome {
        tokio::time::sleep(script.nap).await;
        let failure =
            || Failure { kind: FailureKind::Handler, code: "scripted".to_owned(), message: "so it says".to_owned() };
        match script.act(call.run) {
            Act::Succeed => Outcome::Done(result(&call.task.id)),
            Act::Fail => Outcome::Failed(failure(), Verdict::Retry(None)),
            Act::Discard => Outcome::Failed(failure(), Verdict::Discard),
            Act::Snooze => Outcome::Failed(failure(), Verdict::Snooze(Some(Duration::from_secs(1)))),
            Act::NoRoom => Outcome::Release(Duration::from_secs(1)),
            Act::Kill => {
                self.doom.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// What the sandbox makes of a wish.
fn wished(wish: Wish) -> Outcome {
    match wish {
        Wish::Abandon => Outcome::Gone,
        Wish::Cancel => Outcome::Cancelled,
        Wish::None | Wish::Finish | Wish::GiveBack => Outcome::Release(Duration::ZERO),
    }
}

/// A run: says how it has ended, or that it was dropped.
struct OnStage<'a> {
    ledger: &'a Ledger,
    task: &'a TaskId,
    run: u32,
    outcome: Option<Outcome>,
}

impl Drop for OnStage<'_> {
    fn drop(&mut self) {
        self.ledger.ended(self.task, self.run, self.outcome.take());
    }
}
