//! Is the file where, and set up so, that nothing is lost?

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::Sqlite;
use crate::backend::url::Sync;
use crate::broker::finding::Finding;
use crate::error::Result;

impl Sqlite {
    /// Reads the whole file once: a gigabyte takes seconds.
    pub(super) async fn findings(&self) -> Result<Vec<Finding>> {
        let (path, sync) = (self.path.clone(), self.sync);
        self.read(move |db, _| {
            let mut findings = vec![Finding::ok("version", format!("SQLite {}, built in", rusqlite::version()))];
            findings.extend([journal(db)?, synchronous(sync), integrity(db)?]);
            findings.extend([permissions(&path), space(&path), file_system(&path)].into_iter().flatten());
            Ok(findings)
        })
        .await
    }
}

fn journal(db: &Connection) -> Result<Finding> {
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    Ok(match mode.as_str() {
        "wal" => Finding::ok("journal", "write-ahead log"),
        other => {
            let risk = "commands and workers wait for each other, and may give up";
            Finding::warning("journal", format!("journal_mode {other}"), risk).mend("restart the workers: they set it")
        }
    })
}

fn synchronous(sync: Sync) -> Finding {
    match sync {
        Sync::Full => Finding::ok("persistence", "sync=full: on the disk before it is answered"),
        Sync::Normal => {
            let risk = "a killed process loses nothing; a machine that loses power loses the last moments";
            Finding::warning("persistence", "sync=normal", risk)
                .mend("leave ?sync=normal out of --broker, of each process")
        }
    }
}

fn integrity(db: &Connection) -> Result<Finding> {
    let answer: String = db.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    Ok(match answer.as_str() {
        "ok" => Finding::ok("integrity", "quick_check finds nothing"),
        found => {
            let found = found.lines().next().unwrap_or_default();
            Finding::danger("integrity", found, "tasks and results in damaged pages can't be read")
                .mend("stop the workers; sqlite3 FILE .recover | sqlite3 NEW, or restore a backup")
        }
    })
}

fn permissions(path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let mend = || format!("chmod 600 {0} {0}-*", path.display());
    Some(if mode & 0o002 != 0 {
        let risk = "everyone on this machine can change or remove tasks";
        Finding::danger("permissions", format!("{mode:o}"), risk).mend(mend())
    } else if mode & 0o004 != 0 {
        Finding::note("permissions", format!("{mode:o}: everyone on this machine can read payloads and results"))
            .mend(mend())
    } else {
        Finding::ok("permissions", format!("{mode:o}"))
    })
}

const FULL: u64 = 64 << 20;
const NEARLY_FULL: u64 = 1 << 30;

fn space(path: &Path) -> Option<Finding> {
    let disk = rustix::fs::statvfs(path).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let found = format!("{} free", bytesize::ByteSize(free));
    let mend = "make room, or move the file to a larger disk";
    Some(match free {
        0..FULL => Finding::danger("disk", found, "nothing more can be enqueued or ended once it is full").mend(mend),
        FULL..NEARLY_FULL => {
            Finding::warning("disk", found, "nothing can be enqueued or ended once it is full").mend(mend)
        }
        _ => Finding::ok("disk", found),
    })
}

fn file_system(path: &Path) -> Option<Finding> {
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    Some(place(u32::try_from(kind & 0xffff_ffff).unwrap_or_default()))
}

/// By the numbers of statfs(2).
fn place(kind: u32) -> Finding {
    let about = "file system";
    let remote = |name: &str| {
        let risk = "its locks can't be relied on: two processes may write at once, and damage the file";
        Finding::danger(about, format!("{name}, a network file system"), risk)
            .mend("put the file on a local disk; for several machines use redis:// or nats://")
    };
    match kind {
        0x6969 => remote("nfs"),
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => remote("smb"),
        0x0102_1997 => remote("9p"),
        0x00c3_6400 => remote("ceph"),
        0x0bd0_0bd0 => remote("lustre"),
        0x5346_414f => remote("afs"),
        0x0102_1994 => Finding::danger(about, "tmpfs", "everything is lost when the machine restarts")
            .mend("put the file on a disk"),
        0x794c_7630 => {
            Finding::warning(about, "overlayfs", "what a container writes to its own layer goes with the container")
                .mend("put the file on a volume")
        }
        0x6573_5546 => Finding::note(about, "fuse: whether its locks and syncs can be relied on is its own matter"),
        _ => Finding::ok(about, "local"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::finding::Severity;

    #[test]
    fn places_that_lose_files_are_told() {
        use Severity::{Danger, Note, Ok, Warning};
        for (kind, level) in [
            (0x6969, Danger),
            (0xff53_4d42, Danger),
            (0x0102_1994, Danger),
            (0x794c_7630, Warning),
            (0x6573_5546, Note),
            (0xef53, Ok),
        ] {
            assert_eq!(place(kind).level, level, "{kind:x}");
        }
    }

    #[test]
    fn who_may_touch_the_file_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, level) in [(0o600, Severity::Ok), (0o644, Severity::Note), (0o666, Severity::Danger)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(permissions(file.path()).unwrap().level, level, "{mode:o}");
        }
    }
}
