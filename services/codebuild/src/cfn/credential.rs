//! `AWS::CodeBuild::SourceCredential`: `Ref` is its ARN.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::Value as Json;
use shapes::codebuild::*;

pub struct SourceCredentialType;

async fn import(cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
    let mut call: ImportSourceCredentialsInput = cloud::read_properties(&request.properties, &[])?;
    call.should_overwrite = Some(true);
    Created::of(cx.call(call).await?.arn)
}

#[async_trait]
impl ResourceType for SourceCredentialType {
    fn name(&self) -> &'static str {
        "AWS::CodeBuild::SourceCredential"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("AuthType").required(),
                Property::text("ServerType").required().replaces(),
                Property::text("Token").required(),
                Property::text("Username"),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        import(cx, request).await
    }

    async fn update(
        &self,
        cx: &Cx,
        _physical_id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        import(cx, request).await.map(drop)
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let arn = physical_id.to_owned();
        let deleted = cx.call(DeleteSourceCredentialsInput { arn }).await;
        cloud::deletion(deleted, &[errors::ResourceNotFoundException.code], &[])
    }
}
