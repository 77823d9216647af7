//! Keeps what a worker serves true to the handlers folder: looks again when files in it change, and at SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tasq_host::sandbox::{Loaded, Refusal, Sandbox};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::{Code, Error};
use super::output;

/// Files that are being written change many times: the folder is looked at once it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(100);

/// Follows `folder` until it is dropped; `loaded` is what the first look found.
pub(crate) fn start(sandbox: Arc<Sandbox>, folder: PathBuf, loaded: Loaded) -> Result<AbortOnDropHandle<()>, Error> {
    let failed = |error: std::io::Error| Error::new(Code::Failed, format!("SIGHUP can't be listened for: {error}"));
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let (changed, mut changes) = mpsc::channel(1);
    // Watched before the first look is told of: what changes from here on is seen.
    let mut _watcher = watch(&folder, changed.clone());
    let mut told = Vec::new();
    tell(&loaded, &mut told, Telling::First);
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        // One look in any case: the folder may have changed between the first and the watch.
        let _ = changed.try_send(());
        loop {
            tokio::select! {
                Some(()) = changes.recv() => while tokio::time::timeout(QUIET, changes.recv()).await.is_ok() {},
                Some(()) = hangup.recv() => {
                    // The folder may be another one by now, which the old watch doesn't see.
                    _watcher = watch(&folder, changed.clone());
                }
            }
            let (here, place) = (sandbox.clone(), folder.clone());
            match tokio::task::spawn_blocking(move || here.load_folder(&place)).await {
                Ok(Ok(loaded)) => tell(&loaded, &mut told, Telling::Again),
                Ok(Err(error)) => tracing::warn!("handlers {}: {error}; what was loaded serves on", folder.display()),
                Err(panic) => tracing::error!("a bug in tasq-host: {panic}"),
            }
        }
    })))
}

/// None where the system has no watch left to give: then only SIGHUP makes us look.
fn watch(folder: &Path, changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let send = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_reading(event.kind)) {
            return;
        }
        // A full channel means that a look is due already.
        let _ = changed.try_send(());
    };
    let watching = notify::recommended_watcher(send).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(|error| {
            tracing::warn!("handlers {}: not watched ({error}); send SIGHUP after a change", folder.display());
        })
        .ok()
}

/// Our own looks are seen by the watch as well.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    First,
    Again,
}

/// Says what is new; a file that is refused for the same reason as before is not told of again.
fn tell(loaded: &Loaded, told: &mut Vec<Refusal>, telling: Telling) {
    if telling == Telling::Again {
        for name in &loaded.changed {
            tracing::info!("handler {name} is new; runs in progress finish on the version they began with");
        }
        for name in &loaded.removed {
            tracing::info!("handler {name} is gone; its tasks wait, parked");
        }
    }
    for refusal in loaded.refused.iter().filter(|refusal| !told.contains(refusal)) {
        let hint = refusal.hint.as_deref().map(output::one_line);
        tracing::warn!(hint, "{}; not served", output::one_line(&refusal.to_string()));
    }
    *told = loaded.refused.clone();
}
