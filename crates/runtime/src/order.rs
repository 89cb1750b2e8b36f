//! What a shim is asked to do, and where it keeps its things.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use engine::{ResolverSpec, StepMount, StepNetwork, TaskSpec, TaskStatus};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Failure, Result};
use crate::shim::process::keep_private;

/// Orders of another version are not understood; their tasks are cleaned up and reported as lost.
pub(crate) const ORDER_VERSION: u32 = 1;

/// `order.json`: all that a shim knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub version: u32,
    pub spec: TaskSpec,
    /// The network namespace to join; None is the host's.
    pub namespace: Option<PathBuf>,
    /// Who answers names in that namespace, if its network has somebody.
    #[serde(default)]
    pub resolver: Option<ResolverSpec>,
    /// The same of containers with a network of their own, by their place in the specification.
    #[serde(default)]
    pub own: BTreeMap<usize, Joined>,
    /// Below every cgroup root: `neargate/<instance>/<id>`.
    pub cgroup: PathBuf,
    /// Where roots and volumes live: they may grow, so they are not kept in memory.
    pub data: PathBuf,
    /// Proves to a later daemon that it speaks to this task's shim.
    pub cookie: String,
    /// Set when this is a RUN step of a build.
    pub step: Option<StepOrder>,
}

/// A network namespace that a container joins, and who answers names there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Joined {
    pub namespace: PathBuf,
    pub resolver: Option<ResolverSpec>,
}

/// How a RUN step differs from a task: its changes are kept, and its output goes to the shim's own
/// standard output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepOrder {
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Not called as it was when it was a list of paths, so that such an order is understood.
    #[serde(default, rename = "step_mounts")]
    pub mounts: Vec<StepMount>,
    pub has_stdin: bool,
    #[serde(default)]
    pub network: StepNetwork,
}

impl StepOrder {
    /// Whether it has a network namespace that holds nothing but a loopback.
    pub fn is_alone(&self) -> bool {
        self.network == StepNetwork::None
    }
}

/// See [`TaskFiles::claim`]. Given up when it is dropped, or by the kernel when its process ends.
pub(crate) type Claim = Flock<fs::File>;

pub(crate) enum Wait {
    Yes,
    No,
}

/// The files of one task.
#[derive(Debug, Clone)]
pub(crate) struct TaskFiles {
    pub directory: PathBuf,
}

impl TaskFiles {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }
    pub fn order(&self) -> PathBuf {
        self.directory.join("order.json")
    }
    pub fn status(&self) -> PathBuf {
        self.directory.join("status.json")
    }
    pub fn identity(&self) -> PathBuf {
        self.directory.join("shim.json")
    }
    pub fn socket_name() -> &'static str {
        "shim.sock"
    }
    /// Where a container that is being made hands over its terminal.
    pub fn console_name() -> &'static str {
        "console.sock"
    }
    /// What the shim itself has to say, normally nothing.
    pub fn shim_log(&self) -> PathBuf {
        self.directory.join("shim.log")
    }
    pub fn step_stdin(&self) -> PathBuf {
        self.directory.join("stdin")
    }
    /// State that libcontainer keeps per container.
    pub fn containers(&self) -> PathBuf {
        self.directory.join("containers")
    }
    /// The bundle (configuration) of a container, by its place in the specification, so that no
    /// container name is ever part of a path.
    pub fn bundle(&self, index: usize) -> PathBuf {
        self.directory.join(format!("bundle-{index}"))
    }

    pub fn read_order(&self) -> Result<Order> {
        let path = self.order();
        let order: Order = read_json(&path)?;
        if order.version != ORDER_VERSION {
            return Err(Failure(format!(
                "`{}` has version {}, this program knows {ORDER_VERSION}",
                path.display(),
                order.version
            )));
        }
        Ok(order)
    }
    /// Takes the task's order for this process: a shim holds it as long as it lives, so whoever gets
    /// it knows that there is none. None when another process has it and `wait` is not asked for.
    pub fn claim(&self, wait: Wait) -> Result<Option<Claim>> {
        let failed = || format!("could not claim `{}`", self.order().display());
        let file = fs::File::open(self.order()).context(failed)?;
        let (file, how) = match wait {
            // By the shim, and what it forks has no part in it.
            Wait::Yes => (keep_private(file), FlockArg::LockExclusive),
            Wait::No => (file, FlockArg::LockExclusiveNonblock),
        };
        match Flock::lock(file, how) {
            Ok(claim) => Ok(Some(claim)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error).context(failed),
        }
    }
    pub fn read_status(&self) -> Option<TaskStatus> {
        read_json(&self.status()).ok()
    }
    pub fn write_status(&self, status: &TaskStatus) -> Result<()> {
        write_json(&self.status(), status)
    }
}

/// Where the root of a container and the task's own volumes are, below [`Order::data`].
pub(crate) fn container_data(data: &Path, index: usize) -> PathBuf {
    data.join(format!("container-{index}"))
}

pub(crate) fn volume_data(data: &Path, index: usize) -> PathBuf {
    data.join(format!("volume-{index}"))
}

/// Where an overlay works that keeps its changes in `upper`: it has to be on the same file system.
pub(crate) fn work_beside(upper: &Path) -> PathBuf {
    let mut name = upper.file_name().unwrap_or_default().to_owned();
    name.push(".work");
    upper.with_file_name(name)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).context(|| format!("could not read `{}`", path.display()))?;
    serde_json::from_slice(&bytes).context(|| format!("could not understand `{}`", path.display()))
}

/// Replaces a file in one step. Nothing is flushed to the disk: these files describe processes,
/// which do not survive a power cut either. They are nobody else's to read.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let bytes = serde_json::to_vec(value).expect("plain data serialises as JSON");
    let fresh = path.with_extension("new");
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| fs::rename(&fresh, path))
        .context(|| format!("could not write `{}`", path.display()))
}
