//! The CloudFormation types of CodeBuild.

mod credential;
mod project;
mod report_group;

pub use credential::SourceCredentialType;
pub use project::ProjectType;
pub use report_group::ReportGroupType;

use cloud::{ResourceError, ResourceRequest};
use serde_json::Value as Json;
use shapes::codebuild::Tag;
use wire::Value;

/// An operation's input out of a template's properties, without some of them.
fn input<T: Value + Default>(properties: &Json, without: &[&str]) -> Result<T, ResourceError> {
    let mut json = properties.clone();
    if let Some(members) = json.as_object_mut() {
        members.retain(|name, it| !without.contains(&name.as_str()) && !it.is_null());
    }
    wire::lenient_partial(json).map_err(|error| ResourceError::new(error.to_string()))
}

fn tags(request: &ResourceRequest) -> Vec<Tag> {
    let tags = request.all_tags().into_iter();
    tags.map(|(key, value)| Tag {
        key: Some(key),
        value: Some(value),
    })
    .collect()
}
