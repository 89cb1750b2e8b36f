//! One build: its inputs, and its stages as far as they are done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{
    BuildEvent, BuildRequest, BuildSecret, Built, EngineError, Foreseen, ImageConfig, ImageName,
    PreparedImage, RegistryLogin, Result, StepNetwork,
};
use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::{OnceCell, mpsc};

use crate::builder::Shared;
use crate::copy::Origin;
use crate::digests::Sha256;
use crate::ignore::Ignore;
use crate::limits::DOCKERFILE_BYTES_MAX;
use crate::place::During;
use crate::stage::{self, State};
use crate::stages::{Base, Given, Plan};
use crate::tree::Tree;

pub struct Build<'a> {
    pub shared: &'a Shared,
    pub plan: Plan,
    pub context: Arc<Context>,
    pub args: BTreeMap<String, String>,
    pub no_cache: bool,
    pub network: StepNetwork,
    pub hosts: Vec<(String, String)>,
    pub shm_bytes: Option<u64>,
    pub secrets: BTreeMap<String, BuildSecret>,
    pub agents: BTreeMap<String, PathBuf>,
    pub logins: BTreeMap<String, RegistryLogin>,
    /// The number of each stage's first step, for stages that are needed.
    first_steps: Vec<usize>,
    total_steps: usize,
    events: mpsc::Sender<BuildEvent>,
    stages: Vec<OnceCell<Arc<State>>>,
    layer_steps: AtomicUsize,
    cached_steps: AtomicUsize,
}

/// The folder that COPY reads from.
pub struct Context {
    pub tree: Tree,
    pub ignore: Ignore,
}

impl Context {
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            tree: &self.tree,
            ignore: Some(&self.ignore),
            name: "the context",
            keeps_owners: false,
        }
    }
}

pub async fn build(
    shared: &Shared,
    request: BuildRequest,
    events: mpsc::Sender<BuildEvent>,
) -> Result<Built> {
    let (dockerfile, text, context) = inputs(&request)?;
    let lines = crate::lines::read(&dockerfile, &text)?;
    let given = Given {
        network: request.network,
        secrets: &request.secrets,
        agents: &request.agents,
    };
    let target = request.target.as_deref();
    let plan = Plan::new(lines, &dockerfile, &request.args, target, Some(&given))?;
    let build = Build::new(shared, plan, context, &request, events);
    let state = build.stage(build.plan.target).await?;
    let mut config: ImageConfig = state.config.clone();
    config.labels.extend(request.labels.clone());
    let digest = shared
        .store_image(&config, &state.layers, &state.history, &request.names)
        .await?;
    Ok(Built {
        digest,
        size_bytes: state.layers.iter().map(|l| l.blob.size_bytes).sum(),
        steps: build.layer_steps.load(Ordering::Relaxed),
        cached_steps: build.cached_steps.load(Ordering::Relaxed),
    })
}

/// See [`engine::Builds::foresee`].
pub fn foresee(request: &BuildRequest) -> Result<Foreseen> {
    let (dockerfile, text, _) = inputs(request)?;
    let lines = crate::lines::read(&dockerfile, &text)?;
    let target = request.target.as_deref();
    Plan::new(lines, &dockerfile, &request.args, target, None)?.foresee()
}

/// The Dockerfile's name and text, and the context.
fn inputs(request: &BuildRequest) -> Result<(String, String, Arc<Context>)> {
    let folder = request
        .context
        .canonicalize()
        .during(|| format!("cannot read the context `{}`", request.context.display()))?;
    if !folder.is_dir() {
        return Err(EngineError::invalid(format!(
            "the context `{}` is not a folder",
            request.context.display()
        )));
    }
    let tree = Tree::of_folder(folder);
    let name = match request.dockerfile.as_os_str().is_empty() {
        true => Path::new("Dockerfile"),
        false => request.dockerfile.as_path(),
    };
    let text = match &request.dockerfile_text {
        Some(text) => text.clone(),
        None => read_dockerfile(&tree, name)?,
    };
    let is_of_context = request.dockerfile_text.is_none() && name.is_relative();
    let ignore = match &request.ignore_text {
        Some(text) => Ignore::parse(text)?,
        None => Ignore::of_context(&tree, is_of_context.then_some(name))?,
    };
    Ok((
        name.display().to_string(),
        text,
        Arc::new(Context { tree, ignore }),
    ))
}

