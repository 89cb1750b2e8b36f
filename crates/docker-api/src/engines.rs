//! The engines of builds: opened, found again after a restart, and ended with all that they have.
//!
//! ```text
//! <state>/<build>/     containers, networks and volumes, as the owner's
//! <run>/<build>/       the socket, alone in its folder, which is what the build's container sees
//! ```
//!
//! A build outlives the daemon, so its engine does: whoever opens it again finds its containers as they
//! are. Closing works from what is on disk, whether or not this process has ever served it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use engine::{
    BuildEngines, BuildScope, Builds, DOCKER_SOCKET, EngineError, Images, Network, ReadGate,
    RegistryLogin, Repository, Result, Tasks,
};
use futures_util::future::try_join_all;
use tokio::task::JoinHandle;

use crate::containers::MAIN;
use crate::disk::{self, blocking};
use crate::docker::{Docker, OwnRegistry, Parts, RegistryUse};
use crate::limits::{DISK_POLL, DISK_POLL_SHARE};
use crate::server::Serving;

/// What engines of builds are made of.
pub struct EngineParts {
    pub images: Arc<dyn Images>,
    pub builds: Arc<dyn Builds>,
    pub tasks: Arc<dyn Tasks>,
    pub network: Arc<dyn Network>,
    /// Where what they have is kept.
    pub state: PathBuf,
    /// Where their sockets are.
    pub run: PathBuf,
    pub version: String,
}

pub struct Engines {
    parts: EngineParts,
    /// Known once what is above the engine is.
    registry: OnceLock<Arc<dyn OwnRegistry>>,
    open: tokio::sync::Mutex<BTreeMap<String, Served>>,
}

struct Served {
    serving: Serving,
    watching: JoinHandle<()>,
}

/// Reading from the embedded registry takes a login, as pulling does.
struct Gate(Arc<dyn OwnRegistry>);

#[async_trait]
impl ReadGate for Gate {
    async fn may_read(&self, repository: &Repository, login: Option<&RegistryLogin>) -> bool {
        let Some(login) = login.filter(|it| self.0.accepts(it)) else {
            return false;
        };
        let refusal = self.0.refusal(login, RegistryUse::Pull, repository).await;
        refusal.is_none()
    }
}

impl Engines {
    pub fn new(parts: EngineParts) -> Self {
        Self {
            parts,
            registry: OnceLock::new(),
            open: tokio::sync::Mutex::default(),
        }
    }

    /// Says who the embedded registry is. Until then no engine is opened.
    pub fn connect(&self, registry: Arc<dyn OwnRegistry>) {
        self.registry.get_or_init(|| registry);
    }

    /// Serves none any more. What runs goes on.
    pub async fn stop_serving(&self) {
        let all = std::mem::take(&mut *self.open.lock().await);
        for served in all.into_values() {
            served.close().await;
        }
    }

    fn folder(&self, build: &str) -> PathBuf {
        self.parts.run.join(build)
    }

    async fn docker(&self, build: &str, cache: &str) -> Result<Arc<Docker>> {
        let registry = self.registry.get().cloned();
        let registry =
            registry.ok_or_else(|| EngineError::machine("the daemon is still starting"))?;
        let parts = &self.parts;
        // Whether the id may be a folder's name is looked at here, too.
        let gate = Arc::new(Gate(registry.clone()));
        let images = parts.images.open_space(build, gate).await?;
        let parts = Parts {
            images,
            registry,
            builds: parts.builds.clone(),
            tasks: parts.tasks.clone(),
            network: parts.network.clone(),
            directory: parts.state.join(build),
            version: parts.version.clone(),
            scope: Some(BuildScope {
                task: build.to_owned(),
                space: build.to_owned(),
                cache: cache.to_owned(),
            }),
        };
        blocking(move || {
            std::fs::create_dir_all(&parts.directory)?;
            Docker::open(parts)
        })
        .await
    }
}

#[async_trait]
impl BuildEngines for Engines {
    async fn open(&self, build: &str, cache: &str) -> Result<Option<PathBuf>> {
        let mut open = self.open.lock().await;
        let folder = self.folder(build);
        if !open.contains_key(build) {
            let docker = self.docker(build, cache).await?;
            std::fs::create_dir_all(&folder)?;
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
            let serving = Serving::new(docker.clone(), folder.join(DOCKER_SOCKET))?;
            let watching = tokio::spawn(watch_disk(docker));
            open.insert(build.to_owned(), Served { serving, watching });
        }
        Ok(Some(folder))
    }

    async fn close(&self, build: &str) -> Result<()> {
        let served = self.open.lock().await.remove(build);
        let is_known = self.parts.state.join(build).exists();
        let docker = match served {
            Some(served) => Some(served.close().await),
            None if is_known => Some(self.docker(build, "").await?),
            None => None,
        };
        if let Some(docker) = docker {
            docker.remove_all().await?;
        }
        self.parts.images.remove_space(build).await?;
        let folder = self.folder(build);
        blocking(move || disk::remove(&folder)).await
    }
}

impl Served {
    async fn close(self) -> Arc<Docker> {
        self.watching.abort();
        self.serving.close().await
    }
}

impl Docker {
    /// Ends all containers and removes all that there is. The directory goes last: as long as it is there,
    /// what it tells of may be there.
    async fn remove_all(&self) -> Result<()> {
        self.close().await;
        let ends = self
            .containers
            .all()
            .into_iter()
            .map(|container| async move {
                let _working = container.working.lock().await;
                let task = container.record().task();
                // Nothing of it is wanted any more, so it is not asked first.
                let _ = self.tasks.signal(&task, MAIN, "SIGKILL").await;
                self.clear_task(&task).await?;
                self.unplug(&container).await
            });
        try_join_all(ends).await?;
        self.remove_networks().await?;
        let directory = self.directory.clone();
        blocking(move || disk::remove(&directory)).await
    }

    /// Kills whatever runs: a program that fills the disk does not stop by being told.
    async fn kill_all(&self) {
        for container in self.containers.all() {
            let record = container.record();
            if record.is_running() {
                let _ = container.change(|record| record.state.stopped_by_hand = true);
                let _ = self.tasks.signal(&record.task(), MAIN, "SIGKILL").await;
                let _ = self.let_go(&container).await;
            }
        }
    }
}

/// Looks at what an engine has on disk, over and over.
async fn watch_disk(docker: Arc<Docker>) {
    loop {
        let begun = std::time::Instant::now();
        let directory = docker.directory.clone();
        let bytes = blocking(move || Ok(disk::bytes_below(&directory)))
            .await
            .unwrap_or_default();
        docker.disk_bytes.store(bytes, Ordering::Relaxed);
        if bytes > docker.bounds.disk_bytes {
            let directory = docker.directory.display();
            tracing::warn!(bytes, %directory, "a build fills the disk: its containers are killed");
            docker.kill_all().await;
        }
        tokio::time::sleep(DISK_POLL.max(begun.elapsed() * DISK_POLL_SHARE)).await;
    }
}
