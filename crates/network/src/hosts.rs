//! Whom networks have as their machine: this one, or the namespace of an interface
//! ([`engine::VpcSpec::behind`]), where the network's uplink is called `docker0`.
//!
//! ```text
//! container ─ eth0 │ veth │ network ─ uplink │ veth │ docker0 ─ interface's namespace ─ eth0 ─► its own network
//! 172.17.0.2                                        172.17.0.1                     10.0.1.7
//! ```
//!
//! What goes out has the interface's address from there on, so that its own network's rules hold for it. What
//! comes to a published port of one of its addresses goes to the container, by a map:
//!
//! ```text
//! prerouting, output   destination ∈ @own ──► protocol . port ──► @published ──► address . port
//! postrouting          came by docker0, or from 127.0.0.0/8 to there ──► masqueraded
//! ```

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use engine::{EngineError, InterfaceSpec, PublishedPort, PublishedProtocol, Result, VpcSpec};
use ipnet::Ipv4Net;
use netlink_packet_netfilter::nftables::{DataAttribute, InetHookNumber};

use crate::batch::{Batch, Element, HookPoint, Policy, SetKind};
use crate::expressions::*;
use crate::namespaces;
use crate::uplink::Host;

/// What the link to the network that is behind an interface is called, as Docker's.
pub(crate) const BRIDGE_LINK: &str = "docker0";
/// Addresses of the interface's namespace at which ports are published.
const OWN: &str = "own";
const PUBLISHED: &str = "published";
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

/// An interface that stands for the machine of a network.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub interface: String,
    pub address: Ipv4Addr,
    /// Of its namespace.
    pub pin: PathBuf,
}

/// The machine, and interfaces that stand for it.
pub(crate) struct Hosts {
    pub machine: Host,
    instance: String,
    fronts: BTreeMap<String, Host>,
}

impl Hosts {
    /// Opens the calling thread's namespace as the machine's.
    pub fn open(instance: String) -> Result<Self> {
        Ok(Self {
            machine: Host::open(instance.clone(), None)?,
            instance,
            fronts: BTreeMap::new(),
        })
    }

    /// The one whose network it is.
    pub fn of(&mut self, front: Option<&Front>) -> Result<&mut Host> {
        let Some(front) = front else {
            return Ok(&mut self.machine);
        };
        let instance = self.instance.clone();
        match self.fronts.entry(front.interface.clone()) {
            std::collections::btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                let namespace = namespaces::open(&front.pin)?;
                let opened =
                    namespaces::enter(&namespace, || Host::open(instance, Some(front.address)));
                Ok(place.insert(opened?))
            }
        }
    }

    /// Takes a network's uplink away.
    pub fn remove_uplink(&mut self, spec: &VpcSpec, block: u32) -> Result<()> {
        match &spec.behind {
            None => self.machine.remove_uplink(block),
            Some(interface) => match self.fronts.remove(interface) {
                Some(mut host) => host.remove_uplink(block),
                None => Ok(()),
            },
        }
    }
}

/// The rules in the namespace of an interface, but for the elements of its map.
pub(crate) fn make_rules(batch: &mut Batch, own: &[Ipv4Addr]) {
    let hook = |hook, priority| HookPoint {
        hook,
        priority,
        kind: "nat",
        policy: Policy::Accept,
    };
    batch.make_table();
    batch.make_set(OWN, SetKind::Addresses);
    batch.make_set(PUBLISHED, SetKind::PortToPlace);
    batch.empty_set(OWN);
    let elements: Vec<Element> = own
        .iter()
        .map(|it| Element {
            key: it.octets().to_vec(),
            value: None,
        })
        .collect();
    batch.add_elements(OWN, &elements);
    let to_published = [
        address_in_set(End::Destination, OWN),
        send_by_port(PUBLISHED),
    ]
    .concat();
    let from_loopback = [
        leaves_by_name(BRIDGE_LINK),
        address_in_range(End::Source, LOOPBACK),
        vec![masquerade()],
    ]
    .concat();
    let from_network = [came_by_name(BRIDGE_LINK), vec![masquerade()]].concat();
    let chains = [
        (
            "prerouting",
            hook(InetHookNumber::PreRouting, -100),
            vec![to_published.clone()],
        ),
        (
            "output",
            hook(InetHookNumber::LocalOut, -100),
            vec![to_published],
        ),
        (
            "postrouting",
            hook(InetHookNumber::PostRouting, 100),
            vec![from_network, from_loopback],
        ),
    ];
    for (chain, hook, rules) in chains {
        batch.make_chain(chain, Some(hook));
        batch.empty_chain(chain);
        for rule in rules {
            batch.add_rule(chain, rule);
        }
    }
}

/// Makes the map what these interfaces publish. An instance has some hundred containers at most, so that all
/// of it is written.
pub(crate) fn publish<'a>(batch: &mut Batch, interfaces: impl Iterator<Item = &'a InterfaceSpec>) {
    let elements: Vec<Element> = interfaces
        .flat_map(|it| {
            it.published
                .iter()
                .map(move |port| element(*port, it.address))
        })
        .collect();
    batch.empty_set(PUBLISHED);
    batch.add_elements(PUBLISHED, &elements);
}

fn element(port: PublishedPort, address: Ipv4Addr) -> Element {
    let protocol = match port.protocol {
        PublishedProtocol::Tcp => libc::IPPROTO_TCP,
        PublishedProtocol::Udp => libc::IPPROTO_UDP,
    } as u8;
    // Each part has four bytes, whatever it needs.
    let number = |port: u16| [&port.to_be_bytes()[..], &[0, 0]].concat();
    let key = [vec![protocol, 0, 0, 0], number(port.host_port)].concat();
    let value = [address.octets().to_vec(), number(port.port)].concat();
    Element {
        key,
        value: Some(DataAttribute::Value(value)),
    }
}

/// None of what an interface publishes is another's already.
pub(crate) fn expect_unpublished<'a>(
    spec: &InterfaceSpec,
    others: impl Iterator<Item = &'a InterfaceSpec>,
) -> Result<()> {
    let taken = |port: &PublishedPort, other: &InterfaceSpec| {
        let mut all = other.published.iter();
        other.id != spec.id
            && all.any(|it| (it.protocol, it.host_port) == (port.protocol, port.host_port))
    };
    for other in others {
        if let Some(port) = spec.published.iter().find(|it| taken(it, other)) {
            return Err(EngineError::conflict(format!(
                "Bind for 0.0.0.0:{} failed: port is already allocated",
                port.host_port
            )));
        }
    }
    Ok(())
}

/// Lets the namespace send from its loopback by the link, and take the answers. For a thread in it.
pub(crate) fn allow_loopback_by_link() -> Result<()> {
    let switch = Path::new("/proc/sys/net/ipv4/conf")
        .join(BRIDGE_LINK)
        .join("route_localnet");
    std::fs::write(&switch, "1").map_err(|error| {
        EngineError::machine(format!("cannot set `{}`", switch.display())).because(error)
    })
}
