//! How packets leave a task: its interface, groups, and the route table of its subnet.

use std::net::IpAddr;

use cloud::{Cx, Error};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    DescribeInternetGatewaysInput, DescribeNatGatewaysInput, DescribeNetworkAclsInput,
    DescribeNetworkInterfacesInput, DescribeRouteTablesInput, DescribeSecurityGroupsInput,
    DescribeSubnetsInput, Filter, IpPermission, NatGatewayState, NetworkAclEntry, NetworkInterface,
    Route, RouteState, RouteTable, RuleAction, SecurityGroup,
};

use crate::acl::{AclDirection, AclEntryFacts, AclFacts};
use crate::facts::{
    EVERYWHERE, GroupFacts, GroupRuleFacts, NatFacts, NetworkFacts, RouteFacts, Via,
};

/// Where a task is, or was.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub subnet: String,
    pub interface: Option<String>,
    /// As the service or task was asked for: what counts when the interface is gone.
    pub groups: Vec<String>,
    pub asks_public_address: Option<bool>,
}

fn filter(name: &str, value: &str) -> Option<Vec<Filter>> {
    Some(vec![Filter {
        name: Some(name.to_owned()),
        values: Some(vec![value.to_owned()]),
    }])
}

/// The interfaces that a filter leaves.
pub async fn interfaces(cx: &Cx, name: &str, value: &str) -> Result<Vec<NetworkInterface>, Error> {
    let found = cx.call(DescribeNetworkInterfacesInput {
        filters: filter(name, value),
        ..Default::default()
    });
    Ok(found.await?.network_interfaces.unwrap_or_default())
}

pub async fn with_address(cx: &Cx, address: IpAddr) -> Result<Vec<NetworkInterface>, Error> {
    interfaces(cx, "addresses.private-ip-address", &address.to_string()).await
}

/// None: the subnet is gone.
pub async fn of(cx: &Cx, place: &Place) -> Result<Option<NetworkFacts>, Error> {
    let subnets = cx.call(DescribeSubnetsInput {
        filters: filter("subnet-id", &place.subnet),
        ..Default::default()
    });
    let subnet = subnets
        .await?
        .subnets
        .unwrap_or_default()
        .into_iter()
        .next();
    let Some(vpc) = subnet.and_then(|it| it.vpc_id) else {
        return Ok(None);
    };
    let (table, is_main_table) = table_of(cx, &vpc, &place.subnet).await?;
    let routes: Vec<RouteFacts> = table.routes.iter().flatten().map(route).collect();
    let leads_out = |it: &&RouteFacts| it.destination == EVERYWHERE;
    let gateway = routes
        .iter()
        .find(leads_out)
        .map(|it| it.target.clone())
        .unwrap_or_default();
    let mut facts = NetworkFacts {
        subnet: place.subnet.clone(),
        interface: place.interface.clone(),
        route_table: table.route_table_id.unwrap_or_default(),
        is_main_table,
        routes,
        nat: nat(cx, &vpc, &gateway).await?,
        internet_gateway_attached: is_attached(cx, &vpc, &gateway).await?,
        has_public_address: place.asks_public_address,
        groups: groups(cx, &place.groups).await?,
        acl: acl(cx, &place.subnet).await?,
        vpc,
        ..NetworkFacts::default()
    };
    if let Some(interface) = &place.interface {
        look_at_interface(cx, interface, &mut facts).await?;
    }
    Ok(Some(facts))
}

/// What is asked for may have been changed on the interface itself.
async fn look_at_interface(cx: &Cx, id: &str, facts: &mut NetworkFacts) -> Result<(), Error> {
    let found = interfaces(cx, "network-interface-id", id).await?;
    let Some(interface) = found.into_iter().next() else {
        return Ok(());
    };
    facts.has_public_address = Some(interface.association.is_some());
    let ids: Vec<String> = (interface.groups.into_iter().flatten())
        .filter_map(|it| it.group_id)
        .collect();
    facts.groups = groups(cx, &ids).await?;
    Ok(())
}

async fn table_of(cx: &Cx, vpc: &str, subnet: &str) -> Result<(RouteTable, bool), Error> {
    let tables = cx.call(DescribeRouteTablesInput {
        filters: filter("vpc-id", vpc),
        ..Default::default()
    });
    let tables = tables.await?.route_tables.unwrap_or_default();
    let own = |it: &&RouteTable| {
        let mut associations = it.associations.iter().flatten();
        associations.any(|it| it.subnet_id.as_deref() == Some(subnet))
    };
    let main = |it: &&RouteTable| {
        let mut associations = it.associations.iter().flatten();
        associations.any(|it| it.main == Some(true))
    };
    Ok(match tables.iter().find(own) {
        Some(table) => (table.clone(), false),
        None => (tables.iter().find(main).cloned().unwrap_or_default(), true),
    })
}

