//! Listings.

use cloud::{Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::answers::AnswerHead;
use super::convert::{self, etag, time};
use crate::authorize::Seen;
use crate::errors::{InvalidArgument, NoSuchUpload, bad_argument};
use crate::list::{self, Entry, Listed, PAGE_MAX, Page, Query};
use crate::record::{self, NULL_VERSION};
use crate::versions::{self as kept, Found};

/// Where the bucket is, in the head of a listing of its objects.
fn tell_region<T>(request: &S3Request<T>, bucket: &str) {
    if let Some(bucket) = Seen::of(request).bucket(bucket) {
        AnswerHead::of(request).say("x-amz-bucket-region", &bucket.region);
    }
}

/// How many were asked for, within what a page holds.
fn page_size(name: &'static str, max: Option<i32>) -> Result<(i32, usize), Error> {
    let max = max.unwrap_or(PAGE_MAX);
    let size = usize::try_from(max).map_err(|_| {
        let why = format!("Argument {name} must be an integer between 0 and 2147483647");
        bad_argument(name, max.to_string(), &why)
    })?;
    Ok((max.min(PAGE_MAX), size.min(PAGE_MAX as usize)))
}

/// Whether keys are to be written as in URLs.
struct Encoding(Option<EncodingType>);

impl Encoding {
    fn asked(by: Option<EncodingType>) -> Result<Self, Error> {
        match by.as_ref().map(|it| it.as_str()) {
            None | Some("url") => Ok(Self(by)),
            Some(other) => Err(bad_argument(
                "encoding-type",
                other,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    fn key(&self, key: String) -> String {
        match self.0 {
            Some(_) => convert::url_encoded(&key),
            None => key,
        }
    }
    fn optional(&self, key: Option<String>) -> Option<String> {
        key.map(|it| self.key(it))
    }
}

fn query(bucket: &str, prefix: &Option<String>, delimiter: &Option<String>, max: usize) -> Query {
    Query {
        bucket: bucket.to_owned(),
        prefix: prefix.clone().unwrap_or_default(),
        delimiter: delimiter.clone(),
        max,
    }
}

/// The page's last key or prefix, when there is more after it.
fn next<T>(page: &Page<T>, key: fn(&T) -> &str) -> Option<String> {
    let last = page.entries.last().filter(|_| page.truncated)?;
    Some(match last {
        Entry::One(one) => key(one).to_owned(),
        Entry::Prefix(prefix) => prefix.clone(),
    })
}

fn sorted<T, U>(
    page: Page<T>,
    encoding: &Encoding,
    mut one: impl FnMut(T) -> U,
) -> (Vec<U>, Vec<CommonPrefix>) {
    let (mut ones, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::One(it) => ones.push(one(it)),
            Entry::Prefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(encoding.key(prefix)),
            }),
        }
    }
    (ones, prefixes)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|it| !it.is_empty())
}

fn object(it: record::Object, encoding: &Encoding, owner: Option<Owner>) -> Object {
    let algorithm = it.sum.as_ref();
    Object {
        checksum_algorithm: algorithm
            .map(|it| vec![ChecksumAlgorithm::from_static(it.algorithm.name())]),
        checksum_type: algorithm.map(|it| {
            ChecksumType::from_static(if it.composite {
                "COMPOSITE"
            } else {
                "FULL_OBJECT"
            })
        }),
        e_tag: Some(etag(&it.etag)),
        last_modified: Some(time(it.modified_ms)),
        owner,
        restore_status: None,
        size: i64::try_from(it.size).ok(),
        storage_class: Some(ObjectStorageClass::from(it.storage_class().to_owned())),
        key: Some(encoding.key(it.key)),
    }
}

pub async fn objects(
    cx: Cx,
    request: S3Request<ListObjectsInput>,
) -> Result<ListObjectsOutput, Error> {
    tell_region(&request, &request.input.bucket);
    let input = request.input;
    let (max_keys, max) = page_size("maxKeys", input.max_keys)?;
    let query = query(&input.bucket, &input.prefix, &input.delimiter, max);
    let marker = input.marker.clone().unwrap_or_default();
    let page = cx.read(|tx| list::objects_after_marker(tx, &query, &marker))?;
    let encoding = Encoding::asked(input.encoding_type.clone())?;
    let owner = convert::owner(cx.account());
    let (truncated, next) = (page.truncated, next(&page, |it| &it.key));
    let (contents, prefixes) = sorted(page, &encoding, |it| {
        object(it, &encoding, Some(owner.clone()))
    });
    Ok(ListObjectsOutput {
        is_truncated: Some(truncated),
        // Without a delimiter the last key says where to go on.
        next_marker: encoding
            .optional(next)
            .filter(|_| input.delimiter.is_some()),
        contents: some(contents),
        common_prefixes: some(prefixes),
        name: Some(input.bucket),
        prefix: Some(encoding.key(input.prefix.unwrap_or_default())),
        marker: Some(encoding.key(marker)),
        max_keys: Some(max_keys),
        delimiter: encoding.optional(input.delimiter),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

pub async fn objects_v2(
    cx: Cx,
    request: S3Request<ListObjectsV2Input>,
) -> Result<ListObjectsV2Output, Error> {
    tell_region(&request, &request.input.bucket);
    let input = request.input;
    let (max_keys, max) = page_size("maxKeys", input.max_keys)?;
    let query = query(&input.bucket, &input.prefix, &input.delimiter, max);
    let after = match &input.continuation_token {
        Some(token) => from_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let page = cx.read(|tx| list::objects(tx, &query, &after))?;
    let encoding = Encoding::asked(input.encoding_type.clone())?;
    let owner = convert::owner(cx.account());
    let owner = input.fetch_owner.unwrap_or(false).then_some(owner);
    let (truncated, next) = (page.truncated, next(&page, |it| &it.key));
    let count = i32::try_from(page.entries.len()).ok();
    let (contents, prefixes) = sorted(page, &encoding, |it| object(it, &encoding, owner.clone()));
    Ok(ListObjectsV2Output {
        is_truncated: Some(truncated),
        next_continuation_token: next.map(|it| to_token(&it)),
        continuation_token: input.continuation_token,
        contents: some(contents),
        common_prefixes: some(prefixes),
        key_count: count,
        name: Some(input.bucket),
        prefix: Some(encoding.key(input.prefix.unwrap_or_default())),
        max_keys: Some(max_keys),
        delimiter: encoding.optional(input.delimiter),
        start_after: encoding.optional(input.start_after),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

fn to_token(key: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(key)
}

fn from_token(token: &str) -> Result<String, Error> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(token).ok();
    let key = bytes.and_then(|it| String::from_utf8(it).ok());
    let key = key.filter(|it| !it.is_empty());
    key.ok_or_else(|| {
        bad_argument(
            "continuation-token",
            token,
            "The continuation token provided is incorrect",
        )
    })
}

pub async fn versions(
    cx: Cx,
    request: S3Request<ListObjectVersionsInput>,
) -> Result<ListObjectVersionsOutput, Error> {
    let input = request.input;
    let (max_keys, max) = page_size("maxKeys", input.max_keys)?;
    let query = query(&input.bucket, &input.prefix, &input.delimiter, max);
    let marker = input.key_marker.clone().unwrap_or_default();
    let version_marker = input.version_id_marker.clone().filter(|it| !it.is_empty());
    if version_marker.is_some() && marker.is_empty() {
        return Err(InvalidArgument
            .because("A version-id marker cannot be specified without a key marker."));
    }
    let page = cx.read(|tx| {
        let after = match &version_marker {
            Some(id) => sequence(tx, &input.bucket, &marker, id)?,
            None => None,
        };
        list::versions(tx, &query, &marker, after)
    })?;
    let encoding = Encoding::asked(input.encoding_type.clone())?;
    let owner = convert::owner(cx.account());
    let truncated = page.truncated;
    let next_key = next(&page, |it: &Listed| &it.version.key);
    let next_version = page
        .entries
        .last()
        .filter(|_| truncated)
        .and_then(|it| match it {
            Entry::One(one) => Some(one.version.version_id().to_owned()),
            Entry::Prefix(_) => None,
        });
    let mut markers = Vec::new();
    let (listed, prefixes) = sorted(page, &encoding, |it| {
        let version_id = Some(it.version.version_id().to_owned());
        let Some(found) = it.version.object else {
            markers.push(DeleteMarkerEntry {
                is_latest: Some(it.is_latest),
                key: Some(encoding.key(it.version.key)),
                last_modified: Some(time(it.version.modified_ms)),
                owner: Some(owner.clone()),
                version_id,
            });
            return None;
        };
        let found = object(found, &encoding, Some(owner.clone()));
        Some(ObjectVersion {
            checksum_algorithm: found.checksum_algorithm,
            checksum_type: found.checksum_type,
            e_tag: found.e_tag,
            is_latest: Some(it.is_latest),
            key: found.key,
            last_modified: found.last_modified,
            owner: found.owner,
            restore_status: None,
            size: found.size,
            storage_class: found
                .storage_class
                .map(|it| ObjectVersionStorageClass::from(it.as_str().to_owned())),
            version_id,
        })
    });
    Ok(ListObjectVersionsOutput {
        is_truncated: Some(truncated),
        next_key_marker: encoding.optional(next_key),
        next_version_id_marker: next_version,
        versions: some(listed.into_iter().flatten().collect()),
        delete_markers: some(markers),
        common_prefixes: some(prefixes),
        name: Some(input.bucket),
        prefix: Some(encoding.key(input.prefix.unwrap_or_default())),
        key_marker: Some(encoding.key(marker)),
        version_id_marker: Some(version_marker.unwrap_or_default()),
        max_keys: Some(max_keys),
        delimiter: encoding.optional(input.delimiter),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

/// Where in the order of its key's versions a version is, or was when it was listed.
fn sequence(
    tx: &cloud::Records<'_>,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Option<i64>, Error> {
    if id != NULL_VERSION {
        let place = id.get(..16).and_then(|it| i64::from_str_radix(it, 16).ok());
        let place = place.ok_or_else(|| InvalidArgument.because("Invalid version id specified"))?;
        return Ok(Some(i64::MAX - place));
    }
    Ok(kept::find(tx, bucket, key, id)?.map(|it| match it {
        Found::Object(object) => object.sequence,
        Found::Marker(marker) => marker.sequence,
    }))
}

pub async fn uploads(
    cx: Cx,
    request: S3Request<ListMultipartUploadsInput>,
) -> Result<ListMultipartUploadsOutput, Error> {
    let input = request.input;
    let (max_uploads, max) = page_size("max-uploads", input.max_uploads)?;
    let query = query(&input.bucket, &input.prefix, &input.delimiter, max);
    let marker = input.key_marker.clone().unwrap_or_default();
    let upload_marker = input.upload_id_marker.clone().filter(|it| !it.is_empty());
    if let Some(id) = &upload_marker {
        let known = || cx.read(|tx| crate::multipart::find(tx, &input.bucket, &marker, id));
        if !marker.is_empty() && known().is_err_and(|it| it.is(NoSuchUpload)) {
            return Err(bad_argument(
                "upload-id-marker",
                id,
                "Invalid uploadId marker",
            ));
        }
    }
    let page = cx.read(|tx| list::uploads(tx, &query, &marker, upload_marker.as_deref()))?;
    let encoding = Encoding::asked(input.encoding_type.clone())?;
    let owner = convert::owner(cx.account());
    let truncated = page.truncated;
    let next_key = next(&page, |it| &it.key);
    let next_upload = page
        .entries
        .last()
        .filter(|_| truncated)
        .and_then(|it| match it {
            Entry::One(one) => Some(one.id.clone()),
            Entry::Prefix(_) => None,
        });
    let (listed, prefixes) = sorted(page, &encoding, |it| {
        let kind = if it.composite {
            "COMPOSITE"
        } else {
            "FULL_OBJECT"
        };
        MultipartUpload {
            checksum_algorithm: (it.algorithm_named)
                .then(|| ChecksumAlgorithm::from_static(it.algorithm.name())),
            checksum_type: it.algorithm_named.then(|| ChecksumType::from_static(kind)),
            initiated: Some(time(it.initiated_ms)),
            initiator: Some(Initiator {
                display_name: None,
                id: owner.id.clone(),
            }),
            storage_class: Some(StorageClass::from(it.storage_class().to_owned())),
            key: Some(encoding.key(it.key)),
            owner: Some(owner.clone()),
            upload_id: Some(it.id),
        }
    });
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        uploads: some(listed),
        common_prefixes: some(prefixes),
        is_truncated: Some(truncated),
        next_key_marker: encoding.optional(next_key),
        next_upload_id_marker: next_upload,
        key_marker: Some(encoding.key(marker)),
        upload_id_marker: upload_marker,
        max_uploads: Some(max_uploads),
        prefix: encoding.optional(input.prefix),
        delimiter: encoding.optional(input.delimiter),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}
