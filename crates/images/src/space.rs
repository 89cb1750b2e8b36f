//! Spaces: the store as it is seen by somebody who is not trusted.
//!
//! Content is shared by all, because content is what its digest says. Two things are not. **Names**: a
//! space's are kept below hosts that begin with `space_<id>_`, which no name from outside can (a host has
//! no `_`), so what is tagged in a space stands for nothing elsewhere. **Reach**: a digest is no secret, so
//! knowing one opens nothing. A space reaches what its own names lead to, what it has put or pulled, and
//! what the owner offers. Names of the embedded registry alone are everybody's; reading them is asked of a
//! gate, each time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use engine::{
    Digest, EngineError, Fault, ImageConfig, ImageName, Images, Layer, PreparedImage, ReadGate,
    Reference, RegistryLogin, Repository, Result, StoredManifest,
};

use crate::document::{Content, Manifest};
use crate::limits::{SPACE_BYTES_MAX, SPACE_MANIFESTS_MAX};
use crate::pull::Destination;
use crate::store::{ImageStore, Inner};

const PREFIX: &str = "space_";
/// Ids become part of a directory's name.
const ID_BYTES_MAX: usize = 64;

/// Whether a host's names are some space's.
pub fn is_of_space(host: &str) -> bool {
    host.starts_with(PREFIX)
}

/// What a space has beside its names. There is one for all who use the space.
pub struct SpaceState {
    prefix: String,
    gate: Arc<dyn ReadGate>,
    /// What it reaches, and how large each blob is.
    held: Mutex<Held>,
    is_removed: AtomicBool,
}

#[derive(Default)]
struct Held {
    blobs: HashMap<Digest, u64>,
    bytes: u64,
}

impl Held {
    fn has_room(&self, digest: &Digest, size: u64) -> Result<()> {
        match self.blobs.contains_key(digest) {
            true => Ok(()),
            false => self.has_bytes(size),
        }
    }

    fn has_bytes(&self, size: u64) -> Result<()> {
        match self.bytes.saturating_add(size) <= SPACE_BYTES_MAX {
            true => Ok(()),
            false => Err(EngineError {
                fault: Fault::Invalid,
                ..EngineError::no_space(format_args!(
                    "the images of a build may have {} GiB together",
                    SPACE_BYTES_MAX >> 30
                ))
            }),
        }
    }

    fn insert(&mut self, digest: Digest, size: u64) {
        if self.blobs.insert(digest, size).is_none() {
            self.bytes = self.bytes.saturating_add(size);
        }
    }
}

impl SpaceState {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn holds(&self, digest: &Digest) -> bool {
        self.held().blobs.contains_key(digest)
    }

    /// Lets the space reach more, if it is not too much.
    pub fn hold(&self, blobs: impl IntoIterator<Item = (Digest, u64)>) -> Result<()> {
        let mut held = self.held();
        for (digest, size) in blobs {
            held.has_room(&digest, size)?;
            held.insert(digest, size);
        }
        Ok(())
    }

    /// Says before something is fetched whether it may be held.
    pub fn has_room(&self, digest: &Digest, size: u64) -> Result<()> {
        self.held().has_room(digest, size)
    }

    /// Where a name of the space is kept.
    pub fn kept(&self, repository: &Repository) -> Repository {
        Repository {
            host: format!("{}{}", self.prefix, repository.host),
            path: repository.path.clone(),
        }
    }

    pub fn check(&self) -> Result<()> {
        match self.is_removed.load(Ordering::Acquire) {
            true => Err(EngineError::not_found(
                "the build is over, and its images are gone",
            )),
            false => Ok(()),
        }
    }
}

fn prefix(id: &str) -> Result<String> {
    let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    match !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(plain) {
        true => Ok(format!("{PREFIX}{id}_")),
        false => Err(EngineError::invalid(format!(
            "`{id}` is not the id of a space"
        ))),
    }
}

