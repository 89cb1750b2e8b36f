//! What each operation needs permission for: pure functions of its typed input, which is what the
//! operation reads, too. The door and the table for other services share them.
//!
//! S3's actions are not its operations. Which action an operation needs, and when it needs more than
//! one, is said by the User Guide ("Required permissions for Amazon S3 API operations") and by the
//! service authorization reference.

use std::collections::BTreeMap;

use s3s::dto;

use crate::names::{self, Tagged, tags_of_header};

/// One version of an object, or whatever is current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    pub bucket: String,
    pub key: String,
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// All buckets: `*`.
    Account,
    Bucket(String),
    Object(ObjectRef),
}

impl On {
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::Account => None,
            Self::Bucket(bucket) => Some(bucket),
            Self::Object(object) => Some(&object.bucket),
        }
    }

    /// None: `*`.
    pub fn arn(&self) -> Option<String> {
        match self {
            Self::Account => None,
            Self::Bucket(bucket) => Some(format!("arn:aws:s3:::{bucket}")),
            Self::Object(object) => Some(format!("arn:aws:s3:::{}/{}", object.bucket, object.key)),
        }
    }
}

/// An action that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// `s3:GetObject`
    pub action: &'static str,
    pub on: On,
    /// The condition keys that this request has, of [`KEYS`]. The others it has not.
    pub keys: Vec<(&'static str, String)>,
    /// `s3:RequestObjectTag/…`; None when the tags cannot be read, which the operation refuses later.
    pub request_tags: Option<BTreeMap<String, String>>,
    /// It is needed only where this object has tags, because they are copied.
    pub if_tagged: Option<ObjectRef>,
}

/// The condition keys that an operation's input decides about.
pub const KEYS: &[&str] = &[
    "s3:AccessGrantsInstanceArn",
    "s3:AccessPointNetworkOrigin",
    "s3:DataAccessPointAccount",
    "s3:DataAccessPointArn",
    "s3:InventoryAccessibleOptionalFields",
    "s3:LocationConstraint",
    "s3:ObjectCreationOperation",
    "s3:VersionId",
    "s3:delimiter",
    "s3:if-match",
    "s3:if-none-match",
    "s3:max-keys",
    "s3:object-lock-legal-hold",
    "s3:object-lock-mode",
    "s3:object-lock-remaining-retention-days",
    "s3:object-lock-retain-until-date",
    "s3:prefix",
    "s3:x-amz-acl",
    "s3:x-amz-bucket-namespace",
    "s3:x-amz-copy-source",
    "s3:x-amz-grant-full-control",
    "s3:x-amz-grant-read",
    "s3:x-amz-grant-read-acp",
    "s3:x-amz-grant-write",
    "s3:x-amz-grant-write-acp",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-object-ownership",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm",
    "s3:x-amz-storage-class",
    "s3:x-amz-website-redirect-location",
];

/// Those that every request to S3 has beside, and its families: [`crate::authorize`] supplies them.
pub const COMMON_KEYS: &[&str] = &[
    "s3:AccessPointTag/${TagKey}",
    "s3:BucketTag/${TagKey}",
    "s3:ExistingObjectTag/<key>",
    "s3:RequestObjectTag/<key>",
    "s3:RequestObjectTagKeys",
    "s3:ResourceAccount",
    "s3:TlsVersion",
    "s3:authType",
    "s3:signatureAge",
    "s3:signatureversion",
    "s3:x-amz-content-sha256",
];

/// An action, and the reference's name of the type of resources that it is on.
pub type Listed = (&'static str, &'static str);

/// What an operation needs permission for. An operation of the door, or of the table, whose input has
/// not this does not compile.
pub trait Permitted {
    /// All that it may ask for, whatever the input.
    const ACTIONS: &'static [Listed];

    fn asks(&self) -> Vec<Ask>;

    /// The status of its answer, where the library has another than S3.
    const STATUS: Option<http::StatusCode> = None;
}

const BUCKET: &str = "bucket";
const OBJECT: &str = "object";

