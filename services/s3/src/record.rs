//! What is stored. Names of buckets know no regions, so keys begin with `global`, as IAM's do.
//!
//! ```text
//! s3.bucket   global/<bucket>
//! s3.object   global/<bucket>/<key>                       the current version of a key
//! s3.version  global/<bucket>/<key>^A<newest first>[n]    every other version, and delete markers
//! s3.upload   global/<bucket>/<key>^A<upload>             a multipart upload
//! s3.part     global/<upload>/<number>                    its parts
//! s3.garbage  global/<content>                            a content that no record needs any more
//! ```
//!
//! So a page of a listing is a range of keys, whatever the bucket holds. A version is in one place
//! only: what was current moves from `s3.object` to `s3.version` when something takes its place. In
//! the keys of versions and uploads the object's own key is written so that `^A` (U+0001) is less
//! than anything in it ([`ordered`]).

use std::collections::BTreeMap;

use cloud::Record;
use serde::{Deserialize, Serialize};

use crate::acl::Acl;
use crate::config::{Cors, Lifecycle, Ownership, PublicAccess, Website};
use crate::encryption::{BucketKms, Encryption};

const ROOT: &str = "global";
/// Ends an object's key in the keys of its versions and uploads.
const END_OF_KEY: char = '\u{1}';
/// The version id of an object that was written while its bucket kept no versions.
pub const NULL_VERSION: &str = "null";
/// The storage class of what names none.
pub const STANDARD: &str = "STANDARD";
/// Hexadecimal digits of a sequence number in keys and ids.
const SEQUENCE_DIGITS: usize = 16;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// Never enabled.
    #[default]
    Off,
    Enabled,
    Suspended,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bucket {
    pub name: String,
    pub region: String,
    pub created_ms: i64,
    /// Of the request that made it: a repeated one finds its bucket.
    pub token: Option<String>,
    pub versioning: Versioning,
    pub tags: BTreeMap<String, String>,
    pub policy: Option<String>,
    pub acl: Acl,
    pub ownership: Option<Ownership>,
    pub public_access: Option<PublicAccess>,
    pub bucket_key_enabled: bool,
    /// Somebody said how the bucket is encrypted.
    pub encryption_set: bool,
    /// By a key of KMS, where that is how.
    pub kms: Option<BucketKms>,
    /// `EU`, which is how a region was called before regions had names, if it was called so.
    pub location_alias: Option<String>,
    pub website: Option<Website>,
    pub cors: Vec<Cors>,
    pub lifecycle: Vec<Lifecycle>,
    /// From which size on objects are moved, where it was said.
    pub least_transition: Option<String>,
}

impl Record for Bucket {
    const KIND: &'static str = "s3.bucket";
    fn key(&self) -> String {
        bucket_key(&self.name)
    }
}

/// What a client says about an object and gets back with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires_ms: Option<i64>,
    /// As it was sent, where it is no time.
    pub expires_text: Option<String>,
    pub website_redirect: Option<String>,
    pub user: BTreeMap<String, String>,
}

/// A checksum by one of S3's algorithms, as it is sent: in base 64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub algorithm: crate::checksum::Algorithm,
    pub value: String,
    /// Of the parts' checksums, and not of all bytes.
    #[serde(default)]
    pub composite: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// Of all that was ever written, this was the n-th.
    pub sequence: i64,
    /// None: the null version.
    pub version: Option<String>,
    pub modified_ms: i64,
    pub content: String,
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    pub meta: Meta,
    pub tags: BTreeMap<String, String>,
    pub sum: Option<Sum>,
    /// The sizes of the parts, when it was uploaded in parts.
    pub parts: Vec<u64>,
    /// Their checksums, where the client named the algorithm.
    pub part_sums: Vec<String>,
    /// None: `STANDARD`.
    pub storage_class: Option<String>,
    /// The upload that it was, so that a repeated completion finds it.
    pub upload: Option<String>,
    pub acl: Acl,
    /// None: by S3's own keys, which leave the content as it is.
    pub encryption: Option<Encryption>,
}

impl Record for Object {
    const KIND: &'static str = "s3.object";
    fn key(&self) -> String {
        object_key(&self.bucket, &self.key)
    }
}

impl Object {
    pub fn version_id(&self) -> &str {
        self.version.as_deref().unwrap_or(NULL_VERSION)
    }

    pub fn storage_class(&self) -> &str {
        self.storage_class.as_deref().unwrap_or(STANDARD)
    }

    /// How many bytes are in each of the pieces that its content is encrypted in.
    pub fn segments(&self) -> Vec<u64> {
        match self.parts.is_empty() {
            true => vec![self.size],
            false => self.parts.clone(),
        }
    }

    pub fn quoted_etag(&self) -> String {
        format!("\"{}\"", self.etag)
    }
}

/// A version that is not current, or a delete marker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub bucket: String,
    pub key: String,
    pub sequence: i64,
    pub version: Option<String>,
    pub modified_ms: i64,
    /// None: a delete marker.
    pub object: Option<Object>,
}

