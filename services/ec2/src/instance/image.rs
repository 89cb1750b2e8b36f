//! `DescribeImages`, and types of instances.

use cloud::{Cx, Error};
use shapes::ec2::{
    ArchitectureType, ArchitectureValues, BlockDeviceMapping, BootModeType, DescribeImagesInput,
    DescribeImagesOutput, DescribeInstanceTypeOfferingsInput, DescribeInstanceTypeOfferingsOutput,
    DescribeInstanceTypesInput, DescribeInstanceTypesOutput, DeviceType, EbsBlockDevice,
    HypervisorType, Image, ImageState, ImageTypeValues, ImdsSupportValues, InstanceTypeHypervisor,
    InstanceTypeInfo, InstanceTypeOffering, LocationType, MemoryInfo, NetworkInfo, ProcessorInfo,
    RootDeviceType, UsageClassType, VCpuInfo, VirtualizationType, VolumeType,
};

use super::catalogue::{self, CatalogueImage};
use super::kinds::{self, Kind};
use crate::errors::{
    InvalidAmiIdMalformed, InvalidAmiIdNotFound, InvalidInstanceType, unsupported,
};
use crate::filters::{Filtered, page, select};
use crate::tags::Tags;
use crate::zones;

struct FoundImage {
    image: CatalogueImage,
    none: Tags,
}

impl Filtered for FoundImage {
    const FILTERS: &'static [&'static str] = &[
        "architecture",
        "block-device-mapping.delete-on-termination",
        "block-device-mapping.device-name",
        "block-device-mapping.encrypted",
        "block-device-mapping.snapshot-id",
        "block-device-mapping.volume-size",
        "block-device-mapping.volume-type",
        "creation-date",
        "description",
        "ena-support",
        "hypervisor",
        "image-id",
        "image-type",
        "is-public",
        "name",
        "owner-alias",
        "owner-id",
        "platform",
        "root-device-name",
        "root-device-type",
        "state",
        "virtualization-type",
    ];
    fn unique(&self) -> &str {
        &self.image.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        let it = &self.image;
        vec![match filter {
            "architecture" => it.architecture.to_owned(),
            "block-device-mapping.delete-on-termination" => "true".into(),
            "block-device-mapping.device-name" | "root-device-name" => {
                it.distribution.device.to_owned()
            }
            "block-device-mapping.encrypted" => "false".into(),
            "block-device-mapping.snapshot-id" => it.snapshot(),
            "block-device-mapping.volume-size" => it.distribution.gib.to_string(),
            "block-device-mapping.volume-type" => "gp2".into(),
            "creation-date" => it.created.to_owned(),
            "description" => it.description.clone(),
            "ena-support" | "is-public" => "true".into(),
            "hypervisor" => "xen".into(),
            "image-id" => it.id.clone(),
            "image-type" => "machine".into(),
            "name" => it.name.clone(),
            "owner-alias" => return it.owner.alias.map(str::to_owned).into_iter().collect(),
            "owner-id" => it.owner.account.to_owned(),
            "root-device-type" => "ebs".into(),
            "state" => "available".into(),
            "virtualization-type" => "hvm".into(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.none
    }
}

pub async fn describe_images(
    cx: Cx,
    input: DescribeImagesInput,
) -> Result<DescribeImagesOutput, Error> {
    let mut found: Vec<CatalogueImage> = catalogue::all(&cx.region).collect();
    let ids = input.image_ids.as_deref().unwrap_or_default();
    if !ids.is_empty() {
        check_ids(&cx, ids)?;
        found.retain(|it| ids.contains(&it.id));
    } else if input.include_deprecated != Some(true) {
        found.retain(|it| !it.is_deprecated);
    }
    if let Some(owners) = input.owners.as_ref().filter(|it| !it.is_empty()) {
        found.retain(|it| owners.iter().any(|owner| is_of(it, owner)));
    }
    if let Some(users) = input.executable_users.as_ref().filter(|it| !it.is_empty()) {
        // All are public, and given to nobody by name.
        found.retain(|_| users.iter().any(|it| it == "all"));
    }
    let found = found.into_iter().map(|image| FoundImage {
        image,
        none: Tags::new(),
    });
    let found = select(&cx, found.collect(), input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeImagesOutput {
        images: Some(found.into_iter().map(|it| shown(&it.image)).collect()),
        next_token,
    })
}

fn check_ids(cx: &Cx, ids: &[String]) -> Result<(), Error> {
    for id in ids {
        let hex = id.strip_prefix("ami-").unwrap_or_default();
        if hex.is_empty() || !hex.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(InvalidAmiIdMalformed
                .because(format!("Invalid id: \"{id}\" (expecting \"ami-...\")")));
        }
        if catalogue::find(&cx.region, id).is_none() {
            return Err(
                InvalidAmiIdNotFound.because(format!("The image id '[{id}]' does not exist"))
            );
        }
    }
    Ok(())
}

/// By account or alias. None is the account's own, which `self` means.
fn is_of(image: &CatalogueImage, owner: &str) -> bool {
    image.owner.account == owner || image.owner.alias == Some(owner)
}

fn shown(image: &CatalogueImage) -> Image {
    let (account, name) = (image.owner.account, &image.name);
    let location = image.owner.alias.unwrap_or(account);
    Image {
        architecture: image.architecture.parse::<ArchitectureValues>().ok(),
        block_device_mappings: Some(vec![BlockDeviceMapping {
            device_name: Some(image.distribution.device.to_owned()),
            ebs: Some(EbsBlockDevice {
                delete_on_termination: Some(true),
                encrypted: Some(false),
                snapshot_id: Some(image.snapshot()),
                volume_size: Some(image.distribution.gib),
                volume_type: Some(VolumeType::Gp2),
                ..Default::default()
            }),
        }]),
        creation_date: Some(image.created.to_owned()),
        deprecation_time: Some(deprecation(image.created)),
        description: Some(image.description.clone()),
        ena_support: Some(true),
        hypervisor: Some(HypervisorType::Xen),
        image_id: Some(image.id.clone()),
        image_location: Some(format!("{location}/{name}")),
        image_owner_alias: image.owner.alias.map(str::to_owned),
        image_type: Some(ImageTypeValues::Machine),
        imds_support: image.needs_token.then_some(ImdsSupportValues::V20),
        name: Some(name.clone()),
        owner_id: Some(account.to_owned()),
        platform_details: Some("Linux/UNIX".into()),
        public: Some(true),
        root_device_name: Some(image.distribution.device.to_owned()),
        root_device_type: Some(DeviceType::Ebs),
        sriov_net_support: Some("simple".into()),
        state: Some(ImageState::Available),
        usage_operation: Some("RunInstances".into()),
        virtualization_type: Some(VirtualizationType::Hvm),
        ..Default::default()
    }
}

/// Public images are deprecated two years after they were made.
fn deprecation(created: &str) -> String {
    let (year, rest) = created.split_at(created.len().min(4));
    let year: u32 = year.parse().unwrap_or(0);
    format!("{}{rest}", year + 2)
}

struct FoundKind {
    kind: Kind,
    none: Tags,
}

impl FoundKind {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            none: Tags::new(),
        }
    }
}

