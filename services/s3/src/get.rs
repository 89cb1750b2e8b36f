//! Reading an object: which version, whether it is wanted, and which bytes of it.

use std::ops::Range;

use cloud::{Cx, Error, Records};
use engine::{ByteStream, EngineError, Fault};
use futures_util::StreamExt;

use crate::authorize::Seen;
use crate::errors::*;
use crate::record::{NULL_VERSION, Object, Versioning};
use crate::{bucket, lifecycle, names, sealed, versions};

/// An object may be replaced between the reading of its record and the opening of its content.
const TRIES: usize = 5;

#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub seen: Seen,
    pub bucket: String,
    pub key: String,
    pub version: Option<String>,
    pub part: Option<i32>,
    pub range: Option<s3s::dto::Range>,
    pub conditions: Conditions,
}

/// Of a read. Entity tags without quotes, or `*`; times in milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since_ms: Option<i64>,
    pub if_unmodified_since_ms: Option<i64>,
}

impl Conditions {
    /// RFC 9110, section 13.2.2, as the API reference of `GetObject` has it, too.
    pub fn check(&self, object: &Object, now_ms: i64) -> Result<(), Error> {
        let matches = |wanted: &String| *wanted == "*" || *wanted == object.etag;
        // Times are sent in whole seconds.
        let modified = object.modified_ms.div_euclid(1000);
        let newer = |since: &i64| modified > since.div_euclid(1000);
        match (&self.if_match, &self.if_unmodified_since_ms) {
            (Some(wanted), _) if !matches(wanted) => return Err(precondition_failed("If-Match")),
            (None, Some(since)) if newer(since) => {
                return Err(precondition_failed("If-Unmodified-Since"));
            }
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since_ms) {
            (Some(unwanted), _) if matches(unwanted) => {
                Err(not_modified(object).about("Condition", "If-None-Match"))
            }
            // A time that has not come yet says nothing (RFC 9110, section 13.1.3).
            (None, Some(since)) if *since <= now_ms && !newer(since) => {
                Err(not_modified(object).about("Condition", "If-Modified-Since"))
            }
            _ => Ok(()),
        }
    }
}

fn not_modified(object: &Object) -> Error {
    NotModified
        .because("Not Modified")
        .about("etag", object.quoted_etag())
}

/// An object and the bytes of it that were asked for.
pub struct Selected {
    pub object: Object,
    /// None: all.
    pub range: Option<Range<u64>>,
    /// When it is going to be deleted, and by which rule.
    pub expiration: Option<String>,
    version: Option<String>,
}

/// The version id that answers have: none in a bucket that never kept versions, and `null` of what was
/// written while a bucket kept none.
pub fn shown_version(
    tx: &Records<'_>,
    seen: &Seen,
    object: &Object,
) -> Result<Option<String>, Error> {
    if object.version.is_some() {
        return Ok(object.version.clone());
    }
    let versioning = match seen.bucket(&object.bucket) {
        Some(bucket) => bucket.versioning,
        None => bucket::find(tx, &object.bucket)?.versioning,
    };
    Ok((versioning != Versioning::Off).then(|| NULL_VERSION.to_owned()))
}

impl Selected {
    pub fn length(&self) -> u64 {
        match &self.range {
            Some(range) => range.end - range.start,
            None => self.object.size,
        }
    }

    pub fn version_id(&self) -> Option<String> {
        self.version.clone()
    }

    /// `Content-Range`, where only a part is answered.
    pub fn content_range(&self) -> Option<String> {
        let range = self.range.as_ref()?;
        Some(format!(
            "bytes {}-{}/{}",
            range.start,
            range.end.saturating_sub(1),
            self.object.size
        ))
    }
}

