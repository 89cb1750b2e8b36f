//! EC2's types for CloudFormation (CloudFormation User Guide, "AWS::EC2::…").

mod acl;
mod dhcp;
mod group;
mod instance;
mod key_pair;
mod launch_template;
mod nat;
mod network;
mod route;

use cloud::{Cx, ResourceError, ResourceRequest, Service, TagChanges};
use serde_json::Value as Json;
use shapes::ec2::{CreateTagsInput, DeleteTagsInput, ResourceType, Tag, TagSpecification};

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
        .resource(launch_template::LaunchTemplateType)
        .resource(instance::InstanceType)
        .resource(key_pair::KeyPairType)
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
async fn retag(cx: &Cx, id: &str, changes: TagChanges) -> Result<(), ResourceError> {
    let key = |key| Tag {
        key: Some(key),
        value: None,
    };
    let untag = |keys: Vec<String>| DeleteTagsInput {
        resources: vec![id.into()],
        tags: Some(keys.into_iter().map(key).collect()),
        ..Default::default()
    };
    let tag = |tags| CreateTagsInput {
        resources: vec![id.into()],
        tags: tag_list(&tags),
        ..Default::default()
    };
    changes.apply(cx, untag, tag).await
}
