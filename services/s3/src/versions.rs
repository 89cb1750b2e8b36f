//! Which version of a key is current, and what becomes of the others: everything that writes or
//! deletes an object goes through here, inside the transaction of whoever calls.

use cloud::{Cx, Error, Record, Records};

use crate::errors::*;
use crate::record::{
    Bucket, Garbage, NULL_VERSION, Object, Version, Versioning, new_version_id, object_key,
    version_key, versions_of_key,
};

/// The counter of everything that is written.
const SEQUENCE: &str = "s3.sequence";

/// A version that was asked for.
#[derive(Debug)]
pub enum Found {
    Object(Box<Object>),
    Marker(Box<Version>),
}

/// The content is nobody's when this transaction is committed.
pub fn discard(tx: &Records<'_>, content: &str) -> Result<(), Error> {
    tx.put(&Garbage {
        content: content.to_owned(),
    })
}

pub fn next_sequence(tx: &Records<'_>) -> Result<i64, Error> {
    tx.next(SEQUENCE)
}

pub fn current(tx: &Records<'_>, bucket: &str, key: &str) -> Result<Option<Object>, Error> {
    tx.get(&object_key(bucket, key))
}

/// Makes an object the current version of its key. Its sequence and version are set here.
pub fn put(tx: &Records<'_>, bucket: &Bucket, mut object: Object) -> Result<Object, Error> {
    object.sequence = next_sequence(tx)?;
    object.version =
        (bucket.versioning == Versioning::Enabled).then(|| new_version_id(object.sequence));
    let before = current(tx, &object.bucket, &object.key)?;
    make_room(tx, bucket, &object.key, before)?;
    tx.put(&object)?;
    Ok(object)
}

/// What was current becomes noncurrent, or goes, as the bucket's versioning has it.
fn make_room(
    tx: &Records<'_>,
    bucket: &Bucket,
    key: &str,
    before: Option<Object>,
) -> Result<(), Error> {
    match bucket.versioning {
        Versioning::Off => {
            if let Some(before) = before {
                remove_current(tx, &before)?;
            }
        }
        Versioning::Enabled => {
            if let Some(before) = before {
                supersede(tx, before)?;
            }
        }
        Versioning::Suspended => {
            // There is one null version at most, and the new one is it.
            match before {
                Some(before) if before.version.is_none() => remove_current(tx, &before)?,
                Some(before) => {
                    remove_null(tx, &bucket.name, key)?;
                    supersede(tx, before)?;
                }
                None => remove_null(tx, &bucket.name, key)?,
            }
        }
    }
    Ok(())
}

fn remove_current(tx: &Records<'_>, object: &Object) -> Result<(), Error> {
    discard(tx, &object.content)?;
    tx.delete::<Object>(&object.key())?;
    Ok(())
}

fn supersede(tx: &Records<'_>, object: Object) -> Result<(), Error> {
    tx.delete::<Object>(&object.key())?;
    tx.put(&Version {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        sequence: object.sequence,
        version: object.version.clone(),
        modified_ms: object.modified_ms,
        object: Some(object),
    })
}

/// The key of the noncurrent null version, if there is one.
fn find_null(tx: &Records<'_>, bucket: &str, key: &str) -> Result<Option<String>, Error> {
    let keys = tx.keys::<Version>(&versions_of_key(bucket, key))?;
    Ok(keys.into_iter().find(|it| it.ends_with('n')))
}

fn remove_null(tx: &Records<'_>, bucket: &str, key: &str) -> Result<(), Error> {
    if let Some(place) = find_null(tx, bucket, key)? {
        remove_version(tx, &place)?;
    }
    Ok(())
}

fn remove_version(tx: &Records<'_>, place: &str) -> Result<Option<Version>, Error> {
    let version: Option<Version> = tx.get(place)?;
    if let Some(object) = version.as_ref().and_then(|it| it.object.as_ref()) {
        discard(tx, &object.content)?;
    }
    tx.delete::<Version>(place)?;
    Ok(version)
}

/// The newest noncurrent version or delete marker.
pub fn newest(tx: &Records<'_>, bucket: &str, key: &str) -> Result<Option<Version>, Error> {
    let mut page: Vec<Version> = tx.page(&versions_of_key(bucket, key), "", 1)?;
    Ok(page.pop())
}

/// Whether a version or marker that is not current is the newest of its key.
pub fn is_newest(tx: &Records<'_>, bucket: &str, key: &str, id: &str) -> Result<bool, Error> {
    let newest = newest(tx, bucket, key)?;
    Ok(newest.is_some_and(|it| it.version_id() == id))
}

/// How many versions and markers beside the current one a key has, up to `most`.
pub fn count(tx: &Records<'_>, bucket: &str, key: &str, most: usize) -> Result<usize, Error> {
    let page: Vec<Version> = tx.page(&versions_of_key(bucket, key), "", most)?;
    Ok(page.len())
}

