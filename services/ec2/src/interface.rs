//! Network interfaces: the addresses of tasks and load balancers.

use std::net::Ipv4Addr;

use cloud::{Cloud, Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    AssignPrivateIpAddressesInput, AssignPrivateIpAddressesOutput, AssignedPrivateIpAddress,
    CreateNetworkInterfaceInput, CreateNetworkInterfaceOutput, DeleteNetworkInterfaceInput,
    DeleteNetworkInterfaceOutput, DescribeNetworkInterfacesInput, DescribeNetworkInterfacesOutput,
    GroupIdentifier, ModifyNetworkInterfaceAttributeInput, ModifyNetworkInterfaceAttributeOutput,
    NetworkInterface, NetworkInterfaceAssociation, NetworkInterfaceAttachment,
    NetworkInterfacePrivateIpAddress, NetworkInterfaceStatus, NetworkInterfaceType,
    PrivateIpAddressSpecification, ResourceType, UnassignPrivateIpAddressesInput,
    UnassignPrivateIpAddressesOutput,
};

use crate::addresses;
use crate::elastic_address;
use crate::errors::{
    InsufficientFreeAddressesInSubnet, InvalidIpAddressInUse, InvalidNetworkInterfaceIdNotFound,
    InvalidParameterCombination, InvalidParameterValue, MissingParameter,
    PrivateIpAddressLimitExceeded, unsupported,
};
use crate::filters::{Filtered, page, select};
use crate::group::{self, SecurityGroup};
use crate::nat_gateway::{self, NatGateway};
use crate::subnet::{self, Subnet};
use crate::tags::{self, Tags};
use crate::{vpc, zones};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    pub id: String,
    pub region: String,
    pub vpc: String,
    pub subnet: String,
    pub zone: String,
    pub address: Ipv4Addr,
    pub groups: Vec<String>,
    /// It may use an internet gateway. The address is documentation's own (RFC 5737): nothing
    /// outside this machine reaches it.
    pub public_address: Option<Ipv4Addr>,
    pub description: String,
    pub tags: Tags,
    pub deleting: bool,
    /// A service made it for something of its own, which it is attached to from the first moment.
    #[serde(default = "is_held")]
    pub held: bool,
    /// Addresses beside the first. Nothing here is attached to an interface that somebody made, so that they
    /// are kept for it and lead nowhere yet.
    #[serde(default)]
    pub secondary: Vec<Ipv4Addr>,
    /// The instance whose first one it is.
    #[serde(default)]
    pub instance: Option<String>,
}

/// Interfaces of a time at which nobody else made any.
fn is_held() -> bool {
    true
}

/// The most addresses of one interface: those of AWS's largest instances ("IP addresses per network
/// interface").
const ADDRESSES_MAX: usize = 50;

impl Record for Interface {
    const KIND: &'static str = "ec2.interface";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// The VPC of an interface, whatever its region; None when there is no such interface.
pub fn vpc_of(cloud: &Cloud, id: &str) -> Option<String> {
    let keys = cloud::all_keys::<Interface>(cloud).ok()?;
    let key = (keys.into_iter()).find(|key| key.split_once('/').is_some_and(|it| it.1 == id))?;
    let found: Option<Interface> = cloud.store.read(|tx| tx.get(&key)).ok()?;
    Some(found?.vpc)
}

/// Who has an address of a subnet, under `<region>/<subnet>/<address>`: so that an interface comes
/// and goes in the same time however many there are. It is made and deleted with its interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressUse {
    key: String,
    interface: String,
}

impl Record for AddressUse {
    const KIND: &'static str = "ec2.address";
    fn key(&self) -> String {
        self.key.clone()
    }
}

impl AddressUse {
    fn key_of(cx: &Cx, subnet: &str, address: Ipv4Addr) -> String {
        cx.key(&format!("{subnet}/{address}"))
    }
}

/// How many addresses of a subnet interfaces have.
pub fn addresses_in_use(cx: &Cx, tx: &Records<'_>, subnet: &str) -> Result<usize, Error> {
    tx.count::<AddressUse>(&cx.key(&format!("{subnet}/")))
}

