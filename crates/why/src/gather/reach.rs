//! Whether one thing reaches a port of another: the way of its packets ([`crate::way`]), and what the kernel says
//! when it is tried.

use std::net::{IpAddr, SocketAddr};

use cloud::{Cx, Error};
use shapes::ec2::NetworkInterface;

use super::networks::{interfaces, with_address};
use super::{Gathered, list, tasks};
use crate::facts::GroupFacts;
use crate::report::{Basis, Evidence, Finding, Hop, Mend};
use crate::subject::{self, Subject};
use crate::way::{self, Gone, WayEnd, WayQuestion, WayStep};

/// Who waits longer for a connection on one machine waits for nothing.
const TRY_MS: u64 = 500;

/// One side of the question.
struct Side {
    shown: String,
    address: IpAddr,
    /// None: outside of every network.
    interface: Option<String>,
}

/// Why the way ends, and what to do about it.
struct Stop {
    id: &'static str,
    name: &'static str,
    cause: String,
    because: Evidence,
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
    let from = side(cx, from).await?;
    let Some(interface) = &from.interface else {
        return Err(refuse(format!(
            "{} has no interface in a network here, so nothing can be tried from it",
            from.shown
        )));
    };
    let to = side(cx, host).await?;
    let question = WayQuestion {
        from: interface.clone(),
        to: to.interface.clone().unwrap_or(to.address.to_string()),
        port,
    };
    let gone = way::go(cx, &question).await?;
    let at = SocketAddr::new(to.address, port);
    let tried = cx.engine().network.connect(interface, at, TRY_MS).await;
    let thing = format!("{} to {} port {port}", from.shown, to.shown);
    let mut gathered = Gathered {
        looked_at: vec![format!("the way from {thing}")],
        path: gone.hops.clone(),
        ..Gathered::default()
    };
    let Err(error) = tried else {
        // It was seen to get through, whatever the rules seem to say.
        gathered.path.retain(|it| it.passes);
        gathered.path.push(Hop::passes(
            format!("{} port {port}", to.shown),
            Some("a connection was made and closed again".to_owned()),
        ));
        return Ok(gathered);
    };
    let seen = Evidence::new(format!("a connection from {}", from.shown), error.message);
    match gone.stop {
        Some(step) => {
            let stop = stop(step, &gone, (&from.shown, &to.shown), port);
            gathered.path = Vec::new();
            gathered
                .findings
                .push(finding(thing, stop, gone.hops, seen));
        }
        None => gathered.unexplained.push((
            thing,
            format!("every rule lets it through, and {}", seen.seen),
        )),
    }
    Ok(gathered)
}

fn finding(thing: String, stop: Stop, path: Vec<Hop>, seen: Evidence) -> Finding {
    Finding {
        id: stop.id.to_owned(),
        name: stop.name.to_owned(),
        thing,
        aws_says: stop.cause.clone(),
        cause: stop.cause,
        because: vec![stop.because, seen],
        path,
        mend: vec![stop.mend],
        basis: Basis::Observed,
        also_seen: Vec::new(),
        severity: None,
        place: None,
    }
}

fn stop(step: WayStep, gone: &Gone, (from, to): (&str, &str), port: u16) -> Stop {
    let component = |rule: &str| {
        let last = gone.hops.last();
        let component = last.map_or(String::new(), |it| it.component.clone());
        let decided = last.and_then(|it| it.rule.clone());
        Evidence::new(component, decided.unwrap_or(rule.to_owned()))
    };
    match step {
        WayStep::Egress => Stop {
            id: "N6",
            name: "sg-egress-closed",
            cause: format!("no security group of {from} lets TCP {port} out to {to}"),
            because: rules(&gone.from, true),
            mend: Mend::template("let a group of it send to that port").by(format!(
                "aws ec2 authorize-security-group-egress --group-id {} --protocol tcp --port {port} --cidr {}/32",
                first(&gone.from),
                gone.to.address.map_or(to.to_owned(), |it| it.to_string())
            )),
        },
        WayStep::Ingress => Stop {
            id: "L1",
            name: "sg-closed",
            cause: format!("no security group of {to} lets TCP {port} in from {from}"),
            because: rules(&gone.to, false),
            mend: Mend::template("let a group of it take that port from the other's group").by(format!(
                "aws ec2 authorize-security-group-ingress --group-id {} --protocol tcp --port {port} --source-group {}",
                first(&gone.to),
                first(&gone.from)
            )),
        },
        WayStep::AclOut | WayStep::AclIn | WayStep::AnswerOut | WayStep::AnswerIn => Stop {
            id: "N12",
            name: "nacl",
            cause: "a network ACL between them stops the packets or their answers".to_owned(),
            because: component("stops it"),
            mend: Mend::template(format!(
                "let entries allow TCP {port} one way and the ports {} of its answers the other way: an ACL knows no connections",
                crate::acl::EPHEMERAL_SHOWN
            )),
        },
        WayStep::Route => route(gone, (from, to), component("leads nowhere")),
        WayStep::Program => program(gone, to, port),
    }
}

