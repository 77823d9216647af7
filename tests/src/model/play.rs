//! Plays a story on a backend and on the model, and compares what can be seen after each step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tasq_host::backend::Backend;
use tasq_host::broker::{Delivery, Effect, End, Held, Message, Reserve};
use tasq_host::clock::{Clock, Simulated};
use tasq_host::results::{Cursor, Filter};
use tasq_host::task::{Ending, Name, Run, State, TaskId, Timestamp};

use super::ops::{Finish, Op};
use super::{Model, Stand, Task};
use crate::nouns::{every_ending, here, id, record, worker};

/// A clock that stands still between steps.
pub struct Stepped(AtomicU64);

impl Default for Stepped {
    fn default() -> Stepped {
        Stepped(AtomicU64::new(Simulated::START.0))
    }
}

impl Clock for Stepped {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A backend beside its model.
pub struct Play {
    clock: Arc<Stepped>,
    /// Handles of the same place, used in turn.
    handles: Vec<Backend>,
    step: usize,
    given: Vec<Delivery>,
    model: Model,
}

impl Play {
    /// Nothing has happened yet. `handles` tell the time by `clock`.
    pub fn new(clock: Arc<Stepped>, handles: Vec<Backend>) -> Play {
        let model = Model { now: clock.now(), ..Model::default() };
        Play { clock, handles, step: 0, given: Vec::new(), model }
    }

    /// Plays; panics at the first difference.
    pub async fn play(mut self, story: Vec<Op>) {
        for op in story {
            self.step += 1;
            match op {
                Op::Push(messages) => self.push(messages).await,
                Op::Reserve { pass, withdraw, request } => {
                    self.pass(pass);
                    self.withdraw(withdraw).await;
                    self.reserve(*request).await;
                }
                Op::Settle(ends) => self.settle(ends).await,
                Op::Extend(runs, lease) => self.extend(runs, lease).await,
            }
            self.compare().await;
        }
    }

    fn backend(&self) -> &Backend {
        &self.handles[self.step % self.handles.len()]
    }

    fn pass(&mut self, span: Duration) {
        self.clock.0.fetch_add(span.as_millis() as u64, Ordering::SeqCst);
        self.model.now = self.clock.now();
        self.model.age();
    }

    async fn withdraw(&mut self, gone: Option<u8>) {
        if let Some(number) = gone {
            let gone = worker(&format!("w{number}"));
            self.model.withdraw(&gone);
            self.backend().operations.withdraw(&gone).await.expect("withdraw");
        }
    }

    async fn push(&mut self, messages: Vec<Message>) {
        let expected: Vec<bool> = messages.iter().map(|message| self.model.push(message)).collect();
        let answers = self.backend().broker.push(messages).await.expect("push");
        let created: Vec<bool> = answers.iter().map(|answer| answer.created).collect();
        assert_eq!(created, expected);
    }

    /// Looks until nothing more comes: how many one look gives is the backend's choice.
    async fn reserve(&mut self, request: Reserve) {
        self.model.take_back();
        let mut taken: Vec<Delivery> = Vec::new();
        loop {
            let mut left = request.clone();
            left.max -= taken.len();
            let room = Arc::make_mut(&mut left.room);
            for delivery in &taken {
                *room.get_mut(&delivery.handler).expect("only what was asked for is given") -= 1;
            }
            let more = self.backend().broker.reserve(&left).await.expect("reserve");
            assert!(more.len() <= left.max, "more than asked");
            if more.is_empty() {
                break;
            }
            taken.extend(more);
        }
        self.model.reserve(&request, &taken);
        self.given.extend(taken);
    }

    async fn settle(&mut self, ends: Vec<(usize, Finish)>) {
        if self.given.is_empty() {
            return;
        }
        let ends: Vec<End> = ends.into_iter().map(|(which, finish)| self.end(which, finish)).collect();
        let expected: Vec<_> = ends.iter().map(|end| self.model.settle(end)).collect();
        let answers = self.backend().broker.settle(&ends).await.expect("settle");
        assert_eq!(answers, expected);
        self.model.age();
    }

    fn end(&self, which: usize, finish: Finish) -> End {
        let delivery = &self.given[which % self.given.len()];
        let mut ending = every_ending(delivery)[finish.ending].clone();
        match &mut ending {
            Ending::Retry { after, .. } | Ending::Snooze { after } | Ending::Release { after } => *after = finish.span,
            Ending::Dead { keep, .. } => *keep = finish.span,
            Ending::Done | Ending::Cancelled | Ending::Park => {}
        }
        let state = match ending {
            Ending::Done => Some(State::Done),
            Ending::Dead { .. } => Some(State::Dead),
            Ending::Cancelled => Some(State::Cancelled),
            _ => None,
        };
        let mut effects: Vec<Effect> = finish.follow_up.into_iter().map(Effect::Push).collect();
        if let Some(state) = state.filter(|_| finish.record) {
            let mut record = record(delivery, state, finish.span);
            record.finished_at = self.model.now;
            effects.push(Effect::Record(std::sync::Arc::new(record)));
        }
        End { run: delivery.run.clone(), ending, effects }
    }

