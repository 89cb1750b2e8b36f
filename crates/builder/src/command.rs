//! RUN: a command in a container over the layers so far; what it changed becomes a layer.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use engine::{BuildEvent, EngineError, Layer, Result, RunStep};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::builder::blocking;
use crate::copy::absolute;
use crate::digests::Hasher;
use crate::gather::Gatherer;
use crate::instruction::{self, Command};
use crate::layer::normalised;
use crate::limits::{OUTPUT_LINES_IN_ERROR, OUTPUT_LINES_QUEUED};
use crate::mounts::{MountFlag, MountKind};
use crate::place::During;
use crate::prepared::{Prepared, SCRIPT_FOLDER, make_folder};
use crate::settings;
use crate::stage::{self, Run};
use crate::upper;

/// ARGs that need no declaration, and change no result worth caching apart.
const PROXY_ARGS: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

pub async fn run(run: &mut Run<'_, '_>, instruction: &instruction::Run) -> Result<Option<Layer>> {
    let call = Call::new(run, instruction)?;
    let mounts = mount_flags(run, instruction)?;
    let mut hasher = run.state.key("run");
    call.hash_into(&mut hasher);
    if let Some(network) = instruction.network {
        hasher.text(&format!("{network:?}"));
    }
    for (address, name) in &run.build.hosts {
        hasher.text(&format!("{address} {name}"));
    }
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
        .map(|mount| normalised(&mount.target))
        .collect();
    let mut env = call.env;
    for (name, value) in prepared.env {
        settings::set_env(&mut env, &name, &value);
    }
    let step = RunStep {
        directories: run.state.directories(run.build.shared).await?,
        upper: upper.clone(),
        argv: call.argv,
        env,
        working_dir: call.working_dir,
        user: run.state.config.user.clone(),
        mounts: prepared.mounts,
        stdin: None,
        network: instruction.network.unwrap_or(run.build.network),
        hosts: run.build.hosts.clone(),
        shm_bytes: run.build.shm_bytes,
        within: run.build.shared.task.clone(),
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
            // Some programs look for the one form, and some for the other.
            for name in [name.to_ascii_uppercase(), name.to_ascii_lowercase()] {
                if is_proxy && settings::get_env(&env, &name).is_none() {
                    env.push(format!("{name}={value}"));
                }
            }
        }
        let working_dir = absolute(&config.working_dir, "/");
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
            let mut flag = MountFlag::parse(text, &|value| run.expand(value))?;
            run.build.given().check(&flag)?;
            if !flag.target.is_empty() {
                flag.target = absolute(&flag.target, &run.state.config.working_dir);
            }
            Ok(flag)
        })
        .collect()
}

/// A mount's place counts always; what it shows counts unless it is a cache, which by its nature
/// must not change what a step makes.
async fn hash_mount(run: &Run<'_, '_>, mount: &MountFlag, hasher: &mut Hasher) -> Result<()> {
    hasher.text(&format!("{:?} {:?}", mount.kind, mount.env));
    hasher.text(&mount.target);
    if matches!(mount.kind, MountKind::Secret | MountKind::Ssh) {
        hasher.text(mount.given_name());
    }
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
            excludes: None,
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
    let command = step.argv.clone();
    let (code, last) = futures_util::future::join(steps.run(step, sender), output).await;
    match code? {
        0 => Ok(()),
        code => {
            let mut message = format!("the command ended with exit code {code}");
            if !last.is_empty() {
                message.push_str("; its last output was: ");
                message.push_str(&Vec::from(last).join(" / "));
            }
            let exited = BuildEvent::Exited {
                number,
                command,
                code,
            };
            run.build.tell(exited).await;
            Err(EngineError::invalid(message))
        }
    }
}
