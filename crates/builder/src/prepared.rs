//! What `RUN --mount` shows, made ready for the runner.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use engine::{EngineError, Result, StepMount, StepSource};
use tokio::sync::OwnedMutexGuard;

use crate::builder::blocking;
use crate::digests::{hex, sha256};
use crate::mounts::{MountFlag, MountKind, Sharing};
use crate::place::During;
use crate::stage::{self, Run};
use crate::tree::{Node, Tree};
use crate::writable;

/// Where a heredoc that begins with `#!` is mounted: `/dev` is never part of an image.
pub const SCRIPT_FOLDER: &str = "/dev/pipes";
/// Where BuildKit puts what has no `target`.
const SECRETS_FOLDER: &str = "/run/secrets";
const AGENT_PATH: &str = "/run/buildkit/ssh_agent";
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// Mounts as the runner takes them, and the locks on caches that only one step may use.
#[derive(Default)]
pub struct Prepared {
    pub mounts: Vec<StepMount>,
    /// What mounts put into the environment: secrets, and where an agent listens.
    pub env: Vec<(String, String)>,
    pub locks: Vec<OwnedMutexGuard<()>>,
}

impl Prepared {
    pub async fn add(
        &mut self,
        run: &Run<'_, '_>,
        mount: &MountFlag,
        scratch: &Path,
    ) -> Result<()> {
        let source = match mount.kind {
            MountKind::Bind => StepSource::Path(bind(run, mount, scratch).await?),
            MountKind::Tmpfs => StepSource::Memory {
                bytes_max: mount.bytes_max,
            },
            MountKind::Cache => StepSource::Path(self.cache(run, mount).await?),
            MountKind::Secret => return self.secret(run, mount, scratch),
            MountKind::Ssh => return self.agent(run, mount),
        };
        self.push(&mount.target, source, mount.read_only);
        Ok(())
    }

    fn push(&mut self, target: &str, source: StepSource, read_only: bool) {
        self.mounts.push(StepMount {
            target: PathBuf::from(target.trim_end_matches('/')),
            source,
            read_only,
        });
    }

    async fn cache(&mut self, run: &Run<'_, '_>, mount: &MountFlag) -> Result<PathBuf> {
        let name = mount.id.as_deref().unwrap_or(&mount.target);
        let from = mount.from.as_deref().unwrap_or_default();
        let mut number = 0;
        let folder = loop {
            let mut name = match from.is_empty() && mount.source.is_empty() {
                true => name.to_owned(),
                false => format!("{name}\n{from}\n{}", mount.source),
            };
            if number > 0 {
                name = format!("{name}\n{number}");
            }
            let name = hex(&sha256(name.as_bytes()));
            let folder = run.build.shared.caches.join(name);
            match mount.sharing {
                Sharing::Shared => break folder,
                Sharing::Locked => {
                    self.locks.push(lock_of(&folder).lock_owned().await);
                    break folder;
                }
                Sharing::Private => match lock_of(&folder).try_lock_owned() {
                    Ok(lock) => {
                        self.locks.push(lock);
                        break folder;
                    }
                    Err(_) => number += 1,
                },
            }
        };
        if folder.exists() {
            return Ok(folder);
        }
        if mount.from.is_some() {
            let (tree, node) = bound(run, mount).await?;
            let folder = folder.clone();
            blocking(move || writable::copy(&tree, &node, &folder)).await?;
        } else {
            make_folder(&folder)?;
        }
        let uid = mount.uid.unwrap_or(0);
        let gid = mount.gid.unwrap_or(0);
        set_owner(&folder, uid, gid, mount.mode.unwrap_or(0o755))?;
        Ok(folder)
    }

