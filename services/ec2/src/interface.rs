//! Network interfaces: the addresses of tasks and load balancers.

use std::net::Ipv4Addr;

use cloud::{Cloud, Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    CreateNetworkInterfaceInput, CreateNetworkInterfaceOutput, DeleteNetworkInterfaceInput,
    DeleteNetworkInterfaceOutput, DescribeNetworkInterfacesInput, DescribeNetworkInterfacesOutput,
    GroupIdentifier, ModifyNetworkInterfaceAttributeInput, ModifyNetworkInterfaceAttributeOutput,
    NetworkInterface, NetworkInterfaceAssociation, NetworkInterfacePrivateIpAddress,
    NetworkInterfaceStatus, NetworkInterfaceType, ResourceType,
};

use crate::addresses;
use crate::elastic_address;
use crate::errors::{
    InsufficientFreeAddressesInSubnet, InvalidIpAddressInUse, InvalidNetworkInterfaceIdNotFound,
    InvalidParameterCombination, InvalidParameterValue, refuse, unsupported,
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
}

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
    tx.delete::<AddressUse>(&AddressUse::key_of(
        cx,
        &interface.subnet,
        interface.address,
    ))?;
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
    refuse(&input.ipv6_address_count, "Ipv6AddressCount")?;
    refuse(&input.ipv6_addresses, "Ipv6Addresses")?;
    refuse(&input.ipv4_prefixes, "Ipv4Prefixes")?;
    refuse(&input.ipv4_prefix_count, "Ipv4PrefixCount")?;
    refuse(&input.ipv6_prefixes, "Ipv6Prefixes")?;
    refuse(&input.ipv6_prefix_count, "Ipv6PrefixCount")?;
    refuse(&input.interface_type, "InterfaceType")?;
    refuse(&input.operator, "Operator")?;
    refuse(
        &input.connection_tracking_specification,
        "ConnectionTrackingSpecification",
    )?;
    if input.enable_primary_ipv6 == Some(true) {
        return Err(unsupported("the parameter EnablePrimaryIpv6"));
    }
    refuse(
        &input.secondary_private_ip_address_count,
        "SecondaryPrivateIpAddressCount",
    )?;
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
                let made = make(&cx, tx, &input, id, &tags)?;
                tx.put(&AddressUse {
                    key: AddressUse::key_of(&cx, &made.subnet, made.address),
                    interface: made.id.clone(),
                })?;
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

/// The address that is asked for, in either of the two ways. An interface has one here.
fn asked_address(input: &CreateNetworkInterfaceInput) -> Result<Option<&str>, Error> {
    let listed = input.private_ip_addresses.as_deref().unwrap_or_default();
    let alone = input.private_ip_address.as_deref();
    match (listed, alone) {
        ([], alone) => Ok(alone),
        ([one], None) => Ok(one.private_ip_address.as_deref()),
        ([_], Some(_)) => Err(InvalidParameterCombination.because(
            "The parameters privateIpAddress and privateIpAddresses cannot be used together",
        )),
        _ => Err(unsupported("more than one address in PrivateIpAddresses")),
    }
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
    let address = address(cx, tx, &subnet, asked_address(input)?)?;
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
    })
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
    };
    tx.put(&AddressUse {
        key: AddressUse::key_of(cx, &interface.subnet, interface.address),
        interface: interface.id.clone(),
    })?;
    tx.put(&interface)?;
    Ok(interface)
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
    let address = interface.address.to_string();
    let domain = addresses::private_domain(&cx.region);
    let private_dns_name = format!("ip-{}.{domain}", address.replace('.', "-"));
    Ok(NetworkInterface {
        association: association.clone(),
        availability_zone: Some(interface.zone.clone()),
        availability_zone_id: Some(zones::id(&interface.zone)),
        description: Some(interface.description.clone()),
        groups: Some(groups),
        interface_type: Some(NetworkInterfaceType::Interface),
        mac_address: Some(addresses::mac_text(addresses::mac(interface.address))),
        network_interface_id: Some(interface.id.clone()),
        owner_id: Some(cx.account().to_owned()),
        private_dns_name: Some(private_dns_name.clone()),
        private_ip_address: Some(address.clone()),
        private_ip_addresses: Some(vec![NetworkInterfacePrivateIpAddress {
            association,
            primary: Some(true),
            private_dns_name: Some(private_dns_name),
            private_ip_address: Some(address),
        }]),
        requester_managed: Some(false),
        source_dest_check: Some(true),
        status: Some(NetworkInterfaceStatus::InUse),
        subnet_id: Some(interface.subnet.clone()),
        tag_set: tags::shown(&interface.tags),
        vpc_id: Some(interface.vpc.clone()),
        ..Default::default()
    })
}

impl Filtered for Interface {
    const FILTERS: &'static [&'static str] = &[
        "network-interface-id",
        "vpc-id",
        "subnet-id",
        "group-id",
        "description",
        "availability-zone",
        "private-ip-address",
        "addresses.private-ip-address",
        "association.public-ip",
        "status",
        "attachment.instance-owner-id",
        "owner-id",
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
            "private-ip-address" | "addresses.private-ip-address" => vec![self.address.to_string()],
            "association.public-ip" => self
                .public_address
                .iter()
                .map(ToString::to_string)
                .collect(),
            "status" => vec!["in-use".into()],
            "attachment.instance-owner-id" if self.description.starts_with("ELB ") => {
                vec!["amazon-elb".into()]
            }
            "attachment.instance-owner-id" => vec!["amazon-aws".into()],
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
    refuse(&input.attachment, "Attachment")?;
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
