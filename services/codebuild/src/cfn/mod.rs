//! The CloudFormation types of CodeBuild.

mod credential;
mod project;
mod report_group;

pub use credential::SourceCredentialType;
pub use project::ProjectType;
pub use report_group::ReportGroupType;

use cloud::ResourceRequest;
use shapes::codebuild::Tag;

fn tags(request: &ResourceRequest) -> Vec<Tag> {
    let tags = request.all_tags().into_iter();
    tags.map(|(key, value)| Tag {
        key: Some(key),
        value: Some(value),
    })
    .collect()
}
