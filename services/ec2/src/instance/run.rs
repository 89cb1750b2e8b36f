//! `RunInstances`: what is asked for is checked, and recorded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud::{Cx, Error, Need, Records, Touched};
use shapes::ec2::{
    BlockDeviceMapping, HttpTokensState, IamInstanceProfileSpecification,
    InstanceMetadataEndpointState, InstanceMetadataTagsState,
    InstanceNetworkInterfaceSpecification, ResourceType, RunInstancesInput, RunInstancesOutput,
    ShutdownBehavior, TagSpecification, VolumeType,
};
use shapes::iam::GetInstanceProfileInput;

use super::catalogue::{self, CatalogueImage};
use super::key_pair;
use super::kinds::{self, Kind};
use super::record::{InstanceRecord, MetadataOptions, ProfileUse, RootVolume, State, Want};
use super::{root, user_data, view};
use crate::errors::{
    IdempotentParameterMismatch, InstanceLimitExceeded, InsufficientFreeAddressesInSubnet,
    InvalidAmiIdMalformed, InvalidAmiIdNotFound, InvalidBlockDeviceMapping, InvalidGroupNotFound,
    InvalidKeyPairNotFound, InvalidParameterCombination, InvalidParameterValue, MissingInput,
    MissingParameter, unsupported,
};
use crate::group::SecurityGroup;
use crate::interface::{self, Interface};
use crate::subnet::{self, Subnet};
use crate::tags::{self, Tags};
use crate::{default_vpc, launch_template, zones};

/// Instances of one region that have not ended. AWS's quota is one of virtual processors; this is what one
/// machine bears.
const INSTANCES_MAX: usize = 200;
/// Of one request.
const COUNT_MAX: i32 = 100;
/// The number of AWS's quota, gp2's and gp3's.
const VOLUME_GIB_MAX: i32 = 16_384;

/// All that a request says, checked.
struct Asked {
    digest: String,
    image: CatalogueImage,
    kind: Kind,
    subnet: Subnet,
    groups: Vec<String>,
    address: Option<String>,
    public: bool,
    description: String,
    keeps_interface: bool,
    profile: Option<ProfileUse>,
    public_key: Option<String>,
    metadata: MetadataOptions,
    volume: RootVolume,
    tags: LaunchTags,
}

/// Tags for each kind of thing that comes of it.
struct LaunchTags {
    instance: Tags,
    volume: Tags,
    interface: Tags,
}

pub async fn run_instances(cx: Cx, input: RunInstancesInput) -> Result<RunInstancesOutput, Error> {
    let input = launch_template::fill(&cx, input)?;
    let count = counts(&input)?;
    let asked = asked(&cx, &input).await?;
    root::ensure(&cx, &asked.image).await?;
    let instances = cx.write(|tx| launch(&cx, tx, &input, &asked, count))?;
    let reservation = cx.read(|tx| view::reservation(&cx, tx, &instances))?;
    Ok(RunInstancesOutput {
        reservation_id: reservation.reservation_id,
        owner_id: reservation.owner_id,
        requester_id: reservation.requester_id,
        groups: reservation.groups,
        instances: reservation.instances,
    })
}

/// The least and the most that are wanted.
fn counts(input: &RunInstancesInput) -> Result<(usize, usize), Error> {
    let (least, most) = (input.min_count, input.max_count);
    if least < 1 || most < least {
        return Err(InvalidParameterValue.because(format!(
            "Value ({least}) for parameter minCount is invalid. MinCount must be at least 1 and at most MaxCount."
        )));
    }
    if most > COUNT_MAX {
        return Err(InstanceLimitExceeded.because(format!(
            "You have requested more instances ({most}) than your current instance limit of {COUNT_MAX} allows \
             for the specified instance type."
        )));
    }
    let number = |it: i32| usize::try_from(it).unwrap_or(1);
    Ok((number(least), number(most)))
}

