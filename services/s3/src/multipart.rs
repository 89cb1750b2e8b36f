//! Uploads in parts: each part is a content of its own until they are joined.

use cloud::{Cx, Error, Record, Records};
use engine::ByteStream;
use s3s::crypto::{Checksum as _, Md5};

use crate::checksum::Algorithm;
use crate::errors::*;
use crate::put::{Conditions, Declared, NewObject, check_new, record, take};
use crate::record::{Bucket, Object, Part, Sum, Upload, part_key, parts_of_upload, upload_key};
use crate::{access, bucket, encryption, versions};

/// User Guide, "Amazon S3 multipart upload limits".
const PART_NUMBER_MAX: i32 = 10_000;
/// Of every part but the last.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

pub async fn begin(
    cx: &Cx,
    new: NewObject,
    algorithm: Option<Algorithm>,
    composite: Option<bool>,
) -> Result<Upload, Error> {
    check_new(&new)?;
    let named = algorithm.is_some();
    let algorithm = algorithm.unwrap_or_default();
    // What each has when the client says nothing (User Guide, "Checking object integrity").
    let composite = composite.unwrap_or(algorithm != Algorithm::Crc64Nvme);
    if !composite && !algorithm.combines() || composite && algorithm == Algorithm::Crc64Nvme {
        let kind = if composite {
            "COMPOSITE"
        } else {
            "FULL_OBJECT"
        };
        return Err(InvalidRequest.because(format!(
            "The {kind} checksum type cannot be used with the {} checksum algorithm.",
            algorithm.name().to_lowercase()
        )));
    }
    let bucket = cx.read(|tx| bucket::find(tx, &new.bucket))?;
    let asked = new.encryption.clone();
    let encryption = encryption::begin(cx, asked, &bucket, &new.key).await?;
    cx.write(|tx| {
        let bucket = bucket::find(tx, &new.bucket)?;
        access::check_acl(&bucket, &new.acl)?;
        let upload = Upload {
            encryption: encryption.map(|it| it.encryption),
            // By when it was begun, and hard to guess.
            id: format!(
                "{:016x}{}",
                versions::next_sequence(tx)?,
                cloud::random_hex(48)
            ),
            bucket: new.bucket.clone(),
            key: new.key.clone(),
            initiated_ms: cx.clock().now_ms(),
            meta: new.meta.clone(),
            tags: new.tags.clone(),
            acl: new.acl.clone(),
            algorithm,
            algorithm_named: named,
            composite,
            storage_class: new.storage_class.clone(),
            over: versions::current(tx, &new.bucket, &new.key)?.map(|it| it.sequence),
        };
        tx.put(&upload)?;
        Ok(upload)
    })
}

pub fn find(tx: &Records<'_>, bucket: &str, key: &str, id: &str) -> Result<Upload, Error> {
    bucket::find(tx, bucket)?;
    // The id is part of a key: what is none could lead elsewhere.
    let found = if id.bytes().all(|it| it.is_ascii_hexdigit()) {
        tx.get(&upload_key(bucket, key, id))?
    } else {
        None
    };
    found.ok_or_else(|| no_such_upload(id))
}

/// Which upload a part is for.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub bucket: String,
    pub key: String,
    pub upload: String,
    pub number: i32,
}

pub async fn put_part(
    cx: &Cx,
    place: Place,
    body: ByteStream,
    mut declared: Declared,
) -> Result<(Part, Upload), Error> {
    let find = |tx: &Records<'_>| find(tx, &place.bucket, &place.key, &place.upload);
    let upload = cx.read(find)?;
    if !(1..=PART_NUMBER_MAX).contains(&place.number) {
        return Err(bad_argument(
            "partNumber",
            place.number.to_string(),
            "Part number must be an integer between 1 and 10000, inclusive",
        ));
    }
    match declared.algorithm {
        Some(other) if upload.algorithm_named && other != upload.algorithm => {
            return Err(InvalidRequest.because(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                upload.algorithm.name().to_lowercase(),
                other.name().to_lowercase()
            )));
        }
        Some(_) => {}
        None => declared.algorithm = Some(upload.algorithm),
    }
    declared.with_default = !upload.algorithm_named;
    // Who may not decrypt may not go on with what somebody began.
    let key = match &upload.encryption {
        Some(encryption) => Some(encryption.data_key(cx).await?),
        None => None,
    };
    let stored = take(cx, body, declared, key.as_ref()).await?;
    let part = Part {
        upload: upload.id.clone(),
        number: place.number,
        content: stored.content.id.clone(),
        size: stored.size,
        etag: stored.content.md5,
        sum: Some(stored.sum),
        default_sum: stored.default_sum,
        modified_ms: cx.clock().now_ms(),
    };
    let part = record(
        cx,
        &stored.content.id,
        |tx, _| {
            // It may have been completed or given up while the body arrived.
            find(tx)?;
            if let Some(before) = tx.get::<Part>(&part.key())? {
                versions::discard(tx, &before.content)?;
            }
            tx.put(&part)?;
            Ok(part.clone())
        },
        &place.bucket,
    )
    .await?;
    Ok((part, upload))
}

