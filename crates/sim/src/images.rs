//! Images that exist because a test says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use engine::*;
use tokio::sync::mpsc;

#[derive(Default)]
pub struct SimImages {
    repositories: Mutex<BTreeMap<Repository, BTreeMap<String, StoredManifest>>>,
    listings: AtomicU64,
    rules: Mutex<BTreeMap<Repository, TagRule>>,
    blobs: Mutex<BTreeMap<(Repository, Digest), u64>>,
    uploads: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl SimImages {
    /// Lets an image exist, in a repository that is made if need be.
    pub fn add(&self, name: &str) -> Digest {
        let name: ImageName = name.parse().expect("an image name");
        let digest = digest_of(&name.to_string());
        let manifest = StoredManifest {
            digest: digest.clone(),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            bytes: name.to_string().into_bytes(),
            pushed_at_ms: 0,
            size_bytes: 1,
            tags: vec![name.reference.to_string()],
            pulled_at_ms: None,
        };
        let mut repositories = self.repositories.lock().expect("no panic");
        repositories
            .entry(name.repository)
            .or_default()
            .insert(name.reference.to_string(), manifest);
        digest
    }

    /// Lets a repository have a blob.
    pub fn add_blob(&self, repository: &Repository, digest: &Digest, size_bytes: u64) {
        let mut blobs = self.blobs.lock().expect("no panic");
        blobs.insert((repository.clone(), digest.clone()), size_bytes);
    }

    /// How often everything in a repository was asked for.
    pub fn listings(&self) -> u64 {
        self.listings.load(Ordering::Relaxed)
    }

    fn find(&self, name: &ImageName) -> Result<StoredManifest> {
        let repositories = self.repositories.lock().expect("no panic");
        let repository = repositories.get(&name.repository).ok_or_else(|| {
            EngineError::not_found(format!("repository `{}` does not exist", name.repository))
        })?;
        repository
            .values()
            .find(|it| match &name.reference {
                Reference::Tag(tag) => it.tags.contains(tag),
                Reference::Digest(digest) => it.digest == *digest,
            })
            .cloned()
            .ok_or_else(|| EngineError::not_found(format!("`{name}`: not found")))
    }
}

/// Not a hash: a digest that differs where the text does, which is all that tests need.
pub fn digest_of(text: &str) -> Digest {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("sha256:{}", format!("{state:016x}").repeat(4))
        .parse()
        .expect("64 digits")
}

fn absent<T>(what: &str) -> Result<T> {
    Err(EngineError::machine(format!(
        "the simulated machine has no {what}"
    )))
}

#[async_trait]
impl Images for SimImages {
    async fn resolve(&self, name: &ImageName) -> Result<Digest> {
        self.find(name).map(|it| it.digest)
    }
    async fn prepare(
        &self,
        name: &ImageName,
        _login: Option<RegistryLogin>,
    ) -> Result<PreparedImage> {
        let manifest = self.find(name)?;
        self.prepare_digest(&manifest.digest).await
    }
    async fn prepare_digest(&self, manifest: &Digest) -> Result<PreparedImage> {
        let config = ImageConfig {
            cmd: vec!["/bin/app".into()],
            ..ImageConfig::default()
        };
        Ok(PreparedImage {
            digest: manifest.clone(),
            config,
            layers: vec![],
            directories: vec!["/sim".into()],
        })
    }
    async fn pull(&self, name: &ImageName, _login: Option<RegistryLogin>) -> Result<Digest> {
        self.resolve(name).await
    }
    async fn repositories(&self) -> Result<Vec<Repository>> {
        let repositories = self.repositories.lock().expect("no panic");
        Ok(repositories.keys().cloned().collect())
    }
    async fn create_repository(&self, repository: &Repository) -> Result<()> {
        self.repositories
            .lock()
            .expect("no panic")
            .entry(repository.clone())
            .or_default();
        Ok(())
    }
    async fn delete_repository(&self, repository: &Repository) -> Result<()> {
        self.repositories
            .lock()
            .expect("no panic")
            .remove(repository);
        Ok(())
    }
    async fn manifests(&self, repository: &Repository) -> Result<Vec<StoredManifest>> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        let repositories = self.repositories.lock().expect("no panic");
        (repositories
            .get(repository)
            .map(|it| it.values().cloned().collect()))
        .ok_or_else(|| EngineError::not_found(format!("repository `{repository}` does not exist")))
    }
    async fn manifest(&self, name: &ImageName) -> Result<StoredManifest> {
        self.find(name)
    }
    async fn put_manifest(
        &self,
        name: &ImageName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest> {
        let digest = digest_of(&String::from_utf8_lossy(bytes));
        let tags = match &name.reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => vec![],
        };
        let manifest = StoredManifest {
            digest: digest.clone(),
            media_type: media_type.into(),
            bytes: bytes.to_vec(),
            pushed_at_ms: 0,
            size_bytes: bytes.len() as u64,
            tags,
            pulled_at_ms: None,
        };
        let mut repositories = self.repositories.lock().expect("no panic");
        let Some(repository) = repositories.get_mut(&name.repository) else {
            return Err(EngineError::not_found(format!(
                "repository `{}` does not exist",
                name.repository
            )));
        };
        let rules = self.rules.lock().expect("no panic");
        let rule = rules.get(&name.repository).cloned().unwrap_or_default();
        if let Reference::Tag(tag) = &name.reference
            && rule.fixes(tag)
            && repository.get(tag).is_some_and(|it| it.digest != digest)
        {
            return Err(EngineError::conflict(format!("the tag `{tag}` stays")));
        }
        repository.insert(name.reference.to_string(), manifest);
        Ok(digest)
    }
    async fn set_tag_rule(&self, repository: &Repository, rule: &TagRule) -> Result<()> {
        let mut rules = self.rules.lock().expect("no panic");
        rules.insert(repository.clone(), rule.clone());
        Ok(())
    }
    async fn begin_upload(&self, _: &Repository) -> Result<String> {
        let mut uploads = self.uploads.lock().expect("no panic");
        let id = format!("{:032x}", uploads.len());
        uploads.insert(id.clone(), Vec::new());
        Ok(id)
    }
    async fn write_upload(
        &self,
        _: &Repository,
        id: &str,
        from: u64,
        bytes: Vec<u8>,
    ) -> Result<u64> {
        let mut uploads = self.uploads.lock().expect("no panic");
        let upload = uploads
            .get_mut(id)
            .ok_or_else(|| EngineError::not_found("no such upload"))?;
        if upload.len() as u64 == from {
            upload.extend(bytes);
        }
        Ok(upload.len() as u64)
    }
    async fn finish_upload(
        &self,
        repository: &Repository,
        id: &str,
        digest: &Digest,
    ) -> Result<u64> {
        let upload = self.uploads.lock().expect("no panic").remove(id);
        let upload = upload.ok_or_else(|| EngineError::not_found("no such upload"))?;
        let found = digest_of(&String::from_utf8_lossy(&upload));
        if found != *digest {
            return Err(EngineError::invalid("it is something else"));
        }
        self.add_blob(repository, digest, upload.len() as u64);
        Ok(upload.len() as u64)
    }
    async fn delete_manifest(&self, name: &ImageName) -> Result<()> {
        let mut repositories = self.repositories.lock().expect("no panic");
        if let Some(repository) = repositories.get_mut(&name.repository) {
            repository.retain(|_, it| match &name.reference {
                Reference::Tag(tag) => !it.tags.contains(tag),
                Reference::Digest(digest) => it.digest != *digest,
            });
        }
        Ok(())
    }
    async fn has_blob(&self, _digest: &Digest) -> Result<Option<u64>> {
        Ok(None)
    }
    async fn held_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>> {
        let blobs = self.blobs.lock().expect("no panic");
        Ok(blobs.get(&(repository.clone(), digest.clone())).copied())
    }
    async fn read_blob(&self, _digest: &Digest) -> Result<PathBuf> {
        absent("blobs")
    }
    async fn put_blob(&self, _file: &Path) -> Result<(Digest, u64)> {
        absent("blobs")
    }
    async fn put_layer(&self, _tar: &Path) -> Result<Layer> {
        absent("layers")
    }
    async fn put_image(
        &self,
        _config: &ImageConfig,
        _layers: &[Layer],
        _history: &[String],
        _name: Option<&ImageName>,
    ) -> Result<Digest> {
        absent("layers")
    }
    async fn tag(&self, from: &ImageName, to: &ImageName) -> Result<Digest> {
        self.find(from)?;
        Ok(self.add(&to.to_string()))
    }
    async fn collect_garbage(&self) -> Result<u64> {
        Ok(0)
    }
}

/// Nothing can be built here.
pub struct SimBuilds;

#[async_trait]
impl Builds for SimBuilds {
    /// It remembers nothing.
    async fn prune(
        &self,
        _scope: Option<&BuildScope>,
        _before_ms: Option<i64>,
    ) -> Result<Vec<PrunedStep>> {
        Ok(Vec::new())
    }

    async fn build(
        &self,
        _request: BuildRequest,
        _events: mpsc::Sender<BuildEvent>,
    ) -> Result<Built> {
        absent("builder")
    }
    async fn assemble(&self, _request: AssembleRequest) -> Result<Built> {
        absent("builder")
    }
}
