//! The store as a whole: what the parts share, and the rules that need more than one of them.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use engine::{
    Descriptor, Digest, EngineError, ImageConfig, ImageName, Layer, Reference, Repository, Result,
    StoredManifest,
};
use reach::Reach;
use tokio::sync::Semaphore;

use crate::blobs::Blobs;
use crate::disk::Scratch;
use crate::document::{
    ConfigFile, Content, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, write_manifest,
};
use crate::flight::Flights;
use crate::holdings::Holdings;
use crate::hosts::EmbeddedHosts;
use crate::layers::Layers;
use crate::limits::{LAYERS_MAX, MANIFEST_BYTES_MAX, UNPACK_PARALLEL_MAX};
use crate::names::Names;
use crate::pieces::Pieces;
use crate::pull::{PullKey, Puller};
use crate::space::SpaceState;

/// The content store of one directory. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct ImageStore {
    pub(crate) inner: Arc<Inner>,
}

/// Directories of layers that containers stand on.
type InUse = dyn Fn() -> Result<HashSet<PathBuf>> + Send + Sync;
/// Manifests of images that somebody will start.
type Needed = dyn Fn() -> Result<HashSet<Digest>> + Send + Sync;

pub(crate) struct Inner {
    /// Where all of it is.
    pub root: PathBuf,
    pub scratch: Arc<Scratch>,
    pub embedded: EmbeddedHosts,
    pub blobs: Blobs,
    pub names: Names,
    pub holdings: Holdings,
    pub layers: Layers,
    /// Held for reading while something is stored and named, for writing while garbage is collected:
    /// so nothing is collected between the look and the naming.
    pub gate: RwLock<()>,
    pub in_use: OnceLock<Box<InUse>>,
    pub needed: OnceLock<Box<Needed>>,
    pub unpacking: Semaphore,
    /// By what is unpacked and what it is said to be: another blob may not be that.
    pub unpacks: Flights<(Digest, Digest), PathBuf>,
    pub pulls: Flights<PullKey, Digest>,
    pub puller: Puller,
    /// Those that are open, by id.
    pub spaces: Mutex<HashMap<String, Arc<SpaceState>>>,
    pub pieces: Pieces,
}

impl ImageStore {
    /// Opens the store below `root`, which only one process may do at a time. What a crash left half
    /// done is removed. Images are pulled from where `reach` leads.
    pub fn open(root: PathBuf, embedded: EmbeddedHosts, reach: Reach) -> Result<Self> {
        let scratch = Arc::new(Scratch::open(root.join("uploads"))?);
        let inner = Inner {
            embedded,
            blobs: Blobs::new(root.join("blobs"), scratch.clone()),
            names: Names::new(root.join("repositories"), scratch.clone()),
            holdings: Holdings::default(),
            layers: Layers::open(root.join("layers"), scratch.clone())?,
            scratch,
            root,
            gate: RwLock::new(()),
            in_use: OnceLock::new(),
            needed: OnceLock::new(),
            unpacking: Semaphore::new(UNPACK_PARALLEL_MAX),
            unpacks: Flights::new(),
            pulls: Flights::new(),
            puller: Puller::new(reach),
            spaces: Mutex::default(),
            pieces: Pieces::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Says how to learn which of the directories that [`engine::PreparedImage`] named are still
    /// stood on by containers, also by those that an earlier process started. The kernel does not
    /// tell (an overlay's lower directories may be mounted under other names), so whoever runs
    /// containers must. The first one that is told stays.
    pub fn ask_in_use(&self, ask: impl Fn() -> Result<HashSet<PathBuf>> + Send + Sync + 'static) {
        self.inner.in_use.get_or_init(|| Box::new(ask));
    }

    /// Says how to learn which images are needed by what does not run: by manifest, as containers that
    /// are stopped name them. While nobody says so, no image is given up. The first one that is told stays.
    pub fn ask_needed(&self, ask: impl Fn() -> Result<HashSet<Digest>> + Send + Sync + 'static) {
        self.inner.needed.get_or_init(|| Box::new(ask));
    }

    /// Runs file work off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        blocking(move || work(&inner)).await
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(EngineError::machine(format!(
            "work on the image store was cut short: {error}"
        ))),
    }
}

impl Inner {
    pub fn manifest_bytes(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.blobs.read(digest, MANIFEST_BYTES_MAX)
    }

    /// Everything a repository's answer about one of its manifests needs.
    pub fn stored_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        tags: Vec<String>,
    ) -> Result<StoredManifest> {
        let record = self.names.record(repository, digest)?.ok_or_else(|| {
            EngineError::not_found(format!("`{repository}` has no manifest `{digest}`"))
        })?;
        let bytes = self.manifest_bytes(digest)?;
        Ok(StoredManifest {
            digest: digest.clone(),
            size_bytes: self.image_size(&bytes),
            bytes,
            media_type: record.media_type,
            pushed_at_ms: record.pushed_at_ms,
            tags,
            pulled_at_ms: record.pulled_at_ms,
        })
    }

    /// Of configuration and layers; for an index, of every image below it that is here.
    fn image_size(&self, bytes: &[u8]) -> u64 {
        let Ok(manifest) = Manifest::parse(bytes, None) else {
            return 0;
        };
        let Content::Index(entries) = &manifest.content else {
            return manifest.size_bytes();
        };
        let below = entries.iter().filter_map(|entry| {
            let bytes = self.manifest_bytes(&entry.manifest.digest).ok()?;
            let manifest = Manifest::parse(&bytes, None).ok()?;
            Some(manifest.size_bytes())
        });
        below.fold(0, u64::saturating_add)
    }