/// A part as the client lists it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub number: i32,
    pub etag: String,
    pub sum: Option<(Algorithm, String)>,
}

/// What a client says of the object that its parts are to be.
#[derive(Debug, Clone)]
pub struct Completion {
    pub listed: Vec<Listed>,
    /// The checksum of all of it.
    pub whole: Option<(Algorithm, String)>,
    /// Of what kind that is.
    pub composite: Option<bool>,
    pub size: Option<u64>,
}

pub async fn complete(
    cx: &Cx,
    place: &Place,
    completion: &Completion,
    conditions: &Conditions,
) -> Result<Object, Error> {
    let find = |tx: &Records<'_>| find(tx, &place.bucket, &place.key, &place.upload);
    let listed = &completion.listed;
    let found = cx.read(|tx| {
        if let Some(object) = completed(tx, place)? {
            return Ok(Err(object));
        }
        let upload = find(tx)?;
        check_conditions(tx, &upload, conditions)?;
        let parts = choose(tx, &upload, listed)?;
        Ok(Ok((upload, parts)))
    })?;
    let (upload, parts) = match found {
        Ok(found) => found,
        // A client that did not hear of its success asks again, and hears of it.
        Err(object) => return Ok(object),
    };
    let object = assemble(cx, &upload, &parts, completion)?;
    // One part is the object already.
    let content = match &parts[..] {
        [only] => only.content.clone(),
        several => {
            let ids: Vec<String> = several.iter().map(|it| it.content.clone()).collect();
            let joined = cx.engine().objects.join(&ids).await;
            joined.map_err(not_joined)?.id
        }
    };
    let object = Object {
        content: content.clone(),
        ..object
    };
    let commit = |tx: &Records<'_>, bucket: &Bucket| {
        let upload = find(tx)?;
        check_conditions(tx, &upload, conditions)?;
        // A part that was replaced meanwhile is not what was joined.
        if choose(tx, &upload, listed)? != parts {
            return Err(
                InvalidPart.because("One or more of the specified parts could not be found.")
            );
        }
        for part in tx.list::<Part>(&parts_of_upload(&upload.id))? {
            if part.content != content {
                versions::discard(tx, &part.content)?;
            }
            tx.delete::<Part>(&part.key())?;
        }
        tx.delete::<Upload>(&upload.key())?;
        versions::put(tx, bucket, object.clone())
    };
    if parts.len() == 1 {
        return cx.write(|tx| commit(tx, &bucket::find(tx, &place.bucket)?));
    }
    record(cx, &content, commit, &place.bucket).await
}

/// What a condition is about may have changed since the upload began, without that it shows: what was
/// there is gone, or was written anew.
fn check_conditions(
    tx: &Records<'_>,
    upload: &Upload,
    conditions: &Conditions,
) -> Result<(), Error> {
    conditions.check(tx, &upload.bucket, &upload.key)?;
    if conditions.if_none_match.is_some() && upload.over.is_some() {
        return Err(conflict("If-None-Match", &upload.key));
    }
    if conditions.if_match.is_some() {
        let current = versions::current(tx, &upload.bucket, &upload.key)?;
        if current.map(|it| it.sequence) != upload.over {
            return Err(conflict("If-Match", &upload.key));
        }
    }
    Ok(())
}

/// The object that an upload has become, while it is the current version of its key.
fn completed(tx: &Records<'_>, place: &Place) -> Result<Option<Object>, Error> {
    bucket::find(tx, &place.bucket)?;
    let current = versions::current(tx, &place.bucket, &place.key)?;
    Ok(current.filter(|it| it.upload.as_deref() == Some(place.upload.as_str())))
}

/// A part's content goes when another takes the part's number.
fn not_joined(error: engine::EngineError) -> Error {
    if error.fault == engine::Fault::NotFound {
        return InvalidPart.because("One or more of the specified parts could not be found.");
    }
    cloud::internal(error)
}

