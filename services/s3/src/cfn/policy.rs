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
    fn attributes(&self) -> &'static [&'static str] {
        &[]
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

    async fn attribute(
        &self,
        _cx: &Cx,
        _physical_id: &str,
        name: &str,
    ) -> Result<Json, ResourceError> {
        Err(ResourceError::unknown_attribute(name))
    }
}

fn policy(request: &ResourceRequest) -> String {
    match request.get("PolicyDocument") {
        Some(Json::String(text)) => text.clone(),
        Some(document) => document.to_string(),
        None => String::new(),
    }
}
