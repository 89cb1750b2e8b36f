//! A head as S3 reads it, where the library that reads it next is stricter or reads otherwise: what means
//! nothing is as if it were not there, and what cannot be is refused in S3's words.
//!
//! The signature was verified over the head as it was sent, so all of this may be changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::Error;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES, HeaderName,
    HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE,
};
use http::request::Parts;
use s3s::dto::{
    CopySource, ETagCondition, ParseCopySourceError, Range, Timestamp, TimestampFormat,
};

use super::head::{self, SignedIn};
use crate::checksum::Algorithm;
use crate::errors::*;
use crate::host::bucket_and_key;
use crate::names;

/// What a head says that the library cannot pass on: texts that are no ASCII, and times that are none.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_type: Option<String>,
    pub website_redirect: Option<String>,
    /// As it was sent, where it is no time.
    pub expires: Option<String>,
}

impl Told {
    pub fn of<T>(request: &s3s::S3Request<T>) -> Self {
        request.extensions.get().cloned().unwrap_or_default()
    }
}

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const REDIRECT: HeaderName = HeaderName::from_static("x-amz-website-redirect-location");
const META: &str = "x-amz-meta-";

/// Conditions that are entity tags, and those that are times.
const TAGS: [HeaderName; 4] = [
    IF_MATCH,
    IF_NONE_MATCH,
    HeaderName::from_static("x-amz-copy-source-if-match"),
    HeaderName::from_static("x-amz-copy-source-if-none-match"),
];
const TIMES: [HeaderName; 4] = [
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    HeaderName::from_static("x-amz-copy-source-if-modified-since"),
    HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
];

pub fn read(parts: &mut Parts, signed_in: SignedIn) -> Result<Told, Error> {
    head::take_signature(parts, signed_in)?;
    read_query(parts)?;
    read_conditions(parts);
    read_copy_source(parts)?;
    read_metadata(parts);
    check_sums(parts)?;
    check_ownership(parts)?;
    Ok(take_texts(parts))
}

/// A key that is too long is refused by how long it is, which the library does not say.
pub fn check_key(parts: &Parts) -> Result<(), Error> {
    let (_, key) = bucket_and_key(&parts.headers, &parts.uri);
    let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
    match key.is_empty() {
        true => Ok(()),
        false => names::check_key(&key),
    }
}

/// Numbers of a query.
const NUMBERS: &[&str] = &[
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
];

/// What has no value says nothing, except a version's id and a part's number, which have to be some.
fn read_query(parts: &mut Parts) -> Result<(), Error> {
    let query = parts.uri.query().unwrap_or_default();
    let mut kept: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        let Some((name, value)) = form_urlencoded::parse(pair.as_bytes()).next() else {
            continue;
        };
        let (name, value) = (name.as_ref(), value.as_ref());
        let number = NUMBERS.iter().find(|it| **it == name);
        match (name, number) {
            ("versionId", _) if value.is_empty() => {
                let why = "Version id cannot be the empty string";
                return Err(bad_argument("versionId", value, why));
            }
            ("partNumber", _) if value.parse::<i32>().is_err() => {
                let why = "Part number must be an integer between 1 and 10000, inclusive";
                return Err(bad_argument("partNumber", value, why));
            }
            (_, Some(_)) if value.is_empty() => continue,
            (_, Some(name)) => {
                // What is more than any page holds is as much as a page holds.
                let number = value.parse::<i64>().ok();
                let number = number.filter(|it| i32::try_from(*it).is_ok());
                if number.is_none() {
                    let why = format!("Provided {name} not an integer or within integer range");
                    return Err(bad_argument(name, value, &why));
                }
            }
            ("key-marker" | "upload-id-marker" | "marker" | "start-after", _)
                if value.is_empty() =>
            {
                continue;
            }
            _ => {}
        }
        kept.push(pair);
    }
    parts.uri = head::with_query(&parts.uri, &kept)?;
    Ok(())
}

