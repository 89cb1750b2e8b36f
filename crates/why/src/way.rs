//! The way of a packet from one interface to an address: hop by hop, as far as it gets.
//!
//! It follows from what is configured, in the order in which AWS's Reachability Analyzer goes. A network ACL is
//! asked both ways, for it knows no connections; security groups are asked on the way there alone.

use std::net::IpAddr;

use cloud::{Cx, Error};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    DescribeNetworkAclsInput, DescribeNetworkInterfacesInput, Filter, NetworkAcl, NetworkAclEntry,
    NetworkInterface,
};

use crate::facts::{GroupFacts, GroupRuleFacts, NetworkFacts, RouteFacts, Via};
use crate::gather::{Place, list, networks, tasks};
use crate::report::Hop;

/// The ports that Linux connects from: their first and their last.
const ANSWER_PORTS: [u16; 2] = [32_768, 60_999];

/// Whether `from` reaches `to` on a port of TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayQuestion {
    /// An interface's id.
    pub from: String,
    /// An interface's id, or an address of version 4.
    pub to: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    pub question: WayQuestion,
    pub reaches: bool,
    pub hops: Vec<Hop>,
    /// What would decide as well and was not looked at.
    pub not_looked_at: Vec<String>,
}

/// One end of a way, with all that decides there.
#[derive(Debug, Clone, Default)]
struct End {
    id: Option<String>,
    address: Option<IpAddr>,
    subnet: String,
    vpc: String,
    network: NetworkFacts,
    acl: Option<NetworkAcl>,
    listening: Option<bool>,
}

/// Answers in the owner's name: what is read is read, and nothing is sent.
pub async fn way(cx: &Cx, question: &WayQuestion) -> Result<Way, Error> {
    let missing = |what: &str| {
        wire::codes::ValidationError.because(format!(
            "there is no network interface `{what}` in this region: an id begins with eni-"
        ))
    };
    let from = end(cx, &question.from, question.port).await?;
    let from = from.ok_or_else(|| missing(&question.from))?;
    let to = match question.to.parse::<IpAddr>() {
        Ok(address) => match at_address(cx, address, &from.vpc).await? {
            Some(id) => end(cx, &id, question.port).await?.unwrap_or_default(),
            None => End {
                address: Some(address),
                ..End::default()
            },
        },
        Err(_) => {
            (end(cx, &question.to, question.port).await?).ok_or_else(|| missing(&question.to))?
        }
    };
    let hops = hops(&from, &to, question.port);
    let mut not_looked_at = Vec::new();
    if to.id.is_none() {
        not_looked_at.push("whether anything answers at that address".to_owned());
    } else if to.listening.is_none() {
        not_looked_at.push(format!(
            "whether a program listens on port {}",
            question.port
        ));
    }
    Ok(Way {
        question: question.clone(),
        reaches: hops.iter().all(|it| it.passes),
        hops,
        not_looked_at,
    })
}

fn filter(name: &str, value: &str) -> Option<Vec<Filter>> {
    Some(vec![Filter {
        name: Some(name.to_owned()),
        values: Some(vec![value.to_owned()]),
    }])
}

async fn interfaces(cx: &Cx, name: &str, value: &str) -> Result<Vec<NetworkInterface>, Error> {
    let found = cx.call(DescribeNetworkInterfacesInput {
        filters: filter(name, value),
        ..Default::default()
    });
    Ok(found.await?.network_interfaces.unwrap_or_default())
}

/// The interface of the VPC that has an address.
async fn at_address(cx: &Cx, address: IpAddr, vpc: &str) -> Result<Option<String>, Error> {
    let address = address.to_string();
    let found = interfaces(cx, "vpc-id", vpc).await?;
    let of = |it: &NetworkInterface| it.private_ip_address.as_deref() == Some(address.as_str());
    Ok(found
        .into_iter()
        .find(of)
        .and_then(|it| it.network_interface_id))
}

async fn end(cx: &Cx, id: &str, port: u16) -> Result<Option<End>, Error> {
    let found = interfaces(cx, "network-interface-id", id).await?;
    let Some(interface) = found.into_iter().next() else {
        return Ok(None);
    };
    let subnet = interface.subnet_id.unwrap_or_default();
    let place = Place {
        subnet: subnet.clone(),
        interface: Some(id.to_owned()),
        ..Place::default()
    };
    let address = interface.private_ip_address.and_then(|it| it.parse().ok());
    Ok(Some(End {
        id: Some(id.to_owned()),
        address,
        network: networks::of(cx, &place).await?.unwrap_or_default(),
        acl: acl(cx, &subnet).await?,
        listening: listening(cx, address, port).await?,
        vpc: interface.vpc_id.unwrap_or_default(),
        subnet,
    }))
}

