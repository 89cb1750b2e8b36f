//! The operations that other services call. The network has a door of its own ([`crate::Door`]).

use bytes::Bytes;
use cloud::{Cx, Error};
use engine::ByteStream;
use futures_util::{StreamExt, stream};
use shapes::s3::{self as shape, *};

use crate::checksum::Algorithm;
use crate::errors::*;
use crate::get::{Conditions, Selected, Wanted};
use crate::list::{Entry, Query};
use crate::names::Tagged;
use crate::put::{self, Declared, NewObject};
use crate::record::{Acl, Meta, Versioning};
use crate::refuse::{encryption, members, storage_class};
use crate::{access, bucket, config, delete, get, list, names};

/// Bodies are in memory here, on both sides: templates and artifacts, not archives.
pub const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;

pub async fn create_bucket(cx: Cx, input: CreateBucketInput) -> Result<CreateBucketOutput, Error> {
    members(&[
        (
            "ACL",
            input.acl.is_some_and(|it| it != BucketCannedACL::Private),
        ),
        ("GrantFullControl", input.grant_full_control.is_some()),
        ("GrantRead", input.grant_read.is_some()),
        ("GrantWrite", input.grant_write.is_some()),
        (
            "ObjectLockEnabledForBucket",
            input.object_lock_enabled_for_bucket == Some(true),
        ),
    ])?;
    let location = input
        .create_bucket_configuration
        .and_then(|it| it.location_constraint);
    let ownership = input.object_ownership.map(|it| it.to_string());
    let made = bucket::create(
        &cx,
        bucket::NewBucket {
            name: input.bucket,
            location: location.map(|it| it.to_string()),
            acl: Acl::Private,
            ownership: ownership.and_then(|it| config::Ownership::named(&it)),
        },
    )?;
    Ok(CreateBucketOutput {
        location: Some(format!("/{}", made.name)),
        bucket_arn: Some(format!("arn:aws:s3:::{}", made.name)),
    })
}

pub async fn delete_bucket(cx: Cx, input: DeleteBucketInput) -> Result<DeleteBucketOutput, Error> {
    bucket::delete(&cx, &input.bucket)?;
    Ok(DeleteBucketOutput {})
}

pub async fn head_bucket(cx: Cx, input: HeadBucketInput) -> Result<HeadBucketOutput, Error> {
    let found = bucket::get(&cx, &input.bucket)?;
    Ok(HeadBucketOutput {
        bucket_arn: Some(format!("arn:aws:s3:::{}", found.name)),
        bucket_region: Some(found.region),
        access_point_alias: Some(false),
        ..Default::default()
    })
}

pub async fn list_buckets(cx: Cx, input: ListBucketsInput) -> Result<ListBucketsOutput, Error> {
    let limit = usize::try_from(input.max_buckets.unwrap_or(10_000)).unwrap_or(0);
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.unwrap_or_default();
    let region = input.bucket_region.as_deref();
    let found = bucket::list(&cx, &prefix, &after, limit, region)?;
    let buckets = found.buckets.into_iter().map(|it| Bucket {
        bucket_arn: Some(format!("arn:aws:s3:::{}", it.name)),
        name: Some(it.name),
        creation_date: Some(time(it.created_ms)),
        bucket_region: Some(it.region),
    });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: found.next,
        prefix: input.prefix,
        ..Default::default()
    })
}

pub async fn get_bucket_location(
    cx: Cx,
    input: GetBucketLocationInput,
) -> Result<GetBucketLocationOutput, Error> {
    let region = bucket::get(&cx, &input.bucket)?.region;
    let named = region != bucket::FIRST_REGION;
    Ok(GetBucketLocationOutput {
        location_constraint: region.parse().ok().filter(|_| named),
    })
}

