//! What buckets are set to. What cannot be set here answers that it is not set.

use cloud::{Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::{buckets, convert, grants};
use crate::bucket::{change, get};
use crate::config::PublicAccess;
use crate::errors::*;
use crate::names::{self, Tagged};
use crate::record::Versioning;
use crate::refuse::members;
use crate::{access, bucket_policy, encryption};

pub async fn get_versioning(
    cx: Cx,
    request: S3Request<GetBucketVersioningInput>,
) -> Result<GetBucketVersioningOutput, Error> {
    let status = match get(&cx, &request.input.bucket)?.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(GetBucketVersioningOutput {
        status: status.map(BucketVersioningStatus::from_static),
        ..Default::default()
    })
}

pub async fn put_versioning(
    cx: Cx,
    request: S3Request<PutBucketVersioningInput>,
) -> Result<PutBucketVersioningOutput, Error> {
    let wanted = request.input.versioning_configuration;
    let mfa = wanted
        .mfa_delete
        .as_ref()
        .is_some_and(|it| it.as_str() == "Enabled");
    members(&[("MFADelete", mfa)])?;
    let versioning = match wanted.status.as_ref().map(|it| it.as_str()) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        Some(_) => return Err(malformed()),
        None => {
            return Err(
                IllegalVersioningConfiguration.because("The Versioning element must be specified")
            );
        }
    };
    change(&cx, &request.input.bucket, |it| {
        it.versioning = versioning;
        Ok(())
    })?;
    Ok(PutBucketVersioningOutput {})
}

pub async fn get_tags(
    cx: Cx,
    request: S3Request<GetBucketTaggingInput>,
) -> Result<GetBucketTaggingOutput, Error> {
    let tags = get(&cx, &request.input.bucket)?.tags;
    if tags.is_empty() {
        return Err(no_tags(&request.input.bucket));
    }
    Ok(GetBucketTaggingOutput {
        tag_set: convert::tags(tags),
    })
}

pub async fn put_tags(
    cx: Cx,
    request: S3Request<PutBucketTaggingInput>,
) -> Result<PutBucketTaggingOutput, Error> {
    let tags = convert::pairs(request.input.tagging.tag_set);
    let tags = names::tags(tags, Tagged::Bucket)?;
    change(&cx, &request.input.bucket, |it| {
        it.tags = tags;
        Ok(())
    })?;
    Ok(PutBucketTaggingOutput {})
}

pub async fn delete_tags(
    cx: Cx,
    request: S3Request<DeleteBucketTaggingInput>,
) -> Result<DeleteBucketTaggingOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        it.tags.clear();
        Ok(())
    })?;
    Ok(DeleteBucketTaggingOutput {})
}

pub async fn get_policy(
    cx: Cx,
    request: S3Request<GetBucketPolicyInput>,
) -> Result<GetBucketPolicyOutput, Error> {
    Ok(GetBucketPolicyOutput {
        policy: Some(bucket_policy::get(&cx, &request.input.bucket)?),
    })
}

pub async fn put_policy(
    cx: Cx,
    request: S3Request<PutBucketPolicyInput>,
) -> Result<PutBucketPolicyOutput, Error> {
    let input = request.input;
    bucket_policy::put(&cx, &input.bucket, &input.policy, |_, _| Ok(()))?;
    Ok(PutBucketPolicyOutput {})
}

pub async fn delete_policy(
    cx: Cx,
    request: S3Request<DeleteBucketPolicyInput>,
) -> Result<DeleteBucketPolicyOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        it.policy = None;
        Ok(())
    })?;
    Ok(DeleteBucketPolicyOutput {})
}

