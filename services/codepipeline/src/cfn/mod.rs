//! The CloudFormation types of CodePipeline.

mod pipeline;
mod webhook;

use std::collections::BTreeMap;

use cloud::{Cx, ResourceError, ResourceRequest};
use serde_json::Value as Json;
use shapes::codepipeline::{Tag, TagResourceInput, UntagResourceInput};

pub use pipeline::PipelineType;
pub use webhook::WebhookType;

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tags = tags.into_iter();
    tags.map(|(key, value)| Tag { key, value }).collect()
}

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
