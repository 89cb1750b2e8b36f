//! Running one more command in a container: a health check, or a user's `exec`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use engine::ExecSpec;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::poll::PollFlags;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bundle::{capability_sets, confinement};
use super::capabilities::{capabilities, own_capabilities};
use super::complaints::Listening;
use super::create::{Streams, Theirs, better_reason, report_pipe};
use super::executor::{Confinement, EXIT_CANNOT_EXECUTE, Launch};
use super::forked::Parenthood;
use super::init::Init;
use super::terminal::{Console, Owner, Terminal};
use super::users::find_user;
use super::{Root, container_id, passing};
use crate::cgroup::Hierarchy;
use crate::error::{Context, Failure, Result};
use crate::order::{Order, TaskFiles, container_data, write_json};
use crate::overlay::root_of;
use crate::shim::process::{has_hung_up, pidfd, readable, send_signal, take_starter, wait_for};

/// A command, and how it differs from the container's own program.
#[derive(Default)]
pub(crate) struct Command<'a> {
    pub argv: Vec<&'a str>,
    pub env: &'a [String],
    /// Empty: the container's own.
    pub working_dir: &'a str,
    /// Empty: the container's own.
    pub user: &'a str,
    pub terminal: bool,
    pub terminal_size: Option<(u16, u16)>,
    pub privileged: bool,
}

impl<'a> Command<'a> {
    pub fn of(argv: &[&'a str]) -> Self {
        Self {
            argv: argv.to_vec(),
            ..Self::default()
        }
    }
}

/// Starts a command in a running container, as its user, in its working directory, with its
/// environment, limits and confinement, as far as it does not ask for others. Returns its process id;
/// it is a child of the caller, and dies with it.
pub(crate) fn exec_in_container(
    files: &TaskFiles,
    order: &Order,
    index: usize,
    command: &Command<'_>,
    theirs: impl FnOnce(Owner) -> Result<Theirs>,
) -> Result<(Pid, Option<Terminal>)> {
    let (process, mut confinement) = process(files, order, index, command)?;
    let scratch = Scratch::new(files, index)?;
    let process_file = scratch.0.join("process.json");
    write_json(&process_file, &process)?;
    confinement.init = Init::None;
    confinement.terminal_size = command.terminal_size;

    let owner = Owner {
        uid: number(&process["user"]["uid"]),
        gid: number(&process["user"]["gid"]),
    };
    let theirs = if command.terminal {
        Theirs::Terminal(Console::at(scratch.0.join(TaskFiles::console_name()))?)
    } else {
        theirs(owner)?
    };
    let (report, told) = report_pipe()?;
    let launch = Launch {
        confinement,
        report: told.as_raw_fd(),
    };
    let parenthood = Parenthood::begin()?;
    let listening = Listening::to(&told);
    let builder = ContainerBuilder::new(container_id(index), SyscallType::default());
    let (builder, console) = theirs.give(builder.with_executor(launch));
    let built = builder.with_root_path(&scratch.0).and_then(|builder| {
        let builder = builder.as_tenant().with_process(Some(&process_file));
        builder.with_detach(true).build()
    });
    drop((listening, told, parenthood));
    let pid = built.map_err(|error| better_reason(report, &error))?;
    let terminal = console.map(Console::receive).transpose()?;
    if let Some(terminal) = &terminal {
        terminal.give_to(owner)?;
    }
    Ok((Pid::from_raw(pid.as_raw()), terminal))
}

/// The OCI process, and what else is done to it.
fn process(
    files: &TaskFiles,
    order: &Order,
    index: usize,
    command: &Command<'_>,
) -> Result<(Value, Confinement)> {
    let config = files.bundle(index).join("config.json");
    let text =
        std::fs::read(&config).context(|| format!("could not read `{}`", config.display()))?;
    let config: Value =
        serde_json::from_slice(&text).context(|| "malformed configuration".to_owned())?;
    let mut process = config["process"].clone();
    process["args"] = json!(command.argv);
    process["terminal"] = json!(command.terminal);
    let mut env = texts(&process["env"]);
    let mut added = command.env.to_vec();
    if command.terminal && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        added.insert(0, "TERM=xterm".to_owned());
    }
    for entry in added {
        let name = entry
            .split_once('=')
            .map_or(entry.as_str(), |(name, _)| name);
        let before = format!("{name}=");
        env.retain(|known| !known.starts_with(&before));
        env.push(entry);
    }
    process["env"] = json!(env);
    if !command.working_dir.is_empty() {
        process["cwd"] = json!(command.working_dir);
    }

    let mut container = order.spec.containers[index].clone();
    let mut bounding = texts(&process["capabilities"]["bounding"]);
    if command.privileged && !container.privileged {
        container.privileged = true;
        let guarded = Hierarchy::detect()?.guards_devices();
        bounding = capabilities(&[], &[], true, own_capabilities()?, guarded)?;
    }
    if !command.user.is_empty() {
        let root = Root::open(&root_of(&container_data(&order.data, index)))?;
        let user = find_user(&root, command.user)?;
        process["user"]["uid"] = json!(user.uid);
        process["user"]["gid"] = json!(user.gid);
        process["user"]["additionalGids"] = json!(user.groups);
    }
    let uid = number(&process["user"]["uid"]);
    process["capabilities"] = capability_sets(&container, &bounding, uid);
    let confinement = confinement(&container, &bounding)?;
    Ok((process, confinement))
}