impl Filtered for FoundKind {
    const FILTERS: &'static [&'static str] = &[
        "bare-metal",
        "burstable-performance-supported",
        "current-generation",
        "free-tier-eligible",
        "hypervisor",
        "instance-storage-supported",
        "instance-type",
        "memory-info.size-in-mib",
        "processor-info.supported-architecture",
        "supported-root-device-type",
        "supported-usage-class",
        "supported-virtualization-type",
        "vcpu-info.default-cores",
        "vcpu-info.default-threads-per-core",
        "vcpu-info.default-vcpus",
    ];
    fn unique(&self) -> &str {
        &self.kind.name
    }
    fn values(&self, filter: &str) -> Vec<String> {
        let (kind, family) = (&self.kind, self.kind.family);
        vec![match filter {
            "bare-metal" | "instance-storage-supported" => "false".into(),
            "burstable-performance-supported" => family.is_burstable.to_string(),
            "current-generation" => "true".into(),
            "free-tier-eligible" => is_free(kind).to_string(),
            "hypervisor" => if family.is_nitro { "nitro" } else { "xen" }.into(),
            "instance-type" => kind.name.clone(),
            "memory-info.size-in-mib" => kind.memory_mib.to_string(),
            "processor-info.supported-architecture" => family.architecture.into(),
            "supported-root-device-type" => "ebs".into(),
            "supported-usage-class" => "on-demand".into(),
            "supported-virtualization-type" => "hvm".into(),
            "vcpu-info.default-cores" => cores(kind).to_string(),
            "vcpu-info.default-threads-per-core" => threads(kind).to_string(),
            "vcpu-info.default-vcpus" => kind.vcpus.to_string(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.none
    }
}

fn is_free(kind: &Kind) -> bool {
    ["t2.micro", "t3.micro"].contains(&kind.name.as_str())
}

fn threads(kind: &Kind) -> u32 {
    kind.family.threads_per_core.min(kind.vcpus)
}

fn cores(kind: &Kind) -> u32 {
    kind.vcpus / threads(kind).max(1)
}

pub async fn describe_instance_types(
    cx: Cx,
    input: DescribeInstanceTypesInput,
) -> Result<DescribeInstanceTypesOutput, Error> {
    let mut found: Vec<FoundKind> = kinds::all().map(FoundKind::of).collect();
    if let Some(names) = input.instance_types.as_ref().filter(|it| !it.is_empty()) {
        let unknown: Vec<&str> = (names.iter().map(String::as_str))
            .filter(|it| kinds::find(it).is_none())
            .collect();
        if !unknown.is_empty() {
            return Err(InvalidInstanceType.because(format!(
                "The following supplied instance types do not exist: [{}]",
                unknown.join(", ")
            )));
        }
        found.retain(|it| names.contains(&it.kind.name));
    }
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeInstanceTypesOutput {
        instance_types: Some(found.iter().map(|it| shown_kind(&it.kind)).collect()),
        next_token,
    })
}

fn shown_kind(kind: &Kind) -> InstanceTypeInfo {
    let family = kind.family;
    let number = |it: u32| i32::try_from(it).unwrap_or(i32::MAX);
    InstanceTypeInfo {
        auto_recovery_supported: Some(true),
        bare_metal: Some(false),
        burstable_performance_supported: Some(family.is_burstable),
        current_generation: Some(true),
        dedicated_hosts_supported: Some(false),
        free_tier_eligible: Some(is_free(kind)),
        hibernation_supported: Some(false),
        hypervisor: Some(match family.is_nitro {
            true => InstanceTypeHypervisor::Nitro,
            false => InstanceTypeHypervisor::Xen,
        }),
        instance_storage_supported: Some(false),
        instance_type: Some(kind.name.clone()),
        memory_info: Some(MemoryInfo {
            size_in_mi_b: Some(kind.memory_mib.into()),
        }),
        network_info: Some(NetworkInfo {
            default_network_card_index: Some(0),
            ipv6_supported: Some(false),
            maximum_network_cards: Some(1),
            // What can be attached here.
            maximum_network_interfaces: Some(1),
            ipv4_addresses_per_interface: Some(1),
            ..Default::default()
        }),
        processor_info: Some(ProcessorInfo {
            manufacturer: Some(family.maker.to_owned()),
            supported_architectures: family
                .architecture
                .parse::<ArchitectureType>()
                .ok()
                .map(|it| vec![it]),
            sustained_clock_speed_in_ghz: Some(family.clock_ghz),
            ..Default::default()
        }),
        supported_boot_modes: Some(vec![BootModeType::LegacyBios]),
        supported_root_device_types: Some(vec![RootDeviceType::Ebs]),
        supported_usage_classes: Some(vec![UsageClassType::OnDemand]),
        supported_virtualization_types: Some(vec![VirtualizationType::Hvm]),
        v_cpu_info: Some(VCpuInfo {
            default_cores: Some(number(cores(kind))),
            default_threads_per_core: Some(number(threads(kind))),
            default_v_cpus: Some(number(kind.vcpus)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

struct FoundOffering {
    kind: String,
    location: String,
    order: String,
    none: Tags,
}

impl Filtered for FoundOffering {
    const FILTERS: &'static [&'static str] = &["instance-type", "location"];
    fn unique(&self) -> &str {
        &self.order
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "location" => vec![self.location.clone()],
            _ => vec![self.kind.clone()],
        }
    }
    fn tags(&self) -> &Tags {
        &self.none
    }
}

pub async fn describe_offerings(
    cx: Cx,
    input: DescribeInstanceTypeOfferingsInput,
) -> Result<DescribeInstanceTypeOfferingsOutput, Error> {
    let location_type = input.location_type.unwrap_or(LocationType::Region);
    let zones = zones::names(&cx.region);
    let locations = match location_type {
        LocationType::Region => vec![cx.region.clone()],
        LocationType::AvailabilityZone => zones,
        LocationType::AvailabilityZoneId => zones.iter().map(|it| zones::id(it)).collect(),
        LocationType::Outpost => return Err(unsupported("LocationType outpost")),
    };
    let mut all = Vec::new();
    for kind in kinds::all() {
        all.extend(locations.iter().map(|location| FoundOffering {
            order: format!("{} {location}", kind.name),
            kind: kind.name.clone(),
            location: location.clone(),
            none: Tags::new(),
        }));
    }
    let found = select(&cx, all, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    let offerings = found.into_iter().map(|it| InstanceTypeOffering {
        instance_type: Some(it.kind),
        location: Some(it.location),
        location_type: Some(location_type),
    });
    Ok(DescribeInstanceTypeOfferingsOutput {
        instance_type_offerings: Some(offerings.collect()),
        next_token,
    })
}
