//! LaunchTemplate.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, known_part};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, CreateLaunchTemplateInput, CreateLaunchTemplateVersionInput, DeleteLaunchTemplateInput,
    DescribeLaunchTemplatesInput, LaunchTemplate, RequestLaunchTemplateData, Tag, TagSpecification,
};

use super::gone_is_fine;

pub struct LaunchTemplateType;

/// The template's own tags: those of its property and of its stack.
fn tags(request: &ResourceRequest) -> Option<Vec<TagSpecification>> {
    let mut tags = request.all_tags();
    let given = request.get("TagSpecifications").and_then(Json::as_array);
    for specification in given.into_iter().flatten() {
        for tag in specification["Tags"].as_array().into_iter().flatten() {
            if let (Some(key), Some(value)) = (tag["Key"].as_str(), tag["Value"].as_str()) {
                tags.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    let tags: Vec<Tag> = (tags.into_iter())
        .map(|(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        })
        .collect();
    (!tags.is_empty()).then(|| {
        vec![TagSpecification {
            resource_type: Some(ec2::ResourceType::LaunchTemplate),
            tags: Some(tags),
        }]
    })
}

fn data(request: &ResourceRequest) -> Result<RequestLaunchTemplateData, ResourceError> {
    let data = request.shape("LaunchTemplateData")?;
    Ok(data.unwrap_or_default())
}

async fn template(cx: &Cx, id: &str) -> Result<LaunchTemplate, ResourceError> {
    let input = DescribeLaunchTemplatesInput {
        launch_template_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = cx.call(input).await?.launch_templates.unwrap_or_default();
    let found = found.into_iter().next();
    found.ok_or_else(|| ResourceError::new(format!("launch template {id} is gone")))
}

#[async_trait]
impl ResourceType for LaunchTemplateType {
    fn name(&self) -> &'static str {
        "AWS::EC2::LaunchTemplate"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::object("LaunchTemplateData").required(),
                Property::text("LaunchTemplateName").names(),
                Property::objects("TagSpecifications")
                    .members(const { &[Property::text("ResourceType"), Property::TAGS] })
                    .replaces(),
                Property::text("VersionDescription"),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["LaunchTemplateId"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["DefaultVersionNumber", "LatestVersionNumber"]
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = known_part(properties);
        let data = known.get("LaunchTemplateData").cloned().unwrap_or_default();
        cloud::read_known::<RequestLaunchTemplateData>(&data, &[]).map(drop)
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        const NAME_MAX: usize = 128;
        let name = request.text("LaunchTemplateName");
        let input = CreateLaunchTemplateInput {
            launch_template_name: name.unwrap_or_else(|| request.generated_name(NAME_MAX)),
            launch_template_data: data(request)?,
            version_description: request.text("VersionDescription"),
            tag_specifications: tags(request),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.launch_template.and_then(|it| it.launch_template_id))
    }
    /// A new version, which does not become the default (CloudFormation User Guide, "AWS::EC2::LaunchTemplate").
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let input = CreateLaunchTemplateVersionInput {
            launch_template_id: Some(id.to_owned()),
            launch_template_data: data(request)?,
            version_description: request.text("VersionDescription"),
            ..Default::default()
        };
        cx.with_token(&*request.token).call(input).await?;
        Ok(())
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteLaunchTemplateInput {
            launch_template_id: Some(id.to_owned()),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn read(&self, cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        let found = template(cx, id).await?;
        let number = |it: Option<i64>| it.unwrap_or_default().to_string();
        Ok(json!({
            "DefaultVersionNumber": number(found.default_version_number),
            "LatestVersionNumber": number(found.latest_version_number),
        }))
    }
}
