//! What a request says about who signed it.

use http::request::Parts;

use super::Doubt;
use crate::query::decode_form_text;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Where the signature stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    Header,
    /// In the query string of a presigned request, which is good for so many seconds.
    Query {
        expires: f64,
    },
}

/// Who signed a request, for which service and region, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Credentials {
    pub access_key: String,
    pub session_token: Option<String>,
    pub region: String,
    pub service: String,
    pub(super) date: String,
    pub(super) time: String,
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
    pub(super) place: Place,
}

impl Credentials {
    /// Reads them from the request's head.
    pub fn of(head: &Parts) -> Result<Self, Doubt> {
        match head.headers.get(http::header::AUTHORIZATION) {
            Some(value) => match value.to_str() {
                Ok(value) => Self::from_header(head, value),
                Err(_) => Err(Doubt::Incomplete(
                    "the Authorization header is not text".into(),
                )),
            },
            None => Self::from_query(head),
        }
    }

    /// As it was sent.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    pub(super) fn scope(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        )
    }

    fn from_header(head: &Parts, value: &str) -> Result<Self, Doubt> {
        let Some(fields) = value.strip_prefix(ALGORITHM).map(str::trim) else {
            return Err(Doubt::Incomplete(format!(
                "Authorization header requires '{ALGORITHM}'"
            )));
        };
        let field = |name: &str| {
            let found = fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| {
                Doubt::Incomplete(format!("Authorization header requires '{name}' parameter."))
            })
        };
        let (credential, signed_headers, signature) = (
            field("Credential")?,
            field("SignedHeaders")?,
            field("Signature")?,
        );
        let time = header(head, "x-amz-date").ok_or_else(|| {
            Doubt::Incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".into())
        })?;
        let token = header(head, "x-amz-security-token");
        Self::assemble(
            credential,
            signed_headers,
            signature,
            time,
            token,
            Place::Header,
        )
    }

    fn from_query(head: &Parts) -> Result<Self, Doubt> {
        let query = head.uri.query().unwrap_or_default();
        let parameter = |name: &str| {
            let found = query
                .split('&')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.and_then(|value| decode_form_text(value).ok())
        };
        if parameter("X-Amz-Algorithm").as_deref() != Some(ALGORITHM) {
            return Err(Doubt::Unsigned);
        }
        let required = |name: &str| {
            parameter(name).ok_or_else(|| {
                Doubt::Incomplete(format!(
                    "AWS query-string parameters must include '{name}'."
                ))
            })
        };
        let expires = parameter("X-Amz-Expires").and_then(|seconds| seconds.parse::<u32>().ok());
        let expires = f64::from(expires.unwrap_or(15 * 60));
        Self::assemble(
            &required("X-Amz-Credential")?,
            &required("X-Amz-SignedHeaders")?,
            &required("X-Amz-Signature")?,
            required("X-Amz-Date")?,
            parameter("X-Amz-Security-Token"),
            Place::Query { expires },
        )
    }

    fn assemble(
        credential: &str,
        signed_headers: &str,
        signature: &str,
        time: String,
        session_token: Option<String>,
        place: Place,
    ) -> Result<Self, Doubt> {
        // Access keys hold no slash, so the scope is what follows the first one.
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = parts[..] else {
            return Err(Doubt::Incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term"
                    .into(),
            ));
        };
        if !time.starts_with(date) {
            return Err(Doubt::Incomplete(format!(
                "Date in Credential scope does not match YYYYMMDD from `{time}`"
            )));
        }
        Ok(Self {
            access_key: access_key.to_owned(),
            session_token,
            region: region.to_owned(),
            service: service.to_owned(),
            date: date.to_owned(),
            time,
            signed_headers: signed_headers
                .split(';')
                .map(str::to_ascii_lowercase)
                .collect(),
            signature: signature.to_owned(),
            place,
        })
    }
}

fn header(head: &Parts, name: &str) -> Option<String> {
    head.headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}
