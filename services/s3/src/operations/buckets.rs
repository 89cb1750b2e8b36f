//! Buckets, for other services.

use cloud::{Cx, Error};
use shapes::s3::*;

use super::time;
use crate::acl::Acl;
use crate::errors::*;
use crate::names::{self, Tagged};
use crate::record::Versioning;
use crate::refuse::members;
use crate::{bucket, bucket_policy, config};

pub async fn create_bucket(cx: Cx, input: CreateBucketInput) -> Result<CreateBucketOutput, Error> {
    members(&[
        (
            "ACL",
            input.acl.is_some_and(|it| it != BucketCannedACL::Private),
        ),
        ("GrantFullControl", input.grant_full_control.is_some()),
        ("GrantRead", input.grant_read.is_some()),
        ("GrantWrite", input.grant_write.is_some()),
        (
            "ObjectLockEnabledForBucket",
            input.object_lock_enabled_for_bucket == Some(true),
        ),
    ])?;
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    let location = configuration.location_constraint;
    let tags = configuration.tags.unwrap_or_default().into_iter();
    let tags = names::tags(tags.map(|it| (it.key, it.value)), Tagged::NewBucket)?;
    let ownership = input.object_ownership.map(|it| it.to_string());
    let made = bucket::create(
        &cx,
        bucket::NewBucket {
            name: input.bucket,
            location: location.map(|it| it.to_string()),
            acl: Acl::default(),
            ownership: ownership.and_then(|it| config::Ownership::named(&it)),
            tags,
        },
    )?;
    Ok(CreateBucketOutput {
        location: Some(format!("/{}", made.name)),
        bucket_arn: Some(format!("arn:aws:s3:::{}", made.name)),
    })
}

pub async fn delete_bucket(cx: Cx, input: DeleteBucketInput) -> Result<DeleteBucketOutput, Error> {
    bucket::delete(&cx, &input.bucket)?;
    Ok(DeleteBucketOutput {})
}

pub async fn head_bucket(cx: Cx, input: HeadBucketInput) -> Result<HeadBucketOutput, Error> {
    let found = bucket::get(&cx, &input.bucket)?;
    Ok(HeadBucketOutput {
        bucket_arn: Some(format!("arn:aws:s3:::{}", found.name)),
        bucket_region: Some(found.region),
        access_point_alias: Some(false),
        ..Default::default()
    })
}

pub async fn list_buckets(cx: Cx, input: ListBucketsInput) -> Result<ListBucketsOutput, Error> {
    let limit = usize::try_from(input.max_buckets.unwrap_or(10_000)).unwrap_or(0);
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.unwrap_or_default();
    let region = input.bucket_region.as_deref();
    let found = bucket::list(&cx, &prefix, &after, limit, region)?;
    let buckets = found.buckets.into_iter().map(|it| Bucket {
        bucket_arn: Some(format!("arn:aws:s3:::{}", it.name)),
        name: Some(it.name),
        creation_date: Some(time(it.created_ms)),
        bucket_region: Some(it.region),
    });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: found.next,
        prefix: input.prefix,
        ..Default::default()
    })
}

pub async fn get_bucket_location(
    cx: Cx,
    input: GetBucketLocationInput,
) -> Result<GetBucketLocationOutput, Error> {
    let region = bucket::get(&cx, &input.bucket)?.region;
    let named = region != bucket::FIRST_REGION;
    Ok(GetBucketLocationOutput {
        location_constraint: region.parse().ok().filter(|_| named),
    })
}

pub async fn get_bucket_versioning(
    cx: Cx,
    input: GetBucketVersioningInput,
) -> Result<GetBucketVersioningOutput, Error> {
    Ok(GetBucketVersioningOutput {
        status: match bucket::get(&cx, &input.bucket)?.versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::Enabled),
            Versioning::Suspended => Some(BucketVersioningStatus::Suspended),
        },
        mfa_delete: None,
    })
}

pub async fn put_bucket_versioning(
    cx: Cx,
    input: PutBucketVersioningInput,
) -> Result<PutBucketVersioningOutput, Error> {
    let versioning = input.versioning_configuration;
    members(&[
        ("MFA", input.mfa.is_some()),
        ("MFADelete", versioning.mfa_delete.is_some()),
    ])?;
    let versioning = match versioning.status {
        Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
        Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
        _ => return Err(malformed()),
    };
    bucket::change(&cx, &input.bucket, |it| {
        it.versioning = versioning;
        Ok(())
    })?;
    Ok(PutBucketVersioningOutput {})
}

pub async fn get_bucket_policy(
    cx: Cx,
    input: GetBucketPolicyInput,
) -> Result<GetBucketPolicyOutput, Error> {
    Ok(GetBucketPolicyOutput {
        policy: Some(bucket_policy::get(&cx, &input.bucket)?),
    })
}

pub async fn put_bucket_policy(
    cx: Cx,
    input: PutBucketPolicyInput,
) -> Result<PutBucketPolicyOutput, Error> {
    bucket_policy::put(&cx, &input.bucket, &input.policy, |_, _| Ok(()))?;
    Ok(PutBucketPolicyOutput {})
}

pub async fn delete_bucket_policy(
    cx: Cx,
    input: DeleteBucketPolicyInput,
) -> Result<DeleteBucketPolicyOutput, Error> {
    bucket::change(&cx, &input.bucket, |it| {
        it.policy = None;
        Ok(())
    })?;
    Ok(DeleteBucketPolicyOutput {})
}

pub async fn get_bucket_tagging(
    cx: Cx,
    input: GetBucketTaggingInput,
) -> Result<GetBucketTaggingOutput, Error> {
    let tags = bucket::get(&cx, &input.bucket)?.tags;
    if tags.is_empty() {
        return Err(no_tags(&input.bucket));
    }
    Ok(GetBucketTaggingOutput {
        tag_set: tags
            .into_iter()
            .map(|(key, value)| Tag { key, value })
            .collect(),
    })
}

pub async fn put_bucket_tagging(
    cx: Cx,
    input: PutBucketTaggingInput,
) -> Result<PutBucketTaggingOutput, Error> {
    let tags = input
        .tagging
        .tag_set
        .into_iter()
        .map(|it| (it.key, it.value));
    let tags = names::tags(tags, Tagged::Bucket)?;
    bucket::change(&cx, &input.bucket, |it| {
        it.tags = tags;
        Ok(())
    })?;
    Ok(PutBucketTaggingOutput {})
}

pub async fn delete_bucket_tagging(
    cx: Cx,
    input: DeleteBucketTaggingInput,
) -> Result<DeleteBucketTaggingOutput, Error> {
    bucket::change(&cx, &input.bucket, |it| {
        it.tags.clear();
        Ok(())
    })?;
    Ok(DeleteBucketTaggingOutput {})
}

pub async fn delete_bucket_website(
    cx: Cx,
    input: DeleteBucketWebsiteInput,
) -> Result<DeleteBucketWebsiteOutput, Error> {
    bucket::change(&cx, &input.bucket, |it| {
        it.website = None;
        Ok(())
    })?;
    Ok(DeleteBucketWebsiteOutput {})
}