/// The parts that were listed, as they were uploaded.
fn choose(tx: &Records<'_>, upload: &Upload, listed: &[Listed]) -> Result<Vec<Part>, Error> {
    if listed.is_empty() {
        return Err(MalformedXML.because("You must specify at least one part"));
    }
    if !listed.is_sorted_by(|one, next| one.number < next.number) {
        return Err(InvalidPartOrder.because(
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ));
    }
    let mut parts = Vec::new();
    for it in listed {
        let part: Option<Part> = tx.get(&part_key(&upload.id, it.number))?;
        let same_sum = |part: &Part| match (&it.sum, &part.sum) {
            (Some((algorithm, value)), Some(sum)) => {
                *algorithm == sum.algorithm && *value == sum.value
            }
            _ => true,
        };
        let part = part.filter(|part| part.etag == it.etag && same_sum(part));
        parts.push(part.ok_or_else(|| {
            InvalidPart.because("One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
                .about("UploadId", &upload.id)
                .about("PartNumber", it.number.to_string())
                .about("ETag", &it.etag)
        })?);
    }
    let (_, all_but_last) = parts.split_last().expect("the list is not empty");
    if let Some(small) = all_but_last.iter().find(|it| it.size < PART_BYTES_MIN) {
        return Err(EntityTooSmall
            .because("Your proposed upload is smaller than the minimum allowed size")
            .about("ProposedSize", small.size.to_string())
            .about("MinSizeAllowed", PART_BYTES_MIN.to_string())
            .about("PartNumber", small.number.to_string())
            .about("ETag", &small.etag));
    }
    Ok(parts)
}

fn assemble(
    cx: &Cx,
    upload: &Upload,
    parts: &[Part],
    completion: &Completion,
) -> Result<Object, Error> {
    check_kind(upload, completion.composite)?;
    check_sums_are_listed(upload, &completion.listed)?;
    let size: u64 = parts.iter().map(|it| it.size).sum();
    if let Some(expected) = completion.size.filter(|it| *it != size) {
        return Err(InvalidRequest.because(format!(
            "The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        )));
    }
    let sum = sum_of(upload, parts);
    if let (Some((algorithm, value)), Some(sum)) = (&completion.whole, &sum)
        && *algorithm == sum.algorithm
        && !sum.composite
        && *value != sum.value
    {
        return Err(BadDigest.because(format!(
            "The {} you specified did not match the calculated checksum.",
            algorithm.name().to_lowercase()
        )));
    }
    let sums = parts.iter().filter_map(|it| it.sum.as_ref());
    let part_sums = sums.filter(|_| upload.algorithm_named);
    Ok(Object {
        bucket: upload.bucket.clone(),
        key: upload.key.clone(),
        size,
        upload: Some(upload.id.clone()),
        etag: etag_of(parts),
        meta: upload.meta.clone(),
        tags: upload.tags.clone(),
        sum,
        parts: parts.iter().map(|it| it.size).collect(),
        part_sums: part_sums.map(|it| it.value.clone()).collect(),
        storage_class: upload.storage_class.clone(),
        acl: upload.acl.clone(),
        encryption: upload.encryption.clone(),
        modified_ms: cx.clock().now_ms(),
        ..Object::default()
    })
}

fn check_kind(upload: &Upload, composite: Option<bool>) -> Result<(), Error> {
    let kind = |composite: bool| {
        if composite {
            "COMPOSITE"
        } else {
            "FULL_OBJECT"
        }
    };
    match composite.filter(|it| *it != upload.composite) {
        None => Ok(()),
        Some(_) => Err(InvalidRequest.because(format!(
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            kind(upload.composite)
        ))),
    }
}

/// The checksum of such an upload is made of its parts' checksums, so that each of them has to be known
/// to the client.
fn check_sums_are_listed(upload: &Upload, listed: &[Listed]) -> Result<(), Error> {
    if !upload.algorithm_named || !upload.composite {
        return Ok(());
    }
    match listed.iter().find(|it| it.sum.is_none()) {
        None => Ok(()),
        Some(part) => Err(InvalidRequest.because(format!(
            "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {} in the request.",
            upload.algorithm.name().to_lowercase(),
            part.number
        ))),
    }
}

fn sum_of(upload: &Upload, parts: &[Part]) -> Option<Sum> {
    let mut sums = Vec::new();
    for part in parts {
        let sum = part.sum.as_ref();
        let sum = sum.filter(|it| it.algorithm == upload.algorithm);
        let value = sum.map(|it| &it.value).or(part.default_sum.as_ref())?;
        sums.push((value.clone(), part.size));
    }
    upload.algorithm.of_parts(&sums, upload.composite)
}

/// The MD5 of the parts' MD5s, and how many they are.
fn etag_of(parts: &[Part]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        let digits = part.etag.as_bytes().chunks(2);
        let bytes: Vec<u8> = digits
            .filter_map(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok())
            .collect();
        md5.update(&bytes);
    }
    let digest: String = md5
        .finalize()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    format!("{digest}-{}", parts.len())
}

pub fn abort(cx: &Cx, bucket: &str, key: &str, id: &str) -> Result<(), Error> {
    cx.write(|tx| {
        let upload = find(tx, bucket, key, id)?;
        bucket::give_up(tx, &upload)
    })
}

/// At most `limit` parts after a number, and the upload.
pub fn parts(
    cx: &Cx,
    place: &Place,
    after: i32,
    limit: usize,
) -> Result<(Upload, Vec<Part>), Error> {
    cx.read(|tx| {
        let upload = find(tx, &place.bucket, &place.key, &place.upload)?;
        let after = part_key(&upload.id, after.max(0));
        let parts = tx.page(&parts_of_upload(&upload.id), &after, limit)?;
        Ok((upload, parts))
    })
}
