//! Instances as callers are shown them.

use cloud::{Cx, Error, Records};
use shapes::ec2::{
    ArchitectureValues, CapacityReservationPreference, CapacityReservationSpecificationResponse,
    CpuOptions, DeviceType, EbsInstanceBlockDevice, EnclaveOptions, GroupIdentifier,
    HibernationOptions, HostnameType, HttpTokensState, HypervisorType, IamInstanceProfile,
    Instance, InstanceAutoRecoveryState, InstanceBlockDeviceMapping, InstanceBootModeValues,
    InstanceMaintenanceOptions, InstanceMetadataEndpointState, InstanceMetadataOptionsResponse,
    InstanceMetadataOptionsState, InstanceMetadataProtocolState, InstanceMetadataTagsState,
    InstanceNetworkInterface, InstanceNetworkInterfaceAssociation,
    InstanceNetworkInterfaceAttachment, InstancePrivateIpAddress, InstanceState, Monitoring,
    MonitoringState, NetworkInterfaceStatus, Placement, PrivateDnsNameOptionsResponse, Reservation,
    StateReason, Tenancy, VirtualizationType,
};
use wire::Timestamp;

use super::catalogue;
use super::kinds;
use super::record::{InstanceRecord, MetadataOptions, ProfileUse, State};
use super::run::interface_of;
use crate::addresses;
use crate::group;
use crate::interface::Interface;
use crate::tags;
use crate::vpc::Vpc;

pub fn at(ms: i64) -> Timestamp {
    Timestamp(ms as f64 / 1000.0)
}

pub fn state(state: State) -> InstanceState {
    InstanceState {
        code: Some(state.code()),
        name: Some(state.name()),
    }
}

/// Instances that one request has launched.
pub fn reservation(
    cx: &Cx,
    tx: &Records<'_>,
    instances: &[InstanceRecord],
) -> Result<Reservation, Error> {
    let first = instances.first().map(|it| it.reservation.clone());
    let shown: Result<Vec<_>, Error> = instances.iter().map(|it| shown(cx, tx, it)).collect();
    Ok(Reservation {
        reservation_id: first,
        owner_id: Some(cx.account().to_owned()),
        // Groups of EC2-Classic, which nothing has any more.
        groups: Some(vec![]),
        instances: Some(shown?),
        ..Default::default()
    })
}

pub fn private_name(instance: &InstanceRecord) -> String {
    let domain = addresses::private_domain(&instance.region);
    format!(
        "ip-{}.{domain}",
        instance.address.to_string().replace('.', "-")
    )
}

/// The name of a public address, where its VPC gives names.
pub fn public_name(region: &str, address: std::net::Ipv4Addr) -> String {
    let dashed = address.to_string().replace('.', "-");
    match region {
        "us-east-1" => format!("ec2-{dashed}.compute-1.amazonaws.com"),
        region => format!("ec2-{dashed}.{region}.compute.amazonaws.com"),
    }
}

pub fn profile(it: &ProfileUse) -> IamInstanceProfile {
    IamInstanceProfile {
        arn: Some(it.arn.clone()),
        id: Some(it.id.clone()),
    }
}

pub fn metadata(it: &MetadataOptions) -> InstanceMetadataOptionsResponse {
    InstanceMetadataOptionsResponse {
        state: Some(InstanceMetadataOptionsState::Applied),
        http_tokens: Some(match it.needs_token {
            true => HttpTokensState::Required,
            false => HttpTokensState::Optional,
        }),
        http_put_response_hop_limit: Some(it.hops),
        http_endpoint: Some(match it.is_served {
            true => InstanceMetadataEndpointState::Enabled,
            false => InstanceMetadataEndpointState::Disabled,
        }),
        http_protocol_ipv6: Some(InstanceMetadataProtocolState::Disabled),
        instance_metadata_tags: Some(match it.has_tags {
            true => InstanceMetadataTagsState::Enabled,
            false => InstanceMetadataTagsState::Disabled,
        }),
    }
}

