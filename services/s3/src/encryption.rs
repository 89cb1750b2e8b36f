//! How objects are encrypted: by S3's own keys, which means no more than the store's directory does, or by
//! a key of KMS. Then KMS makes a data key for the object (or for its upload), which the content is
//! encrypted with; what is recorded is that key as KMS encrypted it. Who writes or reads needs
//! permission for the KMS key as well, since KMS is asked in its name.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::{Cx, Error, ErrorCode};
use serde::{Deserialize, Serialize};
use shapes::kms::{DataKeySpec, DecryptInput, GenerateDataKeyInput};

use crate::errors::{InvalidArgument, bad_argument};
use crate::record::Bucket;
use crate::refuse::not_built;
use crate::sealed::DataKey;

pub const OWN_KEYS: &str = "AES256";
pub const KMS: &str = "aws:kms";
/// Twice, by two keys.
const TWICE: &str = "aws:kms:dsse";
/// The key of an account's buckets that name none.
const MANAGED: &str = "alias/aws/s3";
const PRINCIPAL: &str = "s3.amazonaws.com";
const HEADER: &str = "x-amz-server-side-encryption";
const CONTEXT_HEADER: &str = "x-amz-server-side-encryption-context";
/// What every object's encryption context says of it.
const CONTEXT_ARN: &str = "aws:s3:arn";

/// How a bucket's objects are encrypted that say nothing themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketKms {
    /// As it was given: an id or an ARN. None: the key that AWS manages.
    pub key: Option<String>,
}

/// How one object is encrypted by KMS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    pub key_arn: String,
    /// The data key as KMS encrypted it, in base 64.
    pub data_key: String,
    pub context: BTreeMap<String, String>,
    /// What the client gave of the context, as it sent it.
    pub given_context: Option<String>,
    pub bucket_key: bool,
}

/// What a request says of it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub algorithm: Option<String>,
    pub key: Option<String>,
    /// In base 64.
    pub context: Option<String>,
    pub bucket_key: Option<bool>,
}

/// Refuses what is no algorithm, or is not built.
pub fn check_algorithm(algorithm: Option<&str>) -> Result<(), Error> {
    match algorithm {
        None | Some(OWN_KEYS | KMS) => Ok(()),
        Some(TWICE) => Err(not_built(&format!("server-side encryption with {TWICE}"))),
        Some(other) => Err(bad_argument(
            HEADER,
            other,
            "The encryption method specified is not supported",
        )),
    }
}

/// A bucket's default of such an algorithm and key.
pub fn default_of(algorithm: &str, key: Option<String>) -> Result<Option<BucketKms>, Error> {
    check_algorithm(Some(algorithm))?;
    match (algorithm, key) {
        (KMS, key) => Ok(Some(BucketKms {
            key: key.filter(|it| !it.is_empty()),
        })),
        (_, None) => Ok(None),
        (_, Some(_)) => Err(InvalidArgument.because(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
        )),
    }
}

/// What has to be asked of KMS before an object is written.
struct Plan {
    key: String,
    context: BTreeMap<String, String>,
    given_context: Option<String>,
    bucket_key: bool,
}

impl Asked {
    /// None: by S3's own keys.
    fn plan(self, bucket: &Bucket, key: &str) -> Result<Option<Plan>, Error> {
        check_algorithm(self.algorithm.as_deref())?;
        let is_kms = self.algorithm.as_deref() == Some(KMS);
        if !is_kms && (self.key.is_some() || self.context.is_some()) {
            return Err(bad_argument(
                HEADER,
                self.algorithm.unwrap_or_else(|| "null".to_owned()),
                "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
            ));
        }
        let default = bucket.kms.as_ref();
        let kms_key = match (self.algorithm.is_some(), default) {
            (true, _) if !is_kms => return Ok(None),
            // Who names no key gets the one that AWS manages, whatever the bucket's is.
            (true, _) => self.key,
            (false, Some(default)) => default.key.clone(),
            (false, None) => return Ok(None),
        };
        let bucket_key = self.bucket_key.unwrap_or(bucket.bucket_key_enabled);
        let mut context = match &self.context {
            Some(given) => read_context(given)?,
            None => BTreeMap::new(),
        };
        let arn = match bucket_key {
            true => format!("arn:aws:s3:::{}", bucket.name),
            false => format!("arn:aws:s3:::{}/{key}", bucket.name),
        };
        context.insert(CONTEXT_ARN.to_owned(), arn);
        Ok(Some(Plan {
            key: kms_key.unwrap_or_else(|| MANAGED.to_owned()),
            context,
            given_context: self.context,
            bucket_key,
        }))
    }
}

fn read_context(given: &str) -> Result<BTreeMap<String, String>, Error> {
    let json = BASE64.decode(given).ok();
    let read = json.and_then(|it| serde_json::from_slice::<BTreeMap<String, String>>(&it).ok());
    read.ok_or_else(|| {
        bad_argument(
            CONTEXT_HEADER,
            given,
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map",
        )
    })
}

/// What encrypts a new content, and how that is recorded.
pub struct New {
    pub key: DataKey,
    pub encryption: Encryption,
}

