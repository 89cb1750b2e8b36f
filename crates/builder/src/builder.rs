//! The builder as the engine's port knows it: what all builds share, and the two ways to an image.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use engine::{
    AssembleRequest, BuildEvent, BuildRequest, Builds, Built, Digest, EngineError, ImageConfig,
    ImageName, Images, Layer, Result, Steps,
};
use tokio::sync::mpsc;

use crate::cache::StepCache;
use crate::digests::FileDigests;
use crate::place::During;

/// Implements [`Builds`] over a content store and a runner of RUN steps.
///
/// In what it answers, `steps` counts the instructions that may make a layer (COPY, ADD, RUN,
/// WORKDIR), so that a build that changed nothing has as many `cached_steps`. Events number all
/// instructions of the needed stages. A listener that is slow slows the build; one that is gone
/// does not.
pub struct Builder {
    shared: Arc<Shared>,
}

/// What all builds share.
pub struct Shared {
    pub images: Arc<dyn Images>,
    pub steps: Arc<dyn Steps>,
    pub cache: StepCache,
    pub digests: Arc<FileDigests>,
    /// For half-done layers; whatever is in it when the builder opens is left over from a crash.
    pub scratch: PathBuf,
    /// The folders of `RUN --mount=type=cache`.
    pub caches: PathBuf,
}

impl Builder {
    /// `root` is the builder's own folder: its cache and its scratch space. Only one process may
    /// use it at a time; builds within that process run side by side.
    pub fn open(root: PathBuf, images: Arc<dyn Images>, steps: Arc<dyn Steps>) -> Result<Self> {
        let scratch = root.join("scratch");
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch)
                .during(|| format!("cannot empty `{}`", scratch.display()))?;
        }
        let caches = root.join("mounts");
        for folder in [&scratch, &caches] {
            std::fs::create_dir_all(folder)
                .during(|| format!("cannot make the folder `{}`", folder.display()))?;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                images,
                steps,
                cache: StepCache::open(root.join("steps"))?,
                digests: Arc::new(FileDigests::open(root.join("digests"))?),
                scratch,
                caches,
            }),
        })
    }
}

#[async_trait]
impl Builds for Builder {
    async fn build(
        &self,
        request: BuildRequest,
        events: mpsc::Sender<BuildEvent>,
    ) -> Result<Built> {
        crate::run::build(&self.shared, request, events).await
    }

    async fn assemble(&self, request: AssembleRequest) -> Result<Built> {
        crate::assemble::assemble(&self.shared, request).await
    }
}

impl Shared {
    /// Stores a finished image and lets every name stand for it.
    pub async fn store_image(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        history: &[String],
        names: &[ImageName],
    ) -> Result<Digest> {
        let first = names.first();
        let digest = self
            .images
            .put_image(config, layers, history, first)
            .await?;
        if let Some(first) = first {
            for name in &names[1..] {
                self.images.tag(first, name).await?;
            }
        }
        Ok(digest)
    }
}

/// Runs file work outside the async threads. What it returns owns its temporary files, so that a
/// build that is dropped meanwhile leaves nothing behind.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::machine("a build step's file work stopped").because(error))?
}
