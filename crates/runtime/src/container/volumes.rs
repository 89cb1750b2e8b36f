//! Volumes that are directories of another task's container, which this task is within.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::stat::{SFlag, fstat};

use super::Root;
use crate::error::{Context, Result};
use crate::order::{Order, container_data, volume_data};
use crate::overlay::root_of;

/// Makes what the path leads to in the outer task's root, a directory where there is nothing, available beside
/// this task's own volumes, and says where. The outer task may change its links meanwhile: what was found is
/// held by a descriptor, and that is mounted.
pub(super) fn of_outer(order: &Order, index: usize, path: &Path) -> Result<PathBuf> {
    let failed = || format!("the volume `{}` cannot be mounted", path.display());
    let outer = order.spec.within.as_ref();
    let outer = outer.ok_or("its task is within none").context(failed)?;
    let base = volume_data(&order.data, index);
    // Where a root would be, so that it is unmounted as one.
    let place = root_of(&base);
    if place.exists() {
        return Ok(place);
    }
    fs::create_dir_all(&base).context(failed)?;
    let root = root_of(&container_data(&order.data.with_file_name(outer), 0));
    let root = Root::open(&root)?;
    let found = root.mount_point(path, !root.has(path))?;
    let mounted = mount_at(&found, &place).context(failed);
    if mounted.is_err() {
        let _ = fs::remove_dir(&place).or_else(|_| fs::remove_file(&place));
    }
    mounted.map(|()| place)
}

fn mount_at(found: &OwnedFd, place: &Path) -> std::io::Result<()> {
    let kind = SFlag::from_bits_truncate(fstat(found)?.st_mode & SFlag::S_IFMT.bits());
    match kind {
        SFlag::S_IFDIR => fs::create_dir(place)?,
        _ => drop(fs::File::create(place)?),
    }
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    let none = None::<&str>;
    Ok(mount(
        Some(source.as_str()),
        place,
        none,
        MsFlags::MS_BIND,
        none,
    )?)
}
