//! Guards of subnets, as packet rules. They are asked before everything that knows connections.
//!
//! ```text
//! forward   from subnet A, to elsewhere ──► jump out-G
//!           to subnet A, from elsewhere ──► jump in-G
//!           out by the uplink, from subnet B to a passage through A ──► jump pass-A-…: in-G, then out-G
//!           in by the uplink, to subnet B from there                ──► the same
//! in-G      entry ──► return (allowed) or drop … else drop
//! ```
//!
//! The cost of a packet grows with the guarded subnets of its network and with the entries of its own guards,
//! and not with interfaces. A direction whose first entry lets everything pass makes no rule at all.

use std::collections::BTreeMap;

use engine::{Decision, GuardEntry, GuardSpec, Passage, VpcSpec};
use ipnet::Ipv4Net;

use crate::expressions::*;
use crate::ruleset::protocol_is;
use crate::uplink::UPLINK_INDEX;

/// A direction in which a guard is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Way {
    const BOTH: [Self; 2] = [Self::In, Self::Out];

    fn entries(self, guard: &GuardSpec) -> &[GuardEntry] {
        match self {
            Self::In => &guard.ingress,
            Self::Out => &guard.egress,
        }
    }

    /// The end of a packet that is in the subnet, and the other one, which entries speak of.
    fn ends(self) -> (End, End) {
        match self {
            Self::In => (End::Destination, End::Source),
            Self::Out => (End::Source, End::Destination),
        }
    }

    fn chain(self, guard: &GuardSpec) -> String {
        match self {
            Self::In => format!("in-{}", guard.id),
            Self::Out => format!("out-{}", guard.id),
        }
    }

    fn is_open(self, guard: &GuardSpec) -> bool {
        self.entries(guard).first().is_some_and(GuardEntry::is_open)
    }
}

/// What the chain that forwards begins with.
pub(crate) fn rules(vpc: &VpcSpec) -> Vec<Rule> {
    let mut rules = Vec::new();
    for guard in &vpc.guards {
        for way in Way::BOTH.into_iter().filter(|it| !it.is_open(guard)) {
            for range in guard.subnets.iter().filter_map(|it| range_of(vpc, it)) {
                let (inside, elsewhere) = way.ends();
                let mut rule = address_in_range(inside, range);
                rule.extend(address_outside(elsewhere, range));
                rule.push(jump(&way.chain(guard)));
                rules.push(rule);
            }
        }
        for (at, passage) in guard.passages.iter().enumerate() {
            rules.extend(ways_through(vpc, guard, at, passage));
        }
    }
    rules
}

/// A guard's own chains.
pub(crate) fn chains(vpc: &VpcSpec) -> BTreeMap<String, Vec<Rule>> {
    let mut chains = BTreeMap::new();
    for guard in &vpc.guards {
        for way in Way::BOTH.into_iter().filter(|it| !it.is_open(guard)) {
            chains.insert(way.chain(guard), entries(way, guard));
        }
        for (at, passage) in guard.passages.iter().enumerate() {
            for end in [End::Source, End::Destination] {
                let name = passage_chain(guard, at, end);
                chains.insert(name, through(guard, passage, end));
            }
        }
    }
    chains
}

fn range_of(vpc: &VpcSpec, subnet: &str) -> Option<Ipv4Net> {
    let found = vpc.subnets.iter().find(|it| it.id == subnet)?;
    Some(found.range.trunc())
}

fn entries(way: Way, guard: &GuardSpec) -> Vec<Rule> {
    let (_, peer) = way.ends();
    let rule = |entry: &GuardEntry| {
        let code = match entry.decision {
            Decision::Allow => RETURN,
            Decision::Deny => DROP,
        };
        let mut rule = address_in_range(peer, entry.peer.trunc());
        rule.extend(protocol_is(entry.protocol));
        rule.push(verdict(code));
        rule
    };
    let entries = way.entries(guard).iter().map(rule);
    entries.chain([vec![verdict(DROP)]]).collect()
}

