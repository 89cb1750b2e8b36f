//! Copying objects: the bytes are read and written once, and get an entity tag of their own.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use engine::ByteStream;

use crate::acl::Acl;
use crate::authorize::Seen;
use crate::checksum::Algorithm;
use crate::encryption::Asked;
use crate::errors::*;
use crate::get::{self, Selected, Wanted};
use crate::multipart::{self, Place};
use crate::put::{self, BODY_BYTES_MAX, Conditions, Declared, NewObject};
use crate::record::{Meta, Object, Part, Upload};

pub struct Copy {
    pub source: Wanted,
    pub bucket: String,
    pub key: String,
    /// In place of the source's.
    pub meta: Option<Meta>,
    pub tags: Option<BTreeMap<String, String>>,
    pub website_redirect: Option<String>,
    pub acl: Acl,
    pub algorithm: Option<Algorithm>,
    pub storage_class: Option<String>,
    pub conditions: Conditions,
    pub encryption: Asked,
    /// The storage class or the encryption is named, which is a change by itself.
    pub is_change: bool,
}

/// A copy, and what answers say of its versions and its source's.
pub struct Copied {
    pub object: Object,
    pub version: Option<String>,
    pub source_version: Option<String>,
}

pub async fn copy(cx: &Cx, copy: Copy) -> Result<Copied, Error> {
    let (selected, body) = open(cx, &copy.source).await?;
    let source_version = selected.version_id();
    if !copy.changes_something(cx)? {
        return Err(InvalidRequest.because("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."));
    }
    let from = selected.object;
    let mut meta = copy.meta.unwrap_or(from.meta);
    meta.website_redirect = copy.website_redirect;
    let new = NewObject {
        bucket: copy.bucket,
        key: copy.key,
        meta,
        tags: copy.tags.unwrap_or(from.tags),
        acl: copy.acl,
        storage_class: copy.storage_class,
        conditions: copy.conditions,
        encryption: copy.encryption,
    };
    let declared = Declared {
        algorithm: copy.algorithm.or(from.sum.map(|it| it.algorithm)),
        ..Declared::default()
    };
    let object = put::put(cx, new, body, declared).await?;
    let version = cx.read(|tx| get::shown_version(tx, &Seen::default(), &object))?;
    Ok(Copied {
        object,
        version,
        source_version,
    })
}

impl Copy {
    /// A copy of an object onto itself has to change something about it. That the bucket says how it is
    /// encrypted is enough.
    fn changes_something(&self, cx: &Cx) -> Result<bool, Error> {
        let source = &self.source;
        let to_itself =
            source.bucket == self.bucket && source.key == self.key && source.version.is_none();
        if !to_itself || self.is_change || self.meta.is_some() || self.website_redirect.is_some() {
            return Ok(true);
        }
        Ok(crate::bucket::get(cx, &self.bucket)?.encryption_set)
    }
}

async fn open(cx: &Cx, source: &Wanted) -> Result<(Selected, ByteStream), Error> {
    let found = get::open(cx, source).await;
    let (selected, body) = found.map_err(|error| match error.is(MethodNotAllowed) {
        true => InvalidRequest.because("The source of a copy request may not specifically refer to a delete marker by version id."),
        false => error,
    })?;
    if selected.length() > BODY_BYTES_MAX {
        return Err(InvalidRequest.because("The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"));
    }
    Ok((selected, body))
}

/// Answers the part, its upload, and the version of the source that it is of.
pub async fn copy_part(
    cx: &Cx,
    source: &Wanted,
    place: Place,
) -> Result<(Part, Upload, Option<String>), Error> {
    let (selected, body) = open(cx, source).await?;
    if let Some(s3s::dto::Range::Int {
        last: Some(last), ..
    }) = source.range
        && last >= selected.object.size
    {
        let sent = source.range.as_ref().map(s3s::dto::Range::to_header_string);
        let why = format!(
            "Range specified is not valid for source object of size: {}",
            selected.object.size
        );
        return Err(bad_argument(
            "x-amz-copy-source-range",
            sent.unwrap_or_default(),
            &why,
        ));
    }
    let version = selected.version_id();
    let (part, upload) = multipart::put_part(cx, place, body, Declared::default()).await?;
    Ok((part, upload, version))
}
