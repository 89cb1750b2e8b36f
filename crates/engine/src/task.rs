//! Tasks: one or more containers that share a network namespace and live and die together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{Changes, HealthCheck, Result};

/// A task to be run. Whoever asks makes the id; asking again with the same id does nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Letters, digits and `-` only: it names a directory and a cgroup.
    pub id: String,
    /// The interface (see [`crate::Network`]) whose namespace the containers join. None: the host's.
    pub interface: Option<String>,
    /// The task, which runs, that it is a part of: what both use is bounded by the limits of that one, and it
    /// ends when that one does. None: of none.
    #[serde(default)]
    pub within: Option<String>,
    pub hostname: String,
    /// Name servers and hosts entries for the containers.
    pub dns: Vec<String>,
    pub hosts: Vec<(String, String)>,
    /// Limits of the whole task. 1024 CPU units are one core.
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
    pub pids_max: Option<u32>,
    /// What its containers write, to their roots and to the task's own volumes, has no more room than
    /// this. None: as much as the machine's disk has.
    #[serde(default)]
    pub disk: Option<TaskDisk>,
    /// It ends before it, or anybody else, fills the machine's disk: for what can be done again, and
    /// writes where no disk of its own bounds it.
    #[serde(default)]
    pub gives_way_to_a_full_disk: bool,
    /// Started in the order that `depends_on` asks for.
    pub containers: Vec<ContainerSpec>,
    /// Named directories shared by containers; made empty, removed with the task.
    pub volumes: Vec<VolumeSpec>,
    /// Carried along untouched, for whoever re-attaches.
    pub labels: BTreeMap<String, String>,
}

/// The bounded disk of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDisk {
    pub bytes: u64,
    /// Somebody asked for this size: a machine that cannot bound a disk refuses the task. Otherwise it
    /// is run without a bound there, and the machine's owner is told.
    pub asked_for: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeSpec {
    pub name: String,
    /// A directory, file or socket of the host, which stays; what is missing is made, as a directory.
    /// None is an empty directory of the task's own.
    pub host_path: Option<PathBuf>,
    /// The host is the first container of the task that it is within ([`TaskSpec::within`]): the path is looked
    /// up in its root, as a program there would find it.
    #[serde(default)]
    pub of_outer: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountSpec {
    pub volume: String,
    pub path: PathBuf,
    pub read_only: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: String,
    /// Overlay lower directories, the lowest first.
    pub directories: Vec<PathBuf>,
    /// Entry point and command together; never empty.
    pub argv: Vec<String>,
    /// `NAME=value`; `PATH` is added when absent.
    pub env: Vec<String>,
    pub working_dir: String,
    /// `user[:group]`, by name (looked up in the image) or number; empty is root.
    pub user: String,
    pub essential: bool,
    pub read_only_root: bool,
    pub privileged: bool,
    /// No program gives its processes more power than they have, whatever its file says (`sudo`).
    #[serde(default)]
    pub no_new_privileges: bool,
    pub init_process: bool,
    /// The init stays when the program has ended, until it is asked to end or somebody inside turns the
    /// machine off: a machine whose program is what it does when it boots. It is told to end as a machine
    /// is: each of its processes gets SIGTERM.
    #[serde(default)]
    pub init_stays: bool,
    /// Its input and output are a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// It has an input that may be attached to; without, it reads nothing.
    #[serde(default)]
    pub stdin: bool,
    /// Its input ends with that of the first of those who are attached with one. Without, they come
    /// and go and it waits for more. A terminal's input never ends.
    #[serde(default)]
    pub stdin_once: bool,
    /// Not started before somebody has attached to it, so that they see all from the first byte on;
    /// but after this time it is, attached to or not, so that nobody who goes away holds it for ever.
    #[serde(default)]
    pub wait_for_attach_ms: Option<u64>,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
    /// name, soft, hard.
    pub ulimits: Vec<(String, u64, u64)>,
    pub mounts: Vec<MountSpec>,
    pub tmpfs: Vec<PathBuf>,
    pub health_check: Option<HealthCheck>,
    pub depends_on: Vec<(String, DependsOn)>,
    /// Name as in `SIGTERM`.
    pub stop_signal: String,
    pub stop_timeout_ms: u64,
    pub start_timeout_ms: Option<u64>,
    /// The file that output is appended to, one event a line (see [`crate::format_log_line`]).
    /// None: output is thrown away.
    pub log_file: Option<PathBuf>,
    /// Texts that the log shows as `***`: secrets that the container was given.
    #[serde(default)]
    pub log_hides: Vec<String>,
    /// Each event in the log begins with where it came from: see [`tagged_output`].
    #[serde(default)]
    pub log_tags: bool,
    /// Where its changes to its root are kept, in a directory that the caller made and that stays: a
    /// later container with the same `directories` over it sees them. No two at a time. Beside it,
    /// `<name>.work` is made, and goes with the task; whoever removes the one removes the other, which
    /// [`Tasks::root`] may have left. None: they go with the task.
    #[serde(default)]
    pub upper: Option<PathBuf>,
    /// The size of `/dev/shm`. None: 64 MiB.
    #[serde(default)]
    pub shm_bytes: Option<u64>,
    #[serde(default)]
    pub tuning: Tuning,
    /// It does not share its task's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_network: Option<OwnNetwork>,
}

/// The network of a container that does not share its task's, and what it is called there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnNetwork {
    /// As [`TaskSpec::interface`].
    pub interface: String,
    pub hostname: String,
    pub hosts: Vec<(String, String)>,
    /// Name servers, and domains that names are looked for in. Empty: those of its network.
    pub dns: Vec<String>,
    pub search: Vec<String>,
}

