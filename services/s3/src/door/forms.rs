//! The fields of a form that a browser posts, which stand before its file (User Guide, "Browser-Based
//! Uploads Using POST").
//!
//! `s3s` reads them, too, and holds them against the form's policy. They are read here before, because a
//! session's token is among them, and because the policy has to say which bucket it is for.

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use cloud::Error;
use futures_util::{StreamExt, stream};
use s3s::Body;
use s3s::dto::StreamingBlob;
use serde_json::Value as Json;

use super::head::{ALGORITHM, OLD_ALGORITHM};
use crate::errors::*;

/// 20 KB of fields (User Guide), and what a browser writes around each of them.
pub const FORM_HEAD_BYTES_MAX: usize = 64 * 1024;

/// All fields by their names in small letters.
type Fields = BTreeMap<String, String>;

/// What is known of a form whose file was not read yet.
pub struct FormHead {
    pub token: Option<String>,
    /// Of its signature; `boto3` signs forms by version 2 by default. None: nobody signed it.
    pub version: Option<&'static str>,
}

/// Reads the fields, and gives the body back with what was read of it. What stands before the file comes
/// in a piece of its own, because `s3s` bounds the pieces that the fields come in.
pub async fn read(content_type: &str, mut body: Body) -> Result<(FormHead, Body), Error> {
    let boundary = boundary(content_type).ok_or_else(malformed_form)?;
    let mut read: Vec<u8> = Vec::new();
    let (fields, length) = loop {
        match parse(&read, &boundary)? {
            Some(found) => break found,
            None if read.len() > FORM_HEAD_BYTES_MAX => return Err(too_long()),
            None => {}
        }
        let piece = body.next().await.ok_or_else(malformed_form)?;
        read.extend_from_slice(&piece.map_err(|_| malformed_form())?);
    };
    if length > FORM_HEAD_BYTES_MAX {
        return Err(too_long());
    }
    let head = check(fields)?;
    let rest = Bytes::from(read.split_off(length));
    let pieces = stream::iter([Ok(Bytes::from(read)), Ok(rest)]);
    let all = pieces.chain(body.map(|it| it.map_err(io::Error::other)));
    Ok((head, Body::from(StreamingBlob::wrap(all))))
}

fn too_long() -> Error {
    MaxPostPreDataLengthExceeded
        .because("Your POST request fields preceding the upload file were too large.")
}

fn malformed_form() -> Error {
    MalformedPOSTRequest
        .because("The body of your POST request is not well-formed multipart/form-data.")
}

fn boundary(content_type: &str) -> Option<Vec<u8>> {
    let parameters = content_type.split(';').skip(1);
    let mut parameters = parameters.filter_map(|it| it.trim().split_once('='));
    let (_, value) = parameters.find(|it| it.0.eq_ignore_ascii_case("boundary"))?;
    let value = value.trim_matches('"');
    (!value.is_empty()).then(|| value.as_bytes().to_vec())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|it| it == wanted)
}

/// The fields, and how many bytes stand before the file; None while there is not enough.
fn parse(read: &[u8], boundary: &[u8]) -> Result<Option<(Fields, usize)>, Error> {
    let edge = [b"--", boundary].concat();
    let between = [b"\r\n", edge.as_slice()].concat();
    let first = [edge.as_slice(), b"\r\n"].concat();
    let mut at = if read.starts_with(b"\r\n") { 2 } else { 0 };
    if read.len() < at + first.len() {
        return Ok(None);
    }
    if !read[at..].starts_with(&first) {
        return Err(malformed_form());
    }
    at += first.len();
    let mut fields = Fields::new();
    loop {
        let Some(length) = find(&read[at..], b"\r\n\r\n") else {
            return Ok(None);
        };
        let name = name_of(&read[at..at + length])?;
        at += length + 4;
        if name == "file" {
            return Ok(Some((fields, at)));
        }
        let Some(length) = find(&read[at..], &between) else {
            return Ok(None);
        };
        let value = std::str::from_utf8(&read[at..at + length]).map_err(|_| malformed_form())?;
        if fields.insert(name, value.to_owned()).is_some() {
            return Err(InvalidArgument.because("A field of the form is there twice"));
        }
        at += length + between.len();
        match read.get(at..at + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at += 2,
            Some(_) => {
                return Err(
                    InvalidArgument.because("POST requires exactly one file upload per request.")
                );
            }
        }
    }
}

