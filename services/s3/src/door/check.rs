//! What every request has to pass before its input is read: it asks for nothing that is not built.
//! Permission is decided later, on the input.

use cloud::Error;
use http::HeaderMap;
use s3s::S3Result;
use s3s::access::{S3Access, S3AccessContext};

use super::convert;
use super::refusals::Refused;
use crate::errors::InvalidBucketOwnerAWSAccountID;
use crate::refuse::{not_built, storage_class};
use crate::{access, encryption};

pub struct Access {
    pub account: String,
    /// Nobody signed it.
    pub is_anybody: bool,
    pub refused: Refused,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let checked = refuse_unbuilt(cx.headers())
            .and_then(|()| check_owner(cx.headers(), &self.account))
            .and_then(|()| match self.is_anybody {
                false => Ok(()),
                true => check_anybody(cx.s3_op().name()),
            });
        checked.map_err(|error| {
            self.refused.keep(&error);
            convert::refusal(&error)
        })
    }
}

/// What somebody who did not sign may ask for at all, before a body is read. Whether it is allowed is
/// decided on what was read ([`crate::authorize`]).
fn check_anybody(operation: &str) -> Result<(), Error> {
    match operation {
        "GetObject" | "HeadObject" | "PutObject" | "DeleteObject" | "ListObjects"
        | "ListObjectsV2" | "HeadBucket" | "ListObjectVersions" | "GetObjectAcl"
        | "GetBucketAcl" => Ok(()),
        _ => Err(access::denied()),
    }
}

/// `x-amz-expected-bucket-owner`: every bucket here is this account's.
fn check_owner(headers: &HeaderMap, account: &str) -> Result<(), Error> {
    let owners = [
        "x-amz-expected-bucket-owner",
        "x-amz-source-expected-bucket-owner",
    ];
    for named in owners.iter().filter_map(|it| headers.get(*it)) {
        let is_account = named.len() == 12 && named.as_bytes().iter().all(u8::is_ascii_digit);
        if !is_account {
            let named = String::from_utf8_lossy(named.as_bytes());
            return Err(InvalidBucketOwnerAWSAccountID.because(format!(
                "The value of the expected bucket owner parameter must be an AWS Account ID... [{named}]"
            )));
        }
        if named.as_bytes() != account.as_bytes() {
            return Err(access::denied());
        }
    }
    Ok(())
}

/// Headers that promise what is not done here.
const UNBUILT: &[&str] = &[
    "x-amz-server-side-encryption-customer-",
    "x-amz-copy-source-server-side-encryption-customer-",
    "x-amz-object-lock-",
    "x-amz-bucket-namespace",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-bypass-governance-retention",
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
    encryption::check_algorithm(value("x-amz-server-side-encryption"))
}