impl Ask {
    pub fn new(action: &'static str, on: On) -> Self {
        Self {
            action,
            on,
            keys: Vec::new(),
            request_tags: Some(BTreeMap::new()),
            if_tagged: None,
        }
    }

    pub fn of_bucket(action: &'static str, bucket: &str) -> Self {
        Self::new(action, On::Bucket(bucket.to_owned()))
    }

    fn of_object(action: &'static str, bucket: &str, key: &str) -> Self {
        Self::new(
            action,
            On::Object(ObjectRef {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                version: None,
            }),
        )
    }

    /// Of one version of an object, or of the current one: each is an action of its own.
    fn of_version(
        (current, versioned): (&'static str, &'static str),
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Self {
        let action = if version.is_some() {
            versioned
        } else {
            current
        };
        let object = ObjectRef {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: version.map(str::to_owned),
        };
        Self::new(action, On::Object(object)).key("s3:VersionId", version)
    }

    fn key(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        debug_assert!(KEYS.contains(&name), "{name}");
        self.keys.extend(value.map(|it| (name, it.to_string())));
        self
    }

    fn grants(mut self, grants: &Grants) -> Self {
        self.keys.extend(grants.iter().cloned());
        self
    }

    fn tags(mut self, tags: Option<BTreeMap<String, String>>) -> Self {
        self.request_tags = tags;
        self
    }

    fn if_tagged(mut self, source: &ObjectRef) -> Self {
        self.if_tagged = Some(source.clone());
        self
    }
}

/// Headers that grant something, by their condition keys.
type Grants = Vec<(&'static str, String)>;

macro_rules! grants {
    ($input:ident $(, $write:ident)?) => {{
        let all: Grants = [
            ("s3:x-amz-grant-full-control", $input.grant_full_control.clone()),
            ("s3:x-amz-grant-read", $input.grant_read.clone()),
            ("s3:x-amz-grant-read-acp", $input.grant_read_acp.clone()),
            $(("s3:x-amz-grant-write", $input.$write.clone()),)?
            ("s3:x-amz-grant-write-acp", $input.grant_write_acp.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        all
    }};
}

const GET: (&str, &str) = ("s3:GetObject", "s3:GetObjectVersion");
const GET_TAGS: (&str, &str) = ("s3:GetObjectTagging", "s3:GetObjectVersionTagging");
const DELETE: (&str, &str) = ("s3:DeleteObject", "s3:DeleteObjectVersion");

/// What deleting one object, or one of its versions, needs: `DeleteObjects` asks it for each key.
pub fn deletes(bucket: &str, key: &str, version: Option<&str>) -> Vec<Ask> {
    vec![Ask::of_version(DELETE, bucket, key, version)]
}

/// What a request that writes an object says of it.
#[derive(Default)]
struct Write<'a> {
    bucket: &'a str,
    key: &'a str,
    acl: Option<&'a str>,
    grants: Grants,
    /// As a query.
    tagging: Option<&'a str>,
    encryption: Option<&'a str>,
    kms_key: Option<&'a str>,
    storage_class: Option<&'a str>,
    redirect: Option<&'a str>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    /// Whether there is an object when it is done: parts of one are none.
    creates: bool,
    copied: Option<&'a ObjectRef>,
    metadata_directive: Option<&'a str>,
}

impl Write<'_> {
    fn ask(&self, action: &'static str) -> Ask {
        let source = self.copied.map(|it| format!("{}/{}", it.bucket, it.key));
        Ask::of_object(action, self.bucket, self.key)
            .key("s3:x-amz-acl", self.acl)
            .grants(&self.grants)
            .key("s3:x-amz-server-side-encryption", self.encryption)
            .key(
                "s3:x-amz-server-side-encryption-aws-kms-key-id",
                self.kms_key,
            )
            .key("s3:x-amz-storage-class", self.storage_class)
            .key("s3:x-amz-website-redirect-location", self.redirect)
            .key("s3:if-match", self.if_match.as_deref())
            .key("s3:if-none-match", self.if_none_match.as_deref())
            .key(
                "s3:ObjectCreationOperation",
                (action == "s3:PutObject").then_some(self.creates),
            )
            .key("s3:x-amz-copy-source", source)
            .key("s3:x-amz-metadata-directive", self.metadata_directive)
            .tags(tags_of_header(self.tagging).ok())
    }

    /// A list of grants and tags are permissions of their own.
    fn asks(&self) -> Vec<Ask> {
        let mut asks = vec![self.ask("s3:PutObject")];
        if self.acl.is_some() || !self.grants.is_empty() {
            asks.push(self.ask("s3:PutObjectAcl"));
        }
        if self.tagging.is_some() {
            asks.push(self.ask("s3:PutObjectTagging"));
        }
        asks
    }
}

/// What a listing asks for.
fn listing(
    action: &'static str,
    bucket: &str,
    prefix: Option<&str>,
    delimiter: Option<&str>,
    max: Option<i32>,
) -> Vec<Ask> {
    vec![
        Ask::of_bucket(action, bucket)
            .key("s3:prefix", prefix)
            .key("s3:delimiter", delimiter)
            .key("s3:max-keys", max),
    ]
}

const MAKING: &[Listed] = &[
    ("s3:CreateBucket", BUCKET),
    ("s3:PutBucketAcl", BUCKET),
    ("s3:PutBucketOwnershipControls", BUCKET),
];

/// Making a bucket: what it is given at once are permissions of their own.
fn creates(
    bucket: &str,
    acl: Option<&str>,
    grants: &Grants,
    location: Option<&str>,
    owns: Option<&str>,
) -> Vec<Ask> {
    let ask = |action| {
        Ask::of_bucket(action, bucket)
            .key("s3:x-amz-acl", acl)
            .grants(grants)
            .key("s3:LocationConstraint", location)
            .key("s3:x-amz-object-ownership", owns)
    };
    let mut asks = vec![ask("s3:CreateBucket")];
    if acl.is_some() || !grants.is_empty() {
        asks.push(ask("s3:PutBucketAcl"));
    }
    if owns.is_some() {
        asks.push(ask("s3:PutBucketOwnershipControls"));
    }
    asks
}

/// The text of an optional member whose type is an enumeration.
macro_rules! text {
    ($member:expr) => {
        $member.as_ref().map(|it| it.as_str())
    };
}

/// Operations that need one action on a bucket.
macro_rules! of_bucket {
    ($($action:literal: $($input:path),+;)*) => {$($(
        impl Permitted for $input {
            const ACTIONS: &'static [Listed] = &[($action, BUCKET)];

            fn asks(&self) -> Vec<Ask> {
                vec![Ask::of_bucket($action, &self.bucket)]
            }
        }
    )+)*};
}

of_bucket! {
    "s3:DeleteBucket": dto::DeleteBucketInput, shapes::s3::DeleteBucketInput;
    "s3:ListBucket": dto::HeadBucketInput, shapes::s3::HeadBucketInput;
    "s3:GetBucketLocation": dto::GetBucketLocationInput, shapes::s3::GetBucketLocationInput;
    "s3:GetBucketVersioning": dto::GetBucketVersioningInput, shapes::s3::GetBucketVersioningInput;
    "s3:PutBucketVersioning": dto::PutBucketVersioningInput, shapes::s3::PutBucketVersioningInput;
    "s3:GetBucketTagging": dto::GetBucketTaggingInput, shapes::s3::GetBucketTaggingInput;
    "s3:PutBucketTagging": shapes::s3::PutBucketTaggingInput,
        dto::DeleteBucketTaggingInput, shapes::s3::DeleteBucketTaggingInput;
    "s3:GetBucketPolicy": dto::GetBucketPolicyInput, shapes::s3::GetBucketPolicyInput;
    "s3:PutBucketPolicy": dto::PutBucketPolicyInput, shapes::s3::PutBucketPolicyInput;
    "s3:DeleteBucketPolicy": dto::DeleteBucketPolicyInput, shapes::s3::DeleteBucketPolicyInput;
    "s3:GetBucketPolicyStatus": dto::GetBucketPolicyStatusInput;
    "s3:GetBucketAcl": dto::GetBucketAclInput;
    "s3:GetBucketPublicAccessBlock": dto::GetPublicAccessBlockInput;
    "s3:PutBucketPublicAccessBlock": dto::PutPublicAccessBlockInput,
        dto::DeletePublicAccessBlockInput;
    "s3:GetBucketOwnershipControls": dto::GetBucketOwnershipControlsInput;
    "s3:PutBucketOwnershipControls": dto::PutBucketOwnershipControlsInput,
        dto::DeleteBucketOwnershipControlsInput;
    "s3:GetEncryptionConfiguration": dto::GetBucketEncryptionInput;
    "s3:PutEncryptionConfiguration": dto::PutBucketEncryptionInput,
        dto::DeleteBucketEncryptionInput;
    "s3:GetBucketWebsite": dto::GetBucketWebsiteInput;
    "s3:PutBucketWebsite": dto::PutBucketWebsiteInput;
    "s3:DeleteBucketWebsite": dto::DeleteBucketWebsiteInput, shapes::s3::DeleteBucketWebsiteInput;
    "s3:GetBucketCORS": dto::GetBucketCorsInput;
    "s3:PutBucketCORS": dto::PutBucketCorsInput, dto::DeleteBucketCorsInput;
    "s3:GetLifecycleConfiguration": dto::GetBucketLifecycleConfigurationInput;
    "s3:PutLifecycleConfiguration": dto::PutBucketLifecycleConfigurationInput,
        dto::DeleteBucketLifecycleInput;
    "s3:GetBucketNotification": dto::GetBucketNotificationConfigurationInput;
    "s3:PutBucketNotification": dto::PutBucketNotificationConfigurationInput;
    "s3:GetBucketLogging": dto::GetBucketLoggingInput;
    "s3:GetBucketRequestPayment": dto::GetBucketRequestPaymentInput;
    "s3:GetAccelerateConfiguration": dto::GetBucketAccelerateConfigurationInput;
    "s3:GetBucketObjectLockConfiguration": dto::GetObjectLockConfigurationInput;
    "s3:GetReplicationConfiguration": dto::GetBucketReplicationInput;
}

/// Operations that need one action on an object, or another on one of its versions.
macro_rules! of_version {
    ($($current:literal, $versioned:literal: $($input:path),+;)*) => {$($(
        impl Permitted for $input {
            const ACTIONS: &'static [Listed] = &[($current, OBJECT), ($versioned, OBJECT)];

            fn asks(&self) -> Vec<Ask> {
                let version = self.version_id.as_deref();
                vec![Ask::of_version(($current, $versioned), &self.bucket, &self.key, version)]
            }
        }
    )+)*};
}

of_version! {
    "s3:GetObject", "s3:GetObjectVersion": dto::GetObjectInput, dto::HeadObjectInput,
        shapes::s3::GetObjectInput, shapes::s3::HeadObjectInput;
    "s3:DeleteObject", "s3:DeleteObjectVersion": dto::DeleteObjectInput,
        shapes::s3::DeleteObjectInput;
    "s3:GetObjectTagging", "s3:GetObjectVersionTagging": dto::GetObjectTaggingInput;
    "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging": dto::DeleteObjectTaggingInput;
    "s3:GetObjectAcl", "s3:GetObjectVersionAcl": dto::GetObjectAclInput;
}

/// Operations on an upload in parts, which is of an object that is not there yet.
macro_rules! of_upload {
    ($($action:literal: $($input:path),+;)*) => {$($(
        impl Permitted for $input {
            const ACTIONS: &'static [Listed] = &[($action, OBJECT)];

            fn asks(&self) -> Vec<Ask> {
                vec![Ask::of_object($action, &self.bucket, &self.key)]
            }
        }
    )+)*};
}

of_upload! {
    "s3:AbortMultipartUpload": dto::AbortMultipartUploadInput;
    "s3:ListMultipartUploadParts": dto::ListPartsInput;
}

impl Permitted for dto::UploadPartInput {
    const ACTIONS: &'static [Listed] = &[("s3:PutObject", OBJECT)];

    fn asks(&self) -> Vec<Ask> {
        let write = Write {
            bucket: &self.bucket,
            key: &self.key,
            ..Write::default()
        };
        write.asks()
    }
}

impl Permitted for dto::CompleteMultipartUploadInput {
    const ACTIONS: &'static [Listed] = &[("s3:PutObject", OBJECT)];

    fn asks(&self) -> Vec<Ask> {
        let write = Write {
            bucket: &self.bucket,
            key: &self.key,
            if_match: condition(self.if_match.as_ref()),
            if_none_match: condition(self.if_none_match.as_ref()),
            creates: true,
            ..Write::default()
        };
        write.asks()
    }
}

macro_rules! of_listing {
    ($($action:literal, $max:ident: $($input:path),+;)*) => {$($(
        impl Permitted for $input {
            const ACTIONS: &'static [Listed] = &[($action, BUCKET)];

            fn asks(&self) -> Vec<Ask> {
                let (prefix, delimiter) = (self.prefix.as_deref(), self.delimiter.as_deref());
                listing($action, &self.bucket, prefix, delimiter, self.$max)
            }
        }
    )+)*};
}

of_listing! {
    "s3:ListBucket", max_keys: dto::ListObjectsInput, dto::ListObjectsV2Input,
        shapes::s3::ListObjectsV2Input;
    "s3:ListBucketVersions", max_keys: dto::ListObjectVersionsInput;
    "s3:ListBucketMultipartUploads", max_uploads: dto::ListMultipartUploadsInput;
}

/// What is sent with an object that is written.
const WRITING: &[Listed] = &[
    ("s3:PutObject", OBJECT),
    ("s3:PutObjectAcl", OBJECT),
    ("s3:PutObjectTagging", OBJECT),
];

/// Operations that write an object, or begin to.
macro_rules! of_write {
    ($($input:path $({ $($member:ident: $value:expr),+ })?;)*) => {$(
        impl Permitted for $input {
            const ACTIONS: &'static [Listed] = WRITING;

            fn asks(&self) -> Vec<Ask> {
                let write = Write {
                    bucket: &self.bucket,
                    key: &self.key,
                    acl: text!(self.acl),
                    grants: grants!(self),
                    tagging: self.tagging.as_deref(),
                    encryption: text!(self.server_side_encryption),
                    kms_key: self.ssekms_key_id.as_deref(),
                    storage_class: text!(self.storage_class),
                    redirect: self.website_redirect_location.as_deref(),
                    $($($member: ($value)(self),)+)?
                    ..Write::default()
                };
                write.asks()
            }
        }
    )*};
}

of_write! {
    dto::PutObjectInput {
        if_match: |it: &dto::PutObjectInput| condition(it.if_match.as_ref()),
        if_none_match: |it: &dto::PutObjectInput| condition(it.if_none_match.as_ref()),
        creates: |_: &dto::PutObjectInput| true
    };
    dto::CreateMultipartUploadInput;
    shapes::s3::PutObjectInput {
        if_match: |it: &shapes::s3::PutObjectInput| it.if_match.clone(),
        if_none_match: |it: &shapes::s3::PutObjectInput| it.if_none_match.clone(),
        creates: |_: &shapes::s3::PutObjectInput| true
    };
}

fn condition(condition: Option<&dto::ETagCondition>) -> Option<String> {
    condition.map(|it| match it {
        dto::ETagCondition::Any => "*".to_owned(),
        dto::ETagCondition::ETag(etag) => etag.value().to_owned(),
    })
}

/// None for sources that are not built, which the operations refuse.
fn source(source: &dto::CopySource) -> Option<ObjectRef> {
    match source {
        dto::CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => Some(ObjectRef {
            bucket: bucket.to_string(),
            key: key.to_string(),
            version: version_id.as_ref().map(ToString::to_string),
        }),
        _ => None,
    }
}

fn reads(actions: (&'static str, &'static str), source: &ObjectRef) -> Ask {
    let version = source.version.as_deref();
    Ask::of_version(actions, &source.bucket, &source.key, version)
}

impl Permitted for dto::CopyObjectInput {
    const ACTIONS: &'static [Listed] = &[
        ("s3:PutObject", OBJECT),
        ("s3:PutObjectAcl", OBJECT),
        ("s3:PutObjectTagging", OBJECT),
        (GET.0, OBJECT),
        (GET.1, OBJECT),
        (GET_TAGS.0, OBJECT),
        (GET_TAGS.1, OBJECT),
    ];

    fn asks(&self) -> Vec<Ask> {
        let copied = source(&self.copy_source);
        let write = Write {
            bucket: &self.bucket,
            key: &self.key,
            acl: text!(self.acl),
            grants: grants!(self),
            tagging: self.tagging.as_deref(),
            encryption: text!(self.server_side_encryption),
            kms_key: self.ssekms_key_id.as_deref(),
            storage_class: text!(self.storage_class),
            redirect: self.website_redirect_location.as_deref(),
            creates: true,
            copied: copied.as_ref(),
            metadata_directive: text!(self.metadata_directive),
            ..Write::default()
        };
        let mut asks = write.asks();
        if let Some(copied) = &copied {
            asks.push(reads(GET, copied));
            if text!(self.tagging_directive) != Some("REPLACE") {
                asks.push(reads(GET_TAGS, copied).if_tagged(copied));
                asks.push(write.ask("s3:PutObjectTagging").if_tagged(copied));
            }
        }
        asks
    }
}

impl Permitted for dto::UploadPartCopyInput {
    const ACTIONS: &'static [Listed] =
        &[("s3:PutObject", OBJECT), (GET.0, OBJECT), (GET.1, OBJECT)];

