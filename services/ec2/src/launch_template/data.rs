//! A version's data: out of a request, over the data of another version, and into the launch of an instance.

use cloud::{Cx, Error};
use shapes::ec2::*;

use super::record::{self, VersionRecord};
use crate::errors::{InvalidParameterValue, InvalidUserDataMalformed};

/// User data before it is encoded (EC2 User Guide, "Run commands when you launch an EC2 instance with user
/// data input").
const USER_DATA_MAX: usize = 16 * 1024;

/// What a version of a template holds, and which version that is.
#[derive(Debug, Clone, PartialEq)]
struct ResolvedTemplate {
    pub id: String,
    pub name: String,
    pub number: i64,
    pub data: ResponseLaunchTemplateData,
}

/// What a `LaunchTemplateSpecification` stands for at this moment.
fn resolve(cx: &Cx, given: &LaunchTemplateSpecification) -> Result<ResolvedTemplate, Error> {
    let (id, name) = (
        given.launch_template_id.as_deref(),
        given.launch_template_name.as_deref(),
    );
    cx.read(|tx| {
        let template = record::find(cx, tx, id, name)?;
        let VersionRecord { number, data, .. } =
            record::version(tx, &template, given.version.as_deref())?;
        Ok(ResolvedTemplate {
            id: template.id,
            name: template.name,
            number,
            data,
        })
    })
}

/// What is launched: what the request says itself, and the template's for the rest. Members are taken whole, as
/// AWS takes them; tags of both are given, and the request's own win.
pub fn fill(cx: &Cx, input: RunInstancesInput) -> Result<RunInstancesInput, Error> {
    let Some(given) = &input.launch_template else {
        return Ok(input);
    };
    let data = resolve(cx, given)?.data;
    let tag_specifications = merged_tags(input.tag_specifications, data.tag_specifications);
    // Groups and a subnet of the request are not those of the template's interfaces.
    let by_interfaces = input.network_interfaces.is_some() || data.network_interfaces.is_some();
    let groups = |own: Option<Vec<String>>, of_template: Option<Vec<String>>| match by_interfaces {
        true => own,
        false => own.or(of_template),
    };
    Ok(RunInstancesInput {
        launch_template: None,
        tag_specifications,
        security_group_ids: groups(input.security_group_ids, data.security_group_ids),
        security_groups: groups(input.security_groups, data.security_groups),
        block_device_mappings: input
            .block_device_mappings
            .or(data.block_device_mappings.map(devices)),
        image_id: input.image_id.or(data.image_id),
        instance_type: input.instance_type.or(data.instance_type),
        key_name: input.key_name.or(data.key_name),
        monitoring: input
            .monitoring
            .or(data.monitoring.map(|it| RunInstancesMonitoringEnabled {
                enabled: it.enabled.unwrap_or(false),
            })),
        placement: input.placement.or(data.placement.map(|it| Placement {
            availability_zone: it.availability_zone,
            tenancy: it.tenancy,
            ..Default::default()
        })),
        user_data: input.user_data.or(data.user_data),
        credit_specification: input.credit_specification.or_else(|| {
            let cpu_credits = data.credit_specification?.cpu_credits?;
            Some(CreditSpecificationRequest { cpu_credits })
        }),
        metadata_options: match (input.metadata_options, data.metadata_options) {
            (None, Some(it)) => Some(metadata(it)?),
            (own, _) => own,
        },
        disable_api_stop: input.disable_api_stop.or(data.disable_api_stop),
        disable_api_termination: input
            .disable_api_termination
            .or(data.disable_api_termination),
        instance_initiated_shutdown_behavior: input
            .instance_initiated_shutdown_behavior
            .or(data.instance_initiated_shutdown_behavior),
        network_interfaces: input
            .network_interfaces
            .or(data.network_interfaces.map(interfaces)),
        iam_instance_profile: input.iam_instance_profile.or_else(|| {
            let of_template = data.iam_instance_profile?;
            Some(IamInstanceProfileSpecification {
                arn: of_template.arn,
                name: of_template.name,
            })
        }),
        ebs_optimized: input.ebs_optimized.or(data.ebs_optimized),
        private_ip_address: input.private_ip_address,
        subnet_id: input.subnet_id,
        client_token: input.client_token,
        dry_run: input.dry_run,
        max_count: input.max_count,
        min_count: input.min_count,
    })
}

/// The same for who decides beforehand. What no template fills is refused by the operation itself.
pub fn filled(cx: &Cx, input: &RunInstancesInput) -> RunInstancesInput {
    fill(cx, input.clone()).unwrap_or_else(|_| input.clone())
}

