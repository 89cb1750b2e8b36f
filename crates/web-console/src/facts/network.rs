//! VPCs: zones, subnets, interfaces, and what leads out of them; and whether one interface reaches another.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::ec2::{
    DescribeInternetGatewaysInput, DescribeNatGatewaysInput, DescribeNetworkInterfacesInput,
    DescribeRouteTablesInput, DescribeSubnetsInput, DescribeVpcsInput, Filter, NetworkInterface,
    Route, RouteTable, Tag,
};
use why::{Way, WayQuestion};

use crate::asked::Asked;

/// Interfaces of a VPC that are drawn. Others are counted.
const INTERFACES_MAX: usize = 300;

#[derive(Debug, Clone, Serialize)]
pub struct NetworksFacts {
    pub vpcs: Vec<VpcRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct VpcRow {
    pub id: String,
    pub name: String,
    pub range: String,
    pub is_default: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct NetworkFacts {
    pub vpc: VpcRow,
    pub gateways: Vec<String>,
    pub nats: Vec<NatRow>,
    pub zones: Vec<ZoneRow>,
    pub left_off: usize,
    /// What was asked, and the answer.
    pub way: Option<Way>,
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct NatRow {
    pub id: String,
    pub state: String,
    pub subnet: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct ZoneRow {
    pub name: String,
    pub subnets: Vec<SubnetRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SubnetRow {
    pub id: String,
    pub name: String,
    pub range: String,
    pub free: i32,
    pub route_table: String,
    /// What leads out: the target of the default route.
    pub leads_out_by: Option<String>,
    pub routes: Vec<String>,
    pub interfaces: Vec<InterfaceRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct InterfaceRow {
    pub id: String,
    pub address: String,
    pub public: Option<String>,
    pub description: String,
    pub groups: Vec<String>,
    pub status: String,
}

fn name_of(tags: Option<&Vec<Tag>>) -> String {
    let mut tags = tags.into_iter().flatten();
    let found = tags.find(|it| it.key.as_deref() == Some("Name"));
    found.and_then(|it| it.value.clone()).unwrap_or_default()
}

fn of_vpc(vpc: &str, name: &str) -> Option<Vec<Filter>> {
    Some(vec![Filter {
        name: Some(name.to_owned()),
        values: Some(vec![vpc.to_owned()]),
    }])
}

pub async fn gather_all(cx: &Cx) -> Result<NetworksFacts, Error> {
    let found = cx.call(DescribeVpcsInput::default()).await?;
    let vpcs = found.vpcs.into_iter().flatten().map(|it| VpcRow {
        name: name_of(it.tags.as_ref()),
        id: it.vpc_id.unwrap_or_default(),
        range: it.cidr_block.unwrap_or_default(),
        is_default: it.is_default.unwrap_or_default(),
    });
    Ok(NetworksFacts {
        vpcs: vpcs.collect(),
    })
}

pub async fn gather(cx: &Cx, id: &str, asked: &Asked) -> Result<Option<NetworkFacts>, Error> {
    let all = gather_all(cx).await?;
    let Some(vpc) = all.vpcs.into_iter().find(|it| it.id == id) else {
        return Ok(None);
    };
    let (zones, left_off) = zones(cx, id).await?;
    let gateways = cx.call(DescribeInternetGatewaysInput {
        filters: of_vpc(id, "attachment.vpc-id"),
        ..Default::default()
    });
    let gateways = gateways.await?.internet_gateways.unwrap_or_default();
    let nats = cx.call(DescribeNatGatewaysInput {
        filter: of_vpc(id, "vpc-id"),
        ..Default::default()
    });
    let nats = nats.await?.nat_gateways.unwrap_or_default();
    let (way, trouble) = way(cx, asked).await;
    Ok(Some(NetworkFacts {
        vpc,
        gateways: gateways
            .into_iter()
            .filter_map(|it| it.internet_gateway_id)
            .collect(),
        nats: nats
            .into_iter()
            .map(|it| NatRow {
                id: it.nat_gateway_id.unwrap_or_default(),
                state: it.state.map_or("", |it| it.as_str()).to_owned(),
                subnet: it.subnet_id.unwrap_or_default(),
            })
            .collect(),
        zones,
        left_off,
        way,
        trouble,
    }))
}

/// The answer to what the page's form asks.
async fn way(cx: &Cx, asked: &Asked) -> (Option<Way>, Option<String>) {
    let (Some(from), Some(to)) = (asked.field("from"), asked.field("to")) else {
        return (None, None);
    };
    let Some(port) = asked.field("port").and_then(|it| it.parse().ok()) else {
        return (None, Some("a port is a number up to 65535".to_owned()));
    };
    let question = WayQuestion {
        from: from.to_owned(),
        to: to.to_owned(),
        port,
    };
    match why::way(cx, &question).await {
        Ok(way) => (Some(way), None),
        Err(error) => (None, Some(error.message)),
    }
}

async fn zones(cx: &Cx, vpc: &str) -> Result<(Vec<ZoneRow>, usize), Error> {
    let interfaces = cx.call(DescribeNetworkInterfacesInput {
        filters: of_vpc(vpc, "vpc-id"),
        ..Default::default()
    });
    let mut interfaces = interfaces.await?.network_interfaces.unwrap_or_default();
    let left_off = interfaces.len().saturating_sub(INTERFACES_MAX);
    interfaces.truncate(INTERFACES_MAX);
    let tables = cx.call(DescribeRouteTablesInput {
        filters: of_vpc(vpc, "vpc-id"),
        ..Default::default()
    });
    let tables = tables.await?.route_tables.unwrap_or_default();
    let subnets = cx.call(DescribeSubnetsInput {
        filters: of_vpc(vpc, "vpc-id"),
        ..Default::default()
    });
    let mut by_zone: BTreeMap<String, Vec<SubnetRow>> = BTreeMap::new();
    for subnet in subnets.await?.subnets.unwrap_or_default() {
        let id = subnet.subnet_id.unwrap_or_default();
        let table = table_of(&tables, &id);
        let routes: Vec<&Route> = table
            .iter()
            .flat_map(|it| it.routes.iter().flatten())
            .collect();
        let out = routes
            .iter()
            .find(|it| it.destination_cidr_block.as_deref() == Some("0.0.0.0/0"));
        let own = interfaces
            .iter()
            .filter(|it| it.subnet_id.as_deref() == Some(&id));
        by_zone
            .entry(subnet.availability_zone.unwrap_or_default())
            .or_default()
            .push(SubnetRow {
                name: name_of(subnet.tags.as_ref()),
                range: subnet.cidr_block.unwrap_or_default(),
                free: subnet.available_ip_address_count.unwrap_or_default(),
                route_table: table
                    .and_then(|it| it.route_table_id.clone())
                    .unwrap_or_default(),
                leads_out_by: out.map(|it| target(it)),
                routes: routes.iter().map(|it| shown(it)).collect(),
                interfaces: own.map(interface).collect(),
                id,
            });
    }
    let zones = by_zone
        .into_iter()
        .map(|(name, subnets)| ZoneRow { name, subnets });
    Ok((zones.collect(), left_off))
}

/// A subnet's own route table, or the VPC's main one.
fn table_of<'a>(tables: &'a [RouteTable], subnet: &str) -> Option<&'a RouteTable> {
    let has = |it: &&RouteTable, own: bool| {
        let mut all = it.associations.iter().flatten();
        all.any(|it| match own {
            true => it.subnet_id.as_deref() == Some(subnet),
            false => it.main == Some(true),
        })
    };
    (tables.iter().find(|it| has(it, true))).or_else(|| tables.iter().find(|it| has(it, false)))
}

fn target(route: &Route) -> String {
    let all = [
        &route.nat_gateway_id,
        &route.gateway_id,
        &route.network_interface_id,
        &route.vpc_peering_connection_id,
        &route.transit_gateway_id,
    ];
    all.into_iter()
        .flatten()
        .next()
        .cloned()
        .unwrap_or_default()
}

fn shown(route: &Route) -> String {
    let to = route
        .destination_cidr_block
        .as_ref()
        .or(route.destination_prefix_list_id.as_ref());
    let state = route.state.map_or("", |it| it.as_str());
    let to = to.map_or("", String::as_str);
    match state {
        "active" => format!("{to} to {}", target(route)),
        other => format!("{to} to {} ({other})", target(route)),
    }
}

fn interface(it: &NetworkInterface) -> InterfaceRow {
    let groups = it.groups.iter().flatten();
    InterfaceRow {
        id: it.network_interface_id.clone().unwrap_or_default(),
        address: it.private_ip_address.clone().unwrap_or_default(),
        public: it.association.as_ref().and_then(|it| it.public_ip.clone()),
        description: it.description.clone().unwrap_or_default(),
        groups: groups.filter_map(|it| it.group_id.clone()).collect(),
        status: it.status.map_or("", |it| it.as_str()).to_owned(),
    }
}
