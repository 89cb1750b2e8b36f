//! RUN: a command in a container over the layers so far; what it changed becomes a layer.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use engine::{BuildEvent, EngineError, Layer, Result, RunStep};
use tempfile::TempDir;
use tokio::sync::{OwnedMutexGuard, mpsc};

use crate::builder::blocking;
use crate::copy::absolute;
use crate::digests::{Hasher, hex};
use crate::gather::Gatherer;
use crate::instruction::{self, Command};
use crate::layer::normalised;
use crate::limits::{OUTPUT_LINES_IN_ERROR, OUTPUT_LINES_QUEUED};
use crate::mounts::{MountFlag, MountKind};
use crate::place::During;
use crate::settings;
use crate::stage::{self, Run};
use crate::tree::Tree;
use crate::upper;

/// ARGs that need no declaration, and change no result worth caching apart.
const PROXY_ARGS: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];
/// Where a heredoc that begins with `#!` is mounted: `/dev` is never part of an image.
const SCRIPT_FOLDER: &str = "/dev/pipes";

pub async fn run(run: &mut Run<'_, '_>, instruction: &instruction::Run) -> Result<Option<Layer>> {
    let call = Call::new(run, instruction)?;
    let mounts = mount_flags(run, instruction)?;
    let mut hasher = run.state.key("run");
    call.hash_into(&mut hasher);
    for mount in &mounts {
        hash_mount(run, mount, &mut hasher).await?;
    }
    let key = hasher.finish();
    if let Some(step) = run.build.find_cached(&key, run.number()).await? {
        return Ok(step.layer);
    }
    let scratch = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&run.build.shared.scratch)
        .during(|| "cannot make a folder for the step".into())?;
    let upper = scratch.path().join("upper");
    make_folder(&upper)?;
    let mut prepared = Prepared::default();
    for (number, mount) in mounts.iter().enumerate() {
        let folder = scratch.path().join(format!("mount-{number}"));
        prepared.add(run, mount, &folder).await?;
    }
    if let Some(script) = &call.script {
        prepared.add_script(script, scratch.path())?;
    }
    let targets: Vec<PathBuf> = prepared
        .mounts
        .iter()
        .map(|(_, target, _)| normalised(target))
        .collect();
    let step = RunStep {
        directories: run.state.directories(run.build.shared).await?,
        upper: upper.clone(),
        argv: call.argv,
        env: call.env,
        working_dir: call.working_dir,
        user: run.state.config.user.clone(),
        mounts: prepared.mounts,
        stdin: None,
        host_network: run.build.host_network,
    };
    execute(run, step).await?;
    drop(prepared.locks);
    let layers = run.build.shared.scratch.clone();
    let below = run.state.tree(run.build.shared).await?;
    let tar = blocking(move || {
        // Owned here, so that a dropped build leaves the folder to this thread to remove.
        let scratch: TempDir = scratch;
        upper::to_layer(&scratch.path().join("upper"), &targets, &below, &layers)
    })
    .await?;
    run.store(&key, tar).await
}

/// What is executed, and with which surroundings.
struct Call {
    argv: Vec<String>,
    env: Vec<String>,
    /// Of `env`, what goes into the key: proxies do not.
    keyed_env: Vec<String>,
    working_dir: String,
    user: String,
    /// A heredoc that brings its own interpreter: its name and text.
    script: Option<(String, String)>,
}

impl Call {
    fn new(run: &Run<'_, '_>, instruction: &instruction::Run) -> Result<Self> {
        let (command, script) = command(instruction);
        let config = &run.state.config;
        let mut env = config.env.clone();
        for (name, value) in &run.state.args {
            if settings::get_env(&env, name).is_none() {
                env.push(format!("{name}={value}"));
            }
        }
        settings::ensure_path(&mut env);
        let keyed_env = env.clone();
        for (name, value) in &run.build.args {
            let is_proxy = PROXY_ARGS.contains(&name.to_ascii_uppercase().as_str());
            if is_proxy && settings::get_env(&env, name).is_none() {
                env.push(format!("{name}={value}"));
            }
        }
        let working_dir = match config.working_dir.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        Ok(Self {
            argv: settings::argv(&command, config),
            env,
            keyed_env,
            working_dir,
            user: config.user.clone(),
            script,
        })
    }