pub async fn policy_status(
    cx: Cx,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> Result<GetBucketPolicyStatusOutput, Error> {
    let bucket = get(&cx, &request.input.bucket)?;
    if bucket.policy.is_none() {
        return Err(no_policy(&bucket.name));
    }
    Ok(GetBucketPolicyStatusOutput {
        policy_status: Some(PolicyStatus {
            is_public: Some(access::policy_is_public(&bucket)),
        }),
    })
}

pub async fn get_acl(
    cx: Cx,
    request: S3Request<GetBucketAclInput>,
) -> Result<GetBucketAclOutput, Error> {
    let acl = get(&cx, &request.input.bucket)?.acl;
    Ok(GetBucketAclOutput {
        grants: Some(grants::shown(cx.account(), acl)),
        owner: Some(convert::owner(cx.account())),
    })
}

pub async fn put_acl(
    cx: Cx,
    request: S3Request<PutBucketAclInput>,
) -> Result<PutBucketAclOutput, Error> {
    let input = request.input;
    let head = grants::list_of!(cx, input, with_write)?;
    let acl = grants::of_put(head, input.access_control_policy, cx.account())?;
    change(&cx, &input.bucket, |it| {
        access::check_lists_count(it)?;
        access::check_acl(it, &acl)?;
        it.acl = acl;
        Ok(())
    })?;
    Ok(PutBucketAclOutput {})
}

pub async fn get_public_access(
    cx: Cx,
    request: S3Request<GetPublicAccessBlockInput>,
) -> Result<GetPublicAccessBlockOutput, Error> {
    let found = get(&cx, &request.input.bucket)?.public_access;
    let found = found.ok_or_else(|| {
        NoSuchPublicAccessBlockConfiguration
            .because("The public access block configuration was not found")
            .about("BucketName", &request.input.bucket)
    })?;
    Ok(GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(PublicAccessBlockConfiguration {
            block_public_acls: Some(found.block_acls),
            ignore_public_acls: Some(found.ignore_acls),
            block_public_policy: Some(found.block_policy),
            restrict_public_buckets: Some(found.restrict_buckets),
        }),
    })
}

pub async fn put_public_access(
    cx: Cx,
    request: S3Request<PutPublicAccessBlockInput>,
) -> Result<PutPublicAccessBlockOutput, Error> {
    let wanted = request.input.public_access_block_configuration;
    let wanted = PublicAccess {
        block_acls: wanted.block_public_acls.unwrap_or(false),
        ignore_acls: wanted.ignore_public_acls.unwrap_or(false),
        block_policy: wanted.block_public_policy.unwrap_or(false),
        restrict_buckets: wanted.restrict_public_buckets.unwrap_or(false),
    };
    change(&cx, &request.input.bucket, |it| {
        it.public_access = Some(wanted);
        Ok(())
    })?;
    Ok(PutPublicAccessBlockOutput {})
}

pub async fn delete_public_access(
    cx: Cx,
    request: S3Request<DeletePublicAccessBlockInput>,
) -> Result<DeletePublicAccessBlockOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        it.public_access = None;
        Ok(())
    })?;
    Ok(DeletePublicAccessBlockOutput {})
}

pub async fn get_ownership(
    cx: Cx,
    request: S3Request<GetBucketOwnershipControlsInput>,
) -> Result<GetBucketOwnershipControlsOutput, Error> {
    let found = get(&cx, &request.input.bucket)?.ownership;
    let found = found.ok_or_else(|| {
        OwnershipControlsNotFoundError
            .because("The bucket ownership controls were not found")
            .about("BucketName", &request.input.bucket)
    })?;
    let rule = OwnershipControlsRule {
        object_ownership: ObjectOwnership::from_static(found.name()),
    };
    Ok(GetBucketOwnershipControlsOutput {
        ownership_controls: Some(OwnershipControls { rules: vec![rule] }),
    })
}

pub async fn put_ownership(
    cx: Cx,
    request: S3Request<PutBucketOwnershipControlsInput>,
) -> Result<PutBucketOwnershipControlsOutput, Error> {
    let [rule] = &request.input.ownership_controls.rules[..] else {
        return Err(malformed());
    };
    let ownership = buckets::ownership(&rule.object_ownership)?;
    change(&cx, &request.input.bucket, |it| {
        access::set_ownership(it, Some(ownership))
    })?;
    Ok(PutBucketOwnershipControlsOutput {})
}

pub async fn delete_ownership(
    cx: Cx,
    request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> Result<DeleteBucketOwnershipControlsOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        access::set_ownership(it, None)
    })?;
    Ok(DeleteBucketOwnershipControlsOutput {})
}

