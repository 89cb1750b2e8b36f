//! Objects.

use std::collections::BTreeMap;

use cloud::{Caller, Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::buckets::acl;
use super::convert::{self, condition, etag, time};
use super::sums::{declared, set_sum};
use crate::authorize::{RequestFacts, authorize};
use crate::get::{self, Conditions, Wanted};
use crate::list::PAGE_MAX;
use crate::names::{self, Tagged, tags_of_header};
use crate::put::{self, NewObject};
use crate::record::{Meta, Object, Sum};
use crate::refuse::{encryption, members, not_built, storage_class};
use crate::{delete as deleting, permissions, put as putting, versions};

/// What S3 says of an object whose client said nothing.
pub(super) const CONTENT_TYPE: &str = "binary/octet-stream";
/// API reference of `DeleteObjects`.
const DELETED_AT_ONCE_MAX: usize = 1000;

/// What is stored with an object, of any input that says so.
macro_rules! meta {
    ($input:ident) => {
        Meta {
            content_type: Some(
                $input
                    .content_type
                    .unwrap_or_else(|| $crate::door::objects::CONTENT_TYPE.into()),
            ),
            cache_control: $input.cache_control,
            content_disposition: $input.content_disposition,
            content_encoding: $crate::door::objects::stored_encoding($input.content_encoding),
            content_language: $input.content_language,
            expires_ms: $input.expires.map($crate::door::convert::ms),
            website_redirect: $input.website_redirect_location,
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
    let declared = declared!(request);
    let input = request.input;
    let new = NewObject {
        tags: tags_of_header(input.tagging.as_deref())?,
        acl: acl(input.acl.as_ref().map(|it| it.as_str()))?,
        conditions: put::Conditions {
            if_match: condition(input.if_match),
            if_none_match: condition(input.if_none_match),
        },
        meta: meta!(input),
        bucket: input.bucket,
        key: input.key,
    };
    if input
        .content_length
        .is_some_and(|it| it as u64 > putting::BODY_BYTES_MAX)
    {
        return Err(crate::errors::EntityTooLarge
            .because("Your proposed upload exceeds the maximum allowed size"));
    }
    let object = put::put(&cx, new, convert::incoming(input.body), declared).await?;
    let mut output = PutObjectOutput {
        e_tag: Some(etag(&object.etag)),
        server_side_encryption: own_keys(),
        version_id: object.version,
        ..Default::default()
    };
    set_sum!(output, object.sum, with_type);
    Ok(output)
}

/// A form of a browser. What other requests say in headers it says in fields.
pub async fn post(cx: Cx, request: S3Request<PostObjectInput>) -> Result<PostObjectOutput, Error> {
    let input = request.input;
    members(&[
        ("x-amz-object-lock-mode", input.object_lock_mode.is_some()),
        (
            "x-amz-object-lock-legal-hold",
            input.object_lock_legal_hold_status.is_some(),
        ),
        (
            "x-amz-server-side-encryption-customer-algorithm",
            input.sse_customer_algorithm.is_some(),
        ),
        (
            "x-amz-server-side-encryption-aws-kms-key-id",
            input.ssekms_key_id.is_some(),
        ),
    ])?;
    storage_class(input.storage_class.as_ref().map(|it| it.as_str()))?;
    encryption(input.server_side_encryption.as_ref().map(|it| it.as_str()))?;
    let new = NewObject {
        tags: tags_of_header(input.tagging.as_deref())?,
        acl: acl(input.acl.as_ref().map(|it| it.as_str()))?,
        conditions: put::Conditions::default(),
        meta: meta!(input),
        bucket: input.bucket,
        key: input.key,
    };
    let body = convert::incoming(input.body);
    let object = put::put(&cx, new, body, put::Declared::default()).await?;
    Ok(PostObjectOutput {
        e_tag: Some(etag(&object.etag)),
        server_side_encryption: own_keys(),
        version_id: object.version,
        ..Default::default()
    })
}

/// S3 names its own keys in every answer about an object, whether or not they were asked for
/// (User Guide, "Setting default server-side encryption behavior for Amazon S3 buckets").
pub(super) fn own_keys() -> Option<ServerSideEncryption> {
    Some(ServerSideEncryption::from_static(
        ServerSideEncryption::AES256,
    ))
}

macro_rules! wanted {
    ($input:ident) => {
        Wanted {
            bucket: $input.bucket.clone(),
            key: $input.key.clone(),
            version: $input.version_id.clone(),
            part: $input.part_number,
            range: $input.range,
            conditions: Conditions {
                if_match: condition($input.if_match.clone()),
                if_none_match: condition($input.if_none_match.clone()),
                if_modified_since_ms: $input.if_modified_since.clone().map(convert::ms),
                if_unmodified_since_ms: $input.if_unmodified_since.clone().map(convert::ms),
            },
        }
    };
}

/// What `GetObject` and `HeadObject` say alike.
macro_rules! described {
    ($output:ident, $input:ident, $selected:ident, $object:ident) => {{
        let whole = $selected.range.is_none();
        let asked = $input
            .checksum_mode
            .as_ref()
            .is_some_and(|it| it.as_str() == "ENABLED");
        let parts = $input.part_number.is_some() && !$object.parts.is_empty();
        let mut output = $output {
            accept_ranges: Some("bytes".into()),
            content_length: i64::try_from($selected.length()).ok(),
            content_range: $selected.content_range(),
            e_tag: Some(etag(&$object.etag)),
            last_modified: Some(time($object.modified_ms)),
            parts_count: parts.then(|| i32::try_from($object.parts.len()).unwrap_or(i32::MAX)),
            version_id: $selected.version_id(),
            content_type: $object.meta.content_type.clone(),
            cache_control: $object.meta.cache_control.clone(),
            content_disposition: $object.meta.content_disposition.clone(),
            content_encoding: $object.meta.content_encoding.clone(),
            content_language: $object.meta.content_language.clone(),
            expires: $object.meta.expires_ms.map(time),
            website_redirect_location: $object.meta.website_redirect.clone(),
            server_side_encryption: own_keys(),
            metadata: Some($object.meta.user.clone().into_iter().collect()),
            ..Default::default()
        };
        set_sum!(
            output,
            $object.sum.clone().filter(|_| whole && asked),
            with_type
        );
        output
    }};
}

pub async fn get(cx: Cx, request: S3Request<GetObjectInput>) -> Result<GetObjectOutput, Error> {
    let input = request.input;
    refuse_named_headers(&cx, &input)?;
    let (selected, body) = get::open(&cx, &wanted!(input)).await?;
    let object = &selected.object;
    let mut output = described!(GetObjectOutput, input, selected, object);
    output.tag_count = i32::try_from(object.tags.len()).ok().filter(|it| *it > 0);
    output.body = Some(convert::outgoing(body, selected.length()));
    Ok(output)
}

/// What a browser takes a public object for is not up to whoever writes a link to it.
fn refuse_named_headers(cx: &Cx, input: &GetObjectInput) -> Result<(), Error> {
    let names_some = input.response_cache_control.is_some()
        || input.response_content_disposition.is_some()
        || input.response_content_encoding.is_some()
        || input.response_content_language.is_some()
        || input.response_content_type.is_some()
        || input.response_expires.is_some();
    if cx.caller == Caller::Anonymous && names_some {
        return Err(crate::errors::InvalidRequest.because(
            "Request specific response headers cannot be used for anonymous GET requests.",
        ));
    }
    Ok(())
}

pub async fn head(cx: Cx, request: S3Request<HeadObjectInput>) -> Result<HeadObjectOutput, Error> {
    let input = request.input;
    let selected = get::select(&cx, &wanted!(input))?;
    let object = &selected.object;
    let mut output = described!(HeadObjectOutput, input, selected, object);
    output.content_type = input.response_content_type.or(output.content_type);
    output.cache_control = input.response_cache_control.or(output.cache_control);
    output.content_disposition = input
        .response_content_disposition
        .or(output.content_disposition);
    output.content_encoding = input.response_content_encoding.or(output.content_encoding);
    output.content_language = input.response_content_language.or(output.content_language);
    Ok(output)
}

pub async fn delete(
    cx: Cx,
    request: S3Request<DeleteObjectInput>,
) -> Result<DeleteObjectOutput, Error> {
    let input = request.input;
    members(&[
        (
            "IfMatchLastModifiedTime",
            input.if_match_last_modified_time.is_some(),
        ),
        ("IfMatchSize", input.if_match_size.is_some()),
    ])?;
    let if_match = condition(input.if_match);
    let version = input.version_id.as_deref();
    let deleted = deleting::delete(&cx, &input.bucket, &input.key, version, if_match.as_deref())?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version_id,
        ..Default::default()
    })
}

pub async fn delete_many(
    cx: Cx,
    request: S3Request<DeleteObjectsInput>,
) -> Result<DeleteObjectsOutput, Error> {
    let Delete { objects, quiet } = request.input.delete;
    if objects.is_empty() || objects.len() > DELETED_AT_ONCE_MAX {
        return Err(crate::errors::malformed());
    }
    let bucket = &request.input.bucket;
    let facts = request.extensions.get::<RequestFacts>();
    let facts = facts.cloned().unwrap_or_default();
    let (mut doomed, mut refused) = (Vec::new(), Vec::new());
    for it in objects {
        let it = deleting::Doomed {
            key: it.key,
            version: it.version_id,
            if_match: it.e_tag.map(|it| it.value().to_owned()),
        };
        // Each key is a permission of its own.
        let asks = permissions::deletes(bucket, &it.key, it.version.as_deref());
        match authorize(&cx, &facts, &asks) {
            Ok(()) => doomed.push(it),
            Err(error) => refused.push((it, error)),
        }
    }
    let outcomes = deleting::delete_many(&cx, bucket, &doomed)?;
    let refused = refused.into_iter().map(|(it, error)| (it, Err(error)));
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (it, outcome) in doomed.into_iter().zip(outcomes).chain(refused) {
        match outcome {
            Ok(done) => deleted.push(DeletedObject {
                key: Some(it.key),
                delete_marker: done.marker.then_some(true),
                delete_marker_version_id: done.version_id.filter(|_| done.marker),
                version_id: it.version,
            }),
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code.to_owned()),
                message: Some(error.message),
                key: Some(it.key),
                version_id: it.version,
            }),
        }
    }
    Ok(DeleteObjectsOutput {
        deleted: Some(deleted).filter(|_| quiet != Some(true)),
        errors: Some(errors).filter(|it| !it.is_empty()),
        ..Default::default()
    })
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
    let copy = crate::copy::Copy {
        source,
        tags,
        website_redirect: input.website_redirect_location.clone(),
        acl: acl(input.acl.as_ref().map(|it| it.as_str()))?,
        algorithm: algorithm.and_then(|it| crate::checksum::Algorithm::named(it.as_str())),
        conditions: put::Conditions::of_headers(&request.headers),
        is_change: input.storage_class.is_some() || input.server_side_encryption.is_some(),
        meta: replaced.then(|| meta!(input)),
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
    Ok(CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: copied.source_version,
        server_side_encryption: own_keys(),
        version_id: copied.version,
        ..Default::default()
    })
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

