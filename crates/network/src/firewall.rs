//! The packet rules of a network: security groups on every packet, and no packet with another's
//! source address.
//!
//! ```text
//! prerouting   link . source ──► @interfaces ──► mark (public?)        else drop
//! (routing     the mark chooses the table with, or without, the internet gateway)
//! forward      established ──► accept
//!              source ──► @combinations ──► @egress ──► chain: allowed ──► mark
//!              not marked ──► drop
//!              to the uplink ──► accept
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
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::{DataAttribute, InetHookNumber, Verdict};

use crate::expressions::*;
use crate::links::LOOPBACK_INDEX;
use crate::netlink::NetlinkError;
use crate::nftables::{Batch, Element, HookPoint, Policy, SetKind, Tables};
use crate::records::InterfaceRecord;
use crate::uplink::UPLINK_INDEX;

pub(crate) const TABLE: &str = "vpc";
const INTERFACES: &str = "interfaces";
const COMBINATIONS: &str = "combinations";
const EGRESS: &str = "egress";
const INGRESS: &str = "ingress";

/// The bit of a packet's mark that says: from an interface with a public address. Routing looks
/// at it.
pub(crate) const MARK_PUBLIC: u32 = 1;
/// The bit that says: allowed out by the source's groups.
const MARK_ALLOWED_OUT: u32 = 2;

/// The base chains, which every network has, and their hooks.
const BASE_CHAINS: [(&str, HookPoint); 4] = [
    // After connection tracking (-200), before routing.
    ("prerouting", filter(InetHookNumber::PreRouting, -150)),
    ("input", filter(InetHookNumber::LocalIn, 0)),
    ("forward", filter(InetHookNumber::Forward, 0)),
    (
        "postrouting",
        HookPoint {
            hook: InetHookNumber::PostRouting,
            priority: 100,
            kind: "nat",
            policy: Policy::Accept,
        },
    ),
];

const fn filter(hook: InetHookNumber, priority: i32) -> HookPoint {
    HookPoint {
        hook,
        priority,
        kind: "filter",
        policy: Policy::Drop,
    }
}

/// A distinct set of groups, sorted.
type Combination = BTreeSet<String>;

/// The firewall of one network, and which combinations have chains.
pub(crate) struct Firewall {
    tables: Tables,
    combinations: BTreeMap<Combination, u32>,
}

impl Firewall {
    /// Opens the firewall of the calling thread's namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            tables: Tables::open()?,
            combinations: BTreeMap::new(),
        })
    }

    /// Makes the rules what the specification says, in one step, whatever they were.
    pub fn converge<'a>(
        &mut self,
        vpc: &VpcSpec,
        interfaces: impl Iterator<Item = &'a InterfaceRecord> + Clone,
    ) -> Result<(), NetlinkError> {
        let chains = self.tables.chains(NetfilterProtoFamily::Inet)?;
        let chains: BTreeSet<String> = chains
            .into_iter()
            .filter(|chain| chain.table == TABLE)
            .map(|chain| chain.name)
            .collect();
        let sets: BTreeSet<String> = self.tables.sets(TABLE)?.into_iter().collect();
        let combinations = number_combinations(interfaces.clone());
        let wanted = ruleset(vpc, &combinations, interfaces);
        self.tables.commit(replace(&chains, &sets, wanted))?;
        self.combinations = combinations;
        Ok(())
    }

    /// Adds an interface, or changes it from what it was.
    pub fn put_interface(
        &mut self,
        vpc: &VpcSpec,
        old: Option<&InterfaceRecord>,
        new: &InterfaceRecord,
    ) -> Result<(), NetlinkError> {
        let mut batch = Batch::new(TABLE);
        let mut combinations = self.combinations.clone();
        if let Some(old) = old {
            self.take_out(&mut batch, old);
        }
        let combination = combination_of(&new.spec);
        let number = match combinations.get(&combination) {
            Some(number) => *number,
            None => {
                let number = combinations.values().max().map_or(0, |highest| highest + 1);
                add_combination(&mut batch, vpc, &combination, number);
                combinations.insert(combination, number);
                number
            }
        };
        for (set, element) in elements_of(new, number) {
            batch.add_elements(&set, &[element]);
        }
        self.tables.commit(batch)?;
        self.combinations = combinations;
        Ok(())
    }

    pub fn remove_interface(&mut self, interface: &InterfaceRecord) -> Result<(), NetlinkError> {
        let mut batch = Batch::new(TABLE);
        self.take_out(&mut batch, interface);
        self.tables.commit(batch)
    }

    fn take_out(&self, batch: &mut Batch, interface: &InterfaceRecord) {
        let combination = combination_of(&interface.spec);
        let number = self.combinations.get(&combination).copied();
        for (set, element) in elements_of(interface, number.unwrap_or_default()) {
            batch.remove_elements(&set, &[element]);
        }
    }

    /// The mark that a packet from this interface gets now; `None` when it would be dropped.
    pub fn mark_of(&mut self, interface: &InterfaceRecord) -> Result<Option<u32>, NetlinkError> {
        let key = link_and_address(interface.index, interface.spec.address);
        let value = self.tables.value_in_map(TABLE, INTERFACES, key)?;
        Ok(value.and_then(|bytes| Some(u32::from_ne_bytes(bytes.try_into().ok()?))))
    }
}

