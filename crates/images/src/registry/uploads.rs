//! Uploads: whole at once, or in chunks that can be continued.
//!
//! An upload is an unnamed file with its hash state, kept in memory under a random id. While a
//! request writes to it, it is taken out of its place, so that two writers cannot mix; the writing
//! thread puts it back, also when the client went away in the middle.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use engine::{Digest, EngineError, Repository};
use http::request::Parts;
use http::{Response, StatusCode, header};
use hyper::body::Body;

use super::access::{Access, Gate};
use super::answer::{
    self, BLOB_UPLOAD_INVALID, BLOB_UPLOAD_UNKNOWN, CONTENT_DIGEST, DIGEST_INVALID, Refusal,
    SIZE_INVALID, UPLOAD_ID,
};
use super::range;
use super::{Answer, Registry, RegistryBody};
use crate::blobs::BlobWriter;
use crate::disk::random_name;
use crate::ingest::{Received, ingest};
use crate::limits::{UPLOAD_IDLE_MAX, UPLOADS_MAX, UPLOADS_OF_ONE_MAX};

#[derive(Default)]
pub struct Uploads(Mutex<HashMap<String, Upload>>);

struct Upload {
    repository: Repository,
    /// None while a request writes.
    writer: Option<BlobWriter>,
    used: Instant,
}

/// What is left to do when a request's body has been written.
type Ended = (BlobWriter, Received);

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, repository: &Repository, writer: BlobWriter) -> Result<String, Refusal> {
        let mut uploads = self.lock();
        uploads.retain(|_, upload| upload.used.elapsed() < UPLOAD_IDLE_MAX);
        let of_one = uploads.values().filter(|it| it.repository == *repository);
        let is_full = match of_one.count() {
            UPLOADS_OF_ONE_MAX.. => Some(UPLOADS_OF_ONE_MAX),
            _ => (uploads.len() >= UPLOADS_MAX).then_some(UPLOADS_MAX),
        };
        if let Some(most) = is_full {
            let message = format!("{most} uploads are open already");
            return Err(Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                answer::TOOMANYREQUESTS,
                message,
            ));
        }
        let id = random_name();
        let upload = Upload {
            repository: repository.clone(),
            writer: Some(writer),
            used: Instant::now(),
        };
        uploads.insert(id.clone(), upload);
        Ok(id)
    }

    fn with<T>(
        &self,
        repository: &Repository,
        id: &str,
        look: impl FnOnce(&mut Option<BlobWriter>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut uploads = self.lock();
        let upload = uploads
            .get_mut(id)
            .filter(|upload| upload.repository == *repository)
            .ok_or_else(|| {
                Refusal::not_found(BLOB_UPLOAD_UNKNOWN, format!("there is no upload `{id}`"))
            })?;
        upload.used = Instant::now();
        look(&mut upload.writer)
    }

    /// Puts a writer back. An upload that was cancelled meanwhile takes its content with it.
    fn put_back(&self, id: &str, writer: BlobWriter) {
        if let Some(upload) = self.lock().get_mut(id) {
            upload.writer = Some(writer);
            upload.used = Instant::now();
        }
    }

    fn remove(&self, id: &str) {
        self.lock().remove(id);
    }
}

fn busy() -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        BLOB_UPLOAD_INVALID,
        "another request is writing to this upload",
    )
}

fn broken(why: &str) -> Refusal {
    Refusal::bad_request(SIZE_INVALID, format!("the body broke off: {why}"))
}

impl Registry {
    pub(super) async fn start_upload(&self, repository: Repository) -> Answer {
        let writer = self.writer().await?;
        let id = self.uploads.add(&repository, writer)?;
        Ok(progress(StatusCode::ACCEPTED, &repository, &id, 0))
    }

    /// A blob that is sent at once.
    pub(super) async fn send_blob<B>(
        &self,
        repository: Repository,
        digest: Digest,
        body: B,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let writer = self.writer().await?;
        let _turn = self.receiving.take(&repository.to_string()).await;
        let ended = ingest(body, writer, |writer, received| Ok((writer, received?)));
        let ended = ended.await.map_err(upload_failed)?;
        self.finish(&repository, ended, digest).await
    }

    /// Lets a repository have what another one has, when the client may read that one. Otherwise an upload
    /// begins, as the specification says: the client sends what it has.
    pub(super) async fn mount(
        &self,
        repository: Repository,
        digest: Digest,
        from: Option<String>,
        gate: &dyn Gate,
    ) -> Answer {
        let source = Repository {
            host: repository.host.clone(),
            path: from.unwrap_or_else(|| repository.path.clone()),
        };
        let reads = [Access::ProbeBlob, Access::ReadBlob];
        let may = source == repository || reads.iter().all(|it| gate.check(*it, &source).is_ok());
        if !may || self.existing(&source).await.is_err() {
            return self.start_upload(repository).await;
        }
        let (target, wanted) = (repository.clone(), digest.clone());
        let mounted = self.store.blocking(move |inner| {
            let held = inner.held_blob(&source, &wanted)?.is_some();
            if held {
                inner.holdings.add(&target, &wanted);
            }
            Ok(held)
        });
        match mounted.await.map_err(upload_failed)? {
            true => Ok(created(&repository, &digest)),
            false => self.start_upload(repository).await,
        }
    }

    async fn writer(&self) -> Result<BlobWriter, Refusal> {
        let writer = self.store.blocking(|inner| inner.blobs.writer());
        writer.await.map_err(upload_failed)
    }

    pub(super) fn upload_status(&self, repository: Repository, id: &str) -> Answer {
        let received = self.uploads.with(&repository, id, |writer| {
            writer.as_ref().map(BlobWriter::size_bytes).ok_or_else(busy)
        })?;
        let status = StatusCode::NO_CONTENT;
        Ok(progress(status, &repository, id, received))
    }

