//! S3's own front door, on the crate `s3s`. A request passes it in three steps:
//!
//! ```text
//! head      what is signed is what counts; what no signature can make good is refused
//! verify    s3s verifies the signature, also of chunks, over the head as it was sent;
//!           a form's is verified by `forms`, which makes the request of it that it stands for
//! execute   the head is read as S3 reads it (`reading`), s3s reads the operation of it, and
//!           this crate's own modules do it, which the table for other services uses too
//! ```
//!
//! Between the last two the head is free to be changed: who it is from was decided before.

mod answers;
mod buckets;
mod check;
mod chunks;
mod convert;
mod cors;
mod documents;
mod execute;
mod forms;
mod grants;
mod hash;
mod head;
mod hoisted;
#[cfg(test)]
mod hostile_input;
mod listings;
mod marks;
mod mismatch;
mod objects;
mod readable;
mod reading;
mod refusals;
mod rules;
mod settings;
mod sums;
mod uploads;
mod verify;
mod writes;

use std::sync::Arc;

use cloud::{Caller, Cloud, Cx, Error, Origin};
use http::header::{CONTENT_RANGE, HeaderValue, SERVER};
use http::{Method, StatusCode};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::{Body, S3Result, TrailingHeaders};
use wire::Signer;

pub use answers::{OPERATIONS, PERMISSIONS};
pub(crate) use convert::{http_date, ms, outgoing, url_encoded};
pub use forms::FORM_HEAD_BYTES_MAX;
pub(crate) use refusals::is_element;

use crate::authorize::RequestFacts;
use crate::errors::InvalidRequest;
use crate::host::{Address, address};
use crate::website::Ids;
use execute::Executor;
use head::{Head, SignedIn};
use readable::readable;
use refusals::{AskedFor, Refused};

/// Finds an access key with the session token that came with it, and whose it is.
pub type FindKey = dyn Fn(&str, Option<&str>) -> Option<Signer<Caller>> + Send + Sync;

/// A document is read before it is known what it asks for. The longest that S3 takes names the 10,000
/// parts of an upload with a checksum each, which is half of this.
const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request's circumstances, as the front door knows them.
pub struct Visit {
    pub origin: Arc<Origin>,
    pub request_id: String,
    /// Called when the request's signature is found to be true.
    pub believe: Arc<dyn Fn() + Send + Sync>,
}

pub struct Door {
    cloud: Arc<Cloud>,
    find_key: Arc<FindKey>,
    config: Arc<StaticConfigProvider>,
}

impl Door {
    pub fn new(cloud: Arc<Cloud>, find_key: Arc<FindKey>) -> Self {
        let mut config = S3Config::default();
        config.xml_max_body_size = DOCUMENT_BYTES_MAX;
        Self {
            cloud,
            find_key,
            config: Arc::new(StaticConfigProvider::new(Arc::new(config))),
        }
    }

    /// Whether a request that nobody signed may be about this bucket.
    pub fn has_bucket(&self, name: &str) -> bool {
        let cx = self.cloud.daemon_context(crate::bucket::FIRST_REGION);
        crate::bucket::get(&cx, name).is_ok()
    }

    pub async fn handle(&self, request: http::Request<Body>, visit: Visit) -> http::Response<Body> {
        let host = request.headers().get(http::header::HOST);
        let host = host.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let host_id = cloud::random_hex(64);
        if let Some(Address::Website { bucket }) = address(host) {
            let bucket = bucket.to_owned();
            let ids = Ids {
                request_id: &visit.request_id,
                host_id: &host_id,
            };
            let origin = visit.origin.clone();
            let answer = crate::website::answer(&self.cloud, &bucket, request, origin, &ids);
            return signed_by(answer.await, &visit.request_id, &host_id);
        }
        let cross = cors::Asked::of(&request);
        let method = request.method().clone();
        let asked = AskedFor {
            method: &method,
            bucket: cross.bucket(),
            request_id: &visit.request_id,
            host_id: &host_id,
        };
        let mut response = match cross.preflight(&self.cloud) {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => refusals::answer(&error, &asked),
            None => self.serve(request, &asked, &visit).await,
        };
        cross.allow(&self.cloud, response.headers_mut());
        let response = readable(response);
        signed_by(response, &visit.request_id, &host_id)
    }

    async fn serve(
        &self,
        request: http::Request<Body>,
        asked: &AskedFor<'_>,
        visit: &Visit,
    ) -> http::Response<Body> {
        let (mut head, request) = match look(request, &visit.origin) {
            Ok(found) => found,
            Err(error) => return refusals::answer(&error, asked),
        };
        let refused = Refused::default();
        let executor = |head: Head| Executor {
            cloud: self.cloud.clone(),
            config: self.config.clone(),
            origin: visit.origin.clone(),
            request_id: visit.request_id.clone(),
            head: Arc::new(head),
            refused: refused.clone(),
        };
        let response = if head.signed_in == SignedIn::Form {
            let now_ms = self.cloud.clock.now_ms();
            let posted = forms::read(request, &*self.find_key, now_ms).await;
            let posted = match posted {
                Ok(posted) => posted,
                Err(error) => return refusals::answer(&error, asked),
            };
            if posted.sender.caller != Caller::Anonymous {
                (visit.believe)();
            }
            head.version = posted.version;
            let executor = executor(head);
            let response = executor.execute(posted.request, posted.sender).await;
            response.map(|it| posted.reply.answer(it))
        } else {
            let shown = mismatch::Shown::of(&head, &request);
            let hoisted = head.content_sha256_hoisted.clone();
            let request = match hoisted.filter(|it| hash::is_hash(it)) {
                Some(hash) => hoisted::for_library(request, &hash, &*self.find_key),
                None => request,
            };
            let verified = verify::Verification {
                find_key: self.find_key.clone(),
                config: self.config.clone(),
                believe: visit.believe.clone(),
                executor: executor(head),
            };
            let response = verified.verify(request).await;
            return match response {
                Ok(response) => {
                    let response = with_status(response, asked.method);
                    let now_ms = self.cloud.clock.now_ms();
                    refusals::tell(response, &refused, asked, Some((&shown, now_ms))).await
                }
                Err(error) => failed(error),
            };
        };
        match response {
            Ok(response) => refusals::tell(response, &refused, asked, None).await,
            Err(error) => failed(error),
        }
    }
}

