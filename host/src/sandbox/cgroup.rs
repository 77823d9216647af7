//! The control group that this process is in, of either version: how much memory it has, and whether it may swap.

use std::fs;
use std::path::{Path, PathBuf};

/// Its folders, each with those above it: a limit of any of them holds.
pub(super) struct Cgroup {
    /// Of version 2.
    unified: Vec<PathBuf>,
    /// Of version 1, where memory has a hierarchy of its own.
    memory: Vec<PathBuf>,
}

impl Cgroup {
    /// This process's; empty where there is none, or none that can be read.
    pub(super) fn own() -> Cgroup {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Cgroup::of(&groups, Path::new("/sys/fs/cgroup"))
    }

    /// `groups` has a line `NUMBER:CONTROLLERS:PATH` for each hierarchy. In a container the path may be one of the host's,
    /// which isn't there; what is at the top is then the container's own.
    fn of(groups: &str, root: &Path) -> Cgroup {
        let path = |is_it: fn(&str) -> bool| {
            let mut lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(":/"));
            lines.find_map(|(controllers, path)| is_it(controllers).then_some(path))
        };
        let upwards = |root: &Path, path: Option<&str>| {
            let folder = path.map(|path| root.join(path)).unwrap_or_default();
            folder.ancestors().take_while(|dir| dir.starts_with(root)).map(Path::to_owned).collect()
        };
        Cgroup {
            unified: upwards(root, path(str::is_empty)),
            memory: upwards(&root.join("memory"), path(|names| names.split(',').any(|name| name == "memory"))),
        }
    }

    /// The least of all limits, in bytes.
    pub(super) fn memory(&self) -> Option<u64> {
        let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
        let new = self.unified.iter().filter_map(|dir| number(dir.join("memory.max")));
        let old = self.memory.iter().filter_map(|dir| number(dir.join("memory.limit_in_bytes")));
        new.chain(old).min()
    }

    /// Version 1 has no such promise.
    pub(super) fn forbids_swap(&self) -> bool {
        let limit = |dir: &PathBuf| fs::read_to_string(dir.join("memory.swap.max"));
        self.unified.iter().any(|dir| limit(dir).is_ok_and(|limit| limit.trim() == "0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn the_least_limit_on_the_way_up_holds() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "a/memory.max", "300\n");
        put(root, "a/memory.swap.max", "0\n");
        put(root, "a/b/memory.max", "max\n");
        put(root, "a/b/c/memory.max", "400\n");
        let group = Cgroup::of("0::/a/b/c\n", root);
        assert_eq!((group.memory(), group.forbids_swap()), (Some(300), true));
        let group = Cgroup::of("0::/\n", root);
        assert_eq!((group.memory(), group.forbids_swap()), (None, false));
    }

    #[test]
    fn version_1_has_a_folder_for_memory() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "memory/memory.limit_in_bytes", "9223372036854771712\n");
        put(root, "memory/a/memory.limit_in_bytes", "500\n");
        put(root, "cpu/memory.limit_in_bytes", "1\n");
        let groups = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n";
        assert_eq!(Cgroup::of(groups, root).memory(), Some(500));
        // A container's path as the host sees it: what is there is what was mounted.
        put(root, "memory/memory.limit_in_bytes", "700\n");
        assert_eq!(Cgroup::of("4:memory:/docker/1\n", root).memory(), Some(700));
        assert_eq!(Cgroup::of("", root).memory(), None);
        assert!(!Cgroup::of(groups, root).forbids_swap());
    }
}