async fn asked(cx: &Cx, input: &RunInstancesInput) -> Result<Asked, Error> {
    let image = image_of(cx, input)?;
    let kind = kind_of(input, &image)?;
    if let Some(text) = &input.user_data {
        check_user_data(text)?;
    }
    let network = network_of(cx, input)?;
    let profile = match &input.iam_instance_profile {
        Some(given) => profile(cx, given).await?,
        None => None,
    };
    let public_key = match &input.key_name {
        Some(name) => Some(public_key(cx, name)?),
        None => None,
    };
    Ok(Asked {
        digest: digest(input),
        volume: volume(cx, input, &image)?,
        metadata: metadata(input, &image)?,
        tags: launch_tags(input.tag_specifications.as_ref())?,
        subnet: network.subnet,
        groups: network.groups,
        address: network.address,
        public: network.public,
        description: network.description,
        keeps_interface: network.keeps_interface,
        image,
        kind,
        profile,
        public_key,
    })
}

/// What tells one request from another that has its token.
fn digest(input: &RunInstancesInput) -> String {
    cloud::token_hex(&wire::to_json(input).to_string(), "ec2.run", 32)
}

fn image_of(cx: &Cx, input: &RunInstancesInput) -> Result<CatalogueImage, Error> {
    let id = input.image_id.as_deref().unwrap_or_default();
    if id.is_empty() {
        return Err(MissingParameter.because("The request must contain the parameter ImageId"));
    }
    let hex = id.strip_prefix("ami-").unwrap_or_default();
    if hex.is_empty() || !hex.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Err(
            InvalidAmiIdMalformed.because(format!("Invalid id: \"{id}\" (expecting \"ami-...\")"))
        );
    }
    catalogue::find(&cx.region, id).ok_or_else(|| {
        InvalidAmiIdNotFound.because(format!("The image id '[{id}]' does not exist"))
    })
}

/// AWS's own default, of a generation that is not here.
const KIND_DEFAULT: &str = "m1.small";

fn kind_of(input: &RunInstancesInput, image: &CatalogueImage) -> Result<Kind, Error> {
    let name = input.instance_type.as_deref().unwrap_or(KIND_DEFAULT);
    let kind = find_kind(name)?;
    if kind.family.architecture != image.architecture {
        return Err(InvalidParameterValue.because(format!(
            "The architecture '{}' of the specified instance type does not match the architecture '{}' of the \
             specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. \
             You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the \
             instance type or AMI.",
            kind.family.architecture, image.architecture
        )));
    }
    Ok(kind)
}

/// One of a type that runs on this machine.
pub fn find_kind(name: &str) -> Result<Kind, Error> {
    let kind = kinds::find(name).ok_or_else(|| match name == KIND_DEFAULT {
        true => unsupported(&format!(
            "the instance type {name}, which is meant where none is given"
        )),
        false => InvalidParameterValue.because(format!("Invalid value '{name}' for InstanceType.")),
    })?;
    match kind.family.architecture == kinds::HERE {
        true => Ok(kind),
        false => Err(unsupported(&format!(
            "the instance type {name}, whose programs are for {}: this machine runs those for {}",
            kind.family.architecture,
            kinds::HERE
        ))),
    }
}

/// The bytes of user data, which requests carry in base64.
pub fn decoded(text: &str) -> Result<Vec<u8>, Error> {
    let plain: String = text.split_ascii_whitespace().collect();
    let decoded = BASE64.decode(plain);
    decoded.map_err(|_| InvalidParameterValue.because("Invalid BASE64 encoding of user data."))
}

pub fn check_user_data(text: &str) -> Result<(), Error> {
    let bytes = decoded(text)?;
    if bytes.len() > user_data::BYTES_MAX {
        return Err(InvalidParameterValue.because("User data is limited to 16384 bytes"));
    }
    let parsed = user_data::parse(&bytes);
    parsed
        .map(drop)
        .map_err(|what| unsupported(&format!("user data with {what}")))
}

/// Where it is to be.
struct Network {
    subnet: Subnet,
    groups: Vec<String>,
    address: Option<String>,
    public: bool,
    description: String,
    keeps_interface: bool,
}

