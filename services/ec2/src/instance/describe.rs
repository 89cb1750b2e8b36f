//! Lists of instances, and of the volumes that they have.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};
use shapes::ec2::{
    DescribeInstanceCreditSpecificationsInput, DescribeInstanceCreditSpecificationsOutput,
    DescribeInstancesInput, DescribeInstancesOutput, DescribeVolumesInput, DescribeVolumesOutput,
    Filter, InstanceCreditSpecification, Volume, VolumeAttachment, VolumeAttachmentState,
    VolumeState,
};

use super::record::{self, InstanceRecord, RootVolume, State};
use super::run::interface_of;
use super::view;
use crate::errors::InvalidVolumeNotFound;
use crate::filters::{Filtered, page, select};
use crate::interface::Interface;
use crate::tags::{self, Tags};
use crate::zones;

/// An instance with what it is looked for by.
pub struct FoundInstance {
    pub instance: InstanceRecord,
    interface: Option<Interface>,
}

impl Filtered for FoundInstance {
    const FILTERS: &'static [&'static str] = &[
        "architecture",
        "availability-zone",
        "availability-zone-id",
        "block-device-mapping.delete-on-termination",
        "block-device-mapping.device-name",
        "block-device-mapping.status",
        "block-device-mapping.volume-id",
        "client-token",
        "dns-name",
        "hypervisor",
        "iam-instance-profile.arn",
        "iam-instance-profile.id",
        "iam-instance-profile.name",
        "image-id",
        "instance-id",
        "instance-lifecycle",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "instance.group-id",
        "ip-address",
        "key-name",
        "launch-index",
        "metadata-options.http-endpoint",
        "metadata-options.http-tokens",
        "monitoring-state",
        "network-interface.association.public-ip",
        "network-interface.group-id",
        "network-interface.network-interface-id",
        "network-interface.private-ip-address",
        "network-interface.subnet-id",
        "network-interface.vpc-id",
        "network-interface.addresses.private-ip-address",
        "owner-id",
        "platform",
        "private-dns-name",
        "private-ip-address",
        "reason",
        "requester-id",
        "reservation-id",
        "root-device-name",
        "root-device-type",
        "source-dest-check",
        "spot-instance-request-id",
        "state-reason-code",
        "subnet-id",
        "tenancy",
        "virtualization-type",
        "vpc-id",
    ];
    const UNBUILT: &'static [&'static str] = &[
        "group-id",
        "group-name",
        "instance.group-name",
        "launch-time",
    ];
    fn unique(&self) -> &str {
        &self.instance.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        let it = &self.instance;
        let interface = self.interface.as_ref();
        let public = interface.and_then(|it| it.public_address);
        let profile = it.profile.as_ref();
        let metadata = view::metadata(&it.metadata);
        let lives = it.state != State::Terminated;
        let network = |value: String| if lives { vec![value] } else { vec![] };
        let text = |value: Option<String>| value.into_iter().collect();
        vec![match filter {
            "architecture" => view::architecture(it).to_owned(),
            "availability-zone" => it.zone.clone(),
            "availability-zone-id" => zones::id(&it.zone),
            "block-device-mapping.delete-on-termination" => {
                it.volume.goes_with_instance.to_string()
            }
            "block-device-mapping.device-name" | "root-device-name" => it.volume.device.clone(),
            "block-device-mapping.status" => "attached".into(),
            "block-device-mapping.volume-id" => return network(it.volume.id.clone()),
            "client-token" => return text(it.client_token.clone()),
            "dns-name" => return text(public.map(|of| view::public_name(&it.region, of))),
            "hypervisor" => "xen".into(),
            "iam-instance-profile.arn" => return text(profile.map(|it| it.arn.clone())),
            "iam-instance-profile.id" => return text(profile.map(|it| it.id.clone())),
            "iam-instance-profile.name" => return text(profile.map(|it| it.name.clone())),
            "image-id" => it.image.clone(),
            "instance-id" => it.id.clone(),
            "instance-state-code" => it.state.code().to_string(),
            "instance-state-name" => it.state.name().to_string(),
            "instance-type" => it.kind.clone(),
            "instance.group-id" | "network-interface.group-id" => {
                return interface.map(|it| it.groups.clone()).unwrap_or_default();
            }
            "ip-address" | "network-interface.association.public-ip" => {
                return text(public.map(|it| it.to_string()));
            }
            "key-name" => return text(it.key_name.clone()),
            "launch-index" => it.launch_index.to_string(),
            "metadata-options.http-endpoint" => {
                return text(metadata.http_endpoint.map(|it| it.to_string()));
            }
            "metadata-options.http-tokens" => {
                return text(metadata.http_tokens.map(|it| it.to_string()));
            }
            "monitoring-state" => match it.is_monitored {
                true => "enabled".into(),
                false => "disabled".into(),
            },
            "network-interface.network-interface-id" => return network(it.interface.clone()),
            "network-interface.private-ip-address"
            | "network-interface.addresses.private-ip-address"
            | "private-ip-address" => return network(it.address.to_string()),
            "network-interface.subnet-id" | "subnet-id" => return network(it.subnet.clone()),
            "network-interface.vpc-id" | "vpc-id" => return network(it.vpc.clone()),
            "private-dns-name" => return network(view::private_name(it)),
            "reason" => it.transition.clone(),
            "reservation-id" => it.reservation.clone(),
            "root-device-type" => "ebs".into(),
            "source-dest-check" => "true".into(),
            "state-reason-code" => return text(it.reason.as_ref().map(|it| it.0.clone())),
            "tenancy" => "default".into(),
            "virtualization-type" => "hvm".into(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.instance.tags
    }
}

/// The instances with these ids, or all, as far as the filters select them.
pub fn found(
    cx: &Cx,
    tx: &Records<'_>,
    ids: Option<&Vec<String>>,
    filters: Option<&Vec<Filter>>,
) -> Result<Vec<FoundInstance>, Error> {
    let records = match ids.filter(|it| !it.is_empty()) {
        Some(ids) => (ids.iter())
            .map(|id| record::get(cx, tx, id))
            .collect::<Result<_, _>>()?,
        None => tx.list::<InstanceRecord>(&cx.key(""))?,
    };
    let mut all = Vec::with_capacity(records.len());
    for instance in records {
        let interface = interface_of(cx, tx, &instance)?;
        all.push(FoundInstance {
            interface: interface.filter(|it| it.instance.as_ref() == Some(&instance.id)),
            instance,
        });
    }
    select(cx, all, filters)
}

pub async fn describe_instances(
    cx: Cx,
    input: DescribeInstancesInput,
) -> Result<DescribeInstancesOutput, Error> {
    cx.read(|tx| {
        let found = found(&cx, tx, input.instance_ids.as_ref(), input.filters.as_ref())?;
        let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
        let mut by_reservation: BTreeMap<String, Vec<InstanceRecord>> = BTreeMap::new();
        for it in found {
            let of = by_reservation.entry(it.instance.reservation.clone());
            of.or_default().push(it.instance);
        }
        let reservations: Result<Vec<_>, Error> = (by_reservation.into_values())
            .map(|mut instances| {
                instances.sort_by_key(|it| it.launch_index);
                view::reservation(&cx, tx, &instances)
            })
            .collect();
        Ok(DescribeInstancesOutput {
            reservations: Some(reservations?),
            next_token,
        })
    })
}

pub async fn describe_credit_specifications(
    cx: Cx,
    input: DescribeInstanceCreditSpecificationsInput,
) -> Result<DescribeInstanceCreditSpecificationsOutput, Error> {
    cx.read(|tx| {
        let found = found(&cx, tx, input.instance_ids.as_ref(), input.filters.as_ref())?;
        let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
        let shown = found.into_iter().filter_map(|it| {
            Some(InstanceCreditSpecification {
                instance_id: Some(it.instance.id),
                cpu_credits: Some(it.instance.cpu_credits?),
            })
        });
        Ok(DescribeInstanceCreditSpecificationsOutput {
            instance_credit_specifications: Some(shown.collect()),
            next_token,
        })
    })
}

/// The volume of an instance, which is all that there is of volumes.
struct FoundVolume {
    volume: RootVolume,
    instance: String,
    zone: String,
}

impl Filtered for FoundVolume {
    const FILTERS: &'static [&'static str] = &[
        "attachment.delete-on-termination",
        "attachment.device",
        "attachment.instance-id",
        "attachment.status",
        "availability-zone",
        "encrypted",
        "size",
        "snapshot-id",
        "status",
        "volume-id",
        "volume-type",
    ];
    const UNBUILT: &'static [&'static str] = &[
        "attachment.attach-time",
        "create-time",
        "fast-restored",
        "multi-attach-enabled",
    ];
    fn unique(&self) -> &str {
        &self.volume.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "attachment.delete-on-termination" => self.volume.goes_with_instance.to_string(),
            "attachment.device" => self.volume.device.clone(),
            "attachment.instance-id" => self.instance.clone(),
            "attachment.status" => "attached".into(),
            "availability-zone" => self.zone.clone(),
            "encrypted" => "false".into(),
            "size" => self.volume.gib.to_string(),
            "snapshot-id" => self.volume.snapshot.clone(),
            "status" => "in-use".into(),
            "volume-id" => self.volume.id.clone(),
            "volume-type" => self.volume.kind.to_string(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.volume.tags
    }
}

pub async fn describe_volumes(
    cx: Cx,
    input: DescribeVolumesInput,
) -> Result<DescribeVolumesOutput, Error> {
    let all = cx.read(|tx| tx.list::<InstanceRecord>(&cx.key("")))?;
    let live = all.into_iter().filter(|it| it.state != State::Terminated);
    let mut found: Vec<FoundVolume> = live
        .map(|it| FoundVolume {
            volume: it.volume,
            instance: it.id,
            zone: it.zone,
        })
        .collect();
    if let Some(ids) = input.volume_ids.as_ref().filter(|it| !it.is_empty()) {
        if let Some(id) = ids
            .iter()
            .find(|id| !found.iter().any(|it| it.volume.id == **id))
        {
            return Err(InvalidVolumeNotFound.because(format!("The volume '{id}' does not exist.")));
        }
        found.retain(|it| ids.contains(&it.volume.id));
    }
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeVolumesOutput {
        volumes: Some(found.into_iter().map(shown_volume).collect()),
        next_token,
    })
}

fn shown_volume(of: FoundVolume) -> Volume {
    let volume = of.volume;
    Volume {
        availability_zone_id: Some(zones::id(&of.zone)),
        availability_zone: Some(of.zone),
        attachments: Some(vec![VolumeAttachment {
            attach_time: Some(view::at(volume.attached_ms)),
            delete_on_termination: Some(volume.goes_with_instance),
            device: Some(volume.device),
            instance_id: Some(of.instance),
            state: Some(VolumeAttachmentState::Attached),
            volume_id: Some(volume.id.clone()),
            ..Default::default()
        }]),
        create_time: Some(view::at(volume.attached_ms)),
        encrypted: Some(false),
        iops: volume.iops,
        multi_attach_enabled: Some(false),
        size: Some(volume.gib),
        snapshot_id: Some(volume.snapshot),
        state: Some(VolumeState::InUse),
        tags: tags::shown(&volume.tags),
        throughput: volume.throughput,
        volume_id: Some(volume.id),
        volume_type: Some(volume.kind),
        ..Default::default()
    }
}
