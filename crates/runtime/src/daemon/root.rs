//! Looking into the file system of a container, whether it runs or not.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use engine::{EngineError, Result, RootMount, RootOf};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use super::{Inner, blocking, make_private_directory};
use crate::container::{Root, destination};
use crate::error::{Context, Failure};
use crate::identity::fresh_cookie;
use crate::order::work_beside;
use crate::overlay::Overlay;

/// Roots that are being looked into, by the directory that keeps their changes: two overlays over
/// one would not know of each other.
#[derive(Default)]
pub(super) struct Roots(Mutex<HashMap<PathBuf, Mounted>>);

struct Mounted {
    root: Weak<OwnedFd>,
    mounts: Vec<RootMount>,
}

/// See [`engine::Tasks::root`].
pub(super) async fn root(inner: &Arc<Inner>, of: RootOf) -> Result<Arc<OwnedFd>> {
    match of {
        RootOf::Container { task, container } => {
            let pid = inner.expect_running(&task, &container)?;
            let group = inner.group_of(&task);
            running(pid, &group).map(Arc::new)
        }
        RootOf::Layers {
            directories,
            upper,
            mounts,
        } => {
            let inner = inner.clone();
            blocking(move || Ok(mounted(&inner, &directories, upper, mounts))).await?
        }
    }
}

fn running(pid: i32, group: &Path) -> Result<OwnedFd> {
    let gone = |_| EngineError::not_found("the container has just ended");
    let process = File::open(format!("/proc/{pid}")).map_err(gone)?;
    let flags = OFlag::O_CLOEXEC;
    let open = |name: &str, flags| {
        openat(&process, name, flags, Mode::empty()).map_err(std::io::Error::from)
    };
    let root = open("root", flags | OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(gone)?;
    // The number may have been given to another process since.
    let mut groups = String::new();
    let groups_file = open("cgroup", flags | OFlag::O_RDONLY).map_err(gone)?;
    let _ = File::from(groups_file).read_to_string(&mut groups);
    if !groups.contains(&format!("/{}/", group.display())) {
        return Err(gone(std::io::ErrorKind::NotFound.into()));
    }
    Ok(root)
}

fn mounted(
    inner: &Inner,
    directories: &[PathBuf],
    upper: PathBuf,
    mounts: Vec<RootMount>,
) -> Result<Arc<OwnedFd>> {
    if !upper.is_absolute() || upper.file_name().is_none() || !upper.is_dir() {
        let message = format!("the directory `{}` is missing", upper.display());
        return Err(EngineError::not_found(message));
    }
    // Held while it is mounted, so that the second who asks gets the first one's.
    let mut roots = inner.roots.0.lock().expect("no holder panics");
    roots.retain(|_, it| it.root.strong_count() > 0);
    if let Some(there) = roots.get(&upper)
        && let Some(root) = there.root.upgrade()
    {
        return match there.mounts == mounts {
            true => Ok(root),
            false => Err(EngineError::conflict(
                "the container's files are being read by somebody else: try again",
            )),
        };
    }
    // A daemon that dies leaves it; the next one removes it, as what is left of an unknown task.
    let data = inner
        .data_directory
        .join(format!("root-{}", fresh_cookie()?));
    make_private_directory(&data)?;
    let overlay = Overlay::keeping_well(data.join("0"), upper.clone(), work_beside(&upper));
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| mount_apart(&overlay, directories, &mounts));
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let _ = std::fs::remove_dir_all(&data);
    let root = Arc::new(made?);
    let there = Mounted {
        root: Arc::downgrade(&root),
        mounts,
    };
    roots.insert(upper, there);
    Ok(root)
}

/// Mounts in a mount namespace that ends with the calling thread, which is left with a copy of the
/// mounts that is nowhere, and ends with its descriptor.
fn mount_apart(
    overlay: &Overlay,
    directories: &[PathBuf],
    mounts: &[RootMount],
) -> crate::error::Result<OwnedFd> {
    crate::mounts::leave_namespace()?;
    let root = overlay.mount(directories)?;
    for it in mounts {
        bind_within(&root, it)?;
    }
    let directory = File::open(&root).context(|| format!("could not open `{}`", root.display()))?;
    let recursive = libc::AT_RECURSIVE as libc::c_uint;
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | libc::AT_EMPTY_PATH as libc::c_uint
        | recursive;
    // SAFETY: the path ends with a zero; a result that is not negative is a descriptor that nobody
    // owns.
    let copy = unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            directory.as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    };
    let copy = Errno::result(copy)
        .map_err(|error| Failure(format!("could not copy the mount: {error}")))?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as i32) })
}

/// Mounts something of the host in a root, at the place that the root's own links lead to and no
/// other.
fn bind_within(root: &Path, asked: &RootMount) -> crate::error::Result<()> {
    let failed = || {
        let (source, path) = (asked.source.display(), asked.path.display());
        format!("could not mount `{source}` at `{path}`")
    };
    let inside = Root::open(root)?;
    destination::check(&inside, &asked.path)?;
    let of_folder = asked.source.metadata().context(failed)?.is_dir();
    let place = inside.mount_point(&asked.path, of_folder)?;
    let place = format!("/proc/thread-self/fd/{}", place.as_raw_fd());
    let place = Path::new(&place);
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    let none = None::<&str>;
    mount(Some(&asked.source), place, none, bind, none).context(failed)?;
    if asked.read_only {
        // The descriptor is of what is covered now, so the place is looked for again.
        let place = inside.mount_point(&asked.path, of_folder)?;
        let place = format!("/proc/thread-self/fd/{}", place.as_raw_fd());
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, Path::new(&place), none, again, none).context(failed)?;
    }
    Ok(())
}