pub async fn put_object(cx: Cx, input: PutObjectInput) -> Result<PutObjectOutput, Error> {
    members(&[
        (
            "ACL",
            input.acl.is_some_and(|it| it != ObjectCannedACL::Private),
        ),
        (
            "SSECustomerAlgorithm",
            input.sse_customer_algorithm.is_some(),
        ),
        ("SSEKMSKeyId", input.ssekms_key_id.is_some()),
        ("Expires", input.expires.is_some()),
        ("GrantRead", input.grant_read.is_some()),
        ("GrantFullControl", input.grant_full_control.is_some()),
        ("ObjectLockMode", input.object_lock_mode.is_some()),
        ("WriteOffsetBytes", input.write_offset_bytes.is_some()),
    ])?;
    encryption(input.server_side_encryption.as_ref().map(|it| it.as_str()))?;
    storage_class(input.storage_class.as_ref().map(|it| it.as_str()))?;
    let body = input.body.unwrap_or_default().0;
    if body.len() as u64 > BODY_BYTES_MAX {
        return Err(EntityTooLarge.because(format!(
            "A body that a service writes has at most {BODY_BYTES_MAX} bytes"
        )));
    }
    let sums = [
        (Algorithm::Crc32, input.checksum_crc32),
        (Algorithm::Crc32c, input.checksum_crc32_c),
        (Algorithm::Crc64Nvme, input.checksum_crc64_nvme),
        (Algorithm::Sha1, input.checksum_sha1),
        (Algorithm::Sha256, input.checksum_sha256),
    ];
    let sum = sums
        .into_iter()
        .find_map(|(algorithm, sum)| Some((algorithm, sum?)));
    let named = input
        .checksum_algorithm
        .and_then(|it| Algorithm::named(&it.to_string()));
    let declared = Declared {
        md5: input.content_md5,
        algorithm: sum.as_ref().map(|it| it.0).or(named),
        sum: sum.map(|it| it.1),
        trailer: None,
    };
    let new = NewObject {
        bucket: input.bucket,
        key: input.key,
        meta: Meta {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            expires_ms: None,
            website_redirect: input.website_redirect_location,
            user: input.metadata.unwrap_or_default(),
        },
        tags: names::tags_of_header(input.tagging.as_deref())?,
        acl: Acl::Private,
        conditions: put::Conditions {
            if_match: input.if_match.map(unquoted),
            if_none_match: input.if_none_match.map(unquoted),
        },
    };
    let body: ByteStream = Box::pin(stream::iter([Ok(Bytes::from(body))]));
    let object = put::put(&cx, new, body, declared).await?;
    Ok(PutObjectOutput {
        e_tag: Some(object.quoted_etag()),
        version_id: object.version,
        size: i64::try_from(object.size).ok(),
        ..Default::default()
    })
}

pub async fn get_object(cx: Cx, input: GetObjectInput) -> Result<GetObjectOutput, Error> {
    members(&[(
        "SSECustomerAlgorithm",
        input.sse_customer_algorithm.is_some(),
    )])?;
    let wanted = Wanted {
        bucket: input.bucket,
        key: input.key,
        version: input.version_id,
        part: input.part_number,
        range: range(input.range.as_deref())?,
        conditions: Conditions {
            if_match: input.if_match.map(unquoted),
            if_none_match: input.if_none_match.map(unquoted),
            if_modified_since_ms: input.if_modified_since.map(millis),
            if_unmodified_since_ms: input.if_unmodified_since.map(millis),
        },
    };
    let (selected, mut body) = get::open(&cx, &wanted).await?;
    if selected.length() > BODY_BYTES_MAX {
        return Err(EntityTooLarge.because(format!(
            "s3://{}/{} has {} bytes; a body that a service reads has at most {BODY_BYTES_MAX}",
            wanted.bucket,
            wanted.key,
            selected.length()
        )));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(cloud::internal)?);
    }
    let content_range = selected.content_range();
    let version_id = selected.version_id();
    let Selected { object, .. } = selected;
    Ok(GetObjectOutput {
        content_length: i64::try_from(bytes.len()).ok(),
        body: Some(wire::Blob(bytes)),
        accept_ranges: Some("bytes".into()),
        last_modified: Some(time(object.modified_ms)),
        e_tag: Some(object.quoted_etag()),
        content_range,
        version_id,
        cache_control: input.response_cache_control.or(object.meta.cache_control),
        content_disposition: input
            .response_content_disposition
            .or(object.meta.content_disposition),
        content_encoding: input
            .response_content_encoding
            .or(object.meta.content_encoding),
        content_language: input
            .response_content_language
            .or(object.meta.content_language),
        content_type: input.response_content_type.or(object.meta.content_type),
        website_redirect_location: object.meta.website_redirect,
        metadata: Some(object.meta.user),
        ..Default::default()
    })
}