/// Whether a subnet has interfaces, those that are being deleted not counted.
pub fn any_in(cx: &Cx, tx: &Records<'_>, subnet: &str) -> Result<bool, Error> {
    for used in tx.list::<AddressUse>(&cx.key(&format!("{subnet}/")))? {
        let interface = tx.get::<Interface>(&cx.key(&used.interface))?;
        if interface.is_some_and(|it| !it.deleting) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The machine has let go of it: its address is free again.
pub fn forget(cx: &Cx, tx: &Records<'_>, interface: &Interface) -> Result<(), Error> {
    for address in interface.secondary.iter().chain([&interface.address]) {
        tx.delete::<AddressUse>(&AddressUse::key_of(cx, &interface.subnet, *address))?;
    }
    elastic_address::let_go(cx, tx, &interface.id)?;
    tx.delete::<Interface>(&interface.key())?;
    Ok(())
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<Interface, Error> {
    tx.get::<Interface>(&cx.key(id))?
        .filter(|it| !it.deleting)
        .ok_or_else(|| {
            InvalidNetworkInterfaceIdNotFound
                .because(format!("The networkInterface ID '{id}' does not exist"))
        })
}

pub async fn create_network_interface(
    cx: Cx,
    input: CreateNetworkInterfaceInput,
) -> Result<CreateNetworkInterfaceOutput, Error> {
    let tags = tags::specified(
        input.tag_specifications.as_ref(),
        ResourceType::NetworkInterface,
    )?;
    cx.write(|tx| {
        // A client's own token serves as well as one that the caller of this daemon set.
        let named = input.client_token.as_ref().filter(|_| cx.token.is_none());
        let id = match named {
            Some(token) => cx.with_token(token.as_str()).new_id("eni-", 17),
            None => cx.new_id("eni-", 17),
        };
        let interface = match tx.get::<Interface>(&cx.key(&id))? {
            Some(existing) => existing,
            None => {
                let mut made = make(&cx, tx, &input, id, &tags)?;
                use_address(&cx, tx, &made, made.address)?;
                let count = input.secondary_private_ip_address_count.unwrap_or(0);
                give(&cx, tx, &mut made, &asked_addresses(&input)?.1, count)?;
                tx.put(&made)?;
                made
            }
        };
        let client_token = input.client_token.clone();
        Ok(CreateNetworkInterfaceOutput {
            network_interface: Some(shown(&cx, tx, &interface)?),
            client_token,
        })
    })
}

/// The first address and the others that are asked for, in either of the two ways.
fn asked_addresses(
    input: &CreateNetworkInterfaceInput,
) -> Result<(Option<&str>, Vec<&str>), Error> {
    let listed = input.private_ip_addresses.as_deref().unwrap_or_default();
    let alone = input.private_ip_address.as_deref();
    let mut primary = listed.iter().filter(|it| it.primary == Some(true));
    let first = primary.next();
    if primary.next().is_some() || (first.is_some() && alone.is_some()) {
        return Err(InvalidParameterCombination
            .because("Only one primary private IP address can be specified."));
    }
    if listed.iter().any(|it| it.private_ip_address.is_none()) {
        return Err(
            MissingParameter.because("The request must contain the parameter privateIpAddress")
        );
    }
    // One alone is the first also where nothing says so.
    let first = first.or_else(|| match (listed, alone) {
        ([one], None) if one.primary.is_none() => Some(one),
        _ => None,
    });
    let is_first =
        |it: &PrivateIpAddressSpecification| first.is_some_and(|first| std::ptr::eq(it, first));
    let others = listed.iter().filter(|it| !is_first(it));
    let others = others.filter_map(|it| it.private_ip_address.as_deref());
    let first = first.and_then(|it| it.private_ip_address.as_deref());
    Ok((first.or(alone), others.collect()))
}

/// Notes whose an address is.
fn use_address(
    cx: &Cx,
    tx: &Records<'_>,
    interface: &Interface,
    address: Ipv4Addr,
) -> Result<(), Error> {
    tx.put(&AddressUse {
        key: AddressUse::key_of(cx, &interface.subnet, address),
        interface: interface.id.clone(),
    })
}

/// Gives an interface more addresses: those that are named, or as many as are asked for.
fn give(
    cx: &Cx,
    tx: &Records<'_>,
    interface: &mut Interface,
    named: &[&str],
    count: i32,
) -> Result<Vec<Ipv4Addr>, Error> {
    let count = usize::try_from(count).unwrap_or(0);
    if !named.is_empty() && count > 0 {
        return Err(InvalidParameterCombination.because(
            "You cannot specify both private IP addresses and a count of secondary addresses.",
        ));
    }
    if interface.secondary.len() + named.len() + count >= ADDRESSES_MAX {
        return Err(PrivateIpAddressLimitExceeded.because(format!(
            "Number of private addresses will exceed limit of {ADDRESSES_MAX}."
        )));
    }
    let subnet = subnet::get(cx, tx, &interface.subnet)?;
    let wanted = named.iter().map(|it| Some(*it));
    let wanted = wanted.chain(std::iter::repeat_n(None, count));
    let mut given = Vec::new();
    for wanted in wanted {
        let address = address(cx, tx, &subnet, wanted)?;
        use_address(cx, tx, interface, address)?;
        interface.secondary.push(address);
        given.push(address);
    }
    Ok(given)
}

fn make(
    cx: &Cx,
    tx: &Records<'_>,
    input: &CreateNetworkInterfaceInput,
    id: String,
    tags: &Tags,
) -> Result<Interface, Error> {
    let subnet = subnet::get(cx, tx, &input.subnet_id)?;
    let vpc = vpc::get(cx, tx, &subnet.vpc)?;
    let groups = match &input.groups {
        Some(groups) if !groups.is_empty() => groups.clone(),
        _ => vec![vpc.default_group.clone()],
    };
    check_groups(cx, tx, &groups, &vpc.id)?;
    let address = address(cx, tx, &subnet, asked_addresses(input)?.0)?;
    Ok(Interface {
        id,
        region: cx.region.clone(),
        vpc: vpc.id,
        subnet: subnet.id,
        zone: subnet.zone,
        address,
        groups,
        public_address: None,
        description: input.description.clone().unwrap_or_default(),
        tags: tags.clone(),
        deleting: false,
        held: is_of_a_service(cx),
        secondary: Vec::new(),
        instance: None,
    })
}

/// Whether a service asks, for something of its own.
fn is_of_a_service(cx: &Cx) -> bool {
    cx.origin.client().is_none() && !cx.acts
}

/// The interface of a NAT gateway, recorded.
pub fn make_for_nat(
    cx: &Cx,
    tx: &Records<'_>,
    gateway: &NatGateway,
    subnet: &Subnet,
    private: Option<&str>,
) -> Result<Interface, Error> {
    let vpc = vpc::get(cx, tx, &subnet.vpc)?;
    let interface = Interface {
        id: gateway.interface.clone(),
        region: cx.region.clone(),
        vpc: vpc.id,
        subnet: subnet.id.clone(),
        zone: subnet.zone.clone(),
        address: address(cx, tx, subnet, private)?,
        groups: vec![vpc.default_group],
        public_address: Some(gateway.public),
        description: format!("Interface for NAT Gateway {}", gateway.id),
        tags: Tags::new(),
        deleting: false,
        held: true,
        secondary: Vec::new(),
        instance: None,
    };
    use_address(cx, tx, &interface, interface.address)?;
    tx.put(&interface)?;
    Ok(interface)
}

/// What an instance wants of its first interface.
pub struct OfInstance<'a> {
    pub id: String,
    pub instance: &'a str,
    pub subnet: &'a Subnet,
    /// None: the VPC's own.
    pub groups: &'a [String],
    pub address: Option<&'a str>,
    pub public: bool,
    pub description: &'a str,
    pub tags: &'a Tags,
}

/// The first interface of an instance, recorded.
pub fn make_for_instance(
    cx: &Cx,
    tx: &Records<'_>,
    asked: OfInstance<'_>,
) -> Result<Interface, Error> {
    let subnet = subnet::get(cx, tx, &asked.subnet.id)?;
    let vpc = vpc::get(cx, tx, &subnet.vpc)?;
    let groups = match asked.groups {
        [] => vec![vpc.default_group.clone()],
        groups => groups.to_vec(),
    };
    check_groups(cx, tx, &groups, &vpc.id)?;
    let mut interface = Interface {
        id: asked.id,
        region: cx.region.clone(),
        address: address(cx, tx, &subnet, asked.address)?,
        vpc: vpc.id,
        subnet: subnet.id,
        zone: subnet.zone,
        groups,
        public_address: None,
        description: asked.description.to_owned(),
        tags: asked.tags.clone(),
        deleting: false,
        held: false,
        secondary: Vec::new(),
        instance: Some(asked.instance.to_owned()),
    };
    if asked.public {
        interface.public_address = Some(public_address(cx, tx, &interface)?);
    }
    use_address(cx, tx, &interface, interface.address)?;
    tx.put(&interface)?;
    Ok(interface)
}

/// The instance is gone: so is its interface, unless that was to stay.
pub fn end_attachment(
    cx: &Cx,
    tx: &Records<'_>,
    interface: &mut Interface,
    stays: bool,
) -> Result<(), Error> {
    elastic_address::let_go(cx, tx, &interface.id)?;
    interface.instance = None;
    interface.public_address = None;
    interface.deleting = !stays;
    tx.put(interface)
}

/// The public address of an instance's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Public {
    No,
    /// One of no owner's, unless it has one.
    Own,
}

/// Gives one or takes it back: one that its owner has associated stays.
pub fn set_public(cx: &Cx, tx: &Records<'_>, id: &str, public: Public) -> Result<(), Error> {
    let Some(mut interface) = tx.get::<Interface>(&cx.key(id))? else {
        return Ok(());
    };
    if elastic_address::of_interface(cx, tx, id)?.is_some() {
        return Ok(());
    }
    interface.public_address = match public {
        Public::No => None,
        Public::Own => Some(public_address(cx, tx, &interface)?),
    };
    tx.put(&interface)
}

/// Puts an instance's interface into other groups.
pub fn set_groups(cx: &Cx, tx: &Records<'_>, id: &str, groups: &[String]) -> Result<(), Error> {
    let mut interface = get(cx, tx, id)?;
    check_groups(cx, tx, groups, &interface.vpc)?;
    interface.groups = groups.to_vec();
    tx.put(&interface)
}

/// The instance that an interface is of, whatever its region.
pub fn instance_of(cloud: &Cloud, id: &str) -> Option<(String, String)> {
    let keys = cloud::all_keys::<Interface>(cloud).ok()?;
    let key = (keys.into_iter()).find(|key| key.split_once('/').is_some_and(|it| it.1 == id))?;
    let found: Option<Interface> = cloud.store.read(|tx| tx.get(&key)).ok()?;
    let found = found?;
    Some((found.region, found.instance?))
}

fn check_groups(cx: &Cx, tx: &Records<'_>, groups: &[String], vpc: &str) -> Result<(), Error> {
    for id in groups {
        if group::get(cx, tx, id)?.vpc != vpc {
            return Err(InvalidParameterValue
                .because(format!("You have specified two resources that belong to different networks: '{id}' and '{vpc}'.")));
        }
    }
    Ok(())
}

fn address(
    cx: &Cx,
    tx: &Records<'_>,
    subnet: &Subnet,
    wanted: Option<&str>,
) -> Result<Ipv4Addr, Error> {
    // One that is being deleted keeps its address until the machine has let go of it.
    let is_used = |address| {
        let used = tx.get::<AddressUse>(&AddressUse::key_of(cx, &subnet.id, address))?;
        Ok::<_, Error>(used.is_some())
    };
    let Some(wanted) = wanted else {
        let seed = tx.next(&format!("ec2.address/{}", subnet.id))?;
        let free = addresses::choose(subnet.range, seed.unsigned_abs(), is_used)?;
        return free.ok_or_else(|| {
            InsufficientFreeAddressesInSubnet.because(format!(
                "The specified subnet does not have enough free addresses to satisfy the request: {}",
                subnet.id
            ))
        });
    };
    let address = wanted
        .parse()
        .ok()
        .filter(|it| addresses::usable(subnet.range, *it))
        .ok_or_else(|| {
            InvalidParameterValue.because(format!(
                "Address {wanted} does not fall within the subnet's address range"
            ))
        })?;
    if is_used(address)? {
        return Err(InvalidIpAddressInUse.because(format!("Address {wanted} is in use.")));
    }
    Ok(address)
}

fn shown(cx: &Cx, tx: &Records<'_>, interface: &Interface) -> Result<NetworkInterface, Error> {
    let association = interface
        .public_address
        .map(|address| NetworkInterfaceAssociation {
            ip_owner_id: Some("amazon".into()),
            public_ip: Some(address.to_string()),
            ..Default::default()
        });
    let mut groups = Vec::with_capacity(interface.groups.len());
    for id in &interface.groups {
        let name = tx.get::<SecurityGroup>(&cx.key(id))?.map(|it| it.name);
        groups.push(GroupIdentifier {
            group_id: Some(id.clone()),
            group_name: name,
        });
    }
    let first = NetworkInterfacePrivateIpAddress {
        association: association.clone(),
        ..interface.shown_address(interface.address)
    };
    let others = interface.secondary.iter();
    let others = others.map(|it| interface.shown_address(*it));
    Ok(NetworkInterface {
        association,
        attachment: interface
            .is_attached()
            .then(|| interface.shown_attachment(cx)),
        availability_zone: Some(interface.zone.clone()),
        availability_zone_id: Some(zones::id(&interface.zone)),
        description: Some(interface.description.clone()),
        groups: Some(groups),
        interface_type: Some(NetworkInterfaceType::Interface),
        mac_address: Some(addresses::mac_text(addresses::mac(interface.address))),
        network_interface_id: Some(interface.id.clone()),
        owner_id: Some(cx.account().to_owned()),
        private_dns_name: first.private_dns_name.clone(),
        private_ip_address: first.private_ip_address.clone(),
        private_ip_addresses: Some([first].into_iter().chain(others).collect()),
        requester_managed: Some(interface.held),
        source_dest_check: Some(true),
        status: Some(interface.status()),
        subnet_id: Some(interface.subnet.clone()),
        tag_set: tags::shown(&interface.tags),
        vpc_id: Some(interface.vpc.clone()),
        ..Default::default()
    })
}

impl Interface {
    /// To something of a service's, or to an instance.
    fn is_attached(&self) -> bool {
        self.held || self.instance.is_some()
    }

    fn status(&self) -> NetworkInterfaceStatus {
        match self.is_attached() {
            true => NetworkInterfaceStatus::InUse,
            false => NetworkInterfaceStatus::Available,
        }
    }

    /// Whose the thing is that it is attached to.
    fn holder(&self) -> &'static str {
        match self.description.starts_with("ELB ") {
            true => "amazon-elb",
            false => "amazon-aws",
        }
    }

    pub fn attachment_id(&self) -> String {
        self.id.replace("eni-", "eni-attach-")
    }

    fn shown_attachment(&self, cx: &Cx) -> NetworkInterfaceAttachment {
        if let Some(instance) = &self.instance {
            return NetworkInterfaceAttachment {
                attachment_id: Some(self.attachment_id()),
                delete_on_termination: Some(true),
                device_index: Some(0),
                instance_id: Some(instance.clone()),
                instance_owner_id: Some(cx.account().to_owned()),
                network_card_index: Some(0),
                status: Some("attached".into()),
                ..Default::default()
            };
        }
        NetworkInterfaceAttachment {
            attachment_id: Some(self.attachment_id()),
            delete_on_termination: Some(false),
            device_index: Some(1),
            instance_owner_id: Some(self.holder().into()),
            status: Some("attached".into()),
            ..Default::default()
        }
    }

    fn private_name(&self, address: Ipv4Addr) -> String {
        let domain = addresses::private_domain(&self.region);
        format!("ip-{}.{domain}", address.to_string().replace('.', "-"))
    }

    fn shown_address(&self, address: Ipv4Addr) -> NetworkInterfacePrivateIpAddress {
        NetworkInterfacePrivateIpAddress {
            association: None,
            primary: Some(address == self.address),
            private_dns_name: Some(self.private_name(address)),
            private_ip_address: Some(address.to_string()),
        }
    }

    fn all_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        [self.address]
            .into_iter()
            .chain(self.secondary.iter().copied())
    }
}