/// All that a table should hold.
#[derive(Default)]
struct Ruleset {
    sets: BTreeMap<String, (Option<SetKind>, Vec<Element>)>,
    chains: BTreeMap<String, Vec<Rule>>,
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
fn ruleset<'a>(
    vpc: &VpcSpec,
    combinations: &BTreeMap<Combination, u32>,
    interfaces: impl Iterator<Item = &'a InterfaceRecord>,
) -> Ruleset {
    let mut wanted = Ruleset {
        chains: base_rules(),
        ..Ruleset::default()
    };
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

/// The batch that makes a table hold what is wanted and nothing else. Base chains stay, so that
/// there is no moment without them.
fn replace(chains: &BTreeSet<String>, sets: &BTreeSet<String>, wanted: Ruleset) -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.make_table();
    for (name, hook) in BASE_CHAINS {
        batch.make_chain(name, Some(hook));
    }
    let is_base = |name: &str| BASE_CHAINS.iter().any(|(base, _)| *base == name);
    for name in wanted.chains.keys().filter(|name| !is_base(name)) {
        batch.make_chain(name, None);
    }
    for chain in chains {
        batch.empty_chain(chain);
    }
    for (name, (kind, _)) in &wanted.sets {
        if let Some(kind) = kind {
            batch.make_set(name, *kind);
        }
    }
    for set in sets {
        batch.empty_set(set);
    }
    for set in sets.iter().filter(|set| !wanted.sets.contains_key(*set)) {
        batch.remove_set(set);
    }
    for chain in chains {
        if !wanted.chains.contains_key(chain) {
            batch.remove_chain(chain);
        }
    }
    for (set, (_, elements)) in &wanted.sets {
        batch.add_elements(set, elements);
    }
    for (chain, rules) in wanted.chains {
        for rule in rules {
            batch.add_rule(&chain, rule);
        }
    }
    batch
}

fn base_rules() -> BTreeMap<String, Vec<Rule>> {
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
    let forward = vec![
        then(connection_is(ESTABLISHED_OR_RELATED), ACCEPT),
        then(connection_is(INVALID), DROP),
        verdict_by_address(End::Source, COMBINATIONS, EGRESS),
        then(mark_lacks(MARK_ALLOWED_OUT), DROP),
        then(leaves_by(UPLINK_INDEX), ACCEPT),
        verdict_by_address(End::Destination, COMBINATIONS, INGRESS),
    ];
    let mut masquerade_uplink = leaves_by(UPLINK_INDEX);
    masquerade_uplink.push(masquerade());
    BTreeMap::from([
        ("prerouting".into(), prerouting),
        ("input".into(), vec![then(came_by(LOOPBACK_INDEX), ACCEPT)]),
        ("forward".into(), forward),
        ("postrouting".into(), vec![masquerade_uplink]),
    ])
}

fn number_combinations<'a>(
    interfaces: impl Iterator<Item = &'a InterfaceRecord>,
) -> BTreeMap<Combination, u32> {
    let distinct: BTreeSet<Combination> = interfaces
        .map(|interface| combination_of(&interface.spec))
        .collect();
    distinct.into_iter().zip(0..).collect()
}

fn combination_of(interface: &InterfaceSpec) -> Combination {
    interface.groups.iter().cloned().collect()
}

/// One direction of a combination: its chain and the element that leads there.
struct CombinationChain {
    map: &'static str,
    name: String,
    element: Element,
    rules: Vec<Rule>,
}

fn chains_of(vpc: &VpcSpec, combination: &Combination, number: u32) -> [CombinationChain; 2] {
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

fn add_combination(batch: &mut Batch, vpc: &VpcSpec, combination: &Combination, number: u32) {
    for chain in chains_of(vpc, combination, number) {
        batch.make_chain(&chain.name, None);
        for rule in chain.rules {
            batch.add_rule(&chain.name, rule);
        }
        batch.add_elements(chain.map, &[chain.element]);
    }
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

fn protocol_is(protocol: Protocol) -> Rule {
    const ICMP: u8 = libc::IPPROTO_ICMP as u8;
    const TCP: u8 = libc::IPPROTO_TCP as u8;
    const UDP: u8 = libc::IPPROTO_UDP as u8;
    match protocol {
        Protocol::All => vec![],
        Protocol::Tcp { from, to } => [transport_is(TCP), port_in(from, to)].concat(),
        Protocol::Udp { from, to } => [transport_is(UDP), port_in(from, to)].concat(),
        Protocol::Icmp => transport_is(ICMP),
        Protocol::Other(number) => transport_is(number),
    }
}

fn members_of(group: &str) -> String {
    format!("members-{group}")
}

fn link_and_address(index: u32, address: Ipv4Addr) -> Vec<u8> {
    [index.to_ne_bytes(), address.octets()].concat()
}

/// Every set element that an interface is.
fn elements_of(interface: &InterfaceRecord, combination: u32) -> Vec<(String, Element)> {
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