pub async fn head_object(cx: Cx, input: HeadObjectInput) -> Result<HeadObjectOutput, Error> {
    members(&[(
        "SSECustomerAlgorithm",
        input.sse_customer_algorithm.is_some(),
    )])?;
    let wanted = Wanted {
        bucket: input.bucket,
        key: input.key,
        version: input.version_id,
        part: input.part_number,
        range: range(input.range.as_deref())?,
        conditions: Conditions {
            if_match: input.if_match.map(unquoted),
            if_none_match: input.if_none_match.map(unquoted),
            if_modified_since_ms: input.if_modified_since.map(millis),
            if_unmodified_since_ms: input.if_unmodified_since.map(millis),
        },
    };
    let selected = get::select(&cx, &wanted)?;
    let (length, content_range) = (selected.length(), selected.content_range());
    let version_id = selected.version_id();
    let Selected { object, .. } = selected;
    Ok(HeadObjectOutput {
        content_length: i64::try_from(length).ok(),
        accept_ranges: Some("bytes".into()),
        last_modified: Some(time(object.modified_ms)),
        e_tag: Some(object.quoted_etag()),
        content_range,
        version_id,
        cache_control: object.meta.cache_control,
        content_disposition: object.meta.content_disposition,
        content_encoding: object.meta.content_encoding,
        content_language: object.meta.content_language,
        content_type: object.meta.content_type,
        website_redirect_location: object.meta.website_redirect,
        metadata: Some(object.meta.user),
        ..Default::default()
    })
}

pub async fn delete_object(cx: Cx, input: DeleteObjectInput) -> Result<DeleteObjectOutput, Error> {
    members(&[
        ("MFA", input.mfa.is_some()),
        (
            "IfMatchLastModifiedTime",
            input.if_match_last_modified_time.is_some(),
        ),
        ("IfMatchSize", input.if_match_size.is_some()),
    ])?;
    let if_match = input.if_match.map(unquoted);
    let version = input.version_id.as_deref();
    let deleted = delete::delete(&cx, &input.bucket, &input.key, version, if_match.as_deref())?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version_id,
        ..Default::default()
    })
}

pub async fn list_objects_v2(
    cx: Cx,
    input: ListObjectsV2Input,
) -> Result<ListObjectsV2Output, Error> {
    let max = input
        .max_keys
        .unwrap_or(list::PAGE_MAX)
        .clamp(0, list::PAGE_MAX);
    let query = Query {
        bucket: input.bucket.clone(),
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        max: usize::try_from(max).unwrap_or(0),
    };
    let start = input
        .continuation_token
        .clone()
        .or(input.start_after.clone());
    let page = cx.read(|tx| list::objects(tx, &query, &start.unwrap_or_default()))?;
    let next = page
        .entries
        .last()
        .filter(|_| page.truncated)
        .map(|it| match it {
            Entry::One(object) => object.key.clone(),
            Entry::Prefix(prefix) => prefix.clone(),
        });
    let count = i32::try_from(page.entries.len()).ok();
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::Prefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(prefix),
            }),
            Entry::One(object) => contents.push(shape::Object {
                e_tag: Some(object.quoted_etag()),
                last_modified: Some(time(object.modified_ms)),
                size: i64::try_from(object.size).ok(),
                storage_class: Some(ObjectStorageClass::Standard),
                key: Some(object.key),
                ..Default::default()
            }),
        }
    }
    Ok(ListObjectsV2Output {
        is_truncated: Some(page.truncated),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        name: Some(input.bucket),
        prefix: input.prefix,
        delimiter: input.delimiter,
        max_keys: Some(max),
        key_count: count,
        continuation_token: input.continuation_token,
        next_continuation_token: next,
        start_after: input.start_after,
        ..Default::default()
    })
}

pub async fn get_bucket_versioning(
    cx: Cx,
    input: GetBucketVersioningInput,
) -> Result<GetBucketVersioningOutput, Error> {
    Ok(GetBucketVersioningOutput {
        status: match bucket::get(&cx, &input.bucket)?.versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::Enabled),
            Versioning::Suspended => Some(BucketVersioningStatus::Suspended),
        },
        mfa_delete: None,
    })
}

