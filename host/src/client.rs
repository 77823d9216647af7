//! What producers do: enqueue tasks, wait for them, look at them. The command line is built on it, and Rust programs use
//! it as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::backend::{self, Backend, url::Url};
use crate::broker::{Due, Message, Standing, Unique, WorkerReport};
use crate::codec;
use crate::error::{Error, Result};
use crate::results::{Cursor, Filter, remember};
use crate::task::{Headers, Name, PAYLOAD, Priority, State, TOLD, TaskId, TaskOptions, UNIQUE_KEY, check_header};

mod cancel;
mod chain;
mod group;
mod known;
mod letters;
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
pub use schedule::{KnownSchedule, Synced};
pub use task::Task;
pub use wait::Waited;

use workers::Workers;

/// A producer's side of a backend. Clones share it.
#[derive(Clone)]
pub struct Client {
    backend: Backend,
    workers: Arc<Workers>,
}

/// A task as its producer describes it; what is left out is decided later, by the handler's manifest or the defaults.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Which handler runs it.
    pub handler: Name,
    /// The handler's input, at most [`PAYLOAD`] bytes. None is empty, and for a later step of a chain the result of the
    /// step before it.
    pub payload: Option<Bytes>,
    /// Where it waits: by default where its handler's manifest says, as live workers announce it (within a second), else
    /// `default`.
    pub queue: Option<Name>,
    /// By default a new UUIDv7. A chosen id can't be enqueued twice while it is remembered: until its task has ended,
    /// and for its retention or a day after that, whichever is longer.
    pub id: Option<TaskId>,
    /// A key of which its queue has at most one holder: where another task holds it, nothing is enqueued. Of a chain, only
    /// the first task can have one, and holds it for a time ([`Unique::hold`]).
    pub unique: Option<Unique>,
    /// When it may run.
    pub due: Due,
    /// Its share of the queue.
    pub priority: Priority,
    /// MIME type of the payload, "" for none given.
    pub content_type: String,
    /// What the handler can read beside the payload.
    pub headers: Headers,
    /// Limits, retries and retention.
    pub options: TaskOptions,
    /// Programs that know nothing of this one look for its result: see `docs/INBOX.md`.
    pub told: bool,
}

impl NewTask {
    /// Due at once, everything else undecided.
    pub fn new(handler: Name, payload: impl Into<Bytes>) -> NewTask {
        NewTask { payload: Some(payload.into()), ..NewTask::without_payload(handler) }
    }

    /// The same, with nothing to give to the handler but what the step before it in a chain may have.
    pub fn without_payload(handler: Name) -> NewTask {
        NewTask {
            handler,
            payload: None,
            queue: None,
            id: None,
            unique: None,
            due: Due::Now,
            priority: Priority::default(),
            content_type: String::new(),
            headers: Headers::new(),
            options: TaskOptions::default(),
            told: false,
        }
    }

    /// Refuses what no broker should see: a payload that is too large, a reserved id, a unique key or a header's name against
    /// the rule.
    /// [`Client::enqueue`] begins with it.
    pub fn check(&self) -> Result<()> {
        let length = self.payload.as_ref().map_or(0, Bytes::len);
        if length > PAYLOAD {
            let limit = PAYLOAD >> 20;
            return Err(Error::rejected(format!(
                "payload of {length} bytes: expected at most {PAYLOAD} ({limit} MiB)"
            )));
        }
        NewTask::check_id(self.id.as_ref())?;
        if let Some(length) = self.unique.as_ref().map(|unique| unique.key.len()).filter(|n| !UNIQUE_KEY.contains(n)) {
            return Err(Error::rejected(format!("unique key of {length} bytes: expected 1 to {}", UNIQUE_KEY.end())));
        }
        for name in self.headers.keys() {
            check_header(name).map_err(|bad| Error::rejected(bad.to_string()))?;
        }
        Ok(())
    }

    /// Its own headers and the host's.
    fn all_headers(&mut self) -> Headers {
        let mut headers = std::mem::take(&mut self.headers);
        if self.told {
            headers.insert(TOLD.into(), "1".into());
        }
        headers
    }