/// A relative path is one of the context, and no link of the context leads out of it: what stands
/// in a file that is not a Dockerfile would be told in an error.
fn read_dockerfile(context: &Tree, name: &Path) -> Result<String> {
    let missing = || {
        EngineError::not_found(format!(
            "there is no Dockerfile `{}` in the context",
            name.display()
        ))
    };
    if name.is_relative() {
        let text = context.read_text(name, DOCKERFILE_BYTES_MAX)?;
        return text.ok_or_else(missing);
    }
    let (folder, file) = name.parent().zip(name.file_name()).ok_or_else(missing)?;
    Tree::of_folder(folder.to_owned())
        .read_text(Path::new(file), DOCKERFILE_BYTES_MAX)?
        .ok_or_else(missing)
}

impl<'a> Build<'a> {
    fn new(
        shared: &'a Shared,
        plan: Plan,
        context: Arc<Context>,
        request: &BuildRequest,
        events: mpsc::Sender<BuildEvent>,
    ) -> Self {
        let mut first_steps = vec![0; plan.stages.len()];
        let mut total_steps = 0;
        for stage in plan.needed() {
            first_steps[stage] = total_steps + 1;
            // FROM is a step too.
            total_steps += plan.stages[stage].instructions.len() + 1;
        }
        Self {
            shared,
            stages: plan.stages.iter().map(|_| OnceCell::new()).collect(),
            plan,
            context,
            args: request.args.clone(),
            no_cache: request.no_cache,
            network: request.network,
            hosts: request.hosts.clone(),
            shm_bytes: request.shm_bytes,
            secrets: request.secrets.clone(),
            agents: request.agents.clone(),
            logins: request.logins.clone(),
            first_steps,
            total_steps,
            events,
            layer_steps: AtomicUsize::new(0),
            cached_steps: AtomicUsize::new(0),
        }
    }

    pub fn given(&self) -> Given<'_> {
        Given {
            network: self.network,
            secrets: &self.secrets,
            agents: &self.agents,
        }
    }

    /// The result of a stage. What it needs is built first, side by side; a stage that several
    /// others need is built once, and they wait for it.
    pub fn stage(&self, index: usize) -> BoxFuture<'_, Result<Arc<State>>> {
        Box::pin(async move {
            self.stages[index]
                .get_or_try_init(|| async move {
                    let needs = &self.plan.stages[index].needs;
                    try_join_all(needs.iter().map(|need| self.stage(*need))).await?;
                    stage::run(self, index).await.map(Arc::new)
                })
                .await
                .cloned()
        })
    }

    /// The number of a stage's step, where step 0 is its FROM.
    pub fn step_number(&self, stage: usize, step: usize) -> usize {
        self.first_steps[stage] + step
    }

    /// Tells whoever listens. Waits when the listener is slow; goes on when there is none.
    pub async fn tell(&self, event: BuildEvent) {
        let _ = self.events.send(event).await;
    }

    pub async fn tell_step(&self, stage: usize, step: usize, text: &str) {
        let counted = match (step, &self.plan.stages[stage].base) {
            (0, Base::Image(name)) => format!("FROM {name}"),
            _ => text.to_owned(),
        };
        self.tell_as(stage, step, text, &counted).await;
    }

    /// A step that the image below wants done. It is counted as its FROM is.
    pub async fn tell_trigger(&self, stage: usize, text: &str) {
        self.tell_as(stage, 0, text, text).await;
    }

    async fn tell_as(&self, stage: usize, step: usize, text: &str, counted: &str) {
        let plan = &self.plan.stages[stage];
        let place = self.plan.counted(stage, step);
        let event = BuildEvent::Step {
            number: self.step_number(stage, step),
            total: self.total_steps,
            text: format!(
                "[{} {}/{}] {text}",
                plan.name,
                step + 1,
                plan.instructions.len() + 1
            ),
            counted: place.map(|place| format!("{place} {counted}")),
        };
        self.tell(event).await;
    }

    pub async fn tell_end<T>(&self, stage: usize, step: usize, outcome: &Result<T>) {
        let event = BuildEvent::Ended {
            number: self.step_number(stage, step),
            error: outcome.as_ref().err().map(EngineError::chain),
        };
        self.tell(event).await;
    }

    /// Makes an image ready that a stage stands on or copies from.
    pub async fn prepare(&self, name: &ImageName) -> Result<PreparedImage> {
        let login = self.logins.get(&name.repository.host).cloned();
        self.shared.images.prepare(name, login).await
    }

    /// Looks a layer up, and counts. `Some(None)` is a step that is known to change nothing.
    pub async fn find_cached(
        &self,
        key: &Sha256,
        number: usize,
    ) -> Result<Option<engine::CachedStep>> {
        self.layer_steps.fetch_add(1, Ordering::Relaxed);
        if self.no_cache {
            return Ok(None);
        }
        let found = self.shared.cache.find(key, &*self.shared.content).await?;
        if found.is_some() {
            self.cached_steps.fetch_add(1, Ordering::Relaxed);
            self.tell(BuildEvent::Cached { number }).await;
        }
        Ok(found)
    }
}
