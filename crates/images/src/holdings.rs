//! Which blobs a repository has. Content is stored once for all of them, so that a digest alone must not
//! open it: whoever may read one repository could read every other through it.
//!
//! A repository has what its manifests name, and for a while what was just uploaded or
//! mounted there, which a manifest is going to name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use engine::{Digest, Repository, Result};

use crate::document::Manifest;
use crate::garbage::if_there;
use crate::limits::{FRESH_BLOBS_MAX, FRESH_MAX_AGE, REFERENCES_KEPT_MAX};
use crate::store::Inner;

/// What was uploaded or mounted lately. It is forgotten when the process ends: a client whose push was
/// cut short is told that the blob is not there, and sends it again.
#[derive(Debug, Default)]
pub struct Holdings {
    fresh: Mutex<HashMap<Repository, HashMap<Digest, Instant>>>,
    /// What manifests name: their content never changes.
    references: Mutex<HashMap<Digest, Arc<[Digest]>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Holdings {
    pub fn add(&self, repository: &Repository, digest: &Digest) {
        let mut fresh = lock(&self.fresh);
        fresh.retain(|_, blobs| {
            blobs.retain(|_, since| since.elapsed() < FRESH_MAX_AGE);
            !blobs.is_empty()
        });
        let blobs = fresh.entry(repository.clone()).or_default();
        if blobs.len() >= FRESH_BLOBS_MAX {
            let oldest = blobs.iter().min_by_key(|(_, since)| **since);
            let oldest = oldest.map(|(digest, _)| digest.clone());
            oldest.and_then(|it| blobs.remove(&it));
        }
        blobs.insert(digest.clone(), Instant::now());
    }

    /// A repository of the same name that is made later begins with nothing.
    pub fn forget(&self, repository: &Repository) {
        lock(&self.fresh).remove(repository);
    }

    fn is_fresh(&self, repository: &Repository, digest: &Digest) -> bool {
        let fresh = lock(&self.fresh);
        let since = fresh.get(repository).and_then(|it| it.get(digest));
        since.is_some_and(|it| it.elapsed() < FRESH_MAX_AGE)
    }
}

impl Inner {
    /// The size of a blob, when the repository has it.
    pub fn held_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>> {
        // What is there is not looked for longer than what is not.
        let Some(size) = self.blobs.size(digest)? else {
            return Ok(None);
        };
        let held = self.holdings.is_fresh(repository, digest)
            || self.is_named_within(repository, digest)?;
        Ok(held.then_some(size))
    }

    /// Whether a manifest of the repository is this blob or names it. What an index names leads on only when
    /// the repository holds it as a manifest itself, and so has looked at what that names: whatever was sent
    /// as a layer may be a manifest, too, of what its sender never had.
    fn is_named_within(&self, repository: &Repository, wanted: &Digest) -> Result<bool> {
        for digest in self.names.manifests(repository)? {
            if digest == *wanted || self.references_of(&digest)?.contains(wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a manifest names. A blob that is none names nothing.
    fn references_of(&self, digest: &Digest) -> Result<Arc<[Digest]>> {
        if let Some(known) = lock(&self.holdings.references).get(digest) {
            return Ok(known.clone());
        }
        let bytes = if_there(self.manifest_bytes(digest))?;
        let Some(bytes) = bytes else {
            // It may come later.
            return Ok(Arc::default());
        };
        let manifest = Manifest::parse(&bytes, None).ok();
        let named = manifest.iter().flat_map(Manifest::references);
        let named: Arc<[Digest]> = named.map(|it| it.digest.clone()).collect();
        let mut references = lock(&self.holdings.references);
        if references.len() >= REFERENCES_KEPT_MAX {
            references.clear();
        }
        references.insert(digest.clone(), named.clone());
        Ok(named)
    }
}
