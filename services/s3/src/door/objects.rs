//! Objects.

use cloud::{Caller, Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::answers::AnswerHead;
use super::convert::{self, condition, etag, time};
use super::sums::set_sum;
use crate::authorize::{RequestFacts, Seen, authorize};
use crate::get::{self, Conditions, Wanted};
use crate::list::PAGE_MAX;
use crate::record::{Object, Sum};
use crate::refuse::members;
use crate::{delete as deleting, permissions};

/// API reference of `DeleteObjects`.
const DELETED_AT_ONCE_MAX: usize = 1000;

/// How an object is encrypted is said in every answer about it, whether or not it was asked for
/// (User Guide, "Setting default server-side encryption behavior for Amazon S3 buckets").
macro_rules! say_encryption {
    ($output:ident, $encryption:expr) => {
        let encryption: Option<&crate::encryption::Encryption> = $encryption;
        let algorithm = match encryption {
            None => crate::encryption::OWN_KEYS,
            Some(_) => crate::encryption::KMS,
        };
        $output.server_side_encryption = Some(ServerSideEncryption::from_static(algorithm));
        $output.ssekms_key_id = encryption.map(|it| it.key_arn.clone());
        $output.bucket_key_enabled = encryption.and_then(|it| it.bucket_key.then_some(true));
    };
}
pub(super) use say_encryption;

/// What an input says of how its object is to be encrypted.
macro_rules! encryption_asked {
    ($input:ident) => {
        crate::encryption::Asked {
            algorithm: $input
                .server_side_encryption
                .as_ref()
                .map(|it| it.as_str().to_owned()),
            key: $input.ssekms_key_id.clone(),
            context: $input.ssekms_encryption_context.clone(),
            bucket_key: $input.bucket_key_enabled,
        }
    };
}
pub(super) use encryption_asked;

macro_rules! wanted {
    ($input:ident, $seen:ident) => {
        Wanted {
            seen: $seen,
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
    ($output:ident, $input:ident, $selected:ident, $object:ident, $more:ident) => {{
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
            metadata: Some($object.meta.user.clone().into_iter().collect()),
            ..Default::default()
        };
        say_encryption!(output, $object.encryption.as_ref());
        output.expiration = $selected.expiration.clone();
        if let Some(class) = &$object.storage_class {
            output.storage_class = Some(StorageClass::from(class.clone()));
        }
        if let Some(text) = &$object.meta.expires_text {
            $more.say("expires", text);
        }
        set_sum!(
            output,
            $object.sum.clone().filter(|_| whole && asked),
            with_type
        );
        output
    }};
}

pub async fn get(cx: Cx, request: S3Request<GetObjectInput>) -> Result<GetObjectOutput, Error> {
    let (seen, more) = (Seen::of(&request), AnswerHead::of(&request));
    let input = request.input;
    refuse_named_headers(&cx, &input)?;
    let (selected, body) = get::open(&cx, &wanted!(input, seen)).await?;
    let object = &selected.object;
    let mut output = described!(GetObjectOutput, input, selected, object, more);
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
    let (seen, more) = (Seen::of(&request), AnswerHead::of(&request));
    let input = request.input;
    let selected = get::select(&cx, &wanted!(input, seen))?;
    let object = &selected.object;
    let mut output = described!(HeadObjectOutput, input, selected, object, more);
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
            Ok(_) => doomed.push(it),
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

/// API reference of `GetObjectAttributes`.
const ATTRIBUTES: &[&str] = &[
    "Checksum",
    "ETag",
    "ObjectParts",
    "ObjectSize",
    "StorageClass",
];

pub async fn attributes(
    cx: Cx,
    request: S3Request<GetObjectAttributesInput>,
) -> Result<GetObjectAttributesOutput, Error> {
    let input = request.input;
    // They come one after another in one header.
    let named = input.object_attributes.iter();
    let named: Vec<&str> = named
        .flat_map(|it| it.as_str().split(','))
        .map(str::trim)
        .collect();
    if named.iter().all(|it| it.is_empty()) {
        return Err(crate::errors::InvalidRequest.because("The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"));
    }
    if named.iter().any(|it| !ATTRIBUTES.contains(it)) {
        return Err(crate::errors::InvalidArgument.because("Invalid attribute name specified."));
    }
    let object = get::object(&cx, &input.bucket, &input.key, input.version_id.as_deref())?;
    let asked = |name: &str| named.contains(&name);
    let after = usize::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let max = input.max_parts.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
    Ok(GetObjectAttributesOutput {
        e_tag: asked("ETag").then(|| etag(&object.etag)),
        object_size: i64::try_from(object.size)
            .ok()
            .filter(|_| asked("ObjectSize")),
        storage_class: asked("StorageClass")
            .then(|| StorageClass::from(object.storage_class().to_owned())),
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
    let total = i32::try_from(object.parts.len()).ok();
    let Some(algorithm) = object.sum.as_ref().filter(|_| !object.part_sums.is_empty()) else {
        // Parts are told of where they have checksums of their own.
        return Some(GetObjectAttributesParts {
            total_parts_count: total,
            ..Default::default()
        });
    };
    let parts: Vec<ObjectPart> = shown
        .map(|(index, size)| {
            let mut part = ObjectPart {
                part_number: i32::try_from(index + 1).ok(),
                size: i64::try_from(*size).ok(),
                ..Default::default()
            };
            let sum = object.part_sums.get(index).map(|value| Sum {
                value: value.clone(),
                ..algorithm.clone()
            });
            set_sum!(part, sum, alone);
            part
        })
        .collect();
    let end = after + parts.len();
    Some(GetObjectAttributesParts {
        is_truncated: Some(end < object.parts.len()),
        max_parts: Some(max),
        next_part_number_marker: i32::try_from(end).ok(),
        part_number_marker: i32::try_from(after).ok(),
        parts: Some(parts),
        total_parts_count: total,
    })
}
