//! Hashes and bounds what a decompressor gives out.

use std::io::{self, Read};

use engine::{Digest, EngineError, Result, RoomWatch};
use ring::digest::{Context, SHA256};

use super::read_failed;
use crate::blobs::digest_of;
use crate::limits::{CHUNK_BYTES, UnpackLimits};

pub struct Meter<R> {
    inner: R,
    hash: Context,
    bytes: u64,
    bytes_max: u64,
    room: RoomWatch,
}

impl<R: Read> Meter<R> {
    /// `room` is asked where it is unpacked to.
    pub fn new(inner: R, compressed_bytes: u64, limits: &UnpackLimits, room: RoomWatch) -> Self {
        let by_ratio = compressed_bytes.saturating_mul(limits.ratio_max);
        Self {
            inner,
            hash: Context::new(&SHA256),
            bytes: 0,
            bytes_max: by_ratio.max(limits.ratio_free_bytes).min(limits.bytes_max),
            room,
        }
    }

    /// Reads whatever follows the tar's end, which counts for the digest too.
    pub fn digest_to_end(mut self) -> Result<Digest> {
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.read(&mut chunk).map_err(read_failed)? > 0 {}
        Ok(digest_of(self.hash))
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        if self.bytes > self.bytes_max {
            return Err(io::Error::other(EngineError::invalid(format!(
                "the layer unpacks to more than {} bytes, which is more than its compressed size allows",
                self.bytes_max
            ))));
        }
        self.room.before(count).map_err(io::Error::other)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
