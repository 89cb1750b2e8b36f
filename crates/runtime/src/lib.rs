//! Containers: tasks that outlive the daemon, RUN steps of builds, and commands in running
//! containers.
//!
//! ```text
//! daemon (async, many threads)                shim (one per task, one thread)
//!   Runtime::start ── order.json, spawn ──▶    reads its order, makes cgroups and roots,
//!        ▲                                      creates containers, copies their output,
//!        └──── one JSON status a line ◀──────   probes their health, stops and cleans up
//! ```
//!
//! A container's input and output are the shim's, so that they outlive the daemon as well: whoever is
//! attached has a connection of its own to the shim's socket (`shim/attach.rs`). Those of a command
//! are the daemon's, which ends with it (`daemon/exec.rs`).
//!
//! Containers are created by `libcontainer`, which forks and must therefore never run in a process
//! with several threads: everything that creates one is this executable started again in a role
//! (see [`main`]).
//!
//! The directory is the registry. `<run>/tasks/<id>/` holds what the shim was asked to do, who it
//! is and what became of it; a daemon that starts finds the tasks there ([`Runtime::recover`]). A
//! container's init asks the kernel to be killed with its shim, and so does all that the shim forks to
//! make it (`container/forked.rs`), so a shim that dies takes its containers with it. Whoever sees that
//! it is gone (its process, `daemon/life.rs`: a socket or a lock may be held open by others) kills what
//! is left in the task's cgroups, removes them and the mounts ([`cleanup`](crate::cleanup)) and records
//! [`engine::StopReason::SupervisorLost`].

mod cgroup;
mod cleanup;
mod container;
mod daemon;
mod disk;
mod error;
mod identity;
mod keyring;
mod memory;
mod mounts;
mod order;
mod overlay;
mod shim;
mod step_network;
mod steps;
mod time;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use daemon::Runtime;
pub use memory::give_memory_back;

/// How to start this executable again in the shim role: `program` followed by `args`, to which the
/// arguments of [`main`] are appended.
#[derive(Debug, Clone)]
pub struct Executable {
    pub program: PathBuf,
    pub args: Vec<String>,
}

/// What is the matter when this machine cannot make disks of a bounded size. Such a disk is made, and
/// is gone when this returns.
pub fn lack_of_disks() -> Option<String> {
    disk::probe().err().map(|failure| failure.0)
}

/// The shim role: `run <task directory>` supervises a task to its end, `exec <task directory>
/// <container> <argument>…` runs a command in one of its containers, `exec-attached <task directory>
/// <container>` one that it is told by the daemon. Must be called before the
/// process has a second thread. Returns the exit code.
pub fn main(args: &[OsString]) -> i32 {
    keyring::leave_session();
    let words: Option<Vec<&str>> = args.iter().map(|arg| arg.to_str()).collect();
    match words.unwrap_or_default().as_slice() {
        ["run", directory] => shim::shim_main(Path::new(directory)),
        ["exec-attached", directory, container] => {
            container::exec_attached_main(Path::new(directory), container)
        }
        ["exec", directory, container, command @ ..] if !command.is_empty() => {
            container::exec_main(Path::new(directory), container, command)
        }
        _ => {
            crate::error::note!(
                "usage: shim run <directory> | shim exec <directory> <container> <command>…"
            );
            2
        }
    }
}
