//! `AWS::CodeBuild::Project`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::codebuild::*;

use super::tags;
use crate::names::project_arn;

pub struct ProjectType;

const NAME_LENGTH_MAX: usize = 150;

const ARTIFACTS: &[Property] = &[
    Property::text("ArtifactIdentifier"),
    Property::flag("EncryptionDisabled"),
    Property::text("Location"),
    Property::text("Name"),
    Property::text("NamespaceType"),
    Property::flag("OverrideArtifactName"),
    Property::text("Packaging"),
    Property::text("Path"),
    Property::text("Type").required(),
];
const SOURCE: &[Property] = &[
    Property::object("Auth").members(&[
        Property::text("Resource"),
        Property::text("Type").required(),
    ]),
    Property::text("BuildSpec"),
    Property::number("GitCloneDepth"),
    Property::object("GitSubmodulesConfig")
        .members(&[Property::flag("FetchSubmodules").required()]),
    Property::flag("InsecureSsl"),
    Property::text("Location"),
    Property::flag("ReportBuildStatus"),
    Property::text("SourceIdentifier"),
    Property::text("Type").required(),
];
const ENVIRONMENT: &[Property] = &[
    Property::text("ComputeType").required(),
    Property::objects("EnvironmentVariables").members(&[
        Property::text("Name").required(),
        Property::text("Type"),
        Property::text("Value").required(),
    ]),
    Property::text("Image").required(),
    Property::text("ImagePullCredentialsType"),
    Property::flag("PrivilegedMode"),
    Property::object("RegistryCredential").members(&[
        Property::text("Credential").required(),
        Property::text("CredentialProvider").required(),
    ]),
    Property::text("Type").required(),
];
const LOGS: &[Property] = &[
    Property::object("CloudWatchLogs").members(&[
        Property::text("GroupName"),
        Property::text("Status").required(),
        Property::text("StreamName"),
    ]),
    Property::object("S3Logs").members(&[
        Property::flag("EncryptionDisabled"),
        Property::text("Location"),
        Property::text("Status").required(),
    ]),
];
const PROPERTIES: &[Property] = &[
    Property::object("Artifacts").members(ARTIFACTS).required(),
    Property::flag("BadgeEnabled"),
    Property::object("Cache").members(&[
        Property::text("Location"),
        Property::texts("Modes"),
        Property::text("Type").required(),
    ]),
    Property::number("ConcurrentBuildLimit"),
    Property::text("Description"),
    Property::text("EncryptionKey"),
    Property::object("Environment")
        .members(ENVIRONMENT)
        .required(),
    Property::object("LogsConfig").members(LOGS),
    Property::text("Name").names(),
    Property::number("QueuedTimeoutInMinutes"),
    Property::objects("SecondaryArtifacts").members(ARTIFACTS),
    Property::objects("SecondarySourceVersions").members(&[
        Property::text("SourceIdentifier").required(),
        Property::text("SourceVersion"),
    ]),
    Property::objects("SecondarySources").members(SOURCE),
    Property::text("ServiceRole").required(),
    Property::object("Source").members(SOURCE).required(),
    Property::text("SourceVersion"),
    Property::TAGS,
    Property::number("TimeoutInMinutes"),
];

/// A source's `BuildSpec` is `buildspec` in the API.
fn renamed(properties: &Json) -> Json {
    let mut properties = properties.clone();
    let rename = |source: &mut Json| {
        if let Some(members) = source.as_object_mut()
            && let Some(text) = members.remove("BuildSpec")
        {
            // A buildspec may stand there as an object, which is JSON as text.
            let text = match text {
                Json::String(_) | Json::Null => text,
                other => Json::String(other.to_string()),
            };
            members.insert("Buildspec".into(), text);
        }
    };
    rename(&mut properties["Source"]);
    if let Some(sources) = properties["SecondarySources"].as_array_mut() {
        sources.iter_mut().for_each(rename);
    }
    properties
}

fn create_input(
    name: &str,
    request: &ResourceRequest,
) -> Result<CreateProjectInput, ResourceError> {
    let mut call: CreateProjectInput =
        cloud::read_properties(&renamed(&request.properties), &["Tags", "Name"])?;
    call.name = name.to_owned();
    call.tags = Some(tags(request));
    Ok(call)
}

#[async_trait]
impl ResourceType for ProjectType {
    fn name(&self) -> &'static str {
        "AWS::CodeBuild::Project"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = cloud::known_part(properties);
        cloud::read_known::<CreateProjectInput>(&renamed(&known), &["Tags", "Name"])?;
        let refused = |what: String| Err(format!("{what} is not supported by neargate"));
        match known["Environment"]["Type"].as_str() {
            None | Some("LINUX_CONTAINER") => {}
            Some(other) => return refused(format!("environment type {other}")),
        }
        let others = known["SecondarySources"].as_array().into_iter().flatten();
        for source in others.chain([&known["Source"]]) {
            if let Some(other @ ("BITBUCKET" | "GITLAB" | "GITLAB_SELF_MANAGED")) =
                source["Type"].as_str()
            {
                return refused(format!("source type {other}"));
            }
        }
        Ok(())
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.name("Name", NAME_LENGTH_MAX);
        let call = create_input(&name, request)?;
        cx.with_token(&request.token).call(call).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let new = create_input(physical_id, request)?;
        // What left the template goes back to what it is without.
        let call = UpdateProjectInput {
            name: new.name,
            description: Some(new.description.unwrap_or_default()),
            source: Some(new.source),
            secondary_sources: Some(new.secondary_sources.unwrap_or_default()),
            source_version: Some(new.source_version.unwrap_or_default()),
            secondary_source_versions: Some(new.secondary_source_versions.unwrap_or_default()),
            artifacts: Some(new.artifacts),
            secondary_artifacts: Some(new.secondary_artifacts.unwrap_or_default()),
            cache: Some(new.cache.unwrap_or(ProjectCache {
                r#type: CacheType::NoCache,
                ..Default::default()
            })),
            environment: Some(new.environment),
            service_role: Some(new.service_role),
            timeout_in_minutes: Some(new.timeout_in_minutes.unwrap_or(crate::project::TIMEOUT)),
            queued_timeout_in_minutes: Some(
                new.queued_timeout_in_minutes
                    .unwrap_or(crate::project::QUEUED_TIMEOUT),
            ),
            encryption_key: new.encryption_key,
            tags: new.tags,
            logs_config: Some(new.logs_config.unwrap_or_default()),
            concurrent_build_limit: Some(new.concurrent_build_limit.unwrap_or(-1)),
        };
        cx.call(call).await?;
        Ok(())
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let name = physical_id.to_owned();
        cx.call(DeleteProjectInput { name }).await?;
        Ok(())
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(json!({ "Arn": project_arn(cx, physical_id) }))
    }
}
