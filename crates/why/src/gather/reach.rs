//! Whether one thing reaches a port of another: the way of its packets, hop by hop in the order of AWS's
//! Reachability Analyzer, and what the kernel says when it is tried.

use std::net::{IpAddr, SocketAddr};

use cloud::{Cx, Error};
use shapes::ec2::{DescribeNetworkInterfacesInput, Filter, NetworkInterface};
use shapes::ecs::Task;

use super::{Gathered, Place, list, networks, tasks};
use crate::acl::{AclDirection, AclFacts, AclPeer, EPHEMERAL_SHOWN};
use crate::facts::{GroupFacts, NetworkFacts, RouteFacts, Via};
use crate::report::{Basis, Evidence, Finding, Hop, Mend};
use crate::subject::{self, Subject};

/// Who waits longer for a connection on one machine waits for nothing.
const TRY_MS: u64 = 500;

/// One side of the way.
struct End {
    shown: String,
    address: IpAddr,
    /// None: outside of every network.
    inside: Option<Inside>,
}

struct Inside {
    interface: String,
    network: NetworkFacts,
    task: Option<String>,
}

/// Where the way ends, and what to do about it.
struct Stop {
    id: &'static str,
    name: &'static str,
    cause: String,
    because: Vec<Evidence>,
    mend: Mend,
}

/// `from` is a thing's name, and `to` a name or address with a port.
pub async fn look(cx: &Cx, from: &str, to: &str) -> Result<Gathered, Error> {
    let refuse = |it: String| wire::codes::ValidationError.because(it);
    let named = to.rsplit_once(':');
    let parsed = named.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parsed else {
        return Err(refuse(format!(
            "`{to}` is not a thing and its port: write it as `web:8080` or `10.0.1.7:5432`"
        )));
    };
    let from = end(cx, from).await?;
    let Some(own) = &from.inside else {
        return Err(refuse(format!(
            "{} has no interface in a network here, so nothing can be tried from it",
            from.shown
        )));
    };
    let to = end(cx, host).await?;
    let at = SocketAddr::new(to.address, port);
    let (mut hops, stop) = way(&from, own, &to, port);
    let tried = cx
        .engine()
        .network
        .connect(&own.interface, at, TRY_MS)
        .await;
    let listening = match to.inside.as_ref().and_then(|it| it.task.as_deref()) {
        Some(task) => cx.engine().tasks.listening(task).await.unwrap_or_default(),
        None => None,
    };
    let mut gathered = Gathered {
        looked_at: vec![format!(
            "the way from {} to {} port {port}",
            from.shown, to.shown
        )],
        ..Gathered::default()
    };
    let Err(error) = tried else {
        // It was seen to get through, whatever the rules seem to say.
        hops.retain(|it| it.passes);
        hops.push(Hop::passes(
            format!("{} port {port}", to.shown),
            Some("a connection was made and closed again".to_owned()),
        ));
        gathered.path = hops;
        return Ok(gathered);
    };
    let seen = Evidence::new(format!("a connection from {}", from.shown), error.message);
    let stop = stop.or_else(|| {
        let listening = listening?;
        let here = listening.iter().filter(|it| it.port() == port);
        let is_open = here.clone().any(|it| !it.ip().is_loopback());
        let (id, name, where_) = match here.count() {
            0 => ("R13", "listens-on-other-port", "on no such port"),
            _ => ("R12", "listens-on-loopback", "on its loopback alone"),
        };
        let all: Vec<String> = listening.iter().map(ToString::to_string).collect();
        (!is_open).then(|| Stop {
            id,
            name,
            cause: format!("the packets get to {}, and it listens {where_}", to.shown),
            because: vec![Evidence::new(
                format!("sockets of {}", to.shown),
                match all.is_empty() {
                    true => "it listens nowhere".to_owned(),
                    false => format!("it listens on {}", all.join(", ")),
                },
            )],
            mend: Mend::template(format!("let the program listen on 0.0.0.0:{port}")),
        })
    });
    let thing = format!("{} to {} port {port}", from.shown, to.shown);
    match stop {
        Some(stop) => {
            let mut because = stop.because;
            because.push(seen);
            gathered.findings.push(Finding {
                id: stop.id.to_owned(),
                name: stop.name.to_owned(),
                thing,
                aws_says: stop.cause.clone(),
                cause: stop.cause,
                because,
                path: hops,
                mend: vec![stop.mend],
                basis: Basis::Observed,
                also_seen: Vec::new(),
                severity: None,
                place: None,
            });
        }
        None => {
            gathered.unexplained.push((
                thing,
                format!("every rule lets it through, and {}", seen.seen),
            ));
            gathered.path = hops;
        }
    }
    Ok(gathered)
}

