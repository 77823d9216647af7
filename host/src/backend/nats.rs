//! `nats://`: a log on JetStream that every process plays, and comes to the same state.
//!
//! Every change (a push, a reserve, an end) is a command, published as a message to one stream. The server puts the
//! messages into an order and stamps them with its time; each process reads them in that order and applies them to a
//! state in its memory, which is the memory backend's. So a command is atomic with all its effects, only the holder of a
//! run can end it whoever else tries at the same moment, time is the server's, and a process that dies loses nothing
//! that was acknowledged. Whoever sent a command finds its answer when it comes to it in the log: one round trip.
//!
//! | stream | subjects | what is in it |
//! |---|---|---|
//! | `<prefix>_log` | `<prefix>.log` | [`command::Sent`], from the snapshot before the last on |
//! | `<prefix>_blobs` | `<prefix>.blobs` | payloads and results over 4 KiB, named by number |
//! | `<prefix>_inbox` | `<prefix>.inbox`, `….<handler>` | what other programs publish |
//! | `<prefix>_results` | `<prefix>.results.<id>` | what they are told of it |
//! | `<prefix>_snapshots` | `<prefix>.snapshots.head`, `….<position>.<piece>` | the last two snapshots of the state |
//!
//! What it costs: every process holds the whole state (tasks and kept results, without what is long) in memory, loads it when it opens, and
//! reads every message. What it must keep: [`command::FORMAT`] names what the commands mean; versions that differ in it
//! can't share a log, and the older one says so.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use super::Backend;
use super::url::NatsOptions;
use crate::broker::{Signal, Signals};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::inbox::HOLD;

mod blobs;
mod broker;
mod checkup;
mod command;
mod compact;
mod follow;
mod inbox;
mod link;
mod operations;
mod replica;
mod results;
mod schedules;
mod sender;
mod state;
mod store;
mod time;

use command::{Answer, Command};
use follow::Follower;
use link::Link;
use replica::Replica;
use sender::{Call, LastError, Outgoing, PERSISTENCE};
use time::Time;

/// What tests turn. Everyone else takes [`Tuning::default`].
pub struct Tuning {
    /// A clock instead of the server's; every handle of a place must have the same.
    pub clock: Option<Arc<dyn Clock>>,
    /// A snapshot is written when the log has grown by so many bytes (and by twice the last snapshot).
    pub log: u64,
    /// Payloads and results that are longer stand apart from the state.
    pub inline: usize,
    /// For how long what others left is its reader's.
    pub hold: Duration,
}

impl Default for Tuning {
    /// The server's clock, 16 MiB, 4 KiB and [`HOLD`].
    fn default() -> Tuning {
        Tuning { clock: None, log: state::LOG, inline: blobs::INLINE, hold: HOLD }
    }
}

/// Opens what `options` name, creating what is missing. Unavailable within 5 s where no server answers.
/// `foreign_results`: records go to the outbox instead of being kept here.
pub async fn open(options: &NatsOptions, tuning: Tuning, foreign_results: bool) -> Result<Backend> {
    let link = Arc::new(Link::open(options).await?);
    let sender = uuid::Uuid::now_v7().as_u64_pair().1;
    let replica = Arc::new(Replica::new(sender, Time::new(tuning.clock)));
    let (outgoing, calls) = mpsc::unbounded_channel();
    let last_error = Arc::new(LastError::default());
    let follower = Follower {
        link: link.clone(),
        replica: replica.clone(),
        outgoing: outgoing.clone(),
        log: tuning.log,
        said: Default::default(),
    };
    // What can't be read shows here, and calls under way are never begun over.
    follower.verify().await?;
    let tasks = [
        tokio::spawn(follower.follow()),
        tokio::spawn(sender::send(link.clone(), replica.clone(), calls, last_error.clone())),
    ];
    let (inline, hold) = (tuning.inline, tuning.hold);
    let nats = Arc::new(Nats { link, replica, outgoing, last_error, foreign_results, inline, hold, tasks });
    nats.catch_up().await?;
    Ok(Backend {
        broker: nats.clone(),
        signals: nats.clone(),
        operations: nats.clone(),
        results: nats.clone(),
        schedules: nats.clone(),
        store: nats.clone(),
        inbox: nats,
        foreign_results,
    })
}

/// The streams that there are once it has been opened, by name.
pub fn parts(options: &NatsOptions) -> Vec<(String, &'static str)> {
    let prefix = &options.prefix;
    vec![
        (format!("{prefix}_log"), "every change, since the snapshot before the last"),
        (format!("{prefix}_snapshots"), "all tasks and results, as they were at two places of the log"),
        (format!("{prefix}_blobs"), "payloads and results over 4 KiB"),
        (format!("{prefix}_inbox"), "what other programs published to the inbox"),
        (format!("{prefix}_results"), "what became of it, a subject per task"),
    ]
}

struct Nats {
    link: Arc<Link>,
    replica: Arc<Replica>,
    outgoing: Outgoing,
    last_error: Arc<LastError>,
    foreign_results: bool,
    inline: usize,
    hold: Duration,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Nats {
    /// Sends a command and waits until it has been played. Once polled, the command goes its way, whether anybody waits
    /// or not.
    async fn call(&self, command: Command) -> Result<Answer> {
        self.replica.check()?;
        let (number, answer) = self.replica.expect();
        if self.outgoing.send(Call::new(number, command)).is_err() {
            return Err(self.unanswered());
        }
        match tokio::time::timeout(PERSISTENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => {
                self.replica.check()?;
                Err(self.link.trouble(&"the log was lost while an answer was awaited"))
            }
            Err(_) => {
                self.replica.forget(number);
                Err(self.unanswered())
            }
        }
    }

    /// The answer doesn't fit the call: a bug in this folder.
    fn odd(&self, answer: &Answer) -> Error {
        Error::corrupt(format!("{}: the log answered something else: {answer:?}", self.link.shown))
    }

    fn unanswered(&self) -> Error {
        let last = self.last_error.lock().ok().and_then(|last| last.clone());
        self.link.trouble(&last.unwrap_or_else(|| "the server doesn't answer".into()))
    }

    /// Waits until everything that was in the log when this was called has been played.
    async fn catch_up(&self) -> Result<()> {
        let last = self.link.log_state().await?.last_sequence;
        let mut position = self.replica.position.subscribe();
        loop {
            self.replica.check()?;
            if *position.borrow_and_update() >= last {
                return Ok(());
            }
            // Loading a large state takes as long as it takes; standing still doesn't.
            match tokio::time::timeout(PERSISTENCE, position.changed()).await {
                Ok(_) => {}
                Err(_) => return Err(self.unanswered()),
            }
        }
    }
}

impl Signals for Nats {
    fn listen(&self) -> broadcast::Receiver<Signal> {
        self.replica.signals.subscribe()
    }
}

/// An idle reserve looks at least this often.
const LOOK: Duration = Duration::from_secs(1);
