//! The routes of a network: a pair of policy-routing tables for each route table, and the rules that
//! choose one by the source's subnet and by whether the source is public.
//!
//! ```text
//! 1000  everything                    → main: one route per interface; holes for the rest
//! 2000  from a subnet, marked public  → the table with the internet gateway
//! 2001  from a subnet                 → the same table with a hole in the gateway's place
//! ```
//!
//! A packet that finds no route falls into a hole and is dropped in silence, as on the real thing.
//! What is there is read from the kernel and only differences are written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use engine::{EngineError, Result, RouteTarget, VpcSpec};
use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;

use crate::links::{Links, Request, request};
use crate::netlink::{Dump, NetlinkError};
use crate::records::{InterfaceRecord, VpcRecord};
use crate::ruleset::{LINK_LOCAL, MARK_PUBLIC};
use crate::uplink::{UPLINK_INDEX, gateway_of};

/// Marks our routes among the kernel's, so that others' are left alone.
const OUR_PROTOCOL: RouteProtocol = RouteProtocol::Other(115);
const MAIN_TABLE: u32 = libc::RT_TABLE_MAIN as u32;
/// The number of the first table for a route table; each takes two.
const FIRST_TABLE: u32 = 1000;
const MAIN_PRIORITY: u32 = 1000;
const PUBLIC_PRIORITY: u32 = 2000;
const PRIVATE_PRIORITY: u32 = 2001;
/// An address of the internet that stands for all: documentation's own, to which nothing is sent.
const SOMEWHERE_OUT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    Hole,
}

/// One policy-routing rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Choice {
    priority: u32,
    source: Ipv4Net,
    mark: Option<u32>,
    table: u32,
}

type Routes = BTreeMap<(u32, Ipv4Net), Way>;
type Choices = BTreeSet<Choice>;

/// Gives every route table a number, keeping those that have one.
pub(crate) fn number_tables(spec: &VpcSpec, old: &BTreeMap<String, u32>) -> BTreeMap<String, u32> {
    let ids = || spec.route_tables.iter().map(|table| &table.id);
    let mut numbers: BTreeMap<String, u32> = ids()
        .filter_map(|id| Some((id.clone(), *old.get(id)?)))
        .collect();
    let mut free = 0;
    for id in ids() {
        if !numbers.contains_key(id) {
            while numbers.values().any(|taken| *taken == free) {
                free += 1;
            }
            numbers.insert(id.clone(), free);
        }
    }
    numbers
}

/// Whether an uplink is needed: a route leads out, or the machine is a neighbour.
pub(crate) fn needs_uplink(spec: &VpcSpec) -> bool {
    has_way_out(spec) || spec.machine.is_some()
}

/// Whether any route leads out.
pub(crate) fn has_way_out(spec: &VpcSpec) -> bool {
    spec.route_tables
        .iter()
        .flat_map(|table| &table.routes)
        .any(|route| route.target != RouteTarget::Blackhole)
}

/// Makes the routes and rules what the record says.
pub(crate) fn converge(links: &mut Links, record: &VpcRecord) -> Result<()> {
    let (routes, choices) = plan(record);
    let (routes_there, choices_there) = (routes_now(links)?, choices_now(links)?);
    let mut requests = Vec::new();
    for (key, way) in &routes {
        if routes_there.get(key) != Some(way) {
            requests.push(add_route(*key, *way, record.uplink));
        }
    }
    requests.extend(choices.difference(&choices_there).map(add_choice));
    requests.extend(choices_there.difference(&choices).map(remove_choice));
    for key in routes_there.keys().filter(|key| !routes.contains_key(key)) {
        requests.push(remove_route(*key));
    }
    Ok(links.change(requests)?)
}