/// What is asked of a container beside what every task asks for. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// Between health checks within the start period, until one succeeds. None: as at any time.
    pub health_start_interval_ms: Option<u64>,
    /// What it keeps of its memory before others, when the machine has none left.
    pub memory_reservation_bytes: Option<u64>,
    /// Processors that it may run on, as `0-2,4`.
    pub cpuset: Option<String>,
    /// Kernel parameters, of its own namespaces alone: whoever asks has looked.
    pub sysctls: BTreeMap<String, String>,
    /// Further groups of its user, by name (looked up in the image) or number.
    pub groups: Vec<String>,
    /// Of the machine.
    pub devices: Vec<DeviceSpec>,
    /// It sees the machine's processes, or shares memory with them.
    pub host_pid: bool,
    pub host_ipc: bool,
    /// It sees the processes that this process sees, which is of a container that runs.
    pub beside_process: Option<i32>,
    /// It is called as the machine is, and may call the machine otherwise.
    pub host_uts: bool,
    /// Devices that it may make and use besides, as `c 7:128 rwm`: whoever asks has looked.
    pub device_rules: Vec<DeviceRule>,
    /// Options of those `tmpfs` that have some, as in `fstab`.
    pub tmpfs_options: BTreeMap<PathBuf, Vec<String>>,
}

/// A device of the machine's in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    pub host_path: PathBuf,
    pub path: PathBuf,
    /// Of `rwm`.
    pub access: String,
}

/// Devices of one kind by number; none is any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// `a`, `b` or `c`.
    pub kind: char,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Of `rwm`.
    pub access: String,
}

impl std::str::FromStr for DeviceRule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let [kind @ ("a" | "b" | "c"), numbers, access] = words[..] else {
            return Err(());
        };
        let (major, minor) = numbers.split_once(':').ok_or(())?;
        let number = |text: &str| match text {
            "*" => Ok(None),
            digits if digits.bytes().all(|it| it.is_ascii_digit()) => {
                digits.parse().map(Some).map_err(drop)
            }
            _ => Err(()),
        };
        let is_access =
            (1..=3).contains(&access.len()) && access.chars().all(|it| "rwm".contains(it));
        Ok(Self {
            kind: kind.chars().next().ok_or(())?,
            major: number(major)?,
            minor: number(minor)?,
            access: is_access.then(|| access.to_owned()).ok_or(())?,
        })
    }
}

/// Limits that are changed while a container runs. None leaves one as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitChange {
    /// Of the whole task.
    pub cpu_units: Option<u32>,
    pub pids_max: Option<u32>,
    /// Of the container.
    pub cpu_shares: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub memory_reservation_bytes: Option<u64>,
    pub cpuset: Option<String>,
}

/// What became of a container's health checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthLog {
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The last ones, the oldest first.
    pub checks: Vec<CheckResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub started_ms: i64,
    pub ended_ms: i64,
    /// -1 when it could not be run, or took too long.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// How an event's message begins in a log with [`ContainerSpec::log_tags`]: `o` or `e` for a line of
/// standard output or error, `O` or `E` for a part of one that no line feed follows, because it is
/// longer than an event may be or the output ended. Without tags a carriage return at a line's end is
/// left out; with them the text is as it was written.
pub fn output_tag(stream: OutputStream, ends_line: bool) -> char {
    match (stream, ends_line) {
        (OutputStream::Stdout, true) => 'o',
        (OutputStream::Stdout, false) => 'O',
        (OutputStream::Stderr, true) => 'e',
        (OutputStream::Stderr, false) => 'E',
    }
}

