//! Verifies signatures by `s3s`, over the head and the body as they were sent. What was verified goes on
//! to be executed.

use std::sync::{Arc, Mutex, PoisonError};

use cloud::Caller;
use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::StaticConfigProvider;
use s3s::route::S3Route;
use s3s::service::S3ServiceBuilder;
use s3s::{Body, HttpError, S3, S3Request, S3Response, S3Result, s3_error};

use super::execute::{Executor, Sender};
use super::head::SignedIn;
use super::{FindKey, Hosts};

/// Of one request.
pub struct Verification {
    pub find_key: Arc<FindKey>,
    pub config: Arc<StaticConfigProvider>,
    /// Called when the request's signature is found to be true.
    pub believe: Arc<dyn Fn() + Send + Sync>,
    pub executor: Executor,
}

impl Verification {
    pub async fn verify(self, request: Request<Body>) -> Result<Response<Body>, HttpError> {
        // Nobody, until a signature says otherwise.
        let whose = Arc::new(Mutex::new(Caller::Anonymous));
        let mut builder = S3ServiceBuilder::new(Nothing);
        builder.set_auth(Keys {
            find_key: self.find_key,
            token: self.executor.head.token.clone(),
            whose: whose.clone(),
        });
        builder.set_host(Hosts);
        builder.set_config(self.config);
        builder.set_route(Verified {
            whose,
            believe: self.believe,
            executor: self.executor,
        });
        builder.build().call(request).await
    }
}

/// The library reads no operation in this step.
struct Nothing;

impl S3 for Nothing {}

struct Keys {
    find_key: Arc<FindKey>,
    token: Option<String>,
    whose: Arc<Mutex<Caller>>,
}

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let found = (self.find_key)(access_key, self.token.as_deref());
        let Some(signer) = found else {
            return Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            ));
        };
        // The library refuses the request when its signature does not fit, before anything else.
        let (secret, caller) = signer.for_another_verifier();
        *self.whose.lock().unwrap_or_else(PoisonError::into_inner) = caller;
        Ok(SecretKey::from(secret))
    }
}

/// Takes every request whose signature is true, and every one that has none.
struct Verified {
    whose: Arc<Mutex<Caller>>,
    believe: Arc<dyn Fn() + Send + Sync>,
    executor: Executor,
}

#[async_trait::async_trait]
impl S3Route for Verified {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        true
    }

    /// What was looked at in the head is what was verified: nothing that only one of the two readers took
    /// for a signature is gone on with.
    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let is_signed = match self.executor.head.signed_in {
            SignedIn::Nowhere => false,
            SignedIn::Header | SignedIn::Query | SignedIn::OldQuery => true,
            SignedIn::Form => return Err(s3_error!(AccessDenied, "Access Denied")),
        };
        if request.credentials.is_some() != is_signed {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        if is_signed {
            (self.believe)();
        }
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let caller = match request.credentials {
            Some(_) => self
                .whose
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            None => Caller::Anonymous,
        };
        let sender = Sender {
            caller,
            region: request.region.map(|it| it.as_str().to_owned()),
            trailers: request.trailing_headers,
        };
        let mut executed = Request::new(request.input);
        *executed.method_mut() = request.method;
        *executed.uri_mut() = request.uri;
        *executed.headers_mut() = request.headers;
        *executed.extensions_mut() = request.extensions;
        let answered = self.executor.execute(executed, sender).await;
        let (head, body) = answered
            .map_err(|error| {
                let error: Box<dyn std::error::Error + Send + Sync> = error.into();
                tracing::error!(%error, "S3's door failed");
                s3_error!(InternalError)
            })?
            .into_parts();
        let mut response = S3Response::new(body);
        response.status = Some(head.status);
        response.headers = head.headers;
        response.extensions = head.extensions;
        Ok(response)
    }
}
