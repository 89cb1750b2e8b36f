//! Where in a container something may be mounted. What the kernel says of itself (`/proc`, `/sys`) is
//! not to be covered or lied about, and the devices that are made in `/dev` must be made there and
//! not in somebody's volume.
//!
//! An image may name such a place by links, so a destination is looked at twice: as it was written,
//! and as it is found in the image.

use std::path::{Component, Path, PathBuf};

use super::Root;
use crate::error::{Failure, Result};

/// Nothing is mounted at these or below them.
const KERNEL: [&str; 2] = ["/proc", "/sys"];
/// Nothing is mounted at these: they are set up for every container.
const DEVICES: [&str; 15] = [
    "/dev",
    "/dev/console",
    "/dev/core",
    "/dev/fd",
    "/dev/full",
    "/dev/null",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/random",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// Refuses a place, as far as it can be told from its name: before there is a root to look into.
pub(crate) fn check_name(path: &Path) -> Result<()> {
    refuse_if(path, reserved(&plain(path), Path::to_owned))
}

/// Refuses a place by its name or because the image's links lead to a refused one from it. The
/// refused places may be links, too.
pub(crate) fn check(root: &Root, path: &Path) -> Result<()> {
    check_name(path)?;
    let found = root.leads_to(path)?;
    refuse_if(path, reserved(&found, Path::to_owned))?;
    let in_image = |place: &Path| root.leads_to(place).unwrap_or_else(|_| place.to_owned());
    refuse_if(path, reserved(&found, in_image))
}

fn refuse_if(path: &Path, place: Option<&'static str>) -> Result<()> {
    match place {
        None => Ok(()),
        Some(place) => Err(Failure(format!(
            "nothing can be mounted at `{}`: `{place}` is the container's own",
            path.display()
        ))),
    }
}

/// Which of the reserved places this is; `found` says where each of them is.
fn reserved(path: &Path, found: impl Fn(&Path) -> PathBuf) -> Option<&'static str> {
    if path == Path::new("/") {
        return Some("/");
    }
    let kernel = KERNEL.into_iter().find(|place| {
        let place = found(Path::new(place));
        path.starts_with(&place) || place.starts_with(path)
    });
    kernel.or_else(|| {
        let mut devices = DEVICES.into_iter();
        devices.find(|place| path == found(Path::new(place)))
    })
}

/// The path from the root on, without `.` and `..`, which is what names alone say.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn reserved_places_are_refused_by_any_name() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path();
        for name in ["proc", "sys", "dev", "data", "real-sys"] {
            std::fs::create_dir(image.join(name)).unwrap();
        }
        symlink("/proc", image.join("data/link")).unwrap();
        symlink("../proc/../sys", image.join("data/other")).unwrap();
        symlink("/dev/null", image.join("data/nothing")).unwrap();
        symlink("/sys/kernel/debug", image.join("data/dangling")).unwrap();
        symlink("loop", image.join("data/loop")).unwrap();
        std::fs::write(image.join("dev/null"), "").unwrap();
        let root = Root::open(image).unwrap();
        for path in [
            "/",
            "/..",
            "relative/../..",
            "/proc",
            "/proc/sys/kernel",
            "/x/../proc",
            "//proc/./",
            "/sys",
            "/sys/fs/cgroup",
            "/dev",
            "/dev/null",
            "/dev/pts",
            "/data/link",
            "/data/link/self/fd",
            "/data/other/kernel",
            "/data/nothing",
            "/data/dangling",
            "/data/dangling/below",
            "/data/loop",
        ] {
            assert!(check(&root, Path::new(path)).is_err(), "{path}");
        }
        for path in [
            "/data",
            "/data/new/deep",
            "/procedure",
            "/dev/shm",
            "/dev/net",
            "/home",
        ] {
            check(&root, Path::new(path)).unwrap();
        }
    }

    #[test]
    fn a_place_is_refused_where_the_image_s_own_link_puts_the_reserved_one() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path();
        std::fs::create_dir(image.join("elsewhere")).unwrap();
        symlink("elsewhere", image.join("dev")).unwrap();
        symlink("elsewhere", image.join("sys")).unwrap();
        let root = Root::open(image).unwrap();
        let error = check(&root, Path::new("/elsewhere")).unwrap_err();
        assert!(error.0.contains("nothing can be mounted at `/elsewhere`"));
    }
}