fn network_of(cx: &Cx, input: &RunInstancesInput) -> Result<Network, Error> {
    let interface = one_interface(input)?;
    let subnet = interface.and_then(|it| it.subnet_id.as_ref());
    let subnet = subnet.or(input.subnet_id.as_ref());
    let zone = input
        .placement
        .as_ref()
        .and_then(|it| it.availability_zone.as_ref());
    let subnet = match subnet {
        Some(id) => cx.read(|tx| subnet::get(cx, tx, id))?,
        None => default_subnet(cx, zone)?,
    };
    if let Some(zone) = zone.filter(|it| **it != subnet.zone) {
        return Err(InvalidParameterValue.because(format!(
            "The specified Subnet: {} does not belong to the Availability Zone: {zone}",
            subnet.id
        )));
    }
    let named = input.security_groups.as_deref().unwrap_or_default();
    let given = interface.and_then(|it| it.groups.clone());
    let mut groups = given
        .or(input.security_group_ids.clone())
        .unwrap_or_default();
    for name in named {
        groups.push(group_named(cx, &subnet.vpc, name)?);
    }
    let public = interface.and_then(|it| it.associate_public_ip_address);
    let address = interface.and_then(|it| it.private_ip_address.clone());
    Ok(Network {
        public: public.unwrap_or(subnet.public_on_launch),
        address: address.or(input.private_ip_address.clone()),
        description: interface
            .and_then(|it| it.description.clone())
            .unwrap_or_default(),
        keeps_interface: interface.is_some_and(|it| it.delete_on_termination == Some(false)),
        subnet,
        groups,
    })
}

fn one_interface(
    input: &RunInstancesInput,
) -> Result<Option<&InstanceNetworkInterfaceSpecification>, Error> {
    let interfaces = input.network_interfaces.as_deref().unwrap_or_default();
    let [one] = interfaces else {
        return match interfaces {
            [] => Ok(None),
            _ => Err(unsupported(
                "more than one network interface of an instance",
            )),
        };
    };
    if one.device_index != Some(0) {
        return Err(InvalidParameterCombination
            .because("A network interface with device index 0 is required."));
    }
    let clash = |is_given: bool, what: &str| {
        match is_given {
        true => Err(InvalidParameterCombination.because(format!(
            "Network interfaces and an instance-level {what} may not be specified on the same request"
        ))),
        false => Ok(()),
    }
    };
    let has = |it: &Option<Vec<String>>| it.as_ref().is_some_and(|it| !it.is_empty());
    clash(input.subnet_id.is_some(), "subnet ID")?;
    clash(
        has(&input.security_group_ids) || has(&input.security_groups),
        "security groups",
    )?;
    clash(input.private_ip_address.is_some(), "private address")?;
    Ok(Some(one))
}

/// The default VPC's in a zone: in the first that has one where none is asked for.
fn default_subnet(cx: &Cx, zone: Option<&String>) -> Result<Subnet, Error> {
    let vpc = default_vpc::meant(cx)?;
    let zones = zones::names(&cx.region);
    if let Some(zone) = zone.filter(|it| !zones.contains(it)) {
        return Err(InvalidParameterValue.because(format!("Invalid availability zone: [{zone}]")));
    }
    let mut own = cx.read(|tx| tx.list::<Subnet>(&cx.key("")))?;
    own.retain(|it| it.vpc == vpc && it.is_default && zone.is_none_or(|zone| it.zone == *zone));
    own.sort_by(|a, b| a.zone.cmp(&b.zone));
    own.into_iter().next().ok_or_else(|| {
        MissingInput.because(format!(
            "No subnets found for the default VPC '{vpc}'. Please specify a subnet."
        ))
    })
}

fn group_named(cx: &Cx, vpc: &str, name: &str) -> Result<String, Error> {
    let all = cx.read(|tx| tx.list::<SecurityGroup>(&cx.key("")))?;
    let found = all.into_iter().find(|it| it.vpc == vpc && it.name == name);
    found.map(|it| it.id).ok_or_else(|| {
        InvalidGroupNotFound.because(format!(
            "The security group '{name}' does not exist in VPC '{vpc}'"
        ))
    })
}

