//! EC2's types for CloudFormation (CloudFormation User Guide, "AWS::EC2::…").

mod group;
mod network;
mod route;

use cloud::{ResourceError, ResourceRequest, Service};
use serde_json::Value as Json;
use shapes::ec2::{ResourceType, Tag, TagSpecification};

use crate::tags::Tags;

pub fn register(service: Service) -> Service {
    service
        .resource(network::VpcType)
        .resource(network::SubnetType)
        .resource(network::InternetGatewayType)
        .resource(network::AttachmentType)
        .resource(route::RouteTableType)
        .resource(route::RouteType)
        .resource(route::AssociationType)
        .resource(group::SecurityGroupType)
        .resource(group::IngressType)
        .resource(group::EgressType)
}

/// The tags of a request, for a create operation.
fn tag_specifications(
    request: &ResourceRequest,
    kind: ResourceType,
) -> Option<Vec<TagSpecification>> {
    let tags = tag_list(&request.all_tags());
    (!tags.is_empty()).then(|| {
        vec![TagSpecification {
            resource_type: Some(kind),
            tags: Some(tags),
        }]
    })
}

fn tag_list(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        })
        .collect()
}

/// A property that must be there: the engine has checked it, so this is about its form.
fn required(request: &ResourceRequest, name: &str) -> Result<String, ResourceError> {
    request
        .text(name)
        .ok_or_else(|| ResourceError::new(format!("Property {name} must be text")))
}

fn flag(request: &ResourceRequest, name: &str) -> Option<bool> {
    request.text(name).map(|it| it.eq_ignore_ascii_case("true"))
}

/// Text of a stored property.
fn text(properties: &Json, name: &str) -> Option<String> {
    properties.get(name)?.as_str().map(str::to_owned)
}

fn unknown_attribute<T>(name: &str) -> Result<T, ResourceError> {
    Err(ResourceError::new(format!("attribute {name} is not known")))
}

/// Deleting what is gone already is success.
fn gone_is_fine<T>(outcome: Result<T, cloud::Error>) -> Result<(), ResourceError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if error.code.ends_with("NotFound") || error.code.ends_with("NotAttached") => {
            Ok(())
        }
        // Something that is being deleted at this moment may still hold it.
        Err(error) if error.code == "DependencyViolation" => {
            Err(ResourceError::retry(error.message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Tags that changed, through the same operations as everybody's.
async fn update_tags(
    cx: &cloud::Cx,
    id: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let new = request.all_tags();
    let before = ResourceRequest {
        properties: old.clone(),
        ..request.clone()
    }
    .all_tags();
    let unwanted: Tags = before
        .into_iter()
        .filter(|(key, _)| !new.contains_key(key))
        .collect();
    if !unwanted.is_empty() {
        let tags = unwanted
            .into_keys()
            .map(|key| Tag {
                key: Some(key),
                value: None,
            })
            .collect();
        let input = shapes::ec2::DeleteTagsInput {
            resources: vec![id.into()],
            tags: Some(tags),
            ..Default::default()
        };
        cx.call(input).await?;
    }
    if !new.is_empty() {
        let input = shapes::ec2::CreateTagsInput {
            resources: vec![id.into()],
            tags: tag_list(&new),
            ..Default::default()
        };
        cx.call(input).await?;
    }
    Ok(())
}
