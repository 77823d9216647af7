//! Takes in what other programs left: reads it, pushes what it asks for, and drops it then. A crash in between is made good
//! by whoever reads it next, for each parcel has its id. What can't be read becomes a dead letter with its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::runner::Runner;
use super::{Trouble, WAIT};
use crate::backend::Backend;
use crate::broker::{Due, Effect, End, Message, Standing, Tracked};
use crate::client::{Client, Work};
use crate::clock::{Clock, System};
use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::inbox::{Content, Parcel};
use crate::request;
use crate::results::{REMEMBER, RETENTION_DEAD, Record};
use crate::retry::MAX_RETRIES;
use crate::task::{
    Ending, FailedRun, Failure, FailureKind, Name, PAYLOAD, Priority, Receipt, Run, State, Task, TaskId, TaskOptions,
    Timestamp, WorkerId,
};

/// So many are taken in at once.
const BATCH: usize = 500;
/// The handler of what can't be read. Tried again, it waits for one of this name.
pub const UNREADABLE: &str = "unreadable";

/// Takes in what comes, until it is dropped.
pub(super) fn start(backend: &Backend, sandbox: Arc<dyn Runner>) -> AbortOnDropHandle<()> {
    let backend = backend.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut trouble = Trouble::default();
        loop {
            // A queue of this worker's own handlers, which may not have been announced yet.
            let own = |handler: &Name| {
                let served = sandbox.handlers();
                served.get(handler).map(|handler| handler.manifest.queue.clone().unwrap_or_else(Name::default_queue))
            };
            match take_in(&backend, own).await {
                Ok(()) => trouble.over(),
                // Nothing that is left there ends a worker.
                Err(error) => tokio::time::sleep(trouble.pause(&error)).await,
            }
        }
    }))
}

