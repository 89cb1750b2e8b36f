//! Network namespaces: made on a thread of their own, pinned by a bind mount so that they outlive
//! every process, entered on a thread of their own.
//!
//! A namespace belongs to a thread, so nothing here ever changes the caller's: a thread is made,
//! does its work and ends.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use engine::{EngineError, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};

/// The calling thread's network namespace. Not `/proc/self`, which is the process's first thread.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// Makes a namespace, pins it at `pin` and runs `then` in it.
pub(crate) fn make<T: Send>(pin: &Path, then: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        File::create(pin)
            .map_err(|error| failed(format!("cannot make the file `{}`", pin.display()), error))?;
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| failed("cannot make a network namespace".into(), error))?;
        mount(
            Some(OWN_NAMESPACE),
            pin,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|error| {
            failed(
                format!("cannot pin a namespace at `{}`", pin.display()),
                error,
            )
        })?;
        then()
    })
}

/// Runs `then` in a namespace that nobody else has and that goes afterwards.
pub(crate) fn apart<T: Send>(then: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| failed("cannot make a network namespace".into(), error))?;
        then()
    })
}

/// Runs `then` in a namespace.
pub(crate) fn enter<T: Send>(
    namespace: &File,
    then: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    on_a_thread(|| {
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|error| failed("cannot enter a network namespace".into(), error))?;
        then()
    })
}

/// Opens the calling thread's own namespace.
pub(crate) fn own() -> Result<File> {
    Ok(File::open(OWN_NAMESPACE)?)
}

pub(crate) fn open(pin: &Path) -> Result<File> {
    File::open(pin).map_err(|error| {
        failed(
            format!("cannot open the namespace `{}`", pin.display()),
            error,
        )
    })
}

/// Whether a namespace is pinned here: the file alone may be left from before a reboot.
pub(crate) fn is_pinned(pin: &Path) -> bool {
    statfs(pin).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC)
}

/// Takes the pin away; the namespace goes with its last process. Nothing there is fine.
pub(crate) fn unpin(pin: &Path) -> Result<()> {
    while is_pinned(pin) {
        umount2(pin, MntFlags::MNT_DETACH)
            .map_err(|error| failed(format!("cannot unmount `{}`", pin.display()), error))?;
    }
    match std::fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(format!("cannot remove `{}`", pin.display()), error))
        }
        _ => Ok(()),
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("namespace".into())
            .spawn_scoped(scope, work)
            .map_err(|error| failed("cannot start a thread".into(), error))?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn failed(message: String, error: impl Into<io::Error>) -> EngineError {
    EngineError::machine(message).because(error.into())
}