/// Every answer has the name of the service, and what it is known by.
fn signed_by(
    mut response: http::Response<Body>,
    request_id: &str,
    host_id: &str,
) -> http::Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [("x-amz-request-id", request_id), ("x-amz-id-2", host_id)] {
        let value = HeaderValue::from_str(value).expect("digits are a header's value");
        headers.insert(name, value);
    }
    headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
    response
}

fn failed(error: s3s::HttpError) -> http::Response<Body> {
    let error: Box<dyn std::error::Error + Send + Sync> = error.into();
    tracing::error!(%error, "S3's door failed");
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// The status, where S3 has another than the library: a head of a part of an object is answered as the
/// part itself would be, and some operations have one of their own.
fn with_status(mut response: http::Response<Body>, method: &Method) -> http::Response<Body> {
    if let Some(status) = response.extensions_mut().remove::<StatusCode>() {
        *response.status_mut() = status;
    }
    let is_part = response.headers().contains_key(CONTENT_RANGE);
    if *method == Method::HEAD && response.status() == StatusCode::OK && is_part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// Reads what a request says of its signature, and sees to it that its body is what is said of it.
fn look(
    request: http::Request<Body>,
    origin: &Origin,
) -> Result<(Head, http::Request<Body>), Error> {
    let (mut parts, mut body) = request.into_parts();
    reading::check_key(&parts)?;
    let head = head::look(&parts)?;
    if head.signed_in == SignedIn::OldQuery {
        head::restore_headers(&mut parts)?;
    }
    if head.leaves_body_open() && parts.method != Method::GET && !is_near(origin) {
        return Err(InvalidRequest.because(
            "The payload has to be signed where others may read and change it on its way: use HTTPS, or sign it",
        ));
    }
    if let Some(framing) = &head.framing {
        body = chunks::watch(body, framing.clone());
    }
    if matches!(head.signed_in, SignedIn::Nowhere | SignedIn::OldQuery)
        && let Some(wanted) = head.content_sha256.clone().filter(|it| hash::is_hash(it))
    {
        body = hash::compared(body, wanted);
    }
    Ok((head, http::Request::from_parts(parts, body)))
}

/// Whether nobody is between the client and this machine who could change a body that is not signed.
/// S3 takes such bodies over HTTPS alone, and clients send them there alone; those on this machine and in
/// its networks are as near.
fn is_near(origin: &Origin) -> bool {
    match origin {
        Origin::Internal => true,
        Origin::Client(client) => {
            client.is_secure
                || client.inside.is_some()
                || client
                    .address
                    .is_some_and(|it| it.to_canonical().is_loopback())
        }
    }
}

/// Answers one request.
pub(crate) struct Api {
    cloud: Arc<Cloud>,
    request_id: String,
    origin: Arc<Origin>,
    caller: Caller,
    /// That the signature names, which counts before the one that the host names.
    region: Option<String>,
    trailers: Option<TrailingHeaders>,
    head: Arc<Head>,
    refused: Refused,
}

impl Api {
    fn context(&self, region: Option<&str>) -> Cx {
        let region = self.region.as_deref().or(region);
        let region = region.unwrap_or(crate::bucket::FIRST_REGION);
        let (caller, origin) = (self.caller.clone(), self.origin.clone());
        let mut cx = self.cloud.context(region, caller, origin);
        cx.request_id = self.request_id.clone();
        cx
    }

    fn facts(&self, headers: &http::HeaderMap) -> RequestFacts {
        self.head.facts(headers, self.cloud.clock.now_ms())
    }
}

struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let mut found = VirtualHost::new(host);
        let region = match address(host) {
            Some(Address::Bucket { bucket, region }) => {
                found = found.with_bucket(bucket);
                region
            }
            Some(Address::Service { region }) => region,
            _ => None,
        };
        Ok(match region {
            Some(region) => found.with_region(region),
            None => found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::Permitted;

    /// A request that nobody signed is nobody's: it has no caller to fall back to, whom everything is
    /// allowed.
    #[tokio::test]
    async fn whom_nobody_signed_for_is_nobody() {
        let world = testkit::world([crate::service()]).at_rest();
        let (parts, ()) = http::Request::new(()).into_parts();
        let api = Api {
            cloud: world.cloud.clone(),
            request_id: "id".into(),
            origin: Arc::new(Origin::Internal),
            caller: Caller::Anonymous,
            region: None,
            trailers: None,
            head: Arc::new(
                head::look(&parts).unwrap_or_else(|_| panic!("nothing is wrong with it")),
            ),
            refused: Refused::default(),
        };
        let cx = api.context(None);
        assert_eq!(cx.caller, Caller::Anonymous);
        let asks = s3s::dto::ListBucketsInput::default().asks();
        let refused = crate::authorize::authorize(&cx, &Default::default(), &asks);
        assert_eq!(refused.unwrap_err().code, "AccessDenied");
    }
}
