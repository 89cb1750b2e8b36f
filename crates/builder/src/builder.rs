//! The builder as the engine's port knows it: what all builds share, and the two ways to an image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use engine::{
    AssembleRequest, BuildEvent, BuildRequest, BuildScope, Builds, Built, Digest, Downloads,
    EngineError, Foreseen, Git, ImageConfig, ImageName, Images, Layer, PrunedStep, Result, Steps,
};
use tokio::sync::mpsc;

use crate::cache::StepCache;
use crate::digests::{FileDigests, hex, sha256};
use crate::limits::SCOPES_MAX;
use crate::place::During;

/// Implements [`Builds`] over a content store and a runner of RUN steps.
///
/// In what it answers, `steps` counts the instructions that may make a layer (COPY, ADD, RUN,
/// WORKDIR), so that a build that changed nothing has as many `cached_steps`. Events number all
/// instructions of the needed stages. A listener that is slow slows the build; one that is gone
/// does not.
pub struct Builder {
    shared: Arc<Shared>,
    /// The caches of scopes, a folder each.
    scopes: PathBuf,
}

/// What all builds share; of one with a scope, what all builds of its scope share.
#[derive(Clone)]
pub struct Shared {
    pub images: Arc<dyn Images>,
    /// All that is stored, in whose space soever: where the cache's layers are looked for.
    pub content: Arc<dyn Images>,
    pub steps: Arc<dyn Steps>,
    pub cache: Arc<StepCache>,
    pub digests: Arc<FileDigests>,
    /// For half-done layers; whatever is in it when the builder opens is left over from a crash.
    pub scratch: PathBuf,
    /// The folders of `RUN --mount=type=cache`.
    pub caches: PathBuf,
    /// What ADD fetches with; without it, no address is added.
    pub downloads: Option<Arc<dyn Downloads>>,
    pub git: Option<Arc<dyn Git>>,
    /// The task that steps are a part of.
    pub task: Option<String>,
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
        let scopes = root.join("scopes");
        for folder in [&scratch, &caches, &scopes] {
            std::fs::create_dir_all(folder)
                .during(|| format!("cannot make the folder `{}`", folder.display()))?;
        }
        forget_scopes(&scopes).during(|| "cannot shorten the caches of builds".into())?;
        Ok(Self {
            scopes,
            shared: Arc::new(Shared {
                content: images.clone(),
                images,
                steps,
                cache: Arc::new(StepCache::open(root.join("steps"))?),
                digests: Arc::new(FileDigests::open(root.join("digests"))?),
                scratch,
                caches,
                downloads: None,
                git: None,
                task: None,
            }),
        })
    }

    /// With it, ADD takes the addresses of files.
    #[must_use]
    pub fn downloading(mut self, downloads: Arc<dyn Downloads>) -> Self {
        Arc::make_mut(&mut self.shared).downloads = Some(downloads);
        self
    }

    /// With it, ADD takes the addresses of Git repositories.
    #[must_use]
    pub fn cloning(mut self, git: Arc<dyn Git>) -> Self {
        Arc::make_mut(&mut self.shared).git = Some(git);
        self
    }

    /// A step's key says what went into it, and not what it fetched, so a cache is worth what those who
    /// write it are worth: each scope has its own, and folders of `--mount=type=cache` likewise.
    async fn within(&self, scope: &BuildScope) -> Result<Shared> {
        let folder = self.scopes.join(hex(&sha256(scope.cache.as_bytes())));
        let (steps, caches) = (folder.join("steps"), folder.join("mounts"));
        let (opened, made) = (steps.clone(), caches.clone());
        let cache = blocking(move || {
            std::fs::create_dir_all(&made)
                .during(|| format!("cannot make the folder `{}`", made.display()))?;
            // The folder's time is that of its last use.
            let now = std::time::SystemTime::now();
            let touched = std::fs::File::open(&folder).and_then(|it| it.set_modified(now));
            touched.during(|| format!("cannot use `{}`", folder.display()))?;
            StepCache::open(opened)
        })
        .await?;
        Ok(Shared {
            images: self.shared.images.space(&scope.space)?,
            cache: Arc::new(cache),
            caches,
            task: Some(scope.task.clone()),
            ..Shared::clone(&self.shared)
        })
    }
}

/// Those that were used last stay.
fn forget_scopes(scopes: &Path) -> std::io::Result<()> {
    let mut by_age = Vec::new();
    for entry in std::fs::read_dir(scopes)? {
        let entry = entry?;
        by_age.push((entry.metadata()?.modified()?, entry.path()));
    }
    by_age.sort();
    let surplus = by_age.len().saturating_sub(SCOPES_MAX);
    for (_, folder) in &by_age[..surplus] {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

#[async_trait]
impl Builds for Builder {
    async fn build(
        &self,
        request: BuildRequest,
        events: mpsc::Sender<BuildEvent>,
    ) -> Result<Built> {
        match &request.scope {
            None => crate::run::build(&self.shared, request, events).await,
            Some(scope) => {
                let shared = self.within(scope).await?;
                crate::run::build(&shared, request, events).await
            }
        }
    }

    async fn foresee(&self, request: &BuildRequest) -> Result<Foreseen> {
        let request = request.clone();
        blocking(move || crate::run::foresee(&request)).await
    }

    async fn assemble(&self, request: AssembleRequest) -> Result<Built> {
        crate::assemble::assemble(&self.shared, request).await
    }

    async fn prune(
        &self,
        scope: Option<&BuildScope>,
        before_ms: Option<i64>,
    ) -> Result<Vec<PrunedStep>> {
        let cache = match scope {
            None => self.shared.cache.clone(),
            Some(scope) => self.within(scope).await?.cache,
        };
        blocking(move || cache.prune(before_ms)).await
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
