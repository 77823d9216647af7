//! Who waits is woken: in this process after a commit, in others through a touched file beside the database.
//! All of it is hints; whoever waits also looks once a second.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{broadcast, watch};

use super::link::{Link, Post};
use crate::broker::Signal;
use crate::error::{Error, Result};
use crate::task::TaskId;

/// So many signals are kept for a slow listener.
const SIGNALS: usize = 4_096;

/// Rings here and in other processes.
pub(super) struct Bell {
    /// Counts what may have made something runnable.
    rung: watch::Sender<u64>,
    signals: broadcast::Sender<Signal>,
    file: File,
    /// The watcher has asked the writer to look, and it hasn't looked yet.
    asked: Arc<AtomicBool>,
}

impl Bell {
    /// Opens or creates the file that is touched.
    pub(super) fn hang(path: &Path) -> Result<Bell> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(|error| Error::unavailable(format!("{} can't be opened: {error}", path.display())))?;
        let (rung, signals) = (watch::Sender::new(0), broadcast::Sender::new(SIGNALS));
        Ok(Bell { rung, signals, file, asked: Arc::default() })
    }

    /// After a commit of ours.
    pub(super) fn ring(&self, runnable: bool, signals: Vec<Signal>) {
        if runnable {
            self.rung.send_modify(|count| *count += 1);
        }
        if runnable || !signals.is_empty() {
            // A failed touch costs others up to a second.
            drop(self.file.write_at(b"\n", 0));
        }
        self.tell(signals);
    }

    /// After a commit of another process, which may have marked these as to be cancelled.
    pub(super) fn heard(&self, cancelled: impl Iterator<Item = TaskId>) {
        self.rung.send_modify(|count| *count += 1);
        self.tell([Signal::Changed]);
        self.tell(cancelled.map(Signal::Cancel));
    }

    fn tell(&self, signals: impl IntoIterator<Item = Signal>) {
        for signal in signals {
            // No listener, no matter.
            drop(self.signals.send(signal));
        }
    }

    /// The writer looks at what the watcher asked it to.
    pub(super) fn looking(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }

    /// Sees every ring from now on.
    pub(super) fn wait(&self) -> watch::Receiver<u64> {
        self.rung.subscribe()
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    /// Asks the writer to look whenever the file is touched. None where the system gives no watch (it has a limit):
    /// then other processes are heard once a second.
    pub(super) fn watch(&self, path: &Path, link: Link) -> Option<RecommendedWatcher> {
        let asked = self.asked.clone();
        let touched = move |event: notify::Result<notify::Event>| {
            let modified = event.is_ok_and(|event| matches!(event.kind, EventKind::Modify(_)));
            // Our own touches come back, too; one look is enough for all of them.
            if modified && !asked.swap(true, Ordering::SeqCst) {
                drop(link.posts.send(Post::Look));
            }
        };
        let watcher = notify::recommended_watcher(touched).and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        watcher
            .inspect_err(|error| tracing::warn!("{}: can't be watched, looking once a second: {error}", path.display()))
            .ok()
    }
}
