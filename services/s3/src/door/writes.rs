//! Objects that are written: put, and copied.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::convert::{self, condition, etag, time};
use super::grants::list_of;
use super::objects::{encryption_asked, say_encryption};
use super::reading::Told;
use super::sums::{declared, set_sum};
use crate::authorize::Seen;
use crate::get::{Conditions, Wanted};
use crate::lifecycle;
use crate::names::tags_of_header;
use crate::put::{self, NewObject};
use crate::record::Meta;
use crate::refuse::{not_built, storage_class};

/// What S3 says of an object whose client said nothing.
pub(super) const CONTENT_TYPE: &str = "binary/octet-stream";
/// What is stored with an object, of any input that says so.
macro_rules! meta {
    ($input:ident, $told:ident) => {
        Meta {
            content_type: Some(
                ($told.content_type.clone())
                    .or($input.content_type)
                    .unwrap_or_else(|| $crate::door::writes::CONTENT_TYPE.into()),
            ),
            cache_control: $told.cache_control.clone().or($input.cache_control),
            content_disposition: ($told.content_disposition.clone()).or($input.content_disposition),
            content_encoding: $crate::door::writes::stored_encoding(
                $told.content_encoding.clone().or($input.content_encoding),
            ),
            content_language: $told.content_language.clone().or($input.content_language),
            expires_ms: $input.expires.map($crate::door::convert::ms),
            expires_text: $told.expires.clone(),
            website_redirect: ($told.website_redirect.clone()).or($input.website_redirect_location),
            user: $input.metadata.unwrap_or_default().into_iter().collect(),
        }
    };
}
pub(super) use meta;

/// `aws-chunked` is how a body travels, and not how it is stored.
pub(super) fn stored_encoding(encoding: Option<String>) -> Option<String> {
    let kept: Vec<String> = encoding?
        .split(',')
        .map(|it| it.trim().to_owned())
        .filter(|it| !it.is_empty() && it != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

pub async fn put(cx: Cx, request: S3Request<PutObjectInput>) -> Result<PutObjectOutput, Error> {
    let declared = declared!(request)?;
    let seen = Seen::of(&request);
    let told = Told::of(&request);
    let input = request.input;
    let conditions = put::Conditions {
        if_match: condition(input.if_match),
        if_none_match: condition(input.if_none_match),
    };
    conditions.check_values()?;
    let new = NewObject {
        tags: tags_of_header(input.tagging.as_deref())?,
        acl: list_of!(cx, input)?.unwrap_or_default(),
        storage_class: storage_class(input.storage_class.as_ref().map(|it| it.as_str()))?,
        conditions,
        encryption: encryption_asked!(input),
        meta: meta!(input, told),
        bucket: input.bucket,
        key: input.key,
    };
    if input
        .content_length
        .is_some_and(|it| it as u64 > put::BODY_BYTES_MAX)
    {
        return Err(crate::errors::EntityTooLarge
            .because("Your proposed upload exceeds the maximum allowed size"));
    }
    let object = put::put(&cx, new, convert::incoming(input.body), declared).await?;
    let bucket = seen.bucket(&object.bucket);
    let mut output = PutObjectOutput {
        expiration: bucket.and_then(|it| lifecycle::expiration(&it.lifecycle, &object)),
        e_tag: Some(etag(&object.etag)),
        version_id: object.version,
        ..Default::default()
    };
    say_encryption!(output, object.encryption.as_ref());
    output.ssekms_encryption_context = object.encryption.and_then(|it| it.given_context);
    set_sum!(output, object.sum, with_type);
    Ok(output)
}

pub(super) fn source(source: CopySource) -> Result<Wanted, Error> {
    match source {
        CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => Ok(Wanted {
            bucket: bucket.into(),
            key: key.into(),
            version: version_id.map(Into::into),
            ..Wanted::default()
        }),
        _ => Err(not_built("a copy source that is an access point")),
    }
}

pub async fn copy(cx: Cx, request: S3Request<CopyObjectInput>) -> Result<CopyObjectOutput, Error> {
    let told = Told::of(&request);
    let input = request.input;
    let replaces = |directive: Option<&str>| directive == Some("REPLACE");
    let replaced = replaces(input.metadata_directive.as_ref().map(|it| it.as_str()));
    let tagged = replaces(input.tagging_directive.as_ref().map(|it| it.as_str()));
    let mut source = source(input.copy_source)?;
    source.conditions = Conditions {
        if_match: condition(input.copy_source_if_match),
        if_none_match: condition(input.copy_source_if_none_match),
        if_modified_since_ms: input.copy_source_if_modified_since.map(convert::ms),
        if_unmodified_since_ms: input.copy_source_if_unmodified_since.map(convert::ms),
    };
    let algorithm = input.checksum_algorithm.as_ref();
    let tags: Option<BTreeMap<String, String>> = match tagged {
        true => Some(tags_of_header(input.tagging.as_deref())?),
        false => None,
    };
    let conditions = put::Conditions::of_headers(&request.headers);
    conditions.check_values()?;
    let copy = crate::copy::Copy {
        source,
        storage_class: storage_class(input.storage_class.as_ref().map(|it| it.as_str()))?,
        tags,
        website_redirect: told
            .website_redirect
            .clone()
            .or(input.website_redirect_location.clone()),
        acl: list_of!(cx, input)?.unwrap_or_default(),
        algorithm: algorithm.and_then(|it| crate::checksum::Algorithm::named(it.as_str())),
        conditions,
        encryption: encryption_asked!(input),
        is_change: input.storage_class.is_some() || input.server_side_encryption.is_some(),
        meta: replaced.then(|| meta!(input, told)),
        bucket: input.bucket,
        key: input.key,
    };
    let copied = crate::copy::copy(&cx, copy).await.map_err(not_a_read)?;
    let object = copied.object;
    let mut result = CopyObjectResult {
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(time(object.modified_ms)),
        ..Default::default()
    };
    set_sum!(result, object.sum, with_type);
    let mut output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: copied.source_version,
        version_id: copied.version,
        ..Default::default()
    };
    say_encryption!(output, object.encryption.as_ref());
    output.ssekms_encryption_context = object.encryption.and_then(|it| it.given_context);
    Ok(output)
}

/// The source's conditions are preconditions of the copy, also where a read would say "not modified".
pub(super) fn not_a_read(error: Error) -> Error {
    if error.is(crate::errors::NotModified) {
        // The condition is named as the request named it.
        let named = error.members.iter().find(|it| it.0 == "Condition");
        let since = matches!(named, Some((_, wire::Node::Str(it))) if it == "If-Modified-Since");
        return crate::errors::precondition_failed(match since {
            true => "x-amz-copy-source-If-Modified-Since",
            false => "x-amz-copy-source-If-None-Match",
        });
    }
    error
}
