//! The packet rules of a network: security groups on every packet, and no packet with another's
//! source address.
//!
//! ```text
//! prerouting   link . source ──► @interfaces ──► mark (public?)        else drop
//! services     to where the specification has the resolver ──► to where it is
//! input        from an interface, to a link-local address ──► accept   else drop
//! (routing     the mark chooses the table with, or without, the internet gateway)
//! forward      leaves or enters a guarded subnet ──► its guard's entries, in order: denied ──► drop
//!              established ──► accept
//!              source ──► @combinations ──► @egress ──► chain: allowed ──► mark
//!              not marked ──► drop
//!              to the uplink ──► accept
//!              (from the uplink ──► accept, where the machine is a neighbour)
//!              destination ──► @combinations ──► @ingress ──► chain: allowed ──► accept
//!              else drop
//! ```
//!
//! A *combination* is a distinct set of groups, whose rules are in one chain each way. An interface
//! is one element in `@interfaces`, one in `@combinations` and one in the member set of each of its
//! groups, so neither the rules nor the time to check a packet grow with interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use engine::{GroupRule, InterfaceSpec, Peer, Protocol, VpcSpec};
use ipnet::Ipv4Net;
use netlink_packet_netfilter::nftables::{DataAttribute, InetHookNumber, Verdict};

use crate::batch::{Element, HookPoint, Policy, SetKind};
use crate::expressions::*;
use crate::guards;
use crate::links::LOOPBACK_INDEX;
use crate::records::InterfaceRecord;
use crate::resolver;
use crate::uplink::UPLINK_INDEX;

/// Addresses that mean something on one link only. Those of a network's own side are served there, to its
/// interfaces; no other is reached.
pub(crate) const LINK_LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);

pub(crate) const TABLE: &str = "vpc";
pub(crate) const INTERFACES: &str = "interfaces";
const COMBINATIONS: &str = "combinations";
const EGRESS: &str = "egress";
const INGRESS: &str = "ingress";

/// The bit of a packet's mark that says: from an interface with a public address. Routing looks
/// at it.
pub(crate) const MARK_PUBLIC: u32 = 1;
/// The bit that says: allowed out by the source's groups.
const MARK_ALLOWED_OUT: u32 = 2;

/// The base chains, which every network has, and their hooks.
pub(crate) const BASE_CHAINS: [(&str, HookPoint); 5] = [
    // After connection tracking (-200), before routing.
    ("prerouting", filter(InetHookNumber::PreRouting, -150)),
    // Where others translate destinations, too.
    ("services", nat(InetHookNumber::PreRouting, -100)),
    ("input", filter(InetHookNumber::LocalIn, 0)),
    ("forward", filter(InetHookNumber::Forward, 0)),
    ("postrouting", nat(InetHookNumber::PostRouting, 100)),
];

const fn nat(hook: InetHookNumber, priority: i32) -> HookPoint {
    HookPoint {
        hook,
        priority,
        kind: "nat",
        policy: Policy::Accept,
    }
}

const fn filter(hook: InetHookNumber, priority: i32) -> HookPoint {
    HookPoint {
        hook,
        priority,
        kind: "filter",
        policy: Policy::Drop,
    }
}

/// A distinct set of groups, sorted.
pub(crate) type Combination = BTreeSet<String>;

/// All that a table should hold.
#[derive(Default)]
pub(crate) struct Ruleset {
    pub sets: BTreeMap<String, (Option<SetKind>, Vec<Element>)>,
    pub chains: BTreeMap<String, Vec<Rule>>,
}

impl Ruleset {
    fn add_set(&mut self, name: impl Into<String>, kind: SetKind) {
        self.sets.insert(name.into(), (Some(kind), vec![]));
    }

    fn add_element(&mut self, set: &str, element: Element) {
        self.sets.entry(set.to_owned()).or_default().1.push(element);
    }
}