fn public_key(cx: &Cx, name: &String) -> Result<String, Error> {
    let found = key_pair::find(cx, Some(name), None)?;
    found.map(|it| it.public).ok_or_else(|| {
        InvalidKeyPairNotFound.because(format!("The key pair '{name}' does not exist"))
    })
}

/// Finds a profile. Whoever gives it to an instance hands its role over.
pub async fn profile(
    cx: &Cx,
    given: &IamInstanceProfileSpecification,
) -> Result<Option<ProfileUse>, Error> {
    let by_arn = given.arn.as_deref().filter(|it| !it.is_empty());
    let name = match (by_arn, given.name.as_deref().filter(|it| !it.is_empty())) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(InvalidParameterCombination.because(
                "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
            ));
        }
        (Some(arn), None) => arn.rsplit('/').next().unwrap_or_default(),
        (None, Some(name)) => name,
    };
    let (what, value) = match by_arn {
        Some(arn) => ("arn", arn),
        None => ("name", name),
    };
    let invalid = || {
        InvalidParameterValue.because(format!(
            "Value ({value}) for parameter iamInstanceProfile.{what} is invalid. Invalid IAM Instance Profile {}",
            if by_arn.is_some() { "ARN" } else { "name" }
        ))
    };
    let input = GetInstanceProfileInput {
        instance_profile_name: name.to_owned(),
    };
    let found = match cx.call(input).await {
        Ok(found) => found.instance_profile,
        Err(error) if error.status >= 500 => return Err(error),
        Err(_) => return Err(invalid()),
    };
    if by_arn.is_some_and(|it| it != found.arn) {
        return Err(invalid());
    }
    for role in &found.roles {
        let passed = Touched::named(role.arn.clone());
        cx.authorize_one("ec2", Need::pass_role(passed, super::metadata::PRINCIPAL))?;
    }
    Ok(Some(ProfileUse {
        association: String::new(),
        arn: found.arn,
        id: found.instance_profile_id,
        name: found.instance_profile_name,
        since_ms: cx.clock().now_ms(),
    }))
}

/// How many networks a token may pass on its way (User Guide: 1 to 64).
const HOPS: std::ops::RangeInclusive<i32> = 1..=64;

pub fn check_hops(hops: i32) -> Result<i32, Error> {
    match HOPS.contains(&hops) {
        true => Ok(hops),
        false => Err(InvalidParameterValue.because(format!(
            "Value ({hops}) for parameter HttpPutResponseHopLimit is invalid. It must be between 1 and 64."
        ))),
    }
}

/// What is asked for, and what its image says where nothing is.
fn metadata(input: &RunInstancesInput, image: &CatalogueImage) -> Result<MetadataOptions, Error> {
    let given = input.metadata_options.clone().unwrap_or_default();
    let hops = match image.needs_token {
        true => 2,
        false => 1,
    };
    Ok(MetadataOptions {
        is_served: given.http_endpoint != Some(InstanceMetadataEndpointState::Disabled),
        needs_token: match given.http_tokens {
            Some(tokens) => tokens == HttpTokensState::Required,
            None => image.needs_token,
        },
        hops: check_hops(given.http_put_response_hop_limit.unwrap_or(hops))?,
        has_tags: given.instance_metadata_tags == Some(InstanceMetadataTagsState::Enabled),
    })
}

