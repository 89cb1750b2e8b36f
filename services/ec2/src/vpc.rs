//! VPCs.

use std::net::Ipv4Addr;

use cloud::{Cx, Error, Record, Records};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, AttributeBooleanValue, CreateVpcInput, CreateVpcOutput, DeleteVpcInput, DeleteVpcOutput,
    DescribeVpcAttributeInput, DescribeVpcAttributeOutput, DescribeVpcsInput, DescribeVpcsOutput,
    ModifyVpcAttributeInput, ModifyVpcAttributeOutput, ResourceType, Tenancy, VpcAttributeName,
    VpcCidrBlockAssociation, VpcCidrBlockState, VpcCidrBlockStateCode, VpcState,
};

use crate::default_vpc;
use crate::dhcp_options;
use crate::errors::{
    DependencyViolation, InvalidParameterValue, InvalidVpcIdNotFound, InvalidVpcRange,
    MissingParameter, not_found,
};
use crate::filters::{Filtered, page, select};
use crate::gateway::InternetGateway;
use crate::group::{self, SecurityGroup};
use crate::network_acl::{self, NetworkAcl};
use crate::route::RouteTable;
use crate::subnet::Subnet;
use crate::tags::{self, Tags};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vpc {
    pub id: String,
    pub region: String,
    pub range: Ipv4Net,
    pub tenancy: Tenancy,
    pub dns_support: bool,
    pub dns_hostnames: bool,
    pub usage_metrics: bool,
    pub main_route_table: String,
    pub default_group: String,
    pub tags: Tags,
    /// Counted up by every change to a part of the network.
    pub revision: u64,
    pub deleting: bool,
    /// The one that the account has in the region without asking.
    #[serde(default)]
    pub is_default: bool,
    /// A set of DHCP options other than the region's own.
    #[serde(default)]
    pub dhcp_options: Option<String>,
}

impl Vpc {
    pub fn dhcp_options_id(&self) -> String {
        let own = self.dhcp_options.clone();
        own.unwrap_or_else(|| dhcp_options::default_id(&self.region))
    }
}

impl Record for Vpc {
    const KIND: &'static str = "ec2.vpc";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// The VPC with this id; one that is being deleted does not exist any more.
pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<Vpc, Error> {
    tx.get::<Vpc>(&cx.key(id))?
        .filter(|it| !it.deleting)
        .ok_or_else(|| not_found(InvalidVpcIdNotFound, "vpc", id))
}

/// Something of the network changed: let the reconciler look.
pub fn touch(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<(), Error> {
    if let Some(mut vpc) = tx.get::<Vpc>(&cx.key(id))? {
        vpc.revision += 1;
        tx.put(&vpc)?;
    }
    Ok(())
}

/// An address range as AWS takes it: the host part must be zero (it is cleared, as AWS does).
pub fn parse_range(text: &str, parameter: &str) -> Result<Ipv4Net, Error> {
    text.parse::<Ipv4Net>().map(|it| it.trunc()).map_err(|_| {
        InvalidParameterValue.because(format!(
            "Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."
        ))
    })
}

/// Ranges that no network may have: this host, loopback, link-local, and everything from multicast on
/// (User Guide, "VPC CIDR blocks").
fn is_nobodys(network: Ipv4Addr) -> bool {
    let [first, ..] = network.octets();
    first == 0 || first >= 224 || network.is_loopback() || network.is_link_local()
}

pub async fn create_vpc(cx: Cx, input: CreateVpcInput) -> Result<CreateVpcOutput, Error> {
    let text = input.cidr_block.as_deref().ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter CidrBlock")
    })?;
    let range = parse_range(text, "cidrBlock")?;
    if is_nobodys(range.network()) || !(16..=28).contains(&range.prefix_len()) {
        return Err(InvalidVpcRange.because(format!("The CIDR '{text}' is invalid.")));
    }
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::Vpc)?;
    cx.write(|tx| {
        let id = cx.new_id("vpc-", 17);
        if let Some(existing) = tx.get::<Vpc>(&cx.key(&id))? {
            return Ok(CreateVpcOutput {
                vpc: Some(shown(&cx, &existing)),
            });
        }
        let table = RouteTable::new(&cx, &id, true);
        let group = group::default_group(&cx, &id);
        let vpc = Vpc {
            id,
            region: cx.region.clone(),
            range,
            tenancy: input.instance_tenancy.unwrap_or(Tenancy::Default),
            dns_support: true,
            dns_hostnames: false,
            usage_metrics: false,
            main_route_table: table.id.clone(),
            default_group: group.id.clone(),
            tags: tags.clone(),
            revision: 1,
            deleting: false,
            is_default: false,
            dhcp_options: None,
        };
        tx.put(&table)?;
        tx.put(&group)?;
        tx.put(&network_acl::default_acl(&vpc, std::iter::empty()))?;
        tx.put(&vpc)?;
        Ok(CreateVpcOutput {
            vpc: Some(shown(&cx, &vpc)),
        })
    })
}