fn merged_tags(
    own: Option<Vec<TagSpecification>>,
    of_template: Option<Vec<LaunchTemplateTagSpecification>>,
) -> Option<Vec<TagSpecification>> {
    let mut all = own.unwrap_or_default();
    for more in of_template.unwrap_or_default() {
        let there = (all.iter_mut()).find(|it| it.resource_type == more.resource_type);
        let Some(there) = there else {
            all.push(TagSpecification {
                resource_type: more.resource_type,
                tags: more.tags,
            });
            continue;
        };
        let tags = there.tags.get_or_insert_default();
        for tag in more.tags.unwrap_or_default() {
            if !tags.iter().any(|it| it.key == tag.key) {
                tags.push(tag);
            }
        }
    }
    (!all.is_empty()).then_some(all)
}

fn devices(all: Vec<LaunchTemplateBlockDeviceMapping>) -> Vec<BlockDeviceMapping> {
    let device = |it: LaunchTemplateBlockDeviceMapping| BlockDeviceMapping {
        device_name: it.device_name,
        ebs: it.ebs.map(|it| EbsBlockDevice {
            delete_on_termination: it.delete_on_termination,
            iops: it.iops,
            volume_size: it.volume_size,
            volume_type: it.volume_type,
            throughput: it.throughput,
            ..Default::default()
        }),
    };
    all.into_iter().map(device).collect()
}

fn interfaces(
    all: Vec<LaunchTemplateInstanceNetworkInterfaceSpecification>,
) -> Vec<InstanceNetworkInterfaceSpecification> {
    let interface = |it: LaunchTemplateInstanceNetworkInterfaceSpecification| {
        InstanceNetworkInterfaceSpecification {
            associate_public_ip_address: it.associate_public_ip_address,
            delete_on_termination: it.delete_on_termination,
            description: it.description,
            device_index: it.device_index,
            groups: it.groups,
            private_ip_address: it.private_ip_address,
            subnet_id: it.subnet_id,
        }
    };
    all.into_iter().map(interface).collect()
}

fn metadata(
    of_template: LaunchTemplateInstanceMetadataOptions,
) -> Result<InstanceMetadataOptionsRequest, Error> {
    Ok(InstanceMetadataOptionsRequest {
        http_tokens: of_template.http_tokens.map(same_word).transpose()?,
        http_put_response_hop_limit: of_template.http_put_response_hop_limit,
        http_endpoint: of_template.http_endpoint.map(same_word).transpose()?,
        instance_metadata_tags: of_template
            .instance_metadata_tags
            .map(same_word)
            .transpose()?,
    })
}

/// A word of one enum in another that has it, too.
fn same_word<T: std::str::FromStr>(word: impl std::fmt::Display) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    let parsed = word.to_string().parse();
    parsed.map_err(|error: T::Err| InvalidParameterValue.because(error.to_string()))
}

/// A request's data in the form in which it is kept and shown.
pub fn kept(given: RequestLaunchTemplateData) -> Result<ResponseLaunchTemplateData, Error> {
    check_user_data(given.user_data.as_deref())?;
    let mut tag_specifications = Vec::new();
    for it in given.tag_specifications.unwrap_or_default() {
        let kind = it.resource_type;
        if !matches!(
            kind,
            Some(
                ResourceType::Instance
                    | ResourceType::Volume
                    | ResourceType::NetworkInterface
                    | ResourceType::SpotInstancesRequest
            )
        ) {
            let named = kind.map(|it| it.to_string()).unwrap_or_default();
            return Err(InvalidParameterValue.because(format!(
                "'{named}' is not a valid taggable resource type for this operation."
            )));
        }
        tag_specifications.push(LaunchTemplateTagSpecification {
            resource_type: kind,
            tags: it.tags,
        });
    }
    Ok(ResponseLaunchTemplateData {
        ebs_optimized: given.ebs_optimized,
        iam_instance_profile: given.iam_instance_profile.map(|it| {
            LaunchTemplateIamInstanceProfileSpecification {
                arn: it.arn,
                name: it.name,
            }
        }),
        block_device_mappings: given.block_device_mappings.map(kept_devices),
        network_interfaces: given.network_interfaces.map(kept_interfaces),
        image_id: given.image_id,
        instance_type: given.instance_type,
        key_name: given.key_name,
        monitoring: given.monitoring.map(|it| LaunchTemplatesMonitoring {
            enabled: it.enabled,
            ..Default::default()
        }),
        placement: given.placement.map(|it| LaunchTemplatePlacement {
            availability_zone: it.availability_zone,
            tenancy: it.tenancy,
            ..Default::default()
        }),
        disable_api_termination: given.disable_api_termination,
        instance_initiated_shutdown_behavior: given.instance_initiated_shutdown_behavior,
        user_data: given.user_data,
        tag_specifications: (!tag_specifications.is_empty()).then_some(tag_specifications),
        security_group_ids: given.security_group_ids,
        security_groups: given.security_groups,
        credit_specification: given.credit_specification.map(|it| CreditSpecification {
            cpu_credits: Some(it.cpu_credits),
        }),
        hibernation_options: given
            .hibernation_options
            .map(|it| LaunchTemplateHibernationOptions {
                configured: it.configured,
            }),
        metadata_options: given
            .metadata_options
            .map(|it| LaunchTemplateInstanceMetadataOptions {
                state: None,
                http_tokens: it.http_tokens,
                http_put_response_hop_limit: it.http_put_response_hop_limit,
                http_endpoint: it.http_endpoint,
                http_protocol_ipv6: it.http_protocol_ipv6,
                instance_metadata_tags: it.instance_metadata_tags,
            }),
        enclave_options: given
            .enclave_options
            .map(|it| LaunchTemplateEnclaveOptions {
                enabled: it.enabled,
            }),
        disable_api_stop: given.disable_api_stop,
        ..Default::default()
    })
}

