//! Who lives: each worker keeps a lock on a file of its own beside the database, which the kernel frees the moment the
//! process is gone, however it went. Whoever gets the lock of a worker that holds leases knows that it is dead.
//!
//! A worker's file is locked before its first lease is committed, and only the holder of its lock deletes it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::task::WorkerId;

/// A process that looks whether we live may hold our lock for a moment.
const TRIES: usize = 25;

/// The locks of this process's workers, and the folder where all have theirs.
pub(super) struct Locks {
    folder: PathBuf,
    /// None where another handle of the same worker has the lock: it speaks for both.
    own: HashMap<String, Option<File>>,
}

impl Locks {
    /// `folder` is made when it is first needed.
    pub(super) fn new(folder: PathBuf) -> Locks {
        Locks { folder, own: HashMap::new() }
    }

    /// Locks the file of a worker of this process, if that wasn't done before.
    pub(super) fn hold(&mut self, worker: &WorkerId) -> io::Result<()> {
        let tries = match self.own.get(worker.as_str()) {
            Some(Some(_)) => return Ok(()),
            // The handle that has the lock may have let go of it since.
            Some(None) => 1,
            None => TRIES,
        };
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(worker.as_str());
        self.own.insert(worker.as_str().to_owned(), acquire(&path, tries)?);
        Ok(())
    }

    /// Frees the lock of a worker that has left.
    pub(super) fn release(&mut self, worker: &WorkerId) {
        if let Some(lock) = self.own.remove(worker.as_str()) {
            bury(&self.folder.join(worker.as_str()), lock);
        }
    }

    /// True for a worker of this process.
    pub(super) fn holds(&self, worker: &str) -> bool {
        self.own.contains_key(worker)
    }

    /// None for a worker that lives, or about which nothing can be found out.
    pub(super) fn find_dead(&self, worker: &str) -> Option<Grave> {
        // The column may hold what another program wrote: only a worker's id is a file's name.
        if self.holds(worker) || worker.parse::<WorkerId>().is_err() {
            return None;
        }
        let path = self.folder.join(worker);
        match File::open(&path) {
            Ok(file) if file.try_lock().is_ok() && still_at(&file, &path) => Some(Grave { path, file: Some(file) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Grave { path, file: None }),
            Ok(_) | Err(_) => None,
        }
    }

    /// Deletes the files of workers that died without a lease.
    pub(super) fn sweep(&self, holders: &[String]) {
        let Ok(files) = fs::read_dir(&self.folder) else { return };
        for name in files.flatten().filter_map(|file| file.file_name().into_string().ok()) {
            if !holders.contains(&name) {
                self.find_dead(&name).into_iter().for_each(Grave::close);
            }
        }
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        for (worker, lock) in self.own.drain() {
            bury(&self.folder.join(worker), lock);
        }
    }
}

/// A dead worker's file, locked, so that nobody else acts on the same death.
pub(super) struct Grave {
    path: PathBuf,
    file: Option<File>,
}

impl Grave {
    /// Deletes the file, then frees the lock.
    pub(super) fn close(self) {
        bury(&self.path, self.file);
    }
}

/// Deletes the file that `lock` is on, and only then frees it.
fn bury(path: &Path, lock: Option<File>) {
    if lock.is_some() {
        // A file that stays is found unlocked, and deleted, by whoever looks next.
        drop(fs::remove_file(path));
    }
}

/// None where another handle holds the lock for good.
fn acquire(path: &Path, tries: usize) -> io::Result<Option<File>> {
    for _ in 0..tries {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            // Someone may have deleted the file between our opening and our locking it.
            Ok(()) if still_at(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

fn still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_dead_once_its_lock_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ours, theirs) = (Locks::new(folder.path().into()), Locks::new(folder.path().into()));
        let worker = WorkerId::generate();
        ours.hold(&worker).unwrap();
        ours.hold(&worker).unwrap();
        assert!(theirs.find_dead(worker.as_str()).is_none(), "it lives");
        assert!(ours.find_dead(worker.as_str()).is_none(), "nobody buries himself");
        drop(ours);
        let grave = theirs.find_dead(worker.as_str()).expect("it is gone");
        grave.close();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_handle_of_a_worker_takes_over_the_lock_that_another_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let [mut first, mut second, others] = [(); 3].map(|()| Locks::new(folder.path().into()));
        let worker = WorkerId::generate();
        first.hold(&worker).unwrap();
        second.hold(&worker).unwrap();
        assert!(others.find_dead(worker.as_str()).is_none());
        first.release(&worker);
        second.hold(&worker).unwrap();
        assert!(others.find_dead(worker.as_str()).is_none(), "the second handle still works");
    }

    #[test]
    fn a_file_left_behind_is_taken_for_a_death_and_swept() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["w1", "w2"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let locks = Locks::new(folder.path().into());
        {
            let first = locks.find_dead("w1").expect("nobody holds it");
            assert!(locks.find_dead("w1").is_none(), "someone is at it");
            drop(first);
        }
        locks.sweep(&["w1".into()]);
        assert!(folder.path().join("w1").exists() && !folder.path().join("w2").exists());
        assert!(locks.find_dead("../w1").is_none());
    }

    #[test]
    fn a_worker_is_never_locked_on_a_deleted_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w1");
        let stale = OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
        stale.try_lock().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!still_at(&stale, &path));
        let fresh = acquire(&path, 1).unwrap().unwrap();
        assert!(still_at(&fresh, &path) && !still_at(&stale, &path));
    }
}