/// The chain for what has this end outside the network.
fn passage_chain(guard: &GuardSpec, at: usize, outside: End) -> String {
    let way = match outside {
        End::Source => "back",
        End::Destination => "pass",
    };
    format!("{way}-{}-{at}", guard.id)
}

/// Packets through a subnet on their way out, and their answers on their way back.
fn ways_through(vpc: &VpcSpec, guard: &GuardSpec, at: usize, passage: &Passage) -> Vec<Rule> {
    let is_open = Way::BOTH.into_iter().all(|it| it.is_open(guard));
    let Some(from) = range_of(vpc, &passage.from).filter(|_| !is_open) else {
        return Vec::new();
    };
    let to = passage.to.trunc();
    let rule = |link: Rule, own: End, outside: End| {
        let ends = [address_in_range(own, from), address_in_range(outside, to)];
        let then = vec![jump(&passage_chain(guard, at, outside))];
        [link, ends.concat(), then].concat()
    };
    vec![
        rule(leaves_by(UPLINK_INDEX), End::Source, End::Destination),
        rule(came_by(UPLINK_INDEX), End::Destination, End::Source),
    ]
}

/// It enters the subnet that it passes through, and leaves it. Its addresses are those of both its ends all the way:
/// entries speak of the one that is not the gateway's.
fn through(guard: &GuardSpec, passage: &Passage, outside: End) -> Vec<Rule> {
    let elsewhere = passage.but.iter().map(|range| {
        let mut rule = address_in_range(outside, range.trunc());
        rule.push(verdict(RETURN));
        rule
    });
    let asked = Way::BOTH.into_iter().filter(|it| !it.is_open(guard));
    let asked = asked.map(|way| vec![jump(&way.chain(guard))]);
    elsewhere.chain(asked).collect()
}

/// One of the ports that answers come to, whatever system asks.
const AN_EPHEMERAL_PORT: u16 = 50_000;

/// Whether TCP connections to a port outside the network may be made through the guards of a subnet.
pub(crate) fn lets_tcp_out(vpc: &VpcSpec, subnet: &str, port: u16) -> bool {
    let Some(range) = range_of(vpc, subnet) else {
        return true;
    };
    let is_outside = |peer: &Ipv4Net| !vpc.ranges.iter().any(|own| own.contains(peer));
    let is_own = |peer: &Ipv4Net| peer.contains(&range);
    let lets = |guard: &GuardSpec, way: Way, port, is_peer: &dyn Fn(&Ipv4Net) -> bool| {
        lets_some_pass(way.entries(guard), port, is_peer)
    };
    vpc.guards.iter().all(|guard| {
        let stands_here = guard.subnets.iter().any(|it| it == subnet);
        let is_between = guard.passages.iter().any(|it| it.from == subnet);
        let out = || {
            lets(guard, Way::Out, port, &is_outside)
                && lets(guard, Way::In, AN_EPHEMERAL_PORT, &is_outside)
        };
        let through = || {
            lets(guard, Way::In, port, &is_own) && lets(guard, Way::Out, AN_EPHEMERAL_PORT, &is_own)
        };
        (!(stands_here || is_between) || out()) && (!is_between || through())
    })
}

/// Whether such a peer may be the other end of TCP to this port.
fn lets_some_pass(entries: &[GuardEntry], port: u16, is_peer: &dyn Fn(&Ipv4Net) -> bool) -> bool {
    let concerns = entries.iter().filter(|it| it.protocol.has_tcp_to(port));
    let mut denied: Vec<Ipv4Net> = Vec::new();
    for entry in concerns {
        let is_denied = denied.iter().any(|it| it.contains(&entry.peer));
        match entry.decision {
            Decision::Allow if is_peer(&entry.peer) && !is_denied => return true,
            Decision::Allow => {}
            Decision::Deny => denied.push(entry.peer),
        }
    }
    false
}