    pub(super) async fn upload_chunk<B>(
        &self,
        repository: Repository,
        id: &str,
        head: &Parts,
        body: B,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Before the writer is taken: whoever gives up waiting leaves it in its place.
        let _turn = self.receiving.take(&repository.to_string()).await;
        let before = self.upload_size(&repository, id)?;
        let announced = self.check_chunk(&repository, id, head, before)?;
        let writer = self.take(&repository, id)?;
        let uploads = self.uploads.clone();
        let own_id = id.to_owned();
        let written = ingest(body, writer, move |writer, received| {
            let size = writer.size_bytes();
            match received {
                Ok(received) => {
                    uploads.put_back(&own_id, writer);
                    Ok((size, received))
                }
                // Too large, or the disk is full: nothing can come of it any more.
                Err(error) => {
                    uploads.remove(&own_id);
                    Err(error)
                }
            }
        });
        let (size, received) = written.await.map_err(upload_failed)?;
        if let Received::Broken(why) = received {
            return Err(broken(&why));
        }
        if announced.is_some_and(|length| length != size - before) {
            self.uploads.remove(id);
            let message = "the chunk's length is not what its range says";
            return Err(Refusal::bad_request(SIZE_INVALID, message));
        }
        Ok(progress(StatusCode::ACCEPTED, &repository, id, size))
    }

    pub(super) async fn finish_upload<B>(
        &self,
        repository: Repository,
        id: &str,
        digest: Digest,
        head: &Parts,
        body: B,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Before the writer is taken: whoever gives up waiting leaves it in its place.
        let _turn = self.receiving.take(&repository.to_string()).await;
        let before = self.upload_size(&repository, id)?;
        self.check_chunk(&repository, id, head, before)?;
        let writer = self.take(&repository, id)?;
        let uploads = self.uploads.clone();
        let own_id = id.to_owned();
        let written = ingest(body, writer, move |writer, received| match received {
            Ok(Received::Whole) => {
                uploads.remove(&own_id);
                Ok(Ok((writer, Received::Whole)))
            }
            // The client may send its last chunk again.
            Ok(Received::Broken(why)) => {
                uploads.put_back(&own_id, writer);
                Ok(Err(why))
            }
            Err(error) => {
                uploads.remove(&own_id);
                Err(error)
            }
        });
        let ended = written.await.map_err(upload_failed)?;
        let ended = ended.map_err(|why| broken(&why))?;
        self.finish(&repository, ended, digest).await
    }

    pub(super) fn cancel_upload(&self, repository: Repository, id: &str) -> Answer {
        self.uploads.with(&repository, id, |_| Ok(()))?;
        self.uploads.remove(id);
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }

    fn upload_size(&self, repository: &Repository, id: &str) -> Result<u64, Refusal> {
        self.uploads.with(repository, id, |writer| {
            writer.as_ref().map(BlobWriter::size_bytes).ok_or_else(busy)
        })
    }

    fn take(&self, repository: &Repository, id: &str) -> Result<BlobWriter, Refusal> {
        self.uploads
            .with(repository, id, |writer| writer.take().ok_or_else(busy))
    }

    /// A chunk must begin where the last one ended. Returns the length that it announces.
    fn check_chunk(
        &self,
        repository: &Repository,
        id: &str,
        head: &Parts,
        received: u64,
    ) -> Result<Option<u64>, Refusal> {
        let Some(header) = head.headers.get(header::CONTENT_RANGE) else {
            return Ok(None);
        };
        let chunk = header.to_str().ok().and_then(range::chunk);
        match chunk {
            Some((first, last)) if first == received => Ok(Some(last - first + 1)),
            _ => {
                let message = format!("{received} bytes are here; the next chunk begins there");
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                Err(Refusal::new(status, BLOB_UPLOAD_INVALID, message)
                    .with(header::LOCATION, location(repository, id))
                    .with(header::RANGE, range_so_far(received)))
            }
        }
    }

    /// Gives the content its name, when it is what the client says.
    async fn finish(&self, repository: &Repository, ended: Ended, digest: Digest) -> Answer {
        let (writer, received) = ended;
        if let Received::Broken(why) = received {
            return Err(broken(&why));
        }
        let (target, wanted) = (repository.clone(), digest.clone());
        self.store
            .blocking(move |inner| {
                inner.blobs.keep(writer, Some(&wanted))?;
                inner.holdings.add(&target, &wanted);
                Ok(())
            })
            .await
            .map_err(|e| Refusal::from_engine(&e, DIGEST_INVALID))?;
        Ok(created(repository, &digest))
    }
}

fn upload_failed(error: EngineError) -> Refusal {
    Refusal::from_engine(&error, SIZE_INVALID)
}

fn location(repository: &Repository, id: &str) -> String {
    format!("/v2/{}/blobs/uploads/{id}", repository.path)
}

/// The bytes received so far, in the form that clients expect also when there are none.
fn range_so_far(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

fn progress(
    status: StatusCode,
    repository: &Repository,
    id: &str,
    received: u64,
) -> Response<RegistryBody> {
    let mut response = answer::empty(status);
    answer::set(&mut response, header::LOCATION, &location(repository, id));
    answer::set(&mut response, header::RANGE, &range_so_far(received));
    answer::set(&mut response, UPLOAD_ID, id);
    response
}

fn created(repository: &Repository, digest: &Digest) -> Response<RegistryBody> {
    let mut response = answer::empty(StatusCode::CREATED);
    let location = format!("/v2/{}/blobs/{digest}", repository.path);
    answer::set(&mut response, header::LOCATION, &location);
    answer::set(&mut response, CONTENT_DIGEST, digest.as_str());
    response
}