/// Every bucket has S3's own keys where nothing else was asked for.
pub async fn get_encryption(
    cx: Cx,
    request: S3Request<GetBucketEncryptionInput>,
) -> Result<GetBucketEncryptionOutput, Error> {
    let bucket = get(&cx, &request.input.bucket)?;
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            sse_algorithm: ServerSideEncryption::from_static(match bucket.kms {
                None => encryption::OWN_KEYS,
                Some(_) => encryption::KMS,
            }),
            kms_master_key_id: bucket.kms.and_then(|it| it.key),
        }),
        bucket_key_enabled: Some(bucket.bucket_key_enabled),
    };
    Ok(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
            rules: vec![rule],
        }),
    })
}

pub async fn put_encryption(
    cx: Cx,
    request: S3Request<PutBucketEncryptionInput>,
) -> Result<PutBucketEncryptionOutput, Error> {
    let [rule] = &request.input.server_side_encryption_configuration.rules[..] else {
        return Err(malformed());
    };
    let kms = match &rule.apply_server_side_encryption_by_default {
        None => None,
        Some(default) => {
            let key = default.kms_master_key_id.clone();
            encryption::default_of(default.sse_algorithm.as_str(), key)?
        }
    };
    let key = rule.bucket_key_enabled.unwrap_or(false);
    change(&cx, &request.input.bucket, |it| {
        it.bucket_key_enabled = key;
        it.encryption_set = true;
        it.kms = kms;
        Ok(())
    })?;
    Ok(PutBucketEncryptionOutput {})
}

pub async fn delete_encryption(
    cx: Cx,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> Result<DeleteBucketEncryptionOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        it.bucket_key_enabled = false;
        it.encryption_set = false;
        it.kms = None;
        Ok(())
    })?;
    Ok(DeleteBucketEncryptionOutput {})
}

pub async fn get_notifications(
    cx: Cx,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> Result<GetBucketNotificationConfigurationOutput, Error> {
    get(&cx, &request.input.bucket)?;
    Ok(GetBucketNotificationConfigurationOutput::default())
}

/// Only an empty configuration is what this build has.
pub async fn put_notifications(
    cx: Cx,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> Result<PutBucketNotificationConfigurationOutput, Error> {
    let wanted = request.input.notification_configuration;
    let any = |list: Option<usize>| list.is_some_and(|it| it > 0);
    members(&[
        (
            "EventBridgeConfiguration",
            wanted.event_bridge_configuration.is_some(),
        ),
        (
            "LambdaFunctionConfigurations",
            any(wanted.lambda_function_configurations.map(|it| it.len())),
        ),
        (
            "QueueConfigurations",
            any(wanted.queue_configurations.map(|it| it.len())),
        ),
        (
            "TopicConfigurations",
            any(wanted.topic_configurations.map(|it| it.len())),
        ),
    ])?;
    get(&cx, &request.input.bucket)?;
    Ok(PutBucketNotificationConfigurationOutput {})
}

pub async fn get_logging(
    cx: Cx,
    request: S3Request<GetBucketLoggingInput>,
) -> Result<GetBucketLoggingOutput, Error> {
    get(&cx, &request.input.bucket)?;
    Ok(GetBucketLoggingOutput::default())
}

pub async fn get_request_payment(
    cx: Cx,
    request: S3Request<GetBucketRequestPaymentInput>,
) -> Result<GetBucketRequestPaymentOutput, Error> {
    get(&cx, &request.input.bucket)?;
    Ok(GetBucketRequestPaymentOutput {
        payer: Some(Payer::from_static(Payer::BUCKET_OWNER)),
    })
}

pub async fn get_acceleration(
    cx: Cx,
    request: S3Request<GetBucketAccelerateConfigurationInput>,
) -> Result<GetBucketAccelerateConfigurationOutput, Error> {
    get(&cx, &request.input.bucket)?;
    Ok(GetBucketAccelerateConfigurationOutput::default())
}

pub async fn get_object_lock(
    cx: Cx,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> Result<GetObjectLockConfigurationOutput, Error> {
    get(&cx, &request.input.bucket)?;
    Err(ObjectLockConfigurationNotFoundError
        .because("Object Lock configuration does not exist for this bucket"))
}

pub async fn get_replication(
    cx: Cx,
    request: S3Request<GetBucketReplicationInput>,
) -> Result<GetBucketReplicationOutput, Error> {
    get(&cx, &request.input.bucket)?;
    Err(ReplicationConfigurationNotFoundError
        .because("The replication configuration was not found"))
}
