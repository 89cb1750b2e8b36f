//! One container: from what is asked for to a process that runs.

mod bundle;
mod capabilities;
mod complaints;
mod create;
mod exec;
mod executor;
mod init;
mod limits;
mod root;
mod seccomp;
mod users;

pub(crate) use bundle::{TaskMounts, write_bundle, write_task_files};
pub(crate) use create::{Streams, create};
pub(crate) use exec::{exec_in_container, exec_main};
pub(crate) use executor::Confinement;
pub(crate) use root::Root;

/// What `libcontainer` calls a container: its place in the specification, because names given by
/// users are not file names.
pub(crate) fn container_id(index: usize) -> String {
    index.to_string()
}
