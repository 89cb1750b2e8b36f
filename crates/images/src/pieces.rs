//! Blobs that come in pieces by way of the port, beside those that come to the registry.
//!
//! An upload is an unnamed file with its hash state, kept in memory under a random id until it is finished or
//! nobody has gone on with it for long. While a piece is written it is out of its place, so that two pieces
//! cannot mix.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use engine::{Digest, EngineError, Repository, Result};

use crate::blobs::BlobWriter;
use crate::disk::random_name;
use crate::limits::{UPLOAD_IDLE_MAX, UPLOADS_MAX, UPLOADS_OF_ONE_MAX};
use crate::store::Inner;

#[derive(Default)]
pub struct Pieces(Mutex<HashMap<String, Begun>>);

struct Begun {
    repository: Repository,
    writer: BlobWriter,
    used: Instant,
}

impl Pieces {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Begun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an upload out of its place. One of another repository is not there.
    fn take(&self, repository: &Repository, id: &str) -> Result<Begun> {
        let mut uploads = self.lock();
        match uploads.get(id) {
            Some(upload) if upload.repository == *repository => {}
            _ => {
                return Err(EngineError::not_found(format!(
                    "there is no upload `{id}`, or another piece of it is on its way"
                )));
            }
        }
        let upload = uploads.remove(id);
        upload.ok_or_else(|| EngineError::not_found(format!("there is no upload `{id}`")))
    }

    fn put(&self, id: &str, upload: Begun) {
        self.lock().insert(id.to_owned(), upload);
    }
}

impl Inner {
    pub fn begin_upload(&self, repository: &Repository) -> Result<String> {
        if !self.names.exists(repository)? {
            return Err(EngineError::not_found(format!(
                "repository `{repository}` does not exist"
            )));
        }
        let writer = self.blobs.writer()?;
        let mut uploads = self.pieces.lock();
        uploads.retain(|_, upload| upload.used.elapsed() < UPLOAD_IDLE_MAX);
        let of_one = uploads.values().filter(|it| it.repository == *repository);
        let is_full = match of_one.count() {
            UPLOADS_OF_ONE_MAX.. => Some(UPLOADS_OF_ONE_MAX),
            _ => (uploads.len() >= UPLOADS_MAX).then_some(UPLOADS_MAX),
        };
        if let Some(most) = is_full {
            return Err(EngineError::conflict(format!(
                "{most} uploads are open already"
            )));
        }
        let id = random_name();
        let upload = Begun {
            repository: repository.clone(),
            writer,
            used: Instant::now(),
        };
        uploads.insert(id.clone(), upload);
        Ok(id)
    }

    pub fn write_upload(
        &self,
        repository: &Repository,
        id: &str,
        from: u64,
        bytes: &[u8],
    ) -> Result<u64> {
        let mut upload = self.pieces.take(repository, id)?;
        upload.used = Instant::now();
        let outcome = match upload.writer.size_bytes() == from {
            true => upload.writer.write(bytes),
            false => Ok(()),
        };
        let size = upload.writer.size_bytes();
        // A piece that was written in part leaves nothing that could be gone on with.
        outcome?;
        self.pieces.put(id, upload);
        Ok(size)
    }

    pub fn finish_upload(&self, repository: &Repository, id: &str, digest: &Digest) -> Result<u64> {
        let upload = self.pieces.take(repository, id)?;
        let (_, size) = self.blobs.keep(upload.writer, Some(digest))?;
        self.holdings.add(repository, digest);
        Ok(size)
    }
}
