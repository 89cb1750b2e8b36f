//! One stage, instruction by instruction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{CachedStep, EngineError, ImageConfig, Layer, Result};
use tokio::sync::OnceCell;

use crate::builder::{Shared, blocking};
use crate::copy::{self, Origin, Source, absolute};
use crate::digests::{Hasher, Sha256};
use crate::ignore::Ignore;
use crate::instruction::{self, Copy, CopySource, Instruction, Kind};
use crate::lines::Heredoc;
use crate::mode::FileMode;
use crate::place::Place;
use crate::remote::{Fetching, Remote};
use crate::run::Build;
use crate::stages::{Base, platform_arg, sources};
use crate::tree::Tree;
use crate::words::Expander;
use crate::{command, owner, placing, settings};

/// Part of every key: raise it when layers are written in another way.
const VERSION: &str = "3";

/// An image in the making.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub config: ImageConfig,
    pub layers: Vec<Layer>,
    pub history: Vec<String>,
    /// Declared ARGs that have a value.
    pub args: BTreeMap<String, String>,
    /// Whether the CMD was set by this stage.
    own_cmd: bool,
    /// The unpacked layers; asked for only when a step is not cached.
    directories: OnceCell<Vec<PathBuf>>,
}

impl State {
    /// The files of the image so far.
    pub async fn tree(&self, shared: &Shared) -> Result<Tree> {
        self.directories(shared).await.map(Tree::new)
    }

    pub async fn directories(&self, shared: &Shared) -> Result<Vec<PathBuf>> {
        self.directories
            .get_or_try_init(|| async {
                if self.layers.is_empty() {
                    return Ok(Vec::new());
                }
                let images = &shared.images;
                let digest = images
                    .put_image(&ImageConfig::default(), &self.layers, &[], None)
                    .await?;
                images
                    .prepare_digest(&digest)
                    .await
                    .map(|prepared| prepared.directories)
            })
            .await
            .cloned()
    }

    fn push(&mut self, layer: Option<Layer>) {
        if let Some(layer) = layer {
            self.layers.push(layer);
            self.directories = OnceCell::new();
        }
    }

    /// Begins a step's key: what the step stands on is the content of the layers below.
    pub fn key(&self, kind: &str) -> Hasher {
        let mut hasher = Hasher::new(VERSION);
        hasher.text(kind);
        self.hash_into(&mut hasher);
        hasher
    }

    pub fn hash_into(&self, hasher: &mut Hasher) {
        hasher.field(&(self.layers.len() as u64).to_le_bytes());
        for layer in &self.layers {
            hasher.text(layer.diff_id.as_str());
        }
    }

    /// A variable as instructions see it: ENV goes before ARG.
    fn variable(&self, name: &str) -> Option<String> {
        settings::get_env(&self.config.env, name).or_else(|| self.args.get(name).cloned())
    }
}

pub async fn run(build: &Build<'_>, index: usize) -> Result<State> {
    let stage = &build.plan.stages[index];
    let text = stage.place.short_text();
    build.tell_step(index, 0, &text).await;
    let state = base(build, &stage.base)
        .await
        .map_err(|error| stage.place.wrap(error));
    build.tell_end(index, 0, &state).await;
    let state = state?;
    let mut run = Run {
        build,
        index,
        step: 0,
        state,
    };
    run.triggers(&stage.place).await?;
    for (position, instruction) in stage.instructions.iter().enumerate() {
        run.step = position + 1;
        let text = instruction.place.short_text();
        build.tell_step(index, run.step, &text).await;
        let ended = run.instruction(instruction).await;
        let ended = ended.map_err(|error| instruction.place.wrap(error));
        build.tell_end(index, run.step, &ended).await;
        ended?;
        run.state.history.push(text);
    }
    Ok(run.state)
}

