//! `AWS::CodePipeline::Pipeline`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::codepipeline::*;

use super::tag_list;
use crate::pipeline::arn;

pub struct PipelineType;

const NAME_LENGTH_MAX: usize = 100;

const STORE: &[Property] = &[
    Property::object("EncryptionKey").members(&[
        Property::text("Id").required(),
        Property::text("Type").required(),
    ]),
    Property::text("Location").required(),
    Property::text("Type").required(),
];
const STORES: &[Property] = &[
    Property::object("ArtifactStore").required().members(STORE),
    Property::text("Region").required(),
];
const ARTIFACT: &[Property] = &[Property::text("Name").required()];
const ACTION: &[Property] = &[
    Property::object("ActionTypeId").required().members(&[
        Property::text("Category").required(),
        Property::text("Owner").required(),
        Property::text("Provider").required(),
        Property::text("Version").required(),
    ]),
    Property::any("Configuration"),
    Property::objects("InputArtifacts").members(ARTIFACT),
    Property::text("Name").required(),
    Property::text("Namespace"),
    Property::objects("OutputArtifacts").members(ARTIFACT),
    Property::text("Region"),
    Property::text("RoleArn"),
    Property::number("RunOrder"),
    Property::number("TimeoutInMinutes"),
];
const STAGE: &[Property] = &[
    Property::objects("Actions").required().members(ACTION),
    Property::objects("Blockers"),
    Property::text("Name").required(),
];
const PATTERNS: &[Property] = &[Property::texts("Excludes"), Property::texts("Includes")];
const TRIGGER: &[Property] = &[
    Property::object("GitConfiguration").members(&[
        Property::objects("Push").members(&[
            Property::object("Branches").members(PATTERNS),
            Property::object("FilePaths").members(PATTERNS),
        ]),
        Property::text("SourceActionName").required(),
    ]),
    Property::text("ProviderType").required(),
];
const PROPERTIES: &[Property] = &[
    Property::object("ArtifactStore").members(STORE),
    Property::objects("ArtifactStores").members(STORES),
    Property::objects("DisableInboundStageTransitions").members(&[
        Property::text("Reason").required(),
        Property::text("StageName").required(),
    ]),
    Property::text("ExecutionMode"),
    Property::text("Name").names(),
    Property::text("PipelineType"),
    Property::flag("RestartExecutionOnUpdate"),
    Property::text("RoleArn").required(),
    Property::objects("Stages").required().members(STAGE),
    Property::TAGS,
    Property::objects("Triggers").members(TRIGGER),
    Property::objects("Variables").members(&[
        Property::text("DefaultValue"),
        Property::text("Description"),
        Property::text("Name").required(),
    ]),
];

/// The template's form as the API has it: stores are a list there and a map here, and a configuration
/// keeps the names of its members.
fn declaration(
    request: &ResourceRequest,
    name: &str,
) -> Result<PipelineDeclaration, ResourceError> {
    let mut configurations = configurations(&request.properties);
    let bare = request.with_properties(&without_configurations(&request.properties));
    let mut stages: Vec<StageDeclaration> = bare.shape("Stages")?.unwrap_or_default();
    for (stage, mut actions) in stages.iter_mut().zip(configurations.drain(..)) {
        for (action, configuration) in stage.actions.iter_mut().zip(actions.drain(..)) {
            action.configuration = Some(configuration);
        }
    }
    let stores = request.get("ArtifactStores").and_then(Json::as_array);
    let artifact_stores = stores.map(|stores| {
        let each = stores.iter().map(|it| {
            let region = it["Region"].as_str().unwrap_or_default().to_owned();
            let store = wire::lenient::<ArtifactStore>(it["ArtifactStore"].clone());
            let store =
                store.map_err(|error| ResourceError::new(format!("ArtifactStores: {error}")));
            Ok((region, store?))
        });
        each.collect::<Result<_, ResourceError>>()
    });
    Ok(PipelineDeclaration {
        name: name.to_owned(),
        role_arn: request.required_text("RoleArn")?,
        artifact_store: request.shape("ArtifactStore")?,
        artifact_stores: artifact_stores.transpose()?,
        stages,
        version: None,
        execution_mode: request.parsed("ExecutionMode")?,
        pipeline_type: request.parsed("PipelineType")?,
        variables: request.shape("Variables")?,
        triggers: request.shape("Triggers")?,
    })
}

