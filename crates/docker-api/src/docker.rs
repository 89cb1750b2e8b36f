//! What all requests share.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use engine::{
    BuildScope, Builds, Digest, EngineError, Fault, ImageName, Images, Network, RegistryLogin,
    Repository, Result, Tasks,
};
use tokio::task::JoinHandle;

use crate::answer::Refusal;
use crate::buildkit::BuildKit;
use crate::containers::Containers;
use crate::disk;
use crate::events::Events;
use crate::limits::{
    BUILD_CONTAINERS_MAX, BUILD_DISK_BYTES_MAX, BUILD_NETWORKS_MAX, BUILD_VOLUMES_MAX,
    CONTAINERS_MAX, NETWORKS_MAX, VOLUMES_MAX,
};
use crate::names;
use crate::networks::Networks;
use crate::policy::Policy;
use crate::volumes::Volumes;

/// What is done with a repository of the embedded registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryUse {
    Pull,
    Push,
}

/// The embedded registry's rules, which are not this crate's to know.
#[async_trait]
pub trait OwnRegistry: Send + Sync {
    /// Whether a host is the embedded registry's.
    fn is_own(&self, host: &str) -> bool;
    fn accepts(&self, login: &RegistryLogin) -> bool;
    /// Why who logged in may not do this with a repository, or why nobody can, in the registry's own words;
    /// None when it is allowed.
    async fn refusal(
        &self,
        login: &RegistryLogin,
        wanted: RegistryUse,
        repository: &Repository,
    ) -> Option<String>;
    /// What else of this machine's listens at a port, for the error when it is taken.
    async fn holder(&self, port: u16) -> Option<String>;
}

/// What all engines of a machine stand on.
#[derive(Clone)]
pub struct Parts {
    pub images: Arc<dyn Images>,
    pub builds: Arc<dyn Builds>,
    pub tasks: Arc<dyn Tasks>,
    pub network: Arc<dyn Network>,
    pub registry: Arc<dyn OwnRegistry>,
    /// Where everything of this engine is kept.
    pub directory: PathBuf,
    /// Of this program.
    pub version: String,
    /// Of a build's engine; the owner's has none.
    pub scope: Option<BuildScope>,
}

/// How many things there may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub containers: usize,
    pub networks: usize,
    pub volumes: usize,
    pub disk_bytes: u64,
}

const OWNERS: Bounds = Bounds {
    containers: CONTAINERS_MAX,
    networks: NETWORKS_MAX,
    volumes: VOLUMES_MAX,
    // The disk is the owner's.
    disk_bytes: u64::MAX,
};
const OF_BUILD: Bounds = Bounds {
    containers: BUILD_CONTAINERS_MAX,
    networks: BUILD_NETWORKS_MAX,
    volumes: BUILD_VOLUMES_MAX,
    disk_bytes: BUILD_DISK_BYTES_MAX,
};

pub struct Docker {
    pub(crate) images: Arc<dyn Images>,
    pub(crate) builds: Arc<dyn Builds>,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) registry: Arc<dyn OwnRegistry>,
    pub(crate) directory: PathBuf,
    pub(crate) version: String,
    pub(crate) scope: Option<BuildScope>,
    pub(crate) bounds: Bounds,
    /// What its directory had when it was last looked at.
    pub(crate) disk_bytes: AtomicU64,
    /// What requests are sending now, to files that have no name there.
    received_bytes: AtomicU64,
    pub(crate) events: Events,
    pub(crate) buildkit: BuildKit,
    pub(crate) containers: Containers,
    pub(crate) networks: Networks,
    pub(crate) volumes: Volumes,
    /// Held by every start of a container; false when none may begin any more.
    pub(crate) is_open: tokio::sync::RwLock<bool>,
}

/// Follows containers until it is dropped: what ends afterwards is found by the next one.
pub struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Docker {
    pub fn open(parts: Parts) -> Result<Arc<Self>> {
        let directory = parts.directory;
        let scratch = directory.join("scratch");
        disk::remove(&scratch)?;
        for folder in [&scratch, &directory.join("containers")] {
            std::fs::create_dir_all(folder)?;
        }
        let bounds = match parts.scope {
            None => OWNERS,
            Some(_) => OF_BUILD,
        };
        Ok(Arc::new(Self {
            bounds,
            scope: parts.scope,
            disk_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            containers: Containers::open(directory.join("containers"))?,
            networks: Networks::open(directory.join("networks"))?,
            volumes: Volumes::open(directory.join("volumes"), bounds.volumes)?,
            images: parts.images,
            builds: parts.builds,
            tasks: parts.tasks,
            network: parts.network,
            registry: parts.registry,
            version: parts.version,
            directory,
            events: Events::default(),
            buildkit: BuildKit::default(),
            is_open: tokio::sync::RwLock::new(true),
        }))
    }

    /// Takes up what an earlier process left, and from then on restarts, removes and tells of
    /// containers as they end.
    pub fn follow(self: &Arc<Self>) -> Following {
        let docker = self.clone();
        Following(tokio::spawn(crate::containers::follow(docker)))
    }

    /// Waits for the starts that are under way, and lets no other begin: whatever runs then is known.
    pub async fn close(&self) {
        *self.is_open.write().await = false;
    }

    /// The manifests of images that its containers have, be they stopped.
    pub fn images_of_containers(&self) -> HashSet<Digest> {
        let all = self.containers.all().into_iter();
        all.map(|it| it.record().image_id).collect()
    }

    pub(crate) fn policy(&self) -> Policy {
        match self.scope {
            None => Policy::Owner,
            Some(_) => Policy::Build,
        }
    }

    /// Whether something may still be made that takes room.
    pub(crate) fn check_disk(&self) -> Result<(), Refusal> {
        let most = self.bounds.disk_bytes;
        let has = self.disk_bytes.load(Ordering::Relaxed);
        match has.saturating_add(self.received_bytes.load(Ordering::Relaxed)) <= most {
            true => Ok(()),
            false => Err(EngineError::no_space(format_args!(
                "containers and volumes of a build may have {} GiB together",
                most >> 30
            ))
            .into()),
        }
    }

    /// Counts what a request sends, for as long as it does.
    pub(crate) fn receive(&self) -> Result<Receiving<'_>, Refusal> {
        self.check_disk()?;
        Ok(Receiving {
            docker: self,
            bytes: 0,
        })
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.directory.join("scratch")
    }

    /// Where the local image of this name is kept.
    pub(crate) fn kept(&self, name: &ImageName) -> ImageName {
        names::kept(name, |host| self.registry.is_own(host))
    }

    /// Whether an error says that there is no such thing.
    pub(crate) fn is_absent<T>(result: &Result<T>) -> bool {
        matches!(result, Err(error) if error.fault == Fault::NotFound)
    }
}

pub struct Receiving<'a> {
    docker: &'a Docker,
    bytes: u64,
}

impl Receiving<'_> {
    pub fn add(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.bytes += bytes;
        self.docker
            .received_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.docker.check_disk()
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.docker
            .received_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
