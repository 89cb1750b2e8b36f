//! The way of a packet from one interface to an address: hop by hop, as far as it gets.
//!
//! It follows from what is configured, in the order in which AWS's Reachability Analyzer goes. A network ACL is
//! asked both ways, for it knows no connections; security groups are asked on the way there alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use cloud::{Cx, Error};
use serde::{Deserialize, Serialize};
use shapes::ec2::NetworkInterface;

use crate::acl::{AclDirection, AclPeer};
use crate::facts::{GroupFacts, GroupRuleFacts, NetworkFacts, RouteFacts, Via};
use crate::gather::networks::{interfaces, with_address};
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
pub(crate) struct WayEnd {
    pub id: Option<String>,
    pub address: Option<IpAddr>,
    subnet: String,
    vpc: String,
    pub network: NetworkFacts,
    /// Where the programs of its task accept connections. None: it is no task's, or nobody knows.
    pub listening: Option<BTreeSet<SocketAddr>>,
}

/// What decides on a way, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayStep {
    Egress,
    AclOut,
    Route,
    AclIn,
    Ingress,
    Program,
    AnswerOut,
    AnswerIn,
}

/// A way as far as it goes, with its ends.
pub(crate) struct Gone {
    pub from: WayEnd,
    pub to: WayEnd,
    pub hops: Vec<Hop>,
    /// The last hop stops it, for this.
    pub stop: Option<WayStep>,
}

/// Answers in the owner's name: what is read is read, and nothing is sent.
pub async fn way(cx: &Cx, question: &WayQuestion) -> Result<Way, Error> {
    let gone = go(cx, question).await?;
    let mut not_looked_at = Vec::new();
    if gone.to.id.is_none() {
        not_looked_at.push("whether anything answers at that address".to_owned());
    } else if gone.to.listening.is_none() {
        not_looked_at.push(format!(
            "whether a program listens on port {}",
            question.port
        ));
    }
    Ok(Way {
        question: question.clone(),
        reaches: gone.stop.is_none(),
        hops: gone.hops,
        not_looked_at,
    })
}

pub(crate) async fn go(cx: &Cx, question: &WayQuestion) -> Result<Gone, Error> {
    let missing = |what: &str| {
        wire::codes::ValidationError.because(format!(
            "there is no network interface `{what}` in this region: an id begins with eni-"
        ))
    };
    let from = end(cx, &question.from).await?;
    let from = from.ok_or_else(|| missing(&question.from))?;
    let to = match question.to.parse::<IpAddr>() {
        Ok(address) => match at_address(cx, address, &from.vpc).await? {
            Some(id) => end(cx, &id).await?.unwrap_or_default(),
            None => WayEnd {
                address: Some(address),
                ..WayEnd::default()
            },
        },
        Err(_) => end(cx, &question.to)
            .await?
            .ok_or_else(|| missing(&question.to))?,
    };
    let (hops, stop) = hops(&from, &to, question.port);
    Ok(Gone {
        from,
        to,
        hops,
        stop,
    })
}

/// The interface of the VPC that has an address.
async fn at_address(cx: &Cx, address: IpAddr, vpc: &str) -> Result<Option<String>, Error> {
    let found = with_address(cx, address).await?.into_iter();
    let mut own = found.filter(|it| it.vpc_id.as_deref() == Some(vpc));
    Ok(own.next().and_then(|it| it.network_interface_id))
}

async fn end(cx: &Cx, id: &str) -> Result<Option<WayEnd>, Error> {
    let found = interfaces(cx, "network-interface-id", id).await?;
    match found.into_iter().next() {
        Some(interface) => of_interface(cx, interface).await.map(Some),
        None => Ok(None),
    }
}

async fn of_interface(cx: &Cx, interface: NetworkInterface) -> Result<WayEnd, Error> {
    let subnet = interface.subnet_id.unwrap_or_default();
    let place = Place {
        subnet: subnet.clone(),
        interface: interface.network_interface_id.clone(),
        ..Place::default()
    };
    let address = interface.private_ip_address.and_then(|it| it.parse().ok());
    Ok(WayEnd {
        id: interface.network_interface_id,
        address,
        network: networks::of(cx, &place).await?.unwrap_or_default(),
        listening: listening(cx, address).await?,
        vpc: interface.vpc_id.unwrap_or_default(),
        subnet,
    })
}

