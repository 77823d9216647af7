//! Plays the log as it grows, across lost connections and servers that restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::push::{Config, Messages};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures_util::StreamExt;

use super::command::{Command, Sent, Unplayable, other};
use super::compact::{self, Compaction};
use super::link::Link;
use super::replica::{Asked, Replica};
use super::sender::{Call, Outgoing};
use super::state::State;
use crate::broker::End;
use crate::error::{Error, ErrorKind, Result};
use crate::task::{Ending, Run};

/// A consumer that is silent for two of these is gone.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A new connection is noticed within this.
const TICK: Duration = Duration::from_millis(100);
/// What a process that has ended leaves on the server is gone after this.
const ABANDONED: Duration = Duration::from_secs(10);
/// Having said that the log is long, a process waits for so many messages before it says so again.
const SAID: u64 = 1_000;
/// From one failure to the next try.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Follower {
    pub(super) link: Arc<Link>,
    pub(super) replica: Arc<Replica>,
    pub(super) outgoing: Outgoing,
    /// How long the log may grow: see [`super::state::LOG`].
    pub(super) log: u64,
    /// Where in the log we last said that it is long.
    pub(super) said: AtomicU64,
}

impl Follower {
    /// Plays for ever, or until the log can't be played any further.
    pub(super) async fn follow(self) {
        loop {
            match self.play_on().await {
                Ok(()) => continue,
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    tracing::debug!(%error, "the log can't be read just now");
                }
                Err(error) => {
                    tracing::error!(%error, "the log can't be played any further");
                    self.replica.fail(error.message);
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Plays until the connection is another, or the consumer fails.
    async fn play_on(&self) -> Result<()> {
        let connects = self.link.connects();
        self.verify().await?;
        let mut messages = self.messages().await?;
        loop {
            let message = match tokio::time::timeout(TICK, messages.next()).await {
                Ok(Some(message)) => message.map_err(|e| self.link.trouble(&e))?,
                Ok(None) => return Ok(()),
                Err(_) if self.link.connects() == connects => continue,
                Err(_) => return Ok(()),
            };
            // What a new connection brings may be another log.
            if self.link.connects() != connects {
                return Ok(());
            }
            let info = message.info().map_err(|e| self.link.trouble(&e))?;
            let place = (info.stream_sequence, info.published.unix_timestamp_nanos());
            let (position, _) = self.replica.place();
            if place.0 > position + 1 {
                // Something was missed, or purged: looking at the stream tells.
                return Ok(());
            }
            if place.0 == position + 1 {
                self.play(&message.payload, place)?;
            }
        }
    }

    fn play(&self, bytes: &[u8], place: (u64, i128)) -> Result<()> {
        let sent = match Sent::decode(bytes) {
            Ok(sent) => Some(sent),
            Err(Unplayable::Foreign) => {
                tracing::error!(position = place.0, "a message in the log that is none of ours is passed over");
                None
            }
            Err(Unplayable::Other(version)) => {
                return Err(Error::corrupt(format!("{}: the log has {}", self.link.shown, other(version))));
            }
        };
        let Asked { unclaimed, is_long, compact } = self.replica.play(sent, place, self.log);
        if !unclaimed.is_empty() {
            self.give_back(unclaimed);
        }
        if !is_long {
            self.said.store(0, Ordering::Relaxed);
        } else if place.0 >= self.said.load(Ordering::Relaxed) {
            self.said.store(place.0 + SAID, Ordering::Relaxed);
            self.tell(Command::Compact);
        }
        if compact {
            Compaction::begin(self.link.clone(), self.replica.clone(), self.outgoing.clone());
        }
        Ok(())
    }

    /// What was taken for a caller that has left meanwhile was never begun.
    fn give_back(&self, runs: Vec<Run>) {
        let ending = || Ending::Release { after: Duration::ZERO };
        let ends = runs.into_iter().map(|run| End { run, ending: ending(), effects: Vec::new() }).collect();
        self.tell(Command::Settle { ends, foreign: false });
    }

    /// Without waiting for an answer. Once the handle is closed nobody sends it, and leases run out instead.
    fn tell(&self, command: Command) {
        let (number, _) = self.replica.expect();
        let _ = self.outgoing.send(Call::new(number, command));
    }

    /// Makes sure that what was played is the beginning of what is there, or begins anew.
    pub(super) async fn verify(&self) -> Result<()> {
        let (position, stamp) = self.replica.place();
        let there = match self.link.log_state().await {
            Ok(there) => there,
            Err(error) => {
                // Someone deleted it, or the server came back empty.
                self.link.create().await?;
                tracing::debug!(%error, "the log was created anew");
                self.link.log_state().await?
            }
        };
        if position == 0 || position > there.last_sequence || position < there.first_sequence {
            return self.begin(there.first_sequence).await;
        }
        match self.link.log.get_raw_message(position).await {
            Ok(message) if message.time.unix_timestamp_nanos() == stamp => Ok(()),
            Ok(_) => self.begin(there.first_sequence).await,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                self.begin(there.first_sequence).await
            }
            Err(error) => Err(self.link.trouble(&error)),
        }
    }

    /// From the last snapshot, or from an empty state where the log is whole. `first`: where the log begins.
    async fn begin(&self, first: u64) -> Result<()> {
        let (position, _) = self.replica.place();
        if position > 0 {
            tracing::warn!("the server has another log than before: what it had not kept is lost");
        }
        let (state, place) = match compact::load(&self.link, first).await? {
            Some(found) => found,
            None if first <= 1 => (State::new(), (0, 0)),
            None => {
                let found = format!("one that begins at {first}");
                return Err(Error::corrupt(format!(
                    "{}: expected a snapshot or a whole log, found {found}",
                    self.link.shown
                )));
            }
        };
        self.replica.restart(state, place);
        Ok(())
    }

    async fn messages(&self) -> Result<Messages> {
        let (position, _) = self.replica.place();
        let config = Config {
            deliver_subject: self.link.client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position + 1 },
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: ABANDONED,
            memory_storage: true,
            num_replicas: 1,
            max_deliver: 1,
            ..Config::default()
        };
        let consumer = self.link.log.create_consumer(config).await.map_err(|e| self.link.trouble(&e))?;
        consumer.messages().await.map_err(|e| self.link.trouble(&e))
    }
}