fn kept_devices(
    all: Vec<LaunchTemplateBlockDeviceMappingRequest>,
) -> Vec<LaunchTemplateBlockDeviceMapping> {
    let device = |it: LaunchTemplateBlockDeviceMappingRequest| LaunchTemplateBlockDeviceMapping {
        device_name: it.device_name,
        ebs: it.ebs.map(|it| LaunchTemplateEbsBlockDevice {
            encrypted: it.encrypted,
            delete_on_termination: it.delete_on_termination,
            iops: it.iops,
            volume_size: it.volume_size,
            volume_type: it.volume_type,
            throughput: it.throughput,
            ..Default::default()
        }),
        ..Default::default()
    };
    all.into_iter().map(device).collect()
}

fn kept_interfaces(
    all: Vec<LaunchTemplateInstanceNetworkInterfaceSpecificationRequest>,
) -> Vec<LaunchTemplateInstanceNetworkInterfaceSpecification> {
    let interface = |it: LaunchTemplateInstanceNetworkInterfaceSpecificationRequest| {
        LaunchTemplateInstanceNetworkInterfaceSpecification {
            associate_public_ip_address: it.associate_public_ip_address,
            delete_on_termination: it.delete_on_termination,
            description: it.description,
            device_index: it.device_index,
            groups: it.groups,
            interface_type: it.interface_type,
            network_card_index: it.network_card_index,
            private_ip_address: it.private_ip_address,
            subnet_id: it.subnet_id,
            ..Default::default()
        }
    };
    all.into_iter().map(interface).collect()
}

fn check_user_data(given: Option<&str>) -> Result<(), Error> {
    let Some(given) = given else { return Ok(()) };
    let decoded: Result<wire::Blob, _> = wire::from_json(serde_json::Value::from(given));
    match decoded {
        Ok(decoded) if decoded.0.len() <= USER_DATA_MAX => Ok(()),
        Ok(_) => Err(InvalidUserDataMalformed.because("User data is limited to 16384 bytes")),
        Err(_) => Err(InvalidUserDataMalformed.because("Invalid BASE64 encoding of user data.")),
    }
}

/// Another version's data with what a request says over it: members are replaced whole (EC2 API reference,
/// "CreateLaunchTemplateVersion").
pub fn over(
    new: ResponseLaunchTemplateData,
    source: ResponseLaunchTemplateData,
) -> ResponseLaunchTemplateData {
    ResponseLaunchTemplateData {
        ebs_optimized: new.ebs_optimized.or(source.ebs_optimized),
        iam_instance_profile: new.iam_instance_profile.or(source.iam_instance_profile),
        block_device_mappings: new.block_device_mappings.or(source.block_device_mappings),
        network_interfaces: new.network_interfaces.or(source.network_interfaces),
        image_id: new.image_id.or(source.image_id),
        instance_type: new.instance_type.or(source.instance_type),
        key_name: new.key_name.or(source.key_name),
        monitoring: new.monitoring.or(source.monitoring),
        placement: new.placement.or(source.placement),
        disable_api_termination: new
            .disable_api_termination
            .or(source.disable_api_termination),
        instance_initiated_shutdown_behavior: new
            .instance_initiated_shutdown_behavior
            .or(source.instance_initiated_shutdown_behavior),
        user_data: new.user_data.or(source.user_data),
        tag_specifications: new.tag_specifications.or(source.tag_specifications),
        security_group_ids: new.security_group_ids.or(source.security_group_ids),
        security_groups: new.security_groups.or(source.security_groups),
        credit_specification: new.credit_specification.or(source.credit_specification),
        hibernation_options: new.hibernation_options.or(source.hibernation_options),
        metadata_options: new.metadata_options.or(source.metadata_options),
        enclave_options: new.enclave_options.or(source.enclave_options),
        disable_api_stop: new.disable_api_stop.or(source.disable_api_stop),
        ..source
    }
}
