//! S3's own front door, on the crate `s3s`: it reads requests, verifies signatures (also presigned
//! ones, those of chunks and trailers, and of forms) and writes answers; what an operation does is
//! said in this crate's own modules, which the table for other services uses too.

mod answers;
mod buckets;
mod check;
mod chunks;
mod convert;
mod cors;
mod forms;
mod hash;
mod head;
#[cfg(test)]
mod hostile_input;
mod listings;
mod objects;
mod refusals;
mod rules;
mod settings;
mod sums;
mod uploads;

use std::sync::{Arc, Mutex, PoisonError};

use cloud::{Caller, Cloud, Cx, Error, Origin};
use http::header::{CONTENT_RANGE, HeaderValue, SERVER};
use http::{Method, StatusCode};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3Result, s3_error};
use wire::Signer;

pub use answers::{OPERATIONS, PERMISSIONS};
pub(crate) use convert::{http_date, ms, outgoing, url_encoded};

use crate::authorize::RequestFacts;
use crate::errors::InvalidRequest;
use crate::host::{Address, address};
use forms::FORM_HEAD_BYTES_MAX;
use head::{Head, SignedIn};
use refusals::{AskedFor, Refused};

/// Finds an access key with the session token that came with it, and whose it is.
pub type FindKey = dyn Fn(&str, Option<&str>) -> Option<Signer<Caller>> + Send + Sync;

/// What is posted as a form is held in memory, because what its policy allows is known at its end.
pub const FORM_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// One field of a form (User Guide, "Browser-Based Uploads Using POST": 20 KB for all).
const FORM_FIELD_BYTES_MAX: usize = 20 * 1024;
const FORM_FIELDS_MAX: usize = 200;
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
        config.post_object_max_file_size = FORM_FILE_BYTES_MAX;
        config.form_max_field_size = FORM_FIELD_BYTES_MAX;
        config.form_max_fields_size = FORM_HEAD_BYTES_MAX;
        config.form_max_parts = FORM_FIELDS_MAX;
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
        if let Some(Address::Website { bucket }) = address(host) {
            let bucket = bucket.to_owned();
            return crate::website::answer(&self.cloud, &bucket, request, visit.origin).await;
        }
        let cross = cors::Asked::of(&request);
        if let Some(answer) = cross.preflight(&self.cloud) {
            return answer;
        }
        let Visit {
            origin,
            request_id,
            believe,
        } = visit;
        let host_id = cloud::random_hex(64);
        let method = request.method().clone();
        let asked = AskedFor {
            method: &method,
            bucket: cross.bucket(),
            request_id: &request_id,
            host_id: &host_id,
        };
        let mut response = self.serve(request, &asked, origin, believe).await;
        let headers = response.headers_mut();
        cross.allow(&self.cloud, headers);
        for (name, value) in [("x-amz-request-id", &request_id), ("x-amz-id-2", &host_id)] {
            let value = HeaderValue::from_str(value).expect("digits are a header's value");
            headers.insert(name, value);
        }
        headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
        response
    }

    async fn serve(
        &self,
        request: http::Request<Body>,
        asked: &AskedFor<'_>,
        origin: Arc<Origin>,
        believe: Arc<dyn Fn() + Send + Sync>,
    ) -> http::Response<Body> {
        let (head, request) = match look(request, &origin).await {
            Ok((head, request)) => (Arc::new(head), request),
            Err(error) => return refusals::answer(&error, asked),
        };
        let refused = Refused::default();
        // Nobody, until a signature says otherwise.
        let whose = Arc::new(Mutex::new(Caller::Anonymous));
        let mut builder = S3ServiceBuilder::new(Api {
            cloud: self.cloud.clone(),
            request_id: asked.request_id.to_owned(),
            origin,
            whose: whose.clone(),
            head: head.clone(),
            refused: refused.clone(),
        });
        builder.set_auth(Keys {
            find_key: self.find_key.clone(),
            token: head.token.clone(),
            whose,
        });
        builder.set_access(check::Access {
            account: self.cloud.account.clone(),
            head: head.clone(),
            refused: refused.clone(),
            believe,
        });
        builder.set_host(Hosts);
        builder.set_config(self.config.clone());
        match builder.build().call(request).await {
            Ok(response) => {
                let response = with_status(response, asked.method);
                refusals::tell(response, &refused, asked).await
            }
            Err(error) => {
                let error: Box<dyn std::error::Error + Send + Sync> = error.into();
                tracing::error!(%error, "S3's door failed");
                let mut response = http::Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }
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
async fn look(
    request: http::Request<Body>,
    origin: &Origin,
) -> Result<(Head, http::Request<Body>), Error> {
    let (mut parts, mut body) = request.into_parts();
    let mut head = head::look(&parts)?;
    match head.signed_in {
        SignedIn::OldQuery => head::restore_headers(&mut parts)?,
        SignedIn::Query => head::restore_conditions(&mut parts)?,
        _ => {}
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
    if head.signed_in == SignedIn::Form {
        let kind = parts.headers.get(http::header::CONTENT_TYPE);
        let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let form;
        (form, body) = forms::read(kind, body).await?;
        (head.token, head.version) = (form.token, form.version);
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
    whose: Arc<Mutex<Caller>>,
    head: Arc<Head>,
    refused: Refused,
}

impl Api {
    fn context(&self, region: Option<&str>) -> Cx {
        let caller = self.whose.lock().unwrap_or_else(PoisonError::into_inner);
        let region = region.unwrap_or(crate::bucket::FIRST_REGION);
        let mut cx = (self.cloud).context(region, caller.clone(), self.origin.clone());
        cx.request_id = self.request_id.clone();
        cx
    }

    fn facts(&self, headers: &http::HeaderMap) -> RequestFacts {
        self.head.facts(headers, self.cloud.clock.now_ms())
    }
}

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
    use cloud::{Clock, CloudParts, Pace, Store};

    use super::*;
    use crate::permissions::Permitted;

    /// A request that nobody signed is nobody's: it has no caller to fall back to, whom everything is
    /// allowed.
    #[tokio::test]
    async fn whom_nobody_signed_for_is_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let cloud = Cloud::new(CloudParts {
            account: "000000000000".into(),
            default_region: "us-east-1".into(),
            store: Store::open(&directory.path().join("store.db")).unwrap(),
            engine: sim::Sim::default().engine(),
            clock: Clock::new(Pace::Fast),
            services: vec![crate::service()],
        });
        let (parts, ()) = http::Request::new(()).into_parts();
        let api = Api {
            cloud,
            request_id: "id".into(),
            origin: Arc::new(Origin::Internal),
            whose: Arc::new(Mutex::new(Caller::Anonymous)),
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
