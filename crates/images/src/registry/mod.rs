//! The registry over the store: OCI Distribution v1.1, the server's side.
//!
//! A request was already authenticated when it comes here, and the caller decided which of the
//! embedded hosts it is for. What it does is known before anything is done ([`access`]), and the
//! caller's [`Gate`] says whether it may. Content is kept once for all repositories, and each has what it
//! was sent and what its manifests name. A repository must have been made before it can be pushed to. An upload that breaks off can be continued until it
//! is too old or this process ends; nothing of it is ever visible as content.

mod access;
mod answer;
mod blobs;
mod listing;
mod manifests;
mod range;
mod route;
mod uploads;

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Repository, Shares};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use hyper::body::Body;

use crate::limits::{RECEIVING_MAX, RECEIVING_OF_ONE_MAX};
use crate::store::ImageStore;
pub use access::{Access, Closed, Gate};
use access::{Deed, RepositoryDeed};
use answer::Refusal;
use route::{Query, Route};
use uploads::Uploads;

pub type RegistryBody = BoxBody<Bytes, io::Error>;
type Answer = Result<Response<RegistryBody>, Refusal>;

/// For which of the embedded registry's hosts a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryScope {
    pub host: String,
}

impl RegistryScope {
    fn repository(&self, path: String) -> Repository {
        Repository {
            host: self.host.clone(),
            path,
        }
    }
}

/// The rest of a request whose meaning is known.
struct Asked<'a, B> {
    head: Parts,
    query: Query,
    body: B,
    gate: &'a dyn Gate,
}

pub struct Registry {
    store: ImageStore,
    uploads: Arc<Uploads>,
    receiving: Shares,
}

impl Registry {
    pub fn new(store: ImageStore) -> Self {
        Self {
            store,
            uploads: Arc::default(),
            receiving: Shares::new(RECEIVING_MAX, RECEIVING_OF_ONE_MAX),
        }
    }

    /// Answers a request for a path under `/v2/`, as far as the gate lets it through.
    pub async fn handle<B>(
        &self,
        request: Request<B>,
        scope: RegistryScope,
        gate: &dyn Gate,
    ) -> Response<RegistryBody>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut response = match self.dispatch(request, scope, gate).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        };
        let version = http::HeaderValue::from_static("registry/2.0");
        let headers = response.headers_mut();
        headers.insert("docker-distribution-api-version", version);
        response
    }

    async fn dispatch<B>(
        &self,
        request: Request<B>,
        scope: RegistryScope,
        gate: &dyn Gate,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let Route { place, query } = Route::parse(&head.uri)?;
        match Deed::of(&head.method, place, &query, !body.is_end_stream())? {
            Deed::Ping => Ok(answer::json(StatusCode::OK, &serde_json::json!({}))),
            Deed::ListRepositories => {
                gate.check_catalog()?;
                self.catalog(&scope.host, &query).await
            }
            Deed::OfRepository(path, deed) => {
                let repository = scope.repository(path);
                for access in deed.accesses() {
                    gate.check(*access, &repository)?;
                }
                self.existing(&repository).await?;
                let asked = Asked {
                    head,
                    query,
                    body,
                    gate,
                };
                self.carry_out(repository, deed, asked).await
            }
        }
    }

    /// Does what was let through.
    async fn carry_out<B>(
        &self,
        repository: Repository,
        deed: RepositoryDeed,
        asked: Asked<'_, B>,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        use RepositoryDeed as Do;
        let Asked {
            head,
            query,
            body,
            gate,
        } = asked;
        match deed {
            Do::ListTags => self.tags(repository, &query).await,
            Do::ListReferrers(subject) => self.referrers(repository, subject, &query).await,
            Do::ReadManifest(reference) => {
                let is_fetched = head.method == http::Method::GET;
                self.manifest(repository, reference, is_fetched).await
            }
            Do::PutManifest(reference) => {
                self.put_manifest(repository, reference, &head, body).await
            }
            Do::DeleteManifest(reference) => self.delete_manifest(repository, reference).await,
            Do::ProbeBlob(digest) | Do::ReadBlob(digest) => {
                self.blob(repository, digest, &head).await
            }
            Do::DeleteBlob(digest) => self.delete_blob(repository, digest).await,
            Do::StartUpload => self.start_upload(repository).await,
            Do::SendBlob(digest) => self.send_blob(repository, digest, body).await,
            Do::MountBlob { blob, from } => self.mount(repository, blob, from, gate).await,
            Do::UploadStatus(id) => self.upload_status(repository, &id),
            Do::WriteUpload(id) => self.upload_chunk(repository, &id, &head, body).await,
            Do::FinishUpload { id, blob, .. } => {
                self.finish_upload(repository, &id, blob, &head, body).await
            }
            Do::CancelUpload(id) => self.cancel_upload(repository, &id),
        }
    }

    /// A repository that exists.
    async fn existing(&self, repository: &Repository) -> Result<(), Refusal> {
        let wanted = repository.clone();
        let exists = self
            .store
            .blocking(move |inner| inner.names.exists(&wanted))
            .await
            .map_err(|e| Refusal::from_engine(&e, answer::NAME_INVALID))?;
        if exists {
            Ok(())
        } else {
            Err(Refusal::name_unknown(repository))
        }
    }
}
