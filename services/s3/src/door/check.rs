//! What every request has to pass before its operation is looked at: it may be done by who asks, and
//! asks for nothing that is not built.

use std::sync::{Arc, Mutex, PoisonError};

use cloud::{Caller, Cloud, Error, Origin};
use http::HeaderMap;
use s3s::S3Result;
use s3s::access::{S3Access, S3AccessContext};
use s3s::path::S3Path;
use serde_json::json;

use super::convert;
use super::head::{Head, SignedIn};
use crate::refuse::{encryption, not_built, storage_class};
use crate::{access, bucket};

pub struct Access {
    pub cloud: Arc<Cloud>,
    pub origin: Arc<Origin>,
    /// Who signed, once that is known.
    pub whose: Arc<Mutex<Caller>>,
    pub head: Arc<Head>,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let checked = (self.check_read_alike(cx))
            .and_then(|()| refuse_unbuilt(cx.headers()))
            .and_then(|()| check_owner(cx.headers(), &self.cloud.account))
            .and_then(|()| match cx.credentials() {
                Some(_) => self.check_caller(cx),
                None => self.check_anybody(cx),
            });
        checked.map_err(|error| convert::refusal(&error, &cloud::random_hex(16).to_uppercase()))
    }
}

impl Access {
    /// What was looked at in the head is what was verified: nothing that only one of the two readers
    /// took for a signature, or for a form, is gone on with.
    fn check_read_alike(&self, cx: &S3AccessContext<'_>) -> Result<(), Error> {
        let is_form = cx.s3_op().name() == "PostObject";
        let is_alike = match self.head.signed_in {
            SignedIn::Nowhere => cx.credentials().is_none() && !is_form,
            SignedIn::Form => is_form,
            SignedIn::Header | SignedIn::Query | SignedIn::OldQuery => {
                cx.credentials().is_some() && !is_form
            }
        };
        match is_alike {
            true => Ok(()),
            false => Err(access::denied()),
        }
    }

    /// Users and roles may do what their policies allow.
    fn check_caller(&self, cx: &S3AccessContext<'_>) -> Result<(), Error> {
        // Its keys are in its body, and each is asked about when they are known.
        if cx.s3_op().name() == "DeleteObjects" {
            return Ok(());
        }
        let caller = self.whose.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = caller.clone();
        let mut input = match cx.s3_path() {
            S3Path::Root => json!({}),
            S3Path::Bucket { bucket } => json!({ "Bucket": bucket }),
            S3Path::Object { bucket, key } => json!({ "Bucket": bucket, "Key": key }),
        };
        if let Some(source) = cx.headers().get("x-amz-copy-source") {
            input["CopySource"] = String::from_utf8_lossy(source.as_bytes()).into();
        }
        if let Some(version) = version(cx) {
            input["VersionId"] = version.into();
        }
        let asked = (self.cloud).context(bucket::FIRST_REGION, caller, self.origin.clone());
        asked.authorize_unlisted("s3", cx.s3_op().name(), &input)
    }

    fn check_anybody(&self, cx: &S3AccessContext<'_>) -> Result<(), Error> {
        let (bucket, key) = match cx.s3_path() {
            S3Path::Root => return Err(access::denied()),
            S3Path::Bucket { bucket } => (bucket, None),
            S3Path::Object { bucket, key } => (bucket, Some(&**key)),
        };
        let action = match cx.s3_op().name() {
            "GetObject" | "HeadObject" if version(cx).is_some() => "s3:GetObjectVersion",
            "GetObject" | "HeadObject" => "s3:GetObject",
            "PutObject" => "s3:PutObject",
            "DeleteObject" if version(cx).is_none() => "s3:DeleteObject",
            "ListObjects" | "ListObjectsV2" | "HeadBucket" => "s3:ListBucket",
            "ListObjectVersions" => "s3:ListBucketVersions",
            // Nobody but the account's own does anything else here.
            _ => return Err(access::denied()),
        };
        let context = self.cloud.daemon_context(bucket::FIRST_REGION);
        context.read(|tx| access::anybody_may(tx, action, bucket, key))
    }
}

/// The version that a request names.
fn version(cx: &S3AccessContext<'_>) -> Option<String> {
    let mut parts = cx.uri().query().unwrap_or_default().split('&');
    let version = parts.find_map(|it| it.strip_prefix("versionId="))?;
    Some(version.to_owned())
}

/// `x-amz-expected-bucket-owner`: every bucket here is this account's.
fn check_owner(headers: &HeaderMap, account: &str) -> Result<(), Error> {
    let owners = [
        "x-amz-expected-bucket-owner",
        "x-amz-source-expected-bucket-owner",
    ];
    let mut named = owners.iter().filter_map(|it| headers.get(*it));
    if named.any(|it| it.as_bytes() != account.as_bytes()) {
        return Err(access::denied());
    }
    Ok(())
}

/// Headers that promise what is not done here.
const UNBUILT: &[&str] = &[
    "x-amz-server-side-encryption-customer-",
    "x-amz-copy-source-server-side-encryption-customer-",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-object-lock-",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-bypass-governance-retention",
    "x-amz-grant-",
    "x-amz-mfa",
    "x-amz-write-offset-bytes",
];

fn refuse_unbuilt(headers: &HeaderMap) -> Result<(), Error> {
    for (name, value) in headers {
        let says_no = value.as_bytes().eq_ignore_ascii_case(b"false");
        if !says_no && UNBUILT.iter().any(|it| name.as_str().starts_with(it)) {
            return Err(not_built(&format!("the header {name}")));
        }
    }
    let value = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    storage_class(value("x-amz-storage-class"))?;
    encryption(value("x-amz-server-side-encryption"))
}