impl Filtered for Interface {
    const FILTERS: &'static [&'static str] = &[
        "addresses.association.owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "addresses.private-ip-address",
        "association.ip-owner-id",
        "association.public-ip",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "availability-zone-id",
        "description",
        "group-id",
        "interface-type",
        "ipv6-addresses.ipv6-address",
        "mac-address",
        "network-interface-id",
        "operator.managed",
        "operator.principal",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "vpc-id",
    ];
    const UNBUILT: &'static [&'static str] = &[
        "association.allocation-id",
        "association.association-id",
        "association.public-dns-name",
        "attachment.attach-time",
        "group-name",
    ];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "network-interface-id" => vec![self.id.clone()],
            "vpc-id" => vec![self.vpc.clone()],
            "subnet-id" => vec![self.subnet.clone()],
            "group-id" => self.groups.clone(),
            "description" => vec![self.description.clone()],
            "availability-zone" => vec![self.zone.clone()],
            "availability-zone-id" => vec![zones::id(&self.zone)],
            "private-ip-address" => vec![self.address.to_string()],
            "private-dns-name" => vec![self.private_name(self.address)],
            "addresses.private-ip-address" => {
                self.all_addresses().map(|it| it.to_string()).collect()
            }
            "addresses.primary" => {
                let is_first = |it: Ipv4Addr| (it == self.address).to_string();
                self.all_addresses().map(is_first).collect()
            }
            "association.public-ip" | "addresses.association.public-ip" => self
                .public_address
                .iter()
                .map(ToString::to_string)
                .collect(),
            "association.ip-owner-id" | "addresses.association.owner-id" => {
                let owner = self.public_address.map(|_| "amazon".to_owned());
                owner.into_iter().collect()
            }
            "interface-type" => vec!["interface".into()],
            "mac-address" => vec![addresses::mac_text(addresses::mac(self.address))],
            "operator.managed" => vec!["false".into()],
            "source-dest-check" => vec!["true".into()],
            "status" => vec![self.status().to_string()],
            "requester-managed" => vec![self.held.to_string()],
            // What is attached to nothing has nothing of the rest; IPv6 and operators nothing has.
            _ if !self.is_attached() => vec![],
            "attachment.instance-id" => self.instance.iter().cloned().collect(),
            "attachment.delete-on-termination" | "attachment.device-index"
                if self.instance.is_some() =>
            {
                let is_index = filter.ends_with("index");
                vec![if is_index { "0" } else { "true" }.to_owned()]
            }
            "attachment.instance-owner-id" | "requester-id" if self.instance.is_some() => vec![],
            "attachment.instance-owner-id" | "requester-id" => vec![self.holder().into()],
            "attachment.attachment-id" => vec![self.attachment_id()],
            "attachment.delete-on-termination" => vec!["false".into()],
            "attachment.device-index" => vec!["1".into()],
            "attachment.status" => vec!["attached".into()],
            _ => vec![],
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_network_interfaces(
    cx: Cx,
    input: DescribeNetworkInterfacesInput,
) -> Result<DescribeNetworkInterfacesOutput, Error> {
    cx.read(|tx| {
        let found = match &input.network_interface_ids {
            Some(ids) => ids
                .iter()
                .map(|id| get(&cx, tx, id))
                .collect::<Result<_, _>>()?,
            None => tx.list::<Interface>(&cx.key(""))?,
        };
        let found = found.into_iter().filter(|it| !it.deleting).collect();
        let found = select(&cx, found, input.filters.as_ref())?;
        let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
        let shown = found
            .iter()
            .map(|it| shown(&cx, tx, it))
            .collect::<Result<_, _>>()?;
        Ok(DescribeNetworkInterfacesOutput {
            network_interfaces: Some(shown),
            next_token,
        })
    })
}

