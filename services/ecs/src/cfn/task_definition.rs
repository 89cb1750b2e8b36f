//! `AWS::ECS::TaskDefinition`: `Ref` is its ARN. Everything but the tags is replaced on change.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, TagChanges};
use serde_json::Value as Json;
use shapes::ecs::*;

use super::task_definition_properties::PROPERTIES;
use super::{retag, tag_list};
use crate::definition_rules::{check, refuse_of_definition};

pub struct TaskDefinition;

const NAME_LENGTH_MAX: usize = 255;
/// Stands for a value that nobody knows yet, and that is taken for one that is allowed.
const ANY: &str = "later";

/// What registering a definition would be refused with, as far as its properties are known.
pub fn refusal(properties: &Json) -> Option<String> {
    let read = cloud::read_known::<RegisterTaskDefinitionInput>(&filled(properties), &["Tags"]);
    let mut asked = match read {
        Ok(asked) => asked?,
        Err(refused) => return Some(refused),
    };
    let is_open = |it: &Option<String>| it.as_deref() == Some(ANY);
    if is_open(&asked.cpu) || is_open(&asked.memory) || asked.container_definitions.is_empty() {
        return None;
    }
    if asked.family.is_empty() {
        asked.family = ANY.to_owned();
    }
    check(&mut asked).err().map(|it| it.message)
}

fn filled(value: &Json) -> Json {
    match value {
        Json::String(text) if text.contains(cloud::KNOWN_LATER) => ANY.into(),
        Json::Array(items) => items.iter().map(filled).collect(),
        Json::Object(members) => Json::Object(
            (members.iter())
                .map(|(name, it)| (name.clone(), filled(it)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[async_trait]
impl ResourceType for TaskDefinition {
    fn name(&self) -> &'static str {
        "AWS::ECS::TaskDefinition"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["TaskDefinitionArn"]
    }

    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = cloud::known_part(properties);
        let read = cloud::read_known(&known, &["Tags"])?;
        // What cannot be read yet is left to the operation.
        let Some(mut asked): Option<RegisterTaskDefinitionInput> = read else {
            return Ok(());
        };
        if known["RequiresCompatibilities"] != properties["RequiresCompatibilities"] {
            asked.requires_compatibilities = None;
        }
        refuse_of_definition(&asked).map_err(|it| it.message)
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let mut call: RegisterTaskDefinitionInput =
            cloud::read_properties(&request.properties, &["Tags"])?;
        if call.family.is_empty() {
            call.family = request.generated_name(NAME_LENGTH_MAX);
        }
        call.tags = Some(tag_list(request.all_tags()));
        let made = cx.with_token(&request.token).call(call).await?;
        Created::of(made.task_definition.and_then(|it| it.task_definition_arn))
    }

    async fn retag(&self, cx: &Cx, arn: &str, changes: TagChanges) -> Result<(), ResourceError> {
        retag(cx, arn, changes).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let call = DeregisterTaskDefinitionInput {
            task_definition: physical_id.to_owned(),
        };
        match cx.call(call).await {
            Err(error) if error.message.contains("does not exist") => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}
