//! Instance.

use async_trait::async_trait;
use cloud::{
    Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability, known_part,
};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, AssociateIamInstanceProfileInput, AttributeBooleanValue, AttributeValue,
    DescribeIamInstanceProfileAssociationsInput, DescribeInstanceAttributeInput,
    DescribeInstancesInput, DisassociateIamInstanceProfileInput, Filter,
    IamInstanceProfileSpecification, Instance, InstanceAttributeName,
    InstanceNetworkInterfaceSpecification, InstanceStateName, ModifyInstanceAttributeInput,
    ModifyInstanceMetadataOptionsInput, Placement, RunInstancesInput, SecureBlobAttributeValue,
    StartInstancesInput, StopInstancesInput, TerminateInstancesInput,
};

use super::{gone_is_fine, retag, tag_specifications};
use crate::instance::run;

pub struct InstanceType;

async fn instance(cx: &Cx, id: &str) -> Result<Option<Instance>, ResourceError> {
    let input = DescribeInstancesInput {
        instance_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = match cx.call(input).await {
        Err(error) if error.code.ends_with("NotFound") => return Ok(None),
        other => other?.reservations.unwrap_or_default(),
    };
    let mut all = found
        .into_iter()
        .flat_map(|it| it.instances.unwrap_or_default());
    Ok(all.next())
}

fn state(instance: &Instance) -> Option<InstanceStateName> {
    instance.state.as_ref().and_then(|it| it.name)
}

async fn there(cx: &Cx, id: &str) -> Result<Instance, ResourceError> {
    let found = instance(cx, id).await?;
    found.ok_or_else(|| ResourceError::new(format!("instance {id} is gone")))
}

/// The interfaces of a template, which calls groups otherwise than the operation.
fn interfaces(
    given: &Json,
) -> Result<Option<Vec<InstanceNetworkInterfaceSpecification>>, wire::DecodeError> {
    let Some(given) = given.as_array() else {
        return Ok(None);
    };
    let one = |it: &Json| {
        let mut it = it.clone();
        if let Some(members) = it.as_object_mut()
            && let Some(groups) = members.remove("GroupSet")
        {
            members.insert("Groups".into(), groups);
        }
        wire::lenient(it)
    };
    given.iter().map(one).collect::<Result<_, _>>().map(Some)
}

/// What the operation takes under the template's own names.
const ALIKE: [&str; 13] = [
    "BlockDeviceMappings",
    "DisableApiTermination",
    "EbsOptimized",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "KeyName",
    "LaunchTemplate",
    "MetadataOptions",
    "PrivateIpAddress",
    "SecurityGroupIds",
    "SecurityGroups",
    "SubnetId",
];

/// The same properties with these names alone.
fn only(properties: &Json, names: &[&str]) -> Json {
    let members = properties.as_object().into_iter().flatten();
    let members = members.filter(|(name, _)| names.contains(&name.as_str()));
    Json::Object(
        members
            .map(|(name, it)| (name.clone(), it.clone()))
            .collect(),
    )
}

fn launch(request: &ResourceRequest) -> Result<RunInstancesInput, ResourceError> {
    let input: RunInstancesInput = cloud::read_properties(&only(&request.properties, &ALIKE), &[])?;
    let mut tags = tag_specifications(request, ec2::ResourceType::Instance).unwrap_or_default();
    if request.flag("PropagateTagsToVolumeOnCreation") == Some(true) {
        tags.extend(tag_specifications(request, ec2::ResourceType::Volume).unwrap_or_default());
    }
    Ok(RunInstancesInput {
        min_count: 1,
        max_count: 1,
        iam_instance_profile: request.text("IamInstanceProfile").map(profile_named),
        network_interfaces: interfaces(&request.properties["NetworkInterfaces"])?,
        placement: request.text("AvailabilityZone").map(|zone| Placement {
            availability_zone: Some(zone),
            ..Default::default()
        }),
        tag_specifications: (!tags.is_empty()).then_some(tags),
        user_data: request.text("UserData"),
        ..input
    })
}

fn profile_named(name: String) -> IamInstanceProfileSpecification {
    IamInstanceProfileSpecification {
        name: Some(name),
        ..Default::default()
    }
}

#[async_trait]
impl ResourceType for InstanceType {
    fn name(&self) -> &'static str {
        "AWS::EC2::Instance"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("AvailabilityZone").replaces(),
                Property::objects("BlockDeviceMappings").replaces(),
                Property::flag("DisableApiTermination"),
                Property::flag("EbsOptimized"),
                Property::text("IamInstanceProfile"),
                Property::text("ImageId").replaces(),
                Property::text("InstanceInitiatedShutdownBehavior"),
                Property::text("InstanceType"),
                Property::text("KeyName").replaces(),
                Property::object("LaunchTemplate").replaces().members(
                    const {
                        &[
                            Property::text("LaunchTemplateId"),
                            Property::text("LaunchTemplateName"),
                            Property::text("Version"),
                        ]
                    },
                ),
                Property::object("MetadataOptions"),
                Property::objects("NetworkInterfaces").replaces(),
                Property::text("PrivateIpAddress").replaces(),
                Property::flag("PropagateTagsToVolumeOnCreation").replaces(),
                Property::texts("SecurityGroupIds"),
                Property::texts("SecurityGroups").replaces(),
                Property::text("SubnetId").replaces(),
                Property::text("UserData"),
                Property::TAGS,
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["InstanceId"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &[
            "AvailabilityZone",
            "PrivateDnsName",
            "PrivateIp",
            "PublicDnsName",
            "PublicIp",
            "VpcId",
        ]
    }
    fn takes_signals(&self) -> bool {
        true
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = known_part(properties);
        cloud::read_known::<RunInstancesInput>(&only(&known, &ALIKE), &[])?;
        match interfaces(&known["NetworkInterfaces"]) {
            Err(error) => error.unbuilt().map_or(Ok(()), |it| Err(it.to_string())),
            Ok(_) => Ok(()),
        }
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let made = cx
            .with_token(&*request.token)
            .call(launch(request)?)
            .await?
            .instances;
        let first = made.into_iter().flatten().next();
        Created::of(first.and_then(|it| it.instance_id))
    }
    async fn stability(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        let found = there(cx, id).await?;
        Ok(match state(&found) {
            Some(InstanceStateName::Running) => Stability::Stable,
            Some(InstanceStateName::Pending) => Stability::Waiting("it is pending".into()),
            state => {
                let state = state.map(|it| it.to_string()).unwrap_or_default();
                let why = found.state_reason.and_then(|it| it.message);
                Stability::Failed(format!(
                    "Instance {id} is {state}: {}",
                    why.unwrap_or_default()
                ))
            }
        })
    }
    /// Type, user data and EBS optimization are changed while it is stopped; the rest at once.
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let differs = |name: &str| old.get(name) != request.properties.get(name);
        if differs("IamInstanceProfile") {
            change_profile(cx, id, request.text("IamInstanceProfile")).await?;
        }
        if differs("MetadataOptions") && request.get("MetadataOptions").is_some() {
            let options = request.get("MetadataOptions").cloned().unwrap_or_default();
            let input: ModifyInstanceMetadataOptionsInput = cloud::read_properties(&options, &[])?;
            cx.call(ModifyInstanceMetadataOptionsInput {
                instance_id: id.to_owned(),
                ..input
            })
            .await?;
        }
        change_at_once(cx, id, &differs, request).await?;
        if ["InstanceType", "UserData", "EbsOptimized"]
            .into_iter()
            .any(differs)
        {
            change_stopped(cx, id, &differs, request).await?;
        }
        retag(cx, id, request.tag_changes(old)).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = TerminateInstancesInput {
            instance_ids: vec![id.to_owned()],
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn deleted(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        let found = instance(cx, id).await?;
        Ok(match found.as_ref().and_then(state) {
            None | Some(InstanceStateName::Terminated) => Stability::Stable,
            Some(_) => Stability::Waiting("it is being terminated".into()),
        })
    }
    async fn read(&self, cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        let found = there(cx, id).await?;
        let text = |it: Option<String>| it.unwrap_or_default();
        Ok(json!({
            "AvailabilityZone": text(found.placement.and_then(|it| it.availability_zone)),
            "PrivateDnsName": text(found.private_dns_name),
            "PrivateIp": text(found.private_ip_address),
            "PublicDnsName": text(found.public_dns_name),
            "PublicIp": text(found.public_ip_address),
            "VpcId": text(found.vpc_id),
        }))
    }
}

async fn change_profile(cx: &Cx, id: &str, wanted: Option<String>) -> Result<(), ResourceError> {
    let input = DescribeIamInstanceProfileAssociationsInput {
        filters: Some(vec![Filter {
            name: Some("instance-id".into()),
            values: Some(vec![id.to_owned()]),
        }]),
        ..Default::default()
    };
    let found = cx.call(input).await?.iam_instance_profile_associations;
    let is_wanted = |arn: &str| wanted.as_deref() == arn.rsplit('/').next();
    for association in found.into_iter().flatten() {
        let arn = association.iam_instance_profile.and_then(|it| it.arn);
        if arn.is_some_and(|it| is_wanted(&it)) {
            return Ok(());
        }
        let input = DisassociateIamInstanceProfileInput {
            association_id: association.association_id.unwrap_or_default(),
        };
        cx.call(input).await?;
    }
    if let Some(name) = wanted {
        let input = AssociateIamInstanceProfileInput {
            iam_instance_profile: profile_named(name),
            instance_id: id.to_owned(),
        };
        cx.call(input).await?;
    }
    Ok(())
}

async fn change_at_once(
    cx: &Cx,
    id: &str,
    differs: &impl Fn(&str) -> bool,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let modify = || ModifyInstanceAttributeInput {
        instance_id: id.to_owned(),
        ..Default::default()
    };
    if differs("DisableApiTermination") {
        cx.call(ModifyInstanceAttributeInput {
            disable_api_termination: flag(request, "DisableApiTermination"),
            ..modify()
        })
        .await?;
    }
    if differs("InstanceInitiatedShutdownBehavior") {
        let behavior = request.text("InstanceInitiatedShutdownBehavior");
        cx.call(ModifyInstanceAttributeInput {
            instance_initiated_shutdown_behavior: Some(AttributeValue {
                value: Some(behavior.unwrap_or_else(|| "stop".into())),
            }),
            ..modify()
        })
        .await?;
    }
    if differs("SecurityGroupIds") {
        cx.call(ModifyInstanceAttributeInput {
            groups: request.shape("SecurityGroupIds")?,
            ..modify()
        })
        .await?;
    }
    Ok(())
}

fn flag(request: &ResourceRequest, name: &str) -> Option<AttributeBooleanValue> {
    Some(AttributeBooleanValue {
        value: Some(request.flag(name).unwrap_or(false)),
    })
}

/// Whether it has the type and the user data that are asked for, and is or is not optimized.
async fn is_changed(
    cx: &Cx,
    id: &str,
    found: &Instance,
    request: &ResourceRequest,
) -> Result<bool, ResourceError> {
    let kind = found.instance_type.as_ref().map(ToString::to_string);
    let optimized = found.ebs_optimized.unwrap_or(false);
    let input = DescribeInstanceAttributeInput {
        instance_id: id.to_owned(),
        attribute: InstanceAttributeName::UserData,
        ..Default::default()
    };
    let data = cx.call(input).await?.user_data.and_then(|it| it.value);
    let wanted = request.text("InstanceType");
    Ok((wanted.is_none() || kind == wanted)
        && optimized == request.flag("EbsOptimized").unwrap_or(false)
        && bytes(data)? == bytes(request.text("UserData"))?)
}

fn bytes(data: Option<String>) -> Result<Vec<u8>, ResourceError> {
    Ok(run::decoded(&data.unwrap_or_default())?)
}

async fn change_stopped(
    cx: &Cx,
    id: &str,
    differs: &impl Fn(&str) -> bool,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let found = there(cx, id).await?;
    if !is_changed(cx, id, &found, request).await? {
        match state(&found) {
            Some(InstanceStateName::Stopped) => {}
            Some(InstanceStateName::Running | InstanceStateName::Pending) => {
                let input = StopInstancesInput {
                    instance_ids: vec![id.to_owned()],
                    ..Default::default()
                };
                cx.call(input).await?;
                return Err(ResourceError::retry("it is being stopped"));
            }
            Some(InstanceStateName::Stopping) => {
                return Err(ResourceError::retry("it is being stopped"));
            }
            _ => return Err(ResourceError::new(format!("instance {id} is gone"))),
        }
        let wanted = |name: &str| request.text(name).filter(|_| differs(name));
        let input = ModifyInstanceAttributeInput {
            instance_id: id.to_owned(),
            ..Default::default()
        };
        // One attribute at a time, as EC2 has it.
        if let Some(kind) = wanted("InstanceType") {
            let instance_type = Some(AttributeValue { value: Some(kind) });
            cx.call(ModifyInstanceAttributeInput {
                instance_type,
                ..input.clone()
            })
            .await?;
        }
        if differs("UserData") {
            let value = Some(wire::Blob(bytes(request.text("UserData"))?));
            cx.call(ModifyInstanceAttributeInput {
                user_data: Some(SecureBlobAttributeValue { value }),
                ..input.clone()
            })
            .await?;
        }
        if differs("EbsOptimized") {
            cx.call(ModifyInstanceAttributeInput {
                ebs_optimized: flag(request, "EbsOptimized"),
                ..input
            })
            .await?;
        }
    }
    let found = there(cx, id).await?;
    if state(&found) == Some(InstanceStateName::Stopped) {
        let input = StartInstancesInput {
            instance_ids: vec![id.to_owned()],
            ..Default::default()
        };
        cx.call(input).await?;
    }
    Ok(())
}