/// An entity tag may have lost a quote, or both; a range and a time that cannot be read are none.
fn read_conditions(parts: &mut Parts) {
    let headers = &mut parts.headers;
    for name in TAGS {
        let Some(value) = headers.get(&name) else {
            continue;
        };
        let value = value.as_bytes().trim_ascii();
        if ETagCondition::parse_http_header(value).is_ok() {
            continue;
        }
        let text = String::from_utf8_lossy(value);
        let bare = text.trim_matches('"');
        match HeaderValue::from_str(&format!("\"{bare}\"")) {
            Ok(value) if !bare.is_empty() => headers.insert(name, value),
            _ => headers.remove(name),
        };
    }
    for name in TIMES {
        if headers.get(&name).is_some_and(|it| !is_time(it)) {
            headers.remove(name);
        }
    }
    let is_range = |it: &HeaderValue| it.to_str().is_ok_and(|it| Range::parse(it).is_ok());
    if headers.get(RANGE).is_some_and(|it| !is_range(it)) {
        headers.remove(RANGE);
    }
}

fn is_time(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    Timestamp::parse(TimestampFormat::HttpDate, text).is_ok()
}

/// A plus sign in the name of a source is a space, as in forms: some clients write it so.
fn read_copy_source(parts: &mut Parts) -> Result<(), Error> {
    let Some(value) = parts.headers.get(COPY_SOURCE) else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let spaced = text.replace('+', "%20");
    if let Err(error) = CopySource::parse(&spaced) {
        let name = "x-amz-copy-source";
        if matches!(error, ParseCopySourceError::InvalidBucketName) {
            return Err(bad_argument(name, text, "Invalid copy source bucket name"));
        }
        let names_both = spaced
            .trim_start_matches('/')
            .replace("%2F", "/")
            .split_once('/')
            .is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
        return Err(match names_both {
            true => bad_argument(name, text, "Invalid copy source object key"),
            false => bad_argument(
                name,
                text,
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ),
        });
    }
    if let Ok(value) = HeaderValue::from_str(&spaced) {
        parts.headers.insert(COPY_SOURCE, value);
    }
    Ok(())
}

/// An encoded word (RFC 2047) that cannot be decoded is a text like another.
fn read_metadata(parts: &mut Parts) {
    let own = parts.headers.iter_mut();
    for (_, value) in own.filter(|it| it.0.as_str().starts_with(META)) {
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = text.trim();
        let looks_encoded = text.starts_with("=?") && text.ends_with("?=");
        if !looks_encoded || text.split_whitespace().all(is_encoded_word) {
            continue;
        }
        let word = format!("=?UTF-8?B?{}?=", BASE64.encode(text));
        if let Ok(word) = HeaderValue::from_str(&word) {
            *value = word;
        }
    }
}

fn is_encoded_word(word: &str) -> bool {
    let inner = word.strip_prefix("=?").and_then(|it| it.strip_suffix("?="));
    let mut parts = inner.unwrap_or_default().splitn(3, '?').skip(1);
    let (Some(encoding), Some(text)) = (parts.next(), parts.next()) else {
        return false;
    };
    let bytes = match encoding {
        "B" | "b" => BASE64.decode(text).ok(),
        "Q" | "q" if text.is_ascii() => Some(
            percent_encoding::percent_decode_str(&text.replace('%', "=25").replace('=', "%"))
                .collect(),
        ),
        _ => None,
    };
    bytes.is_some_and(|it| String::from_utf8(it).is_ok())
}

/// One checksum of the body at most, in base 64 and as long as its algorithm has it.
fn check_sums(parts: &Parts) -> Result<(), Error> {
    let headers = &parts.headers;
    let text = |name: &str| headers.get(name).map(|it| it.to_str().unwrap_or_default());
    let named: Vec<(Algorithm, &str)> = (Algorithm::ALL.iter())
        .filter_map(|it| Some((*it, text(&it.header())?)))
        .collect();
    if named.len() > 1 {
        return Err(InvalidRequest.because(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ));
    }
    for (algorithm, value) in &named {
        // Of an upload in parts it says of how many.
        let value = value.split('-').next().unwrap_or_default();
        let bytes = BASE64.decode(value).ok();
        if bytes.is_none_or(|it| it.len() != algorithm.length()) {
            return Err(InvalidRequest.because(format!(
                "Value for {} header is invalid.",
                algorithm.header()
            )));
        }
    }
    let Some(algorithm) = text("x-amz-sdk-checksum-algorithm") else {
        return Ok(());
    };
    match Algorithm::named(algorithm) {
        Some(algorithm) if named.first().is_none_or(|it| it.0 == algorithm) => Ok(()),
        _ => {
            Err(InvalidRequest.because("Value for x-amz-sdk-checksum-algorithm header is invalid."))
        }
    }
}

