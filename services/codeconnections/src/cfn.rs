//! `AWS::CodeConnections::Connection` and `AWS::CodeStarConnections::Connection`: `Ref` is the ARN. A
//! stack's connection is made PENDING, as on AWS.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, TagChanges};
use serde_json::{Value as Json, json};
use shapes::codeconnections::*;

use crate::codestar::same;
use crate::record::Made;

pub struct ConnectionType(pub Made);

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag { key, value };
    tags.into_iter().map(tag).collect()
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
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["ConnectionArn"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["ConnectionStatus", "OwnerAccountId"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateConnectionInput {
            connection_name: request.required_text("ConnectionName")?,
            provider_type: request.shape("ProviderType")?,
            host_arn: request.text("HostArn"),
            tags: Some(tag_list(request.all_tags())),
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

    async fn retag(&self, cx: &Cx, arn: &str, changes: TagChanges) -> Result<(), ResourceError> {
        let untag = |tag_keys| UntagResourceInput {
            resource_arn: arn.to_owned(),
            tag_keys,
        };
        let tag = |tags| TagResourceInput {
            resource_arn: arn.to_owned(),
            tags: tag_list(tags),
        };
        changes.apply(cx, untag, tag).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteConnectionInput {
            connection_arn: physical_id.to_owned(),
        };
        let gone = &[errors::ResourceNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let input = GetConnectionInput {
            connection_arn: physical_id.to_owned(),
        };
        let found = cx.call(input).await?.connection.unwrap_or_default();
        Ok(json!({
            "ConnectionStatus": found.connection_status.map(|it| it.to_string()),
            "OwnerAccountId": cx.account(),
        }))
    }
}
