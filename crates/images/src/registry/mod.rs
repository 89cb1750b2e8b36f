//! The registry over the store: OCI Distribution v1.1, the server's side.
//!
//! A request was already authenticated when it comes here, and the caller decided which of the
//! embedded hosts it is for. Content is shared by all repositories; names are not. A repository must
//! have been made before it can be pushed to. An upload that breaks off can be continued until it
//! is too old or this process ends; nothing of it is ever visible as content.

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
use engine::Repository;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use hyper::body::Body;
use tokio::sync::Semaphore;

use crate::limits::RECEIVING_MAX;
use crate::store::ImageStore;
use answer::Refusal;
use route::{Place, Route};
use uploads::Uploads;

pub type RegistryBody = BoxBody<Bytes, io::Error>;
type Answer = Result<Response<RegistryBody>, Refusal>;

/// For which of the embedded registry's hosts a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryScope {
    pub host: String,
}

pub struct Registry {
    store: ImageStore,
    uploads: Arc<Uploads>,
    receiving: Semaphore,
}

impl Registry {
    pub fn new(store: ImageStore) -> Self {
        Self {
            store,
            uploads: Arc::default(),
            receiving: Semaphore::new(RECEIVING_MAX),
        }
    }

    /// Answers a request for a path under `/v2/`.
    pub async fn handle<B>(
        &self,
        request: Request<B>,
        scope: RegistryScope,
    ) -> Response<RegistryBody>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut response = match self.dispatch(request, scope).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        };
        let version = http::HeaderValue::from_static("registry/2.0");
        let headers = response.headers_mut();
        headers.insert("docker-distribution-api-version", version);
        response
    }

    async fn dispatch<B>(&self, request: Request<B>, scope: RegistryScope) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let Route { place, query } = Route::parse(&head.uri)?;
        let in_scope = |path: String| Repository {
            host: scope.host.clone(),
            path,
        };
        let method = &head.method;
        match place {
            Place::Base if is_read(method) => {
                Ok(answer::json(StatusCode::OK, &serde_json::json!({})))
            }
            Place::Catalog if is_read(method) => self.catalog(&scope.host, &query).await,
            Place::Tags(path) if is_read(method) => self.tags(in_scope(path), &query).await,
            Place::Referrers(path, digest) if is_read(method) => {
                self.referrers(in_scope(path), digest, &query).await
            }
            Place::Blob(path, digest) => match *method {
                Method::GET | Method::HEAD => self.blob(in_scope(path), digest, &head).await,
                Method::DELETE => self.delete_blob(in_scope(path), digest).await,
                _ => Err(Refusal::method(method)),
            },
            Place::Manifest(path, reference) => {
                let repository = in_scope(path);
                match *method {
                    Method::GET | Method::HEAD => self.manifest(repository, reference).await,
                    Method::PUT => self.put_manifest(repository, reference, &head, body).await,
                    Method::DELETE => self.delete_manifest(repository, reference).await,
                    _ => Err(Refusal::method(method)),
                }
            }
            Place::Uploads(path) if *method == Method::POST => {
                self.start_upload(in_scope(path), &query, body).await
            }
            Place::Upload(path, id) => {
                let repository = in_scope(path);
                match *method {
                    Method::GET | Method::HEAD => self.upload_status(repository, &id),
                    Method::PATCH => self.upload_chunk(repository, &id, &head, body).await,
                    Method::PUT => {
                        self.finish_upload(repository, &id, &query, &head, body)
                            .await
                    }
                    Method::DELETE => self.cancel_upload(repository, &id),
                    _ => Err(Refusal::method(method)),
                }
            }
            _ => Err(Refusal::method(method)),
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

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