pub async fn attributes(
    cx: Cx,
    request: S3Request<GetObjectAttributesInput>,
) -> Result<GetObjectAttributesOutput, Error> {
    let input = request.input;
    let object = get::object(&cx, &input.bucket, &input.key, input.version_id.as_deref())?;
    // They come one after another in one header.
    let named = input.object_attributes.iter();
    let named: Vec<&str> = named
        .flat_map(|it| it.as_str().split(','))
        .map(str::trim)
        .collect();
    let asked = |name: &str| named.contains(&name);
    let after = usize::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let max = input.max_parts.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
    Ok(GetObjectAttributesOutput {
        e_tag: asked("ETag").then(|| etag(&object.etag)),
        object_size: i64::try_from(object.size)
            .ok()
            .filter(|_| asked("ObjectSize")),
        storage_class: asked("StorageClass")
            .then(|| StorageClass::from_static(StorageClass::STANDARD)),
        checksum: object
            .sum
            .clone()
            .filter(|_| asked("Checksum"))
            .map(checksum),
        object_parts: asked("ObjectParts")
            .then(|| parts(&object, after, max))
            .flatten(),
        last_modified: Some(time(object.modified_ms)),
        version_id: object.version,
        ..Default::default()
    })
}

fn checksum(sum: Sum) -> Checksum {
    let mut checksum = Checksum::default();
    set_sum!(checksum, Some(sum), with_type);
    checksum
}