    fn asks(&self) -> Vec<Ask> {
        let copied = source(&self.copy_source);
        let write = Write {
            bucket: &self.bucket,
            key: &self.key,
            copied: copied.as_ref(),
            ..Write::default()
        };
        let mut asks = write.asks();
        asks.extend(copied.as_ref().map(|it| reads(GET, it)));
        asks
    }
}

impl Permitted for dto::PutBucketTaggingInput {
    const ACTIONS: &'static [Listed] = &[("s3:PutBucketTagging", BUCKET)];
    const STATUS: Option<http::StatusCode> = Some(http::StatusCode::NO_CONTENT);

    fn asks(&self) -> Vec<Ask> {
        vec![Ask::of_bucket("s3:PutBucketTagging", &self.bucket)]
    }
}

impl Permitted for dto::PutObjectTaggingInput {
    const ACTIONS: &'static [Listed] = &[
        ("s3:PutObjectTagging", OBJECT),
        ("s3:PutObjectVersionTagging", OBJECT),
    ];

    fn asks(&self) -> Vec<Ask> {
        let tags = self.tagging.tag_set.iter().cloned();
        let tags = tags.map(|it| (it.key.unwrap_or_default(), it.value.unwrap_or_default()));
        let actions = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging");
        let version = self.version_id.as_deref();
        vec![
            Ask::of_version(actions, &self.bucket, &self.key, version)
                .tags(names::tags(tags, Tagged::Object).ok()),
        ]
    }
}

