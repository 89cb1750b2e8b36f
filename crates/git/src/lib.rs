//! Git repositories that are kept here, and remote ones that are read.

use std::path::PathBuf;

use async_trait::async_trait;
use engine::*;
use std::collections::BTreeMap;
use std::path::Path;

pub struct GitStore {
    #[allow(dead_code)]
    root: PathBuf,
}

impl GitStore {
    pub fn open(root: PathBuf) -> Result<Self> {
        Ok(Self { root })
    }
}

fn not_built<T>() -> Result<T> {
    Err(EngineError::machine("not built"))
}

#[async_trait]
impl Git for GitStore {
    async fn create(&self, _id: &str) -> Result<()> {
        not_built()
    }
    async fn delete(&self, _id: &str) -> Result<()> {
        not_built()
    }
    async fn branches(&self, _source: &GitSource) -> Result<BTreeMap<String, String>> {
        not_built()
    }
    async fn commit(&self, _source: &GitSource, _revision: &str) -> Result<GitCommit> {
        not_built()
    }
    async fn checkout(
        &self,
        _source: &GitSource,
        _revision: &str,
        _into: &Path,
        _history: GitHistory,
    ) -> Result<GitCommit> {
        not_built()
    }
    async fn changed_paths(
        &self,
        _source: &GitSource,
        _from: Option<&str>,
        _to: &str,
    ) -> Result<Vec<String>> {
        not_built()
    }
    async fn file(
        &self,
        _id: &str,
        _revision: &str,
        _path: &str,
        _size_max: u64,
    ) -> Result<Vec<u8>> {
        not_built()
    }
    async fn set_branch(&self, _id: &str, _branch: &str, _commit: Option<&str>) -> Result<()> {
        not_built()
    }
    async fn write(&self, _id: &str, _change: &GitChange) -> Result<GitCommit> {
        not_built()
    }
    fn changes(&self) -> Changes {
        tokio::sync::broadcast::channel(1).1
    }
}
