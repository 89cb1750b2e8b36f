//! Git repositories that are kept here, and remote ones that are read.
//!
//! **The program `git` is run.** Everything else that neargate does to the machine it does itself,
//! but of Git's server side (packs that are negotiated, received, checked and repacked) there is no
//! library that is as well kept as Git's own program, and a repository that was damaged by another
//! is nobody's idea of a saving. It is run without a shell, in an environment of our own making
//! (`run.rs`): no configuration of the machine or its users, no hooks, no prompts, no transport but
//! HTTP, a bound on time and size, and arguments that were checked not to be options (`names.rs`).
//! A password travels in the environment of the one call that needs it; a line of shell that Git runs
//! for it (`remote.rs`) gives it to the host that it is for only.
//!
//! ```text
//! <root>/hosted/<id>.git            repositories kept here, bare
//! <root>/mirrors/<hash>.shallow     copies of remote ones: files of single commits
//! <root>/mirrors/<hash>.full        copies with their history
//! <root>/scratch/                   index files while files are checked out
//! ```
//!
//! Not done: submodules are not fetched, and files of Git LFS stay the pointers that they are.

mod commands;
mod inflate;
mod limits;
mod names;
mod read;
mod remote;
mod run;
mod serve;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use engine::*;
use reach::Reach;
use tokio::sync::broadcast;

pub use commands::Push;
pub use inflate::inflate;
pub use serve::{Pack, known_protocol};

use crate::limits::{CHANGES_MAX, FETCH_TIMEOUT, SERVED_MAX, SERVED_OF_ONE_MAX};
use crate::names::check_id;
use crate::remote::{Depth, Mirrors};
use crate::run::git;
use crate::serve::Pushed;

pub struct GitStore {
    root: PathBuf,
    mirrors: Mirrors,
    changes: broadcast::Sender<String>,
    served: Shares,
}

impl GitStore {
    /// Opens what is kept below `root`. Remote repositories are read where `reach` leads.
    pub fn open(root: PathBuf, reach: Reach) -> Result<Self> {
        let scratch = root.join("scratch");
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        std::fs::create_dir_all(&scratch)?;
        std::fs::create_dir_all(root.join("hosted"))?;
        Ok(Self {
            mirrors: Mirrors::open(root.join("mirrors"), reach)?,
            root,
            changes: broadcast::channel(CHANGES_MAX).0,
            served: Shares::new(SERVED_MAX, SERVED_OF_ONE_MAX),
        })
    }

    /// What a repository that is kept here has, in answer to a client's `info/refs`.
    pub async fn advertise(
        &self,
        id: &str,
        pack: Pack,
        protocol: Option<&'static str>,
    ) -> Result<Vec<u8>> {
        serve::advertise(&self.hosted(id)?, pack, protocol).await
    }

    /// A clone, a fetch or a push: the client's part in, the repository's out. `who` asks for it.
    pub async fn exchange(
        &self,
        who: &str,
        id: &str,
        pack: Pack,
        protocol: Option<&'static str>,
        input: ByteStream,
    ) -> Result<ByteStream> {
        let repository = self.hosted(id)?;
        let turn = self.served.take(who).await;
        let pushed = Pushed {
            id: id.to_owned(),
            changes: self.changes.clone(),
        };
        serve::exchange(repository.into(), pack, protocol, input, pushed, turn)
    }

    fn place(&self, id: &str) -> Result<PathBuf> {
        check_id(id)?;
        Ok(self.root.join("hosted").join(format!("{id}.git")))
    }

    fn hosted(&self, id: &str) -> Result<PathBuf> {
        let place = self.place(id)?;
        if !place.join("HEAD").exists() {
            return Err(EngineError::not_found(format!(
                "there is no repository `{id}`"
            )));
        }
        Ok(place)
    }

    /// A repository on this disk that has the revision, and the revision's commit.
    async fn with(
        &self,
        source: &GitSource,
        revision: &str,
        depth: Depth,
    ) -> Result<(PathBuf, String)> {
        match source {
            GitSource::Hosted(id) => {
                let place = self.hosted(id)?;
                let commit = read::resolve(&place, revision).await?;
                Ok((place, commit))
            }
            GitSource::Remote { url, login } => {
                self.mirrors.with(url, login, revision, depth).await
            }
        }
    }

    fn scratch(&self) -> String {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        format!("s{}", COUNTER.fetch_add(1, Ordering::Relaxed))
    }

    fn changed(&self, id: &str) {
        let _ = self.changes.send(id.to_owned());
    }
}

