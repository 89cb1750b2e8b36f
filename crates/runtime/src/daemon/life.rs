//! Whether a shim's process lives: asked of the kernel and not of its connection, which anything that
//! the process has forked may hold open.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use engine::{EngineError, Result};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::time::timeout;

use crate::identity::Identity;
use crate::order::TaskFiles;
use crate::shim::process::{kill_process, pidfd};

/// How long a process may take to vanish after SIGKILL. One that takes longer hangs in the kernel.
const KILLED_WAIT: Duration = Duration::from_secs(2);

/// A shim's process, watched.
pub(crate) enum Life {
    /// This daemon started it, and has to wait for it.
    Child(Box<Child>),
    /// An earlier daemon did.
    Found(AsyncFd<OwnedFd>),
}

impl Life {
    /// The process that has recorded itself here; None when there is none any more.
    #[allow(unsafe_code)]
    pub fn find(files: &TaskFiles) -> Result<Option<Self>> {
        let Some(identity) = Identity::read(files) else {
            return Ok(None);
        };
        let Ok(process) = pidfd(Pid::from_raw(identity.pid)) else {
            return Ok(None);
        };
        // Looked at after it was opened: from here on the descriptor means this process alone.
        if !identity.lives() {
            return Ok(None);
        }
        // SAFETY: an owned descriptor is always the same one, and open until it is dropped, which
        // the `AsyncFd` sees to.
        let watched = unsafe { AsyncFd::register(process) };
        let watched = watched
            .map_err(|error| EngineError::machine("could not watch a process").because(error))?;
        Ok(Some(Self::Found(watched)))
    }

    /// Returns when the process has ended. May be dropped and asked again.
    pub async fn ended(&mut self) {
        // What cannot be waited for is gone.
        match self {
            Self::Child(child) => drop(child.wait().await),
            Self::Found(process) => drop(process.readable().await),
        }
    }

    /// Kills the process and waits for its end, but not for ever.
    pub async fn kill(&mut self) {
        match self {
            Self::Child(child) => drop(child.start_kill()),
            Self::Found(process) => kill_process(process.get_ref().as_fd()),
        }
        if timeout(KILLED_WAIT, self.ended()).await.is_err() {
            tracing::error!("a supervisor that was killed does not end");
        }
    }
}

/// Kills the shim that has recorded itself here, if it lives, and waits for its end. For where
/// nothing can be awaited.
pub(crate) fn kill_recorded(files: &TaskFiles) {
    if let Some(identity) = Identity::read(files)
        && let Ok(process) = pidfd(Pid::from_raw(identity.pid))
        && identity.lives()
    {
        kill_process(process.as_fd());
        let ended = crate::shim::process::readable(process.as_fd());
        crate::shim::process::wait_for(&[ended], Some(KILLED_WAIT));
    }
}
