//! Copying objects: the bytes are read and written once, and get an entity tag of their own.

use std::collections::BTreeMap;

use cloud::{Cx, Error};

use crate::checksum::Algorithm;
use crate::errors::*;
use crate::get::{self, Wanted};
use crate::multipart::{self, Place};
use crate::put::{self, BODY_BYTES_MAX, Conditions, Declared, NewObject};
use crate::record::{Acl, Meta, Object, Part};

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
    pub conditions: Conditions,
}

pub async fn copy(cx: &Cx, copy: Copy) -> Result<Object, Error> {
    let source = &copy.source;
    let to_itself =
        source.bucket == copy.bucket && source.key == copy.key && source.version.is_none();
    if to_itself && copy.meta.is_none() && copy.website_redirect.is_none() {
        return Err(InvalidRequest.because("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."));
    }
    let (selected, body) = get::open(cx, source).await?;
    let from = selected.object;
    if from.size > BODY_BYTES_MAX {
        return Err(InvalidRequest.because("The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"));
    }
    let mut meta = copy.meta.unwrap_or(from.meta);
    meta.website_redirect = copy.website_redirect;
    let new = NewObject {
        bucket: copy.bucket,
        key: copy.key,
        meta,
        tags: copy.tags.unwrap_or(from.tags),
        acl: copy.acl,
        conditions: copy.conditions,
    };
    let declared = Declared {
        algorithm: copy.algorithm.or(from.sum.map(|it| it.algorithm)),
        ..Declared::default()
    };
    put::put(cx, new, body, declared).await
}

pub async fn copy_part(cx: &Cx, source: &Wanted, place: Place) -> Result<Part, Error> {
    let (selected, body) = get::open(cx, source).await?;
    if selected.length() > BODY_BYTES_MAX {
        return Err(InvalidRequest.because("The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"));
    }
    multipart::put_part(cx, place, body, Declared::default()).await
}
