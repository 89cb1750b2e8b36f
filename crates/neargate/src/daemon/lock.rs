//! One daemon per state directory.

use std::fs::{File, OpenOptions};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

/// Held until it is dropped; the kernel lets go of it when the process ends, however it ends.
pub fn take(state: &Path) -> Result<Flock<File>> {
    let path = state.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open `{}`", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            bail!(
                "another daemon works on `{}`: `neargate stop` ends it",
                state.display()
            )
        }
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

/// Whether a daemon works on the state directory, up to its very end.
pub fn is_taken(state: &Path) -> bool {
    state.join("lock").exists() && take(state).is_err()
}
