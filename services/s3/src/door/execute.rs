//! Executes requests of whom it is known who sent them: the head is read as S3 reads it, and `s3s` reads
//! the operation of that.

use std::sync::Arc;

use cloud::{Caller, Cloud, Error, Origin};
use http::request::Parts;
use http::{Request, Response};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::StaticConfigProvider;
use s3s::service::S3ServiceBuilder;
use s3s::{Body, HttpError, S3Result, TrailingHeaders, s3_error};

use super::head::Head;
use super::refusals::Refused;
use super::{Api, Hosts, check, documents, reading, refusals};

/// Who sent a request, as its signature says.
pub struct Sender {
    pub caller: Caller,
    pub region: Option<String>,
    /// What follows a body in chunks.
    pub trailers: Option<TrailingHeaders>,
}

/// Of one request.
pub struct Executor {
    pub cloud: Arc<Cloud>,
    pub config: Arc<StaticConfigProvider>,
    pub origin: Arc<Origin>,
    pub request_id: String,
    pub head: Arc<Head>,
    pub refused: Refused,
}

impl Executor {
    /// Does what a request asks for, which has no signature any more when the library reads it.
    pub async fn execute(
        &self,
        request: Request<Body>,
        sender: Sender,
    ) -> Result<Response<Body>, HttpError> {
        let (mut parts, body) = request.into_parts();
        let is_anybody = sender.caller == Caller::Anonymous;
        let body = match self.read(&mut parts, body, is_anybody).await {
            Ok(body) => body,
            Err(error) => {
                self.refused.keep(&error);
                return Ok(refusals::bare(&error));
            }
        };
        let mut builder = S3ServiceBuilder::new(Api {
            cloud: self.cloud.clone(),
            request_id: self.request_id.clone(),
            origin: self.origin.clone(),
            caller: sender.caller,
            region: sender.region,
            trailers: sender.trailers,
            head: self.head.clone(),
            refused: self.refused.clone(),
        });
        builder.set_auth(NoKeys);
        builder.set_access(check::Access {
            account: self.cloud.account.clone(),
            is_anybody,
            refused: self.refused.clone(),
        });
        builder.set_host(Hosts);
        builder.set_config(self.config.clone());
        let (read, body) = documents::Counter::of(body);
        let request = Request::from_parts(parts, body);
        let response = builder.build().call(request).await?;
        // The library reads documents alone by itself, and takes one that is too long for a failure of
        // its own. What an operation refuses is kept.
        let is_unexplained = response.status().is_server_error() && !self.refused.is_kept();
        if is_unexplained && read.is_past_document() {
            let error = crate::errors::too_long();
            self.refused.keep(&error);
            return Ok(refusals::bare(&error));
        }
        Ok(response)
    }

    /// Reads what the library reads otherwise than S3, or not at all.
    async fn read(&self, parts: &mut Parts, body: Body, is_anybody: bool) -> Result<Body, Error> {
        let told = reading::read(parts, self.head.signed_in)?;
        parts.extensions.insert(told);
        // Nobody's document is read: nobody may make a bucket.
        match is_anybody {
            true => Ok(body),
            false => documents::read(parts, body).await,
        }
    }
}

/// The library asks about access only where it has keys. There is nothing left to verify with any.
struct NoKeys;

#[async_trait::async_trait]
impl S3Auth for NoKeys {
    async fn get_secret_key(&self, _access_key: &str) -> S3Result<SecretKey> {
        Err(s3_error!(AccessDenied, "Access Denied"))
    }
}
