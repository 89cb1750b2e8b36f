//! The default VPC, which every account has in every region: `172.31.0.0/16` with a public subnet in each zone,
//! an internet gateway, and a way out for everybody (VPC User Guide, "Default VPC components").
//!
//! It is made when somebody looks for it: lists what a region has without saying of which network, or makes
//! something without naming one. Who deletes it has none until [`create_default_vpc`]. The machine hears of it
//! with its first interface.

use std::net::Ipv4Addr;

use cloud::{Cx, Error, Record, Records};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    CreateDefaultSubnetInput, CreateDefaultSubnetOutput, CreateDefaultVpcInput,
    CreateDefaultVpcOutput, Filter, Tenancy,
};

use crate::errors::{
    DefaultSubnetAlreadyExists, DefaultVpcAlreadyExists, DefaultVpcDoesNotExist,
    InvalidSubnetConflict, MissingParameter, VpcIdNotSpecified, unsupported,
};
use crate::gateway::InternetGateway;
use crate::route::RouteTable;
use crate::subnet::{self, Subnet};
use crate::tags::Tags;
use crate::vpc::{self, Vpc};
use crate::{group, interface, network_acl, zones};

const RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16);
const SUBNET_BITS: u8 = 20;

/// That a region has had its default VPC: what is deleted afterwards stays deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefaultVpcMade {
    pub region: String,
}

impl Record for DefaultVpcMade {
    const KIND: &'static str = "ec2.default-vpc-made";
    fn key(&self) -> String {
        format!("{}/", self.region)
    }
}

/// Makes it unless it has been made once.
pub fn ensure(cx: &Cx) -> Result<(), Error> {
    let made = DefaultVpcMade {
        region: cx.region.clone(),
    };
    if cx
        .read(|tx| tx.get::<DefaultVpcMade>(&made.key()))?
        .is_some()
    {
        return Ok(());
    }
    cx.write(|tx| {
        if tx.get::<DefaultVpcMade>(&made.key())?.is_none() {
            make(cx, tx)?;
            tx.put(&made)?;
        }
        Ok(())
    })
}

/// Before something is listed: only who might see the default VPC, or a part of it, makes it be there.
pub fn before_listing(
    cx: &Cx,
    ids: Option<&Vec<String>>,
    filters: Option<&Vec<Filter>>,
) -> Result<(), Error> {
    let names_some = |filter: &Filter| {
        let name = filter.name.as_deref().unwrap_or_default();
        // What these say is no id of anything in a network.
        let says_no_id = ["owner-id", "availability-zone-id", "dhcp-options-id"].contains(&name);
        name.ends_with("-id") && !says_no_id || name.starts_with("tag")
    };
    let named = ids.is_some_and(|it| !it.is_empty());
    if named || filters.into_iter().flatten().any(names_some) {
        return Ok(());
    }
    ensure(cx)
}

/// The region's, if it has one.
pub fn find(cx: &Cx, tx: &Records<'_>) -> Result<Option<Vpc>, Error> {
    let all = tx.list::<Vpc>(&cx.key(""))?;
    Ok(all.into_iter().find(|it| it.is_default && !it.deleting))
}

/// The VPC that a request means which names none.
pub fn meant(cx: &Cx) -> Result<String, Error> {
    ensure(cx)?;
    let found = cx.read(|tx| find(cx, tx))?;
    let found = found.ok_or_else(|| VpcIdNotSpecified.because("No default VPC for this user"));
    Ok(found?.id)
}

/// Whether the machine need not know of it yet: nothing has ever been in it.
pub async fn is_unused(cx: &Cx, vpc: &Vpc) -> Result<bool, converge::Error> {
    if !vpc.is_default {
        return Ok(false);
    }
    let used = cx.read(|tx| {
        let subnets = tx.list::<Subnet>(&cx.key(""))?;
        for subnet in subnets.iter().filter(|it| it.vpc == vpc.id) {
            if interface::addresses_in_use(cx, tx, &subnet.id)? > 0 {
                return Ok(true);
            }
        }
        Ok::<_, Error>(false)
    })?;
    if used {
        return Ok(false);
    }
    let (known, _) = cx.engine().network.list().await?;
    Ok(!known.contains(&vpc.id))
}