fn volume(cx: &Cx, input: &RunInstancesInput, image: &CatalogueImage) -> Result<RootVolume, Error> {
    let mappings = input.block_device_mappings.as_deref().unwrap_or_default();
    let device = image.distribution.device;
    let is_root = |it: &&BlockDeviceMapping| it.device_name.as_deref() == Some(device);
    if let Some(other) = mappings.iter().find(|it| !is_root(it)) {
        let name = other.device_name.as_deref().unwrap_or_default();
        return Err(unsupported(&format!(
            "the block device {name}: an instance has its root volume, {device}, alone"
        )));
    }
    let given = mappings.iter().find(is_root);
    let given = given.and_then(|it| it.ebs.clone()).unwrap_or_default();
    let gib = given.volume_size.unwrap_or(image.distribution.gib);
    if gib < image.distribution.gib {
        return Err(InvalidBlockDeviceMapping.because(format!(
            "Volume of size {gib}GB is smaller than snapshot '{}', expect size >= {}GB",
            image.snapshot(),
            image.distribution.gib
        )));
    }
    if gib > VOLUME_GIB_MAX {
        return Err(InvalidParameterValue.because(format!(
            "Invalid value '{gib}' for VolumeSize. It must be at most {VOLUME_GIB_MAX}."
        )));
    }
    let kind = given.volume_type.unwrap_or(VolumeType::Gp2);
    let iops = match kind {
        VolumeType::Gp2 => Some((gib * 3).clamp(100, 16_000)),
        VolumeType::Gp3 => Some(given.iops.unwrap_or(3000)),
        _ => given.iops,
    };
    let throughput = (kind == VolumeType::Gp3).then(|| given.throughput.unwrap_or(125));
    Ok(RootVolume {
        id: String::new(),
        device: device.to_owned(),
        snapshot: image.snapshot(),
        gib,
        kind,
        iops,
        throughput,
        goes_with_instance: given.delete_on_termination != Some(false),
        attached_ms: cx.clock().now_ms(),
        tags: Tags::new(),
    })
}

fn launch_tags(given: Option<&Vec<TagSpecification>>) -> Result<LaunchTags, Error> {
    let mut of = LaunchTags {
        instance: Tags::new(),
        volume: Tags::new(),
        interface: Tags::new(),
    };
    for specification in given.into_iter().flatten() {
        let into = match specification.resource_type {
            Some(ResourceType::Instance) => &mut of.instance,
            Some(ResourceType::Volume) => &mut of.volume,
            Some(ResourceType::NetworkInterface) => &mut of.interface,
            other => {
                let named = other.map(|it| it.to_string()).unwrap_or_default();
                return Err(InvalidParameterValue.because(format!(
                    "'{named}' is not a valid taggable resource type for this operation."
                )));
            }
        };
        tags::add(into, specification.tags.as_deref().unwrap_or_default())?;
    }
    Ok(of)
}