/// Where programs of the task that has this address accept connections. None: it is no task's.
async fn listening(
    cx: &Cx,
    address: Option<IpAddr>,
) -> Result<Option<BTreeSet<SocketAddr>>, Error> {
    let Some(address) = address else {
        return Ok(None);
    };
    for cluster in list::clusters(cx).await? {
        let ids = list::task_ids(cx, &cluster, None).await?;
        for task in list::tasks(cx, &cluster, &ids).await? {
            if task.stop_code.is_some() || tasks::address(&task) != Some(address) {
                continue;
            }
            let id = list::last_part(task.task_arn.as_deref().unwrap_or_default());
            return Ok(cx.engine().tasks.listening(&id).await.unwrap_or_default());
        }
    }
    Ok(None)
}

/// Hops up to the one that stops it.
fn hops(from: &WayEnd, to: &WayEnd, port: u16) -> (Vec<Hop>, Option<WayStep>) {
    use AclDirection::{In, Out};
    let mut way = vec![Hop::passes(from.id.clone().unwrap_or_default(), None)];
    let is_other_subnet = to.id.is_none() || to.subnet != from.subnet;
    let acl = |here: &WayEnd, other: &WayEnd, ports: &[u16], way| {
        is_other_subnet.then(|| acl_hop(here, other, ports, way))?
    };
    let steps: [(WayStep, &dyn Fn() -> Option<Hop>); 8] = [
        (WayStep::Egress, &|| Some(groups(from, to, port, Out))),
        (WayStep::AclOut, &|| acl(from, to, &[port], Out)),
        (WayStep::Route, &|| Some(route(from, to))),
        (WayStep::AclIn, &|| acl(to, from, &[port], In)),
        (WayStep::Ingress, &|| {
            to.id.is_some().then(|| groups(to, from, port, In))
        }),
        (WayStep::Program, &|| program(to, port)),
        (WayStep::AnswerOut, &|| acl(to, from, &ANSWER_PORTS, Out)),
        (WayStep::AnswerIn, &|| acl(from, to, &ANSWER_PORTS, In)),
    ];
    for (step, ask) in steps {
        let Some(hop) = ask() else {
            continue;
        };
        let is_over = !hop.passes;
        way.push(hop);
        if is_over {
            return (way, Some(step));
        }
    }
    (way, None)
}

/// The interface that it gets to, and whether somebody listens there.
fn program(to: &WayEnd, port: u16) -> Option<Hop> {
    let id = to.id.clone()?;
    let hears = |it: &SocketAddr| it.port() == port && !it.ip().is_loopback();
    Some(match to.listening.as_ref().map(|it| it.iter().any(hears)) {
        // AWS looks at the network alone, and has no word for it.
        Some(false) => Hop {
            passes: false,
            ..Hop::passes(id, Some(format!("nothing listens on port {port}")))
        },
        Some(true) => Hop::passes(id, Some(format!("listens on port {port}"))),
        None => Hop::passes(id, None),
    })
}

fn word(way: AclDirection) -> &'static str {
    match way {
        AclDirection::In => "in",
        AclDirection::Out => "out",
    }
}

