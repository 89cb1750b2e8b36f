//! Git: repositories that are kept here and served over HTTP, and remote ones that are read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Changes, Result};

/// A repository to read from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GitSource {
    /// Kept here, by its id.
    Hosted(String),
    /// `https://…` or `http://…`, with the user and password to show.
    Remote {
        url: String,
        login: Option<(String, String)>,
    },
}

impl fmt::Debug for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosted(id) => write!(f, "Hosted({id})"),
            Self::Remote { url, .. } => write!(f, "Remote({url})"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitCommit {
    /// Forty hexadecimal digits.
    pub id: String,
    pub tree: String,
    pub parents: Vec<String>,
    pub author_name: String,
    pub author_email: String,
    /// Seconds since 1970.
    pub authored_at: i64,
    pub committed_at: i64,
    pub message: String,
}

/// A change that is written as a commit.
#[derive(Debug, Clone, Default)]
pub struct GitChange {
    pub branch: String,
    /// What the branch is expected to be at; None for a branch that does not exist yet.
    pub parent: Option<String>,
    pub author_name: String,
    pub author_email: String,
    pub message: String,
    pub files: Vec<GitEdit>,
}

/// What a change does to one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitEdit {
    pub path: String,
    /// None deletes it.
    pub content: Option<Vec<u8>>,
    pub kind: GitFileKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum GitFileKind {
    #[default]
    Plain,
    Executable,
    Link,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GitEntryKind {
    Folder,
    File(GitFileKind),
    /// Another repository at this place, of which only the commit is known.
    Submodule,
}

/// Something in a revision's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitEntry {
    /// From the top.
    pub path: String,
    /// The object's.
    pub id: String,
    pub kind: GitEntryKind,
    /// Of files.
    pub size_bytes: Option<u64>,
}

/// A path that differs between two commits: its mode (`100644`) and object before and after, where
/// it was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitDifference {
    pub path: String,
    pub before: Option<(String, String)>,
    pub after: Option<(String, String)>,
}

/// Whether the history comes with a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitHistory {
    FilesOnly,
    Full,
}

/// `Unreachable` when a remote does not answer, `NotFound` when it says that there is no such
/// repository or revision, `Invalid` when it refuses the login.
#[async_trait]
pub trait Git: Send + Sync {
    /// Makes an empty repository that is kept here. Making it again does nothing.
    async fn create(&self, id: &str) -> Result<()>;
    /// Succeeds when it is gone already.
    async fn delete(&self, id: &str) -> Result<()>;
    /// Branches and the commits that they are at.
    async fn branches(&self, source: &GitSource) -> Result<BTreeMap<String, String>>;
    /// The branch that a clone begins on; None while there is no branch.
    async fn default_branch(&self, source: &GitSource) -> Result<Option<String>>;
    /// Of a repository that is kept here; `NotFound` when there is no such branch.
    async fn set_default_branch(&self, id: &str, branch: &str) -> Result<()>;
    /// A branch, tag or commit id, found.
    async fn commit(&self, source: &GitSource, revision: &str) -> Result<GitCommit>;
    /// Puts the files of a revision into an empty folder.
    async fn checkout(
        &self,
        source: &GitSource,
        revision: &str,
        into: &Path,
        history: GitHistory,
    ) -> Result<GitCommit>;
    /// Paths that differ between two commits (from None: all of `to`).
    async fn changed_paths(
        &self,
        source: &GitSource,
        from: Option<&str>,
        to: &str,
    ) -> Result<Vec<String>>;
    /// The same for a repository that is kept here, with what was there before and after.
    async fn differences(
        &self,
        id: &str,
        from: Option<&str>,
        to: &str,
    ) -> Result<Vec<GitDifference>>;
    /// What a path of a revision is, in a repository that is kept here. The top is the empty path.
    async fn entry(&self, id: &str, revision: &str, path: &str) -> Result<GitEntry>;
    /// What is in a folder of a revision of a repository that is kept here.
    async fn entries(&self, id: &str, revision: &str, folder: &str) -> Result<Vec<GitEntry>>;
    /// A file of a revision of a repository that is kept here.
    async fn file(&self, id: &str, revision: &str, path: &str, size_max: u64) -> Result<Vec<u8>>;
    /// An object of a repository that is kept here, that is a file's content.
    async fn blob(&self, id: &str, blob: &str, size_max: u64) -> Result<Vec<u8>>;
    /// Sets a branch of a repository that is kept here; None deletes it.
    async fn set_branch(&self, id: &str, branch: &str, commit: Option<&str>) -> Result<()>;
    /// Writes a commit to a repository that is kept here; `Conflict` when the branch has moved.
    async fn write(&self, id: &str, change: &GitChange) -> Result<GitCommit>;
    /// Ids of the repositories kept here that were pushed to.
    fn changes(&self) -> Changes;
}