/// A thing's interface, an address of one, or an address outside.
async fn end(cx: &Cx, thing: &str) -> Result<End, Error> {
    if let Ok(address) = thing.parse::<IpAddr>() {
        let found = interfaces(cx, "addresses.private-ip-address", thing).await?;
        let inside = match found.into_iter().next() {
            Some(interface) => inside(cx, interface, task_at(cx, address).await?).await?,
            None => None,
        };
        return Ok(End {
            shown: thing.to_owned(),
            address,
            inside,
        });
    }
    let refuse = |it: String| wire::codes::ValidationError.because(it);
    for subject in subject::find(cx, thing).await? {
        let shown = subject.shown();
        let found = match subject {
            Subject::Task { cluster, id } => of_task(cx, &cluster, &[id]).await?,
            Subject::Service { cluster, name } => {
                let ids = list::task_ids(cx, &cluster, Some(&name)).await?;
                of_task(cx, &cluster, &ids).await?
            }
            Subject::LoadBalancer { arn, .. } => {
                let (_, full_name) = arn.split_once(":loadbalancer/").unwrap_or_default();
                let all = interfaces(cx, "description", &format!("ELB {full_name}")).await?;
                all.into_iter().next().map(|it| (it, None))
            }
            _ => None,
        };
        let Some((interface, task)) = found else {
            continue;
        };
        let address = interface
            .private_ip_address
            .as_deref()
            .and_then(|it| it.parse().ok());
        if let (Some(address), Some(inside)) = (address, inside(cx, interface, task).await?) {
            return Ok(End {
                shown,
                address,
                inside: Some(inside),
            });
        }
    }
    Err(refuse(format!(
        "`{thing}` has no interface now: it has to run to be looked at"
    )))
}

/// The task that an address is of.
async fn task_at(cx: &Cx, address: IpAddr) -> Result<Option<String>, Error> {
    for cluster in list::clusters(cx).await? {
        let ids = list::task_ids(cx, &cluster, None).await?;
        let all = list::tasks(cx, &cluster, &ids).await?;
        let is_of = |it: &&Task| it.stop_code.is_none() && tasks::address(it) == Some(address);
        if let Some(task) = all.iter().find(is_of) {
            return Ok(task.task_arn.as_deref().map(list::last_part));
        }
    }
    Ok(None)
}

/// The first of some tasks that runs.
async fn of_task(
    cx: &Cx,
    cluster: &str,
    ids: &[String],
) -> Result<Option<(NetworkInterface, Option<String>)>, Error> {
    for task in list::tasks(cx, cluster, ids).await? {
        let address = tasks::address(&task).filter(|_| task.stop_code.is_none());
        let Some(address) = address else {
            continue;
        };
        let found = interfaces(cx, "addresses.private-ip-address", &address.to_string()).await?;
        let id = list::last_part(task.task_arn.as_deref().unwrap_or_default());
        if let Some(interface) = found.into_iter().next() {
            return Ok(Some((interface, Some(id))));
        }
    }
    Ok(None)
}

async fn interfaces(cx: &Cx, name: &str, value: &str) -> Result<Vec<NetworkInterface>, Error> {
    let found = cx.call(DescribeNetworkInterfacesInput {
        filters: Some(vec![Filter {
            name: Some(name.to_owned()),
            values: Some(vec![value.to_owned()]),
        }]),
        ..Default::default()
    });
    Ok(found.await?.network_interfaces.unwrap_or_default())
}

