//! Elastic IP addresses: of a NAT gateway, or of an interface.
//!
//! They are addresses of documentation (RFC 5737), as the public addresses of interfaces are: nothing
//! outside this machine reaches them. What they decide is real all the same: whether an interface may
//! use an internet gateway.

use std::net::Ipv4Addr;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    Address, AddressAttribute, AllocateAddressInput, AllocateAddressOutput, AssociateAddressInput,
    AssociateAddressOutput, DescribeAddressesAttributeInput, DescribeAddressesAttributeOutput,
    DescribeAddressesInput, DescribeAddressesOutput, DisassociateAddressInput,
    DisassociateAddressOutput, DomainType, ReleaseAddressInput, ReleaseAddressOutput, ResourceType,
};

use crate::errors::{
    AddressLimitExceeded, InvalidAddressNotFound, InvalidAllocationIdNotFound,
    InvalidAssociationIdNotFound, InvalidIpAddressInUse, MissingParameter,
    ResourceAlreadyAssociated, unsupported,
};
use crate::filters::{Filtered, page, select};
use crate::interface::{self, Interface};
use crate::tags::{self, Tags};

/// Addresses are taken out of 198.51.100.0/24.
const BLOCK: [u8; 3] = [198, 51, 100];
const HOSTS: std::ops::RangeInclusive<u8> = 1..=254;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ElasticAddress {
    pub id: String,
    pub region: String,
    pub public: Ipv4Addr,
    pub association: Option<Association>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Association {
    pub id: String,
    pub interface: String,
    /// Set when a NAT gateway holds it: it goes with the gateway alone.
    pub nat_gateway: Option<String>,
}

impl Record for ElasticAddress {
    const KIND: &'static str = "ec2.elastic-address";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<ElasticAddress, Error> {
    tx.get(&cx.key(id))?.ok_or_else(|| {
        InvalidAllocationIdNotFound.because(format!("The allocation ID '{id}' does not exist"))
    })
}

/// By allocation id or by the address itself.
pub fn find(
    cx: &Cx,
    tx: &Records<'_>,
    id: Option<&String>,
    public: Option<&String>,
) -> Result<ElasticAddress, Error> {
    match (id, public) {
        (Some(id), _) => get(cx, tx, id),
        (None, Some(public)) => {
            let all: Vec<ElasticAddress> = tx.list(&cx.key(""))?;
            let found = all.into_iter().find(|it| it.public.to_string() == *public);
            found.ok_or_else(|| {
                InvalidAddressNotFound.because(format!("Address '{public}' not found."))
            })
        }
        (None, None) => Err(MissingParameter
            .because("The request must contain the parameter AllocationId or PublicIp")),
    }
}

/// Addresses are of the region's own border group; there are no others.
fn check_border_group(cx: &Cx, given: Option<&String>) -> Result<(), Error> {
    match given.filter(|it| **it != cx.region) {
        Some(other) => Err(unsupported(&format!("the network border group {other}"))),
        None => Ok(()),
    }
}

pub async fn allocate_address(
    cx: Cx,
    input: AllocateAddressInput,
) -> Result<AllocateAddressOutput, Error> {
    if input.domain == Some(DomainType::Standard) {
        return Err(unsupported("Domain standard"));
    }
    check_border_group(&cx, input.network_border_group.as_ref())?;
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::ElasticIp)?;
    cx.write(|tx| {
        let id = cx.new_id("eipalloc-", 17);
        let address = match tx.get::<ElasticAddress>(&cx.key(&id))? {
            Some(existing) => existing,
            None => ElasticAddress {
                id,
                region: cx.region.clone(),
                public: free(&cx, tx)?,
                association: None,
                tags: tags.clone(),
            },
        };
        tx.put(&address)?;
        Ok(AllocateAddressOutput {
            allocation_id: Some(address.id),
            public_ipv4_pool: Some("amazon".into()),
            network_border_group: Some(cx.region.clone()),
            domain: Some(DomainType::Vpc),
            public_ip: Some(address.public.to_string()),
            ..Default::default()
        })
    })
}

fn free(cx: &Cx, tx: &Records<'_>) -> Result<Ipv4Addr, Error> {
    let taken: Vec<ElasticAddress> = tx.list(&cx.key(""))?;
    let [a, b, c] = BLOCK;
    (HOSTS.map(|host| Ipv4Addr::new(a, b, c, host)))
        .find(|it| !taken.iter().any(|taken| taken.public == *it))
        .ok_or_else(|| {
            AddressLimitExceeded.because("The maximum number of addresses has been reached.")
        })
}

