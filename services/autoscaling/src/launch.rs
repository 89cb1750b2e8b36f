//! What EC2 is asked for when a group's instance is launched.

use cloud::{Cx, Error};
use shapes::autoscaling::{
    LaunchTemplateOverrides, LaunchTemplateSpecification, MixedInstancesPolicy,
};
use shapes::ec2::{
    self, BlockDeviceMapping, EbsBlockDevice, IamInstanceProfileSpecification,
    InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, ResourceType,
    RunInstancesInput, RunInstancesMonitoringEnabled, Tag, TagSpecification,
};

use crate::record::{ConfigurationRecord, GroupRecord, InstanceRecord, LaunchedBy};
use crate::rules::{invalid, template_version};

/// The tag by which an instance says whose it is.
pub const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// What is asked for, what it was made of, and what it counts for.
pub struct Order {
    pub input: RunInstancesInput,
    pub launched_by: LaunchedBy,
    pub weight: Option<i32>,
}

pub async fn order(cx: &Cx, group: &GroupRecord, it: &InstanceRecord) -> Result<Order, Error> {
    let common = RunInstancesInput {
        min_count: 1,
        max_count: 1,
        client_token: Some(it.token.clone()),
        subnet_id: it.place.subnet.clone(),
        tag_specifications: Some(vec![tags(group)]),
        ..Default::default()
    };
    if let Some(name) = &group.launch.configuration {
        let found = cx.read(|tx| tx.get::<ConfigurationRecord>(&cx.key(name)))?;
        let found = found.ok_or_else(|| {
            invalid(format!(
                "Launch configuration name not found - Launch configuration {name} not found"
            ))
        })?;
        return Ok(Order {
            input: of_configuration(common, found),
            launched_by: LaunchedBy {
                configuration: Some(name.clone()),
                template: None,
            },
            weight: None,
        });
    }
    if let Some(template) = &group.launch.template {
        return by_template(cx, common, template, None).await;
    }
    let mixed = group.launch.mixed.clone().unwrap_or_default();
    let (base, chosen) = of_mixed(&mixed, group.failures)?;
    let own = chosen.and_then(|it| it.launch_template_specification.as_ref());
    by_template(cx, common, own.unwrap_or(base), chosen).await
}

/// The first type of those that are listed is the one that is wanted most; where launching failed, the next one
/// is tried.
fn of_mixed(
    mixed: &MixedInstancesPolicy,
    failures: u32,
) -> Result<
    (
        &LaunchTemplateSpecification,
        Option<&LaunchTemplateOverrides>,
    ),
    Error,
> {
    let template = mixed.launch_template.as_ref();
    let base = template.and_then(|it| it.launch_template_specification.as_ref());
    let base =
        base.ok_or_else(|| invalid("The MixedInstancesPolicy must have a launch template"))?;
    let overrides = template
        .and_then(|it| it.overrides.as_deref())
        .unwrap_or_default();
    let at = usize::try_from(failures).unwrap_or(0) % overrides.len().max(1);
    Ok((base, overrides.get(at)))
}

async fn by_template(
    cx: &Cx,
    mut input: RunInstancesInput,
    template: &LaunchTemplateSpecification,
    chosen: Option<&LaunchTemplateOverrides>,
) -> Result<Order, Error> {
    let version = template_version(cx, template).await?;
    let data = version.launch_template_data.unwrap_or_default();
    let number = version.version_number.unwrap_or_default().to_string();
    input.instance_type = chosen.and_then(|it| it.instance_type.clone());
    input.launch_template = Some(ec2::LaunchTemplateSpecification {
        launch_template_id: version.launch_template_id.clone(),
        launch_template_name: None,
        version: Some(number.clone()),
    });
    // The subnet is the group's: it goes into the template's first interface where there are any.
    if let Some(interfaces) = data.network_interfaces {
        let own = interfaces
            .into_iter()
            .map(|it| InstanceNetworkInterfaceSpecification {
                associate_public_ip_address: it.associate_public_ip_address,
                delete_on_termination: it.delete_on_termination,
                description: it.description,
                device_index: it.device_index,
                groups: it.groups,
                private_ip_address: it.private_ip_address,
                subnet_id: input.subnet_id.clone(),
            });
        input.network_interfaces = Some(own.collect());
        input.subnet_id = None;
    }
    let weight = chosen.and_then(|it| it.weighted_capacity.as_ref()?.parse().ok());
    Ok(Order {
        input,
        launched_by: LaunchedBy {
            configuration: None,
            template: Some(LaunchTemplateSpecification {
                launch_template_id: version.launch_template_id,
                launch_template_name: version.launch_template_name,
                version: Some(number),
            }),
        },
        weight,
    })
}

