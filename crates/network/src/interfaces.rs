//! Interfaces: a namespace each, joined to its network by one veth pair.
//!
//! ```text
//! interface's namespace                     network's namespace
//! eth0  10.0.1.7/24, no route to it  ◄────► i1000
//! default via the subnet's first address    10.0.1.7/32 dev i1000
//! ```
//!
//! All that leaves the interface goes to the network's namespace, packets to its own subnet too, so
//! that every one of them passes the rules. Both sides know the other's MAC, so there is no ARP.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use engine::{EngineError, InterfaceSpec, Result};
use ipnet::Ipv4Net;
use nix::errno::Errno;

use crate::links::{self, LOOPBACK_INDEX, Links, VethEnd};
use crate::namespaces;
use crate::netlink::NetlinkError;
use crate::records::{self, InterfaceRecord};
use crate::vpc::{Place, Vpc, disable_ipv6};

/// The MAC of the network's side of every interface.
const ROUTER_MAC: [u8; 6] = [0x02, 0x6e, 0, 0, 0, 1];
/// `eth0`'s index in its namespace. Not 2: some machines have tunnel devices there in every
/// namespace.
const ETH0_INDEX: u32 = 100;
/// How often the next link index may turn out to be taken by a link that the kernel is still
/// removing.
const INDEX_ATTEMPTS_MAX: u32 = 10_000;

impl Vpc {
    /// Makes an interface, or changes its groups, its names or its `public`.
    pub fn attach(&mut self, place: &Place, spec: InterfaceSpec) -> Result<()> {
        let range = self.check(&spec)?;
        match self.interfaces.get(&spec.id).cloned() {
            Some(old) if namespaces::is_pinned(&place.pin) => self.change(place, old, spec),
            Some(_) => {
                self.detach(place, &spec.id)?;
                self.make_interface(place, spec, range)
            }
            None => self.make_interface(place, spec, range),
        }
    }

    /// What a specification needs is there. Returns the subnet's range.
    fn check(&self, spec: &InterfaceSpec) -> Result<Ipv4Net> {
        let vpc = &self.record.spec;
        let subnet = vpc
            .subnets
            .iter()
            .find(|subnet| subnet.id == spec.subnet)
            .ok_or_else(|| {
                EngineError::not_found(format!(
                    "subnet `{}` is not in network `{}`",
                    spec.subnet, vpc.id
                ))
            })?;
        if !subnet.range.contains(&spec.address) {
            return Err(EngineError::invalid(format!(
                "address `{}` is not in subnet `{}` (`{}`)",
                spec.address, subnet.id, subnet.range
            )));
        }
        for id in &spec.groups {
            if !vpc.groups.iter().any(|group| group.id == *id) {
                return Err(EngineError::not_found(format!(
                    "group `{id}` is not in network `{}`",
                    vpc.id
                )));
            }
        }
        match self.addresses.get(&spec.address) {
            Some(holder) if *holder != spec.id => Err(EngineError::conflict(format!(
                "address `{}` belongs to interface `{holder}`",
                spec.address
            ))),
            _ => Ok(subnet.range),
        }
    }

    fn change(&mut self, place: &Place, old: InterfaceRecord, spec: InterfaceSpec) -> Result<()> {
        if old.spec == spec {
            return Ok(());
        }
        let may_change = |spec: &InterfaceSpec| InterfaceSpec {
            groups: vec![],
            names: vec![],
            public: false,
            ..spec.clone()
        };
        if may_change(&old.spec) != may_change(&spec) {
            return Err(EngineError::conflict(format!(
                "interface `{}` exists with another network, subnet, address or mac",
                spec.id
            )));
        }
        let new = InterfaceRecord {
            spec,
            index: old.index,
        };
        let put = self
            .firewall
            .put_interface(&self.record.spec, Some(&old), &new);
        self.remember(&new);
        self.or_converge(put)?;
        records::write(&place.record, &new)
    }

    fn make_interface(&mut self, place: &Place, spec: InterfaceSpec, range: Ipv4Net) -> Result<()> {
        // A half-made one may be left from before.
        place.clear()?;
        let id = spec.id.clone();
        let made = self.join(place, spec, range);
        if made.is_err() {
            self.detach(place, &id)?;
        }
        made
    }