/// The groups of `here`, about the other end.
fn groups(here: &WayEnd, other: &WayEnd, port: u16, way: AclDirection) -> Hop {
    let own = &here.network.groups;
    let names: Vec<&str> = own.iter().map(|it| it.id.as_str()).collect();
    let component = format!("security groups {} ({})", names.join(", "), word(way));
    let addresses: Vec<IpAddr> = other.address.into_iter().collect();
    let rules = |it: &GroupFacts| match way {
        AclDirection::In => it.ingress.clone(),
        AclDirection::Out => it.egress.clone(),
    };
    let found = own.iter().find_map(|group| {
        let rule = (rules(group).into_iter())
            .find(|it| it.covers_tcp(port) && it.names_any(&addresses, &other.network.groups))?;
        Some(format!("{}: {}", group.id, rule.shown()))
    });
    match found {
        Some(rule) => Hop::passes(component, Some(rule)),
        None if own.iter().all(|it| rules(it).is_empty()) => {
            Hop::stops(component, "SG_HAS_NO_RULES", None)
        }
        None => Hop::stops(
            component,
            "ENI_SG_RULES_MISMATCH",
            Some(format!("no rule for TCP {port}")),
        ),
    }
}

/// The network ACL of the subnet of `here`. None: there is none to ask.
fn acl_hop(here: &WayEnd, other: &WayEnd, ports: &[u16], way: AclDirection) -> Option<Hop> {
    let acl = here.network.acl.as_ref()?;
    let answers = if ports.len() > 1 { ", answers" } else { "" };
    let component = format!("network ACL {} ({}{answers})", acl.id, word(way));
    let peer = AclPeer::Address(other.address?);
    let mut shown = None;
    for port in ports {
        match acl.asked(way, *port, peer) {
            Ok(rule) => shown = Some(rule),
            Err(rule) => {
                return Some(Hop::stops(component, "SUBNET_ACL_RESTRICTION", Some(rule)));
            }
        }
    }
    Some(Hop::passes(component, shown))
}

/// The route table of the subnet of `from`: the longest prefix decides.
fn route(from: &WayEnd, to: &WayEnd) -> Hop {
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
    use super::*;
    use crate::acl::{AclEntryFacts, AclFacts};

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

    fn entry(
        number: i64,
        direction: AclDirection,
        allows: bool,
        ports: (i32, i32),
    ) -> AclEntryFacts {
        AclEntryFacts {
            number,
            direction,
            allows,
            protocol: "6".into(),
            from_port: ports.0,
            to_port: ports.1,
            range: "0.0.0.0/0".into(),
        }
    }

    fn end(id: &str, address: &str, subnet: &str) -> WayEnd {
        let route = |destination: &str, target: &str| RouteFacts {
            destination: destination.into(),
            target: target.into(),
            is_active: true,
            via: Via::of(target),
            place: None,
        };
        WayEnd {
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
                acl: Some(AclFacts {
                    id: format!("acl-{subnet}"),
                    entries: vec![
                        entry(100, AclDirection::Out, true, (0, 65_535)),
                        entry(100, AclDirection::In, true, (0, 65_535)),
                    ],
                    place: None,
                }),
                ..Default::default()
            },
            listening: Some(["0.0.0.0:80".parse().unwrap()].into()),
        }
    }

    #[track_caller]
    fn check(from: &WayEnd, to: &WayEnd, port: u16, expect: Option<(&str, &str)>) {
        let (found, stop) = hops(from, to, port);
        assert_eq!(stop.is_some(), expect.is_some(), "{found:?}");
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
        assert_eq!(hops(&a, &b, 80).0.len(), 9);
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
        let deaf = WayEnd {
            listening: Some(BTreeSet::new()),
            ..b.clone()
        };
        check(&a, &deaf, 80, Some(("b", "")));
        // A lower number goes first, and answers need an entry of their own.
        let with = |it: AclEntryFacts| {
            let mut end = b.clone();
            end.network.acl.as_mut().unwrap().entries.push(it);
            end
        };
        let shut = with(entry(50, AclDirection::In, false, (80, 80)));
        check(
            &a,
            &shut,
            80,
            Some(("network ACL acl-two (in)", "SUBNET_ACL_RESTRICTION")),
        );
        let mute = with(entry(50, AclDirection::Out, false, (40_000, 65_535)));
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
        let neighbour = WayEnd {
            subnet: "one".into(),
            ..shut
        };
        check(&a, &neighbour, 80, None);
        // The way to the world takes a public address.
        let world = WayEnd {
            address: Some("192.0.2.1".parse().unwrap()),
            ..WayEnd::default()
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
