//! Removes what nothing names any more.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};

use engine::{Digest, Fault, Repository, Result};

use crate::document::{ConfigFile, Content, Manifest};
use crate::limits::CONFIG_BYTES_MAX;
use crate::store::Inner;

/// What is named by some repository's manifest.
#[derive(Default)]
struct Marked {
    blobs: HashSet<Digest>,
    layers: HashSet<Digest>,
}

impl Inner {
    /// Collects blobs and unpacked layers that no manifest names, that were not used for `grace`,
    /// and, for layers, that no container stands on. What containers stand on is asked last: one
    /// that was started since stands on a layer that was used since. When there is nobody to ask,
    /// unpacked layers stay.
    pub fn collect_garbage(&self, grace: Duration) -> Result<u64> {
        let _gate = self.gate.write().unwrap_or_else(|e| e.into_inner());
        let marked = self.marked()?;
        let too_young = |used: SystemTime| used.elapsed().is_ok_and(|age| age < grace);
        let mut freed = 0;
        for digest in self.blobs.list()? {
            let path = self.blobs.path(&digest);
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            if !marked.blobs.contains(&digest) && !metadata.modified().is_ok_and(too_young) {
                self.blobs.remove(&digest)?;
                freed += metadata.len();
            }
        }
        let Some(ask) = self.in_use.get() else {
            return Ok(freed);
        };
        let in_use = ask()?;
        for (diff_id, used) in self.layers.list()? {
            let stood_on = in_use.contains(&self.layers.path(&diff_id));
            if !marked.layers.contains(&diff_id) && !too_young(used) && !stood_on {
                freed += self.layers.remove(&diff_id)?;
            }
        }
        Ok(freed)
    }

    /// Deletes one blob that no manifest names: true when it is deleted, false when it is named,
    /// None when there is no such blob.
    pub fn delete_blob(&self, digest: &Digest) -> Result<Option<bool>> {
        let _gate = self.gate.write().unwrap_or_else(|e| e.into_inner());
        if self.blobs.size(digest)?.is_none() {
            return Ok(None);
        }
        if self.marked()?.blobs.contains(digest) {
            return Ok(Some(false));
        }
        self.blobs.remove(digest)?;
        Ok(Some(true))
    }

    /// The layers of an image, by what they unpack to; none of an index.
    pub fn layers_of(&self, manifest: &Digest) -> Result<HashSet<Digest>> {
        let mut marked = Marked::default();
        self.mark(manifest, &mut marked)?;
        Ok(marked.layers)
    }

    /// Every blob that a manifest of a repository leads to.
    pub fn blobs_of(&self, repository: &Repository) -> Result<HashSet<Digest>> {
        let mut marked = Marked::default();
        if self.names.exists(repository)? {
            for digest in self.names.manifests(repository)? {
                self.mark(&digest, &mut marked)?;
            }
        }
        Ok(marked.blobs)
    }

    fn marked(&self) -> Result<Marked> {
        let mut marked = Marked::default();
        for repository in self.names.all_repositories()? {
            for digest in self.names.manifests(&repository)? {
                self.mark(&digest, &mut marked)?;
            }
        }
        Ok(marked)
    }

    /// Marks a manifest and all below it. Parts of an index that were never fetched are not here,
    /// and a manifest that means nothing keeps only itself; but a disk that cannot be read ends the
    /// collection, because what it hides may be needed.
    fn mark(&self, digest: &Digest, marked: &mut Marked) -> Result<()> {
        let mut pending = vec![digest.clone()];
        while let Some(digest) = pending.pop() {
            if !marked.blobs.insert(digest.clone()) {
                continue;
            }
            let Some(bytes) = if_there(self.manifest_bytes(&digest))? else {
                continue;
            };
            match Manifest::parse(&bytes, None).map(|manifest| manifest.content) {
                Err(_) => {}
                Ok(Content::Index(entries)) => {
                    pending.extend(entries.into_iter().map(|entry| entry.manifest.digest));
                }
                Ok(Content::Image { config, layers }) => {
                    let parts = std::iter::once(&config).chain(&layers);
                    marked.blobs.extend(parts.map(|part| part.digest.clone()));
                    let bytes = if_there(self.blobs.read(&config.digest, CONFIG_BYTES_MAX))?;
                    let file = bytes.and_then(|bytes| ConfigFile::parse(&bytes).ok());
                    let diff_ids = file.map(|file| file.rootfs.diff_ids);
                    marked.layers.extend(diff_ids.unwrap_or_default());
                }
            }
        }
        Ok(())
    }
}

/// None for what is not there or too large to mean anything.
pub fn if_there<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.fault, Fault::NotFound | Fault::Invalid) => Ok(None),
        Err(e) => Err(e),
    }
}