/// The stream, whether a line feed followed, and the text, of an event's message in a log with
/// [`ContainerSpec::log_tags`]. None when it has no tag.
pub fn tagged_output(message: &str) -> Option<(OutputStream, bool, &str)> {
    let mut rest = message.chars();
    let (stream, ends_line) = match rest.next()? {
        'o' => (OutputStream::Stdout, true),
        'O' => (OutputStream::Stdout, false),
        'e' => (OutputStream::Stderr, true),
        'E' => (OutputStream::Stderr, false),
        _ => return None,
    };
    Some((stream, ends_line, rest.as_str()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DependsOn {
    Start,
    Healthy,
    Complete,
    Success,
}

/// What is known of a task, read from the machine itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    pub id: String,
    pub state: TaskState,
    pub containers: Vec<ContainerStatus>,
    /// Why it stopped, or could not start, when `state` is `Stopped`.
    pub reason: Option<StopReason>,
    pub started_at_ms: Option<i64>,
    pub stopped_at_ms: Option<i64>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Accepted; some container that must run does not run yet.
    Starting,
    /// Every container that is to run has been started, and every essential one runs.
    Running,
    /// Asked to stop; something still runs.
    Stopping,
    /// Nothing of it runs, and everything but its directory has been cleaned up.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// `stop` was called.
    Requested(String),
    EssentialContainerExited {
        container: String,
    },
    /// A container could not be started; the message says why.
    CannotStart {
        container: String,
        message: String,
    },
    /// A container did not reach what another waits for.
    DependencyFailed {
        container: String,
        message: String,
    },
    /// The shim is gone without having said how the task ended.
    SupervisorLost,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub name: String,
    pub state: ContainerState,
    /// In the host's pid namespace.
    pub pid: Option<i32>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub health: Health,
    pub started_at_ms: Option<i64>,
    pub stopped_at_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    Pending,
    Running,
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It has no health check, or none was answered yet.
    Unknown,
    Healthy,
    Unhealthy,
}

/// What a task or a container uses, from its cgroup and its interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskUsage {
    /// Total since the start.
    pub cpu_ns: u64,
    /// Without pages of files that can be had back at any time.
    pub memory_bytes: u64,
    /// The part of what is charged to it that is pages of files.
    pub cache_bytes: u64,
    /// Its own limit; None when it has none.
    pub memory_max_bytes: Option<u64>,
    pub processes: u64,
    /// Total since the start, read from and written to disks.
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// Through its interface, shared by all its containers; zero when it has none of its own.
    pub received_bytes: u64,
    pub received_packets: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// Whether whoever attaches may write to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachInput {
    /// If it has an input.
    Join,
    Leave,
}

/// A container's input and output, as bytes.
#[derive(Debug)]
pub struct Attached {
    /// Dropped: the end of the input, see [`ContainerSpec::stdin_once`]; that of a command always
    /// ends. None when there is none, or it was not asked for.
    pub input: Option<mpsc::Sender<Bytes>>,
    /// With a terminal all is `Stdout`. Ends when the container does, when the receiver is dropped,
    /// and for a receiver that is not read: it holds the container up for some seconds at most.
    pub output: mpsc::Receiver<(OutputStream, Bytes)>,
}

/// A command for [`Tasks::exec_attached`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExecSpec {
    /// Made by whoever asks; see [`Tasks::resize`].
    pub id: String,
    pub argv: Vec<String>,
    /// Added to the container's own.
    pub env: Vec<String>,
    /// Empty: the container's own.
    pub working_dir: String,
    /// Empty: the container's own.
    pub user: String,
    pub terminal: bool,
    /// Rows and columns of the terminal when the command begins.
    pub terminal_size: Option<(u16, u16)>,
    pub stdin: bool,
    pub privileged: bool,
    /// It is killed when its output is dropped: whoever runs it has gone.
    #[serde(default)]
    pub ends_when_left: bool,
}

/// A command that runs. It goes on when its output is dropped (but see [`ExecSpec::ends_when_left`]) or
/// nobody waits for it, and ends with its container or with this process. An output that is kept and not
/// read holds it up.
#[derive(Debug)]
pub struct ExecSession {
    pub attached: Attached,
    /// In the host's pid namespace.
    pub pid: i32,
    /// The command's exit code, once it has ended; 128 and the number of the signal that killed it.
    pub exit: tokio::sync::oneshot::Receiver<Result<i32>>,
}

