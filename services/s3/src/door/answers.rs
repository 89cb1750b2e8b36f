//! The operations that the door answers. What S3 has and is not here is refused by name by `s3s`.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use cloud::{Cx, Error};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result};

use crate::authorize::authorize;
use crate::permissions::{Listed, Permitted};

use super::{Api, buckets, convert, listings, marks, objects, rules, settings, uploads, writes};

impl Api {
    /// Every operation comes through here: it is decided whether whoever asks may have it, on the very
    /// input that it gets.
    async fn answer<I, O, F>(
        &self,
        operation: &str,
        mut request: S3Request<I>,
        handler: fn(Cx, S3Request<I>) -> F,
    ) -> S3Result<S3Response<O>>
    where
        I: Permitted,
        F: Future<Output = Result<O, Error>>,
    {
        let mut cx = self.context(request.region.as_ref().map(|it| it.as_str()));
        cx.looks = cloud::only_looks(operation);
        let facts = self.facts(&request.headers);
        if request.trailing_headers.is_none() {
            request.trailing_headers.clone_from(&self.trailers);
        }
        let more = AnswerHead::default();
        request.extensions.insert(more.clone());
        let asks = request.input.asks();
        debug_assert!(
            asks.iter()
                .all(|ask| I::ACTIONS.iter().any(|it| it.0 == ask.action))
        );
        let permitted = authorize(&cx, &facts, &asks);
        // An operation that asks for each of its parts needs them, too.
        request.extensions.insert(facts);
        let answered = match permitted {
            Ok(seen) => {
                request.extensions.insert(seen);
                handler(cx, request).await
            }
            Err(error) => Err(error),
        };
        match answered {
            Ok(output) => {
                let mut response = S3Response::new(output);
                response.headers = more.take();
                // The library has no place for a status of most operations.
                if let Some(status) = I::STATUS {
                    response.extensions.insert(status);
                }
                Ok(response)
            }
            Err(error) => {
                self.refused.keep(&error);
                Err(convert::refusal(&error))
            }
        }
    }
}

/// Headers of an answer that the library has no members for.
#[derive(Debug, Clone, Default)]
pub struct AnswerHead(Arc<Mutex<HeaderMap>>);

impl AnswerHead {
    pub fn of<T>(request: &S3Request<T>) -> Self {
        request.extensions.get().cloned().unwrap_or_default()
    }

    pub fn say(&self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            let mut headers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            headers.insert(HeaderName::from_static(name), value);
        }
    }

    fn take(&self) -> HeaderMap {
        let mut headers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *headers)
    }
}

macro_rules! answers {
    ($($method:ident: $name:ident($input:ident) -> $output:ident = $handler:path;)*) => {
        /// By name, for whoever counts what is supported.
        pub const OPERATIONS: &[&str] = &[$(stringify!($name)),*];

        /// What each operation may need permission for.
        pub const PERMISSIONS: &[(&str, &[Listed])] =
            &[$((stringify!($name), <$input as Permitted>::ACTIONS)),*];

        #[async_trait::async_trait]
        impl S3 for Api {
            $(
                async fn $method(
                    &self,
                    request: S3Request<$input>,
                ) -> S3Result<S3Response<$output>> {
                    self.answer(stringify!($name), request, $handler).await
                }
            )*
        }
    };
}