/// Where a stage starts, and what `--from` reads from.
pub async fn base(build: &Build<'_>, base: &Base) -> Result<State> {
    match base {
        Base::Scratch => {
            let mut config = ImageConfig {
                working_dir: "/".to_owned(),
                ..ImageConfig::default()
            };
            settings::ensure_path(&mut config.env);
            Ok(State {
                config,
                ..State::default()
            })
        }
        Base::Stage(stage) => {
            let mut state = State::clone(&*build.stage(*stage).await?);
            state.own_cmd = false;
            Ok(state)
        }
        Base::Image(name) => {
            let prepared = build.prepare(name).await?;
            let mut config = prepared.config;
            settings::ensure_path(&mut config.env);
            Ok(State {
                config,
                layers: prepared.layers,
                directories: OnceCell::new_with(Some(prepared.directories)),
                ..State::default()
            })
        }
    }
}

pub struct Run<'a, 'b> {
    pub build: &'a Build<'b>,
    pub index: usize,
    pub step: usize,
    pub state: State,
}

impl Run<'_, '_> {
    /// What the image below wants done first. It is done once: the new image does not inherit it.
    async fn triggers(&mut self, from: &Place) -> Result<()> {
        let mut triggers = Vec::new();
        for text in std::mem::take(&mut self.state.config.on_build) {
            let trigger = instruction::parse_trigger(&text, from)?;
            let given = self.build.given();
            sources(&trigger.kind, Some(&given)).map_err(|error| trigger.place.wrap(error))?;
            triggers.push(trigger);
        }
        for trigger in triggers {
            let text = trigger.place.short_text();
            self.build.tell_trigger(self.index, &text).await;
            let ended = self.instruction(&trigger).await;
            let ended = ended.map_err(|error| trigger.place.wrap(error));
            self.build.tell_end(self.index, 0, &ended).await;
            ended?;
            self.state.history.push(text);
        }
        Ok(())
    }

    async fn instruction(&mut self, instruction: &Instruction) -> Result<()> {
        match &instruction.kind {
            Kind::Arg(declared) => self.declare(declared),
            Kind::Copy(copy) => self.copy(copy).await,
            Kind::Run(run) => {
                let layer = command::run(self, run).await?;
                self.state.push(layer);
                Ok(())
            }
            Kind::Workdir(path) => self.working_dir(path).await,
            other => {
                let mut config = std::mem::take(&mut self.state.config);
                let mut own_cmd = self.state.own_cmd;
                let before = config.env.clone();
                let lookup = |name: &str| {
                    settings::get_env(&before, name).or_else(|| self.state.args.get(name).cloned())
                };
                let expander = Expander {
                    escape: self.build.plan.escape,
                    lookup: &lookup,
                };
                let applied = settings::apply(other, &mut config, &mut own_cmd, &expander);
                self.state.config = config;
                self.state.own_cmd = own_cmd;
                applied.map(|_| ())
            }
        }
    }

    pub fn number(&self) -> usize {
        self.build.step_number(self.index, self.step)
    }

