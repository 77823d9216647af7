//! The oracle: what a broker does, said once more with plain maps, as simply as it goes and as slow as it likes.
//!
//! Where the contract leaves a choice (which queue gives first, who waits aside), the model takes over what the backend
//! chose, after checking that it was one of the choices.

use std::collections::BTreeMap;

use tasq_host::broker::{Delivery, Due, Effect, End, HISTORY, Message, Order, Reserve, Settled, loss_delay};
use tasq_host::results::Record;
use tasq_host::task::{Ending, FailedRun, Name, Run, State, TaskId, Timestamp, WorkerId};

pub mod ops;
pub mod play;

/// All that a broker knows.
#[derive(Default)]
pub struct Model {
    /// The clock's time, set before each step.
    pub now: Timestamp,
    /// Unfinished tasks and dead letters.
    pub tasks: BTreeMap<TaskId, Task>,
    /// Until when an ended task's id is taken.
    pub tombstones: BTreeMap<TaskId, Timestamp>,
    /// Ended tasks.
    pub records: BTreeMap<TaskId, Record>,
}

/// A task as the model sees it.
pub struct Task {
    /// What was pushed.
    pub message: Message,
    /// When.
    pub enqueued_at: Timestamp,
    /// When its next or present run is due.
    pub due_at: Timestamp,
    /// Reserves so far.
    pub run: u32,
    /// Failed runs.
    pub failed: u32,
    /// Lost runs.
    pub lost: u32,
    /// The failed runs, the latest.
    pub history: Vec<FailedRun>,
    /// Where it stands.
    pub stand: Stand,
}

/// Where a task stands.
pub enum Stand {
    /// In the queue or aside. `passed`: someone looked who had no such handler, so it may count as parked.
    Waiting {
        /// See above.
        passed: bool,
    },
    /// Its worker said that it can't run it.
    Parked,
    /// With a worker.
    Running {
        /// Whose.
        worker: WorkerId,
        /// Since when.
        since: Timestamp,
        /// The lease's end.
        until: Timestamp,
    },
    /// A dead letter.
    Dead {
        /// Since when.
        since: Timestamp,
        /// Until when.
        until: Timestamp,
    },
}

impl Model {
    /// True if the message became a task.
    pub fn push(&mut self, message: &Message) -> bool {
        self.age();
        let remembered = self.tombstones.get(&message.id).is_some_and(|&until| until > self.now);
        if self.tasks.contains_key(&message.id) || remembered {
            return false;
        }
        let due_at = match message.due {
            Due::Now => self.now,
            Due::After(span) => self.now.plus(span),
            Due::At(time) => time.max(self.now),
            Due::Arrivals(_) => unreachable!("the model pushes none"),
        };
        let stand = Stand::Waiting { passed: false };
        let (run, failed, lost, history, enqueued_at) = (0, 0, 0, Vec::new(), self.now);
        let task = Task { message: message.clone(), enqueued_at, due_at, run, failed, lost, history, stand };
        self.tasks.insert(message.id.clone(), task);
        true
    }

    /// What time does by itself: dead letters fade, and, once somebody reserves, leases run out.
    pub fn age(&mut self) {
        let now = self.now;
        let faded = |task: &Task| matches!(task.stand, Stand::Dead { until, .. } if until <= now);
        let ids: Vec<TaskId> = self.tasks.iter().filter(|(_, task)| faded(task)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let Some(Task { stand: Stand::Dead { since, .. }, .. }) = self.tasks.get(&id) {
                let since = *since;
                self.bury(&id, since);
            }
        }
        self.records.retain(|_, record| record.finished_at.plus(record.keep) > now);
    }

    /// Takes back the leases that ran out.
    pub fn take_back(&mut self) {
        for task in self.tasks.values_mut() {
            if matches!(task.stand, Stand::Running { until, .. } if until <= self.now) {
                task.lost += 1;
                task.due_at = self.now.plus(loss_delay(task.lost));
                task.stand = Stand::Waiting { passed: false };
            }
        }
    }

    /// The worker has left.
    pub fn withdraw(&mut self, gone: &WorkerId) {
        for task in self.tasks.values_mut() {
            if let Stand::Running { worker, until, .. } = &mut task.stand
                && worker == gone
            {
                *until = self.now;
            }
        }
    }

    /// How many tasks `request` must be given in the end, and that `taken` is a choice it may be given.
    pub fn reserve(&mut self, request: &Reserve, taken: &[Delivery]) {
        let runnable = |handler: &Name| {
            let runnable = self.tasks.values().filter(|task| task.message.handler == *handler);
            runnable.filter(|task| self.is_due_for(task, request)).count()
        };
        let each = request.room.iter().map(|(handler, &room)| room.min(runnable(handler)));
        assert_eq!(taken.len(), request.max.min(each.sum()), "how many were given");
        for delivery in taken {
            self.take(request, delivery);
        }
        self.check_choice(request, taken);
        for task in self.tasks.values_mut() {
            let asked = request.queues.iter().any(|(queue, _)| *queue == task.message.queue);
            if let Stand::Waiting { passed } = &mut task.stand {
                *passed |= asked && !request.room.contains_key(&task.message.handler);
            }
        }
    }

