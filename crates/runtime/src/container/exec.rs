//! Running one more command in a container: a health check, or a user's `exec`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::bundle::confinement;
use super::complaints::Listening;
use super::container_id;
use super::create::{Streams, better_reason, report_pipe};
use super::executor::Launch;
use crate::error::{Context, Failure, Result};
use crate::order::{Order, TaskFiles, write_json};

/// What shells answer when a command cannot be executed.
const EXIT_CANNOT_EXECUTE: i32 = 126;

/// Starts a command in a running container, as its user, in its working directory, with its
/// environment, limits and confinement. Returns its process id; it is a child of the caller, and
/// dies with it.
pub(crate) fn exec_in_container(
    files: &TaskFiles,
    order: &Order,
    index: usize,
    command: &[&str],
    streams: Streams,
) -> Result<Pid> {
    let bundle = files.bundle(index);
    let config = bundle.join("config.json");
    let text =
        std::fs::read(&config).context(|| format!("could not read `{}`", config.display()))?;
    let config: Value =
        serde_json::from_slice(&text).context(|| "malformed configuration".to_owned())?;
    let mut process = config["process"].clone();
    process["args"] = command.into();
    let scratch = Scratch::new(files, index)?;
    let process_file = scratch.0.join("process.json");
    write_json(&process_file, &process)?;

    let capabilities: Vec<String> = process["capabilities"]["bounding"]
        .as_array()
        .map(|names| {
            names
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    let mut confinement = confinement(&order.spec.containers[index], &capabilities)?;
    confinement.with_init = false;
    let (report, told) = report_pipe()?;
    let launch = Launch {
        confinement,
        report: told.as_raw_fd(),
    };
    let listening = Listening::to(&told);
    let built = ContainerBuilder::new(container_id(index), SyscallType::default())
        .with_executor(launch)
        .with_stdin(streams.stdin)
        .with_stdout(streams.stdout)
        .with_stderr(streams.stderr)
        .with_root_path(&scratch.0)
        .and_then(|builder| {
            let builder = builder.as_tenant().with_process(Some(&process_file));
            builder.with_detach(true).build()
        });
    drop((listening, told));
    match built {
        Ok(pid) => Ok(Pid::from_raw(pid.as_raw())),
        Err(error) => Err(better_reason(report, &error)),
    }
}

/// A directory for one command. `libcontainer` leaves a socket beside the container's state for each,
/// so each gets a copy of that state to leave it at. The shim runs one at a time, a helper only one.
struct Scratch(PathBuf);

impl Scratch {
    fn new(files: &TaskFiles, index: usize) -> Result<Self> {
        let id = container_id(index);
        let scratch = Self(files.directory.join(format!("exec-{}", std::process::id())));
        let state = scratch.0.join(&id);
        std::fs::create_dir_all(&state)
            .and_then(|()| {
                let original = files.containers().join(&id).join("state.json");
                std::fs::copy(original, state.join("state.json"))
            })
            .context(|| format!("could not prepare `{}`", scratch.0.display()))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The `exec` role: runs the command with this process's own standard streams and returns its exit
/// code.
pub(crate) fn exec_main(directory: &Path, container: &str, command: &[&str]) -> i32 {
    match exec_and_wait(&TaskFiles::new(directory), container, command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            EXIT_CANNOT_EXECUTE
        }
    }
}

fn exec_and_wait(files: &TaskFiles, container: &str, command: &[&str]) -> Result<i32> {
    let order = files.read_order()?;
    let containers = &order.spec.containers;
    let index = containers
        .iter()
        .position(|candidate| candidate.name == container);
    let index = index.ok_or_else(|| Failure(format!("there is no container `{container}`")))?;
    let streams = Streams {
        stdin: duplicate(std::io::stdin().as_fd())?,
        stdout: duplicate(std::io::stdout().as_fd())?,
        stderr: duplicate(std::io::stderr().as_fd())?,
    };
    let pid = exec_in_container(files, &order, index, command, streams)?;
    match waitpid(pid, None).context(|| "could not wait for the command".to_owned())? {
        WaitStatus::Exited(_, code) => Ok(code),
        WaitStatus::Signaled(_, signal, _) => Ok(128 + signal as i32),
        other => Err(Failure(format!("the command ended strangely: {other:?}"))),
    }
}

fn duplicate(stream: BorrowedFd<'_>) -> Result<OwnedFd> {
    stream
        .try_clone_to_owned()
        .context(|| "could not duplicate a stream".to_owned())
}