/// The version of the program, or why there is none.
pub fn version() -> Result<String> {
    let output = std::process::Command::new("git").arg("--version").output();
    let output = output
        .map_err(|error| EngineError::machine("the program `git` cannot be run").because(error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Git can be told since 2.37 which address a name was found to have. An older one would look it up
/// again, and might find another.
fn check_pins() -> Result<()> {
    static PINS: OnceLock<bool> = OnceLock::new();
    let able = match PINS.get() {
        Some(able) => *able,
        None => {
            let able = can_pin(&version()?);
            *PINS.get_or_init(|| able)
        }
    };
    match able {
        true => Ok(()),
        false => Err(EngineError::machine(
            "repositories of other servers than the one of --github are read with Git 2.37 or later",
        )),
    }
}

/// `git version 2.47.3`
fn can_pin(version: &str) -> bool {
    let numbers = version.rsplit(' ').next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|it| it.parse::<u32>().ok());
    let pair = (numbers.next().flatten(), numbers.next().flatten());
    matches!(pair, (Some(major), Some(minor)) if (major, minor) >= (2, 37))
}

/// A clone of what is on this disk, which knows where it came from.
async fn clone(
    from: &Path,
    url: Option<&str>,
    revision: &str,
    id: &str,
    into: &Path,
) -> Result<()> {
    let branch = read::branches(from)
        .await?
        .get(revision)
        .is_some_and(|it| it == id);
    let arguments: [&std::ffi::OsStr; 6] = [
        "clone".as_ref(),
        "--quiet".as_ref(),
        "--no-checkout".as_ref(),
        "--no-hardlinks".as_ref(),
        from.as_os_str(),
        into.as_os_str(),
    ];
    let copy = git(arguments).set("protocol.file.allow", "always");
    copy.within(FETCH_TIMEOUT).run().await?;
    let at = |arguments: &[&str]| {
        git(arguments)
            .at(&into.join(".git"))
            .with("GIT_WORK_TREE", into)
            .within(FETCH_TIMEOUT)
    };
    match branch {
        true => at(&["checkout", "--quiet", "--force", "-B", revision, id]),
        false => at(&["checkout", "--quiet", "--force", "--detach", id]),
    }
    .run()
    .await?;
    match url {
        Some(url) => at(&["remote", "set-url", "origin", url]),
        None => at(&["remote", "remove", "origin"]),
    }
    .run()
    .await
    .map(|_| ())
}

#[async_trait]
impl Git for GitStore {
    async fn create(&self, id: &str) -> Result<()> {
        remote::init(&self.place(id)?).await
    }

    async fn delete(&self, id: &str) -> Result<()> {
        match tokio::fs::remove_dir_all(self.place(id)?).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn branches(&self, source: &GitSource) -> Result<BTreeMap<String, String>> {
        match source {
            GitSource::Hosted(id) => read::branches(&self.hosted(id)?).await,
            GitSource::Remote { url, login } => self.mirrors.branches(url, login).await,
        }
    }

    async fn default_branch(&self, source: &GitSource) -> Result<Option<String>> {
        match source {
            GitSource::Hosted(id) => read::default_branch(&self.hosted(id)?).await,
            GitSource::Remote { url, login } => self.mirrors.default_branch(url, login).await,
        }
    }

    async fn set_default_branch(&self, id: &str, branch: &str) -> Result<()> {
        write::set_default_branch(&self.hosted(id)?, branch).await
    }

    async fn commit(&self, source: &GitSource, revision: &str) -> Result<GitCommit> {
        let (place, id) = self.with(source, revision, Depth::Shallow).await?;
        read::commit(&place, &id).await
    }

    async fn checkout(
        &self,
        source: &GitSource,
        revision: &str,
        into: &Path,
        history: GitHistory,
    ) -> Result<GitCommit> {
        let depth = match history {
            GitHistory::FilesOnly => Depth::Shallow,
            GitHistory::Full => Depth::Full,
        };
        let (place, id) = self.with(source, revision, depth).await?;
        match history {
            GitHistory::FilesOnly => {
                let index = self.root.join("scratch").join(self.scratch());
                read::check_out(&place, &id, into, &index).await?;
            }
            GitHistory::Full => {
                let url = match source {
                    GitSource::Hosted(_) => None,
                    GitSource::Remote { url, .. } => Some(url.as_str()),
                };
                clone(&place, url, revision, &id, into).await?;
            }
        }
        read::commit(&place, &id).await
    }

    async fn changed_paths(
        &self,
        source: &GitSource,
        from: Option<&str>,
        to: &str,
    ) -> Result<Vec<String>> {
        let (place, to) = self.with(source, to, Depth::Full).await?;
        let from = match from {
            Some(from) => Some(read::resolve(&place, from).await?),
            None => None,
        };
        let differences = read::differences(&place, from.as_deref(), &to).await?;
        Ok(differences.into_iter().map(|it| it.path).collect())
    }

    async fn differences(
        &self,
        id: &str,
        from: Option<&str>,
        to: &str,
    ) -> Result<Vec<GitDifference>> {
        let place = self.hosted(id)?;
        let to = read::resolve(&place, to).await?;
        let from = match from {
            Some(from) => Some(read::resolve(&place, from).await?),
            None => None,
        };
        read::differences(&place, from.as_deref(), &to).await
    }

    async fn entry(&self, id: &str, revision: &str, path: &str) -> Result<GitEntry> {
        let place = self.hosted(id)?;
        let commit = read::resolve(&place, revision).await?;
        read::entry(&place, &commit, path).await
    }

    async fn entries(&self, id: &str, revision: &str, folder: &str) -> Result<Vec<GitEntry>> {
        let place = self.hosted(id)?;
        let commit = read::resolve(&place, revision).await?;
        read::entries(&place, &commit, folder).await
    }

    async fn file(&self, id: &str, revision: &str, path: &str, size_max: u64) -> Result<Vec<u8>> {
        let place = self.hosted(id)?;
        let commit = read::resolve(&place, revision).await?;
        read::file(&place, &commit, path, size_max).await
    }

    async fn blob(&self, id: &str, blob: &str, size_max: u64) -> Result<Vec<u8>> {
        read::blob(&self.hosted(id)?, blob, size_max).await
    }

    async fn set_branch(&self, id: &str, branch: &str, commit: Option<&str>) -> Result<()> {
        write::set_branch(&self.hosted(id)?, branch, commit).await?;
        self.changed(id);
        Ok(())
    }

    async fn write(&self, id: &str, change: &GitChange) -> Result<GitCommit> {
        let place = self.hosted(id)?;
        let commit = write::write(&place, change, &self.scratch()).await?;
        self.changed(id);
        read::commit(&place, &commit).await
    }

    fn changes(&self) -> Changes {
        self.changes.subscribe()
    }
}
