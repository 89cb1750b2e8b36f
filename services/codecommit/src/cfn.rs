//! `AWS::CodeCommit::Repository`: `Ref` is its id.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::codecommit::*;

use crate::repository::{by_id, clone_url_http, clone_url_ssh};

pub struct RepositoryType;

fn tags(request: &ResourceRequest) -> BTreeMap<String, String> {
    request.all_tags()
}

#[async_trait]
impl ResourceType for RepositoryType {
    fn name(&self) -> &'static str {
        "AWS::CodeCommit::Repository"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("RepositoryName").required(),
                Property::text("RepositoryDescription"),
                Property::TAGS,
            ]
        }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &["Arn", "CloneUrlHttp", "CloneUrlSsh", "Name"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateRepositoryInput {
            repository_name: request.required_text("RepositoryName")?,
            repository_description: request.text("RepositoryDescription"),
            tags: Some(tags(request)),
        };
        let made = cx.with_token(&request.token).call(input).await?;
        let made = made.repository_metadata.unwrap_or_default();
        Ok(Created {
            physical_id: made.repository_id.unwrap_or_default(),
        })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let found = by_id(cx, physical_id)?;
        let name = request.required_text("RepositoryName")?;
        if name != found.name {
            let input = UpdateRepositoryNameInput {
                old_name: found.name,
                new_name: name.clone(),
            };
            cx.call(input).await?;
        }
        let input = UpdateRepositoryDescriptionInput {
            repository_name: name.clone(),
            repository_description: request.text("RepositoryDescription"),
        };
        cx.call(input).await?;
        let resource_arn = cx.arn("codecommit", &name);
        let untag = UntagResourceInput {
            resource_arn: resource_arn.clone(),
            tag_keys: request.tag_changes(old).unset,
        };
        cx.call(untag).await?;
        let tags = tags(request);
        cx.call(TagResourceInput { resource_arn, tags }).await?;
        Ok(())
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let Ok(found) = by_id(cx, physical_id) else {
            return Ok(());
        };
        let input = DeleteRepositoryInput {
            repository_name: found.name,
        };
        cx.call(input).await?;
        Ok(())
    }

    async fn attribute(
        &self,
        cx: &Cx,
        physical_id: &str,
        name: &str,
    ) -> Result<Json, ResourceError> {
        let found = by_id(cx, physical_id)?;
        match name {
            "Arn" => Ok(json!(found.arn())),
            "CloneUrlHttp" => Ok(json!(clone_url_http(cx, &found.name))),
            "CloneUrlSsh" => Ok(json!(clone_url_ssh(&found.region, &found.name))),
            "Name" => Ok(json!(found.name)),
            other => Err(ResourceError::unknown_attribute(other)),
        }
    }
}