pub fn architecture(instance: &InstanceRecord) -> &'static str {
    kinds::find(&instance.kind).map_or(kinds::HERE, |it| it.family.architecture)
}

/// Its one disk.
pub fn block_device(instance: &InstanceRecord) -> InstanceBlockDeviceMapping {
    let volume = &instance.volume;
    InstanceBlockDeviceMapping {
        device_name: Some(volume.device.clone()),
        ebs: Some(EbsInstanceBlockDevice {
            attach_time: Some(at(volume.attached_ms)),
            delete_on_termination: Some(volume.goes_with_instance),
            status: Some("attached".into()),
            volume_id: Some(volume.id.clone()),
            ..Default::default()
        }),
    }
}

pub fn groups(cx: &Cx, tx: &Records<'_>, ids: &[String]) -> Result<Vec<GroupIdentifier>, Error> {
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        let name = tx
            .get::<group::SecurityGroup>(&cx.key(id))?
            .map(|it| it.name);
        out.push(GroupIdentifier {
            group_id: Some(id.clone()),
            group_name: name,
        });
    }
    Ok(out)
}

pub fn shown(cx: &Cx, tx: &Records<'_>, instance: &InstanceRecord) -> Result<Instance, Error> {
    let common = common(instance);
    if instance.state == State::Terminated {
        // It has no network and no disks any more.
        return Ok(common);
    }
    let interface = interface_of(cx, tx, instance)?;
    let has_names = tx
        .get::<Vpc>(&cx.key(&instance.vpc))?
        .is_some_and(|it| it.dns_hostnames);
    let public = interface.as_ref().and_then(|it| it.public_address);
    let public_dns = public
        .filter(|_| has_names)
        .map(|it| public_name(&instance.region, it));
    let ids = interface
        .as_ref()
        .map(|it| it.groups.clone())
        .unwrap_or_default();
    let groups = groups(cx, tx, &ids)?;
    let interfaces: Vec<InstanceNetworkInterface> = interface
        .iter()
        .map(|it| shown_interface(cx, instance, it, &groups, public_dns.clone()))
        .collect();
    Ok(Instance {
        block_device_mappings: Some(vec![block_device(instance)]),
        network_interfaces: Some(interfaces),
        security_groups: Some(groups),
        source_dest_check: Some(true),
        private_dns_name: Some(private_name(instance)),
        private_ip_address: Some(instance.address.to_string()),
        public_dns_name: Some(public_dns.unwrap_or_default()),
        public_ip_address: public.map(|it| it.to_string()),
        subnet_id: Some(instance.subnet.clone()),
        vpc_id: Some(instance.vpc.clone()),
        ..common
    })
}

