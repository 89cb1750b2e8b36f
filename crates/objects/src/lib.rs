//! The contents of objects, as files.

use std::path::PathBuf;

use async_trait::async_trait;
use engine::*;
use std::ops::Range;

pub struct ObjectStore {
    #[allow(dead_code)]
    root: PathBuf,
}

impl ObjectStore {
    pub fn open(root: PathBuf) -> Result<Self> {
        Ok(Self { root })
    }
}

fn not_built<T>() -> Result<T> {
    Err(EngineError::machine("not built"))
}

#[async_trait]
impl Objects for ObjectStore {
    async fn put(&self, _body: ByteStream, _size_max: u64) -> Result<Content> {
        not_built()
    }
    async fn join(&self, _ids: &[String]) -> Result<Content> {
        not_built()
    }
    async fn get(&self, _id: &str, _range: Option<Range<u64>>) -> Result<ByteStream> {
        not_built()
    }
    async fn delete(&self, _id: &str) -> Result<()> {
        not_built()
    }
    async fn list(&self) -> Result<Vec<(String, i64)>> {
        not_built()
    }
}
