//! What a specification must be before anything is touched: ids become file and chain names, and
//! references must lead somewhere.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use engine::{EngineError, InterfaceSpec, Protocol, Result, VpcSpec};

use crate::ruleset::LINK_LOCAL;
use crate::uplink::INSTANCE_LENGTH_MAX;

/// Ids are file names and parts of the names of chains and sets, which the kernel limits to 255.
const ID_LENGTH_MAX: usize = 128;
/// Rules per group and direction. A packet is compared with each, one by one.
const RULES_MAX: usize = 1000;
/// Each route table takes two of the kernel's; this bounds what one request can make.
const ROUTE_TABLES_MAX: usize = 500;
/// Groups and subnets of one network, for the same reason.
const GROUPS_MAX: usize = 2500;
const SUBNETS_MAX: usize = 500;
/// Every packet of a guarded subnet is compared with each guard's subnet, and then with its entries.
const GUARDS_MAX: usize = SUBNETS_MAX;
const GUARD_ENTRIES_MAX: usize = 200;
/// Each is a pair of rules for every packet: a route of each subnet, at the most of AWS's quota of routes.
const PASSAGES_MAX: usize = 1000;

pub(crate) fn id(kind: &str, id: &str) -> Result<()> {
    let fits = !id.is_empty() && id.len() <= ID_LENGTH_MAX;
    if fits && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(());
    }
    Err(EngineError::invalid(format!(
        "the {kind} id `{id}` must be 1 to {ID_LENGTH_MAX} letters, digits and `-`"
    )))
}

pub(crate) fn instance(instance: &str) -> Result<()> {
    let fits = (1..=INSTANCE_LENGTH_MAX).contains(&instance.len());
    if fits && instance.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(EngineError::invalid(format!(
        "the instance tag `{instance}` must be 1 to {INSTANCE_LENGTH_MAX} letters and digits"
    )))
}

/// A tag for a daemon that is told apart by its state directory: the same each time, and another
/// for another directory.
pub fn instance_tag(state_directory: &Path) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // FNV-1a, which unlike the standard library's hash is the same in every version.
    let bytes = state_directory.as_os_str().as_bytes();
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut digit = || {
        let digit = DIGITS[(hash % 36) as usize];
        hash /= 36;
        char::from(digit)
    };
    (0..INSTANCE_LENGTH_MAX).map(|_| digit()).collect()
}

/// Where something is served beside interfaces: an address that no network can have.
pub(crate) fn beside(at: SocketAddrV4) -> Result<()> {
    if LINK_LOCAL.contains(at.ip()) && at.port() != 0 {
        return Ok(());
    }
    Err(EngineError::invalid(format!(
        "`{at}` must be an address of `{LINK_LOCAL}` with a port"
    )))
}

pub(crate) fn vpc(spec: &VpcSpec) -> Result<()> {
    id("network", &spec.id)?;
    at_most("route tables", spec.route_tables.len(), ROUTE_TABLES_MAX)?;
    at_most("groups", spec.groups.len(), GROUPS_MAX)?;
    at_most("subnets", spec.subnets.len(), SUBNETS_MAX)?;
    unique("subnet", spec.subnets.iter().map(|subnet| &subnet.id))?;
    unique(
        "route table",
        spec.route_tables.iter().map(|table| &table.id),
    )?;
    unique("group", spec.groups.iter().map(|group| &group.id))?;
    let resolver = spec.resolver.as_ref().and_then(|it| it.at);
    let is_theirs = |at: &Ipv4Addr| spec.ranges.iter().any(|range| range.contains(at));
    if let Some(at) = resolver.filter(|it| !it.is_loopback() && !is_theirs(it)) {
        return Err(EngineError::invalid(format!(
            "the resolver's address `{at}` is neither in the network's ranges nor a loopback's"
        )));
    }
    if let Some(machine) = spec.machine.filter(|it| !is_theirs(it)) {
        return Err(EngineError::invalid(format!(
            "the machine's address `{machine}` is not in the network's ranges"
        )));
    }
    if let Some(behind) = &spec.behind {
        id("interface", behind)?;
        if spec.machine.is_none() {
            return Err(EngineError::invalid(format!(
                "the network `{}` is behind `{behind}`, which has no address of it",
                spec.id
            )));
        }
    }
    for subnet in &spec.subnets {
        if !spec
            .ranges
            .iter()
            .any(|range| range.contains(&subnet.range))
        {
            return Err(EngineError::invalid(format!(
                "subnet `{}` (`{}`) is not in the network's ranges",
                subnet.id, subnet.range
            )));
        }
        if !spec
            .route_tables
            .iter()
            .any(|table| table.id == subnet.route_table)
        {
            return Err(EngineError::not_found(format!(
                "subnet `{}` names the route table `{}`, which is not in the network",
                subnet.id, subnet.route_table
            )));
        }
    }
    guards(spec)?;
    for group in &spec.groups {
        for rules in [&group.ingress, &group.egress] {
            at_most("rules of a group", rules.len(), RULES_MAX)?;
            for rule in rules {
                ports(&group.id, rule.protocol)?;
            }
        }
    }
    Ok(())
}

