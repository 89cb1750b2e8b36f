//! The ids of requests: each has one, which its answer tells, and by which the daemon's log is searched.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::{Body, Way};

const AWS: HeaderName = HeaderName::from_static("x-amzn-requestid");
const S3: HeaderName = HeaderName::from_static("x-amz-request-id");

/// A version 4 UUID, as AWS's request ids are.
pub fn for_aws() -> String {
    cloud::uuid(&cloud::random_hex(32))
}

/// S3's are shorter.
pub fn for_s3() -> String {
    cloud::random_hex(16).to_uppercase()
}

/// Puts the id into an answer's head where it is not yet. What failed here is logged with it, whatever
/// was said about it before, so that no such answer is without a line.
pub fn tell(response: &mut Response<Body>, way: Way, id: &str) {
    let name = match way {
        Way::S3 => S3,
        _ => AWS,
    };
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(name, id);
    }
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!("answered that the request failed");
    }
}

/// A message for somebody whose program shows nothing else of an answer: with the id, when whoever runs the
/// daemon has to look into its log.
pub fn with(status: u16, message: &str, id: &str) -> String {
    match status {
        500 => format!("{message} (request id {id})"),
        _ => message.to_owned(),
    }
}