    fn hash_into(&self, hasher: &mut Hasher) {
        hasher.texts(&self.argv);
        hasher.texts(&self.keyed_env);
        hasher.text(&self.working_dir);
        hasher.text(&self.user);
        let (name, text) = self.script.clone().unwrap_or_default();
        hasher.text(&name);
        hasher.text(&text);
    }
}

/// The command with its heredocs: a heredoc alone is the script itself, others are left to the
/// shell, which reads them as it would in a file. Either way its variables are the script's own, quoted
/// name or not.
fn command(instruction: &instruction::Run) -> (Command, Option<(String, String)>) {
    let Command::Shell(text) = &instruction.command else {
        return (instruction.command.clone(), None);
    };
    match instruction.heredocs.as_slice() {
        [] => (instruction.command.clone(), None),
        [only] if only.word == *text => {
            let body = only.body.clone();
            if !body.starts_with("#!") {
                return (Command::Shell(body), None);
            }
            let path = format!("{SCRIPT_FOLDER}/{}", script_name(&only.name));
            (
                Command::Exec(vec![path]),
                Some((script_name(&only.name), body)),
            )
        }
        several => {
            let mut text = text.clone();
            for heredoc in several {
                text.push('\n');
                text.push_str(heredoc.raw_body.trim_end_matches('\n'));
            }
            text.push('\n');
            (Command::Shell(text), None)
        }
    }
}

/// A heredoc's name as a file name.
fn script_name(name: &str) -> String {
    name.chars()
        .map(|character| match character.is_ascii_alphanumeric() {
            true => character,
            false => '_',
        })
        .collect()
}

fn mount_flags(run: &Run<'_, '_>, instruction: &instruction::Run) -> Result<Vec<MountFlag>> {
    instruction
        .mounts
        .iter()
        .map(|text| {
            let mut flag = MountFlag::parse(text)?;
            flag.target = absolute(&run.expand(&flag.target)?, &run.state.config.working_dir);
            flag.source = run.expand(&flag.source)?;
            flag.id = flag.id.map(|id| run.expand(&id)).transpose()?;
            Ok(flag)
        })
        .collect()
}

/// Where a bind mount comes from: its tree.
async fn bind_tree(run: &Run<'_, '_>, mount: &MountFlag) -> Result<Tree> {
    match &mount.from {
        None => Ok(run.build.context.tree.clone()),
        Some(from) => {
            let base = run.build.plan.source(from, run.index)?;
            stage::base(run.build, &base)
                .await?
                .tree(run.build.shared)
                .await
        }
    }
}

/// A mount's place counts always; what it shows counts unless it is a cache, which by its nature
/// must not change what a step makes.
async fn hash_mount(run: &Run<'_, '_>, mount: &MountFlag, hasher: &mut Hasher) -> Result<()> {
    hasher.text(&format!("{:?}", mount.kind));
    hasher.text(&mount.target);
    if mount.kind != MountKind::Bind {
        return Ok(());
    }
    hasher.text(&mount.source);
    if let Some(from) = &mount.from {
        let base = run.build.plan.source(from, run.index)?;
        stage::base(run.build, &base).await?.hash_into(hasher);
        return Ok(());
    }
    let tree = run.build.context.tree.clone();
    let digests = run.build.shared.digests.clone();
    let source = mount.source.clone();
    let content = blocking(move || {
        let node = tree
            .find(Path::new(&source))?
            .ok_or_else(|| EngineError::invalid(format!("`{source}` is not in the context")))?;
        let gatherer = Gatherer {
            tree: &tree,
            digests: &digests,
            // The step sees the folder as it is, so all of it counts.
            ignore: None,
        };
        let mut hasher = Hasher::new("mount");
        for item in gatherer.gather(&node)? {
            item.hash_into(&mut hasher, item.node.metadata.permissions().mode());
        }
        Ok(hasher.finish())
    })
    .await?;
    hasher.field(&content);
    Ok(())
}

