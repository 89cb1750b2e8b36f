//! Objects: contents that are written once, read in ranges, and known by an id that the store of
//! contents makes. Names, versions and metadata are whoever asks's own.
//!
//! A content is made before anybody can record its id, so a crash may come between the two. That is
//! why a new content is *unsettled* until it is told apart ([`Objects::settle`]), and the ones that an
//! earlier run left so are named at start ([`Objects::unsettled`]), for the owner to settle or delete.

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
    /// Letters and digits only.
    pub id: String,
    pub size_bytes: u64,
    /// Of all bytes, in hexadecimal.
    pub md5: String,
}

/// A content that was made of others. Its bytes were not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    pub id: String,
    pub size_bytes: u64,
}

#[async_trait]
pub trait Objects: Send + Sync {
    /// Takes a body to its end. It is on disk when this returns, and nothing is left of it when it
    /// ends in an error, is more than `size_max` bytes, or is not waited for.
    async fn put(&self, body: ByteStream, size_max: u64) -> Result<Content>;
    /// Contents one after another, as a new one: the parts of an upload. They stay as they are.
    async fn join(&self, ids: &[String]) -> Result<Joined>;
    /// The bytes of a range (end exclusive), or all. They can be read to their end also when the
    /// content is deleted meanwhile.
    async fn get(&self, id: &str, range: Option<Range<u64>>) -> Result<ByteStream>;
    /// Its owner has recorded the id. Does nothing when it is settled already.
    async fn settle(&self, id: &str) -> Result<()>;
    /// Succeeds when it is gone already.
    async fn delete(&self, id: &str) -> Result<()>;
    /// The contents that an earlier run wrote, or began to write, and did not settle.
    async fn unsettled(&self) -> Result<Vec<String>>;
}