impl Permitted for dto::PutObjectAclInput {
    const ACTIONS: &'static [Listed] = &[
        ("s3:PutObjectAcl", OBJECT),
        ("s3:PutObjectVersionAcl", OBJECT),
    ];

    fn asks(&self) -> Vec<Ask> {
        let actions = ("s3:PutObjectAcl", "s3:PutObjectVersionAcl");
        let version = self.version_id.as_deref();
        vec![
            Ask::of_version(actions, &self.bucket, &self.key, version)
                .key("s3:x-amz-acl", text!(self.acl))
                .grants(&grants!(self, grant_write)),
        ]
    }
}

impl Permitted for dto::PutBucketAclInput {
    const ACTIONS: &'static [Listed] = &[("s3:PutBucketAcl", BUCKET)];

    fn asks(&self) -> Vec<Ask> {
        vec![
            Ask::of_bucket("s3:PutBucketAcl", &self.bucket)
                .key("s3:x-amz-acl", text!(self.acl))
                .grants(&grants!(self, grant_write)),
        ]
    }
}

impl Permitted for dto::GetObjectAttributesInput {
    const ACTIONS: &'static [Listed] = &[
        (GET.0, OBJECT),
        (GET.1, OBJECT),
        ("s3:GetObjectAttributes", OBJECT),
        ("s3:GetObjectVersionAttributes", OBJECT),
    ];

    fn asks(&self) -> Vec<Ask> {
        let version = self.version_id.as_deref();
        let attributes = ("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes");
        [GET, attributes]
            .map(|actions| Ask::of_version(actions, &self.bucket, &self.key, version))
            .into()
    }
}

