//! Uploads in parts.

use cloud::{Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::convert::{self, condition, etag, time};
use super::grants::list_of;
use super::objects::{encryption_asked, say_encryption};
use super::reading::Told;
use super::sums::{declared, named_sum, set_sum};
use super::writes::{meta, not_a_read, source};
use crate::checksum::Algorithm;
use crate::errors::*;
use crate::get::Conditions;
use crate::list::PAGE_MAX;
use crate::multipart::{self, Listed, Place};
use crate::names::tags_of_header;
use crate::put::{self, NewObject};
use crate::record::Meta;
use crate::refuse::storage_class;

fn algorithm(name: Option<&ChecksumAlgorithm>) -> Result<Option<Algorithm>, Error> {
    let Some(name) = name else { return Ok(None) };
    let found = Algorithm::named(name.as_str());
    let refusal = || {
        InvalidRequest.because("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
    };
    found.map(Some).ok_or_else(refusal)
}

/// Whether the checksum of the whole is one of the parts' checksums.
fn composite(kind: Option<&ChecksumType>) -> Result<Option<bool>, Error> {
    match kind.map(ChecksumType::as_str) {
        None => Ok(None),
        Some("COMPOSITE") => Ok(Some(true)),
        Some("FULL_OBJECT") => Ok(Some(false)),
        Some(_) => Err(InvalidRequest.because("Value for x-amz-checksum-type header is invalid.")),
    }
}

pub async fn create(
    cx: Cx,
    request: S3Request<CreateMultipartUploadInput>,
) -> Result<CreateMultipartUploadOutput, Error> {
    let told = Told::of(&request);
    let input = request.input;
    let composite = composite(input.checksum_type.as_ref())?;
    let algorithm = algorithm(input.checksum_algorithm.as_ref())?;
    if composite.is_some() && algorithm.is_none() {
        return Err(InvalidRequest.because("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."));
    }
    let new = NewObject {
        tags: tags_of_header(input.tagging.as_deref())?,
        acl: list_of!(cx, input)?.unwrap_or_default(),
        storage_class: storage_class(input.storage_class.as_ref().map(|it| it.as_str()))?,
        conditions: put::Conditions::default(),
        encryption: encryption_asked!(input),
        meta: meta!(input, told),
        bucket: input.bucket,
        key: input.key,
    };
    let upload = multipart::begin(&cx, new, algorithm, composite).await?;
    let kind = if upload.composite {
        "COMPOSITE"
    } else {
        "FULL_OBJECT"
    };
    let named = upload.algorithm_named;
    let encryption = upload.encryption;
    let mut output = CreateMultipartUploadOutput {
        checksum_algorithm: named.then(|| ChecksumAlgorithm::from_static(upload.algorithm.name())),
        checksum_type: named.then(|| ChecksumType::from_static(kind)),
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        ..Default::default()
    };
    say_encryption!(output, encryption.as_ref());
    output.ssekms_encryption_context = encryption.and_then(|it| it.given_context);
    Ok(output)
}

pub async fn part(cx: Cx, request: S3Request<UploadPartInput>) -> Result<UploadPartOutput, Error> {
    let declared = declared!(request)?;
    let input = request.input;
    if input
        .content_length
        .is_some_and(|it| it as u64 > put::BODY_BYTES_MAX)
    {
        return Err(EntityTooLarge.because("Your proposed upload exceeds the maximum allowed size"));
    }
    let place = Place {
        bucket: input.bucket,
        key: input.key,
        upload: input.upload_id,
        number: input.part_number,
    };
    let body = convert::incoming(input.body);
    let (part, upload) = multipart::put_part(&cx, place, body, declared).await?;
    let mut output = UploadPartOutput {
        e_tag: Some(etag(&part.etag)),
        ..Default::default()
    };
    say_encryption!(output, upload.encryption.as_ref());
    set_sum!(output, part.sum, alone);
    Ok(output)
}

pub async fn part_copy(
    cx: Cx,
    request: S3Request<UploadPartCopyInput>,
) -> Result<UploadPartCopyOutput, Error> {
    let input = request.input;
    let mut source = source(input.copy_source)?;
    source.conditions = Conditions {
        if_match: condition(input.copy_source_if_match),
        if_none_match: condition(input.copy_source_if_none_match),
        if_modified_since_ms: input.copy_source_if_modified_since.map(convert::ms),
        if_unmodified_since_ms: input.copy_source_if_unmodified_since.map(convert::ms),
    };
    let range = input
        .copy_source_range
        .as_deref()
        .map(Range::parse)
        .transpose();
    // A part is copied from one byte to another, both of them named.
    source.range = match range {
        Ok(range @ (None | Some(Range::Int { last: Some(_), .. }))) => range,
        _ => {
            let sent = input.copy_source_range.unwrap_or_default();
            let why = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
            return Err(bad_argument("x-amz-copy-source-range", sent, why));
        }
    };
    let place = Place {
        bucket: input.bucket,
        key: input.key,
        upload: input.upload_id,
        number: input.part_number,
    };
    let copied = crate::copy::copy_part(&cx, &source, place).await;
    let (part, upload, source_version) = copied.map_err(not_a_read)?;
    let mut result = CopyPartResult {
        e_tag: Some(etag(&part.etag)),
        last_modified: Some(time(part.modified_ms)),
        ..Default::default()
    };
    set_sum!(result, part.sum, alone);
    let mut output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source_version,
        ..Default::default()
    };
    say_encryption!(output, upload.encryption.as_ref());
    Ok(output)
}

pub async fn complete(
    cx: Cx,
    request: S3Request<CompleteMultipartUploadInput>,
) -> Result<CompleteMultipartUploadOutput, Error> {
    let whole = named_sum!(request.input);
    let input = request.input;
    let mut listed = Vec::new();
    for it in input
        .multipart_upload
        .and_then(|it| it.parts)
        .unwrap_or_default()
    {
        let sum = named_sum!(it);
        let (Some(number), Some(etag)) = (it.part_number, it.e_tag) else {
            return Err(malformed());
        };
        listed.push(Listed {
            number,
            etag: etag.value().to_owned(),
            sum,
        });
    }
    let conditions = put::Conditions {
        if_match: condition(input.if_match),
        if_none_match: condition(input.if_none_match),
    };
    conditions.check_values()?;
    let place = Place {
        bucket: input.bucket,
        key: input.key,
        upload: input.upload_id,
        number: 0,
    };
    let size = input
        .mpu_object_size
        .map(|it| u64::try_from(it).unwrap_or(0));
    let declared = multipart::Completion {
        listed,
        whole,
        composite: composite(input.checksum_type.as_ref())?,
        size,
    };
    let object = multipart::complete(&cx, &place, &declared, &conditions).await?;
    let mut output = CompleteMultipartUploadOutput {
        e_tag: Some(etag(&object.etag)),
        location: Some(format!(
            "{}/{}/{}",
            cx.engine().access.api,
            object.bucket,
            convert::url_encoded(&object.key)
        )),
        bucket: Some(object.bucket),
        key: Some(object.key),
        version_id: object.version,
        ..Default::default()
    };
    say_encryption!(output, object.encryption.as_ref());
    set_sum!(output, object.sum, with_type);
    Ok(output)
}

pub async fn abort(
    cx: Cx,
    request: S3Request<AbortMultipartUploadInput>,
) -> Result<AbortMultipartUploadOutput, Error> {
    let input = request.input;
    multipart::abort(&cx, &input.bucket, &input.key, &input.upload_id)?;
    Ok(AbortMultipartUploadOutput::default())
}

pub async fn parts(cx: Cx, request: S3Request<ListPartsInput>) -> Result<ListPartsOutput, Error> {
    let input = request.input;
    let max = input.max_parts.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let limit = usize::try_from(max).unwrap_or(1);
    let after = input.part_number_marker.unwrap_or(0);
    let place = Place {
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        upload: input.upload_id,
        number: 0,
    };
    let (upload, mut parts) = multipart::parts(&cx, &place, after, limit + 1)?;
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    let next = parts.last().filter(|_| truncated).map(|it| it.number);
    let kind = if upload.composite {
        "COMPOSITE"
    } else {
        "FULL_OBJECT"
    };
    let named = upload.algorithm_named;
    let owner = convert::owner(cx.account());
    let parts = parts.into_iter().map(|it| {
        let mut part = Part {
            e_tag: Some(etag(&it.etag)),
            last_modified: Some(time(it.modified_ms)),
            part_number: Some(it.number),
            size: i64::try_from(it.size).ok(),
            ..Default::default()
        };
        set_sum!(part, it.sum.filter(|_| named), alone);
        part
    });
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        parts: Some(parts.collect()),
        is_truncated: Some(truncated),
        max_parts: Some(max),
        next_part_number_marker: next,
        part_number_marker: Some(after),
        checksum_algorithm: named.then(|| ChecksumAlgorithm::from_static(upload.algorithm.name())),
        checksum_type: named.then(|| ChecksumType::from_static(kind)),
        initiator: Some(Initiator {
            display_name: None,
            id: owner.id.clone(),
        }),
        owner: Some(owner),
        storage_class: Some(StorageClass::from(upload.storage_class().to_owned())),
        upload_id: Some(upload.id),
        ..Default::default()
    })
}
