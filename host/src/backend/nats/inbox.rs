//! What others published to `<prefix>.inbox.<handler>`, and what they are told of it.
//!
//! The inbox is a work queue stream with one durable consumer that all workers share: an unread parcel is its reader's for
//! as long as the consumer waits for an acknowledgement, and then the next reader's.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{AckPolicy, Consumer};
use async_nats::jetstream::message::PublishMessage;
use async_nats::{HeaderMap, HeaderValue};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep_until};

use super::Nats;
use super::sender::ROOM;
use crate::error::Result;
use crate::inbox::{BYTES, Content, Inbox, Parcel, Ticket, derived_id};
use crate::results::Record;
use crate::task::TaskId;

/// The consumer's name on the server.
const CONSUMER: &str = "workers";
/// So many may be handed out and not taken in yet, in all workers together.
const HANDED_OUT: i64 = 20_000;
/// How headers begin that are options; a task's own headers follow the second.
const OPTION: &str = "tasq-";
const ACK: &str = "+ACK";
/// So many are told or forgotten at once.
const AT_ONCE: usize = 100;

impl Nats {
    async fn consumer(&self) -> Result<Consumer<Config>> {
        let config = Config {
            durable_name: Some(CONSUMER.into()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.hold,
            // A parcel is handed out until it is taken.
            max_deliver: -1,
            max_ack_pending: HANDED_OUT,
            ..Config::default()
        };
        let consumer = self.link.inbox.get_or_create_consumer(CONSUMER, config).await;
        consumer.map_err(|error| self.link.trouble(&error))
    }

    /// What comes of a request; an error of the request is its end.
    async fn collect(&self, mut batch: Batch, parcels: &mut Vec<Parcel>) {
        while let Some(message) = batch.next().await {
            match message {
                Ok(message) => parcels.extend(self.parcel(&message)),
                // What is larger than there is room for, for one, comes with the next look.
                Err(error) => tracing::debug!(%error, "the inbox gives no more for now"),
            }
        }
    }

    /// None for a message that isn't JetStream's.
    fn parcel(&self, message: &Message) -> Option<Parcel> {
        let (reply, info) = (message.reply.as_ref()?, message.info().ok()?);
        let stamp = info.published.unix_timestamp_nanos();
        let millis = u64::try_from(stamp / 1_000_000).unwrap_or_default();
        let payload = message.payload.clone();
        let content = match self.link.inbox_handler(message.subject.as_str()) {
            None => Content::Object { text: payload, id: None },
            Some(handler) => {
                let options = message.headers.as_ref().map(options).unwrap_or_default();
                Content::Parts { handler: handler.to_owned(), payload: Some(payload), options }
            }
        };
        Some(Parcel {
            ticket: Ticket(reply.to_string()),
            // A stream that is made anew counts from 1 again, at another time.
            id: derived_id(millis, &[b"nats", &info.stream_sequence.to_be_bytes(), &stamp.to_be_bytes()]),
            content,
        })
    }

    /// See [`Results::tell`](crate::results::Results::tell).
    pub(super) async fn tell(&self, records: &[Arc<Record>]) -> Result<()> {
        for records in records.chunks(AT_ONCE) {
            try_join_all(records.iter().map(|record| self.tell_one(record))).await?;
        }
        Ok(())
    }

    async fn tell_one(&self, record: &Record) -> Result<()> {
        let mut headers = HeaderMap::new();
        let mut say = |name: &str, value: &str| headers.insert(name, one_line(value));
        say("Tasq-Id", record.id.as_str());
        say("Tasq-Handler", record.handler.as_str());
        say("Tasq-Queue", record.queue.as_str());
        say("Tasq-State", record.state.as_str());
        say("Tasq-Run", &record.run.to_string());
        say("Tasq-Attempt", &record.attempt.to_string());
        say("Tasq-Enqueued-At", &record.enqueued_at.0.to_string());
        say("Tasq-Finished-At", &record.finished_at.0.to_string());
        if let Some(failure) = &record.failure {
            say("Tasq-Error-Kind", failure.kind.as_str());
            say("Tasq-Error-Code", &failure.code);
            say("Tasq-Error-Message", &failure.message);
        }
        let mut payload = record.result.clone().unwrap_or_default();
        if payload.len() > self.link.client.max_payload().saturating_sub(ROOM) {
            say("Tasq-Result-Too-Large", &payload.len().to_string());
            payload = Bytes::new();
        }
        let message = PublishMessage::build().payload(payload).headers(headers);
        let subject = self.link.told_subject(&record.id);
        let ack = self.link.jetstream.send_publish(subject, message).await.map_err(|e| self.link.trouble(&e))?;
        ack.await.map_err(|e| self.link.trouble(&e))?;
        Ok(())
    }

    /// Forgets what was told of these.
    pub(super) async fn untell(&self, ids: &[TaskId]) -> Result<()> {
        for ids in ids.chunks(AT_ONCE) {
            let forget = async |id: &TaskId| {
                let purge = self.link.told.purge().filter(self.link.told_subject(id)).await;
                purge.map(drop).map_err(|e| self.link.trouble(&e))
            };
            try_join_all(ids.iter().map(forget)).await?;
        }
        Ok(())
    }
}

/// The options among a message's headers: they begin with `Tasq-`, however it is written.
fn options(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut options = Vec::new();
    for (name, values) in headers.iter() {
        let name = name.to_string().to_ascii_lowercase();
        let Some(option) = name.strip_prefix(OPTION) else { continue };
        options.extend(values.iter().map(|value| (option.to_owned(), value.to_string())));
    }
    options.sort();
    options
}

/// What a header can hold.
fn one_line(text: &str) -> HeaderValue {
    HeaderValue::from(text.replace(['\r', '\n'], " "))
}

#[async_trait]
impl Inbox for Nats {
    async fn read(&self, max: usize, wait: Duration) -> Result<Vec<Parcel>> {
        let end = Instant::now() + wait;
        let mut parcels = Vec::new();
        if max > 0 {
            let consumer = self.consumer().await?;
            // The server answers as soon as there is one.
            let first = consumer.batch().max_messages(1).expires(wait.max(SHORTEST)).messages().await;
            self.collect(first.map_err(|error| self.link.trouble(&error))?, &mut parcels).await;
            if !parcels.is_empty() && max > 1 {
                let rest = consumer.fetch().max_messages(max - 1).max_bytes(BYTES).messages().await;
                self.collect(rest.map_err(|error| self.link.trouble(&error))?, &mut parcels).await;
            }
        }
        if parcels.is_empty() {
            // Where the server answered sooner, it had a reason, and asking at once would be no better.
            sleep_until(end).await;
        }
        Ok(parcels)
    }

