//! Blobs that are there: looking, reading, deleting.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use engine::{Digest, EngineError, Fault, Repository};
use futures_util::stream;
use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::answer::{self, BLOB_UNKNOWN, CONTENT_DIGEST, Refusal};
use super::range::{Wanted, wanted};
use super::{Answer, Registry, RegistryBody};
use crate::limits::CHUNK_BYTES;

impl Registry {
    pub(super) async fn blob(
        &self,
        repository: Repository,
        digest: Digest,
        head: &Parts,
    ) -> Answer {
        let range = head.headers.get(header::RANGE);
        let range = range
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let wanted_digest = digest.clone();
        let opened = self.store.blocking(move |inner| {
            let Some(size) = inner.held_blob(&repository, &wanted_digest)? else {
                return Err(not_held(&wanted_digest));
            };
            Ok((inner.blobs.open(&wanted_digest)?, size))
        });
        let (file, size) = opened.await.map_err(|e| match e.fault {
            Fault::NotFound => Refusal::not_found(BLOB_UNKNOWN, e.to_string()),
            _ => Refusal::from_engine(&e, BLOB_UNKNOWN),
        })?;
        let (status, start, length) = match wanted(range.as_deref(), size) {
            Wanted::Whole => (StatusCode::OK, 0, size),
            Wanted::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
            Wanted::Unsatisfiable => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let message = format!("the blob has {size} bytes");
                return Err(Refusal::new(status, answer::SIZE_INVALID, message)
                    .with(header::CONTENT_RANGE, format!("bytes */{size}")));
            }
        };
        let mut response = answer::empty(status);
        set_blob_headers(&mut response, &digest, length);
        if status == StatusCode::PARTIAL_CONTENT {
            let last = start + length - 1;
            let range = format!("bytes {start}-{last}/{size}");
            answer::set(&mut response, header::CONTENT_RANGE, &range);
        }
        if head.method == Method::GET {
            *response.body_mut() = file_body(file, start, length);
        }
        Ok(response)
    }

    /// Content is shared, so a blob goes only when no manifest of any repository names it.
    pub(super) async fn delete_blob(&self, repository: Repository, digest: Digest) -> Answer {
        let wanted = digest.clone();
        let deleted = self
            .store
            .blocking(move |inner| match inner.held_blob(&repository, &wanted)? {
                Some(_) => inner.delete_blob(&wanted),
                None => Ok(None),
            })
            .await
            .map_err(|e| Refusal::from_engine(&e, BLOB_UNKNOWN))?;
        match deleted {
            Some(true) => Ok(answer::empty(StatusCode::ACCEPTED)),
            Some(false) => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                answer::UNSUPPORTED,
                format!("blob `{digest}` is named by a manifest"),
            )),
            None => Err(Refusal::from_engine(&not_held(&digest), BLOB_UNKNOWN)),
        }
    }
}

/// What other repositories have is not told.
fn not_held(digest: &Digest) -> EngineError {
    EngineError::not_found(format!("the repository has no blob `{digest}`"))
}

fn set_blob_headers(response: &mut Response<RegistryBody>, digest: &Digest, length: u64) {
    let length = length.to_string();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_LENGTH, &length),
        (header::ACCEPT_RANGES, "bytes"),
        (CONTENT_DIGEST, digest.as_str()),
    ] {
        answer::set(response, name, value);
    }
}

/// A part of a file, read piece by piece as the client takes it: a slow client holds a file handle,
/// never a thread.
fn file_body(file: File, start: u64, length: u64) -> RegistryBody {
    let begin = (file, start, length);
    let pieces = stream::try_unfold(begin, |(file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || read_piece(file, at, left)).await;
        let (file, piece) = read.map_err(io::Error::other)??;
        let count = piece.len() as u64;
        let next = (file, at + count, left - count);
        Ok::<_, io::Error>(Some((Frame::data(piece), next)))
    });
    BodyExt::boxed(StreamBody::new(Box::pin(pieces)))
}

fn read_piece(mut file: File, at: u64, left: u64) -> io::Result<(File, Bytes)> {
    file.seek(SeekFrom::Start(at))?;
    let mut piece = vec![0; left.min(CHUNK_BYTES as u64) as usize];
    file.read_exact(&mut piece)?;
    Ok((file, Bytes::from(piece)))
}
