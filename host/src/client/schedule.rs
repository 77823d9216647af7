//! Tasks that come by the clock: kept under a name, and ticked by every worker.

use super::{Client, Enqueued, NewTask};
use crate::broker::Due;
use crate::cron::{Entry, Schedule, Source, Template};
use crate::error::{Error, Result};
use crate::schedules::Put;
use crate::task::{Name, TaskId, Timestamp};

/// A schedule as the broker keeps it.
#[derive(Clone, Debug)]
pub struct KnownSchedule {
    /// Its name.
    pub name: Name,
    /// What it says; an error where it was damaged, or written by a newer version.
    pub schedule: std::result::Result<Schedule, String>,
    /// Its next ticks, five at most, soonest first; none while it is paused.
    pub next: Vec<Timestamp>,
    /// The task of the last tick that gave one.
    pub last: Option<TaskId>,
}

/// What [`Client::sync_schedules`] changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Kept anew, or differently.
    pub changed: Vec<Name>,
    /// Removed.
    pub removed: Vec<Name>,
}

const SHOWN: usize = 5;

impl TryFrom<NewTask> for Template {
    type Error = Error;

    /// An error where the task has an id or a time of its own: each tick gives it both.
    fn try_from(new: NewTask) -> Result<Template> {
        new.check()?;
        let refused = |what| Err(Error::rejected(format!("a scheduled task: expected {what}")));
        if new.id.is_some() {
            return refused("no id of its own, found one; it is derived from the schedule's name and the time");
        }
        if new.due != Due::Now {
            return refused("no time of its own, found one; it is due when the schedule says");
        }
        let NewTask { handler, payload, queue, unique, priority, content_type, headers, options, .. } = new;
        let payload = payload.unwrap_or_default();
        Ok(Template { handler, queue, unique, priority, payload, content_type, headers, options })
    }
}

impl From<Template> for NewTask {
    fn from(template: Template) -> NewTask {
        let Template { handler, queue, unique, priority, payload, content_type, headers, options } = template;
        NewTask { queue, unique, priority, content_type, headers, options, ..NewTask::new(handler, payload) }
    }
}

impl Client {
    /// Has `task` come at these times by UTC, as `crontab(5)` writes them (`*/5 * * * *`, `@daily`), from now on: one task a
    /// tick however many workers there are, with the id `cron:<name>:<unix seconds>`. A schedule of this name is replaced;
    /// the same again changes nothing. An error of kind `Rejected` says what is wrong with the expression or the task.
    pub async fn schedule(&self, name: Name, expression: &str, task: NewTask) -> Result<Put> {
        self.put_schedule(&name, &Schedule::new(expression, task.try_into()?)?).await
    }

    /// The same with everything that a schedule can say.
    pub async fn put_schedule(&self, name: &Name, schedule: &Schedule) -> Result<Put> {
        self.backend.schedules.put(name, schedule.encode()).await
    }

    /// All schedules, by name.
    pub async fn schedules(&self) -> Result<Vec<KnownSchedule>> {
        let plans = self.backend.schedules.list().await?;
        let known = plans.plans.into_iter().map(|plan| {
            let schedule = Schedule::decode(&plan.body).map_err(|unreadable| unreadable.message);
            let ticks = schedule.as_ref().ok().filter(|schedule| !schedule.paused);
            let next = ticks.map(|schedule| {
                std::iter::successors(schedule.next(plans.now), |tick| schedule.next(*tick)).take(SHOWN).collect()
            });
            KnownSchedule { name: plan.name, schedule, next: next.unwrap_or_default(), last: plan.last }
        });
        Ok(known.collect())
    }

    /// One of them; none of that name.
    pub async fn find_schedule(&self, name: &Name) -> Result<Option<KnownSchedule>> {
        Ok(self.schedules().await?.into_iter().find(|known| known.name == *name))
    }

    /// Forgets a schedule; whether it was there. Its tasks stay.
    pub async fn unschedule(&self, name: &Name) -> Result<bool> {
        self.backend.schedules.remove(name).await
    }

    /// Enqueues a schedule's task now, beside its ticks and with an id of its own; none where there is no such schedule.
    pub async fn run_schedule(&self, name: &Name) -> Result<Option<Enqueued>> {
        match self.find_schedule(name).await? {
            None => Ok(None),
            Some(KnownSchedule { schedule: Ok(schedule), .. }) => Ok(Some(self.enqueue(schedule.task.into()).await?)),
            Some(KnownSchedule { schedule: Err(unreadable), .. }) => Err(Error::corrupt(unreadable)),
        }
    }

    /// Makes the schedules that belong to the configuration file what the file says: those that are gone from it are
    /// removed, what a command has paused stays paused, and those that no file wrote stay. An error names the entry that
    /// is wrong; then nothing was changed.
    pub async fn sync_schedules(&self, entries: &[Entry]) -> Result<Synced> {
        let mut wanted = Vec::with_capacity(entries.len());
        for entry in entries {
            let schedule = entry.schedule()?;
            let named = |bad: Error| Error { message: format!("cron {}: {}", entry.name, bad.message), ..bad };
            NewTask::from(schedule.task.clone()).check().map_err(named)?;
            if wanted.iter().any(|(name, _)| *name == entry.name) {
                return Err(Error::rejected(format!("cron {}: expected once, found twice", entry.name)));
            }
            wanted.push((entry.name.clone(), schedule));
        }
        let known = self.schedules().await?;
        let mut synced = Synced::default();
        for (name, mut schedule) in wanted {
            let before = known.iter().find(|known| known.name == name);
            schedule.paused = before.and_then(|known| known.schedule.as_ref().ok()).is_some_and(|before| before.paused);
            if self.put_schedule(&name, &schedule).await? != Put::Same {
                synced.changed.push(name);
            }
        }
        let is_gone = |known: &&KnownSchedule| {
            let is_files = known.schedule.as_ref().is_ok_and(|schedule| schedule.source == Source::File);
            is_files && !entries.iter().any(|entry| entry.name == known.name)
        };
        for gone in known.iter().filter(is_gone) {
            self.unschedule(&gone.name).await?;
            synced.removed.push(gone.name.clone());
        }
        Ok(synced)
    }
}