/// Whose file system to look into: see [`Tasks::root`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootOf {
    /// A running container's, with all that is mounted in it.
    Container { task: String, container: String },
    /// What a container with these `directories` and this `upper` would see. It must not run meanwhile,
    /// and nobody may look at the same `upper` with other `mounts`.
    Layers {
        directories: Vec<PathBuf>,
        upper: PathBuf,
        mounts: Vec<RootMount>,
    },
}

/// Something of the host that is seen in a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootMount {
    pub source: PathBuf,
    /// Where, in the root; made when it is missing.
    pub path: PathBuf,
    pub read_only: bool,
}

#[async_trait]
pub trait Tasks: Send + Sync {
    /// Says that a task will be started in a moment, so that the machine can get ready meanwhile. It
    /// promises nothing and costs little.
    fn expect(&self) {}
    /// Starts a task and returns when its shim has accepted it. Progress is seen by [`Tasks::status`].
    async fn start(&self, spec: TaskSpec) -> Result<()>;
    /// Asks a task to stop: each container gets its stop signal, then SIGKILL after its time-out.
    async fn stop(&self, id: &str, reason: &str) -> Result<()>;
    /// None when there is no such task.
    async fn status(&self, id: &str) -> Result<Option<TaskStatus>>;
    async fn list(&self) -> Result<Vec<TaskStatus>>;
    /// Forgets a stopped task: removes its directory and whatever of it is left.
    async fn remove(&self, id: &str) -> Result<()>;
    async fn usage(&self, id: &str) -> Result<Option<TaskUsage>>;
    /// Runs a command in a running container; lines of output go to `output`. Returns the exit code.
    async fn exec(
        &self,
        id: &str,
        container: &str,
        argv: Vec<String>,
        output: mpsc::Sender<String>,
    ) -> Result<i32>;
    /// Joins a container's input and output, from now on. Any number may be attached. A container that
    /// does not run yet can be attached to as well; to miss nothing, start its task with
    /// [`ContainerSpec::wait_for_attach_ms`] and attach at once. `NotFound` when it has ended.
    async fn attach(&self, id: &str, container: &str, input: AttachInput) -> Result<Attached>;
    /// Runs a command in a running container with its own input and output. Returns when it runs;
    /// `Invalid` with the reason when it cannot be executed.
    async fn exec_attached(
        &self,
        id: &str,
        container: &str,
        command: ExecSpec,
    ) -> Result<ExecSession>;
    /// The size of a container's terminal, or of that of one of its commands ([`ExecSpec::id`]). That
    /// of a container that does not run yet is kept for its start.
    async fn resize(
        &self,
        id: &str,
        container: &str,
        exec: Option<&str>,
        rows: u16,
        columns: u16,
    ) -> Result<()>;
    /// Sends a signal (`SIGTERM`, `TERM` or `15`) to a container's first process.
    async fn signal(&self, id: &str, container: &str, signal: &str) -> Result<()>;
    /// The addresses that the programs of a task accept connections at, read from the kernel. None when
    /// the task does not run.
    async fn listening(&self, id: &str) -> Result<Option<BTreeSet<SocketAddr>>>;
    /// Replaces the hosts entries of a task's containers (address, name), also while they run.
    async fn set_hosts(&self, id: &str, hosts: Vec<(String, String)>) -> Result<()>;
    /// Holds all processes of a container, or lets them go on. It can be asked to end meanwhile, but
    /// does so when it goes on.
    async fn freeze(&self, id: &str, container: &str, frozen: bool) -> Result<()>;
    /// Changes limits of a container that runs, until it ends.
    async fn limit(&self, id: &str, container: &str, change: LimitChange) -> Result<()>;
    /// What became of the health checks of a container that runs.
    async fn health_log(&self, id: &str, container: &str) -> Result<HealthLog>;
    /// Like [`Tasks::usage`], for one container. None when it does not run.
    async fn container_usage(&self, id: &str, container: &str) -> Result<Option<TaskUsage>>;
    /// A directory descriptor of a container's root, as long as it is held. Paths below it must be
    /// resolved as if it were `/` (`openat2` with `RESOLVE_IN_ROOT`): the links in it are a stranger's.
    async fn root(&self, of: RootOf) -> Result<Arc<OwnedFd>>;
    /// Ids of tasks whose status changed.
    fn changes(&self) -> Changes;
}