/// Has a data key made, in the name of who writes; None: nothing but S3's own keys is asked for.
pub async fn begin(
    cx: &Cx,
    asked: Asked,
    bucket: &Bucket,
    key: &str,
) -> Result<Option<New>, Error> {
    let Some(plan) = asked.plan(bucket, key)? else {
        return Ok(None);
    };
    let input = GenerateDataKeyInput {
        key_id: plan.key,
        key_spec: Some(DataKeySpec::Aes256),
        encryption_context: Some(plan.context.clone()),
        ..Default::default()
    };
    let made = cx
        .in_the_callers_name(PRINCIPAL)
        .in_region(&bucket.region)
        .call(input)
        .await;
    let made = made.map_err(refusal)?;
    let plaintext = made.plaintext.unwrap_or_default().0;
    let blob = made.ciphertext_blob.unwrap_or_default().0;
    Ok(Some(New {
        key: DataKey::new(&plaintext).ok_or_else(no_key)?,
        encryption: Encryption {
            key_arn: made.key_id.unwrap_or_default(),
            data_key: BASE64.encode(blob),
            context: plan.context,
            given_context: plan.given_context,
            bucket_key: plan.bucket_key,
        },
    }))
}

impl Encryption {
    /// The data key, in the name of who reads, or who writes a further part.
    pub async fn data_key(&self, cx: &Cx) -> Result<DataKey, Error> {
        let region = self.key_arn.split(':').nth(3).unwrap_or_default();
        let input = DecryptInput {
            ciphertext_blob: BASE64.decode(&self.data_key).ok().map(wire::Blob),
            key_id: Some(self.key_arn.clone()),
            encryption_context: Some(self.context.clone()),
            ..Default::default()
        };
        let opened = cx
            .in_the_callers_name(PRINCIPAL)
            .in_region(region)
            .call(input)
            .await;
        let plaintext = opened.map_err(refusal)?.plaintext.unwrap_or_default().0;
        DataKey::new(&plaintext).ok_or_else(no_key)
    }
}

fn no_key() -> Error {
    wire::codes::InternalError.because("We encountered an internal error. Please try again.")
}

/// KMS's errors as S3 passes them on.
const PASSED_ON: &[(&str, ErrorCode)] = &[
    (
        "DisabledException",
        ErrorCode::sender("KMS.DisabledException", 400),
    ),
    (
        "IncorrectKeyException",
        ErrorCode::sender("KMS.IncorrectKeyException", 400),
    ),
    (
        "InvalidCiphertextException",
        ErrorCode::sender("KMS.InvalidCiphertextException", 400),
    ),
    (
        "KMSInvalidStateException",
        ErrorCode::sender("KMS.KMSInvalidStateException", 400),
    ),
    (
        "NotFoundException",
        ErrorCode::sender("KMS.NotFoundException", 400),
    ),
];

fn refusal(error: Error) -> Error {
    let passed = PASSED_ON.iter().find(|it| it.0 == error.code);
    match passed {
        Some((_, code)) => code.because(error.message),
        None if error.code.starts_with("AccessDenied") => {
            wire::codes::AccessDenied.because(error.message)
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(kms: Option<BucketKms>, bucket_key_enabled: bool) -> Bucket {
        Bucket {
            name: "shop".into(),
            kms,
            bucket_key_enabled,
            ..Bucket::default()
        }
    }

    fn asked(algorithm: &str, key: Option<&str>) -> Asked {
        Asked {
            algorithm: Some(algorithm.into()),
            key: key.map(str::to_owned),
            ..Asked::default()
        }
    }

    #[test]
    fn the_request_comes_before_the_bucket() {
        let own = BucketKms {
            key: Some("own".into()),
        };
        let key_of = |asked: Asked, bucket: &Bucket| {
            let plan = asked.plan(bucket, "a").unwrap();
            plan.map(|it| (it.key, it.context[CONTEXT_ARN].clone()))
        };
        let plain = bucket(None, false);
        let kms = bucket(Some(own), true);
        let managed = bucket(Some(BucketKms::default()), false);
        let whole = "arn:aws:s3:::shop".to_owned();
        let one = "arn:aws:s3:::shop/a".to_owned();
        assert_eq!(key_of(Asked::default(), &plain), None);
        assert_eq!(
            key_of(Asked::default(), &kms),
            Some(("own".into(), whole.clone()))
        );
        assert_eq!(
            key_of(Asked::default(), &managed),
            Some((MANAGED.into(), one.clone()))
        );
        assert_eq!(key_of(asked(OWN_KEYS, None), &kms), None);
        assert_eq!(
            key_of(asked(KMS, None), &plain),
            Some((MANAGED.into(), one))
        );
        assert_eq!(
            key_of(asked(KMS, None), &kms),
            Some((MANAGED.into(), whole.clone()))
        );
        assert_eq!(
            key_of(asked(KMS, Some("other")), &kms),
            Some(("other".into(), whole))
        );
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let refused = |asked: Asked| {
            let error = asked.plan(&bucket(None, false), "a").err();
            error.map(|it| it.code)
        };
        let key_alone = Asked {
            key: Some("k".into()),
            ..Asked::default()
        };
        assert_eq!(refused(key_alone), Some("InvalidArgument"));
        assert_eq!(refused(asked("AES256", Some("k"))), Some("InvalidArgument"));
        assert_eq!(refused(asked("aws:kms:dsse", None)), Some("NotImplemented"));
        assert_eq!(refused(asked("rot13", None)), Some("InvalidArgument"));
        for context in ["%", "bm8=", "eyJhIjoxfQ=="] {
            let asked = Asked {
                context: Some(context.into()),
                ..asked(KMS, None)
            };
            assert_eq!(refused(asked), Some("InvalidArgument"), "{context}");
        }
        assert!(default_of("AES256", Some("k".into())).is_err());
        assert_eq!(default_of("AES256", None).unwrap(), None);
    }
}
