//! `AWS::CodeCommit::Repository`: `Ref` is its id.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::codecommit::*;

use crate::repository::{by_id, clone_url_http, clone_url_ssh};

pub struct RepositoryType;

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
    fn readable(&self) -> &'static [&'static str] {
        &["Arn", "CloneUrlHttp", "CloneUrlSsh", "Name"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateRepositoryInput {
            repository_name: request.required_text("RepositoryName")?,
            repository_description: request.text("RepositoryDescription"),
            tags: Some(request.all_tags()),
        };
        let made = cx.with_token(&request.token).call(input).await?;
        Created::of(made.repository_metadata.and_then(|it| it.repository_id))
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
        let untag = |tag_keys| UntagResourceInput {
            resource_arn: resource_arn.clone(),
            tag_keys,
        };
        let tag = |tags| TagResourceInput {
            resource_arn: resource_arn.clone(),
            tags,
        };
        request.tag_changes(old).apply(cx, untag, tag).await
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

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let found = by_id(cx, physical_id)?;
        Ok(json!({
            "Arn": found.arn(),
            "CloneUrlHttp": clone_url_http(cx, &found.name),
            "CloneUrlSsh": clone_url_ssh(&found.region, &found.name),
            "Name": found.name,
        }))
    }
}