pub async fn release_address(
    cx: Cx,
    input: ReleaseAddressInput,
) -> Result<ReleaseAddressOutput, Error> {
    check_border_group(&cx, input.network_border_group.as_ref())?;
    cx.write(|tx| {
        let address = find(
            &cx,
            tx,
            input.allocation_id.as_ref(),
            input.public_ip.as_ref(),
        )?;
        if address.association.is_some() {
            return Err(
                InvalidIpAddressInUse.because(format!("Address {} is in use.", address.public))
            );
        }
        tx.delete::<ElasticAddress>(&address.key())?;
        Ok(ReleaseAddressOutput {})
    })
}

pub async fn associate_address(
    cx: Cx,
    input: AssociateAddressInput,
) -> Result<AssociateAddressOutput, Error> {
    let interface_id = (input.network_interface_id).ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter NetworkInterfaceId")
    })?;
    cx.write(|tx| {
        let mut address = find(
            &cx,
            tx,
            input.allocation_id.as_ref(),
            input.public_ip.as_ref(),
        )?;
        let mut interface = interface::get(&cx, tx, &interface_id)?;
        if let Some(held) = &address.association {
            if held.interface == interface_id {
                return Ok(AssociateAddressOutput {
                    association_id: Some(held.id.clone()),
                });
            }
            if held.nat_gateway.is_some() || input.allow_reassociation == Some(false) {
                return Err(ResourceAlreadyAssociated.because(format!(
                    "resource {} is already associated with associate-id {}",
                    address.id, held.id
                )));
            }
            give_back(&cx, tx, &held.interface.clone())?;
        }
        // An interface has one public address: the one that it had stays allocated.
        for mut other in tx.list::<ElasticAddress>(&cx.key(""))? {
            let is_its = |it: &mut Association| it.interface == interface_id;
            if let Some(held) = other.association.take_if(is_its) {
                if held.nat_gateway.is_some() || input.allow_reassociation == Some(false) {
                    return Err(ResourceAlreadyAssociated.because(format!(
                        "resource {interface_id} is already associated with associate-id {}",
                        held.id
                    )));
                }
                tx.put(&other)?;
            }
        }
        let association = Association {
            id: cx.new_id("eipassoc-", 17),
            interface: interface_id,
            nat_gateway: None,
        };
        interface.public_address = Some(address.public);
        address.association = Some(association.clone());
        tx.put(&interface)?;
        tx.put(&address)?;
        Ok(AssociateAddressOutput {
            association_id: Some(association.id),
        })
    })
}

/// The address that an interface's owner has given it.
pub fn of_interface(
    cx: &Cx,
    tx: &Records<'_>,
    interface: &str,
) -> Result<Option<ElasticAddress>, Error> {
    let all = tx.list::<ElasticAddress>(&cx.key(""))?;
    let is_its = |it: &Association| it.interface == interface;
    Ok(all
        .into_iter()
        .find(|it| it.association.as_ref().is_some_and(is_its)))
}

/// The interface is gone: its address stays allocated.
pub fn let_go(cx: &Cx, tx: &Records<'_>, interface: &str) -> Result<(), Error> {
    for mut address in tx.list::<ElasticAddress>(&cx.key(""))? {
        let is_its = |it: &mut Association| it.interface == interface;
        if address.association.take_if(is_its).is_some() {
            tx.put(&address)?;
        }
    }
    Ok(())
}

/// The interface has no public address any more.
fn give_back(cx: &Cx, tx: &Records<'_>, interface: &str) -> Result<(), Error> {
    if let Some(mut interface) = tx.get::<Interface>(&cx.key(interface))? {
        interface.public_address = None;
        tx.put(&interface)?;
    }
    Ok(())
}

/// The associated address, by the association's id or by the address itself.
pub fn held(
    cx: &Cx,
    tx: &Records<'_>,
    association_id: Option<&String>,
    public_ip: Option<&String>,
) -> Result<ElasticAddress, Error> {
    let all: Vec<ElasticAddress> = tx.list(&cx.key(""))?;
    let wanted = |it: &ElasticAddress| match (association_id, public_ip) {
        (Some(id), _) => it.association.as_ref().is_some_and(|it| it.id == *id),
        (None, Some(public)) => it.public.to_string() == *public && it.association.is_some(),
        (None, None) => false,
    };
    all.into_iter().find(wanted).ok_or_else(|| {
        let id = association_id.or(public_ip).cloned();
        InvalidAssociationIdNotFound.because(format!(
            "The association ID '{}' does not exist",
            id.unwrap_or_default()
        ))
    })
}