/// The version with an id, wherever it is.
pub fn find(
    tx: &Records<'_>,
    bucket: &str,
    key: &str,
    version_id: &str,
) -> Result<Option<Found>, Error> {
    if let Some(object) = current(tx, bucket, key)?
        && object.version_id() == version_id
    {
        return Ok(Some(Found::Object(Box::new(object))));
    }
    let Some(version) = noncurrent(tx, bucket, key, version_id)? else {
        return Ok(None);
    };
    Ok(Some(match version.object {
        Some(object) => Found::Object(Box::new(object)),
        None => Found::Marker(Box::new(version)),
    }))
}

fn noncurrent(
    tx: &Records<'_>,
    bucket: &str,
    key: &str,
    version_id: &str,
) -> Result<Option<Version>, Error> {
    let place = match version_id {
        NULL_VERSION => find_null(tx, bucket, key)?,
        id => version_key(bucket, key, id),
    };
    let Some(place) = place else { return Ok(None) };
    let version: Option<Version> = tx.get(&place)?;
    Ok(version.filter(|it| it.version_id() == version_id))
}

/// What is read when no version, or one, is asked for.
pub fn read(
    tx: &Records<'_>,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
) -> Result<Object, Error> {
    let Some(id) = version_id else {
        if let Some(object) = current(tx, bucket, key)? {
            return Ok(object);
        }
        let error = no_such_key(key);
        // A marker is told of, as S3 does.
        return Err(match newest(tx, bucket, key)? {
            Some(marker) => about_marker(error, &marker),
            None => error,
        });
    };
    check_version_id(id)?;
    match find(tx, bucket, key, id)? {
        Some(Found::Object(object)) => Ok(*object),
        Some(Found::Marker(marker)) => Err(about_marker(
            MethodNotAllowed.because("The specified method is not allowed against this resource."),
            &marker,
        )),
        None => Err(no_such_version(key, id)),
    }
}

fn about_marker(error: Error, marker: &Version) -> Error {
    error
        .about("x-amz-delete-marker", "true")
        .about("x-amz-version-id", marker.version_id())
}

fn check_version_id(id: &str) -> Result<(), Error> {
    let hex = id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit());
    if id == NULL_VERSION || hex {
        return Ok(());
    }
    Err(bad_argument(
        "versionId",
        id,
        "Invalid version id specified",
    ))
}

/// What a deletion did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The version that was deleted, or that a new marker is.
    pub version_id: Option<String>,
    /// A marker was made, or was what was deleted.
    pub marker: bool,
}

/// Deletes a key: for good in a bucket that keeps no versions, under a marker in one that does.
pub fn delete(cx: &Cx, tx: &Records<'_>, bucket: &Bucket, key: &str) -> Result<Deleted, Error> {
    let before = current(tx, &bucket.name, key)?;
    make_room(tx, bucket, key, before)?;
    if bucket.versioning == Versioning::Off {
        return Ok(Deleted::default());
    }
    let sequence = next_sequence(tx)?;
    let marker = Version {
        bucket: bucket.name.clone(),
        key: key.to_owned(),
        sequence,
        version: (bucket.versioning == Versioning::Enabled).then(|| new_version_id(sequence)),
        modified_ms: cx.clock().now_ms(),
        object: None,
    };
    tx.put(&marker)?;
    Ok(Deleted {
        version_id: Some(marker.version_id().to_owned()),
        marker: true,
    })
}

/// Deletes one version for good. What is newest then is current.
pub fn delete_version(
    tx: &Records<'_>,
    bucket: &Bucket,
    key: &str,
    version_id: &str,
) -> Result<Deleted, Error> {
    if check_version_id(version_id).is_err() {
        return Err(no_such_version(key, version_id));
    }
    let mut deleted = Deleted {
        version_id: Some(version_id.to_owned()),
        marker: false,
    };
    let now = current(tx, &bucket.name, key)?;
    if let Some(object) = now.as_ref().filter(|it| it.version_id() == version_id) {
        remove_current(tx, object)?;
    } else if let Some(version) = noncurrent(tx, &bucket.name, key, version_id)? {
        remove_version(tx, &version.key())?;
        deleted.marker = version.object.is_none();
    } else {
        // What is not there needs no deleting.
        return Ok(deleted);
    }
    let is_current = current(tx, &bucket.name, key)?.is_some();
    if !is_current && let Some(newest) = newest(tx, &bucket.name, key)? {
        let place = newest.key();
        if let Some(object) = newest.object {
            tx.delete::<Version>(&place)?;
            tx.put(&object)?;
        }
    }
    Ok(deleted)
}

/// Writes an object that was found back to where it is, with other tags or another list of grants.
pub fn put_back(tx: &Records<'_>, object: Object) -> Result<(), Error> {
    let is_current =
        current(tx, &object.bucket, &object.key)?.is_some_and(|it| it.sequence == object.sequence);
    if is_current {
        return tx.put(&object);
    }
    let found = noncurrent(tx, &object.bucket, &object.key, object.version_id())?;
    let mut version = found.ok_or_else(|| no_such_version(&object.key, object.version_id()))?;
    version.object = Some(object);
    tx.put(&version)
}
