//! Whether a page of the pool could ever be swapped out.

use std::fs;
use std::path::PathBuf;

use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, getrlimit};

/// Why no page of this process can be swapped out, or why one could.
pub(super) fn excluded() -> Result<&'static str, &'static str> {
    let Ok(swaps) = fs::read_to_string("/proc/swaps") else {
        return Err("/proc/swaps can't be read, so pages may be swapped");
    };
    if !lists_a_swap(&swaps) {
        return Ok("the machine has no swap");
    }
    if cgroup_forbids_swap() {
        return Ok("the cgroup's memory.swap.max is 0");
    }
    // Locking under a limit would make later allocations fail instead.
    if getrlimit(Resource::Memlock).current.is_none()
        && rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_ok()
    {
        return Ok("the process's memory is locked");
    }
    Err("pages of this process may be swapped out")
}

/// The table has a header line, then one line a swap.
fn lists_a_swap(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| !line.trim().is_empty())
}

fn cgroup_forbids_swap() -> bool {
    own_cgroup().is_some_and(|group| {
        group
            .ancestors()
            .take_while(|dir| dir.starts_with("/sys/fs/cgroup"))
            .any(|dir| fs::read_to_string(dir.join("memory.swap.max")).is_ok_and(|limit| limit.trim() == "0"))
    })
}

/// The folder of this process's cgroup (version 2).
pub(super) fn own_cgroup() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from("/sys/fs/cgroup").join(path))
}

#[cfg(test)]
mod tests {
    use super::lists_a_swap;

    #[test]
    fn a_swap_is_seen_behind_the_header() {
        let header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!lists_a_swap(header) && !lists_a_swap(""));
        assert!(lists_a_swap(&format!("{header}/dev/zram0 partition\t1\t0\t100\n")));
    }
}