    async fn extend(&mut self, runs: Vec<usize>, lease: Duration) {
        if self.given.is_empty() {
            return;
        }
        let runs: Vec<Run> = runs.iter().map(|which| self.given[which % self.given.len()].run.clone()).collect();
        let until = self.model.now.plus(lease);
        let expected: Vec<Held> =
            runs.iter().map(|run| if self.model.extend(run, until) { Held::Kept } else { Held::Gone }).collect();
        assert_eq!(self.backend().broker.extend(&runs, lease).await.expect("extend"), expected);
    }

    /// All that can be seen is as the model says.
    async fn compare(&self) {
        let backend = self.backend();
        let ids: Vec<TaskId> = (0..12).map(|number| id(&format!("t{number}"))).collect();
        let standings = backend.operations.get(&ids).await.expect("get");
        let records = backend.results.get(&ids).await.expect("get");
        for ((id, standing), record) in ids.iter().zip(standings).zip(records) {
            match self.model.tasks.get(id) {
                None => assert_eq!(standing, None, "{id} has left"),
                Some(task) => self.compare_task(task, here(standing)),
            }
            assert_eq!(record.as_ref(), self.model.records.get(id), "the record of {id}");
        }
        self.compare_lists().await;
        self.compare_depths().await;
    }

    fn compare_task(&self, task: &Task, seen: tasq_host::broker::Tracked) {
        assert!(task.states(self.model.now).contains(&seen.state), "{:?}: {seen:?}", task.states(self.model.now));
        assert_eq!((seen.run, seen.failed, seen.lost), (task.run, task.failed, task.lost), "{}", seen.id);
        assert_eq!((seen.enqueued_at, seen.due_at), (task.enqueued_at, task.due_at), "{}", seen.id);
        assert_eq!((&seen.history, &seen.envelope), (&task.history, &task.message.envelope), "{}", seen.id);
        let (worker, since) = match &task.stand {
            Stand::Running { worker, since, .. } => (Some(worker), Some(*since)),
            _ => (None, None),
        };
        assert_eq!((seen.worker.as_ref(), seen.started_at), (worker, since), "{}", seen.id);
    }

    async fn compare_lists(&self) {
        let filter = Filter { limit: 100, ..Filter::default() };
        let listed = self.backend().operations.list(&filter).await.expect("list");
        let listed: Vec<TaskId> = listed.into_iter().map(|standing| here(Some(standing)).id).collect();
        let unfinished = self.model.tasks.values().filter(|task| !matches!(task.stand, Stand::Dead { .. }));
        let mut expected: Vec<Cursor> =
            unfinished.map(|task| Cursor(task.enqueued_at, task.message.id.clone())).collect();
        expected.sort_by(|a, b| b.cmp(a));
        assert_eq!(listed, expected.into_iter().map(|cursor| cursor.1).collect::<Vec<_>>(), "the list");
    }

    async fn compare_depths(&self) {
        let depths = self.backend().operations.depths(Duration::from_secs(1)).await.expect("depths");
        let seen = depths.into_iter().map(|depth| {
            let waiting = depth.pending + depth.parked;
            // Dead letters whose time is over may be dropped, and counted, a moment later.
            let dead = self.dead_in(&depth.queue);
            assert!(depth.dead >= dead, "{depth:?}: {dead} dead letters are kept");
            (depth.queue.to_string(), [depth.scheduled, depth.soon, waiting, depth.running])
        });
        let mut expected: BTreeMap<String, [u64; 4]> = BTreeMap::new();
        for task in self.model.tasks.values() {
            let counts = expected.entry(task.message.queue.to_string()).or_default();
            match task.states(self.model.now)[0] {
                State::Scheduled => {
                    counts[0] += 1;
                    counts[1] += u64::from(task.due_at.since(self.model.now) <= Duration::from_secs(1));
                }
                State::Running => counts[3] += 1,
                State::Dead => {}
                _ => counts[2] += 1,
            }
        }
        // A queue that has nothing may be there or not.
        let filled = |(_, counts): &(String, [u64; 4])| counts.iter().any(|&count| count > 0);
        let seen: BTreeMap<_, _> = seen.filter(filled).collect();
        let expected: BTreeMap<_, _> = expected.into_iter().filter(filled).collect();
        assert_eq!(seen, expected, "the depths: scheduled, soon, pending or parked, running");
    }

    fn dead_in(&self, queue: &Name) -> u64 {
        let dead = |task: &&Task| task.message.queue == *queue && matches!(task.stand, Stand::Dead { .. });
        self.model.tasks.values().filter(dead).count() as u64
    }
}
