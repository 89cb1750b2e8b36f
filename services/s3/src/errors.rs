//! The errors of S3 that its model does not name (API reference, "Error Responses").
#![allow(non_upper_case_globals)]

use cloud::{Error, ErrorCode};

pub const AccessControlListNotSupported: ErrorCode =
    ErrorCode::sender("AccessControlListNotSupported", 400);
pub const AccessForbidden: ErrorCode = ErrorCode::sender("AccessForbidden", 403);
pub const AuthorizationHeaderMalformed: ErrorCode =
    ErrorCode::sender("AuthorizationHeaderMalformed", 400);
pub const AuthorizationQueryParametersError: ErrorCode =
    ErrorCode::sender("AuthorizationQueryParametersError", 400);
pub const BadDigest: ErrorCode = ErrorCode::sender("BadDigest", 400);
pub const BadRequest: ErrorCode = ErrorCode::sender("BadRequest", 400);
pub const BucketAlreadyOwnedByYou: ErrorCode = ErrorCode::sender("BucketAlreadyOwnedByYou", 409);
pub const BucketNotEmpty: ErrorCode = ErrorCode::sender("BucketNotEmpty", 409);
pub const ConditionalRequestConflict: ErrorCode =
    ErrorCode::sender("ConditionalRequestConflict", 409);
pub const EntityTooLarge: ErrorCode = ErrorCode::sender("EntityTooLarge", 400);
pub const EntityTooSmall: ErrorCode = ErrorCode::sender("EntityTooSmall", 400);
pub const IllegalLocationConstraint: ErrorCode =
    ErrorCode::sender("IllegalLocationConstraintException", 400);
pub const IllegalVersioningConfiguration: ErrorCode =
    ErrorCode::sender("IllegalVersioningConfigurationException", 400);
pub const IncompleteBody: ErrorCode = ErrorCode::sender("IncompleteBody", 400);
pub const InvalidArgument: ErrorCode = ErrorCode::sender("InvalidArgument", 400);
pub const InvalidBucketAclWithObjectOwnership: ErrorCode =
    ErrorCode::sender("InvalidBucketAclWithObjectOwnership", 400);
pub const InvalidBucketAclWithBlockPublicAccess: ErrorCode =
    ErrorCode::sender("InvalidBucketAclWithBlockPublicAccessError", 400);
pub const InvalidBucketOwnerAWSAccountID: ErrorCode =
    ErrorCode::sender("InvalidBucketOwnerAWSAccountID", 400);
pub const InvalidBucketName: ErrorCode = ErrorCode::sender("InvalidBucketName", 400);
pub const InvalidDigest: ErrorCode = ErrorCode::sender("InvalidDigest", 400);
pub const InvalidLocationConstraint: ErrorCode =
    ErrorCode::sender("InvalidLocationConstraint", 400);
pub const InvalidPart: ErrorCode = ErrorCode::sender("InvalidPart", 400);
pub const InvalidPartOrder: ErrorCode = ErrorCode::sender("InvalidPartOrder", 400);
pub const InvalidPolicyDocument: ErrorCode = ErrorCode::sender("InvalidPolicyDocument", 400);
pub const InvalidRange: ErrorCode = ErrorCode::sender("InvalidRange", 416);
pub const InvalidRequest: ErrorCode = ErrorCode::sender("InvalidRequest", 400);
pub const InvalidStorageClass: ErrorCode = ErrorCode::sender("InvalidStorageClass", 400);
pub const InvalidTag: ErrorCode = ErrorCode::sender("InvalidTag", 400);
pub const MalformedACLError: ErrorCode = ErrorCode::sender("MalformedACLError", 400);
pub const MalformedPOSTRequest: ErrorCode = ErrorCode::sender("MalformedPOSTRequest", 400);
pub const MalformedPolicy: ErrorCode = ErrorCode::sender("MalformedPolicy", 400);
pub const MalformedXML: ErrorCode = ErrorCode::sender("MalformedXML", 400);
pub const MaxMessageLengthExceeded: ErrorCode = ErrorCode::sender("MaxMessageLengthExceeded", 400);
pub const MaxPostPreDataLengthExceeded: ErrorCode =
    ErrorCode::sender("MaxPostPreDataLengthExceeded", 400);
pub const MissingSecurityHeader: ErrorCode = ErrorCode::sender("MissingSecurityHeader", 400);
pub const MissingContentLength: ErrorCode = ErrorCode::sender("MissingContentLength", 411);
pub const MethodNotAllowed: ErrorCode = ErrorCode::sender("MethodNotAllowed", 405);
pub const NoSuchBucket: ErrorCode = ErrorCode::sender("NoSuchBucket", 404);
pub const NoSuchBucketPolicy: ErrorCode = ErrorCode::sender("NoSuchBucketPolicy", 404);
pub const NoSuchCORSConfiguration: ErrorCode = ErrorCode::sender("NoSuchCORSConfiguration", 404);
pub const NoSuchKey: ErrorCode = ErrorCode::sender("NoSuchKey", 404);
pub const NoSuchLifecycleConfiguration: ErrorCode =
    ErrorCode::sender("NoSuchLifecycleConfiguration", 404);