/// The name that a part's head gives it, in small letters.
fn name_of(head: &[u8]) -> Result<String, Error> {
    let head = std::str::from_utf8(head).map_err(|_| malformed_form())?;
    let mut lines = head.split("\r\n").filter_map(|it| it.split_once(':'));
    let disposition = lines.find(|it| it.0.eq_ignore_ascii_case("content-disposition"));
    let (_, value) = disposition.ok_or_else(malformed_form)?;
    let mut parts = value.split(';').map(str::trim);
    if parts
        .next()
        .is_none_or(|it| !it.eq_ignore_ascii_case("form-data"))
    {
        return Err(malformed_form());
    }
    let mut names = parts.filter_map(|it| it.strip_prefix("name="));
    let name = names
        .next()
        .and_then(|it| it.strip_prefix('"')?.strip_suffix('"'));
    match (name, names.next()) {
        (Some(name), None) if !name.is_empty() => Ok(name.to_ascii_lowercase()),
        _ => Err(malformed_form()),
    }
}

/// A policy says which bucket it is for: a form that may be posted to any is nobody's intention.
fn check(fields: Fields) -> Result<FormHead, Error> {
    let version = match ["x-amz-signature", "signature"].map(|it| fields.contains_key(it)) {
        [true, false] => Some(ALGORITHM),
        [false, true] => Some(OLD_ALGORITHM),
        [false, false] => None,
        [true, true] => return Err(InvalidArgument.because("Only one auth mechanism allowed")),
    };
    if let Some(policy) = fields.get("policy") {
        let invalid = || InvalidPolicyDocument.because("Invalid Policy: Invalid JSON.");
        let text = BASE64.decode(policy).map_err(|_| invalid())?;
        let policy: Json = serde_json::from_slice(&text).map_err(|_| invalid())?;
        let conditions = policy["conditions"].as_array().ok_or_else(invalid)?;
        if !conditions.iter().any(is_of_bucket) {
            return Err(wire::codes::AccessDenied
                .because("Invalid according to Policy: Extra input fields: bucket"));
        }
    }
    Ok(FormHead {
        token: fields.get("x-amz-security-token").cloned(),
        version,
    })
}

fn is_of_bucket(condition: &Json) -> bool {
    match condition {
        Json::Object(exact) => exact.keys().any(|it| it.eq_ignore_ascii_case("bucket")),
        Json::Array(parts) => {
            let field = parts.get(1).and_then(Json::as_str);
            field.is_some_and(|it| it.eq_ignore_ascii_case("$bucket"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(head: &str, value: &str) -> String {
        format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    }

    #[test]
    fn fields_stand_before_the_file() {
        let file = part("name=\"file\"; filename=\"f\"", "name=\"key\"\r\n");
        let body = part("name=\"Key\"", "a") + &part("name=\"policy\"", "b") + &file;
        let (fields, length) = parse(body.as_bytes(), b"edge").unwrap().unwrap();
        assert_eq!(fields["key"], "a");
        assert_eq!(fields["policy"], "b");
        assert!(body[length..].starts_with("name=\"key\""));
        for cut in 0..length {
            assert!(parse(&body.as_bytes()[..cut], b"edge").unwrap().is_none());
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let end = part("name=\"file\"", "x");
        for body in [
            "--other\r\n".to_owned() + &end,
            part("name=\"key\"", "a") + &part("name=\"KEY\"", "b") + &end,
            part("name=key", "a") + &end,
            part("name=\"key\"; name=\"policy\"", "a") + &end,
            part("name=\"key\"", "a") + "--edge--\r\n",
            "--edge\r\nContent-Type: text/plain\r\n\r\n".to_owned(),
        ] {
            assert!(parse(body.as_bytes(), b"edge").is_err(), "{body}");
        }
    }

    #[test]
    fn a_policy_names_its_bucket() {
        let check = |policy: &str| {
            let policy = BASE64.encode(policy);
            check(Fields::from([("policy".to_owned(), policy)]))
                .err()
                .map(|it| it.code)
        };
        assert_eq!(check(r#"{"conditions": [{"bucket": "b"}]}"#), None);
        assert_eq!(check(r#"{"conditions": [["eq", "$bucket", "b"]]}"#), None);
        let none = check(r#"{"conditions": [["starts-with", "$key", ""]]}"#);
        assert_eq!(none, Some("AccessDenied"));
        assert_eq!(check("{"), Some("InvalidPolicyDocument"));
    }

    #[test]
    fn boundaries() {
        assert_eq!(boundary("multipart/form-data; boundary=a").unwrap(), b"a");
        let quoted = boundary("multipart/form-data; charset=x; Boundary=\"a b\"");
        assert_eq!(quoted.unwrap(), b"a b");
        assert!(boundary("multipart/form-data").is_none());
    }
}