/// What `HeadObject` answers of.
pub fn select(cx: &Cx, wanted: &Wanted) -> Result<Selected, Error> {
    names::check_key(&wanted.key)?;
    let (object, version) = cx.read(|tx| {
        let found = versions::read(tx, &wanted.bucket, &wanted.key, wanted.version.as_deref());
        // The bucket is asked for only where there is no object: an object has a bucket.
        if found.is_err() && wanted.seen.bucket(&wanted.bucket).is_none() {
            bucket::find(tx, &wanted.bucket)?;
        }
        let object = found?;
        let version = shown_version(tx, &wanted.seen, &object)?;
        Ok((object, version))
    })?;
    let now_ms = cx.clock().now_ms();
    wanted.conditions.check(&object, now_ms)?;
    let range = match (&wanted.range, wanted.part) {
        (Some(_), Some(_)) => {
            return Err(InvalidRequest
                .because("Cannot specify both Range header and partNumber query parameter"));
        }
        (Some(range), None) => Some(in_range(range, &object)?),
        (None, Some(part)) => Some(of_part(part, &object)?),
        (None, None) => None,
    };
    let bucket = wanted.seen.bucket(&wanted.bucket);
    let expiration = bucket.and_then(|it| lifecycle::expiration(&it.lifecycle, &object));
    Ok(Selected {
        object,
        range,
        expiration,
        version,
    })
}

fn in_range(range: &s3s::dto::Range, object: &Object) -> Result<Range<u64>, Error> {
    range.check(object.size).map_err(|_| {
        let all = format!("bytes */{}", object.size);
        InvalidRange
            .because("The requested range is not satisfiable")
            .about("content-range", all)
            .about("ActualObjectSize", object.size.to_string())
            .about("RangeRequested", range.to_header_string())
    })
}

fn of_part(part: i32, object: &Object) -> Result<Range<u64>, Error> {
    let not_there = || {
        cloud::ErrorCode::sender("InvalidPartNumber", 416)
            .because("The requested partnumber is not satisfiable")
    };
    let index = usize::try_from(part).ok().and_then(|it| it.checked_sub(1));
    let index = index.ok_or_else(not_there)?;
    if object.parts.is_empty() {
        return if index == 0 {
            Ok(0..object.size)
        } else {
            Err(not_there())
        };
    }
    let size = object.parts.get(index).ok_or_else(not_there)?;
    let start: u64 = object.parts[..index].iter().sum();
    Ok(start..start + size)
}

/// What `GetObject` answers: the bytes can be read to their end, whatever becomes of the object.
pub async fn open(cx: &Cx, wanted: &Wanted) -> Result<(Selected, ByteStream), Error> {
    for _ in 0..TRIES {
        let selected = select(cx, wanted)?;
        match content(cx, &selected).await? {
            Ok(body) => return Ok((selected, body)),
            Err(error) if error.fault == Fault::NotFound => {}
            Err(error) => return Err(cloud::internal(error)),
        }
    }
    tracing::error!(
        bucket = wanted.bucket,
        key = wanted.key,
        "the content of an object is not there"
    );
    Err(wire::codes::InternalError.because("We encountered an internal error. Please try again."))
}

/// The bytes that were selected: decrypted, if they are encrypted and who reads may do that.
async fn content(cx: &Cx, selected: &Selected) -> Result<Result<ByteStream, EngineError>, Error> {
    let object = &selected.object;
    let objects = &cx.engine().objects;
    let Some(encryption) = &object.encryption else {
        return Ok(objects.get(&object.content, selected.range.clone()).await);
    };
    let key = encryption.data_key(cx).await?;
    let segments = object.segments();
    let wanted = selected.range.clone().unwrap_or(0..object.size);
    let Some(place) = sealed::place(&segments, wanted) else {
        return Ok(objects.get(&object.content, Some(0..0)).await);
    };
    let read = async {
        let salt = match place.salt.clone() {
            None => None,
            Some(range) => Some(whole(objects.get(&object.content, Some(range)).await?).await?),
        };
        let body = objects
            .get(&object.content, Some(place.span.clone()))
            .await?;
        sealed::open(body, key, segments, place, salt.as_deref()).map_err(unreadable)
    };
    Ok(read.await)
}

/// What is short enough to be in memory.
async fn whole(mut body: ByteStream) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(unreadable)?);
    }
    Ok(bytes)
}

fn unreadable(error: std::io::Error) -> EngineError {
    EngineError::machine("an encrypted content cannot be read").because(error)
}

/// The object itself, for what is about its tags or its list of grants.
pub fn object(cx: &Cx, name: &str, key: &str, version: Option<&str>) -> Result<Object, Error> {
    cx.read(|tx| {
        bucket::find(tx, name)?;
        versions::read(tx, name, key, version)
    })
}
