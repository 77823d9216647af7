//! The way into the log: what has gathered while earlier batches are under way goes as one message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::command::{Command, Sent, append};
use super::link::{DUPLICATES, Link};
use super::replica::Replica;

/// A batch is closed when it is as long as this.
const BATCH: usize = 256 << 10;
/// The longest part of a batch that is too long for one message; less where the server takes less.
const PART: usize = 512 << 10;
/// What a message has beside its part.
const AROUND: usize = 1 << 10;
/// What a message may have beside its payload: headers, a failure among them.
pub(super) const ROOM: usize = 8 << 10;
/// Messages under way at once: few, so that batches gather when the server is slow.
const UNDER_WAY: usize = 8;
/// A message that isn't acknowledged is sent again, under the same id, for so long: well within [`DUPLICATES`].
pub(super) const PERSISTENCE: Duration = Duration::from_secs(15);
/// A message that isn't acknowledged by then is sent again.
const ACK: Duration = Duration::from_secs(2);
const _: () = assert!(PERSISTENCE.as_secs() * 4 <= DUPLICATES.as_secs());

/// Where calls are handed in, in order. Without a limit: callers wait for their answers.
pub(super) type Outgoing = mpsc::UnboundedSender<Call>;

pub(super) struct Call {
    number: u64,
    command: Command,
    /// Whoever asked has given up by then.
    until: Instant,
}

impl Call {
    pub(super) fn new(number: u64, command: Command) -> Call {
        Call { number, command, until: Instant::now() + PERSISTENCE }
    }
}

/// What goes wrong at present, for the message of a call that isn't answered.
pub(super) type LastError = Mutex<Option<String>>;

/// Sends until nobody hands in any more.
pub(super) async fn send(
    link: Arc<Link>,
    replica: Arc<Replica>,
    mut calls: mpsc::UnboundedReceiver<Call>,
    last_error: Arc<LastError>,
) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    let mut batch = 0;
    while let Some(call) = calls.recv().await {
        let Ok(permit) = under_way.clone().acquire_owned().await else { return };
        let mut until = call.until;
        let mut body = BytesMut::new();
        let mut next = Some(call);
        while let Some(call) = next {
            if call.until > Instant::now() {
                append(call.number, &call.command, &mut body);
                until = until.max(call.until);
            }
            next = if body.len() < BATCH { calls.try_recv().ok() } else { None };
        }
        if body.is_empty() {
            continue;
        }
        batch += 1;
        let messages = split(body.freeze(), batch, &link, &replica);
        let mut unacknowledged = Vec::with_capacity(messages.len());
        for message in messages {
            let ack = publish(&link, &message).await;
            unacknowledged.push((message, ack));
        }
        let (link, last_error) = (link.clone(), last_error.clone());
        tokio::spawn(async move {
            for (message, ack) in unacknowledged {
                see_through(&link, message, ack, until, &last_error).await;
            }
            drop(permit);
        });
    }
}

/// A message and the id by which the server knows it again.
struct Outbound {
    id: String,
    bytes: Bytes,
}

fn split(mut body: Bytes, batch: u64, link: &Link, replica: &Replica) -> Vec<Outbound> {
    let longest = PART.min(link.client.max_payload().saturating_sub(AROUND)).max(1);
    let of = body.len().div_ceil(longest) as u32;
    let at = replica.time.told();
    let mut part = |part| {
        let body = body.split_to(longest.min(body.len()));
        let sent = Sent { sender: replica.sender, batch, part, of, at, body };
        Outbound { id: format!("{:x}:{batch}:{part}", replica.sender), bytes: sent.encode() }
    };
    (0..of).map(&mut part).collect()
}

async fn publish(link: &Link, message: &Outbound) -> Result<PublishAckFuture, PublishError> {
    let publish = PublishMessage::build().payload(message.bytes.clone()).message_id(&message.id);
    link.jetstream.send_publish(link.log_subject.clone(), publish).await
}

/// Sends until it is acknowledged, or nobody waits for it any more.
async fn see_through(
    link: &Link,
    message: Outbound,
    mut ack: Result<PublishAckFuture, PublishError>,
    until: Instant,
    last_error: &LastError,
) {
    loop {
        let error = match ack {
            Ok(ack) => match tokio::time::timeout(ACK, ack).await {
                Ok(Ok(_)) => {
                    note(last_error, None);
                    return;
                }
                Ok(Err(error)) => describe(&error),
                Err(_) => "the server doesn't answer".to_owned(),
            },
            Err(error) => describe(&error),
        };
        note(last_error, Some(error));
        tokio::time::sleep(Duration::from_millis(100)).await;
        if Instant::now() >= until {
            return;
        }
        ack = publish(link, &message).await;
    }
}

fn describe(error: &PublishError) -> String {
    match error.kind() {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => "the server doesn't answer".into(),
        _ => error.to_string(),
    }
}

fn note(last_error: &LastError, error: Option<String>) {
    *last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
}