    fn check_id(id: Option<&TaskId>) -> Result<()> {
        match id.filter(|id| id.as_str().starts_with("cron:")) {
            None => Ok(()),
            Some(id) => Err(Error::rejected(format!(
                "id \"{id}\": expected one that does not begin with the reserved \"cron:\""
            ))),
        }
    }
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
    /// Set where no live worker has the handler: the task waits until one does.
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

/// No live worker has a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// The handler that was asked for.
    pub handler: Name,
    /// The handler with the most similar name, where one is similar.
    pub nearest: Option<Name>,
    /// How many workers live.
    pub workers: usize,
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
    pub async fn enqueue_all(&self, mut works: Vec<Work>) -> Result<Vec<Result<Enqueued>>> {
        let handlers = works.iter_mut().flat_map(Work::tasks_mut).map(|task| &task.handler);
        let workers = self.workers.with(handlers, &*self.backend.operations).await?;
        let (mut answers, mut messages) = (Vec::with_capacity(works.len()), Vec::with_capacity(works.len()));
        // Of each work, its first message: the others stand or fall with it.
        let mut firsts = Vec::with_capacity(works.len());
        let one = |(enqueued, message)| (enqueued, vec![message]);
        for work in works {
            let made = work.check().and_then(|()| match work {
                Work::Task(new) => Ok(one(task_message(*new, &workers))),
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

/// The answer, if the broker takes the message.
fn task_message(new: NewTask, workers: &[WorkerReport]) -> (Enqueued, Message) {
    let unserved = unserved(&new.handler, workers);
    let queue = queue(&new, workers);
    let message = message(new, queue.clone());
    (Enqueued { id: message.id.clone(), created: true, queue, unserved }, message)
}

/// Its own, else the handler's, as workers announce it, else `default`.
fn queue(new: &NewTask, workers: &[WorkerReport]) -> Name {
    let announced = || announced_queue(&new.handler, workers);
    new.queue.clone().or_else(announced).unwrap_or_else(Name::default_queue)
}

fn message(mut new: NewTask, queue: Name) -> Message {
    let headers = new.all_headers();
    let remember = new.id.is_some().then(|| remember(&new.options));
    let id = new.id.unwrap_or_else(TaskId::generate);
    let NewTask { handler, payload, due, priority, content_type, options, .. } = new;
    let (payload, upstream) = (payload.unwrap_or_default(), Vec::new());
    let (chain, group) = (None, None);
    let unique = new.unique;
    let task = crate::task::Task {
        id,
        handler,
        queue,
        priority,
        payload,
        content_type,
        headers,
        upstream,
        options,
        chain,
        group,
    };
    Message { unique, ..codec::message(task, due, remember) }
}

fn announced_queue(handler: &Name, workers: &[WorkerReport]) -> Option<Name> {
    let mut reports = workers.iter().flat_map(|worker| &worker.handlers);
    reports.find_map(|report| report.queue.clone().filter(|_| report.name == *handler))
}

fn unserved(handler: &Name, workers: &[WorkerReport]) -> Option<Unserved> {
    let names = || workers.iter().flat_map(|worker| &worker.handlers).map(|report| &report.name);
    if names().any(|name| name == handler) {
        return None;
    }
    let similarity = |name: &Name| strsim::jaro_winkler(name.as_str(), handler.as_str());
    let nearest = names().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    // Below this, what is nearest is merely another handler.
    let nearest = nearest.filter(|name| similarity(name) > 0.75).cloned();
    Some(Unserved { handler: handler.clone(), nearest, workers: workers.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::HandlerReport;
    use crate::error::ErrorKind;
    use crate::results::REMEMBER;
    use std::time::Duration;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn worker(handlers: &[(&str, Option<&str>)]) -> WorkerReport {
        let handlers = handlers.iter().map(|(handler, queue)| HandlerReport {
            name: name(handler),
            digest: String::new(),
            queue: queue.map(name),
            max_retries: None,
        });
        WorkerReport {
            id: "w-1".parse().unwrap(),
            queues: vec![],
            concurrency: 1,
            handlers: handlers.collect(),
            notes: Headers::new(),
        }
    }

    #[test]
    fn the_queue_that_workers_announce_is_taken() {
        let workers = [worker(&[("add", None)]), worker(&[("mail", Some("slow")), ("add", Some("sums"))])];
        assert_eq!(announced_queue(&name("add"), &workers), Some(name("sums")));
        assert_eq!(announced_queue(&name("sub"), &workers), None);
    }

    #[test]
    fn an_unknown_handler_names_the_similar_one() {
        let workers = [worker(&[("add", None), ("send-mail", None)])];
        assert_eq!(unserved(&name("add"), &workers), None);
        let nearest = |handler| unserved(&name(handler), &workers).unwrap().nearest;
        assert_eq!(nearest("ad"), Some(name("add")));
        assert_eq!(nearest("sendmail"), Some(name("send-mail")));
        assert_eq!(nearest("zip"), None);
        assert_eq!(unserved(&name("add"), &[]), Some(Unserved { handler: name("add"), nearest: None, workers: 0 }));
    }

    #[test]
    fn what_no_broker_should_see_is_refused() {
        let refusal = |new: &NewTask| {
            let error = new.check().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Rejected);
            error.message
        };
        let mut new = NewTask::new(name("add"), vec![0; PAYLOAD]);
        assert!(new.check().is_ok());
        new.payload = Some(vec![0; PAYLOAD + 1].into());
        assert_eq!(refusal(&new), "payload of 4194305 bytes: expected at most 4194304 (4 MiB)");
        new.payload = None;
        new.id = Some("cron:x:1".parse().unwrap());
        assert!(refusal(&new).contains("reserved"));
        new.id = None;
        new.headers.insert("tasq-depth".into(), "0".into());
        assert!(refusal(&new).contains("tasq-depth"));
        new.headers.clear();
        for (length, good) in [(0, false), (1, true), (256, true), (257, false)] {
            new.unique = Some(Unique { key: "k".repeat(length), hold: None });
            assert_eq!(new.check().is_ok(), good, "{length}");
        }
        assert_eq!(refusal(&new), "unique key of 257 bytes: expected 1 to 256");
    }

    #[test]
    fn chosen_ids_are_remembered_and_generated_ones_are_not() {
        let mut new = NewTask::new(name("add"), "x");
        assert_eq!(message(new.clone(), name("q")).remember, None);
        new.id = Some("a1".parse().unwrap());
        assert_eq!(message(new.clone(), name("q")).remember, Some(REMEMBER));
        new.options.retention = Some(Duration::from_secs(1));
        assert_eq!(message(new.clone(), name("q")).remember, Some(REMEMBER));
        new.options.retention = Some(REMEMBER * 3);
        assert_eq!(message(new.clone(), name("q")).remember, Some(REMEMBER * 3));
        let message = message(new, name("q"));
        assert_eq!(codec::decode(&message.envelope).unwrap().queue, name("q"));
    }
}