fn check_ownership(parts: &Parts) -> Result<(), Error> {
    let name = "x-amz-object-ownership";
    match parts.headers.get(name) {
        Some(value) if value.is_empty() => Err(bad_argument(
            name,
            "",
            "Invalid x-amz-object-ownership header: ",
        )),
        _ => Ok(()),
    }
}

/// The library passes on ASCII alone.
fn take_texts(parts: &mut Parts) -> Told {
    let headers = &mut parts.headers;
    let mut take = |name: HeaderName| {
        let value = headers.get(&name)?;
        if value.to_str().is_ok() {
            return None;
        }
        let value = headers.remove(name)?;
        Some(match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => text.to_owned(),
            Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
        })
    };
    let mut told = Told {
        cache_control: take(CACHE_CONTROL),
        content_disposition: take(CONTENT_DISPOSITION),
        content_encoding: take(CONTENT_ENCODING),
        content_language: take(CONTENT_LANGUAGE),
        content_type: take(http::header::CONTENT_TYPE),
        website_redirect: take(REDIRECT),
        expires: take(EXPIRES),
    };
    if headers.get(EXPIRES).is_some_and(|it| !is_time(it)) {
        let text = headers.remove(EXPIRES);
        told.expires = text.and_then(|it| it.to_str().ok().map(str::to_owned));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    fn read_head(uri: &str, headers: &[(&str, &str)]) -> Result<(Parts, Told), Error> {
        let mut parts = parts(uri, headers);
        let told = read(&mut parts, SignedIn::Nowhere)?;
        Ok((parts, told))
    }

    #[test]
    fn what_means_nothing_is_not_there() {
        for (name, sent, read) in [
            ("range", "bytes=1-0", None),
            ("range", "bytes=0-1,3-4", None),
            ("range", "lines=1-2", None),
            ("range", "bytes=0-1", Some("bytes=0-1")),
            ("if-match", "abc\"", Some("\"abc\"")),
            ("if-match", "\"abc", Some("\"abc\"")),
            ("if-none-match", "*", Some("*")),
            ("if-match", "\"", None),
            ("if-modified-since", "yesterday", None),
            ("x-amz-copy-source", "bkt/a+b", Some("bkt/a%20b")),
            (
                "x-amz-meta-a",
                "=?UTF-8?B?=GGG?=",
                Some("=?UTF-8?B?PT9VVEYtOD9CPz1HR0c/PQ==?="),
            ),
            (
                "x-amz-meta-a",
                "=?UTF-8?Q?=C3=A9?=",
                Some("=?UTF-8?Q?=C3=A9?="),
            ),
        ] {
            let (parts, _) = read_head("/b/k", &[(name, sent)]).unwrap();
            let found = parts.headers.get(name).map(|it| it.to_str().unwrap());
            assert_eq!(found, read, "{name}: {sent}");
        }
        let (parts, _) = read_head("/b?max-keys=&marker=&prefix=&list-type=2", &[]).unwrap();
        assert_eq!(parts.uri, "/b?prefix=&list-type=2");
        let (_, told) = read_head("/b/k", &[("cache-control", "é"), ("expires", "soon")]).unwrap();
        assert_eq!(told.cache_control.as_deref(), Some("é"));
        assert_eq!(told.expires.as_deref(), Some("soon"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (uri, headers, code) in [
            ("/b?max-keys=x", vec![], "InvalidArgument"),
            ("/b/k?versionId=", vec![], "InvalidArgument"),
            ("/b/k?partNumber=x", vec![], "InvalidArgument"),
            ("/b/k", vec![("x-amz-copy-source", "b")], "InvalidArgument"),
            (
                "/b/k",
                vec![("x-amz-checksum-crc32", "AAAA")],
                "InvalidRequest",
            ),
            (
                "/b/k",
                vec![
                    ("x-amz-checksum-crc32", "AAAAAA=="),
                    ("x-amz-checksum-crc32c", "AAAAAA=="),
                ],
                "InvalidRequest",
            ),
            (
                "/b/k",
                vec![("x-amz-sdk-checksum-algorithm", "MD4")],
                "InvalidRequest",
            ),
            (
                "/b",
                vec![("x-amz-object-ownership", "")],
                "InvalidArgument",
            ),
        ] {
            let found = read_head(uri, &headers);
            assert_eq!(
                found.err().map(|it| it.code),
                Some(code),
                "{uri} {headers:?}"
            );
        }
    }
}
