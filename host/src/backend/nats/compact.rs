//! Snapshots of the state, so that the log needn't be kept from its beginning.
//!
//! Two are kept, and the log from the older one on: whoever finds the newer one damaged (a machine that lost power
//! before it was on the disk) begins with the older.

use std::sync::Arc;

use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::blobs;
use super::command::{Command, FORMAT, other};
use super::link::Link;
use super::replica::Replica;
use super::sender::{Call, Outgoing, PERSISTENCE};
use super::state::State;
use crate::error::{Error, Result};

/// The longest piece of a snapshot; less where the server takes less.
const PIECE: usize = 512 << 10;

/// What the newest snapshot is, and the one before.
#[derive(Serialize, Deserialize)]
struct Head {
    newest: Snapshot,
    previous: Option<Snapshot>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Snapshot {
    /// Which bytes they are: that of the log.
    format: u8,
    /// The last message of the log that is in it, and its stamp in ns.
    position: u64,
    stamp: i128,
    pieces: u32,
    digest: [u8; 32],
}

/// Writing one snapshot.
pub(super) struct Compaction {
    link: Arc<Link>,
    replica: Arc<Replica>,
    outgoing: Outgoing,
}

impl Compaction {
    /// Writes the state as it is at this moment, in the background.
    pub(super) fn begin(link: Arc<Link>, replica: Arc<Replica>, outgoing: Outgoing) {
        let (bytes, position) = replica.snapshot();
        let (_, stamp) = replica.place();
        let digest = Sha256::digest(&bytes).into();
        let compaction = Compaction { link, replica, outgoing };
        tokio::spawn(async move {
            if let Err(error) = compaction.sweep().await {
                tracing::warn!(%error, "payloads and results couldn't be swept; they stay until the next time");
            }
            let bytes = Bytes::from(bytes);
            let length = bytes.len() as u64;
            // Someone else begins another when this one stays away.
            match compaction.write(bytes, (position, stamp), digest).await {
                Ok(()) => {
                    let (number, _) = compaction.replica.expect();
                    let _ = compaction.outgoing.send(Call::new(number, Command::Compacted { bytes: length }));
                }
                Err(error) => tracing::warn!(%error, "a snapshot couldn't be written; the log stays as it is"),
            }
        });
    }

    /// Removes payloads and results that no state names any more.
    async fn sweep(&self) -> Result<()> {
        let below = blobs::end(&self.link).await?;
        let (number, answer) = self.replica.expect();
        let _ = self.outgoing.send(Call::new(number, Command::Sweep { below }));
        // From there on nobody can name anything that isn't named now.
        match tokio::time::timeout(PERSISTENCE, answer).await {
            Ok(Ok(_)) => {}
            _ => return Err(self.link.trouble(&"the server doesn't answer")),
        }
        let live = self.replica.look(blobs::live);
        blobs::sweep(&self.link, live, below).await
    }

    async fn write(&self, mut bytes: Bytes, (position, stamp): (u64, i128), digest: [u8; 32]) -> Result<()> {
        let link = &self.link;
        let (head, replaced) = match head(link).await? {
            Some((head, sequence)) => (Some(head), sequence),
            None => (None, 0),
        };
        if head.as_ref().is_some_and(|head| head.newest.position >= position) {
            return Ok(());
        }
        let longest = PIECE.min(link.client.max_payload().saturating_sub(1 << 10)).max(1);
        let pieces = bytes.len().div_ceil(longest) as u32;
        for piece in 0..pieces {
            let payload = bytes.split_to(longest.min(bytes.len()));
            let message = PublishMessage::build().payload(payload);
            self.publish(piece_subject(link, position, piece), message).await?;
        }
        let previous = head.as_ref().map(|head| head.newest.clone());
        let newest = Snapshot { format: FORMAT, position, stamp, pieces, digest };
        // Serialising plain data into memory has nothing that could fail.
        let payload = postcard::to_stdvec(&Head { newest, previous: previous.clone() }).expect("plain data serialises");
        // Refused where someone else, who believed us dead, was quicker.
        let message = PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(replaced);
        self.publish(head_subject(link), message).await?;
        if let Some(previous) = previous {
            let purge = link.log.purge().sequence(previous.position + 1);
            purge.await.map_err(|e| link.trouble(&e))?;
        }
        if let Some(oldest) = head.and_then(|head| head.previous) {
            let purge = link.snapshots.purge().filter(format!("{}.{}.*", link.snapshots_subject, oldest.position));
            purge.await.map_err(|e| link.trouble(&e))?;
        }
        Ok(())
    }

    async fn publish(&self, subject: String, message: PublishMessage) -> Result<()> {
        let ack = self.link.jetstream.send_publish(subject, message).await.map_err(|e| self.link.trouble(&e))?;
        ack.await.map_err(|e| self.link.trouble(&e))?;
        Ok(())
    }
}

fn head_subject(link: &Link) -> String {
    format!("{}.head", link.snapshots_subject)
}

fn piece_subject(link: &Link, position: u64, piece: u32) -> String {
    format!("{}.{position}.{piece}", link.snapshots_subject)
}

async fn last(link: &Link, subject: &str) -> Result<Option<StreamMessage>> {
    match link.snapshots.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(link.trouble(&error)),
    }
}

/// The head, and the sequence of its message.
async fn head(link: &Link) -> Result<Option<(Head, u64)>> {
    let Some(message) = last(link, &head_subject(link)).await? else { return Ok(None) };
    let head = postcard::from_bytes(&message.payload);
    let damaged = |_| Error::corrupt(format!("{}: the head of the snapshots can't be read", link.shown));
    Ok(Some((head.map_err(damaged)?, message.sequence)))
}

/// The newest snapshot that can be read and from which the log goes on, with the place where it does. `first`: where
/// the log begins.
pub(super) async fn load(link: &Link, first: u64) -> Result<Option<(State, (u64, i128))>> {
    let Some((head, _)) = head(link).await? else { return Ok(None) };
    for snapshot in [Some(head.newest), head.previous].into_iter().flatten() {
        if snapshot.format != FORMAT {
            return Err(Error::corrupt(format!("{}: the snapshot has {}", link.shown, other(snapshot.format))));
        }
        if snapshot.position + 1 < first {
            continue;
        }
        if let Some(state) = read(link, &snapshot).await? {
            return Ok(Some((state, (snapshot.position, snapshot.stamp))));
        }
        tracing::warn!(position = snapshot.position, "a snapshot is damaged; an older one will do");
    }
    Ok(None)
}

async fn read(link: &Link, snapshot: &Snapshot) -> Result<Option<State>> {
    let mut bytes = Vec::new();
    for piece in 0..snapshot.pieces {
        let Some(message) = last(link, &piece_subject(link, snapshot.position, piece)).await? else {
            return Ok(None);
        };
        bytes.extend_from_slice(&message.payload);
    }
    if snapshot.digest != *Sha256::digest(&bytes) {
        return Ok(None);
    }
    Ok(postcard::from_bytes(&bytes).ok())
}