fn parts(object: &Object, after: usize, max: i32) -> Option<GetObjectAttributesParts> {
    if object.parts.is_empty() {
        return None;
    }
    let shown = object.parts.iter().enumerate().skip(after);
    let shown = shown.take(usize::try_from(max).unwrap_or(0));
    let parts: Vec<ObjectPart> = shown
        .map(|(index, size)| ObjectPart {
            part_number: i32::try_from(index + 1).ok(),
            size: i64::try_from(*size).ok(),
            ..Default::default()
        })
        .collect();
    let end = after + parts.len();
    Some(GetObjectAttributesParts {
        is_truncated: Some(end < object.parts.len()),
        max_parts: Some(max),
        next_part_number_marker: i32::try_from(end).ok(),
        part_number_marker: i32::try_from(after).ok(),
        parts: Some(parts),
        total_parts_count: i32::try_from(object.parts.len()).ok(),
    })
}

pub async fn get_tags(
    cx: Cx,
    request: S3Request<GetObjectTaggingInput>,
) -> Result<GetObjectTaggingOutput, Error> {
    let input = request.input;
    let object = get::object(&cx, &input.bucket, &input.key, input.version_id.as_deref())?;
    Ok(GetObjectTaggingOutput {
        tag_set: convert::tags(object.tags),
        version_id: object.version,
    })
}

