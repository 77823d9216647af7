//! What producers do: enqueue tasks, wait for them, look at them. The command line is built on it, and Rust programs use
//! it as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::backend::{self, Backend, url::Url};
use crate::broker::Standing;
use crate::error::{Error, Result};
use crate::results::{Cursor, Filter};
use crate::task::{Name, State, TaskId};

mod cancel;
mod chain;
mod group;
mod known;
mod letters;
mod new;
mod queues;
mod schedule;
mod task;
mod wait;
mod workers;

pub use cancel::Cancelled;
pub use chain::KnownChain;
pub use group::{KnownGroup, NewGroup, NewMember};
pub use known::{Known, Shown};
pub use letters::{Deleted, Retried};
pub use new::NewTask;
pub use schedule::{KnownSchedule, Synced};
pub use task::Task;
pub use wait::Waited;
pub use workers::Unserved;

use workers::Workers;

/// A producer's side of a backend. Clones share it.
#[derive(Clone)]
pub struct Client {
    backend: Backend,
    workers: Arc<Workers>,
}

/// The answer to an enqueued task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The task that holds the id, or the unique key.
    pub id: TaskId,
    /// False where the id was there before, or is remembered, or another task holds the unique key: nothing was enqueued.
    pub created: bool,
    /// Where it was meant to wait.
    pub queue: Name,
    /// Set where no live worker has the handler, as far as they told within the last second: the task waits until one does.
    pub unserved: Option<Unserved>,
}

/// What can be enqueued.
#[derive(Clone, Debug)]
pub enum Work {
    /// One task.
    Task(Box<NewTask>),
    /// Tasks that follow one another: see [`Client::chain`].
    Chain(Vec<NewTask>),
    /// Tasks side by side: see [`Client::group`].
    Group(Box<NewGroup>),
}

impl Work {
    /// Refuses what no broker should see, as [`NewTask::check`]. [`Client::enqueue_all`] begins with it.
    pub fn check(&self) -> Result<()> {
        match self {
            Work::Task(new) => new.check(),
            Work::Chain(tasks) => chain::check(tasks),
            Work::Group(group) => group.check(),
        }
    }

    /// Every task in it.
    pub fn tasks_mut(&mut self) -> Vec<&mut NewTask> {
        match self {
            Work::Task(task) => vec![task],
            Work::Chain(tasks) => tasks.iter_mut().collect(),
            Work::Group(group) => group.tasks_mut(),
        }
    }

    /// Its id; none where it has no task.
    pub fn id_mut(&mut self) -> Option<&mut Option<TaskId>> {
        match self {
            Work::Task(task) => Some(&mut task.id),
            Work::Chain(tasks) => tasks.first_mut().map(|first| &mut first.id),
            Work::Group(group) => Some(&mut group.id),
        }
    }
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Newest first.
    pub tasks: Vec<Known>,
    /// Where the next page begins; none after the last.
    pub next: Option<Cursor>,
}

impl Client {
    /// Opens the broker, and the results where they live elsewhere.
    pub async fn open(broker: &Url, results: Option<&Url>) -> Result<Client> {
        Ok(Client::new(backend::open(broker, results).await?))
    }

    /// A client of a backend that is open already.
    pub fn new(backend: Backend) -> Client {
        Client { backend, workers: Arc::default() }
    }