/// Mounts as the runner takes them, and the locks on caches that only one step may use.
#[derive(Default)]
struct Prepared {
    mounts: Vec<(PathBuf, PathBuf, bool)>,
    locks: Vec<OwnedMutexGuard<()>>,
}

impl Prepared {
    async fn add(&mut self, run: &Run<'_, '_>, mount: &MountFlag, scratch: &Path) -> Result<()> {
        let folder = match mount.kind {
            MountKind::Bind => self.bind(run, mount).await?,
            MountKind::Tmpfs => {
                make_folder(scratch)?;
                set_owner(scratch, mount)?;
                scratch.to_owned()
            }
            MountKind::Cache => {
                let name = mount.id.as_deref().unwrap_or(&mount.target);
                let folder = run
                    .build
                    .shared
                    .caches
                    .join(hex(&crate::digests::sha256(name.as_bytes())));
                if mount.locked {
                    self.locks.push(lock_of(&folder).lock_owned().await);
                }
                if !folder.exists() {
                    make_folder(&folder)?;
                    set_owner(&folder, mount)?;
                }
                folder
            }
        };
        let target = PathBuf::from(mount.target.trim_end_matches('/'));
        self.mounts.push((folder, target, mount.read_only));
        Ok(())
    }

    async fn bind(&self, run: &Run<'_, '_>, mount: &MountFlag) -> Result<PathBuf> {
        let tree = bind_tree(run, mount).await?;
        let missing =
            || EngineError::invalid(format!("`{}` is not there to be mounted", mount.source));
        let node = tree.find(Path::new(&mount.source))?.ok_or_else(missing)?;
        if !tree.is_in_one_folder(&node) {
            return Err(EngineError::invalid(format!(
                "`{}` lies in several layers, which cannot be mounted; use COPY `--from`",
                mount.source
            )));
        }
        Ok(tree.real_path(&node))
    }

    fn add_script(&mut self, (name, text): &(String, String), scratch: &Path) -> Result<()> {
        let file = scratch.join("script");
        let what = || "cannot write the step's script".to_owned();
        std::fs::write(&file, text).during(what)?;
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).during(what)?;
        let target = Path::new(SCRIPT_FOLDER).join(name);
        self.mounts.push((file, target, true));
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).during(|| format!("cannot make the folder `{}`", path.display()))
}

fn set_owner(folder: &Path, mount: &MountFlag) -> Result<()> {
    std::os::unix::fs::chown(folder, Some(mount.uid), Some(mount.gid))
        .and_then(|()| std::fs::set_permissions(folder, PermissionsExt::from_mode(mount.mode)))
        .during(|| format!("cannot prepare the mount at `{}`", mount.target))
}

/// One lock per cache folder of this process.
fn lock_of(folder: &Path) -> Arc<tokio::sync::Mutex<()>> {
    type Locks = Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>;
    static LOCKS: LazyLock<Locks> = LazyLock::new(Locks::default);
    let mut locks = LOCKS.lock().unwrap_or_else(|broken| broken.into_inner());
    locks.entry(folder.to_owned()).or_default().clone()
}

/// Runs the step and passes its output on; an exit code other than 0 is an error.
async fn execute(run: &Run<'_, '_>, step: RunStep) -> Result<()> {
    let (sender, mut lines) = mpsc::channel(OUTPUT_LINES_QUEUED);
    let number = run.number();
    let output = async {
        let mut last = VecDeque::new();
        while let Some(line) = lines.recv().await {
            if last.len() == OUTPUT_LINES_IN_ERROR {
                last.pop_front();
            }
            last.push_back(String::clone(&line));
            run.build.tell(BuildEvent::Output { number, line }).await;
        }
        last
    };
    let steps = &run.build.shared.steps;
    let (code, last) = futures_util::future::join(steps.run(step, sender), output).await;
    match code? {
        0 => Ok(()),
        code => {
            let mut message = format!("the command ended with exit code {code}");
            if !last.is_empty() {
                message.push_str("; its last output was: ");
                message.push_str(&Vec::from(last).join(" / "));
            }
            Err(EngineError::invalid(message))
        }
    }
}