/// What should be there.
fn plan(record: &VpcRecord) -> (Routes, Choices) {
    let everything = Ipv4Net::default();
    let mut routes = Routes::new();
    for range in holes(&record.spec) {
        routes.insert((MAIN_TABLE, range), Way::Hole);
    }
    if let Some(machine) = record.spec.machine {
        routes.insert((MAIN_TABLE, Ipv4Net::from(machine)), Way::Out);
    }
    for table in &record.spec.route_tables {
        let (public, private) = tables_of(record.table_numbers[&table.id]);
        for number in [public, private] {
            routes.insert((number, everything), Way::Hole);
        }
        for route in &table.routes {
            let destination = route.destination.trunc();
            let way_if = |out: bool| if out { Way::Out } else { Way::Hole };
            let to_public = route.target != RouteTarget::Blackhole;
            let to_private = route.target == RouteTarget::NatGateway;
            routes.insert((public, destination), way_if(to_public));
            routes.insert((private, destination), way_if(to_private));
        }
    }
    let mut choices = Choices::from([Choice {
        priority: MAIN_PRIORITY,
        source: everything,
        mark: None,
        table: MAIN_TABLE,
    }]);
    for subnet in &record.spec.subnets {
        let (public, private) = tables_of(record.table_numbers[&subnet.route_table]);
        let source = subnet.range.trunc();
        choices.insert(Choice {
            priority: PUBLIC_PRIORITY,
            source,
            mark: Some(MARK_PUBLIC),
            table: public,
        });
        choices.insert(Choice {
            priority: PRIVATE_PRIORITY,
            source,
            mark: None,
            table: private,
        });
    }
    (routes, choices)
}

/// Ranges that never lead out: the network's own; link-local ones, where the machine's own cloud
/// may answer with its credentials; and those of the uplinks, ours and other daemons'.
///
/// Behind an interface, what leads out is that interface's network's to say.
fn holes(spec: &VpcSpec) -> Vec<Ipv4Net> {
    let own = spec.ranges.iter().map(Ipv4Net::trunc);
    let others = [LINK_LOCAL, crate::uplink::UPLINK_RANGE].into_iter();
    own.chain(others.filter(|_| spec.behind.is_none()))
        .collect()
}

fn tables_of(number: u32) -> (u32, u32) {
    (FIRST_TABLE + 2 * number, FIRST_TABLE + 2 * number + 1)
}

fn routes_now(links: &mut Links) -> Result<Routes, NetlinkError> {
    let question = RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(0)
        .protocol(RouteProtocol::Unspec)
        .kind(RouteType::Unspec)
        .build();
    let question = RouteNetlinkMessage::GetRoute(question);
    let found = links.ask("list routes", question, Dump::All)?;
    let ours = |message| match message {
        RouteNetlinkMessage::NewRoute(route) if route.header.protocol == OUR_PROTOCOL => {
            Some(read_route(&route))
        }
        _ => None,
    };
    Ok(found.into_iter().filter_map(ours).collect())
}

fn read_route(route: &RouteMessage) -> ((u32, Ipv4Net), Way) {
    let mut table = u32::from(route.header.table);
    let mut destination = Ipv4Addr::UNSPECIFIED;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = *address,
            _ => {}
        }
    }
    let way = match route.header.kind {
        RouteType::BlackHole => Way::Hole,
        _ => Way::Out,
    };
    let prefix = route.header.destination_prefix_length.min(32);
    ((table, Ipv4Net::new_assert(destination, prefix)), way)
}

fn route_message((table, destination): (u32, Ipv4Net)) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(table)
        .protocol(OUR_PROTOCOL)
        .destination_prefix(destination.network(), destination.prefix_len())
}

fn add_route(key: (u32, Ipv4Net), way: Way, uplink: Option<u32>) -> Request {
    let message = match (way, uplink) {
        (Way::Out, Some(block)) => route_message(key)
            .gateway(gateway_of(block))
            .output_interface(UPLINK_INDEX)
            .onlink(),
        _ => route_message(key).kind(RouteType::BlackHole),
    };
    let message = RouteNetlinkMessage::NewRoute(message.build());
    request("add a route", message, NLM_F_CREATE | NLM_F_REPLACE)
}