/// A network's whole rules.
pub(crate) fn ruleset<'a>(
    vpc: &VpcSpec,
    combinations: &BTreeMap<Combination, u32>,
    interfaces: impl Iterator<Item = &'a InterfaceRecord>,
) -> Ruleset {
    let mut wanted = Ruleset {
        chains: base_rules(vpc),
        ..Ruleset::default()
    };
    wanted.chains.extend(guards::chains(vpc));
    wanted.add_set(INTERFACES, SetKind::LinkAndAddressToMark);
    wanted.add_set(COMBINATIONS, SetKind::AddressToNumber);
    wanted.add_set(EGRESS, SetKind::NumberToVerdict);
    wanted.add_set(INGRESS, SetKind::NumberToVerdict);
    for group in &vpc.groups {
        wanted.add_set(members_of(&group.id), SetKind::Addresses);
    }
    for (combination, number) in combinations {
        for chain in chains_of(vpc, combination, *number) {
            wanted.add_element(chain.map, chain.element);
            wanted.chains.insert(chain.name, chain.rules);
        }
    }
    for interface in interfaces {
        let number = combinations[&combination_of(&interface.spec)];
        for (set, element) in elements_of(interface, number) {
            wanted.add_element(&set, element);
        }
    }
    wanted
}

fn base_rules(vpc: &VpcSpec) -> BTreeMap<String, Vec<Rule>> {
    let resolver = vpc.resolver.as_ref().and_then(|it| it.at);
    let then = |mut rule: Rule, code: Verdict| {
        rule.push(verdict(code));
        rule
    };
    let prerouting = vec![
        then(is_not_ipv4(), DROP),
        then(came_by(LOOPBACK_INDEX), ACCEPT),
        then(came_by(UPLINK_INDEX), ACCEPT),
        then(mark_by_link_and_source(INTERFACES), ACCEPT),
    ];
    // What is served beside the interfaces. No group is asked: these addresses are no part of a network.
    let beside = address_in_range(End::Destination, LINK_LOCAL);
    let input = vec![
        then(came_by(LOOPBACK_INDEX), ACCEPT),
        then(came_by(UPLINK_INDEX), DROP),
        then(beside, ACCEPT),
    ];
    // Guards know no connections: they are asked about answers, too.
    let mut forward = guards::rules(vpc);
    forward.extend([
        then(connection_is(ESTABLISHED_OR_RELATED), ACCEPT),
        then(connection_is(INVALID), DROP),
    ]);
    let mut postrouting = Vec::new();
    if let Some(machine) = vpc.machine {
        // Nobody but the machine sends by the uplink: it passes nothing on from elsewhere.
        forward.push(then(came_by(UPLINK_INDEX), ACCEPT));
        // It sees its neighbours by their own addresses.
        let to_machine = address_in_range(End::Destination, Ipv4Net::from(machine));
        let to_machine = [leaves_by(UPLINK_INDEX), to_machine].concat();
        postrouting.push(then(to_machine, ACCEPT));
    }
    forward.extend([
        verdict_by_address(End::Source, COMBINATIONS, EGRESS),
        then(mark_lacks(MARK_ALLOWED_OUT), DROP),
        then(leaves_by(UPLINK_INDEX), ACCEPT),
        verdict_by_address(End::Destination, COMBINATIONS, INGRESS),
    ]);
    // Behind an interface there is one network, whose addresses are known there.
    if vpc.behind.is_none() {
        postrouting.push([leaves_by(UPLINK_INDEX), vec![masquerade()]].concat());
    }
    BTreeMap::from([
        ("prerouting".into(), prerouting),
        (
            "services".into(),
            resolver.map(to_resolver).into_iter().collect(),
        ),
        ("input".into(), input),
        ("forward".into(), forward),
        ("postrouting".into(), postrouting),
    ])
}

/// Whoever sends there has sent to the resolver.
fn to_resolver(at: Ipv4Addr) -> Rule {
    let mut rule = address_in_range(End::Destination, Ipv4Net::from(at));
    rule.extend(send_to(*resolver::AT.ip()));
    rule
}

pub(crate) fn number_combinations<'a>(
    interfaces: impl Iterator<Item = &'a InterfaceRecord>,
) -> BTreeMap<Combination, u32> {
    let distinct: BTreeSet<Combination> = interfaces
        .map(|interface| combination_of(&interface.spec))
        .collect();
    distinct.into_iter().zip(0..).collect()
}

pub(crate) fn combination_of(interface: &InterfaceSpec) -> Combination {
    interface.groups.iter().cloned().collect()
}