pub async fn put_tags(
    cx: Cx,
    request: S3Request<PutObjectTaggingInput>,
) -> Result<PutObjectTaggingOutput, Error> {
    let input = request.input;
    let tags = names::tags(convert::pairs(input.tagging.tag_set), Tagged::Object)?;
    let version = input.version_id.as_deref();
    let object = change(&cx, &input.bucket, &input.key, version, |object| {
        object.tags = tags;
    })?;
    Ok(PutObjectTaggingOutput {
        version_id: object.version,
    })
}

pub async fn delete_tags(
    cx: Cx,
    request: S3Request<DeleteObjectTaggingInput>,
) -> Result<DeleteObjectTaggingOutput, Error> {
    let input = request.input;
    let version = input.version_id.as_deref();
    let object = change(&cx, &input.bucket, &input.key, version, |object| {
        object.tags.clear();
    })?;
    Ok(DeleteObjectTaggingOutput {
        version_id: object.version,
    })
}

fn change(
    cx: &Cx,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    change: impl FnOnce(&mut Object),
) -> Result<Object, Error> {
    cx.write(|tx| {
        crate::bucket::find(tx, bucket)?;
        let mut object = versions::read(tx, bucket, key, version)?;
        change(&mut object);
        versions::put_back(tx, object.clone())?;
        Ok(object)
    })
}

pub async fn get_acl(
    cx: Cx,
    request: S3Request<GetObjectAclInput>,
) -> Result<GetObjectAclOutput, Error> {
    let input = request.input;
    let object = get::object(&cx, &input.bucket, &input.key, input.version_id.as_deref())?;
    Ok(GetObjectAclOutput {
        grants: Some(convert::grants(cx.account(), object.acl)),
        owner: Some(convert::owner(cx.account())),
        ..Default::default()
    })
}

pub async fn put_acl(
    cx: Cx,
    request: S3Request<PutObjectAclInput>,
) -> Result<PutObjectAclOutput, Error> {
    let input = request.input;
    let acl = convert::acl_of(
        input.acl.as_ref().map(|it| it.as_str()),
        input.access_control_policy,
        cx.account(),
    )?;
    cx.write(|tx| {
        let bucket = crate::bucket::find(tx, &input.bucket)?;
        crate::access::check_acl(&bucket, acl)?;
        let version = input.version_id.as_deref();
        let mut object = versions::read(tx, &input.bucket, &input.key, version)?;
        object.acl = acl;
        versions::put_back(tx, object)
    })?;
    Ok(PutObjectAclOutput::default())
}
