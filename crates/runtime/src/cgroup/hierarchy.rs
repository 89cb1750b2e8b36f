//! Where the host's control group trees are mounted.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Failure, Result};

/// Below it are all trees that are looked at: `libcontainer` looks here too.
pub(crate) const CGROUP_ROOT: &str = "/sys/fs/cgroup";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// cgroup v2.
    Unified { root: PathBuf },
    /// cgroup v1: the controllers of each tree, and where it is mounted.
    Split { trees: Vec<(Vec<String>, PathBuf)> },
}

impl Hierarchy {
    pub fn detect() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo")
            .context(|| "could not read `/proc/thread-self/mountinfo`".to_owned())?;
        Self::parse(&mounts)
    }

    fn parse(mounts: &str) -> Result<Self> {
        let mut trees = Vec::new();
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else {
                continue;
            };
            let Some(mount_point) = before.split(' ').nth(4) else {
                continue;
            };
            let mut after = after.split(' ');
            match after.next() {
                Some("cgroup2") if mount_point == CGROUP_ROOT => {
                    return Ok(Self::Unified {
                        root: PathBuf::from(CGROUP_ROOT),
                    });
                }
                Some("cgroup") if mount_point.starts_with(CGROUP_ROOT) => {
                    let options = after.nth(1).unwrap_or("").split(',');
                    let controllers = options.map(str::to_owned).collect();
                    trees.push((controllers, PathBuf::from(mount_point)));
                }
                _ => {}
            }
        }
        // Named trees (`name=systemd`) hold no controller and are left to their owner.
        trees.retain(|(options, _): &(Vec<String>, _)| {
            !options.iter().any(|option| option.starts_with("name="))
        });
        if trees.is_empty() {
            return Err(Failure(format!(
                "no cgroups are mounted on `{CGROUP_ROOT}`"
            )));
        }
        Ok(Self::Split { trees })
    }

    pub fn roots(&self) -> Box<dyn Iterator<Item = &Path> + '_> {
        match self {
            Self::Unified { root } => Box::new(std::iter::once(root.as_path())),
            Self::Split { trees } => Box::new(trees.iter().map(|(_, path)| path.as_path())),
        }
    }

    pub fn root_of(&self, controller: &str) -> Option<&Path> {
        match self {
            Self::Unified { root } => Some(root),
            Self::Split { trees } => trees
                .iter()
                .find(|(options, _)| options.iter().any(|option| option == controller))
                .map(|(_, path)| path.as_path()),
        }
    }

    /// Whether the kernel keeps containers from devices by control groups. On v2 that would take
    /// an eBPF program, which is not there yet.
    pub fn guards_devices(&self) -> bool {
        matches!(self, Self::Split { .. }) && self.root_of("devices").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unified_hosts_have_one_tree() {
        let mounts =
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let hierarchy = Hierarchy::parse(mounts).unwrap();
        assert_eq!(
            hierarchy.root_of("memory"),
            Some(Path::new("/sys/fs/cgroup"))
        );
        assert!(!hierarchy.guards_devices());
    }

    #[test]
    fn hybrid_hosts_have_a_tree_for_each_controller() {
        let mounts = "\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
        let hierarchy = Hierarchy::parse(mounts).unwrap();
        let both = Path::new("/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(hierarchy.root_of("cpu"), Some(both));
        assert_eq!(hierarchy.root_of("cpuacct"), Some(both));
        assert_eq!(hierarchy.root_of("memory"), None);
        assert_eq!(hierarchy.roots().count(), 2);
        assert!(hierarchy.guards_devices());
    }

    #[test]
    fn a_host_without_cgroups_is_refused() {
        assert!(Hierarchy::parse("").is_err());
    }
}