pub const NoSuchPublicAccessBlockConfiguration: ErrorCode =
    ErrorCode::sender("NoSuchPublicAccessBlockConfiguration", 404);
pub const NoSuchTagSet: ErrorCode = ErrorCode::sender("NoSuchTagSet", 404);
pub const NoSuchUpload: ErrorCode = ErrorCode::sender("NoSuchUpload", 404);
pub const NoSuchVersion: ErrorCode = ErrorCode::sender("NoSuchVersion", 404);
pub const NoSuchWebsiteConfiguration: ErrorCode =
    ErrorCode::sender("NoSuchWebsiteConfiguration", 404);
pub const NotModified: ErrorCode = ErrorCode::sender("NotModified", 304);
pub const OwnershipControlsNotFoundError: ErrorCode =
    ErrorCode::sender("OwnershipControlsNotFoundError", 404);
pub const ObjectLockConfigurationNotFoundError: ErrorCode =
    ErrorCode::sender("ObjectLockConfigurationNotFoundError", 404);
pub const ReplicationConfigurationNotFoundError: ErrorCode =
    ErrorCode::sender("ReplicationConfigurationNotFoundError", 404);
pub const PreconditionFailed: ErrorCode = ErrorCode::sender("PreconditionFailed", 412);
pub const UnexpectedContent: ErrorCode = ErrorCode::sender("UnexpectedContent", 400);
pub const XAmzContentSHA256Mismatch: ErrorCode =
    ErrorCode::sender("XAmzContentSHA256Mismatch", 400);

/// What an error's document says beside its code and message: one element for each detail. A detail
/// whose name is all in small letters is a header of the answer instead.
pub trait Detailed {
    #[must_use]
    fn about(self, detail: &'static str, value: impl Into<String>) -> Self;
}

impl Detailed for Error {
    fn about(self, detail: &'static str, value: impl Into<String>) -> Self {
        self.with(detail, wire::Node::Str(value.into()))
    }
}

pub fn no_such_bucket(bucket: &str) -> Error {
    let error = NoSuchBucket.because("The specified bucket does not exist");
    error.about("BucketName", bucket)
}

pub fn no_such_key(key: &str) -> Error {
    let error = NoSuchKey.because("The specified key does not exist.");
    error.about("Key", key)
}

pub fn no_such_version(key: &str, version: &str) -> Error {
    let error = NoSuchVersion.because("The specified version does not exist.");
    error.about("Key", key).about("VersionId", version)
}

pub fn no_such_upload(upload: &str) -> Error {
    let error = NoSuchUpload.because("The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.");
    error.about("UploadId", upload)
}

/// `condition` is the header's name.
pub fn precondition_failed(condition: &'static str) -> Error {
    let error =
        PreconditionFailed.because("At least one of the pre-conditions you specified did not hold");
    error.about("Condition", condition)
}

/// What a condition is about was changed between the beginning of a write and its end.
pub fn conflict(condition: &'static str, key: &str) -> Error {
    let error = ConditionalRequestConflict.because("The conditional request cannot succeed due to a conflicting operation against this resource.");
    error.about("Condition", condition).about("Key", key)
}

/// An argument whose value cannot be.
pub fn bad_argument(name: &'static str, value: impl Into<String>, why: &str) -> Error {
    let error = InvalidArgument.because(why);
    error
        .about("ArgumentName", name)
        .about("ArgumentValue", value)
}

pub fn no_policy(bucket: &str) -> Error {
    let error = NoSuchBucketPolicy.because("The bucket policy does not exist");
    error.about("BucketName", bucket)
}

/// Whom a policy names who is not there.
pub fn unknown_principal(name: &str) -> Error {
    let error = MalformedPolicy.because("Invalid principal in policy");
    error.about("Detail", format!("\"AWS\" : \"{name}\""))
}

pub fn no_tags(bucket: &str) -> Error {
    let error = NoSuchTagSet.because("The TagSet does not exist");
    error.about("BucketName", bucket)
}

pub fn no_website(bucket: &str) -> Error {
    let error = NoSuchWebsiteConfiguration
        .because("The specified bucket does not have a website configuration");
    error.about("BucketName", bucket)
}

/// A document is longer than any that S3 takes.
pub fn too_long() -> Error {
    MaxMessageLengthExceeded.because("Your request was too big.")
}

pub fn malformed() -> Error {
    MalformedXML.because(
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}