fn make(cx: &Cx, tx: &Records<'_>) -> Result<Vpc, Error> {
    // Its parts have ids of their own, whatever token the request has that made it be there.
    let naming = cx.with_token(cloud::random_hex(32));
    let gateway = InternetGateway {
        id: naming.new_id("igw-", 17),
        region: cx.region.clone(),
        vpc: Some(naming.new_id("vpc-", 17)),
        tags: Tags::new(),
    };
    let id = naming.new_id("vpc-", 17);
    let mut table = RouteTable::new(&naming, &id, true);
    (table.routes).insert(Ipv4Net::default(), gateway.id.clone());
    let group = group::default_group(&naming, &id);
    let vpc = Vpc {
        region: cx.region.clone(),
        range: RANGE,
        tenancy: Tenancy::Default,
        dns_support: true,
        dns_hostnames: true,
        usage_metrics: false,
        main_route_table: table.id.clone(),
        default_group: group.id.clone(),
        tags: Tags::new(),
        revision: 1,
        deleting: false,
        is_default: true,
        dhcp_options: None,
        id,
    };
    tx.put(&gateway)?;
    tx.put(&table)?;
    tx.put(&group)?;
    tx.put(&network_acl::default_acl(&vpc, std::iter::empty()))?;
    tx.put(&vpc)?;
    for zone in zones::names(&cx.region) {
        make_subnet(cx, tx, &vpc, &zone)?;
    }
    Ok(vpc)
}

/// In the first part of the range that is free.
fn make_subnet(cx: &Cx, tx: &Records<'_>, vpc: &Vpc, zone: &str) -> Result<Subnet, Error> {
    let others = tx.list::<Subnet>(&cx.key(""))?;
    let is_free = |range: &Ipv4Net| {
        let mut own = others.iter().filter(|it| it.vpc == vpc.id);
        !own.any(|it| it.range.contains(range) || range.contains(&it.range))
    };
    let parts = vpc.range.subnets(SUBNET_BITS).ok();
    let range = parts.into_iter().flatten().find(is_free).ok_or_else(|| {
        InvalidSubnetConflict.because(format!(
            "There is no /{SUBNET_BITS} left in {} of the default VPC.",
            vpc.range
        ))
    })?;
    let naming = cx.with_token(cloud::random_hex(32));
    let subnet = Subnet {
        id: naming.new_id("subnet-", 17),
        region: cx.region.clone(),
        vpc: vpc.id.clone(),
        range,
        zone: zone.to_owned(),
        public_on_launch: true,
        tags: Tags::new(),
        is_default: true,
    };
    tx.put(&subnet)?;
    network_acl::associate_new(cx, tx, &subnet)?;
    Ok(subnet)
}

pub async fn create_default_vpc(
    cx: Cx,
    _input: CreateDefaultVpcInput,
) -> Result<CreateDefaultVpcOutput, Error> {
    ensure(&cx)?;
    cx.write(|tx| {
        if find(&cx, tx)?.is_some() {
            return Err(DefaultVpcAlreadyExists
                .because("A Default VPC already exists for this account in this region."));
        }
        let vpc = make(&cx, tx)?;
        Ok(CreateDefaultVpcOutput {
            vpc: Some(vpc::shown(&cx, &vpc)),
        })
    })
}

pub async fn create_default_subnet(
    cx: Cx,
    input: CreateDefaultSubnetInput,
) -> Result<CreateDefaultSubnetOutput, Error> {
    if input.ipv6_native == Some(true) {
        return Err(unsupported("IPv6"));
    }
    let zone = subnet::asked_zone(
        &cx,
        input.availability_zone.as_ref(),
        input.availability_zone_id.as_ref(),
    )?;
    let zone = zone.ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter AvailabilityZone")
    })?;
    ensure(&cx)?;
    cx.write(|tx| {
        let vpc = find(&cx, tx)?.ok_or_else(|| {
            DefaultVpcDoesNotExist.because("No default VPC exists for this account in this region.")
        })?;
        let all = tx.list::<Subnet>(&cx.key(""))?;
        let mut own = all.iter().filter(|it| it.vpc == vpc.id && it.is_default);
        if let Some(there) = own.find(|it| it.zone == zone) {
            return Err(DefaultSubnetAlreadyExists.because(format!(
                "'{}' is already the default subnet in {zone}",
                there.id
            )));
        }
        let subnet = make_subnet(&cx, tx, &vpc, &zone)?;
        vpc::touch(&cx, tx, &vpc.id)?;
        Ok(CreateDefaultSubnetOutput {
            subnet: Some(subnet::shown(&cx, tx, &subnet)?),
        })
    })
}