    /// Stores a manifest that somebody wrote and whose every part is here, and names it. In a repository
    /// of the embedded registry a part is here when the repository has it: naming what others have does
    /// not make it one's own.
    pub fn put_manifest(
        &self,
        name: &ImageName,
        media_type: Option<&str>,
        bytes: &[u8],
    ) -> Result<Digest> {
        let repository = &name.repository;
        if !self.embedded.contains(&repository.host) {
            return self.put_made(name, media_type, bytes);
        }
        self.put_checked(name, media_type, bytes, |digest| {
            self.held_blob(repository, digest)
        })
    }

    /// The same for a manifest that was made here, of whatever is in the store.
    fn put_made(&self, name: &ImageName, media_type: Option<&str>, bytes: &[u8]) -> Result<Digest> {
        self.put_checked(name, media_type, bytes, |digest| self.blobs.size(digest))
    }

    fn put_checked(
        &self,
        name: &ImageName,
        media_type: Option<&str>,
        bytes: &[u8],
        size: impl Fn(&Digest) -> Result<Option<u64>>,
    ) -> Result<Digest> {
        let manifest = Manifest::parse(bytes, media_type)?;
        let _gate = self.gate.read().unwrap_or_else(|e| e.into_inner());
        for below in manifest.own_references() {
            match size(&below.digest)? {
                Some(size) if size == below.size_bytes => {}
                Some(size) => {
                    return Err(EngineError::invalid(format!(
                        "blob `{}` has {size} bytes, but the manifest says {}",
                        below.digest, below.size_bytes
                    )));
                }
                None => {
                    return Err(EngineError::invalid(format!(
                        "blob unknown: the manifest names `{}`, which is not in the registry",
                        below.digest
                    )));
                }
            }
        }
        self.name_manifest(name, &manifest.media_type, bytes)
    }

    /// Stores a manifest and points the name at it. Call with the gate held.
    pub fn name_manifest(
        &self,
        name: &ImageName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest> {
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(EngineError::invalid(format!(
                "a manifest may have {MANIFEST_BYTES_MAX} bytes at most"
            )));
        }
        // Names of other registries are a cache here: whoever stores one makes its place.
        if !self.embedded.contains(&name.repository.host) {
            self.names.create(&name.repository)?;
        } else if !self.names.exists(&name.repository)? {
            return Err(EngineError::not_found(format!(
                "repository `{}` does not exist",
                name.repository
            )));
        }
        let digest = crate::blobs::digest_bytes(bytes);
        let tag = match &name.reference {
            Reference::Tag(tag) => Some(tag.as_str()),
            Reference::Digest(wanted) if *wanted == digest => None,
            Reference::Digest(wanted) => {
                return Err(EngineError::invalid(format!(
                    "the manifest has digest `{digest}`, not `{wanted}`"
                )));
            }
        };
        self.blobs.put(bytes)?;
        self.names.put(&name.repository, &digest, media_type, tag)?;
        Ok(digest)
    }

    pub fn put_layer(&self, tar: &std::path::Path) -> Result<Layer> {
        let (digest, size_bytes) = self.blobs.adopt(tar)?;
        Ok(Layer {
            blob: Descriptor {
                media_type: OCI_LAYER.to_owned(),
                digest: digest.clone(),
                size_bytes,
            },
            diff_id: digest,
        })
    }

    pub fn put_image(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        history: &[String],
        name: Option<&ImageName>,
    ) -> Result<Digest> {
        if layers.len() > LAYERS_MAX {
            return Err(EngineError::invalid(format!(
                "an image may have {LAYERS_MAX} layers at most, this one has {}",
                layers.len()
            )));
        }
        let file = ConfigFile::built(config, layers, history);
        let json = serde_json::to_vec(&file).expect("plain text and numbers are JSON");
        let config = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest: self.blobs.put(&json)?,
            size_bytes: json.len() as u64,
        };
        let bytes = write_manifest(&config, layers);
        match name {
            Some(name) => self.put_made(name, Some(OCI_MANIFEST), &bytes),
            None => self.blobs.put(&bytes),
        }
    }

    pub fn tag(&self, from: &ImageName, to: &ImageName) -> Result<Digest> {
        let digest = self.names.resolve(&from.repository, &from.reference)?;
        let record = self.names.record(&from.repository, &digest)?;
        let bytes = self.manifest_bytes(&digest)?;
        let media_type = match record {
            Some(record) => record.media_type,
            None => Manifest::parse(&bytes, None)?.media_type,
        };
        let _gate = self.gate.read().unwrap_or_else(|e| e.into_inner());
        self.tag_below(&from.repository, &to.repository, &bytes)?;
        self.name_manifest(to, &media_type, &bytes)
    }

    /// What an index leads to goes with it, as far as the repository holds it.
    fn tag_below(&self, from: &Repository, to: &Repository, bytes: &[u8]) -> Result<()> {
        let Content::Index(entries) = Manifest::parse(bytes, None)?.content else {
            return Ok(());
        };
        for entry in entries {
            let digest = entry.manifest.digest;
            if let Some(record) = self.names.record(from, &digest)? {
                let name = ImageName {
                    repository: to.clone(),
                    reference: Reference::Digest(digest.clone()),
                };
                let bytes = self.manifest_bytes(&digest)?;
                self.name_manifest(&name, &record.media_type, &bytes)?;
            }
        }
        Ok(())
    }
}
