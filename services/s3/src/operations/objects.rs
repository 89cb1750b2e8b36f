//! Objects, for other services: whole bodies, in memory.

use bytes::Bytes;
use cloud::{Cx, Error};
use engine::ByteStream;
use futures_util::{StreamExt, stream};
use shapes::s3::{self as shape, *};

use super::time;
use crate::acl::Acl;
use crate::checksum::Algorithm;
use crate::encryption::Asked;
use crate::errors::*;
use crate::get::{Conditions, Selected, Wanted};
use crate::list::{Entry, Query};
use crate::put::{self, Declared, NewObject};
use crate::record::Meta;
use crate::refuse::{members, storage_class};
use crate::{delete, get, list, names};

/// Bodies are in memory here, on both sides: templates and artifacts, not archives.
pub const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;

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
        ("Expires", input.expires.is_some()),
        ("GrantRead", input.grant_read.is_some()),
        ("GrantFullControl", input.grant_full_control.is_some()),
        ("ObjectLockMode", input.object_lock_mode.is_some()),
        ("WriteOffsetBytes", input.write_offset_bytes.is_some()),
    ])?;
    let encryption = Asked {
        algorithm: (input.server_side_encryption).map(|it| it.as_str().to_owned()),
        key: input.ssekms_key_id,
        context: input.ssekms_encryption_context,
        bucket_key: input.bucket_key_enabled,
    };
    let storage_class = storage_class(input.storage_class.as_ref().map(|it| it.as_str()))?;
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
        with_default: false,
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
            expires_text: None,
            website_redirect: input.website_redirect_location,
            user: input.metadata.unwrap_or_default(),
        },
        tags: names::tags_of_header(input.tagging.as_deref())?,
        acl: Acl::default(),
        storage_class,
        encryption,
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

/// What `GetObject` and `HeadObject` ask for alike.
macro_rules! wanted {
    ($input:ident) => {
        Wanted {
            bucket: $input.bucket,
            key: $input.key,
            version: $input.version_id,
            part: $input.part_number,
            range: range($input.range.as_deref())?,
            conditions: Conditions {
                if_match: $input.if_match.map(unquoted),
                if_none_match: $input.if_none_match.map(unquoted),
                if_modified_since_ms: $input.if_modified_since.map(millis),
                if_unmodified_since_ms: $input.if_unmodified_since.map(millis),
            },
            ..Wanted::default()
        }
    };
}

/// What `GetObject` and `HeadObject` answer alike.
macro_rules! described {
    ($output:ident, $selected:ident) => {{
        let (length, content_range) = ($selected.length(), $selected.content_range());
        let version_id = $selected.version_id();
        let Selected { mut object, .. } = $selected;
        let encryption = object.encryption.take();
        $output {
            server_side_encryption: Some(match encryption {
                None => ServerSideEncryption::Aes256,
                Some(_) => ServerSideEncryption::AwsKms,
            }),
            bucket_key_enabled: encryption.as_ref().map(|it| it.bucket_key),
            ssekms_key_id: encryption.map(|it| it.key_arn),
            content_length: i64::try_from(length).ok(),
            accept_ranges: Some("bytes".into()),
            last_modified: Some(time(object.modified_ms)),
            e_tag: Some(object.quoted_etag()),
            content_range,
            version_id,
            storage_class: object
                .storage_class
                .as_deref()
                .and_then(|it| it.parse().ok()),
            cache_control: object.meta.cache_control,
            content_disposition: object.meta.content_disposition,
            content_encoding: object.meta.content_encoding,
            content_language: object.meta.content_language,
            content_type: object.meta.content_type,
            website_redirect_location: object.meta.website_redirect,
            metadata: Some(object.meta.user),
            ..Default::default()
        }
    }};
}

pub async fn get_object(cx: Cx, input: GetObjectInput) -> Result<GetObjectOutput, Error> {
    members(&[(
        "SSECustomerAlgorithm",
        input.sse_customer_algorithm.is_some(),
    )])?;
    let wanted = wanted!(input);
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
    let found = described!(GetObjectOutput, selected);
    Ok(GetObjectOutput {
        body: Some(wire::Blob(bytes)),
        cache_control: input.response_cache_control.or(found.cache_control),
        content_disposition: input
            .response_content_disposition
            .or(found.content_disposition),
        content_encoding: input.response_content_encoding.or(found.content_encoding),
        content_language: input.response_content_language.or(found.content_language),
        content_type: input.response_content_type.or(found.content_type),
        ..found
    })
}

pub async fn head_object(cx: Cx, input: HeadObjectInput) -> Result<HeadObjectOutput, Error> {
    members(&[(
        "SSECustomerAlgorithm",
        input.sse_customer_algorithm.is_some(),
    )])?;
    let wanted = wanted!(input);
    let selected = get::select(&cx, &wanted)?;
    Ok(described!(HeadObjectOutput, selected))
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
                storage_class: object.storage_class().parse().ok(),
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

fn range(header: Option<&str>) -> Result<Option<s3s::dto::Range>, Error> {
    let range = header.map(s3s::dto::Range::parse).transpose();
    range.map_err(|_| InvalidArgument.because("The range is not one of bytes"))
}

fn unquoted(etag: String) -> String {
    etag.trim_matches('"').to_owned()
}

fn millis(time: wire::Timestamp) -> i64 {
    (time.0 * 1000.0) as i64
}