/// A manifest of a repository and everything below it that is here, with sizes. An index leads only to
/// what the repository holds as a manifest, and so has looked at: any bytes that were sent as a layer could
/// be a manifest that names what the sender never had.
fn closure(inner: &Inner, repository: &Repository, digest: &Digest) -> Result<Vec<(Digest, u64)>> {
    let (mut found, mut pending) = (HashMap::new(), vec![digest.clone()]);
    while let Some(digest) = pending.pop() {
        let Some(size) = inner.blobs.size(&digest)? else {
            continue;
        };
        if found.insert(digest.clone(), size).is_some() {
            continue;
        }
        let manifest = Manifest::parse(&inner.manifest_bytes(&digest)?, None)?;
        let parts: Vec<Digest> = manifest
            .references()
            .iter()
            .map(|it| it.digest.clone())
            .collect();
        for part in parts {
            if let Content::Image { .. } = manifest.content {
                let size = inner.blobs.size(&part)?;
                found.extend(size.map(|size| (part, size)));
            } else if inner.names.record(repository, &part)?.is_some() {
                pending.push(part);
            }
        }
    }
    Ok(found.into_iter().collect())
}

impl ImageStore {
    pub(crate) async fn open_space_of(
        &self,
        id: &str,
        gate: Arc<dyn ReadGate>,
    ) -> Result<Arc<dyn Images>> {
        let prefix = prefix(id)?;
        let own = prefix.clone();
        let held = self
            .blocking(move |inner| {
                let mut held = Held::default();
                for repository in inner.names.all_repositories()? {
                    if !repository.host.starts_with(&own) {
                        continue;
                    }
                    for digest in inner.names.manifests(&repository)? {
                        for (digest, size) in closure(inner, &repository, &digest)? {
                            held.insert(digest, size);
                        }
                    }
                }
                Ok(held)
            })
            .await?;
        let fresh = Arc::new(SpaceState {
            prefix,
            gate,
            held: Mutex::new(held),
            is_removed: AtomicBool::new(false),
        });
        let mut spaces = self.spaces();
        let state = spaces.entry(id.to_owned()).or_insert(fresh).clone();
        drop(spaces);
        Ok(Arc::new(Space::new(self, state)))
    }

    pub(crate) fn open_already(&self, id: &str) -> Result<Arc<dyn Images>> {
        let state = self.spaces().get(id).cloned();
        let state =
            state.ok_or_else(|| EngineError::not_found(format!("there is no space `{id}`")))?;
        Ok(Arc::new(Space::new(self, state)))
    }

    pub(crate) async fn remove_space_of(&self, id: &str) -> Result<()> {
        let prefix = prefix(id)?;
        if let Some(state) = self.spaces().remove(id) {
            state.is_removed.store(true, Ordering::Release);
        }
        self.blocking(move |inner| {
            // Whoever was naming something has done it, and nobody does it any more.
            let _gate = inner.gate.write().unwrap_or_else(PoisonError::into_inner);
            inner.names.delete_hosts(&prefix)
        })
        .await
    }

    fn spaces(&self) -> MutexGuard<'_, HashMap<String, Arc<SpaceState>>> {
        self.inner
            .spaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct Space {
    store: ImageStore,
    state: Arc<SpaceState>,
}

impl Space {
    fn new(store: &ImageStore, state: Arc<SpaceState>) -> Self {
        Self {
            store: store.clone(),
            state,
        }
    }

    fn is_embedded(&self, repository: &Repository) -> bool {
        self.store.inner.embedded.contains(&repository.host)
    }

    fn kept(&self, name: &ImageName) -> ImageName {
        ImageName {
            repository: self.kept_repository(&name.repository),
            reference: name.reference.clone(),
        }
    }

    fn kept_repository(&self, repository: &Repository) -> Repository {
        match self.is_embedded(repository) {
            true => repository.clone(),
            false => self.state.kept(repository),
        }
    }

    fn shown(&self, repository: Repository) -> Option<Repository> {
        let host = repository.host.strip_prefix(&self.state.prefix)?.to_owned();
        Some(Repository { host, ..repository })
    }

    fn own(&self, digest: &Digest) -> Result<()> {
        match self.state.holds(digest) {
            true => Ok(()),
            false => Err(EngineError::not_found(format!(
                "blob `{digest}` is not in the store"
            ))),
        }
    }

