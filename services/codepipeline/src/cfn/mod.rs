//! The CloudFormation types of CodePipeline.

mod pipeline;
mod webhook;

use std::collections::BTreeMap;

use shapes::codepipeline::Tag;

pub use pipeline::PipelineType;
pub use webhook::WebhookType;

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tags = tags.into_iter();
    tags.map(|(key, value)| Tag { key, value }).collect()
}
