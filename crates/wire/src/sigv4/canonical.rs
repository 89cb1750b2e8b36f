//! The one form of a request that both sides hash.

use http::request::Parts;
use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};

use super::Credentials;

/// What a URL may hold bare, as AWS has it.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

pub(super) fn request(head: &Parts, body_hash: &str, credentials: &Credentials) -> String {
    let mut out = String::new();
    out.push_str(head.method.as_str());
    out.push('\n');
    // Every service but S3 encodes the path that is sent once more.
    match credentials.service.as_str() {
        "s3" => out.push_str(head.uri.path()),
        _ => out.extend(utf8_percent_encode(head.uri.path(), PATH)),
    }
    out.push('\n');
    out.push_str(&query(head.uri.query().unwrap_or_default()));
    out.push('\n');
    for name in &credentials.signed_headers {
        out.push_str(name);
        out.push(':');
        push_header_values(&mut out, head, name);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&credentials.signed_headers.join(";"));
    out.push('\n');
    out.push_str(body_hash);
    out
}

/// The parameters but the signature, each encoded in one way, in order.
fn query(query: &str) -> String {
    let encoded = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&decoded, UNRESERVED).to_string()
    };
    let mut parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    parameters.sort();
    let parameters: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parameters.join("&")
}

/// The values with single spaces between their words, joined by commas.
fn push_header_values(out: &mut String, head: &Parts, name: &str) {
    for (index, value) in head.headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        out.push_str(&words.join(" "));
    }
}
