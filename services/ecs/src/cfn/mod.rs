//! The CloudFormation types of ECS.

mod cluster;
mod service;
mod service_properties;
mod task_definition;
mod task_definition_properties;

use std::collections::BTreeMap;

use cloud::{Cx, ResourceError, TagChanges};
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

async fn retag(cx: &Cx, resource_arn: &str, changes: TagChanges) -> Result<(), ResourceError> {
    let untag = |tag_keys| UntagResourceInput {
        resource_arn: resource_arn.to_owned(),
        tag_keys,
    };
    let tag = |tags| TagResourceInput {
        resource_arn: resource_arn.to_owned(),
        tags: tag_list(tags),
    };
    changes.apply(cx, untag, tag).await
}