async fn inside(
    cx: &Cx,
    interface: NetworkInterface,
    task: Option<String>,
) -> Result<Option<Inside>, Error> {
    let id = interface.network_interface_id.unwrap_or_default();
    let place = Place {
        subnet: interface.subnet_id.unwrap_or_default(),
        interface: Some(id.clone()),
        ..Place::default()
    };
    let network = networks::of(cx, &place).await?;
    Ok(network.map(|network| Inside {
        interface: id,
        network,
        task,
    }))
}

fn ids(groups: &[GroupFacts]) -> String {
    let ids: Vec<&str> = groups.iter().map(|it| it.id.as_str()).collect();
    format!("security groups {}", ids.join(", "))
}

/// The rule of some groups that is about a port and names the other side.
fn rule_for(
    groups: &[GroupFacts],
    outward: bool,
    port: u16,
    peer: &End,
) -> Result<Option<String>, (&'static str, String)> {
    let peers = peer
        .inside
        .as_ref()
        .map(|it| it.network.groups.as_slice())
        .unwrap_or_default();
    let rules = || {
        groups.iter().flat_map(move |group| {
            let rules = if outward {
                &group.egress
            } else {
                &group.ingress
            };
            rules.iter().map(move |it| (group, it))
        })
    };
    let found = rules().find(|(_, it)| it.covers_tcp(port) && it.names_any(&[peer.address], peers));
    if let Some((group, rule)) = found {
        return Ok(Some(format!("{}: {}", group.id, rule.shown())));
    }
    let shown: Vec<String> = rules().map(|(_, it)| it.shown()).collect();
    match shown.is_empty() {
        true => Err(("SG_HAS_NO_RULES", "has no rule".to_owned())),
        false => Err((
            "ENI_SG_RULES_MISMATCH",
            format!("lets through {}", shown.join("; ")),
        )),
    }
}

/// The hops as far as the packets get, and what stops them.
fn way(from: &End, own: &Inside, to: &End, port: u16) -> (Vec<Hop>, Option<Stop>) {
    let mut hops = vec![Hop::passes(own.interface.clone(), None)];
    let groups = &own.network.groups;
    let first = |groups: &[GroupFacts]| groups.first().map_or(String::new(), |it| it.id.clone());
    match rule_for(groups, true, port, to) {
        Ok(rule) => hops.push(Hop::passes(ids(groups), rule)),
        Err((code, seen)) => {
            hops.push(Hop::stops(ids(groups), code, None));
            let stop = Stop {
                id: "N6",
                name: "sg-egress-closed",
                cause: format!("no security group of {} lets TCP {port} out to {}", from.shown, to.shown),
                because: vec![Evidence::new(ids(groups), seen)],
                mend: Mend::template("let a group of it send to that port").by(format!(
                    "aws ec2 authorize-security-group-egress --group-id {} --protocol tcp --port {port} --cidr {}/32",
                    first(groups), to.address
                )),
            };
            return (hops, Some(stop));
        }
    }
    let is_local = to
        .inside
        .as_ref()
        .is_some_and(|it| it.network.vpc == own.network.vpc);
    // Within one subnet nobody asks its network ACL.
    let is_same = |it: &Inside| it.network.subnet == own.network.subnet;
    let crosses = !to.inside.as_ref().is_some_and(is_same);
    if let Some(acl) = own.network.acl.as_ref().filter(|_| crosses) {
        let asked = acl.lets_connect(port, AclPeer::Address(to.address));
        if let Some(stop) = through_acl(acl, asked, port, &mut hops) {
            return (hops, Some(stop));
        }
    }
    if let Some(stop) = route(own, to, is_local, &mut hops) {
        return (hops, Some(stop));
    }
    let Some(theirs) = to.inside.as_ref().filter(|_| is_local) else {
        return (hops, None);
    };
    if let Some(acl) = theirs.network.acl.as_ref().filter(|_| crosses) {
        let asked = acl.lets_serve(port, AclPeer::Address(from.address));
        if let Some(stop) = through_acl(acl, asked, port, &mut hops) {
            return (hops, Some(stop));
        }
    }
    let groups = &theirs.network.groups;
    match rule_for(groups, false, port, from) {
        Ok(rule) => hops.push(Hop::passes(ids(groups), rule)),
        Err((code, seen)) => {
            hops.push(Hop::stops(ids(groups), code, None));
            let source = first(&own.network.groups);
            let stop = Stop {
                id: "L1",
                name: "sg-closed",
                cause: format!("no security group of {} lets TCP {port} in from {}", to.shown, from.shown),
                because: vec![Evidence::new(ids(groups), seen)],
                mend: Mend::template("let a group of it take that port from the other's group").by(format!(
                    "aws ec2 authorize-security-group-ingress --group-id {} --protocol tcp --port {port} --source-group {source}",
                    first(groups)
                )),
            };
            return (hops, Some(stop));
        }
    }
    hops.push(Hop::passes(theirs.interface.clone(), None));
    (hops, None)
}