pub async fn delete_network_interface(
    cx: Cx,
    input: DeleteNetworkInterfaceInput,
) -> Result<DeleteNetworkInterfaceOutput, Error> {
    cx.write(|tx| {
        let mut interface = get(&cx, tx, &input.network_interface_id)?;
        // What a service made it for goes first, and so does an instance.
        if interface.instance.is_some() || interface.held && cx.origin.client().is_some() {
            return Err(InvalidParameterValue.because(format!(
                "Network interface '{}' is currently in use.",
                interface.id
            )));
        }
        if let Some(gateway) = nat_gateway::holder(&cx, tx, &interface.id)? {
            return Err(InvalidParameterValue.because(format!(
                "Network interface '{}' is currently in use by {gateway}.",
                interface.id
            )));
        }
        interface.deleting = true;
        tx.put(&interface)?;
        Ok(DeleteNetworkInterfaceOutput {})
    })
}

pub async fn modify_network_interface_attribute(
    cx: Cx,
    input: ModifyNetworkInterfaceAttributeInput,
) -> Result<ModifyNetworkInterfaceAttributeOutput, Error> {
    cx.write(|tx| {
        let mut interface = get(&cx, tx, &input.network_interface_id)?;
        if let Some(groups) = input.groups.as_ref().filter(|it| !it.is_empty()) {
            check_groups(&cx, tx, groups, &interface.vpc)?;
            interface.groups.clone_from(groups);
        }
        if let Some(description) = input.description.as_ref().and_then(|it| it.value.clone()) {
            interface.description = description;
        }
        if let Some(public) = input.associate_public_ip_address {
            interface.public_address = if public {
                Some(public_address(&cx, tx, &interface)?)
            } else {
                None
            };
        }
        tx.put(&interface)?;
        Ok(ModifyNetworkInterfaceAttributeOutput {})
    })
}

