//! Buckets.

use cloud::{Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::answers::AnswerHead;
use super::convert;
use super::documents::NewBucketTags;
use super::grants::list_of;
use crate::bucket::{self, FIRST_REGION, NewBucket};
use crate::config::Ownership;
use crate::errors::*;
use crate::names::{self, Tagged};
use crate::refuse::members;

/// The API reference of `ListBuckets`: also how many there are when nothing is said.
const BUCKETS_MAX: i32 = 10_000;

pub async fn create(
    cx: Cx,
    request: S3Request<CreateBucketInput>,
) -> Result<CreateBucketOutput, Error> {
    let more = AnswerHead::of(&request);
    let tags = NewBucketTags::of(&request).0;
    let tags = names::tags(tags, Tagged::NewBucket)?;
    let input = request.input;
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    members(&[
        (
            "CreateBucketConfiguration.Bucket",
            configuration.bucket.is_some(),
        ),
        (
            "CreateBucketConfiguration.Location",
            configuration.location.is_some(),
        ),
        (
            "object lock",
            input.object_lock_enabled_for_bucket == Some(true),
        ),
    ])?;
    let ownership = match &input.object_ownership {
        Some(name) => Some(ownership(name).map_err(|_| {
            let name = name.as_str();
            InvalidArgument
                .because(format!("Invalid x-amz-object-ownership header: {name}"))
                .about("ArgumentName", "x-amz-object-ownership")
                .about("ArgumentValue", name)
        })?),
        None => None,
    };
    let acl = list_of!(cx, input, with_write)?;
    let made = bucket::create(
        &cx,
        NewBucket {
            name: input.bucket,
            location: configuration
                .location_constraint
                .map(|it| it.as_str().to_owned()),
            acl: acl.unwrap_or_default(),
            ownership,
            tags,
        },
    )?;
    more.say("x-amz-bucket-arn", &format!("arn:aws:s3:::{}", made.name));
    // Outside of the first region a bucket is told of by its address.
    let location = match made.region == FIRST_REGION {
        true => format!("/{}", made.name),
        false => format!("http://{}.s3.amazonaws.com/", made.name),
    };
    Ok(CreateBucketOutput {
        location: Some(location),
    })
}

pub fn ownership(name: &ObjectOwnership) -> Result<Ownership, Error> {
    Ownership::named(name.as_str()).ok_or_else(malformed)
}

pub async fn delete(
    cx: Cx,
    request: S3Request<DeleteBucketInput>,
) -> Result<DeleteBucketOutput, Error> {
    bucket::delete(&cx, &request.input.bucket)?;
    Ok(DeleteBucketOutput {})
}

pub async fn head(cx: Cx, request: S3Request<HeadBucketInput>) -> Result<HeadBucketOutput, Error> {
    let found = bucket::get(&cx, &request.input.bucket)?;
    let more = AnswerHead::of(&request);
    more.say("x-amz-bucket-arn", &format!("arn:aws:s3:::{}", found.name));
    Ok(HeadBucketOutput {
        bucket_region: Some(found.region),
        access_point_alias: Some(false),
        ..Default::default()
    })
}

pub async fn list(
    cx: Cx,
    request: S3Request<ListBucketsInput>,
) -> Result<ListBucketsOutput, Error> {
    let input = request.input;
    let max = input
        .max_buckets
        .unwrap_or(BUCKETS_MAX)
        .clamp(1, BUCKETS_MAX);
    let limit = usize::try_from(max).unwrap_or(1);
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.unwrap_or_default();
    let region = input.bucket_region;
    if let Some(wrong) = region
        .as_ref()
        .filter(|it| !crate::host::is_known_region(it))
    {
        return Err(
            InvalidArgument.because(format!("Argument value {wrong} is not a valid AWS Region"))
        );
    }
    let found = bucket::list(&cx, &prefix, &after, limit, region.as_deref())?;
    Ok(ListBucketsOutput {
        buckets: Some(
            (found.buckets.into_iter())
                .map(|it| Bucket {
                    name: Some(it.name),
                    creation_date: Some(convert::time(it.created_ms)),
                    bucket_region: Some(it.region),
                })
                .collect(),
        ),
        continuation_token: found.next,
        owner: Some(convert::owner(cx.account())),
        prefix: input.prefix,
    })
}

pub async fn location(
    cx: Cx,
    request: S3Request<GetBucketLocationInput>,
) -> Result<GetBucketLocationOutput, Error> {
    let found = bucket::get(&cx, &request.input.bucket)?;
    let named = found.region != FIRST_REGION;
    let name = found.location_alias.unwrap_or(found.region);
    Ok(GetBucketLocationOutput {
        location_constraint: named.then(|| BucketLocationConstraint::from(name)),
    })
}
