//! What all requests share.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use engine::{Builds, Fault, ImageName, Images, Network, RegistryLogin, Repository, Result, Tasks};
use tokio::task::JoinHandle;

use crate::containers::Containers;
use crate::disk;
use crate::events::Events;
use crate::names;
use crate::networks::Networks;
use crate::volumes::Volumes;

/// The embedded registry's rules, which are not this crate's to know.
/// What is done with a repository of the embedded registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryUse {
    Pull,
    Push,
}

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

pub struct Parts {
    pub images: Arc<dyn Images>,
    pub builds: Arc<dyn Builds>,
    pub tasks: Arc<dyn Tasks>,
    pub network: Arc<dyn Network>,
    pub registry: Arc<dyn OwnRegistry>,
    /// Where everything is kept.
    pub directory: PathBuf,
    /// Of this program.
    pub version: String,
}

pub struct Docker {
    pub(crate) images: Arc<dyn Images>,
    pub(crate) builds: Arc<dyn Builds>,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) registry: Arc<dyn OwnRegistry>,
    pub(crate) directory: PathBuf,
    pub(crate) version: String,
    pub(crate) events: Events,
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
        Ok(Arc::new(Self {
            containers: Containers::open(directory.join("containers"))?,
            networks: Networks::open(directory.join("networks"))?,
            volumes: Volumes::open(directory.join("volumes"))?,
            images: parts.images,
            builds: parts.builds,
            tasks: parts.tasks,
            network: parts.network,
            registry: parts.registry,
            version: parts.version,
            directory,
            events: Events::default(),
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
