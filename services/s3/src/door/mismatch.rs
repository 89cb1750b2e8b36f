//! What S3 shows of a signature that it refuses, so that whoever made it finds where the two differ
//! (API reference, "Error Responses"): the texts that it is made of, and the times that it holds between.

use http::request::Parts;
use percent_encoding::percent_decode_str;
use s3s::Body;
use wire::Credentials;

use super::head::{Head, OLD_SUBRESOURCES, SignedIn};
use crate::host::{Address, address};

/// How far a request's time may be from S3's.
const SKEW_MS_MAX: u32 = 15 * 60 * 1000;

/// The head of a request as it was signed.
pub struct Shown {
    signed_in: SignedIn,
    head: Option<Parts>,
}

type Details = Vec<(&'static str, String)>;

impl Shown {
    pub fn of(head: &Head, request: &http::Request<Body>) -> Self {
        let is_signed = head.signed_in != SignedIn::Nowhere;
        let kept = || {
            let mut kept = http::Request::new(());
            *kept.method_mut() = request.method().clone();
            *kept.uri_mut() = request.uri().clone();
            *kept.headers_mut() = request.headers().clone();
            kept.into_parts().0
        };
        Self {
            signed_in: head.signed_in,
            head: is_signed.then(kept),
        }
    }

    /// What is told beside this code and message.
    pub fn details(&self, code: &str, message: &str, now_ms: i64) -> Details {
        let Some(head) = &self.head else {
            return Vec::new();
        };
        match code {
            "SignatureDoesNotMatch" => match self.signed_in {
                SignedIn::OldQuery => of_old(head),
                _ => of_new(head).unwrap_or_default(),
            },
            "InvalidAccessKeyId" => access_key(head)
                .map(|it| vec![("AWSAccessKeyId", it)])
                .unwrap_or_default(),
            "RequestTimeTooSkewed" => vec![
                ("RequestTime", header(head, "x-amz-date")),
                ("ServerTime", time(now_ms)),
                ("MaxAllowedSkewMilliseconds", SKEW_MS_MAX.to_string()),
            ],
            "AccessDenied" if message == "Request has expired" => expired(head, now_ms),
            _ => Vec::new(),
        }
    }
}

fn time(ms: i64) -> String {
    wire::Timestamp(ms.div_euclid(1000) as f64).to_string()
}

fn header(head: &Parts, name: &str) -> String {
    let value = head.headers.get(name);
    value
        .map(|it| String::from_utf8_lossy(it.as_bytes()).trim().to_owned())
        .unwrap_or_default()
}

fn parameter(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|it| it.0 == name).map(|it| it.1.into_owned())
}

fn access_key(head: &Parts) -> Option<String> {
    match Credentials::of(head) {
        Ok(credentials) => Some(credentials.access_key),
        Err(_) => parameter(head, "AWSAccessKeyId"),
    }
}

fn bytes(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|it| format!("{it:02x}")).collect();
    bytes.join(" ")
}

/// As forms and every version show it.
pub fn signed_text(access_key: &str, text: &str, signature: &str) -> Details {
    vec![
        ("AWSAccessKeyId", access_key.to_owned()),
        ("StringToSign", text.to_owned()),
        ("SignatureProvided", signature.to_owned()),
        ("StringToSignBytes", bytes(text)),
    ]
}

fn of_new(head: &Parts) -> Option<Details> {
    let credentials = Credentials::of(head).ok()?;
    let hash = match header(head, "x-amz-content-sha256") {
        stated if stated.is_empty() => parameter(head, "X-Amz-Content-Sha256")
            .unwrap_or_else(|| super::head::UNSIGNED.to_owned()),
        stated => stated,
    };
    let texts = wire::signed_texts(head, &hash, &credentials);
    let mut details = signed_text(
        &credentials.access_key,
        &texts.to_sign,
        credentials.signature(),
    );
    let canonical = bytes(&texts.canonical);
    details.push(("CanonicalRequest", texts.canonical));
    details.push(("CanonicalRequestBytes", canonical));
    Some(details)
}

/// "Signing and Authenticating REST Requests", for a query.
fn of_old(head: &Parts) -> Details {
    let parameter = |name: &str| parameter(head, name).unwrap_or_default();
    let mut text = format!(
        "{}\n{}\n{}\n{}\n",
        head.method,
        header(head, "content-md5"),
        header(head, "content-type"),
        parameter("Expires")
    );
    let mut own: Vec<&str> = head.headers.keys().map(|it| it.as_str()).collect();
    own.retain(|it| it.starts_with("x-amz-"));
    own.sort_unstable();
    for name in own {
        text.push_str(&format!("{name}:{}\n", header(head, name)));
    }
    if let Some(Address::Bucket { bucket, .. }) = address(&header(head, "host")) {
        text.push_str(&format!("/{bucket}"));
    }
    text.push_str(head.uri.path());
    let query = head.uri.query().unwrap_or_default();
    let mut named: Vec<&str> = query.split('&').collect();
    named.retain(|it| OLD_SUBRESOURCES.contains(&it.split('=').next().unwrap_or_default()));
    named.sort_unstable();
    for (index, pair) in named.into_iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(&percent_decode_str(pair).decode_utf8_lossy());
    }
    signed_text(&parameter("AWSAccessKeyId"), &text, &parameter("Signature"))
}

fn expired(head: &Parts, now_ms: i64) -> Details {
    let mut details = Vec::new();
    let ended_ms = match parameter(head, "X-Amz-Expires") {
        Some(seconds) => {
            let signed_at = parameter(head, "X-Amz-Date");
            let signed_at = signed_at.as_deref().and_then(super::head::compact_ms);
            let lasting_ms = seconds.parse::<i64>().unwrap_or(0) * 1000;
            details.push(("X-Amz-Expires", seconds));
            signed_at.map(|it| it + lasting_ms)
        }
        None => {
            let ended = parameter(head, "Expires").and_then(|it| it.parse::<i64>().ok());
            ended.and_then(|it| it.checked_mul(1000))
        }
    };
    details.extend(ended_ms.map(|it| ("Expires", time(it))));
    details.push(("ServerTime", time(now_ms)));
    details
}
