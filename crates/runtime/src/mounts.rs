//! Mount namespaces of single threads.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::error::{Context, Result};

/// Gives the calling thread a mount namespace of its own, which ends with it and passes nothing on.
pub(crate) fn leave_namespace() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context(|| "could not make a mount namespace".to_owned())?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .context(|| "could not set up a mount namespace".to_owned())
}