/// One of 203.0.113.0/24, the same again for an interface that has one.
fn public_address(cx: &Cx, tx: &Records<'_>, interface: &Interface) -> Result<Ipv4Addr, Error> {
    if let Some(address) = interface.public_address {
        return Ok(address);
    }
    let number = tx.next(&format!("ec2.public-address/{}", cx.region))?;
    let host = u8::try_from(number.rem_euclid(254) + 1).unwrap_or(1);
    Ok(Ipv4Addr::new(203, 0, 113, host))
}

/// An interface that its owner may give addresses: where a service holds it, the addresses are what that
/// service's thing has.
fn own(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<Interface, Error> {
    let interface = get(cx, tx, id)?;
    match interface.held || interface.instance.is_some() {
        true => Err(unsupported(
            "more than one address of an interface that a service made or that an instance has",
        )),
        false => Ok(interface),
    }
}

pub async fn assign_private_ip_addresses(
    cx: Cx,
    input: AssignPrivateIpAddressesInput,
) -> Result<AssignPrivateIpAddressesOutput, Error> {
    let named = input.private_ip_addresses.as_deref().unwrap_or_default();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let count = input.secondary_private_ip_address_count.unwrap_or(0);
    if named.is_empty() && count <= 0 {
        return Err(MissingParameter.because(
            "Either 'privateIpAddresses' or 'secondaryPrivateIpAddressCount' should be provided.",
        ));
    }
    let given = cx.write(|tx| {
        let mut interface = own(&cx, tx, &input.network_interface_id)?;
        let given = give(&cx, tx, &mut interface, &named, count)?;
        tx.put(&interface)?;
        Ok(given)
    })?;
    let shown = given.into_iter().map(|it| AssignedPrivateIpAddress {
        private_ip_address: Some(it.to_string()),
    });
    Ok(AssignPrivateIpAddressesOutput {
        network_interface_id: Some(input.network_interface_id),
        assigned_private_ip_addresses: Some(shown.collect()),
        ..Default::default()
    })
}

pub async fn unassign_private_ip_addresses(
    cx: Cx,
    input: UnassignPrivateIpAddressesInput,
) -> Result<UnassignPrivateIpAddressesOutput, Error> {
    let named = input.private_ip_addresses.unwrap_or_default();
    cx.write(|tx| {
        let mut interface = own(&cx, tx, &input.network_interface_id)?;
        for text in &named {
            let has = |it: &Ipv4Addr| it.to_string() == *text;
            let Some(at) = interface.secondary.iter().position(has) else {
                return Err(InvalidParameterValue.because(format!(
                    "Some of [{text}] are not assigned to interface {}",
                    interface.id
                )));
            };
            let address = interface.secondary.remove(at);
            tx.delete::<AddressUse>(&AddressUse::key_of(&cx, &interface.subnet, address))?;
        }
        tx.put(&interface)?;
        Ok(UnassignPrivateIpAddressesOutput {})
    })
}
