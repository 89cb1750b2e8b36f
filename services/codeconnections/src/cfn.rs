//! `AWS::CodeConnections::Connection` and `AWS::CodeStarConnections::Connection`: `Ref` is the ARN. A
//! stack's connection is made PENDING, as on AWS.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::codeconnections::*;

use crate::codestar::same;
use crate::record::Made;

pub struct ConnectionType(pub Made);

fn tag_list(request: &ResourceRequest) -> Vec<Tag> {
    let tag = |(key, value)| Tag { key, value };
    request.all_tags().into_iter().map(tag).collect()
}

#[async_trait]
impl ResourceType for ConnectionType {
    fn name(&self) -> &'static str {
        match self.0 {
            Made::CodeConnections => "AWS::CodeConnections::Connection",
            Made::CodeStar => "AWS::CodeStarConnections::Connection",
        }
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("ConnectionName").required().replaces(),
                Property::text("HostArn").replaces(),
                Property::text("ProviderType").replaces(),
                Property::TAGS,
            ]
        }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &["ConnectionArn", "ConnectionStatus", "OwnerAccountId"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateConnectionInput {
            connection_name: request.required_text("ConnectionName")?,
            provider_type: request.shape("ProviderType")?,
            host_arn: request.text("HostArn"),
            tags: Some(tag_list(request)),
        };
        let cx = cx.with_token(&request.token);
        let physical_id = match self.0 {
            Made::CodeConnections => cx.call(input).await?.connection_arn,
            Made::CodeStar => {
                let input: shapes::codestar_connections::CreateConnectionInput = same(&input)?;
                cx.call(input).await?.connection_arn
            }
        };
        Ok(Created { physical_id })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let untag = UntagResourceInput {
            resource_arn: physical_id.to_owned(),
            tag_keys: request.tag_changes(old).unset,
        };
        cx.call(untag).await?;
        let tag = TagResourceInput {
            resource_arn: physical_id.to_owned(),
            tags: tag_list(request),
        };
        cx.call(tag).await?;
        Ok(())
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteConnectionInput {
            connection_arn: physical_id.to_owned(),
        };
        let gone = &[errors::ResourceNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }

    async fn attribute(
        &self,
        cx: &Cx,
        physical_id: &str,
        name: &str,
    ) -> Result<Json, ResourceError> {
        let input = GetConnectionInput {
            connection_arn: physical_id.to_owned(),
        };
        let found = cx.call(input).await?.connection.unwrap_or_default();
        match name {
            "ConnectionArn" => Ok(json!(physical_id)),
            "ConnectionStatus" => Ok(json!(found.connection_status.map(|it| it.to_string()))),
            "OwnerAccountId" => Ok(json!(cx.account())),
            other => Err(ResourceError::unknown_attribute(other)),
        }
    }
}
