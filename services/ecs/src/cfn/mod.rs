//! The CloudFormation types of ECS.

mod cluster;
mod service;
mod service_properties;
mod task_definition;
mod task_definition_properties;

use std::collections::BTreeMap;

use cloud::{Cx, ResourceError, ResourceRequest};
use serde_json::Value as Json;
use shapes::ecs::{Tag, TagResourceInput, UntagResourceInput};

pub use cluster::Cluster;
pub use service::Service;
pub use task_definition::{TaskDefinition, refusal};

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter()
        .map(|(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        })
        .collect()
}

/// Gives a resource the tags of its template, and takes away those that it had from it before.
async fn update_tags(
    cx: &Cx,
    resource_arn: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let changes = request.tag_changes(old);
    if !changes.unset.is_empty() {
        cx.call(UntagResourceInput {
            resource_arn: resource_arn.to_owned(),
            tag_keys: changes.unset,
        })
        .await?;
    }
    cx.call(TagResourceInput {
        resource_arn: resource_arn.to_owned(),
        tags: tag_list(changes.set),
    })
    .await?;
    Ok(())
}
