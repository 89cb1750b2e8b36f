//! Manifests by tag and by digest.

use std::error::Error;

use bytes::Bytes;
use engine::{Digest, Fault, ImageName, Images, Reference, Repository};
use http::request::Parts;
use http::{StatusCode, header};
use hyper::body::Body;

use super::answer::{
    self, CONTENT_DIGEST, DIGEST_INVALID, MANIFEST_BLOB_UNKNOWN, MANIFEST_INVALID,
    MANIFEST_UNKNOWN, Refusal, TAG_INVALID,
};
use super::{Answer, Registry};
use crate::blobs::digest_bytes;
use crate::document::Manifest;
use crate::ingest::collect;
use crate::limits::MANIFEST_BYTES_MAX;

impl Registry {
    pub(super) async fn manifest(
        &self,
        repository: Repository,
        reference: Reference,
        is_fetched: bool,
    ) -> Answer {
        let found = self
            .store
            .blocking(move |inner| {
                let digest = inner.names.resolve(&repository, &reference)?;
                if is_fetched {
                    inner.names.note_pull(&repository, &digest)?;
                }
                let record = inner.names.record(&repository, &digest)?;
                Ok((inner.manifest_bytes(&digest)?, digest, record))
            })
            .await
            .map_err(|e| Refusal::from_engine(&e, MANIFEST_UNKNOWN))?;
        let (bytes, digest, record) = found;
        let media_type = record.map(|record| record.media_type).unwrap_or_default();
        let mut response = answer::bytes(StatusCode::OK, &media_type, bytes);
        answer::set(&mut response, CONTENT_DIGEST, digest.as_str());
        Ok(response)
    }

    pub(super) async fn put_manifest<B>(
        &self,
        repository: Repository,
        reference: Reference,
        head: &Parts,
        body: B,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let bytes = collect(body, MANIFEST_BYTES_MAX).await.map_err(|e| {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, MANIFEST_INVALID, e.message)
        })?;
        let declared = head.headers.get(header::CONTENT_TYPE);
        let declared = declared.and_then(|value| value.to_str().ok());
        let declared = declared.and_then(|value| Some(value.split(';').next()?.trim().to_owned()));
        let manifest = Manifest::parse(&bytes, declared.as_deref())
            .map_err(|e| Refusal::from_engine(&e, MANIFEST_INVALID))?;
        if let Reference::Digest(wanted) = &reference
            && *wanted != digest_bytes(&bytes)
        {
            let message = format!("the manifest does not have digest `{wanted}`");
            return Err(Refusal::bad_request(DIGEST_INVALID, message));
        }
        let parts: Vec<Digest> = manifest
            .own_references()
            .into_iter()
            .map(|part| part.digest.clone())
            .collect();
        let path = repository.path.clone();
        let name = ImageName {
            repository,
            reference,
        };
        let stored = self.store.blocking(move |inner| {
            for part in parts {
                if inner.held_blob(&name.repository, &part)?.is_none() {
                    return Ok(Err(part));
                }
            }
            inner
                .put_manifest(&name, declared.as_deref(), &bytes)
                .map(Ok)
        });
        let stored = stored.await.map_err(|e| match e.fault {
            Fault::Conflict => Refusal::bad_request(TAG_INVALID, e.to_string()),
            _ => Refusal::from_engine(&e, MANIFEST_INVALID),
        })?;
        let digest = stored.map_err(|missing| {
            let message = format!("the manifest names `{missing}`, which the repository has not");
            Refusal::bad_request(MANIFEST_BLOB_UNKNOWN, message)
        })?;
        let mut response = answer::empty(StatusCode::CREATED);
        let location = format!("/v2/{path}/manifests/{digest}");
        answer::set(&mut response, header::LOCATION, &location);
        answer::set(&mut response, CONTENT_DIGEST, digest.as_str());
        if let Some(subject) = manifest.subject {
            answer::set(&mut response, answer::SUBJECT, subject.as_str());
        }
        Ok(response)
    }

    pub(super) async fn delete_manifest(
        &self,
        repository: Repository,
        reference: Reference,
    ) -> Answer {
        let name = ImageName {
            repository,
            reference,
        };
        // The port's deletion is content with what is gone already; a client is told.
        let there = self.store.resolve(&name).await;
        there.map_err(|e| match e.fault {
            Fault::NotFound => Refusal::not_found(MANIFEST_UNKNOWN, e.to_string()),
            _ => Refusal::from_engine(&e, MANIFEST_UNKNOWN),
        })?;
        Images::delete_manifest(&self.store, &name)
            .await
            .map_err(|e| Refusal::from_engine(&e, MANIFEST_UNKNOWN))?;
        Ok(answer::empty(StatusCode::ACCEPTED))
    }
}