    /// One that was not given, and is not required, is not there.
    fn secret(&mut self, run: &Run<'_, '_>, mount: &MountFlag, scratch: &Path) -> Result<()> {
        let name = mount.given_name();
        let Some(secret) = run.build.secrets.get(name) else {
            return Ok(());
        };
        if let Some(variable) = &mount.env {
            let value = String::from_utf8(secret.0.clone());
            let value = value.ok().filter(|value| !value.contains('\0'));
            let value = value.ok_or_else(|| {
                EngineError::invalid(format!("the secret `{name}` is no text for a variable"))
            })?;
            self.env.push((variable.clone(), value));
            if mount.target.is_empty() {
                return Ok(());
            }
        }
        let what = || format!("cannot hand over the secret `{name}`");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600);
        file.open(scratch)
            .and_then(|mut file| file.write_all(&secret.0))
            .during(what)?;
        let (uid, gid) = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        set_owner(scratch, uid, gid, mount.mode.unwrap_or(0o400))?;
        let target = match mount.target.as_str() {
            "" => format!(
                "{SECRETS_FOLDER}/{}",
                name.rsplit('/').next().unwrap_or(name)
            ),
            target => target.to_owned(),
        };
        let source = StepSource::Path(scratch.to_owned());
        self.push(&target, source, mount.read_only);
        Ok(())
    }

    /// The first agent is the one that clients are told of.
    fn agent(&mut self, run: &Run<'_, '_>, mount: &MountFlag) -> Result<()> {
        let Some(socket) = run.build.agents.get(mount.given_name()) else {
            return Ok(());
        };
        let is_told = self.env.iter().any(|(name, _)| name == AGENT_VARIABLE);
        let number = self.mounts.len();
        let target = match mount.target.as_str() {
            "" if is_told => format!("{AGENT_PATH}.{number}"),
            "" => format!("{AGENT_PATH}.0"),
            target => target.to_owned(),
        };
        if !is_told {
            self.env.push((AGENT_VARIABLE.to_owned(), target.clone()));
        }
        self.push(&target, StepSource::Path(socket.clone()), false);
        Ok(())
    }

    pub fn add_script(&mut self, (name, text): &(String, String), scratch: &Path) -> Result<()> {
        let file = scratch.join("script");
        let what = || "cannot write the step's script".to_owned();
        std::fs::write(&file, text).during(what)?;
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).during(what)?;
        let target = format!("{SCRIPT_FOLDER}/{name}");
        self.push(&target, StepSource::Path(file), true);
        Ok(())
    }
}

/// What a bind mount shows.
async fn bound(run: &Run<'_, '_>, mount: &MountFlag) -> Result<(Tree, Node)> {
    let tree = bind_tree(run, mount).await?;
    let missing = || EngineError::invalid(format!("`{}` is not there to be mounted", mount.source));
    let node = tree.find(Path::new(&mount.source))?.ok_or_else(missing)?;
    Ok((tree, node))
}

/// The folder itself where one folder shows all of it and nobody writes to it, and else a copy, which goes
/// with the step.
async fn bind(run: &Run<'_, '_>, mount: &MountFlag, scratch: &Path) -> Result<PathBuf> {
    let (tree, node) = bound(run, mount).await?;
    if mount.read_only && tree.is_in_one_folder(&node) {
        return Ok(tree.real_path(&node));
    }
    let copy = scratch.to_owned();
    blocking(move || writable::copy(&tree, &node, &copy)).await?;
    Ok(scratch.to_owned())
}

pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).during(|| format!("cannot make the folder `{}`", path.display()))
}

fn set_owner(path: &Path, uid: u32, gid: u32, mode: u32) -> Result<()> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .and_then(|()| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)))
        .during(|| "cannot prepare a mount of the step".to_owned())
}

/// One lock per cache folder of this process.
fn lock_of(folder: &Path) -> Arc<tokio::sync::Mutex<()>> {
    type Locks = Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>;
    static LOCKS: LazyLock<Locks> = LazyLock::new(Locks::default);
    let mut locks = LOCKS.lock().unwrap_or_else(|broken| broken.into_inner());
    locks.entry(folder.to_owned()).or_default().clone()
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
