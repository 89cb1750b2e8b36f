//! The CloudFormation types of ECS.

mod cluster;
mod service;
mod service_properties;
mod task_definition;
mod task_definition_properties;

use std::collections::BTreeMap;

use cloud::ResourceError;
use serde_json::{Map, Value as Json};
use shapes::ecs::Tag;

pub use cluster::Cluster;
pub use service::Service;
pub use task_definition::TaskDefinition;

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter()
        .map(|(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        })
        .collect()
}

/// The properties as an operation's input takes them: without those named, which are handled apart.
fn input<T: wire::Value + Default>(
    properties: &Json,
    without: &[&str],
) -> Result<T, ResourceError> {
    let all = properties.as_object().cloned().unwrap_or_default();
    let kept: Map<String, Json> = all
        .into_iter()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .collect();
    wire::lenient_partial(Json::Object(kept)).map_err(|error| ResourceError::new(error.to_string()))
}

fn unknown_attribute(name: &str) -> ResourceError {
    ResourceError::new(format!("there is no attribute `{name}`"))
}