async fn acl(cx: &Cx, subnet: &str) -> Result<Option<NetworkAcl>, Error> {
    let found = cx.call(DescribeNetworkAclsInput {
        filters: filter("association.subnet-id", subnet),
        ..Default::default()
    });
    Ok(found
        .await?
        .network_acls
        .unwrap_or_default()
        .into_iter()
        .next())
}

/// Whether a program of the task that has this address accepts connections there. None: it is no task's.
async fn listening(cx: &Cx, address: Option<IpAddr>, port: u16) -> Result<Option<bool>, Error> {
    for cluster in list::clusters(cx).await? {
        let ids = list::task_ids(cx, &cluster, None).await?;
        for task in list::tasks(cx, &cluster, &ids).await? {
            if address.is_none() || task.stop_code.is_some() || tasks::address(&task) != address {
                continue;
            }
            let id = list::last_part(task.task_arn.as_deref().unwrap_or_default());
            let found = cx.engine().tasks.listening(&id).await.unwrap_or_default();
            let hears = |it: &std::net::SocketAddr| it.port() == port && !it.ip().is_loopback();
            return Ok(found.map(|it| it.iter().any(hears)));
        }
    }
    Ok(None)
}

/// Hops up to the one that stops it.
fn hops(from: &End, to: &End, port: u16) -> Vec<Hop> {
    let mut way = vec![Hop::passes(from.id.clone().unwrap_or_default(), None)];
    let is_over = |way: &[Hop]| way.last().is_some_and(|it| !it.passes);
    let is_other_subnet = to.id.is_none() || to.subnet != from.subnet;
    let steps: [&dyn Fn() -> Option<Hop>; 8] = [
        &|| Some(groups(from, to, port, Direction::Out)),
        &|| is_other_subnet.then(|| acl_hop(from, to, &[port], Direction::Out))?,
        &|| Some(route(from, to)),
        &|| is_other_subnet.then(|| acl_hop(to, from, &[port], Direction::In))?,
        &|| {
            to.id
                .is_some()
                .then(|| groups(to, from, port, Direction::In))
        },
        &|| {
            let id = to.id.clone()?;
            Some(match to.listening {
                // AWS looks at the network alone, and has no word for it.
                Some(false) => Hop {
                    passes: false,
                    ..Hop::passes(id, Some(format!("nothing listens on port {port}")))
                },
                Some(true) => Hop::passes(id, Some(format!("listens on port {port}"))),
                None => Hop::passes(id, None),
            })
        },
        &|| is_other_subnet.then(|| acl_hop(to, from, &ANSWER_PORTS, Direction::Out))?,
        &|| is_other_subnet.then(|| acl_hop(from, to, &ANSWER_PORTS, Direction::In))?,
    ];
    for step in steps {
        if is_over(&way) {
            break;
        }
        way.extend(step());
    }
    way
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// The groups of `here`, about the other end.
fn groups(here: &End, other: &End, port: u16, way: Direction) -> Hop {
    let own = &here.network.groups;
    let names: Vec<&str> = own.iter().map(|it| it.id.as_str()).collect();
    let component = format!("security groups {} ({})", names.join(", "), way.word());
    let addresses: Vec<IpAddr> = other.address.into_iter().collect();
    let rules = |it: &GroupFacts| match way {
        Direction::In => it.ingress.clone(),
        Direction::Out => it.egress.clone(),
    };
    let found = own.iter().find_map(|group| {
        let rule = (rules(group).into_iter())
            .find(|it| it.covers_tcp(port) && it.names_any(&addresses, &other.network.groups))?;
        Some(format!("{}: {}", group.id, rule.shown()))
    });
    match found {
        Some(rule) => Hop::passes(component, Some(rule)),
        None => Hop::stops(
            component,
            "ENI_SG_RULES_MISMATCH",
            Some(format!("no rule for TCP {port}")),
        ),
    }
}

/// The network ACL of the subnet of `here`. None: there is none to ask.
fn acl_hop(here: &End, other: &End, ports: &[u16], way: Direction) -> Option<Hop> {
    let acl = here.acl.as_ref()?;
    let answers = if ports.len() > 1 { ", answers" } else { "" };
    let id = acl.network_acl_id.as_deref().unwrap_or_default();
    let component = format!("network ACL {id} ({}{answers})", way.word());
    let address = other.address?;
    let mut shown = None;
    for port in ports {
        let entry = decides(acl, address, *port, way);
        shown = entry.map(|it| format!("entry {}", it.rule_number.unwrap_or_default()));
        let is_let = entry
            .and_then(|it| it.rule_action)
            .is_some_and(|it| it.as_str() == "allow");
        if !is_let {
            return Some(Hop::stops(component, "SUBNET_ACL_RESTRICTION", shown));
        }
    }
    Some(Hop::passes(component, shown))
}

/// The first entry, by number, that is about the packet.
fn decides(
    acl: &NetworkAcl,
    address: IpAddr,
    port: u16,
    way: Direction,
) -> Option<&NetworkAclEntry> {
    let mut entries: Vec<&NetworkAclEntry> = (acl.entries.iter().flatten())
        .filter(|it| it.egress.unwrap_or_default() == (way == Direction::Out))
        .collect();
    entries.sort_by_key(|it| it.rule_number);
    entries.into_iter().find(|it| {
        let range = it.port_range.clone().unwrap_or_default();
        let rule = GroupRuleFacts {
            protocol: it.protocol.clone().unwrap_or_default(),
            from_port: range.from.unwrap_or(0),
            to_port: range.to.unwrap_or(i32::from(u16::MAX)),
            ranges: it.cidr_block.clone().into_iter().collect(),
            groups: Vec::new(),
        };
        rule.covers_tcp(port) && rule.names_any(&[address], &[])
    })
}

/// The route table of the subnet of `from`: the longest prefix decides.
fn route(from: &End, to: &End) -> Hop {
    let network = &from.network;
    let component = network.route_table.clone();
    let Some(address) = to.address else {
        return Hop::stops(component, "NO_ROUTE_TO_DESTINATION", None);
    };
    let covers = |it: &&RouteFacts| {
        let rule = GroupRuleFacts {
            ranges: vec![it.destination.clone()],
            ..GroupRuleFacts::default()
        };
        rule.names_any(&[address], &[])
    };
    let length = |it: &&RouteFacts| {
        let prefix = it.destination.split_once('/').map_or("", |it| it.1);
        prefix.parse::<u8>().unwrap_or_default()
    };
    let Some(route) = network.routes.iter().filter(covers).max_by_key(length) else {
        return Hop::stops(component, "NO_ROUTE_TO_DESTINATION", None);
    };
    let shown = Some(format!("{} to {}", route.destination, route.target));
    if !route.is_active {
        return Hop::stops(component, "NO_ROUTE_TO_DESTINATION", shown);
    }
    let stops = |code: &str| Hop::stops(route.target.clone(), code, None);
    match Via::of(&route.target) {
        Via::InternetGateway if !network.internet_gateway_attached => stops("BAD_STATE_ATTACHMENT"),
        Via::InternetGateway if network.has_public_address != Some(true) => {
            Hop::stops(component, "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", shown)
        }
        Via::Nat => match &network.nat {
            Some(nat) if nat.state != "available" => stops("BAD_STATE_ROUTE"),
            Some(nat)
                if nat
                    .subnets_default_route
                    .as_ref()
                    .is_none_or(|it| it.via != Via::InternetGateway) =>
            {
                stops("NO_ROUTE_TO_DESTINATION")
            }
            _ => Hop::passes(component, shown),
        },
        _ => Hop::passes(component, shown),
    }
}

#[cfg(test)]
mod tests {
    use shapes::ec2::{PortRange, RuleAction};

    use super::*;

    fn rule(port: i32, range: &str, groups: &[&str]) -> GroupRuleFacts {
        GroupRuleFacts {
            protocol: "tcp".into(),
            from_port: port,
            to_port: port,
            ranges: (!range.is_empty())
                .then(|| range.to_owned())
                .into_iter()
                .collect(),
            groups: groups.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    fn entry(number: i32, egress: bool, action: RuleAction, ports: (i32, i32)) -> NetworkAclEntry {
        NetworkAclEntry {
            rule_number: Some(number),
            egress: Some(egress),
            rule_action: Some(action),
            protocol: Some("6".into()),
            cidr_block: Some("0.0.0.0/0".into()),
            port_range: Some(PortRange {
                from: Some(ports.0),
                to: Some(ports.1),
            }),
            ..Default::default()
        }
    }

    fn end(id: &str, address: &str, subnet: &str) -> End {
        let route = |destination: &str, target: &str| RouteFacts {
            destination: destination.into(),
            target: target.into(),
            is_active: true,
            via: Via::of(target),
            place: None,
        };
        End {
            id: Some(id.into()),
            address: Some(address.parse().unwrap()),
            subnet: subnet.into(),
            vpc: "vpc-1".into(),
            network: NetworkFacts {
                route_table: format!("rtb-{subnet}"),
                routes: vec![route("0.0.0.0/0", "igw-1"), route("10.0.0.0/16", "local")],
                has_public_address: Some(false),
                internet_gateway_attached: true,
                groups: vec![GroupFacts {
                    id: format!("sg-{id}"),
                    egress: vec![rule(80, "0.0.0.0/0", &[])],
                    ingress: vec![rule(80, "", &["sg-a"])],
                    ..Default::default()
                }],
                ..Default::default()
            },
            acl: Some(NetworkAcl {
                network_acl_id: Some(format!("acl-{subnet}")),
                entries: Some(vec![
                    entry(100, true, RuleAction::Allow, (0, 65_535)),
                    entry(100, false, RuleAction::Allow, (0, 65_535)),
                ]),
                ..Default::default()
            }),
            listening: Some(true),
        }
    }

    #[track_caller]
    fn check(from: &End, to: &End, port: u16, expect: Option<(&str, &str)>) {
        let found = hops(from, to, port);
        let stops = found.iter().find(|it| !it.passes);
        let stops = stops.map(|it| {
            (
                it.component.as_str(),
                it.code.as_deref().unwrap_or_default(),
            )
        });
        assert_eq!(stops, expect, "{found:?}");
        let after = found.iter().skip_while(|it| it.passes).count();
        assert!(
            after <= 1,
            "nothing is asked behind what stops it: {found:?}"
        );
    }

    #[test]
    fn a_packet_gets_as_far_as_what_is_configured_lets_it() {
        let (a, b) = (end("a", "10.0.0.5", "one"), end("b", "10.0.1.5", "two"));
        check(&a, &b, 80, None);
        assert_eq!(hops(&a, &b, 80).len(), 9);
        check(
            &a,
            &b,
            81,
            Some(("security groups sg-a (out)", "ENI_SG_RULES_MISMATCH")),
        );
        // The other way round, nobody lets it in.
        check(
            &b,
            &a,
            80,
            Some(("security groups sg-a (in)", "ENI_SG_RULES_MISMATCH")),
        );
        // Nothing listens.
        let deaf = End {
            listening: Some(false),
            ..b.clone()
        };
        check(&a, &deaf, 80, Some(("b", "")));
        // A lower number goes first, and answers need an entry of their own.
        let with = |it: NetworkAclEntry| {
            let mut end = b.clone();
            end.acl.as_mut().unwrap().entries.as_mut().unwrap().push(it);
            end
        };
        let shut = with(entry(50, false, RuleAction::Deny, (80, 80)));
        check(
            &a,
            &shut,
            80,
            Some(("network ACL acl-two (in)", "SUBNET_ACL_RESTRICTION")),
        );
        let mute = with(entry(50, true, RuleAction::Deny, (40_000, 65_535)));
        check(
            &a,
            &mute,
            80,
            Some((
                "network ACL acl-two (out, answers)",
                "SUBNET_ACL_RESTRICTION",
            )),
        );
        // An ACL is asked at the border of a subnet alone.
        let neighbour = End {
            subnet: "one".into(),
            ..shut
        };
        check(&a, &neighbour, 80, None);
        // The way to the world takes a public address.
        let world = End {
            address: Some("192.0.2.1".parse().unwrap()),
            ..End::default()
        };
        check(
            &a,
            &world,
            80,
            Some(("rtb-one", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")),
        );
        let mut public = a.clone();
        public.network.has_public_address = Some(true);
        check(&public, &world, 80, None);
        let mut lost = a.clone();
        lost.network.routes.remove(0);
        check(
            &lost,
            &world,
            80,
            Some(("rtb-one", "NO_ROUTE_TO_DESTINATION")),
        );
    }
}
