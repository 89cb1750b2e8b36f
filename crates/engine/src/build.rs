//! Builds: a folder and a Dockerfile become an image.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{Digest, EngineError, ImageConfig, ImageName, Layer, RegistryLogin, Result};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRequest {
    /// The folder that COPY and ADD read from.
    pub context: PathBuf,
    /// Relative to the context unless absolute. `Dockerfile` when empty.
    pub dockerfile: PathBuf,
    /// The Dockerfile's text, when it is not to be read from a file.
    pub dockerfile_text: Option<String>,
    /// What of the context is left out (`.dockerignore`), when it is not to be read from there.
    pub ignore_text: Option<String>,
    pub args: BTreeMap<String, String>,
    /// The stage to stop at; the last one when absent.
    pub target: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub names: Vec<ImageName>,
    pub no_cache: bool,
    /// Where RUN steps are that do not say it themselves. None shares the machine's own network unless
    /// this is [`StepNetwork::Host`].
    pub network: StepNetwork,
    /// What `RUN --mount=type=secret` shows, by id.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// Sockets of this machine that `RUN --mount=type=ssh` shows, by id.
    pub agents: BTreeMap<String, PathBuf>,
    /// By host, for the images that it stands on.
    pub logins: BTreeMap<String, RegistryLogin>,
    /// Whose build it is; the owner's when absent.
    pub scope: Option<BuildScope>,
    /// Addresses and names for the hosts files of RUN steps.
    pub hosts: Vec<(String, String)>,
    /// The size of their `/dev/shm`. None: 64 MiB.
    pub shm_bytes: Option<u64>,
}

/// Known to the step that asks for it, and in no image, key or log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSecret(pub Vec<u8>);

impl fmt::Debug for BuildSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BuildSecret")
    }
}

/// Where a RUN step is in the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepNetwork {
    /// In one that leads out, and not to the machine.
    #[default]
    Outward,
    /// In one that has nothing but its own loopback.
    None,
    /// In the machine's own.
    Host,
}

/// Somebody who is not trusted, and whose builds are apart from everybody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildScope {
    /// The task that it is: what its steps and containers use is bounded by the limits of that one.
    pub task: String,
    /// The space of images in which names are found and made.
    pub space: String,
    /// Builds that may find each other's steps: a step's key says what went in and not what the network
    /// answered, so whoever may write a cache decides what its readers get.
    pub cache: String,
}

/// What a build says while it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum BuildEvent {
    /// A step begins: `[stage 2/5] RUN …`.
    Step {
        number: usize,
        total: usize,
        text: String,
        /// The same counted as BuildKit counts (`[builder 2/3] RUN …`), which knows steps that make a
        /// layer and images that stages begin with; None for the others.
        counted: Option<String>,
    },
    /// The command of a RUN step ended badly, and so does the build.
    Exited {
        number: usize,
        command: Vec<String>,
        code: i32,
    },
    /// The step is over, well or with an error.
    Ended {
        number: usize,
        error: Option<String>,
    },
    /// The step was found in the cache.
    Cached { number: usize },
    /// Output of a RUN step.
    Output { number: usize, line: String },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Built {
    pub digest: Digest,
    pub size_bytes: u64,
    pub steps: usize,
    pub cached_steps: usize,
}

#[async_trait]
pub trait Builds: Send + Sync {
    /// Builds and names an image. `events` is bounded; a receiver that went away does not stop the
    /// build. Dropping the future stops it and removes what it left half done.
    async fn build(&self, request: BuildRequest, events: mpsc::Sender<BuildEvent>)
    -> Result<Built>;
    /// What a build is going to ask for, as far as its Dockerfile tells. Nothing is run.
    async fn foresee(&self, request: &BuildRequest) -> Result<Foreseen> {
        let _ = request;
        Err(EngineError::machine("builds cannot be foreseen here"))
    }
    /// An image of one or more folders of plain files, with no Dockerfile: each entry of `files` is
    /// copied to its path in the image. Cached by content.
    async fn assemble(&self, request: AssembleRequest) -> Result<Built>;
    /// Forgets steps of the builds of a scope, those that were made before a time if one is said. The next
    /// build makes them anew; what images have of them stays theirs.
    async fn prune(
        &self,
        scope: Option<&BuildScope>,
        before_ms: Option<i64>,
    ) -> Result<Vec<PrunedStep>>;
}

/// See [`Builds::foresee`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// That stages begin with or copy from.
    pub images: BTreeSet<ImageName>,
    /// Ids of secrets and SSH agents.
    pub secrets: BTreeSet<String>,
    pub agents: BTreeSet<String>,
}

/// A step that is remembered no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunedStep {
    pub id: String,
    /// What it had on disk for itself.
    pub bytes: u64,
}

/// See [`Builds::assemble`]. One layer per entry of `files`, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AssembleRequest {
    pub config: ImageConfig,
    /// From a file or folder on this machine to an absolute path in the image.
    pub files: Vec<(PathBuf, PathBuf)>,
    pub names: Vec<ImageName>,
}

/// One RUN step: a command in a container over the layers so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunStep {
    /// Lower directories, the lowest first.
    pub directories: Vec<PathBuf>,
    /// An empty directory; what the step changed is left in it, as an overlay upper directory.
    pub upper: PathBuf,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
    /// What it sees for its own time (`RUN --mount`), in order.
    pub mounts: Vec<StepMount>,
    /// What the command reads on its standard input (a heredoc), if anything.
    pub stdin: Option<String>,
    pub network: StepNetwork,
    /// Addresses and names for its hosts file.
    pub hosts: Vec<(String, String)>,
    /// The size of `/dev/shm`. None: 64 MiB.
    pub shm_bytes: Option<u64>,
    /// See [`crate::TaskSpec::within`].
    pub within: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepMount {
    /// In the container.
    pub target: PathBuf,
    pub source: StepSource,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepSource {
    /// A folder, a file or a socket of this machine.
    Path(PathBuf),
    /// An empty folder in memory, which takes no more than this.
    Memory { bytes_max: Option<u64> },
}

/// Runs RUN steps. Implemented by the runtime, used by the builder.
#[async_trait]
pub trait Steps: Send + Sync {
    /// Runs a step to its end and returns its exit code. Lines of output go to `output`.
    async fn run(&self, step: RunStep, output: mpsc::Sender<String>) -> Result<i32>;
}

/// Gets files of the world for builds. Implemented beside the pulling of images, used by the builder.
#[async_trait]
pub trait Downloads: Send + Sync {
    /// Writes what an address (`http://…`, `https://…`) answers to a new file, as far as it is no larger
    /// than that.
    async fn download(&self, url: &str, into: &Path, bytes_max: u64) -> Result<Downloaded>;
}

#[derive(Debug, Clone, Copy)]
pub struct Downloaded {
    /// When it was changed last, if the server says so.
    pub modified: Option<SystemTime>,
}

/// A step's result as the cache keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CachedStep {
    pub layer: Option<Layer>,
}