/// Each of its keys is asked about by the operation itself, with [`deletes`]: one that may not be
/// deleted does not keep the others.
impl Permitted for dto::DeleteObjectsInput {
    const ACTIONS: &'static [Listed] = &[(DELETE.0, OBJECT), (DELETE.1, OBJECT)];

    fn asks(&self) -> Vec<Ask> {
        Vec::new()
    }
}

macro_rules! of_account {
    ($($input:path),+) => {$(
        impl Permitted for $input {
            const ACTIONS: &'static [Listed] = &[("s3:ListAllMyBuckets", "*")];

            fn asks(&self) -> Vec<Ask> {
                vec![Ask::new("s3:ListAllMyBuckets", On::Account)]
            }
        }
    )+};
}

of_account!(dto::ListBucketsInput, shapes::s3::ListBucketsInput);

impl Permitted for dto::CreateBucketInput {
    const ACTIONS: &'static [Listed] = MAKING;

    fn asks(&self) -> Vec<Ask> {
        let location = self.create_bucket_configuration.as_ref();
        let location = location.and_then(|it| text!(it.location_constraint));
        let owns = text!(self.object_ownership);
        creates(
            &self.bucket,
            text!(self.acl),
            &grants!(self, grant_write),
            location,
            owns,
        )
    }
}

