//! `AWS::ECR::Repository`: `Ref` is its name.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::ecr::*;

use crate::names::registry_host;

pub struct RepositoryType;

const NAME_LENGTH_MAX: usize = 256;

const SCANNING: &[Property] = &[Property::flag("ScanOnPush")];
const LIFECYCLE: &[Property] = &[Property::text("LifecyclePolicyText")];
const EXCLUSION: &[Property] = &[
    Property::text("ImageTagMutabilityExclusionFilterType").required(),
    Property::text("ImageTagMutabilityExclusionFilterValue").required(),
];
const ENCRYPTION: &[Property] = &[Property::text("EncryptionType").required()];

fn truth(json: Option<&Json>) -> bool {
    match json {
        Some(Json::Bool(flag)) => *flag,
        Some(Json::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn scanning(request: &ResourceRequest) -> ImageScanningConfiguration {
    let given = request.get("ImageScanningConfiguration");
    ImageScanningConfiguration {
        scan_on_push: Some(truth(given.and_then(|it| it.get("ScanOnPush")))),
    }
}

fn parsed<T: std::str::FromStr>(
    text: Option<&str>,
    name: &str,
) -> Result<Option<T>, ResourceError> {
    let parse = |it: &str| {
        it.parse()
            .map_err(|_| ResourceError::new(format!("{name} `{it}` is not known")))
    };
    text.map(parse).transpose()
}

/// The exceptions from the mutability. Templates call their members by longer names than the API.
fn exclusions(
    request: &ResourceRequest,
) -> Result<Option<Vec<ImageTagMutabilityExclusionFilter>>, ResourceError> {
    let given = request.get("ImageTagMutabilityExclusionFilters");
    let Some(Json::Array(filters)) = given else {
        return Ok(None);
    };
    let filter = |it: &Json| {
        let kind = it["ImageTagMutabilityExclusionFilterType"].as_str();
        let kind = parsed(kind, "ImageTagMutabilityExclusionFilterType")?;
        let value = it["ImageTagMutabilityExclusionFilterValue"].as_str();
        Ok(ImageTagMutabilityExclusionFilter {
            filter_type: kind.unwrap_or_default(),
            filter: value.unwrap_or_default().to_owned(),
        })
    };
    filters
        .iter()
        .map(filter)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag { key, value };
    tags.into_iter().map(tag).collect()
}

/// A policy: an object, or JSON as text. Without one, what was set before is removed.
async fn set_policy(cx: &Cx, name: &str, request: &ResourceRequest) -> Result<(), ResourceError> {
    let repository_name = name.to_owned();
    let Some(policy) = request.get("RepositoryPolicyText") else {
        let input = DeleteRepositoryPolicyInput {
            repository_name,
            ..Default::default()
        };
        let gone = &[errors::RepositoryPolicyNotFoundException.code];
        return cloud::deletion(cx.call(input).await, gone, &[]);
    };
    let input = SetRepositoryPolicyInput {
        repository_name,
        policy_text: cloud::document(policy),
        ..Default::default()
    };
    cx.call(input).await?;
    Ok(())
}

/// The lifecycle policy is text. Without one, what was set before is removed.
async fn set_lifecycle(
    cx: &Cx,
    name: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let repository_name = name.to_owned();
    let given = request.get("LifecyclePolicy");
    let text = match given.map(|it| &it["LifecyclePolicyText"]) {
        Some(text @ (Json::String(_) | Json::Object(_))) => cloud::document(text),
        _ => {
            let input = DeleteLifecyclePolicyInput {
                repository_name,
                ..Default::default()
            };
            let gone = &[errors::LifecyclePolicyNotFoundException.code];
            return cloud::deletion(cx.call(input).await, gone, &[]);
        }
    };
    let input = PutLifecyclePolicyInput {
        repository_name,
        lifecycle_policy_text: text,
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
                Property::flag("EmptyOnDelete"),
                Property::object("EncryptionConfiguration")
                    .members(ENCRYPTION)
                    .replaces(),
                Property::object("ImageScanningConfiguration").members(SCANNING),
                Property::text("ImageTagMutability"),
                Property::objects("ImageTagMutabilityExclusionFilters").members(EXCLUSION),
                Property::object("LifecyclePolicy").members(LIFECYCLE),
                Property::text("RepositoryName").names(),
                Property::any("RepositoryPolicyText"),
                Property::TAGS,
            ]
        }
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = cloud::known_part(properties);
        match known["EncryptionConfiguration"]["EncryptionType"].as_str() {
            None | Some("AES256") => Ok(()),
            Some(other) => Err(format!(
                "the encryption type {other} is not supported by neargate"
            )),
        }
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn", "RepositoryUri"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request
            .text("RepositoryName")
            .unwrap_or_else(|| request.generated_name(NAME_LENGTH_MAX).to_lowercase());
        let encryption = request.get("EncryptionConfiguration");
        let encryption = encryption.and_then(|it| it["EncryptionType"].as_str());
        let encryption = parsed(encryption, "EncryptionType")?;
        let input = CreateRepositoryInput {
            repository_name: name.clone(),
            tags: Some(tag_list(request.all_tags())),
            image_tag_mutability: request.parsed("ImageTagMutability")?,
            image_tag_mutability_exclusion_filters: exclusions(request)?,
            image_scanning_configuration: Some(scanning(request)),
            encryption_configuration: encryption.map(|encryption_type| EncryptionConfiguration {
                encryption_type,
                kms_key: None,
            }),
            ..Default::default()
        };
        cx.with_token(&request.token).call(input).await?;
        request.made.note(&name);
        set_policy(cx, &name, request).await?;
        set_lifecycle(cx, &name, request).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let repository_name = physical_id.to_owned();
        let mutability = request.parsed("ImageTagMutability")?;
        let input = PutImageTagMutabilityInput {
            repository_name: repository_name.clone(),
            image_tag_mutability: mutability.unwrap_or_default(),
            image_tag_mutability_exclusion_filters: exclusions(request)?,
            ..Default::default()
        };
        cx.call(input).await?;
        let input = PutImageScanningConfigurationInput {
            repository_name,
            image_scanning_configuration: scanning(request),
            ..Default::default()
        };
        cx.call(input).await?;
        set_policy(cx, physical_id, request).await?;
        set_lifecycle(cx, physical_id, request).await?;
        let resource_arn = cx.arn("ecr", &format!("repository/{physical_id}"));
        let untag = |tag_keys| UntagResourceInput {
            resource_arn: resource_arn.clone(),
            tag_keys,
        };
        let tag = |tags| TagResourceInput {
            resource_arn: resource_arn.clone(),
            tags: tag_list(tags),
        };
        request.tag_changes(old).apply(cx, untag, tag).await
    }

    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        properties: &Json,
    ) -> Result<(), ResourceError> {
        let input = DeleteRepositoryInput {
            repository_name: physical_id.to_owned(),
            force: Some(truth(properties.get("EmptyOnDelete"))),
            ..Default::default()
        };
        let gone = &[errors::RepositoryNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(json!({
            "Arn": cx.arn("ecr", &format!("repository/{physical_id}")),
            "RepositoryUri": format!("{}/{physical_id}", registry_host(cx)),
        }))
    }
}
