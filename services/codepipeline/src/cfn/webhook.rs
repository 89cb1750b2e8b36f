//! `AWS::CodePipeline::Webhook`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::codepipeline::*;

pub struct WebhookType;

const NAME_LENGTH_MAX: usize = 100;

const PROPERTIES: &[Property] = &[
    Property::text("Authentication").required(),
    Property::object("AuthenticationConfiguration")
        .required()
        .members(&[
            Property::text("AllowedIPRange"),
            Property::text("SecretToken"),
        ]),
    Property::objects("Filters").required().members(&[
        Property::text("JsonPath").required(),
        Property::text("MatchEquals"),
    ]),
    Property::text("Name").replaces(),
    Property::flag("RegisterWithThirdParty"),
    Property::text("TargetAction").required(),
    Property::text("TargetPipeline").required(),
    // Required by the schema, and of no effect on AWS either.
    Property::number("TargetPipelineVersion"),
];

async fn put(cx: &Cx, name: &str, request: &ResourceRequest) -> Result<(), ResourceError> {
    let input = PutWebhookInput {
        webhook: WebhookDefinition {
            name: name.to_owned(),
            target_pipeline: request.required_text("TargetPipeline")?,
            target_action: request.required_text("TargetAction")?,
            filters: request.shape("Filters")?.unwrap_or_default(),
            authentication: request.parsed("Authentication")?.unwrap_or_default(),
            authentication_configuration: request
                .shape("AuthenticationConfiguration")?
                .unwrap_or_default(),
        },
        tags: None,
    };
    cx.with_token(&request.token).call(input).await?;
    request.made.note(name);
    if request.flag("RegisterWithThirdParty") == Some(true) {
        let webhook_name = Some(name.to_owned());
        let input = RegisterWebhookWithThirdPartyInput { webhook_name };
        cx.call(input).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for WebhookType {
    fn name(&self) -> &'static str {
        "AWS::CodePipeline::Webhook"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Url"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.name("Name", NAME_LENGTH_MAX);
        put(cx, &name, request).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        _: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        put(cx, physical_id, request).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let name = physical_id.to_owned();
        cx.call(DeleteWebhookInput { name }).await?;
        Ok(())
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let mut next_token = None;
        loop {
            let input = ListWebhooksInput {
                next_token,
                max_results: None,
            };
            let answer = cx.call(input).await?;
            let all = answer.webhooks.unwrap_or_default();
            if let Some(found) = all.into_iter().find(|it| it.definition.name == physical_id) {
                return Ok(json!({ "Url": found.url }));
            }
            next_token = answer.next_token;
            if next_token.is_none() {
                return Err(ResourceError::new(format!(
                    "there is no webhook {physical_id}"
                )));
            }
        }
    }
}