fn guards(spec: &VpcSpec) -> Result<()> {
    at_most("guards", spec.guards.len(), GUARDS_MAX)?;
    unique("guard", spec.guards.iter().map(|guard| &guard.id))?;
    let passages = spec.guards.iter().map(|guard| guard.passages.len()).sum();
    at_most("passages", passages, PASSAGES_MAX)?;
    for guard in &spec.guards {
        let passing = guard.passages.iter().map(|it| &it.from);
        let unknown = (guard.subnets.iter())
            .chain(passing)
            .find(|id| !spec.subnets.iter().any(|subnet| subnet.id == **id));
        if let Some(id) = unknown {
            return Err(EngineError::not_found(format!(
                "guard `{}` names the subnet `{id}`, which is not in the network",
                guard.id
            )));
        }
        for entries in [&guard.ingress, &guard.egress] {
            at_most("entries of a guard", entries.len(), GUARD_ENTRIES_MAX)?;
            for entry in entries {
                ports(&guard.id, entry.protocol)?;
            }
        }
    }
    Ok(())
}

fn ports(whose: &str, protocol: Protocol) -> Result<()> {
    match protocol {
        Protocol::Tcp { from, to } | Protocol::Udp { from, to } if from > to => {
            Err(EngineError::invalid(format!(
                "`{whose}` has the ports {from} to {to}, which is backwards"
            )))
        }
        _ => Ok(()),
    }
}

/// Names of one interface, and what each may be (RFC 1035's length).
const NAMES_MAX: usize = 100;
const NAME_LENGTH_MAX: usize = 253;

fn names(names: &[String]) -> Result<()> {
    at_most("names", names.len(), NAMES_MAX)?;
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    let fits = |it: &String| (1..=NAME_LENGTH_MAX).contains(&it.len()) && it.bytes().all(plain);
    match names.iter().find(|it| !fits(it)) {
        None => Ok(()),
        Some(name) => Err(EngineError::invalid(format!(
            "the name `{name}` must be 1 to {NAME_LENGTH_MAX} letters, digits, `-`, `_` and `.`"
        ))),
    }
}

/// Each is an element of a map.
const PUBLISHED_MAX: usize = 1000;

pub(crate) fn interface(spec: &InterfaceSpec) -> Result<()> {
    names(&spec.names)?;
    id("interface", &spec.id)?;
    at_most("published ports", spec.published.len(), PUBLISHED_MAX)?;
    let mut ports: Vec<_> = spec.published.iter().collect();
    ports.sort_by_key(|it| (it.protocol, it.host_port));
    ports.dedup_by_key(|it| (it.protocol, it.host_port));
    let has_no_number = |it: &&engine::PublishedPort| it.host_port == 0 || it.port == 0;
    if ports.len() < spec.published.len() || ports.iter().any(has_no_number) {
        return Err(EngineError::invalid(format!(
            "interface `{}` has a port published twice, or one without a number",
            spec.id
        )));
    }
    let is_multicast = spec.mac[0] & 1 == 1;
    if is_multicast || spec.mac == [0; 6] {
        return Err(EngineError::invalid(format!(
            "interface `{}` has a mac that no interface can have",
            spec.id
        )));
    }
    Ok(())
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(EngineError::invalid(format!(
        "a network may have {limit} {what}, not {count}"
    )))
}

fn unique<'a>(kind: &str, ids: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for one in ids {
        id(kind, one)?;
        if !seen.insert(one) {
            return Err(EngineError::invalid(format!(
                "the {kind} `{one}` is there twice"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_valid_stable_and_distinct() {
        let tag = instance_tag(Path::new("/var/lib/neargate"));
        instance(&tag).unwrap();
        assert_eq!(tag, instance_tag(Path::new("/var/lib/neargate")));
        assert_ne!(tag, instance_tag(Path::new("/var/lib/neargate2")));
    }

    #[test]
    fn ids_are_file_names_without_surprises() {
        for good in ["eni-0123456789abcdef0", "a"] {
            id("interface", good).unwrap();
        }
        let long = "x".repeat(ID_LENGTH_MAX + 1);
        for bad in ["", ".", "..", "a/b", "a.json", "a b", "é", &long] {
            assert!(id("interface", bad).is_err(), "{bad}");
        }
    }
}