/// What is so whatever becomes of it.
fn common(instance: &InstanceRecord) -> Instance {
    let kind = kinds::find(&instance.kind);
    let threads = kind
        .as_ref()
        .map_or(1, |it| it.family.threads_per_core.min(it.vcpus));
    let cores = kind.as_ref().map_or(1, |it| it.vcpus / threads.max(1));
    let number = |it: u32| i32::try_from(it).unwrap_or(1);
    let owner_alias = catalogue::find(&instance.region, &instance.image);
    Instance {
        ami_launch_index: Some(instance.launch_index),
        architecture: architecture(instance).parse::<ArchitectureValues>().ok(),
        block_device_mappings: Some(vec![]),
        boot_mode: None,
        capacity_reservation_specification: Some(CapacityReservationSpecificationResponse {
            capacity_reservation_preference: Some(CapacityReservationPreference::Open),
            ..Default::default()
        }),
        client_token: Some(instance.client_token.clone().unwrap_or_default()),
        cpu_options: Some(CpuOptions {
            core_count: Some(number(cores)),
            threads_per_core: Some(number(threads)),
            ..Default::default()
        }),
        current_instance_boot_mode: Some(InstanceBootModeValues::LegacyBios),
        ebs_optimized: Some(instance.is_ebs_optimized),
        ena_support: Some(true),
        enclave_options: Some(EnclaveOptions {
            enabled: Some(false),
        }),
        hibernation_options: Some(HibernationOptions {
            configured: Some(false),
        }),
        hypervisor: Some(HypervisorType::Xen),
        iam_instance_profile: instance.profile.as_ref().map(profile),
        image_id: Some(instance.image.clone()),
        instance_id: Some(instance.id.clone()),
        instance_type: Some(instance.kind.clone()),
        key_name: instance.key_name.clone(),
        launch_time: Some(at(instance.launched_ms)),
        maintenance_options: Some(InstanceMaintenanceOptions {
            auto_recovery: Some(InstanceAutoRecoveryState::Default),
            ..Default::default()
        }),
        metadata_options: Some(metadata(&instance.metadata)),
        monitoring: Some(Monitoring {
            state: Some(match instance.is_monitored {
                true => MonitoringState::Enabled,
                false => MonitoringState::Disabled,
            }),
            ..Default::default()
        }),
        network_interfaces: Some(vec![]),
        placement: Some(Placement {
            availability_zone: Some(instance.zone.clone()),
            availability_zone_id: Some(crate::zones::id(&instance.zone)),
            group_name: Some(String::new()),
            tenancy: Some(Tenancy::Default),
        }),
        platform_details: owner_alias.map(|_| "Linux/UNIX".to_owned()),
        private_dns_name: Some(String::new()),
        private_dns_name_options: Some(PrivateDnsNameOptionsResponse {
            hostname_type: Some(HostnameType::IpName),
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
        }),
        product_codes: Some(vec![]),
        public_dns_name: Some(String::new()),
        root_device_name: Some(instance.volume.device.clone()),
        root_device_type: Some(DeviceType::Ebs),
        security_groups: Some(vec![]),
        state: Some(state(instance.state)),
        state_reason: instance.reason.as_ref().map(|(code, message)| StateReason {
            code: Some(code.clone()),
            message: Some(message.clone()),
        }),
        state_transition_reason: Some(instance.transition.clone()),
        tags: tags::shown(&instance.tags),
        usage_operation: Some("RunInstances".into()),
        usage_operation_update_time: Some(at(instance.launched_ms)),
        virtualization_type: Some(VirtualizationType::Hvm),
        ..Default::default()
    }
}

fn shown_interface(
    cx: &Cx,
    instance: &InstanceRecord,
    interface: &Interface,
    groups: &[GroupIdentifier],
    public_dns: Option<String>,
) -> InstanceNetworkInterface {
    let association = (interface.public_address).map(|it| InstanceNetworkInterfaceAssociation {
        ip_owner_id: Some("amazon".into()),
        public_dns_name: Some(public_dns.unwrap_or_default()),
        public_ip: Some(it.to_string()),
        ..Default::default()
    });
    InstanceNetworkInterface {
        association: association.clone(),
        attachment: Some(InstanceNetworkInterfaceAttachment {
            attach_time: Some(at(instance.launched_ms)),
            attachment_id: Some(interface.attachment_id()),
            delete_on_termination: Some(!instance.keeps_interface),
            device_index: Some(0),
            network_card_index: Some(0),
            status: Some("attached".into()),
            ..Default::default()
        }),
        description: Some(interface.description.clone()),
        groups: Some(groups.to_vec()),
        interface_type: Some("interface".into()),
        ipv6_addresses: Some(vec![]),
        mac_address: Some(addresses::mac_text(addresses::mac(interface.address))),
        network_interface_id: Some(interface.id.clone()),
        owner_id: Some(cx.account().to_owned()),
        private_dns_name: Some(private_name(instance)),
        private_ip_address: Some(interface.address.to_string()),
        private_ip_addresses: Some(vec![InstancePrivateIpAddress {
            association,
            primary: Some(true),
            private_dns_name: Some(private_name(instance)),
            private_ip_address: Some(interface.address.to_string()),
        }]),
        source_dest_check: Some(true),
        status: Some(NetworkInterfaceStatus::InUse),
        subnet_id: Some(interface.subnet.clone()),
        vpc_id: Some(interface.vpc.clone()),
        ..Default::default()
    }
}