fn launch(
    cx: &Cx,
    tx: &Records<'_>,
    input: &RunInstancesInput,
    asked: &Asked,
    (least, most): (usize, usize),
) -> Result<Vec<InstanceRecord>, Error> {
    // A client's own token serves as well as one that the caller of this daemon set.
    let token = cx
        .token
        .clone()
        .or(input.client_token.clone().filter(|it| !it.is_empty()));
    let naming = match &token {
        Some(token) => cx.with_token(format!("ec2-run/{}/{token}", cx.region)),
        None => cx.with_token(cloud::random_hex(32)),
    };
    let reservation = naming.new_id("r-", 17);
    let all = tx.list::<InstanceRecord>(&cx.key(""))?;
    let before: Vec<InstanceRecord> = (all.iter())
        .filter(|it| it.reservation == reservation)
        .cloned()
        .collect();
    if let Some(first) = before.first() {
        return match first.asked == asked.digest {
            true => Ok(before),
            false => Err(IdempotentParameterMismatch.because(
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )),
        };
    }
    let live = all.iter().filter(|it| !it.state.is_ending()).count();
    if live + least > INSTANCES_MAX {
        return Err(InstanceLimitExceeded.because(format!(
            "You have requested more instances ({}) than your current instance limit of {INSTANCES_MAX} allows \
             for the specified instance type.",
            live + least
        )));
    }
    let most = most.min(INSTANCES_MAX - live);
    let mut made = Vec::new();
    for index in 0..most {
        match launch_one(cx, tx, input, asked, (&naming, &reservation), index) {
            Ok(instance) => made.push(instance),
            Err(error) if error.is(InsufficientFreeAddressesInSubnet) && made.len() >= least => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

fn launch_one(
    cx: &Cx,
    tx: &Records<'_>,
    input: &RunInstancesInput,
    asked: &Asked,
    (naming, reservation): (&Cx, &str),
    index: usize,
) -> Result<InstanceRecord, Error> {
    let naming = naming.with_token(format!(
        "{}/{index}",
        naming.token.as_deref().unwrap_or_default()
    ));
    let id = naming.new_id("i-", 17);
    let interface = interface::make_for_instance(
        cx,
        tx,
        interface::OfInstance {
            id: naming.new_id("eni-", 17),
            instance: &id,
            subnet: &asked.subnet,
            groups: &asked.groups,
            address: asked.address.as_deref(),
            public: asked.public,
            description: &asked.description,
            tags: &asked.tags.interface,
        },
    )?;
    let now_ms = cx.clock().now_ms();
    let credits = input
        .credit_specification
        .as_ref()
        .map(|it| it.cpu_credits.clone());
    let burstable = asked.kind.family.is_burstable;
    let instance = InstanceRecord {
        region: cx.region.clone(),
        reservation: reservation.to_owned(),
        launch_index: i32::try_from(index).unwrap_or(0),
        client_token: input.client_token.clone(),
        asked: asked.digest.clone(),
        image: asked.image.id.clone(),
        kind: asked.kind.name.clone(),
        key_name: input.key_name.clone(),
        public_key: asked.public_key.clone(),
        user_data: input.user_data.clone().filter(|it| !it.is_empty()),
        interface: interface.id,
        keeps_interface: asked.keeps_interface,
        vpc: interface.vpc,
        subnet: interface.subnet,
        zone: interface.zone,
        address: interface.address,
        public: asked.public,
        profile: asked.profile.clone().map(|it| ProfileUse {
            association: naming.new_id("iip-assoc-", 17),
            ..it
        }),
        metadata: asked.metadata.clone(),
        metadata_key: cloud::random_hex(64),
        is_monitored: input.monitoring.as_ref().is_some_and(|it| it.enabled),
        is_ebs_optimized: input.ebs_optimized == Some(true),
        is_kept_from_termination: input.disable_api_termination == Some(true),
        is_kept_from_stop: input.disable_api_stop == Some(true),
        terminates_on_shutdown: input.instance_initiated_shutdown_behavior
            == Some(ShutdownBehavior::Terminate),
        cpu_credits: burstable
            .then(|| credits.unwrap_or_else(|| asked.kind.family.credits.to_owned())),
        volume: RootVolume {
            id: naming.new_id("vol-", 17),
            tags: asked.tags.volume.clone(),
            ..asked.volume.clone()
        },
        launched_ms: now_ms,
        state: State::Pending,
        want: Want::Run,
        boot: 1,
        root: None,
        reason: None,
        transition: String::new(),
        ended_ms: None,
        tags: asked.tags.instance.clone(),
        id,
    };
    tx.put(&instance)?;
    Ok(instance)
}

/// A stopped one has none: the next start gets another. One of its owner's stays.
pub fn give_public_address_back(
    cx: &Cx,
    tx: &Records<'_>,
    instance: &InstanceRecord,
) -> Result<(), Error> {
    interface::set_public(cx, tx, &instance.interface, interface::Public::No)
}

/// See [`give_public_address_back`].
pub fn take_public_address(
    cx: &Cx,
    tx: &Records<'_>,
    instance: &InstanceRecord,
) -> Result<(), Error> {
    match instance.public {
        true => interface::set_public(cx, tx, &instance.interface, interface::Public::Own),
        false => Ok(()),
    }
}

/// The first interface of an instance.
pub fn interface_of(
    cx: &Cx,
    tx: &Records<'_>,
    instance: &InstanceRecord,
) -> Result<Option<Interface>, Error> {
    tx.get::<Interface>(&cx.key(&instance.interface))
}
