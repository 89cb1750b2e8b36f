//! What a stack is made from, out of artifacts: `Artifact::path` for template and configuration, and
//! parameters that are looked up in artifacts (CodePipeline User Guide, "CloudFormation deploy action
//! reference", "Using parameter override functions").

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use shapes::cloudformation::{Capability, Parameter, Tag};

use super::artifacts;
use super::{Session, Trouble};
use crate::record::ActionRun;

/// CloudFormation's limit of a template out of a bucket.
const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;
/// The reference's limit of a file that parameters are looked up in.
const PARAMETER_FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Default)]
pub struct StackInput {
    pub template: String,
    pub parameters: Vec<Parameter>,
    pub tags: Vec<Tag>,
    pub policy: Option<String>,
    pub capabilities: Vec<Capability>,
}

pub async fn read(cx: &Session, run: &ActionRun) -> Result<StackInput, Trouble> {
    let template = run
        .setting("TemplatePath")
        .ok_or_else(|| Trouble::configuration("TemplatePath is required for this ActionMode"))?;
    let template = text(cx, run, template, TEMPLATE_BYTES_MAX).await?;
    let mut input = StackInput {
        template,
        capabilities: capabilities(run.setting("Capabilities").unwrap_or_default())
            .map_err(Trouble::configuration)?,
        ..Default::default()
    };
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    if let Some(path) = run.setting("TemplateConfiguration") {
        let content = text(cx, run, path, PARAMETER_FILE_BYTES_MAX).await?;
        let file: Map<String, Json> = serde_json::from_str(&content).map_err(|error| {
            Trouble::configuration(format!(
                "The template configuration {path} is not valid: {error}"
            ))
        })?;
        parameters.extend(texts(file.get("Parameters")));
        input.policy = file.get("StackPolicy").map(Json::to_string);
        let tags = texts(file.get("Tags")).into_iter();
        input.tags = tags.map(|(key, value)| Tag { key, value }).collect();
    }
    if let Some(overrides) = run.setting("ParameterOverrides") {
        for (name, value) in overrides_of(overrides).map_err(Trouble::configuration)? {
            let value = evaluate(cx, run, &name, value).await?;
            parameters.insert(name, value);
        }
    }
    input.parameters = parameters.into_iter().map(parameter).collect();
    Ok(input)
}

fn parameter((key, value): (String, String)) -> Parameter {
    Parameter {
        parameter_key: Some(key),
        parameter_value: Some(value),
        ..Default::default()
    }
}

/// `CAPABILITY_IAM,CAPABILITY_AUTO_EXPAND`.
pub fn capabilities(text: &str) -> Result<Vec<Capability>, String> {
    let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    parts
        .map(|it| {
            it.parse()
                .map_err(|_| format!("Capabilities: '{it}' is not known"))
        })
        .collect()
}

pub fn overrides_of(text: &str) -> Result<Map<String, Json>, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("ParameterOverrides is not a JSON object: {error}"))
}

fn texts(json: Option<&Json>) -> BTreeMap<String, String> {
    let members = json.and_then(Json::as_object).into_iter().flatten();
    members
        .map(|(name, it)| (name.clone(), plain(it)))
        .collect()
}

fn plain(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

async fn evaluate(
    cx: &Session,
    run: &ActionRun,
    name: &str,
    value: Json,
) -> Result<String, Trouble> {
    let arguments = |function: &str| -> Option<Vec<String>> {
        let list = value.get(function)?.as_array()?;
        list.iter()
            .map(|it| it.as_str().map(str::to_owned))
            .collect()
    };
    if let Some([artifact, attribute]) = arguments("Fn::GetArtifactAtt").as_deref() {
        let it = artifacts::input(run, Some(artifact))?;
        return match attribute.as_str() {
            "BucketName" => Ok(it.bucket.clone()),
            "ObjectKey" => Ok(it.key.clone()),
            "URL" => Ok(format!("https://s3.amazonaws.com/{}/{}", it.bucket, it.key)),
            other => Err(Trouble::configuration(format!(
                "ParameterOverrides: {name}: an artifact has no attribute {other}"
            ))),
        };
    }
    if let Some([artifact, file, key]) = arguments("Fn::GetParam").as_deref() {
        let path = format!("{artifact}::{file}");
        let content = text(cx, run, &path, PARAMETER_FILE_BYTES_MAX).await?;
        let found = serde_json::from_str::<Json>(&content)
            .ok()
            .and_then(|it| it.get(key).map(plain));
        return found.ok_or_else(|| {
            Trouble::configuration(format!(
                "ParameterOverrides: {name}: the file {path} has no member {key}"
            ))
        });
    }
    if value.is_object() {
        return Err(Trouble::configuration(format!(
            "ParameterOverrides: {name} is neither text nor Fn::GetArtifactAtt or Fn::GetParam"
        )));
    }
    Ok(plain(&value))
}

/// A file of an input artifact: `Artifact::path/in/it`.
async fn text(cx: &Session, run: &ActionRun, path: &str, size_max: u64) -> Result<String, Trouble> {
    let (artifact, file) = path.split_once("::").ok_or_else(|| {
        Trouble::configuration(format!(
            "{path} is not of the form InputArtifactName::FileName"
        ))
    })?;
    let location = artifacts::input(run, Some(artifact))?;
    let content = artifacts::file(cx, run, location, file, size_max).await?;
    let content = content.ok_or_else(|| {
        Trouble::configuration(format!(
            "File [{file}] does not exist in artifact [{artifact}]"
        ))
    })?;
    String::from_utf8(content)
        .map_err(|_| Trouble::configuration(format!("File [{file}] is not UTF-8 text")))
}
