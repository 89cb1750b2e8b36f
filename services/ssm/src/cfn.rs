//! `AWS::SSM::Parameter`: `Ref` is its name.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, TagChanges};
use serde_json::{Value as Json, json};
use shapes::ssm::*;

pub struct ParameterType;

/// What a generated name may be, with the rest of the parameter's ARN.
const NAME_LENGTH_MAX: usize = 512;

/// Unlike elsewhere, `Tags` is a map; the stack's own tags come with it.
fn tags(request: &ResourceRequest, properties: &Json) -> BTreeMap<String, String> {
    let mut tags = request.tags.clone();
    for (key, value) in properties["Tags"].as_object().into_iter().flatten() {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        tags.insert(key.clone(), text);
    }
    tags
}

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag { key, value };
    tags.into_iter().map(tag).collect()
}

/// Unlike others', the names of parameters do not begin with their stack's.
fn generated_name(request: &ResourceRequest) -> String {
    const SUFFIX: usize = 12;
    let logical_id: String = (request.logical_id.chars())
        .take(NAME_LENGTH_MAX - SUFFIX)
        .collect();
    format!("CFN-{logical_id}-{}", request.generated_suffix(SUFFIX))
}

fn input(request: &ResourceRequest, name: &str) -> Result<PutParameterInput, ResourceError> {
    let kind = request.parsed("Type")?;
    if kind == Some(shapes::ssm::ParameterType::SecureString) {
        return Err(ResourceError::new(
            "AWS CloudFormation doesn't support creating a SecureString parameter type",
        ));
    }
    Ok(PutParameterInput {
        name: name.to_owned(),
        description: request.text("Description"),
        value: request.required_text("Value")?,
        r#type: kind,
        allowed_pattern: request.text("AllowedPattern"),
        data_type: request.text("DataType"),
        tier: request.parsed("Tier")?,
        ..Default::default()
    })
}

/// The parameter, when it is there.
async fn found(cx: &Cx, name: &str) -> Result<Option<Parameter>, ResourceError> {
    let input = GetParameterInput {
        name: name.to_owned(),
        ..Default::default()
    };
    match cx.call(input).await {
        Ok(answer) => Ok(answer.parameter),
        Err(error) if error.code == errors::ParameterNotFound.code => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[async_trait]
impl ResourceType for ParameterType {
    fn name(&self) -> &'static str {
        "AWS::SSM::Parameter"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("AllowedPattern"),
                Property::text("DataType"),
                Property::text("Description"),
                Property::text("Name").names(),
                Property::object("Tags"),
                Property::text("Tier"),
                Property::text("Type").required(),
                Property::text("Value").required(),
            ]
        }
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Type", "Value"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request
            .text("Name")
            .unwrap_or_else(|| generated_name(request));
        let input = PutParameterInput {
            tags: Some(tag_list(tags(request, &request.properties))),
            ..input(request, &name)?
        };
        cx.with_token(&request.token).call(input).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        if found(cx, physical_id).await?.is_none() {
            return Err(ResourceError::new(format!(
                "Resource of type 'AWS::SSM::Parameter' with identifier '{physical_id}' was not found. (HandlerErrorCode: NotFound)"
            )));
        }
        let input = PutParameterInput {
            overwrite: Some(true),
            ..input(request, physical_id)?
        };
        cx.call(input).await?;
        let set = tags(request, &request.properties);
        let unset = tags(request, old).into_keys();
        let unset = unset.filter(|key| !set.contains_key(key)).collect();
        let untag = |tag_keys| RemoveTagsFromResourceInput {
            resource_type: ResourceTypeForTagging::Parameter,
            resource_id: physical_id.to_owned(),
            tag_keys,
        };
        let tag = |tags| AddTagsToResourceInput {
            resource_type: ResourceTypeForTagging::Parameter,
            resource_id: physical_id.to_owned(),
            tags: tag_list(tags),
        };
        TagChanges { set, unset }.apply(cx, untag, tag).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteParameterInput {
            name: physical_id.to_owned(),
        };
        let gone = &[errors::ParameterNotFound.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let found = found(cx, physical_id).await?.unwrap_or_default();
        Ok(json!({
            "Type": found.r#type.map(|it| it.to_string()),
            "Value": found.value,
        }))
    }

    async fn actual(
        &self,
        cx: &Cx,
        physical_id: &str,
        expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        let Some(found) = found(cx, physical_id).await? else {
            return Ok(Some(Json::Null));
        };
        let all = [
            ("Name", json!(found.name)),
            ("Type", json!(found.r#type.map(|it| it.to_string()))),
            ("Value", json!(found.value)),
            ("DataType", json!(found.data_type)),
        ];
        let asked = |name: &str| expected.get(name).is_some_and(|it| !it.is_null());
        Ok(Some(Json::Object(
            (all.into_iter())
                .filter(|(name, _)| asked(name))
                .map(|(name, it)| (name.to_owned(), it))
                .collect(),
        )))
    }
}