    fn join(&mut self, place: &Place, spec: InterfaceSpec, range: Ipv4Net) -> Result<()> {
        let (namespace, mut inside) = namespaces::make(&place.pin, || {
            disable_ipv6("default");
            Ok((namespaces::own()?, Links::open()?))
        })?;
        let index = self.make_link(namespace.as_raw_fd(), &spec)?;
        let gateway = router_of(range);
        inside.change(vec![
            links::set_up(LOOPBACK_INDEX),
            links::set_up(ETH0_INDEX),
            links::add_address(ETH0_INDEX, spec.address, range.prefix_len()),
            links::add_neighbour(ETH0_INDEX, gateway, ROUTER_MAC),
            links::add_default_route(ETH0_INDEX, gateway),
        ])?;
        if let Some(resolver) = self.resolver_on_the_loopback() {
            allow_loopback_by_link(&namespace)?;
            let own = spec.address;
            inside.change(vec![links::add_loopback_route(
                ETH0_INDEX, resolver, gateway, own,
            )])?;
        }
        self.links.wait_until_usable(index)?;
        let new = InterfaceRecord { spec, index };
        let put = self.firewall.put_interface(&self.record.spec, None, &new);
        self.remember(&new);
        self.or_converge(put)?;
        records::write(&place.record, &new)
    }

    /// Where interfaces look for the resolver, if that is an address of their own loopback.
    fn resolver_on_the_loopback(&self) -> Option<Ipv4Addr> {
        let resolver = self.record.spec.resolver.as_ref()?;
        resolver.at.filter(Ipv4Addr::is_loopback)
    }

    /// Makes the veth pair and this side's route to it. Returns the link's index here.
    fn make_link(&mut self, namespace: i32, spec: &InterfaceSpec) -> Result<u32> {
        for _ in 0..INDEX_ATTEMPTS_MAX {
            let index = self.next_index;
            self.next_index += 1;
            let made = self.links.change(vec![
                links::make_veth(
                    &VethEnd {
                        name: &link_name(index),
                        index: Some(index),
                        mac: ROUTER_MAC,
                    },
                    &VethEnd {
                        name: "eth0",
                        index: Some(ETH0_INDEX),
                        mac: spec.mac,
                    },
                    namespace,
                ),
                links::add_host_route(index, spec.address),
                links::add_neighbour(index, spec.address, spec.mac),
            ]);
            match made {
                Ok(()) => return Ok(index),
                Err(error) if error.is(Errno::EEXIST) || error.is(Errno::EBUSY) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::machine(format!(
            "no link index is free in network `{}`",
            spec.vpc
        )))
    }

    /// Removes an interface: its rules and route at once, its link with its namespace.
    pub fn detach(&mut self, place: &Place, id: &str) -> Result<()> {
        if let Some(old) = self.interfaces.remove(id) {
            self.addresses.remove(&old.spec.address);
            if let Some(resolver) = &self.resolver {
                resolver.remove(old.spec.address);
            }
            let removed = self.firewall.remove_interface(&old);
            self.or_converge(removed)?;
            match self
                .links
                .change(vec![links::remove_host_route(old.spec.address)])
            {
                Err(error) if error.is(Errno::ESRCH) => {}
                done => done?,
            }
        }
        place.clear()
    }

    /// Keeps an interface in mind.
    pub fn remember(&mut self, interface: &InterfaceRecord) {
        let id = &interface.spec.id;
        self.addresses.insert(interface.spec.address, id.clone());
        self.interfaces.insert(id.clone(), interface.clone());
        if let Some(resolver) = &self.resolver {
            resolver.put(&interface.spec);
        }
        self.next_index = self.next_index.max(interface.index + 1);
    }

    /// A small change is refused when the rules are not what they were believed to be: then all of
    /// them are written anew.
    fn or_converge(&mut self, changed: Result<(), NetlinkError>) -> Result<()> {
        if let Err(error) = changed {
            tracing::debug!(error = %error.source, "writing all packet rules anew");
            self.firewall
                .converge(&self.record.spec, self.interfaces.values())?;
        }
        Ok(())
    }
}

/// Lets an interface's namespace send to an address of its loopback by the link, and take the answers.
/// Nobody but the network's side is on the link, and it sends none but the resolver's.
fn allow_loopback_by_link(namespace: &File) -> Result<()> {
    namespaces::enter(namespace, || {
        let switch = "/proc/sys/net/ipv4/conf/eth0/route_localnet";
        std::fs::write(switch, "1")
            .map_err(|error| EngineError::machine(format!("cannot set `{switch}`")).because(error))
    })
}

/// The name of the network's side of an interface's link.
pub(crate) fn link_name(index: u32) -> String {
    format!("i{index}")
}

/// A subnet's router has its first address.
fn router_of(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).wrapping_add(1))
}
