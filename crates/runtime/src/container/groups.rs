//! The control groups that a container sees: its own, where programs look for them, read-only.
//!
//! They are bind mounts of its groups' directories. A mount of the file system itself would share the
//! machine's, and on cgroup v1 one that is read-only for the container comes up writable.

use std::path::Path;

use serde_json::Value;

use super::bundle::{bind, mount};
use crate::cgroup::{CGROUP_ROOT, Hierarchy, TaskCgroup};
use crate::error::Result;
use crate::order::Order;

/// What is mounted where control groups are looked for. The groups are made if they are not there yet:
/// `libcontainer` finds them.
pub(super) fn mounts(order: &Order, index: usize) -> Result<Vec<Value>> {
    let hierarchy = Hierarchy::detect()?;
    let read_only = !order.spec.containers[index].privileged;
    let group = TaskCgroup::new(&order.cgroup)?.make_child(&super::container_id(index))?;
    let here = Path::new(CGROUP_ROOT);
    let Hierarchy::Split { trees } = hierarchy else {
        return Ok(vec![bind(&here.join(group), here, read_only)]);
    };
    // A directory for each tree's.
    let options = ["nosuid", "noexec", "nodev", "mode=755", "size=64k"];
    let mut mounts = vec![mount(CGROUP_ROOT, "tmpfs", &options)];
    for (_, tree) in trees {
        mounts.push(bind(&tree.join(&group), &tree, read_only));
    }
    Ok(mounts)
}

/// What is made read-only once everything is mounted below it.
pub(super) fn read_only_paths() -> Result<Option<&'static str>> {
    let is_split = matches!(Hierarchy::detect()?, Hierarchy::Split { .. });
    Ok(is_split.then_some(CGROUP_ROOT))
}