fn remove_route(key: (u32, Ipv4Net)) -> Request {
    let message = route_message(key)
        .kind(RouteType::Unspec)
        .scope(RouteScope::NoWhere)
        .build();
    let message = RouteNetlinkMessage::DelRoute(message);
    request("remove a route", message, 0)
}

fn choices_now(links: &mut Links) -> Result<Choices, NetlinkError> {
    let mut question = RuleMessage::default();
    question.header.family = AddressFamily::Inet;
    let question = RouteNetlinkMessage::GetRule(question);
    let found = links.ask("list routing rules", question, Dump::All)?;
    let ours = |message| match message {
        RouteNetlinkMessage::NewRule(rule) => Some(read_choice(&rule)),
        _ => None,
    };
    let is_ours = |choice: &Choice| {
        [MAIN_PRIORITY, PUBLIC_PRIORITY, PRIVATE_PRIORITY].contains(&choice.priority)
    };
    Ok(found.into_iter().filter_map(ours).filter(is_ours).collect())
}

fn read_choice(rule: &RuleMessage) -> Choice {
    let mut choice = Choice {
        priority: 0,
        source: Ipv4Net::default(),
        mark: None,
        table: u32::from(rule.header.table),
    };
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => choice.priority = *priority,
            RuleAttribute::Table(table) => choice.table = *table,
            RuleAttribute::FwMark(mark) => choice.mark = Some(*mark),
            RuleAttribute::Source(IpAddr::V4(address)) => {
                choice.source = Ipv4Net::new_assert(*address, rule.header.src_len.min(32));
            }
            _ => {}
        }
    }
    choice
}

fn choice_message(choice: &Choice) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = AddressFamily::Inet;
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(choice.priority),
        RuleAttribute::Table(choice.table),
    ];
    if choice.source.prefix_len() > 0 {
        rule.header.src_len = choice.source.prefix_len();
        let source = IpAddr::V4(choice.source.network());
        rule.attributes.push(RuleAttribute::Source(source));
    }
    if let Some(mark) = choice.mark {
        rule.attributes.push(RuleAttribute::FwMark(mark));
        rule.attributes.push(RuleAttribute::FwMask(mark));
    }
    rule
}

fn add_choice(choice: &Choice) -> Request {
    let message = RouteNetlinkMessage::NewRule(choice_message(choice));
    request("add a routing rule", message, NLM_F_CREATE | NLM_F_EXCL)
}

fn remove_choice(choice: &Choice) -> Request {
    let message = RouteNetlinkMessage::DelRule(choice_message(choice));
    request("remove a routing rule", message, 0)
}

/// Asks the kernel whether a packet from this interface, with this mark, leads to the uplink.
pub(crate) fn leads_out(
    links: &mut Links,
    interface: &InterfaceRecord,
    mark: u32,
) -> Result<bool, EngineError> {
    let question = RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(0)
        .protocol(RouteProtocol::Unspec)
        .kind(RouteType::Unspec)
        .destination_prefix(SOMEWHERE_OUT, 32)
        .source_prefix(interface.spec.address, 32)
        .input_interface(interface.index)
        .mark(mark)
        .build();
    let question = RouteNetlinkMessage::GetRoute(question);
    let found = match links.ask("look up the way out", question, Dump::One) {
        Ok(found) => found,
        // A hole, or no route at all.
        Err(error)
            if [Errno::EINVAL, Errno::ENETUNREACH, Errno::EHOSTUNREACH]
                .iter()
                .any(|errno| error.is(*errno)) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(found.iter().any(|message| match message {
        RouteNetlinkMessage::NewRoute(route) => {
            route.header.kind == RouteType::Unicast
                && route
                    .attributes
                    .contains(&RouteAttribute::Oif(UPLINK_INDEX))
        }
        _ => false,
    }))
}
