//! How many files the daemon may have open. Every task that runs takes some, and machines give 1,024 to who
//! does not ask for more.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the daemon has open for each task: the connection to its supervisor, the supervisor itself, and the
/// door inside the task's namespace.
const OF_A_TASK: u64 = 3;
/// For clients, files that are read and written, builds and the store.
const OF_OTHERS: u64 = 1024;

/// What may be open at the most.
pub fn hard_limit() -> nix::Result<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard)
}

/// Raises what this process may have open, and those that it starts, as far as it may without asking
/// anybody; tells how far. Containers have limits of their own.
pub fn raise() -> nix::Result<u64> {
    let hard = hard_limit()?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// So many tasks run at the same time with that limit.
pub fn tasks(limit: u64) -> u64 {
    limit.saturating_sub(OF_OTHERS) / OF_A_TASK
}
