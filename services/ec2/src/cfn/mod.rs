//! EC2's types for CloudFormation (CloudFormation User Guide, "AWS::EC2::…").

mod acl;
mod dhcp;
mod group;
mod nat;
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
        .resource(acl::NetworkAclType)
        .resource(acl::EntryType)
        .resource(acl::AssociationType)
        .resource(dhcp::DhcpOptionsType)
        .resource(dhcp::AssociationType)
        .resource(nat::EipType)
        .resource(nat::NatGatewayType)
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

/// Text of a stored property.
fn text(properties: &Json, name: &str) -> Option<String> {
    properties.get(name)?.as_str().map(str::to_owned)
}

/// Deleting what is gone already is success.
fn gone_is_fine<T>(outcome: Result<T, cloud::Error>) -> Result<(), ResourceError> {
    cloud::deletion(
        outcome,
        &["NotFound", "NotAttached"],
        &["DependencyViolation"],
    )
}

/// Tags that changed, through the same operations as everybody's.
async fn update_tags(
    cx: &cloud::Cx,
    id: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let changes = request.tag_changes(old);
    if !changes.unset.is_empty() {
        let tags = changes
            .unset
            .into_iter()
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
    if !changes.set.is_empty() {
        let input = shapes::ec2::CreateTagsInput {
            resources: vec![id.into()],
            tags: tag_list(&changes.set),
            ..Default::default()
        };
        cx.call(input).await?;
    }
    Ok(())
}