/// One direction of a combination: its chain and the element that leads there.
pub(crate) struct CombinationChain {
    pub map: &'static str,
    pub name: String,
    pub element: Element,
    pub rules: Vec<Rule>,
}

pub(crate) fn chains_of(
    vpc: &VpcSpec,
    combination: &Combination,
    number: u32,
) -> [CombinationChain; 2] {
    let groups = || {
        vpc.groups
            .iter()
            .filter(|group| combination.contains(&group.id))
    };
    let egress: BTreeSet<&GroupRule> = groups().flat_map(|group| &group.egress).collect();
    let ingress: BTreeSet<&GroupRule> = groups().flat_map(|group| &group.ingress).collect();
    let element = |code, chain: &str| Element {
        key: number.to_ne_bytes().to_vec(),
        value: Some(verdict_data(code, chain)),
    };
    let egress_chain = format!("egress-{number}");
    let ingress_chain = format!("ingress-{number}");
    let allow_out = [add_to_mark(MARK_ALLOWED_OUT), vec![verdict(RETURN)]].concat();
    [
        CombinationChain {
            map: EGRESS,
            element: element(Verdict::Jump, &egress_chain),
            name: egress_chain,
            rules: allow(vpc, egress, End::Destination, &allow_out),
        },
        CombinationChain {
            map: INGRESS,
            element: element(Verdict::Goto, &ingress_chain),
            name: ingress_chain,
            rules: allow(vpc, ingress, End::Source, &[verdict(ACCEPT)].to_vec()),
        },
    ]
}

/// The packet rules of group rules. One whose peer is a group that is gone allows nothing.
fn allow(vpc: &VpcSpec, rules: BTreeSet<&GroupRule>, peer: End, then: &Rule) -> Vec<Rule> {
    let exists = |id: &str| vpc.groups.iter().any(|group| group.id == id);
    let mut allowed = Vec::new();
    for rule in rules {
        let peer = match &rule.peer {
            Peer::Range(range) => address_in_range(peer, *range),
            Peer::Group(id) if exists(id) => address_in_set(peer, &members_of(id)),
            Peer::Group(_) => continue,
        };
        allowed.push([peer, protocol_is(rule.protocol), then.clone()].concat());
    }
    allowed
}

pub(crate) fn protocol_is(protocol: Protocol) -> Rule {
    const ICMP: u8 = libc::IPPROTO_ICMP as u8;
    const TCP: u8 = libc::IPPROTO_TCP as u8;
    const UDP: u8 = libc::IPPROTO_UDP as u8;
    match protocol {
        Protocol::All => vec![],
        Protocol::Tcp { from, to } => [transport_is(TCP), port_in(from, to)].concat(),
        Protocol::Udp { from, to } => [transport_is(UDP), port_in(from, to)].concat(),
        Protocol::Icmp => transport_is(ICMP),
        Protocol::IcmpOf { kind, code } => [transport_is(ICMP), icmp_is(kind, code)].concat(),
        Protocol::Other(number) => transport_is(number),
    }
}

fn members_of(group: &str) -> String {
    format!("members-{group}")
}

pub(crate) fn link_and_address(index: u32, address: Ipv4Addr) -> Vec<u8> {
    [index.to_ne_bytes(), address.octets()].concat()
}

/// Every set element that an interface is.
pub(crate) fn elements_of(interface: &InterfaceRecord, combination: u32) -> Vec<(String, Element)> {
    let spec = &interface.spec;
    let address = spec.address.octets().to_vec();
    let mark = if spec.public { MARK_PUBLIC } else { 0 };
    let number = |value: u32| Some(DataAttribute::Value(value.to_ne_bytes().to_vec()));
    let mut elements = vec![
        (
            INTERFACES.to_owned(),
            Element {
                key: link_and_address(interface.index, spec.address),
                value: number(mark),
            },
        ),
        (
            COMBINATIONS.to_owned(),
            Element {
                key: address.clone(),
                value: number(combination),
            },
        ),
    ];
    for group in combination_of(spec) {
        let member = Element {
            key: address.clone(),
            value: None,
        };
        elements.push((members_of(&group), member));
    }
    elements
}
