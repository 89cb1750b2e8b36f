//! Subnets.

use cloud::{Cx, Error, Record, Records};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, CreateSubnetInput, CreateSubnetOutput, DeleteSubnetInput, DeleteSubnetOutput,
    DescribeSubnetsInput, DescribeSubnetsOutput, ModifySubnetAttributeInput,
    ModifySubnetAttributeOutput, ResourceType, SubnetState,
};

use crate::errors::{
    DependencyViolation, InvalidParameterValue, InvalidSubnetConflict, InvalidSubnetIdNotFound,
    InvalidSubnetRange, MissingParameter, not_found,
};
use crate::filters::{Filtered, page, select};
use crate::route::RouteTable;
use crate::tags::{self, Tags};
use crate::vpc::{self, parse_range};
use crate::{addresses, default_vpc, interface, network_acl, zones};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    pub id: String,
    pub region: String,
    pub vpc: String,
    pub range: Ipv4Net,
    pub zone: String,
    pub public_on_launch: bool,
    pub tags: Tags,
    /// Its zone's in the default VPC.
    #[serde(default)]
    pub is_default: bool,
}

impl Record for Subnet {
    const KIND: &'static str = "ec2.subnet";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<Subnet, Error> {
    tx.get(&cx.key(id))?
        .ok_or_else(|| not_found(InvalidSubnetIdNotFound, "subnet", id))
}

pub async fn create_subnet(cx: Cx, input: CreateSubnetInput) -> Result<CreateSubnetOutput, Error> {
    if input.ipv6_native == Some(true) {
        return Err(MissingParameter
            .because("Either 'ipv6CidrBlock' or 'ipv6IpamPoolId' should be provided."));
    }
    let text = input.cidr_block.as_deref().ok_or_else(|| {
        MissingParameter.because("Either 'cidrBlock' or 'ipv6CidrBlock' should be provided.")
    })?;
    let range = parse_range(text, "cidrBlock")?;
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::Subnet)?;
    let zone = asked_zone(
        &cx,
        input.availability_zone.as_ref(),
        input.availability_zone_id.as_ref(),
    )?;
    cx.write(|tx| {
        let id = cx.new_id("subnet-", 17);
        if let Some(existing) = tx.get::<Subnet>(&cx.key(&id))? {
            return Ok(CreateSubnetOutput {
                subnet: Some(shown(&cx, tx, &existing)?),
            });
        }
        let vpc = vpc::get(&cx, tx, &input.vpc_id)?;
        if !vpc.range.contains(&range) || !(16..=28).contains(&range.prefix_len()) {
            return Err(InvalidSubnetRange.because(format!("The CIDR '{text}' is invalid.")));
        }
        let others = tx.list::<Subnet>(&cx.key(""))?;
        let mut others = others.iter().filter(|it| it.vpc == vpc.id);
        if others.any(|it| it.range.contains(&range) || range.contains(&it.range)) {
            return Err(InvalidSubnetConflict
                .because(format!("The CIDR '{text}' conflicts with another subnet")));
        }
        let subnet = Subnet {
            id,
            region: cx.region.clone(),
            vpc: vpc.id.clone(),
            range,
            zone: (zone.clone()).unwrap_or_else(|| zones::names(&cx.region)[0].clone()),
            public_on_launch: false,
            tags: tags.clone(),
            is_default: false,
        };
        tx.put(&subnet)?;
        network_acl::associate_new(&cx, tx, &subnet)?;
        vpc::touch(&cx, tx, &vpc.id)?;
        Ok(CreateSubnetOutput {
            subnet: Some(shown(&cx, tx, &subnet)?),
        })
    })
}

/// The zone that a request names, by its name or by its id.
pub fn asked_zone(
    cx: &Cx,
    name: Option<&String>,
    id: Option<&String>,
) -> Result<Option<String>, Error> {
    let zones = zones::names(&cx.region);
    if let Some(zone) = name.filter(|it| !zones.contains(it)) {
        let known = zones.join(", ");
        return Err(InvalidParameterValue.because(format!(
            "Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {known}."
        )));
    }
    let by_id = id.map(|it| zone_with_id(&zones, it)).transpose()?;
    Ok(name.cloned().or(by_id))
}

fn zone_with_id(zones: &[String], id: &str) -> Result<String, Error> {
    let found = zones.iter().find(|it| zones::id(it) == id);
    found.cloned().ok_or_else(|| {
        let known: Vec<String> = zones.iter().map(|it| zones::id(it)).collect();
        InvalidParameterValue.because(format!(
            "Value ({id}) for parameter availabilityZoneId is invalid. Subnets can currently only be created in the following availability zones: {}.",
            known.join(", ")
        ))
    })
}

