//! The port's trait, method by method, over the store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use engine::{
    Digest, EngineError, ImageConfig, ImageFile, ImageName, Images, Layer, PreparedImage, ReadGate,
    Reference, RegistryLogin, Repository, Result, StoredManifest, TagRule,
};

use crate::look;
use crate::space::is_of_space;
use crate::store::ImageStore;

#[async_trait]
impl Images for ImageStore {
    async fn resolve(&self, name: &ImageName) -> Result<Digest> {
        let name = name.clone();
        self.blocking(move |inner| inner.names.resolve(&name.repository, &name.reference))
            .await
    }

    async fn prepare(
        &self,
        name: &ImageName,
        login: Option<RegistryLogin>,
    ) -> Result<PreparedImage> {
        self.prepare_name(name, login).await
    }

    async fn prepare_digest(&self, manifest: &Digest) -> Result<PreparedImage> {
        self.prepare_manifest(manifest).await
    }

    async fn look(&self, image: &PreparedImage, path: &str) -> Result<Option<ImageFile>> {
        let (directories, path) = (image.directories.clone(), path.to_owned());
        self.blocking(move |_| look::file(&directories, &path))
            .await
    }

    async fn pull(&self, name: &ImageName, login: Option<RegistryLogin>) -> Result<Digest> {
        self.pull_name(name, login).await
    }

    async fn repositories(&self) -> Result<Vec<Repository>> {
        let mut all = self
            .blocking(|inner| inner.names.all_repositories())
            .await?;
        all.retain(|it| !is_of_space(&it.host));
        Ok(all)
    }

    async fn create_repository(&self, repository: &Repository) -> Result<()> {
        let repository = repository.clone();
        self.blocking(move |inner| inner.names.create(&repository))
            .await
    }

    async fn set_tag_rule(&self, repository: &Repository, rule: &TagRule) -> Result<()> {
        let (repository, rule) = (repository.clone(), rule.clone());
        self.blocking(move |inner| inner.names.set_rule(&repository, &rule))
            .await
    }

    async fn begin_upload(&self, repository: &Repository) -> Result<String> {
        let repository = repository.clone();
        self.blocking(move |inner| inner.begin_upload(&repository))
            .await
    }

    async fn write_upload(
        &self,
        repository: &Repository,
        id: &str,
        from: u64,
        bytes: Vec<u8>,
    ) -> Result<u64> {
        let (repository, id) = (repository.clone(), id.to_owned());
        self.blocking(move |inner| inner.write_upload(&repository, &id, from, &bytes))
            .await
    }

    async fn finish_upload(
        &self,
        repository: &Repository,
        id: &str,
        digest: &Digest,
    ) -> Result<u64> {
        let (repository, id, digest) = (repository.clone(), id.to_owned(), digest.clone());
        self.blocking(move |inner| inner.finish_upload(&repository, &id, &digest))
            .await
    }

    async fn delete_repository(&self, repository: &Repository) -> Result<()> {
        let repository = repository.clone();
        self.blocking(move |inner| {
            inner.names.delete(&repository)?;
            inner.holdings.forget(&repository);
            Ok(())
        })
        .await
    }

    async fn manifests(&self, repository: &Repository) -> Result<Vec<StoredManifest>> {
        let repository = repository.clone();
        self.blocking(move |inner| {
            let mut tags: HashMap<Digest, Vec<String>> = HashMap::new();
            for (tag, target) in inner.names.tags(&repository)? {
                tags.entry(target).or_default().push(tag);
            }
            let digests = inner.names.manifests(&repository)?;
            let stored = digests.iter().map(|digest| {
                let own = tags.remove(digest).unwrap_or_default();
                inner.stored_manifest(&repository, digest, own)
            });
            stored.collect()
        })
        .await
    }

    async fn manifest(&self, name: &ImageName) -> Result<StoredManifest> {
        let name = name.clone();
        self.blocking(move |inner| {
            let digest = inner.names.resolve(&name.repository, &name.reference)?;
            let tags = inner.names.tags_of(&name.repository, &digest)?;
            inner.stored_manifest(&name.repository, &digest, tags)
        })
        .await
    }

    async fn put_manifest(
        &self,
        name: &ImageName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest> {
        let (name, media_type, bytes) = (name.clone(), media_type.to_owned(), bytes.to_vec());
        self.blocking(move |inner| {
            let media_type = (!media_type.is_empty()).then_some(media_type.as_str());
            inner.put_manifest(&name, media_type, &bytes)
        })
        .await
    }

    async fn delete_manifest(&self, name: &ImageName) -> Result<()> {
        let name = name.clone();
        self.blocking(move |inner| {
            inner
                .names
                .delete_reference(&name.repository, &name.reference)
        })
        .await
    }

    async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let digest = digest.clone();
        self.blocking(move |inner| inner.blobs.size(&digest)).await
    }

    async fn held_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.blocking(move |inner| inner.held_blob(&repository, &digest))
            .await
    }

    async fn read_blob(&self, digest: &Digest) -> Result<PathBuf> {
        let digest = digest.clone();
        self.blocking(move |inner| {
            inner.blobs.open(&digest)?;
            Ok(inner.blobs.path(&digest))
        })
        .await
    }

    async fn put_blob(&self, file: &Path) -> Result<(Digest, u64)> {
        let file = file.to_owned();
        self.blocking(move |inner| inner.blobs.adopt(&file)).await
    }

    async fn put_layer(&self, tar: &Path) -> Result<Layer> {
        let tar = tar.to_owned();
        self.blocking(move |inner| inner.put_layer(&tar)).await
    }

    async fn put_image(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        history: &[String],
        name: Option<&ImageName>,
    ) -> Result<Digest> {
        let config = config.clone();
        let (layers, history) = (layers.to_vec(), history.to_vec());
        let name = name.cloned();
        self.blocking(move |inner| inner.put_image(&config, &layers, &history, name.as_ref()))
            .await
    }

    async fn tag(&self, from: &ImageName, to: &ImageName) -> Result<Digest> {
        let (from, to) = (from.clone(), to.clone());
        self.blocking(move |inner| inner.tag(&from, &to)).await
    }

    async fn collect_garbage(&self) -> Result<u64> {
        self.blocking(|inner| inner.collect(crate::limits::GARBAGE_GRACE))
            .await
    }

    async fn offer(&self, name: &ImageName) -> Result<()> {
        let name = name.clone();
        self.blocking(move |inner| match &name.reference {
            Reference::Tag(tag) => inner.names.offer(&name.repository, tag),
            Reference::Digest(_) => Err(EngineError::invalid(format!("`{name}` is not a tag"))),
        })
        .await
    }

    async fn open_space(&self, id: &str, gate: Arc<dyn ReadGate>) -> Result<Arc<dyn Images>> {
        self.open_space_of(id, gate).await
    }

    fn space(&self, id: &str) -> Result<Arc<dyn Images>> {
        self.open_already(id)
    }

    async fn remove_space(&self, id: &str) -> Result<()> {
        self.remove_space_of(id).await
    }
}
