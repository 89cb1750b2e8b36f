//! Objects: contents that are written once, read in ranges, and known by an id that the store of
//! contents makes. Names, versions and metadata are whoever asks's own.

use std::io;
use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Bytes as they come. An error ends the stream.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A content that is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Letters, digits and `-` only.
    pub id: String,
    pub size_bytes: u64,
    /// Of all bytes, in hexadecimal.
    pub md5: String,
    pub sha256: String,
}

#[async_trait]
pub trait Objects: Send + Sync {
    /// Takes a body to its end. It is on disk when this returns, and nothing is left of it when it
    /// ends in an error or is more than `size_max` bytes.
    async fn put(&self, body: ByteStream, size_max: u64) -> Result<Content>;
    /// Contents one after another, as one: the parts of an upload.
    async fn join(&self, ids: &[String]) -> Result<Content>;
    /// The bytes of a range (end exclusive), or all.
    async fn get(&self, id: &str, range: Option<Range<u64>>) -> Result<ByteStream>;
    /// Succeeds when it is gone already.
    async fn delete(&self, id: &str) -> Result<()>;
    /// Every content and when it was written (milliseconds since 1970), for cleaning up what nobody
    /// knows.
    async fn list(&self) -> Result<Vec<(String, i64)>>;
}
