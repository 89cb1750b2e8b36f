//! One daemon per state directory.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

/// A daemon that was killed keeps its lock until the kernel has taken it apart.
const LAST_BREATH: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Held until it is dropped; the kernel lets go of it when the process ends, however it ends.
pub fn take(state: &Path) -> Result<Flock<File>> {
    let began = Instant::now();
    loop {
        match try_take(state)? {
            Some(lock) => return Ok(lock),
            None if began.elapsed() < LAST_BREATH => std::thread::sleep(LOOK_EVERY),
            None => bail!(
                "another daemon works on `{}`: `neargate stop` ends it",
                state.display()
            ),
        }
    }
}

/// None when a daemon has it.
fn try_take(state: &Path) -> Result<Option<Flock<File>>> {
    let path = state.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open `{}`", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

/// Whether a daemon works on the state directory, up to its very end.
pub fn is_taken(state: &Path) -> bool {
    state.join("lock").exists() && !matches!(try_take(state), Ok(Some(_)))
}