/// None: nobody has looked at the network since there are ACLs.
async fn acl(cx: &Cx, subnet: &str) -> Result<Option<AclFacts>, Error> {
    let found = cx.call(DescribeNetworkAclsInput {
        filters: filter("association.subnet-id", subnet),
        ..Default::default()
    });
    let found = found.await?.network_acls.unwrap_or_default();
    Ok(found.into_iter().next().map(|it| AclFacts {
        id: it.network_acl_id.unwrap_or_default(),
        entries: it.entries.iter().flatten().map(acl_entry).collect(),
        place: None,
    }))
}

fn acl_entry(it: &NetworkAclEntry) -> AclEntryFacts {
    let ports = it.port_range.as_ref();
    AclEntryFacts {
        number: it.rule_number.map_or(i64::MAX, i64::from),
        direction: match it.egress {
            Some(true) => AclDirection::Out,
            _ => AclDirection::In,
        },
        allows: it.rule_action == Some(RuleAction::Allow),
        protocol: it.protocol.clone().unwrap_or_default(),
        from_port: ports.and_then(|it| it.from).unwrap_or(0),
        to_port: ports.and_then(|it| it.to).unwrap_or(i32::from(u16::MAX)),
        range: it.cidr_block.clone().unwrap_or_default(),
    }
}

fn route(it: &Route) -> RouteFacts {
    let target = [
        &it.nat_gateway_id,
        &it.gateway_id,
        &it.network_interface_id,
        &it.vpc_peering_connection_id,
        &it.transit_gateway_id,
    ];
    let destination = it
        .destination_cidr_block
        .as_ref()
        .or(it.destination_prefix_list_id.as_ref());
    let target = target.into_iter().flatten().next().cloned();
    let target = target.unwrap_or_default();
    RouteFacts {
        destination: destination.cloned().unwrap_or_default(),
        via: Via::of(&target),
        target,
        is_active: it.state != Some(RouteState::Blackhole),
        place: None,
    }
}

async fn nat(cx: &Cx, vpc: &str, gateway: &str) -> Result<Option<NatFacts>, Error> {
    if !gateway.starts_with("nat-") {
        return Ok(None);
    }
    let found = cx.call(DescribeNatGatewaysInput {
        filter: filter("nat-gateway-id", gateway),
        ..Default::default()
    });
    let found = found.await?.nat_gateways.unwrap_or_default();
    let Some(found) = found.into_iter().next() else {
        return Ok(None);
    };
    let subnet = found.subnet_id.unwrap_or_default();
    let (table, _) = table_of(cx, vpc, &subnet).await?;
    let routes = table.routes.iter().flatten().map(route);
    Ok(Some(NatFacts {
        id: gateway.to_owned(),
        state: found
            .state
            .map_or("gone", NatGatewayState::as_str)
            .to_owned(),
        subnet,
        subnets_default_route: routes.into_iter().find(|it| it.destination == EVERYWHERE),
        place: None,
    }))
}

async fn is_attached(cx: &Cx, vpc: &str, gateway: &str) -> Result<bool, Error> {
    if !gateway.starts_with("igw-") {
        return Ok(false);
    }
    let found = cx.call(DescribeInternetGatewaysInput {
        filters: filter("attachment.vpc-id", vpc),
        ..Default::default()
    });
    let found = found.await?.internet_gateways.unwrap_or_default();
    Ok(found
        .iter()
        .any(|it| it.internet_gateway_id.as_deref() == Some(gateway)))
}

pub async fn groups(cx: &Cx, ids: &[String]) -> Result<Vec<GroupFacts>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = cx.call(DescribeSecurityGroupsInput {
        filters: Some(vec![Filter {
            name: Some("group-id".to_owned()),
            values: Some(ids.to_vec()),
        }]),
        ..Default::default()
    });
    let found = found.await?.security_groups.unwrap_or_default();
    Ok(found.into_iter().map(group).collect())
}

fn group(it: SecurityGroup) -> GroupFacts {
    GroupFacts {
        id: it.group_id.unwrap_or_default(),
        name: it.group_name.unwrap_or_default(),
        ingress: it.ip_permissions.iter().flatten().map(permission).collect(),
        egress: it
            .ip_permissions_egress
            .iter()
            .flatten()
            .map(permission)
            .collect(),
        vpc: it.vpc_id,
        place: None,
    }
}

fn permission(it: &IpPermission) -> GroupRuleFacts {
    let ranges = it.ip_ranges.iter().flatten();
    let groups = it.user_id_group_pairs.iter().flatten();
    GroupRuleFacts {
        protocol: it.ip_protocol.clone().unwrap_or_default(),
        from_port: it.from_port.unwrap_or(0),
        to_port: it.to_port.unwrap_or(i32::from(u16::MAX)),
        ranges: ranges.filter_map(|it| it.cidr_ip.clone()).collect(),
        groups: groups.filter_map(|it| it.group_id.clone()).collect(),
    }
}