    async fn taken(&self, mut tickets: Vec<Ticket>) -> Result<()> {
        let Some(Ticket(last)) = tickets.pop() else { return Ok(()) };
        for Ticket(reply) in tickets {
            self.link.client.publish(reply, ACK.into()).await.map_err(|error| self.link.trouble(&error))?;
        }
        // What is answered comes after what was said before.
        let answer = self.link.client.request(last, ACK.into()).await;
        answer.map(drop).map_err(|error| self.link.trouble(&error))
    }

    async fn left(&self) -> Result<u64> {
        let consumer = self.consumer().await?;
        let info = consumer.get_info().await.map_err(|error| self.link.trouble(&error))?;
        Ok(info.num_pending + info.num_ack_pending as u64)
    }
}

/// A request that waits at all waits for so long.
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_options_however_they_are_written() {
        let mut headers = HeaderMap::new();
        headers.insert("Tasq-Max-Retries", "3");
        headers.insert("tasq-header-Trace", "t");
        headers.insert("Nats-Msg-Id", "m");
        headers.append("Tasq-Id", "a");
        headers.append("Tasq-Id", "b");
        let options = options(&headers);
        let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(options, [("header-trace", "t"), ("id", "a"), ("id", "b"), ("max-retries", "3")]);
    }
}
