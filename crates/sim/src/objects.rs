//! Objects, in memory.

use std::ops::Range;

use async_trait::async_trait;
use engine::*;

#[derive(Default)]
pub struct SimObjects;

fn not_built<T>() -> Result<T> {
    Err(EngineError::machine("not built"))
}

#[async_trait]
impl Objects for SimObjects {
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