/// Waits a moment for something, and takes in what there is. An error leaves it where it is. `own`: where the tasks of a
/// handler wait that this worker has, unless they say otherwise.
pub async fn take_in(backend: &Backend, own: impl Fn(&Name) -> Option<Name>) -> Result<()> {
    let parcels = backend.inbox.read(BATCH, WAIT).await?;
    if parcels.is_empty() {
        return Ok(());
    }
    let (mut readable, mut works, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for parcel in parcels {
        match work(&parcel, &own) {
            Ok(work) => {
                readable.push(parcel);
                works.push(work);
            }
            Err(why) => bad.push((parcel, why)),
        }
    }
    let mut taken = Vec::with_capacity(readable.len());
    for (parcel, answer) in readable.into_iter().zip(enqueue(&Client::new(backend.clone()), works).await?) {
        match answer {
            Ok(()) => taken.push(parcel.ticket),
            Err(refused) => bad.push((parcel, refused.message)),
        }
    }
    backend.inbox.taken(taken).await?;
    for (parcel, why) in bad {
        let ticket = parcel.ticket.clone();
        tracing::warn!(task = %parcel.id, "what was left in the inbox goes to the dead letters: {why}");
        match bury(backend, parcel, why).await {
            Ok(()) => backend.inbox.taken(vec![ticket]).await?,
            // It stays where it is, and hinders no other.
            Err(error) if error.kind == ErrorKind::Rejected => tracing::error!("it stays in the inbox: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a parcel asks for, or why that can't be told.
fn work(parcel: &Parcel, own: impl Fn(&Name) -> Option<Name>) -> std::result::Result<Work, String> {
    let (mut work, given) = match &parcel.content {
        Content::Object { text, id } => (request::object(text)?, id.as_deref()),
        Content::Parts { handler, payload, options } => (request::named(handler, payload.clone(), options)?, None),
    };
    if let Some(id) = work.id_mut()
        && id.is_none()
    {
        let given = given.map(|given| given.parse::<TaskId>().map_err(|bad| bad.to_string())).transpose()?;
        *id = Some(given.unwrap_or_else(|| parcel.id.clone()));
    }
    for task in work.tasks_mut() {
        task.told = true;
        if task.queue.is_none() {
            task.queue = own(&task.handler);
        }
    }
    Ok(work)
}

/// Pushes each; one that the broker refuses for good hinders no other.
async fn enqueue(client: &Client, mut works: Vec<Work>) -> Result<Vec<Result<()>>> {
    if works.is_empty() {
        return Ok(Vec::new());
    }
    match client.enqueue_all(works.clone()).await {
        Ok(answers) => Ok(answers.into_iter().map(|answer| answer.map(drop)).collect()),
        Err(error) if error.kind == ErrorKind::Rejected && works.len() > 1 => {
            let rest = works.split_off(works.len() / 2);
            let mut answers = Box::pin(enqueue(client, works)).await?;
            answers.extend(Box::pin(enqueue(client, rest)).await?);
            Ok(answers)
        }
        Err(error) if error.kind == ErrorKind::Rejected => Ok(vec![Err(error)]),
        Err(error) => Err(error),
    }
}

/// Makes it a task that is never due, and ends that: after a crash in between the first step changes nothing, and the second
/// is made.
async fn bury(backend: &Backend, parcel: Parcel, why: String) -> Result<()> {
    let (message, why) = letter(parcel, why)?;
    let id = message.id.clone();
    backend.broker.push(vec![message]).await?;
    let standing = backend.operations.get(std::slice::from_ref(&id)).await?.pop().flatten();
    if let Some(Standing::Here(tracked)) = standing
        && tracked.state == State::Scheduled
        && tracked.run == 0
    {
        backend.operations.cancel(vec![end(*tracked, why)]).await?;
    }
    Ok(())
}

/// A parcel's bytes as a task, and why they are no other.
fn letter(parcel: Parcel, mut why: String) -> Result<(Message, String)> {
    let (mut payload, headers) = match parcel.content {
        Content::Object { text, .. } => (text, BTreeMap::new()),
        Content::Parts { handler, payload, options } => {
            let mut headers: BTreeMap<String, String> =
                options.into_iter().map(|(name, value)| (format!("tasq-{name}"), value)).collect();
            headers.insert("tasq-handler".into(), handler);
            (payload.unwrap_or_default(), headers)
        }
    };
    if payload.len() > PAYLOAD {
        why = format!("{why}; of its {} bytes the first {PAYLOAD} are kept", payload.len());
        payload = Bytes::copy_from_slice(&payload[..PAYLOAD]);
    }
    let handler = UNREADABLE.parse::<Name>().map_err(|bad| Error::corrupt(bad.to_string()))?;
    let task = Task {
        id: parcel.id,
        handler,
        queue: Name::default_queue(),
        priority: Priority::default(),
        payload,
        content_type: String::new(),
        headers,
        upstream: Vec::new(),
        options: TaskOptions::default(),
        chain: None,
        group: None,
    };
    Ok((codec::message(task, Due::At(Timestamp::NEVER), Some(REMEMBER)), why))
}

fn end(tracked: Tracked, why: String) -> End {
    let now = System.now().max(tracked.enqueued_at);
    let failure = Failure { kind: FailureKind::Corrupt, code: "corrupt".into(), message: why };
    let failed = FailedRun { attempt: 0, run: 0, at: now, failure: failure.clone() };
    let run = Run { queue: tracked.queue.clone(), id: tracked.id.clone(), number: 0 };
    let record = Record {
        id: tracked.id,
        handler: tracked.handler,
        queue: tracked.queue,
        priority: tracked.priority,
        state: State::Dead,
        run: 0,
        attempt: 0,
        lost: 0,
        max_retries: MAX_RETRIES,
        enqueued_at: tracked.enqueued_at,
        due_at: tracked.enqueued_at,
        started_at: now,
        finished_at: now,
        worker: WorkerId::nobody(),
        result: None,
        failure: Some(failure),
        history: vec![failed],
        receipt: Receipt::default(),
        keep: RETENTION_DEAD,
        chain: None,
        group: None,
        logs: None,
        // Nobody knows its id; and once it is on its way nobody would see its bytes.
        told: false,
    };
    let effects = vec![Effect::Record(Arc::new(record))];
    End { run, ending: Ending::Dead { keep: RETENTION_DEAD, failed: None }, effects }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Ticket;

    fn parcel(text: &str, id: Option<&str>) -> Parcel {
        let content = Content::Object { text: Bytes::copy_from_slice(text.as_bytes()), id: id.map(str::to_owned) };
        Parcel { ticket: Ticket("1".into()), id: "parcel".parse().unwrap(), content }
    }

    fn own(handler: &Name) -> Option<Name> {
        (handler.as_str() == "mine").then(|| "slow".parse().unwrap())
    }

    #[test]
    fn a_parcel_gives_its_id_to_what_has_none() {
        let id = |text: &str, given| work(&parcel(text, given), own).unwrap().id_mut().unwrap().clone().unwrap();
        assert_eq!(id(r#"{"handler":"a"}"#, None).as_str(), "parcel");
        assert_eq!(id(r#"{"handler":"a"}"#, Some("row")).as_str(), "row");
        assert_eq!(id(r#"{"handler":"a","id":"b"}"#, Some("row")).as_str(), "b");
        assert_eq!(id(r#"{"chain":[{"handler":"a"}]}"#, None).as_str(), "parcel");
        assert_eq!(id(r#"{"group":{"members":[{"handler":"a"}]}}"#, None).as_str(), "parcel");
        assert!(work(&parcel(r#"{"handler":"a"}"#, Some("no id")), own).is_err());
    }

    #[test]
    fn every_task_goes_where_its_handler_says_and_is_told() {
        let text = r#"{"group":{"members":[{"handler":"mine"},{"chain":[{"handler":"mine","queue":"q"},{"handler":"other"}]}],
            "callback":{"handler":"mine"}}}"#;
        let mut work = work(&parcel(text, None), own).unwrap();
        let tasks = work.tasks_mut();
        let queues: Vec<_> = tasks.iter().map(|task| task.queue.as_ref().map(Name::as_str)).collect();
        assert_eq!(queues, [Some("slow"), Some("q"), None, Some("slow")]);
        assert!(tasks.iter().all(|task| task.told));
    }

    #[test]
    fn what_cannot_be_read_is_kept_with_its_bytes_and_its_options() {
        let content = Content::Parts {
            handler: "No".into(),
            payload: Some(vec![7; PAYLOAD + 1].into()),
            options: vec![("queue".into(), "q".into())],
        };
        let parcel = Parcel { content, ..parcel("", None) };
        let (message, why) = letter(parcel, "bad".into()).unwrap();
        let task = codec::decode(&message.envelope).unwrap();
        assert_eq!((task.payload.len(), task.payload[0], message.due), (PAYLOAD, 7, Due::At(Timestamp::NEVER)));
        assert_eq!((task.headers["tasq-handler"].as_str(), task.headers["tasq-queue"].as_str()), ("No", "q"));
        assert_eq!(why, "bad; of its 4194305 bytes the first 4194304 are kept");
    }
}