pub fn shown(cx: &Cx, vpc: &Vpc) -> ec2::Vpc {
    let association = VpcCidrBlockAssociation {
        association_id: Some(vpc.id.replace("vpc-", "vpc-cidr-assoc-")),
        cidr_block: Some(vpc.range.to_string()),
        cidr_block_state: Some(VpcCidrBlockState {
            state: Some(VpcCidrBlockStateCode::Associated),
            status_message: None,
        }),
    };
    ec2::Vpc {
        owner_id: Some(cx.account().to_owned()),
        instance_tenancy: Some(vpc.tenancy),
        cidr_block_association_set: Some(vec![association]),
        is_default: Some(vpc.is_default),
        tags: tags::shown(&vpc.tags),
        vpc_id: Some(vpc.id.clone()),
        state: Some(VpcState::Available),
        cidr_block: Some(vpc.range.to_string()),
        dhcp_options_id: Some(vpc.dhcp_options_id()),
        ..Default::default()
    }
}

impl Filtered for Vpc {
    const FILTERS: &'static [&'static str] = &[
        "vpc-id",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "cidr-block-association.cidr-block",
        "state",
        "is-default",
        "isDefault",
        "dhcp-options-id",
        "owner-id",
        "cidr-block-association.association-id",
        "cidr-block-association.state",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.ipv6-pool",
        "ipv6-cidr-block-association.state",
    ];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "vpc-id" => self.id.clone(),
            "cidr" | "cidr-block" | "cidrBlock" | "cidr-block-association.cidr-block" => {
                self.range.to_string()
            }
            "cidr-block-association.association-id" => self.id.replace("vpc-", "vpc-cidr-assoc-"),
            "cidr-block-association.state" => "associated".into(),
            "state" => "available".into(),
            "is-default" | "isDefault" => self.is_default.to_string(),
            "dhcp-options-id" => self.dhcp_options_id(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_vpcs(cx: Cx, input: DescribeVpcsInput) -> Result<DescribeVpcsOutput, Error> {
    default_vpc::before_listing(&cx, input.vpc_ids.as_ref(), input.filters.as_ref())?;
    let found = cx.read(|tx| match &input.vpc_ids {
        Some(ids) => ids.iter().map(|id| get(&cx, tx, id)).collect(),
        None => tx.list::<Vpc>(&cx.key("")),
    })?;
    let found = found.into_iter().filter(|it| !it.deleting).collect();
    let found = select(&cx, found, input.filters.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeVpcsOutput {
        vpcs: Some(found.iter().map(|it| shown(&cx, it)).collect()),
        next_token,
    })
}

pub async fn delete_vpc(cx: Cx, input: DeleteVpcInput) -> Result<DeleteVpcOutput, Error> {
    let id = &input.vpc_id;
    cx.write(|tx| {
        let mut vpc = get(&cx, tx, id)?;
        let all = cx.key("");
        let groups = tx.list::<SecurityGroup>(&all)?;
        let tables = tx.list::<RouteTable>(&all)?;
        let used = tx.list::<Subnet>(&all)?.iter().any(|it| it.vpc == *id)
            || tx
                .list::<InternetGateway>(&all)?
                .iter()
                .any(|it| it.vpc.as_ref() == Some(id))
            || groups
                .iter()
                .any(|it| it.vpc == *id && it.id != vpc.default_group)
            || (tx.list::<NetworkAcl>(&all)?.iter()).any(|it| it.vpc == *id && !it.is_default)
            || tables
                .iter()
                .any(|it| it.vpc == *id && it.id != vpc.main_route_table);
        if used {
            return Err(DependencyViolation.because(format!(
                "The vpc '{id}' has dependencies and cannot be deleted."
            )));
        }
        tx.delete::<SecurityGroup>(&cx.key(&vpc.default_group))?;
        tx.delete::<NetworkAcl>(&cx.key(&network_acl::default_id(id)))?;
        tx.delete::<RouteTable>(&cx.key(&vpc.main_route_table))?;
        vpc.deleting = true;
        tx.put(&vpc)?;
        Ok(DeleteVpcOutput {})
    })
}

pub async fn modify_vpc_attribute(
    cx: Cx,
    input: ModifyVpcAttributeInput,
) -> Result<ModifyVpcAttributeOutput, Error> {
    cx.write(|tx| {
        let mut vpc = get(&cx, tx, &input.vpc_id)?;
        let given = |value: &Option<AttributeBooleanValue>| value.as_ref().and_then(|it| it.value);
        vpc.dns_support = given(&input.enable_dns_support).unwrap_or(vpc.dns_support);
        vpc.dns_hostnames = given(&input.enable_dns_hostnames).unwrap_or(vpc.dns_hostnames);
        vpc.usage_metrics =
            given(&input.enable_network_address_usage_metrics).unwrap_or(vpc.usage_metrics);
        tx.put(&vpc)?;
        Ok(ModifyVpcAttributeOutput {})
    })
}

pub async fn describe_vpc_attribute(
    cx: Cx,
    input: DescribeVpcAttributeInput,
) -> Result<DescribeVpcAttributeOutput, Error> {
    let vpc = cx.read(|tx| get(&cx, tx, &input.vpc_id))?;
    let mut output = DescribeVpcAttributeOutput {
        vpc_id: Some(vpc.id),
        ..Default::default()
    };
    let value = |it| Some(AttributeBooleanValue { value: Some(it) });
    match input.attribute {
        VpcAttributeName::EnableDnsSupport => output.enable_dns_support = value(vpc.dns_support),
        VpcAttributeName::EnableDnsHostnames => {
            output.enable_dns_hostnames = value(vpc.dns_hostnames)
        }
        VpcAttributeName::EnableNetworkAddressUsageMetrics => {
            output.enable_network_address_usage_metrics = value(vpc.usage_metrics);
        }
    }
    Ok(output)
}
