//! What the container library forks, and that it ends with the process that forked it.
//!
//! The library says to nobody that it forks, and the kernel passes on neither the request to die with
//! the parent nor the closing of descriptors. But a fork of it writes to the log before it waits for
//! anything, joins a control group or makes anything, and this process is what reads the log (see
//! [`super::complaints`]): so the first line of a fork, whether anybody wants to read it or not, makes
//! it ask to die with its parent, see whether that lives, and close what is not meant for it.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::executor::EXIT_CANNOT_EXECUTE;
use crate::error::{Context, Result};
use crate::shim::process::{PRIVATE_FROM, has_ended, pidfd};

const NOWHERE: RawFd = -1;

/// The process that lets the library fork, and a descriptor of it.
static PARENT: AtomicI32 = AtomicI32::new(0);
static PARENT_LIFE: AtomicI32 = AtomicI32::new(NOWHERE);
/// Set in a fork, and thereby in what that forks: numbers of processes are others in a container.
static IS_FORK: AtomicBool = AtomicBool::new(false);

/// While it is there, forks of this process end with it.
pub(super) struct Parenthood {
    /// Forks have it too. Their parent's number would say nothing: it is zero for the first process of
    /// a container, whether the parent lives or not.
    _life: OwnedFd,
}

impl Parenthood {
    pub fn begin() -> Result<Self> {
        let own = Pid::this();
        let life = pidfd(own).context(|| "could not watch the supervisor".to_owned())?;
        PARENT.store(own.as_raw(), Ordering::Relaxed);
        PARENT_LIFE.store(life.as_raw_fd(), Ordering::Relaxed);
        Ok(Self { _life: life })
    }
}

impl Drop for Parenthood {
    fn drop(&mut self) {
        PARENT_LIFE.store(NOWHERE, Ordering::Relaxed);
    }
}

/// Called for each line of the log. In a fork, makes it end with its parent; again each time, because
/// changing its user makes the kernel forget it.
pub(super) fn notice() {
    if PARENT_LIFE.load(Ordering::Relaxed) == NOWHERE {
        return;
    }
    let is_new = !IS_FORK.load(Ordering::Relaxed);
    if is_new && Pid::this().as_raw() == PARENT.load(Ordering::Relaxed) {
        return;
    }
    IS_FORK.store(true, Ordering::Relaxed);
    if is_new {
        // SAFETY: these are the parent's own, and what uses them does not run here.
        unsafe { libc::close_range(PRIVATE_FROM as libc::c_uint, u32::MAX, 0) };
    }
    if die_with_parent().is_err() {
        // SAFETY: ends the process at once, without what is the parent's to do at its end.
        unsafe { libc::_exit(EXIT_CANNOT_EXECUTE) };
    }
}

/// Asks the kernel to kill this process when its parent is gone, and ends it when that was so before.
/// As a container's program is the first of its pid namespace, all others in it go with it.
pub(super) fn die_with_parent() -> std::result::Result<(), String> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| format!("could not ask to die with the supervisor: {error}"))?;
    let life = PARENT_LIFE.load(Ordering::Relaxed);
    // SAFETY: the descriptor is open as long as `Parenthood` is there, and in forks until they
    // execute a program.
    if life != NOWHERE && has_ended(unsafe { BorrowedFd::borrow_raw(life) }) {
        return Err("the supervisor is gone".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::{Parenthood, notice};
    use crate::shim::process::keep_private;

    #[test]
    fn a_fork_asks_to_end_with_its_parent_and_has_none_of_its_own() {
        let private = keep_private(File::open("/dev/null").unwrap());
        let _parenthood = Parenthood::begin().unwrap();
        notice();
        assert!(private.as_fd().try_clone_to_owned().is_ok(), "a parent's");
        // SAFETY: the child makes system calls alone.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                notice();
                let mut signal = 0;
                // SAFETY: system calls with a descriptor's number and a place for a number.
                let is_open = unsafe {
                    libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal);
                    libc::fcntl(private.as_raw_fd(), libc::F_GETFD) >= 0
                };
                let code = i32::from(is_open) + 2 * i32::from(signal != libc::SIGKILL);
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(code) };
            }
            ForkResult::Parent { child } => {
                let ended = waitpid(child, None).unwrap();
                assert_eq!(ended, WaitStatus::Exited(child, 0));
            }
        }
    }
}
