//! Writing an object: the content is on disk before a record tells of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::{Cx, Error, Records};
use engine::{ByteStream, Content, Fault};
use futures_util::StreamExt;

use crate::acl::Acl;
use crate::checksum::{self, Algorithm};
use crate::encryption::{self, Asked};
use crate::errors::*;
use crate::record::{Bucket, Meta, Object, Sum};
use crate::sealed::{self, DataKey, sealed_length};
use crate::{access, bucket, names, versions};

/// Of one request (User Guide, "Amazon S3 multipart upload limits").
pub const BODY_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Of an object's own metadata, names and values together.
const USER_METADATA_BYTES_MAX: usize = 2048;

/// What a client said about a body before or after it.
#[derive(Default)]
pub struct Declared {
    /// In base 64.
    pub md5: Option<String>,
    pub algorithm: Option<Algorithm>,
    pub sum: Option<String>,
    /// Answers the checksum that came after the body.
    pub trailer: Option<Trailer>,
    /// S3's own checksum is wanted beside the client's.
    pub with_default: bool,
}

pub type Trailer = Box<dyn FnOnce(Algorithm) -> Option<String> + Send>;

/// A body that has arrived, and is what it was declared to be.
pub struct Stored {
    /// Of what is on the disk: where it is encrypted, its MD5 is nobody's but the entity tag's, as on AWS.
    pub content: Content,
    pub size: u64,
    /// Of what arrived; of what is encrypted, only where one was declared.
    md5: Option<String>,
    pub sum: Sum,
    /// By the algorithm that S3 takes where the client names none, if that was asked for.
    pub default_sum: Option<String>,
}

pub struct NewObject {
    pub bucket: String,
    pub key: String,
    pub meta: Meta,
    pub tags: BTreeMap<String, String>,
    pub acl: Acl,
    /// None: `STANDARD`.
    pub storage_class: Option<String>,
    pub conditions: Conditions,
    pub encryption: Asked,
}

/// Of a write: what has to be there, or not.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// An entity tag without quotes, or `*`.
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

impl Conditions {
    /// Of a request whose input has no members for them.
    pub fn of_headers(headers: &http::HeaderMap) -> Self {
        let etag = |name: http::HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        Self {
            if_match: etag(http::header::IF_MATCH),
            if_none_match: etag(http::header::IF_NONE_MATCH),
        }
    }

    /// Which conditions a write may have at all (API reference of `PutObject`): one, that nothing is there
    /// or that a certain object is.
    pub fn check_values(&self) -> Result<(), Error> {
        let refused = |header: &str, why: String| {
            Err(wire::codes::NotImplemented
                .because("A header you provided implies functionality that is not implemented")
                .about("Header", header)
                .about("additionalMessage", why))
        };
        let value = |header: &str| {
            let why = format!("We don't accept the provided value of {header} header for this API");
            refused(header, why)
        };
        match (self.if_match.as_deref(), self.if_none_match.as_deref()) {
            (Some(_), Some(_)) => refused(
                "If-Match,If-None-Match",
                "Multiple conditional request headers present in the request".into(),
            ),
            (Some("*"), None) => value("If-Match"),
            (None, Some(other)) if other != "*" => value("If-None-Match"),
            _ => Ok(()),
        }
    }

    pub fn check(&self, tx: &Records<'_>, bucket: &str, key: &str) -> Result<(), Error> {
        if self.if_match.is_none() && self.if_none_match.is_none() {
            return Ok(());
        }
        let current = versions::current(tx, bucket, key)?;
        if let Some(wanted) = &self.if_match {
            let object = current.as_ref().ok_or_else(|| no_such_key(key))?;
            if wanted != "*" && *wanted != object.etag {
                return Err(precondition_failed("If-Match"));
            }
        }
        if let (Some(unwanted), Some(object)) = (&self.if_none_match, &current)
            && (unwanted == "*" || *unwanted == object.etag)
        {
            return Err(precondition_failed("If-None-Match"));
        }
        Ok(())
    }
}

pub fn check_new(new: &NewObject) -> Result<(), Error> {
    names::check_key(&new.key)?;
    let user = new.meta.user.iter();
    let bytes: usize = user.map(|(name, value)| name.len() + value.len()).sum();
    if bytes > USER_METADATA_BYTES_MAX {
        return Err(cloud::ErrorCode::sender("MetadataTooLarge", 400)
            .because("Your metadata headers exceed the maximum allowed metadata size")
            .about("Size", bytes.to_string())
            .about("MaxSizeAllowed", USER_METADATA_BYTES_MAX.to_string()));
    }
    Ok(())
}

/// Takes a body in, and records it as the current version of its key.
pub async fn put(
    cx: &Cx,
    new: NewObject,
    body: ByteStream,
    declared: Declared,
) -> Result<Object, Error> {
    check_new(&new)?;
    // Before the body is taken in: it would be in vain.
    let bucket = cx.read(|tx| {
        let bucket = bucket::find(tx, &new.bucket)?;
        access::check_acl(&bucket, &new.acl)?;
        new.conditions.check(tx, &new.bucket, &new.key)?;
        Ok(bucket)
    })?;
    let encryption = encryption::begin(cx, new.encryption, &bucket, &new.key).await?;
    let data_key = encryption.as_ref().map(|it| &it.key);
    let stored = take(cx, body, declared, data_key).await?;
    let id = stored.content.id.clone();
    let object = Object {
        bucket: new.bucket,
        key: new.key,
        content: stored.content.id,
        size: stored.size,
        etag: stored.content.md5,
        encryption: encryption.map(|it| it.encryption),
        meta: new.meta,
        tags: new.tags,
        sum: Some(stored.sum),
        acl: new.acl,
        storage_class: new.storage_class,
        modified_ms: cx.clock().now_ms(),
        ..Object::default()
    };
    let conditions = new.conditions;
    record(
        cx,
        &id,
        |tx, bucket| {
            conditions.check(tx, &object.bucket, &object.key)?;
            versions::put(tx, bucket, object.clone())
        },
        &object.bucket,
    )
    .await
}

