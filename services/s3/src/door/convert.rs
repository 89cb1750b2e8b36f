//! Between this crate's types and those of `s3s`.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cloud::Error;
use engine::ByteStream;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{ETag, ETagCondition, Owner, StreamingBlob, Tag, Timestamp};
use s3s::stream::RemainingLength;
use s3s::{S3Error, S3ErrorCode, StdError};

/// The same for every bucket of an account, and no account id.
pub fn owner(account: &str) -> Owner {
    Owner {
        display_name: None,
        id: Some(cloud::token_hex(account, "s3-owner", 64)),
    }
}

/// An error's code. What AWS's other services call a failure has another name here.
pub fn code(error: &Error) -> &'static str {
    match error.is(wire::codes::InternalFailure) {
        true => wire::codes::InternalError.code,
        false => error.code,
    }
}

/// Status and head; the document is written later ([`super::refusals`]).
pub fn refusal(error: &Error) -> S3Error {
    let code = S3ErrorCode::from_bytes(code(error).as_bytes());
    let mut out = S3Error::with_message(
        code.unwrap_or(S3ErrorCode::InternalError),
        error.message.clone(),
    );
    if let Ok(status) = StatusCode::from_u16(error.status) {
        out.set_status_code(status);
    }
    let headers = headers(error);
    if !headers.is_empty() {
        out.set_headers(headers);
    }
    out
}

/// What an error says in the answer's head: its details whose names are in small letters.
pub fn headers(error: &Error) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let details = error.members.iter();
    for (name, value) in details.filter(|it| !super::refusals::is_element(it.0)) {
        if let wire::Node::Str(text) = value
            && let Ok(value) = HeaderValue::from_str(text)
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// S3 tells of whole seconds.
pub fn time(ms: i64) -> Timestamp {
    let since = Duration::from_secs(u64::try_from(ms / 1000).unwrap_or(0));
    Timestamp::from(UNIX_EPOCH + since)
}

pub fn ms(time: Timestamp) -> i64 {
    let time: SystemTime = time.into_system_time();
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

trait IntoSystemTime {
    fn into_system_time(self) -> SystemTime;
}

impl IntoSystemTime for Timestamp {
    fn into_system_time(self) -> SystemTime {
        // Times before 1970 are of no use to anybody here.
        let mut text = Vec::new();
        let formatted = self.format(s3s::dto::TimestampFormat::EpochSeconds, &mut text);
        let seconds = formatted.ok().and_then(|()| String::from_utf8(text).ok());
        let seconds: f64 = seconds.and_then(|it| it.parse().ok()).unwrap_or(0.0);
        UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

pub fn etag(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

/// Without quotes, or `*`.
pub fn condition(condition: Option<ETagCondition>) -> Option<String> {
    condition.map(|it| match it {
        ETagCondition::Any => "*".to_owned(),
        ETagCondition::ETag(etag) => etag.value().to_owned(),
    })
}

pub fn incoming(body: Option<StreamingBlob>) -> ByteStream {
    match body {
        Some(body) => Box::pin(body.map(|it| it.map_err(io::Error::other))),
        None => Box::pin(futures_util::stream::empty()),
    }
}

pub fn outgoing(body: ByteStream, length: u64) -> StreamingBlob {
    StreamingBlob::new(Outgoing {
        body: Mutex::new(body),
        left: length,
    })
}

/// `s3s` shares bodies between threads; the lock is never waited for.
struct Outgoing {
    body: Mutex<ByteStream>,
    left: u64,
}

impl Stream for Outgoing {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let body = this.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let next = body.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            this.left = this.left.saturating_sub(piece.len() as u64);
        }
        next.map_err(|error| Box::new(error) as StdError)
    }
}

impl s3s::stream::ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.left)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

/// What stays as it is in a listing that is encoded as in URLs.
const IN_LISTINGS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'*');

pub fn url_encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_LISTINGS).to_string()
}

pub fn tags(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tags = tags.into_iter().map(|(key, value)| Tag {
        key: Some(key),
        value: Some(value),
    });
    tags.collect()
}

pub fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    let pairs = tags.into_iter();
    pairs
        .map(|it| (it.key.unwrap_or_default(), it.value.unwrap_or_default()))
        .collect()
}

/// As HTTP's heads have it.
pub fn http_date(ms: i64) -> Option<String> {
    let mut text = Vec::new();
    let format = s3s::dto::TimestampFormat::HttpDate;
    time(ms).format(format, &mut text).ok()?;
    String::from_utf8(text).ok()
}
