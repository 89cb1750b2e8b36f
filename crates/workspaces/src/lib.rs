//! Workspaces: folders that archives are unpacked to and packed from.

use std::path::PathBuf;

use async_trait::async_trait;
use engine::*;
use std::path::Path;

pub struct WorkspaceStore {
    #[allow(dead_code)]
    root: PathBuf,
}

impl WorkspaceStore {
    pub fn open(root: PathBuf) -> Result<Self> {
        Ok(Self { root })
    }
}

fn not_built<T>() -> Result<T> {
    Err(EngineError::machine("not built"))
}

#[async_trait]
impl Workspaces for WorkspaceStore {
    async fn create(&self, _id: &str) -> Result<PathBuf> {
        not_built()
    }
    async fn path(&self, _id: &str) -> Result<PathBuf> {
        not_built()
    }
    async fn unzip(&self, _id: &str, _into: &Path, _archive: ByteStream) -> Result<()> {
        not_built()
    }
    async fn zip(&self, _id: &str, _selection: &Selection) -> Result<ByteStream> {
        not_built()
    }
    async fn matching(&self, _id: &str, _selection: &Selection) -> Result<Vec<String>> {
        not_built()
    }
    async fn read(&self, _id: &str, _path: &Path, _size_max: u64) -> Result<Vec<u8>> {
        not_built()
    }
    async fn write(&self, _id: &str, _path: &Path, _bytes: &[u8]) -> Result<()> {
        not_built()
    }
    async fn remove(&self, _id: &str) -> Result<()> {
        not_built()
    }
    async fn list(&self) -> Result<Vec<String>> {
        not_built()
    }
}
