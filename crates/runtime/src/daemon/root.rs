//! Looking into the file system of a container, whether it runs or not.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use engine::{EngineError, Result, RootOf};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::{Inner, blocking, make_private_directory};
use crate::error::{Context, Failure};
use crate::identity::fresh_cookie;
use crate::order::work_beside;
use crate::overlay::Overlay;

/// Roots that are being looked into, by the directory that keeps their changes: two overlays over
/// one would not know of each other.
#[derive(Default)]
pub(super) struct Roots(Mutex<HashMap<PathBuf, Weak<OwnedFd>>>);

/// See [`engine::Tasks::root`].
pub(super) async fn root(inner: &Arc<Inner>, of: RootOf) -> Result<Arc<OwnedFd>> {
    match of {
        RootOf::Container { task, container } => {
            let pid = inner.expect_running(&task, &container)?;
            let group = inner.cgroup_parent.join(&task);
            running(pid, &group).map(Arc::new)
        }
        RootOf::Layers { directories, upper } => {
            let inner = inner.clone();
            blocking(move || Ok(mounted(&inner, &directories, upper))).await?
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

fn mounted(inner: &Inner, directories: &[PathBuf], upper: PathBuf) -> Result<Arc<OwnedFd>> {
    if !upper.is_absolute() || upper.file_name().is_none() || !upper.is_dir() {
        let message = format!("the directory `{}` is missing", upper.display());
        return Err(EngineError::not_found(message));
    }
    // Held while it is mounted, so that the second who asks gets the first one's.
    let mut roots = inner.roots.0.lock().expect("no holder panics");
    roots.retain(|_, root| root.strong_count() > 0);
    if let Some(root) = roots.get(&upper).and_then(Weak::upgrade) {
        return Ok(root);
    }
    // A daemon that dies leaves it; the next one removes it, as what is left of an unknown task.
    let data = inner
        .data_directory
        .join(format!("root-{}", fresh_cookie()?));
    make_private_directory(&data)?;
    let overlay = Overlay::keeping_well(data.join("0"), upper.clone(), work_beside(&upper));
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| mount_apart(&overlay, directories));
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let _ = std::fs::remove_dir_all(&data);
    let root = Arc::new(made?);
    roots.insert(upper, Arc::downgrade(&root));
    Ok(root)
}

/// Mounts in a mount namespace that ends with the calling thread, which is left with a copy of the
/// mount that is nowhere, and ends with its descriptor.
fn mount_apart(overlay: &Overlay, directories: &[PathBuf]) -> crate::error::Result<OwnedFd> {
    crate::mounts::leave_namespace()?;
    let root = overlay.mount(directories)?;
    let directory = File::open(&root).context(|| format!("could not open `{}`", root.display()))?;
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as libc::c_uint;
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
