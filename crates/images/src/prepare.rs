//! From a name to directories that a container can stand on.

use std::path::PathBuf;

use engine::{Digest, EngineError, Fault, ImageName, Layer, PreparedImage, RegistryLogin, Result};
use futures_util::future::try_join_all;

use crate::document::{ConfigFile, Content, Manifest, choose, host_platform};
use crate::limits::{CONFIG_BYTES_MAX, LAYERS_MAX, UNPACK_LIMITS};
use crate::pull::{Destination, PullKey};
use crate::store::{ImageStore, Inner, blocking};

/// An index may lead to an index, but not without end.
const INDEX_DEPTH_MAX: usize = 3;

impl ImageStore {
    pub(crate) async fn prepare_name(
        &self,
        name: &ImageName,
        login: Option<RegistryLogin>,
    ) -> Result<PreparedImage> {
        let wanted = name.clone();
        let here = self
            .blocking(move |inner| inner.names.resolve(&wanted.repository, &wanted.reference))
            .await;
        let digest = match here {
            Ok(digest) => digest,
            Err(e) if e.fault == Fault::NotFound && !self.is_embedded(name) => {
                self.pull_to(name, login, Destination::Task).await?
            }
            Err(e) if e.fault == Fault::NotFound => {
                return Err(EngineError::not_found(format!("`{name}` not found: {e}")));
            }
            Err(e) => return Err(e),
        };
        if self.is_embedded(name) {
            let (repository, fetched) = (name.repository.clone(), digest.clone());
            self.blocking(move |inner| inner.names.note_pull(&repository, &fetched))
                .await?;
        }
        self.prepare_manifest(&digest).await
    }

    pub(crate) async fn pull_name(
        &self,
        name: &ImageName,
        login: Option<RegistryLogin>,
    ) -> Result<Digest> {
        if !self.is_embedded(name) {
            return self.pull_to(name, login, Destination::Shared).await;
        }
        let wanted = name.clone();
        self.blocking(move |inner| inner.names.resolve(&wanted.repository, &wanted.reference))
            .await
    }

    fn is_embedded(&self, name: &ImageName) -> bool {
        self.inner.embedded.contains(&name.repository.host)
    }

    pub(crate) async fn pull_to(
        &self,
        name: &ImageName,
        login: Option<RegistryLogin>,
        destination: Destination,
    ) -> Result<Digest> {
        let key = PullKey::new(name, login.as_ref(), &destination);
        let start = || {
            let (store, name) = (self.clone(), name.clone());
            async move {
                store
                    .inner
                    .puller
                    .pull(&store, &name, login, destination)
                    .await
            }
        };
        self.inner.pulls.run(key, start).await
    }

    pub(crate) async fn prepare_manifest(&self, digest: &Digest) -> Result<PreparedImage> {
        let wanted = digest.clone();
        let mut image = self.blocking(move |inner| inner.describe(&wanted)).await?;
        let unpacked = image.layers.iter().map(|layer| self.unpacked(layer));
        image.directories = try_join_all(unpacked).await?;
        Ok(image)
    }

    async fn unpacked(&self, layer: &Layer) -> Result<PathBuf> {
        let start = || {
            let (store, layer) = (self.clone(), layer.clone());
            async move {
                let permit = store.inner.unpacking.acquire().await;
                let inner = store.inner.clone();
                let path =
                    blocking(move || inner.layers.unpack(&inner.blobs, &layer, &UNPACK_LIMITS));
                let path = path.await;
                drop(permit);
                path
            }
        };
        if let Some(path) = self.inner.layers.ready(layer)? {
            return Ok(path);
        }
        let key = (layer.blob.digest.clone(), layer.diff_id.clone());
        self.inner.unpacks.run(key, start).await
    }
}

impl Inner {
    /// Reads an image's manifest and configuration; its directories are still to come.
    fn describe(&self, digest: &Digest) -> Result<PreparedImage> {
        let (digest, manifest) = self.image_manifest(digest)?;
        let Content::Image { config, layers } = manifest.content else {
            unreachable!("an index was followed to its image");
        };
        // As used now, so that no garbage collection takes it before the container stands.
        for part in std::iter::once(&digest).chain([&config.digest]) {
            self.blobs.size(part)?;
        }
        let file = ConfigFile::parse(&self.blobs.read(&config.digest, CONFIG_BYTES_MAX)?)?;
        if layers.len() > LAYERS_MAX {
            return Err(EngineError::invalid(format!(
                "`{digest}` has {} layers; {LAYERS_MAX} are supported",
                layers.len()
            )));
        }
        if file.rootfs.diff_ids.len() != layers.len() {
            return Err(EngineError::invalid(format!(
                "`{digest}` has {} layers, but its configuration names {}: it is not an image that can run",
                layers.len(),
                file.rootfs.diff_ids.len()
            )));
        }
        let diff_ids = file.rootfs.diff_ids.iter().cloned();
        Ok(PreparedImage {
            layers: layers
                .into_iter()
                .zip(diff_ids)
                .map(|(blob, diff_id)| Layer { blob, diff_id })
                .collect(),
            digest,
            config: file.image_config(),
            directories: Vec::new(),
        })
    }

    /// Follows indexes to the manifest for this machine.
    pub fn image_manifest(&self, digest: &Digest) -> Result<(Digest, Manifest)> {
        let mut digest = digest.clone();
        for _ in 0..INDEX_DEPTH_MAX {
            let manifest = Manifest::parse(&self.manifest_bytes(&digest)?, None)?;
            let Content::Index(entries) = &manifest.content else {
                return Ok((digest, manifest));
            };
            let host = host_platform();
            let chosen = choose(entries, &host).ok_or_else(|| {
                EngineError::not_found(format!(
                    "no matching manifest for {}/{} in the manifest list `{digest}`",
                    host.os, host.architecture
                ))
            })?;
            digest = chosen.digest.clone();
        }
        Err(EngineError::invalid(format!(
            "`{digest}` is an index in too many indexes"
        )))
    }
}