    /// Enqueues one task; what is answered is durable. An error of kind `Rejected` names what the task got wrong.
    /// Dropping the future leaves open whether the task was enqueued: a chosen id makes it safe to try again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> tasq_host::error::Result<()> {
    /// use tasq_host::{Client, Task};
    ///
    /// let client = Client::open(&"memory:".parse().expect("a URL"), None).await?;
    /// let task = Task::new("add", r#"{"arg1":5,"arg2":4}"#).queue("sums").max_retries(5);
    /// let enqueued = client.enqueue(task).await?;
    /// assert!(enqueued.created);
    /// assert_eq!(client.result(&enqueued.id).await?, None, "no worker has run it yet");
    /// client.cancel(&[enqueued.id]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue(&self, new: impl TryInto<NewTask, Error: Into<Error>>) -> Result<Enqueued> {
        let new = new.try_into().map_err(Into::into)?;
        self.enqueue_one(Work::Task(Box::new(new))).await
    }

    async fn enqueue_one(&self, work: Work) -> Result<Enqueued> {
        let enqueued = self.enqueue_all(vec![work]).await?.pop();
        enqueued.ok_or_else(|| Error::corrupt("the broker gave no answer to an enqueued task"))?
    }

    /// Enqueues what can be, in one call, and answers in order; what can't be has an error of kind `Rejected`, and hinders
    /// no other. An error of the whole is the broker's, and leaves open which of them were enqueued, as dropping the
    /// future does.
    pub async fn enqueue_all(&self, works: Vec<Work>) -> Result<Vec<Result<Enqueued>>> {
        let workers = self.workers.known(&*self.backend.operations).await?;
        let (mut answers, mut messages) = (Vec::with_capacity(works.len()), Vec::with_capacity(works.len()));
        // Of each work, its first message: the others stand or fall with it.
        let mut firsts = Vec::with_capacity(works.len());
        let one = |(enqueued, message)| (enqueued, vec![message]);
        for work in works {
            let made = work.check().and_then(|()| match work {
                Work::Task(new) => Ok(one(new::message(*new, &workers))),
                Work::Chain(tasks) => chain::message(tasks, &workers).map(one),
                Work::Group(group) => group::messages(*group, &workers),
            });
            answers.push(made.map(|(enqueued, batch)| {
                firsts.push(messages.len());
                messages.extend(batch);
                enqueued
            }));
        }
        if messages.is_empty() {
            return Ok(answers);
        }
        let sent: Vec<TaskId> = messages.iter().map(|message| message.id.clone()).collect();
        let pushed = self.backend.broker.push(messages).await?;
        for (enqueued, first) in answers.iter_mut().flatten().zip(firsts) {
            let pushed = sent.get(first).cloned().zip(pushed.get(first).cloned());
            let (sent, pushed) =
                pushed.ok_or_else(|| Error::corrupt("the broker gave no answer to an enqueued task"))?;
            enqueued.created = pushed.created;
            if pushed.id != sent {
                // Another task holds the unique key; where a chain was to take it, most likely another chain.
                let is_chain = enqueued.id != sent;
                enqueued.id = if is_chain { chain::holder(pushed.id) } else { pushed.id };
            }
        }
        Ok(answers)
    }

    /// Everything that is known of a task, a chain or a group; none for one that was never enqueued, or is forgotten.
    pub async fn show(&self, id: &TaskId) -> Result<Option<Shown>> {
        Ok(self.show_all(std::slice::from_ref(id)).await?.pop().flatten())
    }

    /// [`Client::show`] for many; one answer per id, in order.
    pub async fn show_all(&self, ids: &[TaskId]) -> Result<Vec<Option<Shown>>> {
        let mut all = Vec::with_capacity(ids.len());
        for (id, known) in ids.iter().zip(self.known(ids).await?) {
            if let Some(known) = known {
                all.push(Some(Shown::Task(known)));
            } else if let Some(chain) = self.known_chain(id).await? {
                all.push(Some(Shown::Chain(chain)));
            } else {
                all.push(self.known_group(id).await?.map(|group| Shown::Group(Box::new(group))));
            }
        }
        Ok(all)
    }

    /// What a task returned that succeeded, as long as that is kept; of a chain its last step, of a group its callback. None
    /// for any other, and for one that is unknown: [`Client::wait`] and [`Client::show`] tell which it is.
    pub async fn result(&self, id: &TaskId) -> Result<Option<Bytes>> {
        let shown = self.show(id).await?.filter(|shown| shown.state() == State::Done);
        Ok(shown.and_then(|shown| shown.record()?.result.clone()))
    }

    /// Unfinished and ended tasks, newest first. A task that ends meanwhile is listed once, as ended.
    pub async fn list(&self, filter: &Filter) -> Result<Page> {
        // One more than asked for tells whether there is a next page.
        let more = Filter { limit: filter.limit.saturating_add(1), ..filter.clone() };
        let standings = self.backend.operations.list(&more).await?;
        let records = self.backend.results.list(&more).await?;
        let mut found: BTreeMap<Cursor, Known> = BTreeMap::new();
        for standing in standings {
            let known = match standing {
                Standing::Here(tracked) => Known::Held(tracked),
                Standing::Leaving(record) => Known::Ended(record, None),
            };
            found.insert(known.place(), known);
        }
        for record in records {
            let place = Cursor(record.enqueued_at, record.id.clone());
            let held = match found.remove(&place) {
                Some(Known::Held(held)) => Some(held),
                _ => None,
            };
            found.insert(place, Known::Ended(Arc::new(record), held));
        }
        let mut tasks: Vec<Known> = found.into_values().rev().collect();
        let cut = tasks.len() > filter.limit;
        tasks.truncate(filter.limit);
        let next = tasks.last().filter(|_| cut).map(Known::place);
        Ok(Page { tasks, next })
    }
}
