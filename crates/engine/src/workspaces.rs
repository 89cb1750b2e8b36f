//! Workspaces: folders on this machine that builds work in. Archives are unpacked to them and packed
//! from them; a container gets one as a volume.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{ByteStream, Result};

/// Which files of a workspace go into an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The folder that patterns and names begin at, relative to the workspace. It may hold patterns.
    pub base: String,
    /// `**/*`, `folder/*.json`, or plain names.
    pub files: Vec<String>,
    pub exclude: Vec<String>,
    /// Put every file at the top.
    pub discard_paths: bool,
}

/// Paths within a workspace are relative; what leads out of it is refused, also through links.
#[async_trait]
pub trait Workspaces: Send + Sync {
    /// An empty folder, or the one that is there already.
    async fn create(&self, id: &str) -> Result<PathBuf>;
    /// `NotFound` when there is none.
    async fn path(&self, id: &str) -> Result<PathBuf>;
    /// Unpacks a ZIP archive into a folder of the workspace.
    async fn unzip(&self, id: &str, into: &Path, archive: ByteStream) -> Result<()>;
    /// Packs files; `Invalid` when nothing matches.
    async fn zip(&self, id: &str, selection: &Selection) -> Result<ByteStream>;
    /// Names of the files that a selection matches, relative to its base; `Invalid` when none does.
    async fn matching(&self, id: &str, selection: &Selection) -> Result<Vec<String>>;
    async fn read(&self, id: &str, path: &Path, size_max: u64) -> Result<Vec<u8>>;
    async fn write(&self, id: &str, path: &Path, bytes: &[u8]) -> Result<()>;
    /// Succeeds when it is gone already.
    async fn remove(&self, id: &str) -> Result<()>;
    async fn list(&self) -> Result<Vec<String>>;
}