    pub fn with_expander<T>(&self, work: impl FnOnce(&Expander<'_>) -> T) -> T {
        let lookup = |name: &str| self.state.variable(name);
        work(&Expander {
            escape: self.build.plan.escape,
            lookup: &lookup,
        })
    }

    pub fn expand(&self, text: &str) -> Result<String> {
        self.with_expander(|expander| expander.word(text))
    }

    fn declare(&mut self, declared: &[(String, Option<String>)]) -> Result<()> {
        for (name, default) in declared {
            let given = self.build.args.get(name).cloned();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(self.expand(default)?),
                (None, None) => self
                    .build
                    .plan
                    .global_args
                    .get(name)
                    .cloned()
                    .or_else(|| platform_arg(name).map(str::to_owned)),
            };
            if let Some(value) = value {
                self.state.args.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    async fn working_dir(&mut self, path: &str) -> Result<()> {
        let path = self.expand(path)?;
        if path.is_empty() {
            return Err(EngineError::invalid("the WORKDIR is empty here"));
        }
        let above = std::mem::take(&mut self.state.config.working_dir);
        self.state.config.working_dir = copy::working_dir(&path, &above);
        let path = absolute(&path, &above);
        let path = match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        let mut hasher = self.state.key("workdir");
        hasher.text(&path);
        hasher.text(&self.state.config.user);
        let key = hasher.finish();
        if let Some(step) = self.build.find_cached(&key, self.number()).await? {
            self.state.push(step.layer);
            return Ok(());
        }
        let tree = self.state.tree(self.build.shared).await?;
        let owner = self.user(&tree)?;
        let scratch = self.build.shared.scratch.clone();
        let tar = blocking(move || {
            let existing = tree.find(Path::new(&path))?;
            if existing.is_some_and(|node| node.is_folder()) || path == "/" {
                return Ok(None);
            }
            placing::write_folder(Path::new(&path), &tree, owner, &scratch).map(Some)
        })
        .await?;
        let layer = self.store(&key, tar).await?;
        self.state.push(layer);
        Ok(())
    }

    /// The owner of what the USER makes.
    fn user(&self, tree: &Tree) -> Result<(u64, u64)> {
        match self.state.config.user.as_str() {
            "" => Ok((0, 0)),
            user => owner::resolve(user, tree),
        }
    }

    /// Stores a new layer and remembers it under its key.
    pub async fn store(
        &self,
        key: &Sha256,
        tar: Option<tempfile::TempPath>,
    ) -> Result<Option<Layer>> {
        let shared = self.build.shared;
        let layer = match tar {
            Some(tar) => Some(shared.images.put_layer(&tar).await?),
            None => None,
        };
        let step = CachedStep {
            layer: layer.clone(),
        };
        shared.cache.store(key, &step)?;
        Ok(layer)
    }

    async fn copy(&mut self, copy: &Copy) -> Result<()> {
        let request = self.copy_request(copy)?;
        let chown = copy.chown.as_deref();
        let chown = chown.map(|text| self.expand(text)).transpose()?;
        let mut hasher = self.state.key("copy");
        hasher.text(&request.to);
        hasher.text(chown.as_deref().unwrap_or_default());
        hasher.text(&format!(
            "{:?} {} {} {:?}",
            request.chmod, request.unpacks, request.parents, request.excludes
        ));
        match &copy.from {
            None => {
                let checksum = self.checksum(copy, &request)?;
                self.copy_from_context(request, chown, checksum, hasher)
                    .await
            }
            Some(from) => self.copy_from_image(request, chown, hasher, from).await,
        }
    }

    /// What a source that is fetched has to be.
    fn checksum(&self, copy: &Copy, request: &copy::Request) -> Result<Option<String>> {
        let Some(checksum) = &copy.checksum else {
            return Ok(None);
        };
        let checksum = self.expand(checksum)?;
        match request.sources.as_slice() {
            [Source::Remote(remote)] => remote.check(&checksum).map(|()| Some(checksum)),
            _ => Err(EngineError::invalid(
                "`--checksum` is for addresses, and the source is none",
            )),
        }
    }

    /// From the context the key is what is found there, and from elsewhere what is fetched.
    async fn copy_from_context(
        &mut self,
        request: copy::Request,
        chown: Option<String>,
        checksum: Option<String>,
        mut hasher: Hasher,
    ) -> Result<()> {
        let mut fetching = None;
        for source in &request.sources {
            let Source::Remote(remote) = source else {
                continue;
            };
            if fetching.is_none() {
                fetching = Some(Fetching::new(self.build.shared, checksum.clone())?);
            }
            if let Some(fetching) = &mut fetching {
                hasher.text(&fetching.identity(remote).await?);
                hasher.text(&format!("{}", request.unpacks_fetched));
            }
        }
        let context = self.build.context.clone();
        let digests = self.build.shared.digests.clone();
        let (mut request, context, found) = blocking(move || {
            let found = copy::find(&request, &context.origin(), &digests)?;
            Ok((request, context, found))
        })
        .await?;
        found.hash_into(&mut hasher);
        let key = hasher.finish();
        if let Some(step) = self.build.find_cached(&key, self.number()).await? {
            self.state.push(step.layer);
            return Ok(());
        }
        if let Some(fetching) = &mut fetching {
            request.sources = fetching.sources(request.sources).await?;
        }
        let (below, owner) = self.below_and_owner(chown).await?;
        let scratch = self.build.shared.scratch.clone();
        let digests = self.build.shared.digests.clone();
        let is_fetched = fetching.is_some();
        let tar = blocking(move || {
            let origin = context.origin();
            let found = match is_fetched {
                true => copy::find(&request, &origin, &digests)?,
                false => found,
            };
            placing::write(&request, &found, &origin, &below, owner, &scratch)
        })
        .await?;
        self.finish(&key, tar).await
    }

    /// From a stage or an image the key is the contents of its layers, so that nothing needs to be
    /// unpacked or walked to find out that nothing has changed.
    async fn copy_from_image(
        &mut self,
        request: copy::Request,
        chown: Option<String>,
        mut hasher: Hasher,
        from: &str,
    ) -> Result<()> {
        let source = base(self.build, &self.build.plan.source(from, self.index)?).await?;
        source.hash_into(&mut hasher);
        for path in &request.sources {
            hasher.text(&format!("{path:?}"));
        }
        let key = hasher.finish();
        if let Some(step) = self.build.find_cached(&key, self.number()).await? {
            self.state.push(step.layer);
            return Ok(());
        }
        let tree = source.tree(self.build.shared).await?;
        let (below, owner) = self.below_and_owner(chown).await?;
        let scratch = self.build.shared.scratch.clone();
        let digests = self.build.shared.digests.clone();
        let name = format!("`{from}`");
        let tar = blocking(move || {
            let origin = Origin {
                tree: &tree,
                ignore: None,
                name: &name,
                keeps_owners: true,
            };
            let found = copy::find(&request, &origin, &digests)?;
            placing::write(&request, &found, &origin, &below, owner, &scratch)
        })
        .await?;
        self.finish(&key, tar).await
    }

    async fn below_and_owner(&self, chown: Option<String>) -> Result<(Tree, Option<(u64, u64)>)> {
        let below = self.state.tree(self.build.shared).await?;
        let owner = chown
            .map(|text| owner::resolve(&text, &below))
            .transpose()?;
        Ok((below, owner))
    }

    async fn finish(&mut self, key: &Sha256, tar: Option<tempfile::TempPath>) -> Result<()> {
        let layer = self.store(key, tar).await?;
        self.state.push(layer);
        Ok(())
    }

    fn copy_request(&self, copy: &Copy) -> Result<copy::Request> {
        let sources = copy
            .sources
            .iter()
            .map(|source| match source {
                // What an empty variable leaves is the top of the source.
                CopySource::Path(path) => {
                    let path = self.expand(path)?;
                    let remote = match copy.is_add {
                        true => Remote::parse(&path)?,
                        false => None,
                    };
                    Ok(remote.map_or(Source::Path(path), Source::Remote))
                }
                CopySource::Heredoc(heredoc) => {
                    let text = self.body(heredoc)?;
                    Ok(Source::Text(heredoc.name.clone(), text))
                }
            })
            .collect::<Result<_>>()?;
        let to = match self.expand(&copy.to)? {
            // What an empty variable leaves is the working folder.
            empty if empty.is_empty() => "./".to_owned(),
            to => to,
        };
        let chmod = match &copy.chmod {
            Some(text) => Some(FileMode::parse(&self.expand(text)?)?),
            None => None,
        };
        let excludes = copy.excludes.iter().map(|text| self.expand(text));
        let excludes = excludes.collect::<Result<Vec<_>>>()?;
        Ok(copy::Request {
            parents: copy.parents,
            excludes: Ignore::parse(&excludes.join("\n"))?,
            unpacks: copy.is_add && copy.unpack != Some(false),
            unpacks_fetched: copy.unpack == Some(true),
            sources,
            to: absolute(&to, &self.state.config.working_dir),
            chmod,
        })
    }

    pub fn body(&self, heredoc: &Heredoc) -> Result<String> {
        match heredoc.expands {
            true => self.with_expander(|expander| expander.body(&heredoc.body)),
            false => Ok(heredoc.body.clone()),
        }
    }
}