fn tags(group: &GroupRecord) -> TagSpecification {
    let propagated = group.tags.iter().filter(|it| it.propagate);
    let own = propagated.map(|it| (it.key.clone(), it.value.clone()));
    let all = own.chain([(GROUP_TAG.to_owned(), group.name.clone())]);
    let tags = all.map(|(key, value)| Tag {
        key: Some(key),
        value: Some(value),
    });
    TagSpecification {
        resource_type: Some(ResourceType::Instance),
        tags: Some(tags.collect()),
    }
}

fn of_configuration(common: RunInstancesInput, found: ConfigurationRecord) -> RunInstancesInput {
    let given = found.given;
    let profile = given.iam_instance_profile.filter(|it| !it.is_empty());
    let public = given.associate_public_ip_address;
    // Whether it gets a public address is said of an interface, and then its groups and subnet are, too.
    let (groups, subnet_id, interfaces) = match public {
        Some(_) => {
            let interface = InstanceNetworkInterfaceSpecification {
                associate_public_ip_address: public,
                delete_on_termination: Some(true),
                device_index: Some(0),
                groups: given.security_groups,
                subnet_id: common.subnet_id.clone(),
                ..Default::default()
            };
            (None, None, Some(vec![interface]))
        }
        None => (given.security_groups, common.subnet_id.clone(), None),
    };
    RunInstancesInput {
        image_id: given.image_id,
        instance_type: given.instance_type,
        key_name: given.key_name.filter(|it| !it.is_empty()),
        user_data: given.user_data.filter(|it| !it.is_empty()),
        security_group_ids: groups.filter(|it| !it.is_empty()),
        subnet_id,
        network_interfaces: interfaces,
        ebs_optimized: given.ebs_optimized,
        monitoring: given
            .instance_monitoring
            .map(|it| RunInstancesMonitoringEnabled {
                enabled: it.enabled.unwrap_or(true),
            }),
        iam_instance_profile: profile.map(|it| match it.starts_with("arn:") {
            true => IamInstanceProfileSpecification {
                arn: Some(it),
                name: None,
            },
            false => IamInstanceProfileSpecification {
                arn: None,
                name: Some(it),
            },
        }),
        block_device_mappings: given.block_device_mappings.map(|all| {
            let device = |it: shapes::autoscaling::BlockDeviceMapping| BlockDeviceMapping {
                device_name: Some(it.device_name),
                ebs: it.ebs.map(|it| EbsBlockDevice {
                    volume_size: it.volume_size,
                    volume_type: it.volume_type.and_then(|it| it.parse().ok()),
                    delete_on_termination: it.delete_on_termination,
                    iops: it.iops,
                    throughput: it.throughput,
                    ..Default::default()
                }),
            };
            all.into_iter().map(device).collect()
        }),
        metadata_options: given
            .metadata_options
            .map(|it| InstanceMetadataOptionsRequest {
                http_tokens: it.http_tokens.and_then(|it| it.as_str().parse().ok()),
                http_put_response_hop_limit: it.http_put_response_hop_limit,
                http_endpoint: it.http_endpoint.and_then(|it| it.as_str().parse().ok()),
                ..Default::default()
            }),
        ..common
    }
}