/// The row is that of what the route leads to.
fn route(gone: &Gone, (from, to): (&str, &str), because: Evidence) -> Stop {
    let code = gone.hops.last().and_then(|it| it.code.as_deref());
    let (id, name, cause) = match code {
        Some("BAD_STATE_ROUTE") => (
            "N3",
            "nat-broken",
            format!("the NAT gateway that {from} leads out by does not work"),
        ),
        Some("BAD_STATE_ATTACHMENT") => (
            "N5",
            "igw-detached",
            format!("the internet gateway that {from} leads out by is not attached"),
        ),
        Some("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS") => (
            "N2",
            "igw-without-public-ip",
            format!(
                "the internet gateway carries packets of public addresses only, and {from} has none"
            ),
        ),
        _ => (
            "N1",
            "no-route",
            format!("the subnet of {from} has no route to {to}"),
        ),
    };
    Stop {
        id,
        name,
        cause,
        because,
        mend: Mend::template(
            "give the subnet's route table a route there: to a NAT gateway, or to an internet gateway for who has a public address",
        ),
    }
}

/// It gets there, and nobody listens.
fn program(gone: &Gone, to: &str, port: u16) -> Stop {
    let listening = gone.to.listening.iter().flatten();
    let all: Vec<String> = listening.clone().map(ToString::to_string).collect();
    let on_port = listening.filter(|it| it.port() == port).count();
    let (id, name, where_) = match on_port {
        0 => ("R13", "listens-on-other-port", "on no such port"),
        _ => ("R12", "listens-on-loopback", "on its loopback alone"),
    };
    Stop {
        id,
        name,
        cause: format!("the packets get to {to}, and it listens {where_}"),
        because: Evidence::new(
            format!("sockets of {to}"),
            match all.is_empty() {
                true => "it listens nowhere".to_owned(),
                false => format!("it listens on {}", all.join(", ")),
            },
        ),
        mend: Mend::template(format!("let the program listen on 0.0.0.0:{port}")),
    }
}

fn first(end: &WayEnd) -> &str {
    end.network.groups.first().map_or("", |it| it.id.as_str())
}

/// What the groups of an end let through.
fn rules(end: &WayEnd, outward: bool) -> Evidence {
    let groups = &end.network.groups;
    let ids: Vec<&str> = groups.iter().map(|it| it.id.as_str()).collect();
    let of = |it: &GroupFacts| match outward {
        true => it.egress.clone(),
        false => it.ingress.clone(),
    };
    let shown: Vec<String> = groups.iter().flat_map(of).map(|it| it.shown()).collect();
    Evidence::new(
        format!("security groups {}", ids.join(", ")),
        match shown.is_empty() {
            true => "has no rule".to_owned(),
            false => format!("lets through {}", shown.join("; ")),
        },
    )
}

/// A thing's interface, an address of one, or an address outside.
async fn side(cx: &Cx, thing: &str) -> Result<Side, Error> {
    if let Ok(address) = thing.parse::<IpAddr>() {
        let found = with_address(cx, address).await?.into_iter().next();
        return Ok(Side {
            shown: thing.to_owned(),
            address,
            interface: found.and_then(|it| it.network_interface_id),
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
                all.into_iter().next()
            }
            _ => None,
        };
        let found = found.and_then(|it| {
            let address = it.private_ip_address?.parse().ok()?;
            Some((address, it.network_interface_id))
        });
        if let Some((address, interface)) = found {
            return Ok(Side {
                shown,
                address,
                interface,
            });
        }
    }
    Err(refuse(format!(
        "`{thing}` has no interface now: it has to run to be looked at"
    )))
}

/// The interface of the first of some tasks that runs.
async fn of_task(
    cx: &Cx,
    cluster: &str,
    ids: &[String],
) -> Result<Option<NetworkInterface>, Error> {
    for task in list::tasks(cx, cluster, ids).await? {
        let address = tasks::address(&task).filter(|_| task.stop_code.is_none());
        let Some(address) = address else {
            continue;
        };
        if let Some(found) = with_address(cx, address).await?.into_iter().next() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