answers! {
    create_bucket: CreateBucket(CreateBucketInput) -> CreateBucketOutput = buckets::create;
    delete_bucket: DeleteBucket(DeleteBucketInput) -> DeleteBucketOutput = buckets::delete;
    head_bucket: HeadBucket(HeadBucketInput) -> HeadBucketOutput = buckets::head;
    list_buckets: ListBuckets(ListBucketsInput) -> ListBucketsOutput = buckets::list;
    get_bucket_location: GetBucketLocation(GetBucketLocationInput) -> GetBucketLocationOutput = buckets::location;

    put_object: PutObject(PutObjectInput) -> PutObjectOutput = writes::put;
    get_object: GetObject(GetObjectInput) -> GetObjectOutput = objects::get;
    head_object: HeadObject(HeadObjectInput) -> HeadObjectOutput = objects::head;
    delete_object: DeleteObject(DeleteObjectInput) -> DeleteObjectOutput = objects::delete;
    delete_objects: DeleteObjects(DeleteObjectsInput) -> DeleteObjectsOutput = objects::delete_many;
    copy_object: CopyObject(CopyObjectInput) -> CopyObjectOutput = writes::copy;
    get_object_attributes: GetObjectAttributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = objects::attributes;
    get_object_tagging: GetObjectTagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = marks::get_tags;
    put_object_tagging: PutObjectTagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = marks::put_tags;
    delete_object_tagging: DeleteObjectTagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = marks::delete_tags;
    get_object_acl: GetObjectAcl(GetObjectAclInput) -> GetObjectAclOutput = marks::get_acl;
    put_object_acl: PutObjectAcl(PutObjectAclInput) -> PutObjectAclOutput = marks::put_acl;

    list_objects: ListObjects(ListObjectsInput) -> ListObjectsOutput = listings::objects;
    list_objects_v2: ListObjectsV2(ListObjectsV2Input) -> ListObjectsV2Output = listings::objects_v2;
    list_object_versions: ListObjectVersions(ListObjectVersionsInput) -> ListObjectVersionsOutput = listings::versions;

    create_multipart_upload: CreateMultipartUpload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = uploads::create;
    upload_part: UploadPart(UploadPartInput) -> UploadPartOutput = uploads::part;
    upload_part_copy: UploadPartCopy(UploadPartCopyInput) -> UploadPartCopyOutput = uploads::part_copy;
    complete_multipart_upload: CompleteMultipartUpload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = uploads::complete;
    abort_multipart_upload: AbortMultipartUpload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = uploads::abort;
    list_parts: ListParts(ListPartsInput) -> ListPartsOutput = uploads::parts;
    list_multipart_uploads: ListMultipartUploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = listings::uploads;

    get_bucket_versioning: GetBucketVersioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = settings::get_versioning;
    put_bucket_versioning: PutBucketVersioning(PutBucketVersioningInput) -> PutBucketVersioningOutput = settings::put_versioning;
    get_bucket_tagging: GetBucketTagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = settings::get_tags;
    put_bucket_tagging: PutBucketTagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = settings::put_tags;
    delete_bucket_tagging: DeleteBucketTagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput = settings::delete_tags;
    get_bucket_policy: GetBucketPolicy(GetBucketPolicyInput) -> GetBucketPolicyOutput = settings::get_policy;
    put_bucket_policy: PutBucketPolicy(PutBucketPolicyInput) -> PutBucketPolicyOutput = settings::put_policy;
    delete_bucket_policy: DeleteBucketPolicy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput = settings::delete_policy;
    get_bucket_policy_status: GetBucketPolicyStatus(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput = settings::policy_status;
    get_bucket_acl: GetBucketAcl(GetBucketAclInput) -> GetBucketAclOutput = settings::get_acl;
    put_bucket_acl: PutBucketAcl(PutBucketAclInput) -> PutBucketAclOutput = settings::put_acl;
    get_public_access_block: GetPublicAccessBlock(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = settings::get_public_access;
    put_public_access_block: PutPublicAccessBlock(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = settings::put_public_access;
    delete_public_access_block: DeletePublicAccessBlock(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput = settings::delete_public_access;
    get_bucket_ownership_controls: GetBucketOwnershipControls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput = settings::get_ownership;
    put_bucket_ownership_controls: PutBucketOwnershipControls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput = settings::put_ownership;
    delete_bucket_ownership_controls: DeleteBucketOwnershipControls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput = settings::delete_ownership;
    get_bucket_encryption: GetBucketEncryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = settings::get_encryption;
    put_bucket_encryption: PutBucketEncryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput = settings::put_encryption;
    delete_bucket_encryption: DeleteBucketEncryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput = settings::delete_encryption;
    get_bucket_website: GetBucketWebsite(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = rules::get_website;
    put_bucket_website: PutBucketWebsite(PutBucketWebsiteInput) -> PutBucketWebsiteOutput = rules::put_website;
    delete_bucket_website: DeleteBucketWebsite(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput = rules::delete_website;
    get_bucket_cors: GetBucketCors(GetBucketCorsInput) -> GetBucketCorsOutput = rules::get_cors;
    put_bucket_cors: PutBucketCors(PutBucketCorsInput) -> PutBucketCorsOutput = rules::put_cors;
    delete_bucket_cors: DeleteBucketCors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput = rules::delete_cors;
    get_bucket_lifecycle_configuration: GetBucketLifecycleConfiguration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput = rules::get_lifecycle;
    put_bucket_lifecycle_configuration: PutBucketLifecycleConfiguration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput = rules::put_lifecycle;
    delete_bucket_lifecycle: DeleteBucketLifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput = rules::delete_lifecycle;
    get_bucket_notification_configuration: GetBucketNotificationConfiguration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput = settings::get_notifications;
    put_bucket_notification_configuration: PutBucketNotificationConfiguration(PutBucketNotificationConfigurationInput) -> PutBucketNotificationConfigurationOutput = settings::put_notifications;
    get_bucket_logging: GetBucketLogging(GetBucketLoggingInput) -> GetBucketLoggingOutput = settings::get_logging;
    get_bucket_request_payment: GetBucketRequestPayment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput = settings::get_request_payment;
    get_bucket_accelerate_configuration: GetBucketAccelerateConfiguration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput = settings::get_acceleration;
    get_object_lock_configuration: GetObjectLockConfiguration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput = settings::get_object_lock;
    get_bucket_replication: GetBucketReplication(GetBucketReplicationInput) -> GetBucketReplicationOutput = settings::get_replication;
}