pub async fn disassociate_address(
    cx: Cx,
    input: DisassociateAddressInput,
) -> Result<DisassociateAddressOutput, Error> {
    cx.write(|tx| {
        let (id, public) = (input.association_id.as_ref(), input.public_ip.as_ref());
        let mut address = held(&cx, tx, id, public)?;
        if let Some(held) = address.association.take() {
            if let Some(gateway) = held.nat_gateway {
                return Err(InvalidIpAddressInUse.because(format!(
                    "Address {} is in use by the NAT gateway {gateway}.",
                    address.public
                )));
            }
            give_back(&cx, tx, &held.interface)?;
        }
        tx.put(&address)?;
        Ok(DisassociateAddressOutput {})
    })
}

impl Filtered for ElasticAddress {
    const FILTERS: &'static [&'static str] = &[
        "allocation-id",
        "association-id",
        "domain",
        "network-interface-id",
        "public-ip",
        "instance-id",
        "network-border-group",
    ];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        let held = self.association.as_ref();
        match filter {
            "allocation-id" => vec![self.id.clone()],
            "association-id" => held.map(|it| it.id.clone()).into_iter().collect(),
            "domain" => vec!["vpc".into()],
            "network-interface-id" => held.map(|it| it.interface.clone()).into_iter().collect(),
            "public-ip" => vec![self.public.to_string()],
            _ => vec![],
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

fn shown(cx: &Cx, tx: &Records<'_>, address: &ElasticAddress) -> Result<Address, Error> {
    let held = address.association.clone();
    let interface = match &held {
        Some(held) => tx.get::<Interface>(&cx.key(&held.interface))?,
        None => None,
    };
    Ok(Address {
        allocation_id: Some(address.id.clone()),
        association_id: held.as_ref().map(|it| it.id.clone()),
        domain: Some(DomainType::Vpc),
        network_interface_id: held.map(|it| it.interface),
        network_interface_owner_id: interface.as_ref().map(|_| cx.account().to_owned()),
        private_ip_address: interface.map(|it| it.address.to_string()),
        tags: tags::shown(&address.tags),
        public_ipv4_pool: Some("amazon".into()),
        network_border_group: Some(cx.region.clone()),
        public_ip: Some(address.public.to_string()),
        ..Default::default()
    })
}

pub async fn describe_addresses(
    cx: Cx,
    input: DescribeAddressesInput,
) -> Result<DescribeAddressesOutput, Error> {
    cx.read(|tx| {
        let found = match (&input.allocation_ids, &input.public_ips) {
            (None, None) => tx.list::<ElasticAddress>(&cx.key(""))?,
            (ids, publics) => {
                let by_id = ids.iter().flatten().map(|it| find(&cx, tx, Some(it), None));
                let by_ip = publics
                    .iter()
                    .flatten()
                    .map(|it| find(&cx, tx, None, Some(it)));
                by_id.chain(by_ip).collect::<Result<_, _>>()?
            }
        };
        let found = select(&cx, found, input.filters.as_ref())?;
        let addresses = found.iter().map(|it| shown(&cx, tx, it));
        Ok(DescribeAddressesOutput {
            addresses: Some(addresses.collect::<Result<_, _>>()?),
        })
    })
}

/// No address has a name of its own in the DNS.
pub async fn describe_addresses_attribute(
    cx: Cx,
    input: DescribeAddressesAttributeInput,
) -> Result<DescribeAddressesAttributeOutput, Error> {
    let found = cx.read(|tx| match &input.allocation_ids {
        Some(ids) => ids.iter().map(|it| get(&cx, tx, it)).collect(),
        None => tx.list::<ElasticAddress>(&cx.key("")),
    })?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    let shown = found.into_iter().map(|it| AddressAttribute {
        public_ip: Some(it.public.to_string()),
        allocation_id: Some(it.id),
        ..Default::default()
    });
    Ok(DescribeAddressesAttributeOutput {
        addresses: Some(shown.collect()),
        next_token,
    })
}
