//! Objects, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use engine::*;
use futures_util::{StreamExt, stream};

/// A real store hands out pieces, too.
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub struct SimObjects {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    contents: BTreeMap<String, Vec<u8>>,
    unsettled: BTreeSet<String>,
    /// What an earlier run left unsettled.
    left: BTreeSet<String>,
    last: u64,
}

impl State {
    fn add(&mut self, bytes: Vec<u8>) -> String {
        self.last += 1;
        let id = format!("{:032x}", self.last);
        self.contents.insert(id.clone(), bytes);
        self.unsettled.insert(id.clone());
        id
    }

    fn find(&self, id: &str) -> Result<&Vec<u8>> {
        let found = self.contents.get(id);
        found.ok_or_else(|| EngineError::not_found(format!("there is no content `{id}`")))
    }
}

impl SimObjects {
    /// The ids of what is kept.
    pub fn ids(&self) -> Vec<String> {
        self.state().contents.keys().cloned().collect()
    }

    /// What is kept by this id.
    pub fn bytes(&self, id: &str) -> Option<Vec<u8>> {
        self.state().contents.get(id).cloned()
    }

    /// What is not settled now was left so by a run that has ended.
    pub fn crash(&self) {
        let mut state = self.state();
        state.left = std::mem::take(&mut state.unsettled);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Objects for SimObjects {
    async fn put(&self, mut body: ByteStream, size_max: u64) -> Result<Content> {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            let piece = piece
                .map_err(|error| EngineError::invalid("the body ended early").because(error))?;
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > size_max {
                return Err(EngineError::invalid("the body is too large"));
            }
        }
        let md5 = md5(&bytes);
        Ok(Content {
            size_bytes: bytes.len() as u64,
            id: self.state().add(bytes),
            md5,
        })
    }

    async fn join(&self, ids: &[String]) -> Result<Joined> {
        let mut state = self.state();
        let mut bytes = Vec::new();
        for id in ids {
            bytes.extend_from_slice(state.find(id)?);
        }
        Ok(Joined {
            size_bytes: bytes.len() as u64,
            id: state.add(bytes),
        })
    }

    async fn get(&self, id: &str, range: Option<Range<u64>>) -> Result<ByteStream> {
        let bytes = self.state().find(id)?.clone();
        let whole = 0..bytes.len() as u64;
        let range = range.unwrap_or(whole.clone());
        if range.start > range.end || range.end > whole.end {
            return Err(EngineError::invalid("the range is outside of the content"));
        }
        let asked = bytes[range.start as usize..range.end as usize].to_vec();
        let pieces: Vec<io::Result<bytes::Bytes>> = asked
            .chunks(PIECE_BYTES)
            .map(|it| Ok(bytes::Bytes::copy_from_slice(it)))
            .collect();
        Ok(Box::pin(stream::iter(pieces)))
    }

    async fn settle(&self, id: &str) -> Result<()> {
        let mut state = self.state();
        state.find(id)?;
        state.unsettled.remove(id);
        state.left.remove(id);
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<()> {
        let mut state = self.state();
        state.contents.remove(id);
        state.unsettled.remove(id);
        state.left.remove(id);
        Ok(())
    }

    async fn unsettled(&self) -> Result<Vec<String>> {
        Ok(self.state().left.iter().cloned().collect())
    }
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest;
    let digest = md5::Md5::digest(bytes);
    digest.iter().map(|it| format!("{it:02x}")).collect()
}