impl Permitted for shapes::s3::CreateBucketInput {
    const ACTIONS: &'static [Listed] = MAKING;

    fn asks(&self) -> Vec<Ask> {
        let location = self.create_bucket_configuration.as_ref();
        let location = location.and_then(|it| text!(it.location_constraint));
        let owns = text!(self.object_ownership);
        creates(
            &self.bucket,
            text!(self.acl),
            &grants!(self, grant_write),
            location,
            owns,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<I: Permitted>(input: &I, expected: &[&str]) {
        let asks = input.asks();
        let is_listed = |ask: &Ask| I::ACTIONS.iter().any(|it| it.0 == ask.action);
        assert!(asks.iter().all(is_listed));
        let found: Vec<String> = asks
            .iter()
            .map(|it| {
                let action = it.action.trim_start_matches("s3:");
                let arn = it.on.arn().unwrap_or_else(|| "*".into());
                let version = match &it.on {
                    On::Object(object) => object.version.as_deref(),
                    _ => None,
                };
                let version = version.map(|it| format!("@{it}")).unwrap_or_default();
                let tagged = if it.if_tagged.is_some() {
                    " if tagged"
                } else {
                    ""
                };
                format!(
                    "{action} {}{version}{tagged}",
                    arn.trim_start_matches("arn:aws:s3:::")
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    fn put() -> dto::PutObjectInput {
        let mut input = dto::PutObjectInput::builder();
        input.set_bucket("b".into());
        input.set_key("k".into());
        input.build().unwrap()
    }

    /// A policy that asks for a condition of every write leaves the parts of an upload alone.
    #[test]
    fn a_part_creates_no_object_and_the_completion_does() {
        let told = |asks: Vec<Ask>, name: &str| {
            let found = asks[0].keys.iter().find(|it| it.0 == name);
            found.map(|it| it.1.clone())
        };
        let creates = "s3:ObjectCreationOperation";
        assert_eq!(told(put().asks(), creates).as_deref(), Some("true"));
        let mut part = dto::UploadPartInput::builder();
        part.set_bucket("b".into());
        part.set_key("k".into());
        part.set_part_number(1);
        part.set_upload_id("u".into());
        let part = part.build().unwrap();
        assert_eq!(told(part.asks(), creates).as_deref(), Some("false"));
        let mut whole = dto::CompleteMultipartUploadInput::builder();
        whole.set_bucket("b".into());
        whole.set_key("k".into());
        whole.set_upload_id("u".into());
        whole.set_if_none_match(Some(dto::IfNoneMatch::Any));
        let whole = whole.build().unwrap();
        assert_eq!(told(whole.asks(), creates).as_deref(), Some("true"));
        assert_eq!(told(whole.asks(), "s3:if-none-match").as_deref(), Some("*"));
    }

    fn copy(version: &str) -> dto::CopyObjectInput {
        let mut input = dto::CopyObjectInput::builder();
        input.set_bucket("b".into());
        input.set_key("k".into());
        input.set_copy_source(dto::CopySource::parse(&format!("other/a%20b{version}")).unwrap());
        input.build().unwrap()
    }

    #[test]
    fn what_is_sent_with_an_object_is_asked_for() {
        check(&put(), &["PutObject b/k"]);
        let mut input = put();
        input.acl = Some(dto::ObjectCannedACL::from_static("public-read"));
        input.tagging = Some("team=a".into());
        check(
            &input,
            &["PutObject b/k", "PutObjectAcl b/k", "PutObjectTagging b/k"],
        );
        let asks = input.asks();
        let creates = ("s3:ObjectCreationOperation", "true".to_owned());
        let acl = ("s3:x-amz-acl", "public-read".to_owned());
        assert_eq!(asks[0].keys, [acl, creates]);
        let tags = asks[0].request_tags.clone().unwrap();
        assert_eq!(tags["team"], "a");
        input.tagging = Some("a=1&a=2".into());
        assert_eq!(input.asks()[0].request_tags, None);
    }

    #[test]
    fn a_copy_reads_its_source_and_its_tags() {
        check(
            &copy(""),
            &[
                "PutObject b/k",
                "GetObject other/a b",
                "GetObjectTagging other/a b if tagged",
                "PutObjectTagging b/k if tagged",
            ],
        );
        check(
            &copy("?versionId=3"),
            &[
                "PutObject b/k",
                "GetObjectVersion other/a b@3",
                "GetObjectVersionTagging other/a b@3 if tagged",
                "PutObjectTagging b/k if tagged",
            ],
        );
        let mut input = copy("");
        input.tagging_directive = Some(dto::TaggingDirective::from_static("REPLACE"));
        check(&input, &["PutObject b/k", "GetObject other/a b"]);
    }

    #[test]
    fn a_version_is_an_action_of_its_own() {
        let mut input = dto::GetObjectAttributesInput::builder();
        input.set_bucket("b".into());
        input.set_key("k".into());
        input.set_object_attributes(vec![]);
        let mut input = input.build().unwrap();
        check(&input, &["GetObject b/k", "GetObjectAttributes b/k"]);
        input.version_id = Some("1".into());
        let versions = ["GetObjectVersion b/k@1", "GetObjectVersionAttributes b/k@1"];
        check(&input, &versions);
    }

    #[test]
    fn a_bucket_is_made_with_what_it_is_given() {
        let input = shapes::s3::CreateBucketInput {
            bucket: "b".into(),
            object_ownership: "ObjectWriter".parse().ok(),
            acl: "private".parse().ok(),
            ..Default::default()
        };
        check(
            &input,
            &[
                "CreateBucket b",
                "PutBucketAcl b",
                "PutBucketOwnershipControls b",
            ],
        );
    }
}
