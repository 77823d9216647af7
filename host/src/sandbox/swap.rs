//! Whether a page of the pool could ever be swapped out.

use std::fs;

use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, getrlimit};

use super::cgroup::Cgroup;

/// Why no page of this process can be swapped out, or why one could.
pub(super) fn excluded() -> Result<&'static str, &'static str> {
    let Ok(swaps) = fs::read_to_string("/proc/swaps") else {
        return Err("/proc/swaps can't be read, so pages may be swapped");
    };
    if !lists_a_swap(&swaps) {
        return Ok("the machine has no swap");
    }
    if Cgroup::own().forbids_swap() {
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
