//! Tasks: one or more containers that share a network namespace and live and die together.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
    pub hostname: String,
    /// Name servers and hosts entries for the containers.
    pub dns: Vec<String>,
    pub hosts: Vec<(String, String)>,
    /// Limits of the whole task. 1024 CPU units are one core.
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
    pub pids_max: Option<u32>,
    /// Started in the order that `depends_on` asks for.
    pub containers: Vec<ContainerSpec>,
    /// Named directories shared by containers; made empty, removed with the task.
    pub volumes: Vec<VolumeSpec>,
    /// Carried along untouched, for whoever re-attaches.
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeSpec {
    pub name: String,
    /// A directory of the host; None is an empty directory of the task's own.
    pub host_path: Option<PathBuf>,
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
    pub init_process: bool,
    /// Its input and output are a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// It has an input that may be attached to; without, it reads nothing.
    #[serde(default)]
    pub stdin: bool,
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

/// CPU and memory of a task, from its cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskUsage {
    /// Total since the start.
    pub cpu_ns: u64,
    pub memory_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// A container's input and output, as bytes.
#[derive(Debug)]
pub struct Attached {
    /// Dropped: the end of the input, when the container was made to have one. None when it has none.
    pub input: Option<mpsc::Sender<Bytes>>,
    /// With a terminal all is `Stdout`. Ends when the container does.
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
    pub stdin: bool,
    pub privileged: bool,
}

#[derive(Debug)]
pub struct ExecSession {
    pub attached: Attached,
    /// The command's exit code, once it has ended.
    pub exit: tokio::sync::oneshot::Receiver<Result<i32>>,
}

#[async_trait]
pub trait Tasks: Send + Sync {
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
    /// Joins a running container's input and output, from now on. Any number may be attached.
    async fn attach(&self, id: &str, container: &str) -> Result<Attached>;
    /// Runs a command in a running container with its own input and output.
    async fn exec_attached(
        &self,
        id: &str,
        container: &str,
        command: ExecSpec,
    ) -> Result<ExecSession>;
    /// The size of a container's terminal, or of that of one of its commands.
    async fn resize(
        &self,
        id: &str,
        container: &str,
        exec: Option<&str>,
        rows: u16,
        columns: u16,
    ) -> Result<()>;
    /// Sends a signal (`SIGTERM`) to a container's first process.
    async fn signal(&self, id: &str, container: &str, signal: &str) -> Result<()>;
    /// Ids of tasks whose status changed.
    fn changes(&self) -> Changes;
}