    fn is_due_for(&self, task: &Task, request: &Reserve) -> bool {
        request.queues.iter().any(|(queue, _)| *queue == task.message.queue)
            && task.due_at <= self.now
            && matches!(task.stand, Stand::Waiting { .. } | Stand::Parked)
    }

    fn take(&mut self, request: &Reserve, delivery: &Delivery) {
        let found = self.tasks.get(&delivery.run.id).unwrap_or_else(|| panic!("{delivery:?} is no task"));
        assert!(self.is_due_for(found, request), "{delivery:?} wasn't to be taken");
        let now = self.now;
        let task = self.tasks.get_mut(&delivery.run.id).expect("found above");
        task.run += 1;
        let expected = Delivery {
            run: Run { queue: task.message.queue.clone(), id: task.message.id.clone(), number: task.run },
            handler: task.message.handler.clone(),
            priority: task.message.priority,
            failed: task.failed,
            lost: task.lost,
            enqueued_at: task.enqueued_at,
            due_at: task.due_at,
            reserved_at: now,
            history: task.history.clone(),
            cancelled: false,
            arrived: None,
            envelope: task.message.envelope.clone(),
        };
        assert_eq!(*delivery, expected);
        let (worker, until) = (request.worker.clone(), now.plus(request.lease));
        task.stand = Stand::Running { worker, since: now, until };
    }

    /// Nothing that was left should have come before something that was taken.
    fn check_choice(&self, request: &Reserve, taken: &[Delivery]) {
        for (handler, &room) in request.room.iter() {
            let given = taken.iter().filter(|delivery| delivery.handler == *handler).count();
            assert!(given <= room, "{given} of {handler}, room for {room}");
            let left = |task: &&Task| task.message.handler == *handler && self.is_due_for(task, request);
            for left in self.tasks.values().filter(left) {
                let message = &left.message;
                let place = |queue: &Name| request.queues.iter().position(|(name, _)| name == queue);
                for delivery in taken {
                    let same = delivery.run.queue == message.queue && delivery.priority == message.priority;
                    if same && delivery.handler == *handler {
                        assert!(delivery.due_at <= left.due_at, "{delivery:?} came before the older {message:?}");
                    }
                    if request.order == Order::Strict && given < room {
                        let (taken, left) = (
                            (place(&delivery.run.queue), delivery.priority),
                            (place(&message.queue), message.priority),
                        );
                        assert!(taken <= left, "{delivery:?} came before the more urgent {message:?}");
                    }
                }
            }
        }
    }

    /// Whether the run holds its lease; if so, it now does for longer.
    pub fn extend(&mut self, run: &Run, end: Timestamp) -> bool {
        match self.current(run).map(|task| &mut task.stand) {
            Some(Stand::Running { until, .. }) => {
                *until = end;
                true
            }
            _ => false,
        }
    }

    fn current(&mut self, run: &Run) -> Option<&mut Task> {
        let held = |task: &&mut Task| {
            let same = task.run == run.number && task.message.queue == run.queue;
            same && matches!(task.stand, Stand::Running { .. })
        };
        self.tasks.get_mut(&run.id).filter(held)
    }

    /// Ends a run.
    pub fn settle(&mut self, end: &End) -> Settled {
        let now = self.now;
        let Some(task) = self.current(&end.run) else { return Settled::Stale };
        match &end.ending {
            Ending::Done | Ending::Cancelled => self.bury(&end.run.id, now),
            Ending::Dead { keep, failed } => {
                failed.iter().for_each(|failed| task.fail(failed));
                task.stand = Stand::Dead { since: now, until: now.plus(*keep) };
            }
            Ending::Park => task.stand = Stand::Parked,
            Ending::Retry { after, failed } => {
                task.fail(failed);
                (task.due_at, task.stand) = (now.plus(*after), Stand::Waiting { passed: false });
            }
            Ending::Snooze { after } | Ending::Release { after } => {
                (task.due_at, task.stand) = (now.plus(*after), Stand::Waiting { passed: false });
            }
        }
        for effect in &end.effects {
            match effect {
                Effect::Push(message) => drop(self.push(message)),
                Effect::Record(record) => self.record(record),
                Effect::Arrive { .. } => unreachable!("the model ends none so"),
            }
        }
        Settled::Applied
    }

    fn record(&mut self, record: &Record) {
        if self.records.get(&record.id).is_none_or(|kept| kept.run < record.run) {
            self.records.insert(record.id.clone(), record.clone());
        }
    }

    fn bury(&mut self, id: &TaskId, ended_at: Timestamp) {
        if let Some(remember) = self.tasks.remove(id).and_then(|task| task.message.remember) {
            self.tombstones.insert(id.clone(), ended_at.plus(remember));
        }
    }
}

impl Task {
    fn fail(&mut self, failed: &FailedRun) {
        self.failed += 1;
        self.history.push(failed.clone());
        let surplus = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..surplus);
    }

    /// The states that it may be seen in.
    pub fn states(&self, now: Timestamp) -> &'static [State] {
        match self.stand {
            Stand::Waiting { .. } if self.due_at > now => &[State::Scheduled],
            Stand::Waiting { passed: false } => &[State::Pending],
            Stand::Waiting { passed: true } => &[State::Pending, State::Parked],
            Stand::Parked => &[State::Parked],
            Stand::Running { .. } => &[State::Running],
            Stand::Dead { .. } => &[State::Dead],
        }
    }
}