/// What a subnet's network ACL does with the packets and their answers.
fn through_acl(
    acl: &AclFacts,
    asked: Result<(), (AclDirection, String)>,
    port: u16,
    hops: &mut Vec<Hop>,
) -> Option<Stop> {
    let Err((direction, rule)) = asked else {
        hops.push(Hop::passes(acl.id.clone(), None));
        return None;
    };
    hops.push(Hop::stops(
        acl.id.clone(),
        "SUBNET_ACL_RESTRICTION",
        Some(rule.clone()),
    ));
    let way = match direction {
        AclDirection::In => "in",
        AclDirection::Out => "out",
    };
    Some(Stop {
        id: "N12",
        name: "nacl",
        cause: format!("the network ACL {} does not let the packets {way}", acl.id),
        because: vec![Evidence::new(format!("network ACL {}", acl.id), rule)],
        mend: Mend::template(format!(
            "let entries allow TCP {port} one way and the ports {EPHEMERAL_SHOWN} of its answers the other way: an ACL knows no connections"
        )),
    })
}

/// What the route table does with the packets.
fn route(own: &Inside, to: &End, is_local: bool, hops: &mut Vec<Hop>) -> Option<Stop> {
    let network = &own.network;
    let table = network.table_shown();
    if is_local {
        hops.push(Hop::passes(
            network.route_table.clone(),
            Some("local".to_owned()),
        ));
        return None;
    }
    let stop = |id, name, cause: String, seen: String| Stop {
        id,
        name,
        cause,
        because: vec![Evidence::new(table.clone(), seen)],
        mend: Mend::template(
            "give the subnet's route table a route there: to a NAT gateway, or to an internet gateway for who has a public address",
        ),
    };
    let Some(RouteFacts {
        target,
        via,
        is_active,
        ..
    }) = network.default_route()
    else {
        hops.push(Hop::stops(
            network.route_table.clone(),
            "NO_ROUTE_TO_DESTINATION",
            None,
        ));
        let cause = format!("the subnet {} has no route to {}", network.subnet, to.shown);
        return Some(stop(
            "N1",
            "no-route",
            cause,
            "has nothing for 0.0.0.0/0".to_owned(),
        ));
    };
    hops.push(Hop::passes(
        network.route_table.clone(),
        Some(format!("0.0.0.0/0 to {target}")),
    ));
    let state = network.nat.as_ref().map(|it| it.state.as_str());
    if !is_active || *via == Via::Nat && state != Some("available") {
        hops.push(Hop::stops(target.clone(), "BAD_STATE_ROUTE", None));
        let cause = format!(
            "{target}, which the subnet leads out by, is {}",
            state.unwrap_or("gone")
        );
        return Some(stop(
            "N3",
            "nat-broken",
            cause,
            format!("0.0.0.0/0 to {target}"),
        ));
    }
    if *via == Via::InternetGateway && network.has_public_address == Some(false) {
        hops.push(Hop::stops(
            target.clone(),
            "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
            None,
        ));
        let cause = format!(
            "{target} carries packets of public addresses only, and {} has none",
            own.interface
        );
        return Some(stop(
            "N2",
            "igw-without-public-ip",
            cause,
            format!("0.0.0.0/0 to {target}"),
        ));
    }
    hops.push(Hop::passes(target.clone(), None));
    None
}