    /// For what only the registry itself does to its names.
    fn refuse_embedded(&self, repository: &Repository) -> Result<()> {
        match self.is_embedded(repository) {
            true => Err(EngineError::invalid(format!(
                "`{repository}` is not a build's to change"
            ))),
            false => Ok(()),
        }
    }

    /// Lets the space reach an image that it may have.
    async fn adopt(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        let (repository, wanted) = (repository.clone(), digest.clone());
        let found = self
            .store
            .blocking(move |inner| closure(inner, &repository, &wanted));
        self.state.hold(found.await?)
    }

    /// Asks the embedded registry.
    async fn read_embedded(
        &self,
        name: &ImageName,
        login: Option<&RegistryLogin>,
    ) -> Result<Digest> {
        if !self.state.gate.may_read(&name.repository, login).await {
            return Err(EngineError::not_found(format!(
                "pull access denied for {}, repository does not exist or may require 'docker login'",
                name.repository
            )));
        }
        let digest = self.store.resolve(name).await?;
        self.adopt(&name.repository, &digest).await?;
        Ok(digest)
    }

    /// What the owner offers under a name.
    async fn offered(&self, name: &ImageName) -> Result<Option<Digest>> {
        let wanted = name.clone();
        let found = self
            .store
            .blocking(move |inner| inner.names.offered(&wanted.repository, &wanted.reference))
            .await?;
        if let Some(digest) = &found {
            self.adopt(&name.repository, digest).await?;
        }
        Ok(found)
    }

    /// Looks before a file is taken in, which it may not be for as long as garbage is kept.
    fn room_for(&self, file: &Path) -> Result<()> {
        self.state.check()?;
        self.state.held().has_bytes(std::fs::metadata(file)?.len())
    }

    /// Makes room for a name, or says that there is none.
    async fn make_room(&self) -> Result<()> {
        self.state.check()?;
        let prefix = self.state.prefix.clone();
        let count = self
            .store
            .blocking(move |inner| {
                let mut count = 0;
                for repository in inner.names.all_repositories()? {
                    if repository.host.starts_with(&prefix) {
                        count += inner.names.manifests(&repository)?.len();
                    }
                }
                Ok(count)
            })
            .await?;
        match count < SPACE_MANIFESTS_MAX {
            true => Ok(()),
            false => Err(EngineError::invalid(format!(
                "a build may have {SPACE_MANIFESTS_MAX} images"
            ))),
        }
    }

    async fn pull_here(&self, name: &ImageName, login: Option<RegistryLogin>) -> Result<Digest> {
        self.make_room().await?;
        let place = Destination::Space(self.state.clone());
        self.store.pull_to(name, login, place).await
    }
}

#[async_trait]
impl Images for Space {
    async fn resolve(&self, name: &ImageName) -> Result<Digest> {
        let digest = self.store.resolve(&self.kept(name)).await?;
        self.own(&digest)?;
        Ok(digest)
    }

    async fn prepare(
        &self,
        name: &ImageName,
        login: Option<RegistryLogin>,
    ) -> Result<PreparedImage> {
        let digest = match self.resolve(name).await {
            Err(error) if error.fault == Fault::NotFound => {
                match self.is_embedded(&name.repository) {
                    true => self.read_embedded(name, login.as_ref()).await?,
                    false => match self.offered(name).await? {
                        Some(digest) => digest,
                        None => self.pull_here(name, login).await?,
                    },
                }
            }
            found => found?,
        };
        self.prepare_digest(&digest).await
    }

    /// All that the image is made of is looked at, whoever named it.
    async fn prepare_digest(&self, manifest: &Digest) -> Result<PreparedImage> {
        self.own(manifest)?;
        let wanted = manifest.clone();
        let image = self
            .store
            .blocking(move |inner| inner.image_manifest(&wanted))
            .await?;
        self.own(&image.0)?;
        for part in image.1.references() {
            self.own(&part.digest)?;
        }
        self.store.prepare_digest(manifest).await
    }

    async fn pull(&self, name: &ImageName, login: Option<RegistryLogin>) -> Result<Digest> {
        if self.is_embedded(&name.repository) {
            return self.read_embedded(name, login.as_ref()).await;
        }
        match self.offered(name).await? {
            Some(digest) => {
                self.make_room().await?;
                self.store.tag(name, &self.kept(name)).await?;
                Ok(digest)
            }
            None => self.pull_here(name, login).await,
        }
    }

