//! `AWS::S3::BucketPolicy`: `Ref` is the bucket's name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, deletion};
use serde_json::Value as Json;

use super::authorize;
use crate::bucket;
use crate::bucket_policy::put;

pub struct BucketPolicyType;

#[async_trait]
impl ResourceType for BucketPolicyType {
    fn name(&self) -> &'static str {
        "AWS::S3::BucketPolicy"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("Bucket").required().replaces(),
                Property::any("PolicyDocument").required(),
            ]
        }
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.required_text("Bucket")?;
        let policy = policy(request);
        authorize(cx, "s3:PutBucketPolicy", &name)?;
        put(cx, &name, &policy, |it, kept| {
            // A repetition finds its own.
            match it.policy.as_ref().is_some_and(|before| before != kept) {
                true => Err(wire::codes::ValidationError.because(format!(
                    "The bucket policy already exists on bucket {name}."
                ))),
                false => Ok(()),
            }
        })?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let policy = policy(request);
        authorize(cx, "s3:PutBucketPolicy", physical_id)?;
        put(cx, physical_id, &policy, |_, _| Ok(()))?;
        Ok(())
    }

    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        _properties: &Json,
    ) -> Result<(), ResourceError> {
        authorize(cx, "s3:DeleteBucketPolicy", physical_id)?;
        let outcome = bucket::change(cx, physical_id, |it| {
            it.policy = None;
            Ok(())
        });
        deletion(outcome, &["NoSuchBucket"], &[])
    }
}

fn policy(request: &ResourceRequest) -> String {
    let document = request.get("PolicyDocument");
    document.map(cloud::document).unwrap_or_default()
}