fn without_configurations(properties: &Json) -> Json {
    let mut properties = properties.clone();
    let stages = properties["Stages"].as_array_mut().into_iter().flatten();
    for stage in stages {
        let actions = stage["Actions"].as_array_mut().into_iter().flatten();
        for members in actions.filter_map(Json::as_object_mut) {
            members.remove("Configuration");
        }
    }
    properties
}

type Configuration = std::collections::BTreeMap<String, String>;

/// By stage and action, with scalars as text; what is no scalar is JSON as text, as for
/// `EnvironmentVariables` or `ParameterOverrides`.
fn configurations(properties: &Json) -> Vec<Vec<Configuration>> {
    let list = |json: &Json, name: &str| json[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let of_action = |action: &Json| {
        let members = action["Configuration"].as_object().into_iter().flatten();
        members
            .filter(|it| !it.1.is_null())
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    };
    let stages = list(properties, "Stages");
    stages
        .iter()
        .map(|stage| list(stage, "Actions").iter().map(of_action).collect())
        .collect()
}

/// Stages that nothing shall enter, and why.
fn disabled(properties: &Json) -> Vec<(String, String)> {
    let list = properties["DisableInboundStageTransitions"].as_array();
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    list.into_iter()
        .flatten()
        .map(|it| (text(&it["StageName"]), text(&it["Reason"])))
        .collect()
}

async fn set_transitions(cx: &Cx, name: &str, old: &Json, new: &Json) -> Result<(), ResourceError> {
    let (before, now) = (disabled(old), disabled(new));
    for (stage_name, _) in before
        .iter()
        .filter(|it| !now.iter().any(|new| new.0 == it.0))
    {
        let input = EnableStageTransitionInput {
            pipeline_name: name.to_owned(),
            stage_name: stage_name.clone(),
            transition_type: StageTransitionType::Inbound,
        };
        match cx.call(input).await {
            // The stage went along with its transition.
            Err(error) if error.is(errors::StageNotFoundException) => (),
            other => {
                other?;
            }
        }
    }
    for (stage_name, reason) in now {
        let input = DisableStageTransitionInput {
            pipeline_name: name.to_owned(),
            stage_name,
            transition_type: StageTransitionType::Inbound,
            reason,
        };
        cx.call(input).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for PipelineType {
    fn name(&self) -> &'static str {
        "AWS::CodePipeline::Pipeline"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Version"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.name("Name", NAME_LENGTH_MAX);
        let input = CreatePipelineInput {
            pipeline: declaration(request, &name)?,
            tags: Some(tag_list(request.all_tags())),
        };
        cx.with_token(&request.token).call(input).await?;
        request.made.note(&name);
        set_transitions(cx, &name, &Json::Null, &request.properties).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let pipeline = declaration(request, physical_id)?;
        let before = declaration(&request.with_properties(old), physical_id)?;
        if pipeline != before {
            cx.call(UpdatePipelineInput { pipeline }).await?;
        }
        set_transitions(cx, physical_id, old, &request.properties).await?;
        let resource_arn = arn(cx, physical_id);
        let untag = |tag_keys| UntagResourceInput {
            resource_arn: resource_arn.clone(),
            tag_keys,
        };
        let tag = |tags| TagResourceInput {
            resource_arn: resource_arn.clone(),
            tags: tag_list(tags),
        };
        request.tag_changes(old).apply(cx, untag, tag).await?;
        if request.flag("RestartExecutionOnUpdate") == Some(true) {
            let input = StartPipelineExecutionInput {
                name: physical_id.to_owned(),
                // The same update asks for one execution, however often it is repeated.
                client_request_token: Some(cloud::token_hex(&request.token, "restart", 32)),
                ..Default::default()
            };
            cx.call(input).await?;
        }
        Ok(())
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let name = physical_id.to_owned();
        cx.call(DeletePipelineInput { name }).await?;
        Ok(())
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let input = GetPipelineInput {
            name: physical_id.to_owned(),
            version: None,
        };
        let pipeline = cx.call(input).await?.pipeline.unwrap_or_default();
        Ok(json!({ "Version": pipeline.version.unwrap_or_default().to_string() }))
    }
}
