//! AWS::ECR::Repository.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::ecr::{
    CreateRepositoryInput, DeleteRepositoryInput, ImageScanningConfiguration,
    PutImageScanningConfigurationInput, SetRepositoryPolicyInput, Tag, TagResourceInput,
    UntagResourceInput,
};

use crate::repository::place;

pub struct RepositoryType;

const SCANNING: &[Property] = &[Property::new("ScanOnPush")];

fn shape<T: wire::Value + Default>(
    request: &ResourceRequest,
    name: &str,
) -> Result<Option<T>, ResourceError> {
    let Some(json) = request.get(name) else {
        return Ok(None);
    };
    wire::lenient::<T>(json.clone())
        .map(Some)
        .map_err(|error| ResourceError::new(format!("{name}: {error}")))
}

fn tags(request: &ResourceRequest) -> Vec<Tag> {
    request
        .all_tags()
        .into_iter()
        .map(|(key, value)| Tag { key, value })
        .collect()
}

async fn set_policy(cx: &Cx, name: &str, request: &ResourceRequest) -> Result<(), ResourceError> {
    let Some(policy) = request.get("RepositoryPolicyText") else {
        return Ok(());
    };
    let policy_text = policy
        .as_str()
        .map_or_else(|| policy.to_string(), str::to_owned);
    let input = SetRepositoryPolicyInput {
        repository_name: name.into(),
        policy_text,
        ..Default::default()
    };
    cx.call(input).await?;
    Ok(())
}

#[async_trait]
impl ResourceType for RepositoryType {
    fn name(&self) -> &'static str {
        "AWS::ECR::Repository"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::new("EmptyOnDelete"),
                Property::new("ImageScanningConfiguration").members(SCANNING),
                Property::new("ImageTagMutability"),
                Property::new("RepositoryName").replaces(),
                Property::new("RepositoryPolicyText"),
                Property::TAGS,
            ]
        }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &["Arn", "RepositoryUri"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = &cx.with_token(&*request.token);
        let name = request
            .text("RepositoryName")
            .unwrap_or_else(|| request.generated_name(256).to_lowercase());
        let input = CreateRepositoryInput {
            repository_name: name.clone(),
            tags: Some(tags(request)),
            image_tag_mutability: shape(request, "ImageTagMutability")?,
            image_scanning_configuration: shape(request, "ImageScanningConfiguration")?,
            ..Default::default()
        };
        cx.call(input).await?;
        set_policy(cx, &name, request).await?;
        Ok(Created { physical_id: name })
    }
    async fn update(
        &self,
        cx: &Cx,
        name: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let scanning = shape::<ImageScanningConfiguration>(request, "ImageScanningConfiguration")?;
        let input = PutImageScanningConfigurationInput {
            repository_name: name.into(),
            image_scanning_configuration: scanning.unwrap_or_default(),
            ..Default::default()
        };
        cx.call(input).await?;
        set_policy(cx, name, request).await?;
        let before = ResourceRequest {
            properties: old.clone(),
            ..request.clone()
        }
        .all_tags();
        let new = request.all_tags();
        let arn = cx.arn("ecr", &format!("repository/{name}"));
        let tag_keys = before
            .into_keys()
            .filter(|key| !new.contains_key(key))
            .collect();
        cx.call(UntagResourceInput {
            resource_arn: arn.clone(),
            tag_keys,
        })
        .await?;
        cx.call(TagResourceInput {
            resource_arn: arn,
            tags: tags(request),
        })
        .await?;
        Ok(())
    }
    async fn delete(&self, cx: &Cx, name: &str, properties: &Json) -> Result<(), ResourceError> {
        let force = properties
            .get("EmptyOnDelete")
            .map(|it| it.as_bool() == Some(true) || it == "true");
        let input = DeleteRepositoryInput {
            repository_name: name.into(),
            force,
            ..Default::default()
        };
        match cx.call(input).await {
            Ok(_) => Ok(()),
            Err(error) if error.code == "RepositoryNotFoundException" => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
    async fn attribute(&self, cx: &Cx, name: &str, attribute: &str) -> Result<Json, ResourceError> {
        match attribute {
            "Arn" => Ok(json!(cx.arn("ecr", &format!("repository/{name}")))),
            "RepositoryUri" => Ok(json!(place(cx, name).to_string())),
            _ => Err(ResourceError::new(format!(
                "attribute {attribute} is not known"
            ))),
        }
    }
}