pub fn shown(cx: &Cx, tx: &Records<'_>, subnet: &Subnet) -> Result<ec2::Subnet, Error> {
    let used = interface::addresses_in_use(cx, tx, &subnet.id)?;
    let free =
        addresses::capacity(subnet.range).saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
    Ok(ec2::Subnet {
        availability_zone_id: Some(zones::id(&subnet.zone)),
        availability_zone: Some(subnet.zone.clone()),
        available_ip_address_count: i32::try_from(free).ok(),
        cidr_block: Some(subnet.range.to_string()),
        default_for_az: Some(subnet.is_default),
        map_public_ip_on_launch: Some(subnet.public_on_launch),
        assign_ipv6_address_on_creation: Some(false),
        ipv6_native: Some(false),
        enable_dns64: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        owner_id: Some(cx.account().to_owned()),
        state: Some(SubnetState::Available),
        subnet_arn: Some(cx.arn("ec2", &format!("subnet/{}", subnet.id))),
        subnet_id: Some(subnet.id.clone()),
        private_dns_name_options_on_launch: Some(ec2::PrivateDnsNameOptionsOnLaunch {
            hostname_type: Some(ec2::HostnameType::IpName),
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
        }),
        tags: tags::shown(&subnet.tags),
        vpc_id: Some(subnet.vpc.clone()),
        ..Default::default()
    })
}

impl Filtered for Subnet {
    const FILTERS: &'static [&'static str] = &[
        "subnet-id",
        "vpc-id",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "state",
        "default-for-az",
        "defaultForAz",
        "map-public-ip-on-launch",
        "owner-id",
        "customer-owned-ipv4-pool",
        "enable-dns64",
        "enable-lni-at-device-index",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "ipv6-native",
        "map-customer-owned-ip-on-launch",
        "outpost-arn",
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
        "private-dns-name-options-on-launch.hostname-type",
    ];
    const UNBUILT: &'static [&'static str] = &["available-ip-address-count", "subnet-arn"];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "subnet-id" => self.id.clone(),
            "vpc-id" => self.vpc.clone(),
            "cidr" | "cidr-block" | "cidrBlock" => self.range.to_string(),
            "availability-zone" | "availabilityZone" => self.zone.clone(),
            "availability-zone-id" => zones::id(&self.zone),
            "state" => "available".into(),
            "default-for-az" | "defaultForAz" => self.is_default.to_string(),
            "map-public-ip-on-launch" => self.public_on_launch.to_string(),
            "private-dns-name-options-on-launch.hostname-type" => "ip-name".into(),
            "enable-dns64"
            | "ipv6-native"
            | "map-customer-owned-ip-on-launch"
            | "private-dns-name-options-on-launch.enable-resource-name-dns-a-record"
            | "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
                "false".into()
            }
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_subnets(
    cx: Cx,
    input: DescribeSubnetsInput,
) -> Result<DescribeSubnetsOutput, Error> {
    default_vpc::before_listing(&cx, input.subnet_ids.as_ref(), input.filters.as_ref())?;
    cx.read(|tx| {
        let found = match &input.subnet_ids {
            Some(ids) => ids
                .iter()
                .map(|id| get(&cx, tx, id))
                .collect::<Result<_, _>>()?,
            None => tx.list::<Subnet>(&cx.key(""))?,
        };
        let found = select(&cx, found, input.filters.as_ref())?;
        let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
        let subnets = found
            .iter()
            .map(|it| shown(&cx, tx, it))
            .collect::<Result<_, _>>()?;
        Ok(DescribeSubnetsOutput {
            subnets: Some(subnets),
            next_token,
        })
    })
}

pub async fn delete_subnet(cx: Cx, input: DeleteSubnetInput) -> Result<DeleteSubnetOutput, Error> {
    cx.write(|tx| {
        let subnet = get(&cx, tx, &input.subnet_id)?;
        if interface::any_in(&cx, tx, &subnet.id)? {
            return Err(DependencyViolation.because(format!(
                "The subnet '{}' has dependencies and cannot be deleted.",
                subnet.id
            )));
        }
        for mut table in tx.list::<RouteTable>(&cx.key(""))? {
            let before = table.associations.len();
            table.associations.retain(|_, it| *it != subnet.id);
            if table.associations.len() != before {
                tx.put(&table)?;
            }
        }
        network_acl::forget_subnet(&cx, tx, &subnet.id)?;
        tx.delete::<Subnet>(&subnet.key())?;
        vpc::touch(&cx, tx, &subnet.vpc)?;
        Ok(DeleteSubnetOutput {})
    })
}

pub async fn modify_subnet_attribute(
    cx: Cx,
    input: ModifySubnetAttributeInput,
) -> Result<ModifySubnetAttributeOutput, Error> {
    cx.write(|tx| {
        let mut subnet = get(&cx, tx, &input.subnet_id)?;
        let public = input.map_public_ip_on_launch.and_then(|it| it.value);
        subnet.public_on_launch = public.unwrap_or(subnet.public_on_launch);
        tx.put(&subnet)?;
        Ok(ModifySubnetAttributeOutput {})
    })
}