    async fn repositories(&self) -> Result<Vec<Repository>> {
        let all = self.store.blocking(|inner| inner.names.all_repositories());
        Ok(all
            .await?
            .into_iter()
            .filter_map(|it| self.shown(it))
            .collect())
    }

    async fn create_repository(&self, repository: &Repository) -> Result<()> {
        self.refuse_embedded(repository)?;
        self.state.check()?;
        self.store
            .create_repository(&self.kept_repository(repository))
            .await
    }

    async fn delete_repository(&self, repository: &Repository) -> Result<()> {
        self.refuse_embedded(repository)?;
        self.store
            .delete_repository(&self.kept_repository(repository))
            .await
    }

    async fn manifests(&self, repository: &Repository) -> Result<Vec<StoredManifest>> {
        let mut all = self
            .store
            .manifests(&self.kept_repository(repository))
            .await?;
        all.retain(|it| self.state.holds(&it.digest));
        Ok(all)
    }

    async fn manifest(&self, name: &ImageName) -> Result<StoredManifest> {
        let manifest = self.store.manifest(&self.kept(name)).await?;
        self.own(&manifest.digest)?;
        Ok(manifest)
    }

    async fn put_manifest(
        &self,
        name: &ImageName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest> {
        self.refuse_embedded(&name.repository)?;
        self.make_room().await?;
        let declared = (!media_type.is_empty()).then_some(media_type);
        for part in Manifest::parse(bytes, declared)?.references() {
            self.own(&part.digest)?;
        }
        let digest = self
            .store
            .put_manifest(&self.kept(name), media_type, bytes)
            .await?;
        self.state.hold([(digest.clone(), bytes.len() as u64)])?;
        Ok(digest)
    }

    async fn delete_manifest(&self, name: &ImageName) -> Result<()> {
        self.refuse_embedded(&name.repository)?;
        self.store.delete_manifest(&self.kept(name)).await
    }

    async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.state.holds(digest) {
            true => self.store.has_blob(digest).await,
            false => Ok(None),
        }
    }

    async fn held_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>> {
        let repository = self.kept_repository(repository);
        match self.state.holds(digest) {
            true => self.store.held_blob(&repository, digest).await,
            false => Ok(None),
        }
    }

    async fn read_blob(&self, digest: &Digest) -> Result<PathBuf> {
        self.own(digest)?;
        self.store.read_blob(digest).await
    }

    async fn put_blob(&self, file: &Path) -> Result<(Digest, u64)> {
        self.room_for(file)?;
        let stored = self.store.put_blob(file).await?;
        self.state.hold([stored.clone()])?;
        Ok(stored)
    }

    async fn put_layer(&self, tar: &Path) -> Result<Layer> {
        self.room_for(tar)?;
        let layer = self.store.put_layer(tar).await?;
        self.state
            .hold([(layer.blob.digest.clone(), layer.blob.size_bytes)])?;
        Ok(layer)
    }

    /// Layers are named by whoever made or found them: a builder, never the build itself.
    async fn put_image(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        history: &[String],
        name: Option<&ImageName>,
    ) -> Result<Digest> {
        if let Some(name) = name {
            self.refuse_embedded(&name.repository)?;
            self.make_room().await?;
        }
        let kept = name.map(|it| self.kept(it));
        let digest = self
            .store
            .put_image(config, layers, history, kept.as_ref())
            .await?;
        // It is no index, so no repository is looked at.
        let nowhere = Repository {
            host: self.state.prefix.clone(),
            path: String::new(),
        };
        self.adopt(&nowhere, &digest).await?;
        Ok(digest)
    }

    async fn tag(&self, from: &ImageName, to: &ImageName) -> Result<Digest> {
        self.make_room().await?;
        // What a space does not reach cannot be named, and so not pushed, by it.
        let digest = self.resolve(from).await?;
        let exactly = ImageName {
            repository: from.repository.clone(),
            reference: Reference::Digest(digest),
        };
        self.store.tag(&self.kept(&exactly), &self.kept(to)).await
    }

    async fn collect_garbage(&self) -> Result<u64> {
        Ok(0)
    }
}
