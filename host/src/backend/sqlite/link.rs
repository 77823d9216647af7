//! The way from the async side to the writer thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use tokio::sync::oneshot;

use super::error::at;
use super::turn::Turn;
use crate::error::{Error, Result};

/// What the writer thread receives.
pub(super) enum Post {
    /// Work for the next transaction.
    Job(Job),
    /// Another process says that it has changed something.
    Look,
}

/// What a job does to the transaction that it ends up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Must be on disk before it is answered.
    Write,
    /// May be lost with the machine's power: whoever held a lease is gone then, too.
    Hold,
    /// Likewise, and goes last, so that it sees what the others brought.
    Claim,
}

/// Work for the writer: called with the transaction, or with the reason why there is none.
pub(super) struct Job {
    pub(super) kind: Kind,
    /// Roughly how many rows it touches.
    pub(super) rows: usize,
    pub(super) run: Box<dyn FnOnce(Begun<'_, '_>) -> Answer + Send>,
}

/// The transaction, or the reason why there is none.
pub(super) type Begun<'a, 't> = std::result::Result<&'a mut Turn<'t>, &'a Error>;

/// Called once the transaction is committed, or with the reason why it is not.
pub(super) type Answer = Box<dyn FnOnce(std::result::Result<(), &Error>)>;

/// Sends jobs to the writer thread, which ends when the last link is gone.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) posts: Sender<Post>,
    /// The file, for messages.
    pub(super) place: Arc<str>,
    /// See [`Link::receive`].
    pub(super) simulated: bool,
}

impl Link {
    /// Runs `work` in the next transaction and answers after its commit. If `work` fails, nothing of it is kept, and
    /// its neighbours in the transaction don't notice. Dropping the future doesn't take the work back.
    pub(super) async fn call<T, W>(&self, kind: Kind, rows: usize, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Turn<'_>) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(kind, rows, reply, work);
        match self.receive(answer).await {
            Some(result) => result.map_err(|error| at(&self.place, &error)),
            None => Err(Error::unavailable(format!("{}: the writer has stopped", self.place))),
        }
    }

    /// Runs `work` some time soon; nobody waits.
    pub(super) fn post<W>(&self, kind: Kind, rows: usize, work: W)
    where
        W: FnOnce(&mut Turn<'_>) -> Result<()> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        // A claim is skipped when nobody waits for it; this is none.
        drop(answer);
        self.send(kind, rows, reply, work);
    }

    fn send<T, W>(&self, kind: Kind, rows: usize, reply: oneshot::Sender<Result<T>>, work: W)
    where
        T: Send + 'static,
        W: FnOnce(&mut Turn<'_>) -> Result<T> + Send + 'static,
    {
        let run = move |turn: Begun<'_, '_>| -> Answer {
            let result = match turn {
                // Who has stopped waiting for tasks gets none.
                Ok(_) if kind == Kind::Claim && reply.is_closed() => return Box::new(|_| ()),
                Ok(turn) => turn.apart(work),
                Err(error) => Err(copy(error)),
            };
            Box::new(move |committed| {
                let result = result.and_then(|value| committed.map_err(copy).map(|()| value));
                // Where nobody listens any more the result is dropped, and a claim in it gives itself back.
                drop(reply.send(result));
            })
        };
        // A writer that is gone drops the job, and with it the reply: the caller is told.
        drop(self.posts.send(Post::Job(Job { kind, rows, run: Box::new(run) })));
    }

    /// Waits for the writer thread. A runtime with paused time would take a wait for another thread for idleness and
    /// move its clock on; it doesn't while a blocking task is under way.
    async fn receive<T: Send + 'static>(&self, answer: oneshot::Receiver<T>) -> Option<T> {
        if self.simulated {
            return tokio::task::spawn_blocking(move || answer.blocking_recv().ok()).await.ok().flatten();
        }
        answer.await.ok()
    }
}

fn copy(error: &Error) -> Error {
    Error { kind: error.kind, message: error.message.clone() }
}