/// Commits what makes a content somebody's, or removes the content.
pub async fn record<T>(
    cx: &Cx,
    content: &str,
    commit: impl FnOnce(&Records<'_>, &Bucket) -> Result<T, Error>,
    bucket: &str,
) -> Result<T, Error> {
    let committed = cx.write(|tx| {
        // It may have gone while the body arrived.
        let bucket = bucket::find(tx, bucket)?;
        commit(tx, &bucket)
    });
    let objects = &cx.engine().objects;
    let settled = match &committed {
        Ok(_) => objects.settle(content).await,
        Err(_) => objects.delete(content).await,
    };
    if let Err(error) = settled {
        // The next start of the daemon sees to it.
        tracing::warn!(content, error = error.chain(), "cannot settle a content");
    }
    committed
}

/// Takes a body to its end, encrypts it with the key if there is one, and compares it with what was declared.
pub async fn take(
    cx: &Cx,
    body: ByteStream,
    declared: Declared,
    key: Option<&DataKey>,
) -> Result<Stored, Error> {
    let algorithm = declared.algorithm.unwrap_or_default();
    let (body, failure) = watched(body);
    let (body, computed) = checksum::summed(body, algorithm);
    let is_more = declared.with_default && algorithm != Algorithm::default();
    let (body, default) = match is_more {
        true => {
            let (body, computed) = checksum::summed(body, Algorithm::default());
            (body, Some(computed))
        }
        false => (body, None),
    };
    let (body, size_max, plain) = match key {
        None => (body, BODY_BYTES_MAX, None),
        Some(key) => {
            let (body, counted) = checksum::counted(body, declared.md5.is_some());
            let sealed = sealed::seal(body, key).map_err(cloud::internal)?;
            (sealed, sealed_length(BODY_BYTES_MAX), Some(counted))
        }
    };
    let objects = &cx.engine().objects;
    let content = match objects.put(body, size_max).await {
        Ok(content) => content,
        Err(error) if error.fault == Fault::Invalid => return Err(refused(&failure)),
        Err(error) => return Err(cloud::internal(error)),
    };
    let (size, md5) = match plain {
        None => (content.size_bytes, Some(content.md5.clone())),
        Some(plain) => plain.take().unwrap_or_default(),
    };
    let stored = Stored {
        size,
        md5,
        sum: Sum {
            algorithm,
            value: computed.take().unwrap_or_default(),
            composite: false,
        },
        default_sum: default.and_then(|it| it.take()),
        content,
    };
    if let Err(error) = compare(&stored, declared) {
        if let Err(error) = objects.delete(&stored.content.id).await {
            tracing::warn!(error = error.chain(), "cannot remove a content");
        }
        return Err(error);
    }
    Ok(stored)
}

fn compare(stored: &Stored, declared: Declared) -> Result<(), Error> {
    if let Some(md5) = declared.md5 {
        let bytes = BASE64.decode(&md5).ok().filter(|it| it.len() == 16);
        let bytes = bytes.ok_or_else(|| {
            InvalidDigest
                .because("The Content-MD5 you specified was invalid.")
                .about("Content-MD5", &md5)
        })?;
        let hex: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
        let found = stored.md5.as_deref().unwrap_or_default();
        if hex != found {
            return Err(BadDigest
                .because("The Content-MD5 you specified did not match what we received.")
                .about("ExpectedDigest", md5)
                .about("CalculatedDigest", found));
        }
    }
    let algorithm = stored.sum.algorithm;
    let trailer = declared.trailer;
    let wanted = declared
        .sum
        .or_else(|| trailer.and_then(|it| it(algorithm)));
    if wanted.is_some_and(|it| it != stored.sum.value) {
        return Err(BadDigest.because(format!(
            "The {} you specified did not match the calculated checksum.",
            algorithm.name()
        )));
    }
    Ok(())
}

#[derive(Debug)]
enum Flaw {
    /// It says itself how it is refused.
    Refused(Error),
    Other(String),
}

type Failure = Arc<Mutex<Option<Flaw>>>;

/// The refusal that an error is, or was made of.
pub fn refusal_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // What an error of I/O was made of is not its source.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(|it| it.get_ref());
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The same body; its error is remembered.
fn watched(body: ByteStream) -> (ByteStream, Failure) {
    let failure = Failure::default();
    let slot = failure.clone();
    let body = body.inspect(move |piece| {
        if let Err(error) = piece {
            let flaw = match refusal_in(error) {
                Some(refusal) => Flaw::Refused(refusal.clone()),
                None => Flaw::Other(error.to_string()),
            };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(flaw);
        }
    });
    (Box::pin(body), failure)
}

/// Why a body was not taken: it was cut, is not what was signed, or is too long.
fn refused(failure: &Failure) -> Error {
    let failure = failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let text = match failure {
        Some(Flaw::Other(text)) => text,
        Some(Flaw::Refused(error)) => return error,
        None => {
            return EntityTooLarge.because("Your proposed upload exceeds the maximum allowed size");
        }
    };
    tracing::debug!(text, "a body was not taken");
    let text = text.to_ascii_lowercase();
    if text.contains("checksum") || text.contains("sha256") {
        return XAmzContentSHA256Mismatch.because(
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
    }
    if text.contains("signature") {
        return wire::codes::SignatureDoesNotMatch.because(
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
        );
    }
    IncompleteBody.because(
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )
}
