//! One container: from what is asked for to a process that runs.

mod bundle;
mod capabilities;
mod complaints;
mod create;
pub(crate) mod destination;
mod exec;
mod executor;
mod forked;
mod groups;
mod init;
mod limits;
mod loopback;
pub(crate) mod passing;
mod points;
mod root;
mod seccomp;
mod surroundings;
mod terminal;
mod users;
mod volumes;

pub(crate) use bundle::write_bundle;
pub(crate) use create::{Streams, Theirs, create};
pub(crate) use exec::{Command, ExecReply, exec_attached_main, exec_in_container, exec_main};
pub(crate) use executor::Confinement;
pub(crate) use loopback::bring_up_loopback;
pub(crate) use points::mount_points;
pub(crate) use root::Root;
pub(crate) use surroundings::{TaskMounts, write_hosts, write_task_files};
pub(crate) use terminal::{Console, Owner, Terminal, resize};

/// What `libcontainer` calls a container: its place in the specification, because names given by
/// users are not file names.
pub(crate) fn container_id(index: usize) -> String {
    index.to_string()
}