impl Version {
    pub fn version_id(&self) -> &str {
        self.version.as_deref().unwrap_or(NULL_VERSION)
    }
}

impl Record for Version {
    const KIND: &'static str = "s3.version";
    fn key(&self) -> String {
        let null = if self.version.is_none() { "n" } else { "" };
        format!(
            "{}{}{null}",
            versions_of_key(&self.bucket, &self.key),
            inverted(self.sequence)
        )
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    pub id: String,
    pub bucket: String,
    pub key: String,
    pub initiated_ms: i64,
    pub meta: Meta,
    pub tags: BTreeMap<String, String>,
    pub acl: Acl,
    pub algorithm: crate::checksum::Algorithm,
    /// The client asked for the algorithm by name, and so hears of it.
    pub algorithm_named: bool,
    pub composite: bool,
    /// None: `STANDARD`.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// The sequence of the object that was there when it began.
    #[serde(default)]
    pub over: Option<i64>,
    /// Of all of its parts.
    #[serde(default)]
    pub encryption: Option<Encryption>,
}

impl Upload {
    pub fn storage_class(&self) -> &str {
        self.storage_class.as_deref().unwrap_or(STANDARD)
    }
}

impl Record for Upload {
    const KIND: &'static str = "s3.upload";
    fn key(&self) -> String {
        upload_key(&self.bucket, &self.key, &self.id)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub upload: String,
    pub number: i32,
    pub content: String,
    pub size: u64,
    pub etag: String,
    pub sum: Option<Sum>,
    /// By S3's own algorithm, where the client took another and named none for the upload.
    #[serde(default)]
    pub default_sum: Option<String>,
    pub modified_ms: i64,
}

impl Record for Part {
    const KIND: &'static str = "s3.part";
    fn key(&self) -> String {
        part_key(&self.upload, self.number)
    }
}

/// A content that nothing needs: written in the transaction that ended the need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Garbage {
    pub content: String,
}

impl Record for Garbage {
    const KIND: &'static str = "s3.garbage";
    fn key(&self) -> String {
        format!("{ROOT}/{}", self.content)
    }
}

pub fn bucket_key(bucket: &str) -> String {
    format!("{ROOT}/{bucket}")
}

pub fn object_key(bucket: &str, key: &str) -> String {
    format!("{ROOT}/{bucket}/{key}")
}

/// The keys of versions and uploads of objects whose key begins with `prefix`.
pub fn ordered_key(bucket: &str, prefix: &str) -> String {
    format!("{ROOT}/{bucket}/{}", ordered(prefix))
}

pub fn versions_of_key(bucket: &str, key: &str) -> String {
    format!("{}{END_OF_KEY}", ordered_key(bucket, key))
}

pub fn upload_key(bucket: &str, key: &str, upload: &str) -> String {
    format!("{}{upload}", versions_of_key(bucket, key))
}

pub fn parts_of_upload(upload: &str) -> String {
    format!("{ROOT}/{upload}/")
}

pub fn part_key(upload: &str, number: i32) -> String {
    format!("{}{number:05}", parts_of_upload(upload))
}

/// The newest first.
pub fn inverted(sequence: i64) -> String {
    format!("{:0SEQUENCE_DIGITS$x}", i64::MAX - sequence)
}

/// An id that leads to its record's key, and cannot be guessed from another.
pub fn new_version_id(sequence: i64) -> String {
    format!("{}{}", inverted(sequence), cloud::random_hex(16))
}

/// The key of a version with this id. Whether it is that version is for the record to say.
pub fn version_key(bucket: &str, key: &str, version_id: &str) -> Option<String> {
    let place = version_id.get(..SEQUENCE_DIGITS)?;
    Some(format!("{}{place}", versions_of_key(bucket, key)))
}

/// The key in an order-preserving form without [`END_OF_KEY`].
fn ordered(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for it in key.chars() {
        match it {
            '\u{1}' => out.push_str("\u{2}\u{2}"),
            '\u{2}' => out.push_str("\u{2}\u{3}"),
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(key: &str, sequence: i64) -> String {
        Version {
            bucket: "b".into(),
            key: key.into(),
            sequence,
            version: Some(new_version_id(sequence)),
            modified_ms: 0,
            object: None,
        }
        .key()
    }

    #[test]
    fn versions_are_ordered_by_key_and_then_from_new_to_old() {
        let keys = [
            "a", "a\u{1}", "a\u{1}b", "a\u{2}", "a\u{3}", "a/", "a/b", "ab", "b",
        ];
        let mut expected = Vec::new();
        for key in keys {
            expected.push(version(key, 2));
            expected.push(version(key, 1));
        }
        let mut sorted = expected.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
    }

    #[test]
    fn a_version_id_leads_to_its_key() {
        let record = Version {
            bucket: "b".into(),
            key: "k".into(),
            sequence: 7,
            version: Some(new_version_id(7)),
            modified_ms: 0,
            object: None,
        };
        let found = version_key("b", "k", record.version_id());
        assert_eq!(found, Some(record.key()));
        assert_eq!(version_key("b", "k", "short"), None);
    }
}
