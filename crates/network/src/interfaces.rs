//! Interfaces: a namespace each, joined to its network by one veth pair.
//!
//! ```text
//! interface's namespace                     network's namespace
//! eth0  10.0.1.7/24, no route to it  ◄────► i1000
//! default via the subnet's first address    10.0.1.7/32 dev i1000
//! ```
//!
//! Several interfaces, of different networks, may be in one namespace as `eth0`, `eth1` and so on; then
//! `shared.rs` says which of them is the way to everywhere.
//!
//! All that leaves the interface goes to the network's namespace, packets to its own subnet too, so
//! that every one of them passes the rules. Both sides know the other's MAC, so there is no ARP.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

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
pub(crate) const ETH0_INDEX: u32 = 100;
/// How often the next link index may turn out to be taken by a link that the kernel is still
/// removing.
const INDEX_ATTEMPTS_MAX: u32 = 10_000;

impl Vpc {
    /// Makes an interface, or changes its groups, its names, its published ports or its `public`.
    pub fn attach(
        &mut self,
        place: &Place,
        home: Option<&Home>,
        spec: InterfaceSpec,
    ) -> Result<()> {
        let range = self.check(&spec)?;
        let pin = home.map_or(&place.pin, |it| &it.pin);
        match self.interfaces.get(&spec.id).cloned() {
            Some(old) if namespaces::is_pinned(pin) => self.change(place, old, spec),
            Some(_) => {
                self.detach(place, &spec.id)?;
                self.make_interface(place, home, spec, range)
            }
            None => self.make_interface(place, home, spec, range),
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
        if vpc.machine == Some(spec.address) {
            return Err(EngineError::conflict(format!(
                "address `{}` is the machine's own in network `{}`",
                spec.address, vpc.id
            )));
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
            aliases: Default::default(),
            public: false,
            published: vec![],
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
            number: old.number,
        };
        let put = self
            .firewall
            .put_interface(&self.record.spec, Some(&old), &new);
        self.remember(&new);
        self.or_converge(put)?;
        records::write(&place.record, &new)
    }

    fn make_interface(
        &mut self,
        place: &Place,
        home: Option<&Home>,
        spec: InterfaceSpec,
        range: Ipv4Net,
    ) -> Result<()> {
        // A half-made one may be left from before.
        place.clear()?;
        home.map_or(Ok(()), Home::clear)?;
        let id = spec.id.clone();
        let made = self.join(place, home, spec, range);
        if made.is_err() {
            self.detach(place, &id)?;
            home.map_or(Ok(()), Home::clear)?;
        }
        made
    }

    fn join(
        &mut self,
        place: &Place,
        home: Option<&Home>,
        spec: InterfaceSpec,
        range: Ipv4Net,
    ) -> Result<()> {
        let (namespace, mut inside) = match home {
            None => make_namespace(&place.pin)?,
            Some(home) => namespaces::enter(&namespaces::open(&home.pin)?, || {
                Ok((namespaces::own()?, Links::open()?))
            })?,
        };
        let number = home.map_or(0, |it| it.number);
        let index = self.make_link(namespace.as_raw_fd(), &spec, number)?;
        let (link, gateway) = (ETH0_INDEX + number, router_of(range));
        let mut requests = vec![
            links::set_up(LOOPBACK_INDEX),
            links::set_up(link),
            links::add_address(link, spec.address, range.prefix_len()),
            links::add_neighbour(link, gateway, ROUTER_MAC),
        ];
        // Who is alone in its namespace needs no other way.
        requests.push(match home {
            None => links::add_default_route(link, gateway),
            Some(_) => links::add_range_route(link, range.trunc(), gateway, spec.address),
        });
        inside.change(requests)?;
        if let Some(resolver) = self.resolver_on_the_loopback() {
            allow_loopback_by_link(&namespace, number)?;
            if home.is_none() {
                let own = spec.address;
                inside.change(vec![links::add_loopback_route(
                    link, resolver, gateway, own,
                )])?;
            }
        }
        self.links.wait_until_usable(index)?;
        let new = InterfaceRecord {
            spec,
            index,
            number,
        };
        let put = self.firewall.put_interface(&self.record.spec, None, &new);
        self.remember(&new);
        self.or_converge(put)?;
        records::write(&place.record, &new)
    }

    /// Where interfaces look for the resolver, if that is an address of their own loopback.
    pub fn resolver_on_the_loopback(&self) -> Option<Ipv4Addr> {
        let resolver = self.record.spec.resolver.as_ref()?;
        resolver.at.filter(Ipv4Addr::is_loopback)
    }

    /// Makes the veth pair and this side's route to it. Returns the link's index here.
    fn make_link(&mut self, namespace: i32, spec: &InterfaceSpec, number: u32) -> Result<u32> {
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
                        name: &format!("eth{number}"),
                        index: Some(ETH0_INDEX + number),
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
                resolver.set_others(old.spec.address, Vec::new());
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
            if old.spec.namespace.is_some() {
                // The namespace stays, and would keep its end.
                match self.links.change(vec![links::remove_link(old.index)]) {
                    Err(error) if error.is(Errno::ENODEV) => {}
                    done => done?,
                }
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

/// The namespace that an interface is put into beside others, and which of its links it becomes.
pub(crate) struct Home {
    pub pin: PathBuf,
    pub number: u32,
}

impl Home {
    /// Takes away the link that it would be.
    fn clear(&self) -> Result<()> {
        let mut inside = namespaces::enter(&namespaces::open(&self.pin)?, || Ok(Links::open()?))?;
        let name = format!("eth{}", self.number);
        if let Some(index) = inside.index_of(&name)? {
            inside.change(vec![links::remove_link(index)])?;
        }
        Ok(())
    }
}

/// Makes a namespace for interfaces.
pub(crate) fn make_namespace(pin: &Path) -> Result<(File, Links)> {
    namespaces::make(pin, || {
        disable_ipv6("default");
        Ok((namespaces::own()?, Links::open()?))
    })
}

/// Lets an interface's namespace send to an address of its loopback by the link, and take the answers.
/// Nobody but the network's side is on the link, and it sends none but the resolver's.
fn allow_loopback_by_link(namespace: &File, number: u32) -> Result<()> {
    namespaces::enter(namespace, || {
        let switch = format!("/proc/sys/net/ipv4/conf/eth{number}/route_localnet");
        std::fs::write(&switch, "1")
            .map_err(|error| EngineError::machine(format!("cannot set `{switch}`")).because(error))
    })
}

/// The name of the network's side of an interface's link.
pub(crate) fn link_name(index: u32) -> String {
    format!("i{index}")
}

/// A subnet's router has its first address.
pub(crate) fn router_of(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).wrapping_add(1))
}