fn number(value: &Value) -> u32 {
    value
        .as_u64()
        .and_then(|it| it.try_into().ok())
        .unwrap_or(0)
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
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
            crate::error::note!("{failure}");
            EXIT_CANNOT_EXECUTE
        }
    }
}

fn exec_and_wait(files: &TaskFiles, container: &str, command: &[&str]) -> Result<i32> {
    let (order, index) = find(files, container)?;
    let streams = Streams {
        stdin: duplicate(std::io::stdin().as_fd())?,
        stdout: duplicate(std::io::stdout().as_fd())?,
        stderr: duplicate(std::io::stderr().as_fd())?,
    };
    let command = Command::of(command);
    let theirs = Theirs::Streams(streams);
    let (pid, _) = exec_in_container(files, &order, index, &command, |_| Ok(theirs))?;
    exit_code(waitpid(pid, None).context(|| "could not wait for the command".to_owned())?)
}

fn find(files: &TaskFiles, container: &str) -> Result<(Order, usize)> {
    let order = files.read_order()?;
    let mut containers = order.spec.containers.iter();
    let index = containers.position(|candidate| candidate.name == container);
    let index = index.ok_or_else(|| Failure(format!("there is no container `{container}`")))?;
    Ok((order, index))
}

fn exit_code(status: WaitStatus) -> Result<i32> {
    match status {
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

/// How a helper answers the daemon; with the terminal, if there is to be one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ExecReply {
    Runs { pid: i32 },
    Refused { message: String },
}

/// The `exec-attached` role: gets the command, and its standard streams unless it is to have a
/// terminal, through the socket that is its standard input. Returns the command's exit code. When the
/// other end of the socket is closed, it ends the command.
pub(crate) fn exec_attached_main(directory: &Path, container: &str) -> i32 {
    let done = take_starter().and_then(|control| {
        let control = control.ok_or_else(|| Failure("nobody says what to run".to_owned()))?;
        exec_attached(&TaskFiles::new(directory), container, &control)
    });
    done.unwrap_or_else(|failure| {
        crate::error::note!("{failure}");
        EXIT_CANNOT_EXECUTE
    })
}

fn exec_attached(files: &TaskFiles, container: &str, control: &UnixStream) -> Result<i32> {
    let failed = || "the daemon cannot be spoken to".to_owned();
    let (text, streams) = passing::receive(control).context(failed)?;
    let started = start_attached(files, container, &text, streams);
    let (reply, pid, master) = match started {
        Ok((pid, terminal)) => (
            ExecReply::Runs { pid: pid.as_raw() },
            Some(pid),
            terminal.map(Terminal::into_master),
        ),
        Err(Failure(message)) => (ExecReply::Refused { message }, None, None),
    };
    let reply = serde_json::to_vec(&reply).expect("plain data serialises as JSON");
    let descriptors: Vec<BorrowedFd<'_>> = master.iter().map(AsFd::as_fd).collect();
    passing::send(control, &reply, &descriptors).context(failed)?;
    drop(descriptors);
    // Ours; the terminal has to end with the daemon's.
    drop(master);
    match pid {
        Some(pid) => wait_attached(pid, control),
        None => Ok(EXIT_CANNOT_EXECUTE),
    }
}

fn start_attached(
    files: &TaskFiles,
    container: &str,
    text: &[u8],
    streams: Vec<OwnedFd>,
) -> Result<(Pid, Option<Terminal>)> {
    let spec: ExecSpec =
        serde_json::from_slice(text).context(|| "the command cannot be understood".to_owned())?;
    let (order, index) = find(files, container)?;
    let command = Command {
        argv: spec.argv.iter().map(String::as_str).collect(),
        env: &spec.env,
        working_dir: &spec.working_dir,
        user: &spec.user,
        terminal: spec.terminal,
        terminal_size: spec.terminal_size,
        privileged: spec.privileged,
    };
    let theirs = |owner: Owner| {
        let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(streams)
            .map_err(|_| Failure("the command has no streams".to_owned()))?;
        for stream in [&stdin, &stdout, &stderr] {
            // Of `/dev/null`, nobody becomes the owner.
            if is_pipe(stream) {
                owner.own(stream)?;
            }
        }
        Ok(Theirs::Streams(Streams {
            stdin,
            stdout,
            stderr,
        }))
    };
    exec_in_container(files, &order, index, &command, theirs)
}

fn is_pipe(stream: &OwnedFd) -> bool {
    let kind = nix::sys::stat::SFlag::S_IFMT.bits();
    nix::sys::stat::fstat(stream)
        .is_ok_and(|stat| stat.st_mode & kind == nix::sys::stat::SFlag::S_IFIFO.bits())
}

fn wait_attached(pid: Pid, control: &UnixStream) -> Result<i32> {
    let watched = pidfd(pid).context(|| "could not watch the command".to_owned())?;
    let mut killed = false;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(status) => return exit_code(status),
            Err(error) => return Err(Failure(format!("could not wait for the command: {error}"))),
        }
        if !killed && has_hung_up(control.as_fd()) {
            send_signal(pid.as_raw(), libc::SIGKILL);
            killed = true;
        }
        let mut interests = vec![readable(watched.as_fd())];
        if !killed {
            interests.push((control.as_fd(), PollFlags::empty()));
        }
        wait_for(&interests, None);
    }
}
