//! What others left by `RPUSH <prefix>:inbox`, and what they are told of it.
//!
//! A list can't say that it has grown without being asked: a waiting reader looks ten times a second, with one small
//! command. Nobody is inside a blocking pop, where a parcel could be lost with the connection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::cmd;
use tokio::time::{Instant, sleep_until};

use super::scripts::FAR;
use super::wire::{Answer, parse, span};
use super::{Redis, scripts};
use crate::error::Result;
use crate::inbox::{BYTES, Content, HOLD, Inbox, Parcel, Ticket};
use crate::results::{KEEP_DONE, Record};
use crate::task::TaskId;

const LOOK: Duration = Duration::from_millis(100);
/// So many are handed out in one call.
const MOST: usize = 500;
/// So many are told or forgotten at once.
const AT_ONCE: usize = 100;

/// The keys of the inbox: the second and third are made to share the first one's slot in a cluster.
struct Keys {
    list: String,
    handed_out: String,
    held: String,
}

impl Redis {
    fn inbox(&self) -> Keys {
        let list = self.layout.inbox();
        let beside = |part| format!("{}:{{{list}}}:{part}", self.layout.prefix);
        Keys { handed_out: beside("taken"), held: beside("held"), list }
    }

    fn told(&self, id: &TaskId) -> String {
        format!("{}:result:{id}", self.layout.prefix)
    }

    async fn hand_out(&self, max: usize) -> Result<Vec<Parcel>> {
        let Keys { list, handed_out, held } = self.inbox();
        let there: u64 = self.link.ask_any(cmd("EXISTS").arg(&list).arg(&handed_out)).await?;
        if there == 0 || max == 0 {
            return Ok(Vec::new());
        }
        let mut call = self.link.call(&scripts::INBOX);
        call.key(list).key(handed_out).key(held);
        let max = max.min(MOST);
        call.arg(max).arg(BYTES).arg(span(HOLD));
        for _ in 0..max {
            call.arg(TaskId::generate().as_str());
        }
        let mut answer = Answer::new(self.link.send(&call).await?)?;
        let mut parcels = Vec::new();
        while !answer.is_over() {
            let id: TaskId = parse("a parcel's id", &answer.bytes()?)?;
            let content = Content::Object { text: answer.bytes()?, id: None };
            parcels.push(Parcel { ticket: Ticket(id.to_string()), id, content });
        }
        Ok(parcels)
    }

    /// See [`Results::tell`](crate::results::Results::tell).
    pub(super) async fn tell(&self, records: &[Arc<Record>]) -> Result<()> {
        for records in records.chunks(AT_ONCE) {
            try_join_all(records.iter().map(|record| self.tell_one(record))).await?;
            self.bound(records).await?;
        }
        Ok(())
    }

    /// Of those that are told no more are kept than of records. They stand in slots of their own, so a list has their order.
    async fn bound(&self, told: &[Arc<Record>]) -> Result<()> {
        let list = self.layout.told();
        let mut push = cmd("RPUSH");
        push.arg(&list);
        for record in told {
            push.arg(record.id.as_str());
        }
        let over = self.link.ask_any::<usize>(&push).await?.saturating_sub(KEEP_DONE);
        if over > 0 {
            let oldest: Vec<String> = self.link.ask_any(cmd("LPOP").arg(&list).arg(over)).await?;
            let oldest: Vec<TaskId> = oldest.iter().filter_map(|id| id.parse().ok()).collect();
            self.untell(&oldest).await?;
        }
        Ok(())
    }

    async fn tell_one(&self, record: &Record) -> Result<()> {
        let mut call = self.link.call(&scripts::TELL);
        call.key(self.told(&record.id));
        call.arg(record.run).arg(record.finished_at.plus(record.keep).0.min(FAR));
        let (run, attempt) = (record.run.to_string(), record.attempt.to_string());
        let (enqueued_at, finished_at) = (record.enqueued_at.0.to_string(), record.finished_at.0.to_string());
        let facts = [
            ("id", record.id.as_str()),
            ("handler", record.handler.as_str()),
            ("queue", record.queue.as_str()),
            ("state", record.state.as_str()),
            ("run", run.as_str()),
            ("attempt", attempt.as_str()),
            ("enqueued_at", enqueued_at.as_str()),
            ("finished_at", finished_at.as_str()),
        ];
        for (field, value) in facts {
            call.arg(field).arg(value);
        }
        if let Some(result) = &record.result {
            call.arg("result").arg(&result[..]);
        }
        if let Some(failure) = &record.failure {
            call.arg("error_kind").arg(failure.kind.as_str()).arg("error_code").arg(&failure.code);
            call.arg("error_message").arg(&failure.message);
        }
        self.link.send(&call).await.map(drop)
    }

    /// Forgets what was told of these.
    pub(super) async fn untell(&self, ids: &[TaskId]) -> Result<()> {
        for ids in ids.chunks(AT_ONCE) {
            let forget = |id| async move { self.link.ask_any::<u64>(cmd("DEL").arg(self.told(id))).await };
            try_join_all(ids.iter().map(forget)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Inbox for Redis {
    async fn read(&self, max: usize, wait: Duration) -> Result<Vec<Parcel>> {
        let end = Instant::now() + wait;
        loop {
            let parcels = self.hand_out(max).await?;
            let next = Instant::now() + LOOK;
            if !parcels.is_empty() || next > end {
                return Ok(parcels);
            }
            sleep_until(next).await;
        }
    }

    async fn taken(&self, tickets: Vec<Ticket>) -> Result<()> {
        let Keys { handed_out, held, .. } = self.inbox();
        for tickets in tickets.chunks(MOST) {
            let (mut drop, mut release) = (cmd("HDEL"), cmd("ZREM"));
            drop.arg(&handed_out);
            release.arg(&held);
            for Ticket(id) in tickets {
                drop.arg(id);
                release.arg(id);
            }
            // In this order: one that is held and isn't there is forgotten as it is looked at.
            self.link.ask_any::<u64>(&drop).await?;
            self.link.ask_any::<u64>(&release).await?;
        }
        Ok(())
    }

    async fn left(&self) -> Result<u64> {
        let Keys { list, handed_out, .. } = self.inbox();
        let new: u64 = self.link.ask_any(cmd("LLEN").arg(list)).await?;
        Ok(new + self.link.ask_any::<u64>(cmd("HLEN").arg(handed_out)).await?)
    }
}
