//! Answers and refusals in the specification's form.

use engine::{EngineError, Fault, Repository};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};

use super::RegistryBody;

/// The specification's error codes.
pub const BLOB_UNKNOWN: &str = "BLOB_UNKNOWN";
pub const BLOB_UPLOAD_INVALID: &str = "BLOB_UPLOAD_INVALID";
pub const BLOB_UPLOAD_UNKNOWN: &str = "BLOB_UPLOAD_UNKNOWN";
pub const DENIED: &str = "DENIED";
pub const DIGEST_INVALID: &str = "DIGEST_INVALID";
pub const MANIFEST_BLOB_UNKNOWN: &str = "MANIFEST_BLOB_UNKNOWN";
pub const MANIFEST_INVALID: &str = "MANIFEST_INVALID";
pub const MANIFEST_UNKNOWN: &str = "MANIFEST_UNKNOWN";
pub const NAME_INVALID: &str = "NAME_INVALID";
pub const NAME_UNKNOWN: &str = "NAME_UNKNOWN";
pub const SIZE_INVALID: &str = "SIZE_INVALID";
/// Of the registry that came before the specification, which clients know.
pub const TAG_INVALID: &str = "TAG_INVALID";
pub const TOOMANYREQUESTS: &str = "TOOMANYREQUESTS";
pub const UNKNOWN: &str = "UNKNOWN";
pub const UNSUPPORTED: &str = "UNSUPPORTED";

pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// A request that is not done.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub fn method(method: &Method) -> Self {
        let message = format!("`{method}` means nothing here");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, UNSUPPORTED, message)
    }

    pub fn name_unknown(repository: &Repository) -> Self {
        let message = format!("the repository `{}` does not exist", repository.path);
        Self::not_found(NAME_UNKNOWN, message)
    }

    /// The store's refusal. `code` is what it means where it happened; trouble of this machine has
    /// a code of its own everywhere.
    pub fn from_engine(error: &EngineError, code: &'static str) -> Self {
        let status = match error.fault {
            Fault::NotFound => StatusCode::NOT_FOUND,
            Fault::Invalid => StatusCode::BAD_REQUEST,
            Fault::Conflict => StatusCode::CONFLICT,
            Fault::Unreachable | Fault::Machine => {
                tracing::error!("the registry failed: {}", error.chain());
                let message = error.lack_in_words().unwrap_or_else(|| error.chain());
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, UNKNOWN, message);
            }
        };
        Self::new(status, code, error.to_string())
    }

    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn into_response(self) -> Response<RegistryBody> {
        let body = serde_json::json!({
            "errors": [{ "code": self.code, "message": self.message, "detail": null }]
        });
        let mut response = json(self.status, &body);
        for (name, value) in self.headers {
            set(&mut response, name, &value);
        }
        response
    }
}

pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<RegistryBody> {
    bytes(status, "application/json", value.to_string().into_bytes())
}

pub fn bytes(status: StatusCode, content_type: &str, body: Vec<u8>) -> Response<RegistryBody> {
    let mut response = empty(status);
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(
        &mut response,
        header::CONTENT_LENGTH,
        &body.len().to_string(),
    );
    *response.body_mut() = Full::from(body).map_err(|never| match never {}).boxed();
    response
}

pub fn empty(status: StatusCode) -> Response<RegistryBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

/// Sets a header. What cannot be a header's value (never, for what is written here) is left out.
pub fn set(response: &mut Response<RegistryBody>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