pub async fn put_bucket_versioning(
    cx: Cx,
    input: PutBucketVersioningInput,
) -> Result<PutBucketVersioningOutput, Error> {
    let versioning = input.versioning_configuration;
    members(&[
        ("MFA", input.mfa.is_some()),
        ("MFADelete", versioning.mfa_delete.is_some()),
    ])?;
    let versioning = match versioning.status {
        Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
        Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
        _ => return Err(malformed()),
    };
    bucket::change(&cx, &input.bucket, |it| {
        it.versioning = versioning;
        Ok(())
    })?;
    Ok(PutBucketVersioningOutput {})
}

pub async fn get_bucket_policy(
    cx: Cx,
    input: GetBucketPolicyInput,
) -> Result<GetBucketPolicyOutput, Error> {
    let policy = bucket::get(&cx, &input.bucket)?.policy;
    Ok(GetBucketPolicyOutput {
        policy: Some(policy.ok_or_else(|| no_policy(&input.bucket))?),
    })
}

pub async fn put_bucket_policy(
    cx: Cx,
    input: PutBucketPolicyInput,
) -> Result<PutBucketPolicyOutput, Error> {
    bucket::change(&cx, &input.bucket, |it| {
        access::check_policy(it, &input.policy)?;
        it.policy = Some(input.policy.clone());
        Ok(())
    })?;
    Ok(PutBucketPolicyOutput {})
}

pub async fn delete_bucket_policy(
    cx: Cx,
    input: DeleteBucketPolicyInput,
) -> Result<DeleteBucketPolicyOutput, Error> {
    bucket::change(&cx, &input.bucket, |it| {
        it.policy = None;
        Ok(())
    })?;
    Ok(DeleteBucketPolicyOutput {})
}

pub async fn get_bucket_tagging(
    cx: Cx,
    input: GetBucketTaggingInput,
) -> Result<GetBucketTaggingOutput, Error> {
    let tags = bucket::get(&cx, &input.bucket)?.tags;
    if tags.is_empty() {
        return Err(no_tags(&input.bucket));
    }
    Ok(GetBucketTaggingOutput {
        tag_set: tags
            .into_iter()
            .map(|(key, value)| Tag { key, value })
            .collect(),
    })
}

pub async fn put_bucket_tagging(
    cx: Cx,
    input: PutBucketTaggingInput,
) -> Result<PutBucketTaggingOutput, Error> {
    let tags = input
        .tagging
        .tag_set
        .into_iter()
        .map(|it| (it.key, it.value));
    let tags = names::tags(tags, Tagged::Bucket)?;
    bucket::change(&cx, &input.bucket, |it| {
        it.tags = tags;
        Ok(())
    })?;
    Ok(PutBucketTaggingOutput {})
}

pub async fn delete_bucket_tagging(
    cx: Cx,
    input: DeleteBucketTaggingInput,
) -> Result<DeleteBucketTaggingOutput, Error> {
    bucket::change(&cx, &input.bucket, |it| {
        it.tags.clear();
        Ok(())
    })?;
    Ok(DeleteBucketTaggingOutput {})
}

pub async fn delete_bucket_website(
    cx: Cx,
    input: DeleteBucketWebsiteInput,
) -> Result<DeleteBucketWebsiteOutput, Error> {
    bucket::change(&cx, &input.bucket, |it| {
        it.website = None;
        Ok(())
    })?;
    Ok(DeleteBucketWebsiteOutput {})
}

fn range(header: Option<&str>) -> Result<Option<s3s::dto::Range>, Error> {
    let range = header.map(s3s::dto::Range::parse).transpose();
    range.map_err(|_| InvalidArgument.because("The range is not one of bytes"))
}

fn unquoted(etag: String) -> String {
    etag.trim_matches('"').to_owned()
}

fn time(ms: i64) -> wire::Timestamp {
    wire::Timestamp(ms as f64 / 1000.0)
}

fn millis(time: wire::Timestamp) -> i64 {
    (time.0 * 1000.0) as i64
}
