//! The step cache: from a key (everything that a step's result depends on) to the layer it made.
//!
//! One small JSON file per key, written by atomic rename, so that builds may run side by side. A
//! layer that the store has dropped since counts as not cached.

use std::path::{Path, PathBuf};

use engine::{CachedStep, Images, PrunedStep, Result};

use crate::digests::{Sha256, hex};
use crate::limits::REMEMBERED_STEPS_MAX;
use crate::place::During;

pub struct StepCache {
    folder: PathBuf,
}

impl StepCache {
    pub fn open(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)
            .during(|| format!("cannot make the cache folder `{}`", folder.display()))?;
        forget_oldest(&folder).during(|| "cannot shorten the step cache".into())?;
        Ok(Self { folder })
    }

    pub async fn find(&self, key: &Sha256, images: &dyn Images) -> Result<Option<CachedStep>> {
        let Ok(bytes) = std::fs::read(self.file(key)) else {
            return Ok(None);
        };
        let Ok(step) = serde_json::from_slice::<CachedStep>(&bytes) else {
            return Ok(None);
        };
        if let Some(layer) = &step.layer
            && images.has_blob(&layer.blob.digest).await?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(step))
    }

    pub fn store(&self, key: &Sha256, step: &CachedStep) -> Result<()> {
        let bytes = serde_json::to_vec(step).expect("a cached step is plain data");
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)
            .during(|| "cannot write to the step cache".into())?;
        std::io::Write::write_all(&mut file, &bytes)
            .during(|| "cannot write to the step cache".into())?;
        file.persist(self.file(key))
            .map_err(|error| error.error)
            .during(|| "cannot write to the step cache".into())?;
        Ok(())
    }

    /// Forgets the steps that were stored before a time, or all. One that a build stores meanwhile may stay.
    pub fn prune(&self, before_ms: Option<i64>) -> Result<Vec<PrunedStep>> {
        let what = || "cannot prune the step cache".to_owned();
        let mut pruned = Vec::new();
        for entry in std::fs::read_dir(&self.folder).during(what)? {
            let entry = entry.during(what)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Drafts have other names, and are their writer's.
            let Some(id) = name.strip_suffix(".json") else {
                continue;
            };
            let metadata = entry.metadata().during(what)?;
            let stored = metadata.modified().during(what)?;
            let age = stored.duration_since(std::time::UNIX_EPOCH);
            let stored_ms = age.map_or(0, |it| it.as_millis() as i64);
            if before_ms.is_some_and(|before| stored_ms >= before) {
                continue;
            }
            std::fs::remove_file(entry.path()).during(what)?;
            pruned.push(PrunedStep {
                id: id.to_owned(),
                bytes: metadata.len(),
            });
        }
        Ok(pruned)
    }

    fn file(&self, key: &Sha256) -> PathBuf {
        self.folder.join(format!("{}.json", hex(key)))
    }
}

/// Half of what is too much goes, so that this is not done at every start.
fn forget_oldest(folder: &Path) -> std::io::Result<()> {
    let files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    if files.len() <= REMEMBERED_STEPS_MAX {
        return Ok(());
    }
    let mut by_age: Vec<(std::time::SystemTime, PathBuf)> = files
        .into_iter()
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file)))
        .collect();
    by_age.sort();
    let surplus = by_age.len() - REMEMBERED_STEPS_MAX / 2;
    for (_, file) in &by_age[..surplus] {
        std::fs::remove_file(file)?;
    }
    Ok(())
}
