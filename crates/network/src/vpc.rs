//! A network: a namespace that routes between its interfaces.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use engine::{EngineError, Result, VpcSpec};

use crate::firewall::Firewall;
use crate::links::{self, LOOPBACK_INDEX, Links};
use crate::namespaces;
use crate::records::{self, InterfaceRecord, VpcRecord};
use crate::resolver::{self, Resolver};
use crate::routing;
use crate::uplink::Host;

/// Link indexes of interfaces begin here, above all that a namespace has from birth.
pub(crate) const FIRST_INTERFACE_INDEX: u32 = 1000;

/// Where a thing's pin and its record are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub pin: PathBuf,
    pub record: PathBuf,
}

impl Place {
    pub fn of(directory: &Path, id: &str) -> Self {
        Self {
            pin: directory.join(id),
            // An id has no dot, so no other pin is named so.
            record: directory.join(format!("{id}.json")),
        }
    }

    /// Takes the namespace's pin and the record away.
    pub fn clear(&self) -> Result<()> {
        namespaces::unpin(&self.pin)?;
        records::remove(&self.record)
    }
}

/// A network that exists, with open sockets in its namespace.
pub(crate) struct Vpc {
    pub place: Place,
    pub record: VpcRecord,
    pub links: Links,
    pub firewall: Firewall,
    /// None while the network has none.
    pub resolver: Option<Resolver>,
    pub interfaces: BTreeMap<String, InterfaceRecord>,
    /// Which interface has an address.
    pub addresses: BTreeMap<Ipv4Addr, String>,
    pub next_index: u32,
}

impl Vpc {
    /// Makes the namespace. It has no rule and no route yet.
    pub fn make(place: Place, id: &str) -> Result<Self> {
        let made = namespaces::make(&place.pin, || {
            prepare_router()?;
            let mut links = Links::open()?;
            links.change(vec![links::set_up(LOOPBACK_INDEX)])?;
            Ok((links, Firewall::open()?))
        });
        let (links, firewall) = match made {
            Ok(made) => made,
            Err(error) => {
                place.clear()?;
                return Err(error);
            }
        };
        let spec = empty(id);
        let record = VpcRecord {
            spec,
            table_numbers: BTreeMap::new(),
            uplink: None,
        };
        Ok(Self::with(place, record, links, firewall))
    }

    /// Opens a network that an earlier daemon made; `None` when its namespace is gone.
    pub fn find(place: Place) -> Result<Option<Self>> {
        let Some(record) = records::read(&place.record) else {
            return Ok(None);
        };
        if !namespaces::is_pinned(&place.pin) {
            return Ok(None);
        }
        let (links, firewall) = namespaces::enter(&namespaces::open(&place.pin)?, || {
            Ok((Links::open()?, Firewall::open()?))
        })?;
        Ok(Some(Self::with(place, record, links, firewall)))
    }

    fn with(place: Place, record: VpcRecord, links: Links, firewall: Firewall) -> Self {
        Self {
            place,
            record,
            links,
            firewall,
            resolver: None,
            interfaces: BTreeMap::new(),
            addresses: BTreeMap::new(),
            next_index: FIRST_INTERFACE_INDEX,
        }
    }

    /// Makes the network what the specification says, whatever it was.
    pub fn converge(&mut self, host: &mut Host, spec: VpcSpec) -> Result<()> {
        self.refuse_loss(&spec)?;
        if self.record.uplink.is_some() && self.record.spec.behind != spec.behind {
            return Err(EngineError::conflict(format!(
                "the network `{}` is behind another interface",
                spec.id
            )));
        }
        let needs_uplink = routing::needs_uplink(&spec);
        let mut old_uplink = self.record.uplink;
        let neighbour = |spec: &VpcSpec| spec.machine.map(|it| (it, spec.ranges.clone()));
        if let Some(block) = old_uplink.filter(|_| neighbour(&spec) != neighbour(&self.record.spec))
        {
            // What the machine has of the old one goes with it.
            host.remove_uplink(block)?;
            old_uplink = None;
        }
        let mut record = VpcRecord {
            table_numbers: routing::number_tables(&spec, &self.record.table_numbers),
            uplink: None,
            spec,
        };
        if needs_uplink {
            let made = host.make_uplink(old_uplink, &mut self.links, &record.spec);
            record.uplink = Some(made?);
        }
        // The rules come first: there must be no route that they do not watch.
        self.firewall
            .converge(&record.spec, self.interfaces.values())?;
        routing::converge(&mut self.links, &record)?;
        self.converge_resolver(&record)?;
        records::write(&self.place.record, &record)?;
        self.record = record;
        self.publish(host)?;
        match old_uplink {
            Some(block) if !needs_uplink => host.remove_uplink(block),
            _ => Ok(()),
        }
    }

    /// Makes the ports that its interfaces publish lead to them.
    pub fn publish(&self, host: &mut Host) -> Result<()> {
        match self.record.spec.behind {
            Some(_) => host.publish(self.interfaces.values().map(|it| &it.spec)),
            None => Ok(()),
        }
    }

    fn converge_resolver(&mut self, record: &VpcRecord) -> Result<()> {
        let interfaces = self.interfaces.values().map(|it| &it.spec);
        let names = resolver::names(&record.spec, routing::has_way_out(&record.spec), interfaces);
        match (names, &self.resolver) {
            (Some(names), Some(resolver)) => resolver.set(names),
            (Some(names), None) => {
                self.resolver = Some(Resolver::start(&self.place.pin, names)?);
            }
            (None, _) => self.resolver = None,
        }
        Ok(())
    }

    /// A subnet or a group with interfaces in it must stay.
    fn refuse_loss(&self, spec: &VpcSpec) -> Result<()> {
        for (id, interface) in &self.interfaces {
            let interface = &interface.spec;
            let in_use = |kind, name: &str| {
                Err(EngineError::conflict(format!(
                    "{kind} `{name}` is in use by interface `{id}`"
                )))
            };
            let keeps_subnet = spec.subnets.iter().any(|subnet| {
                subnet.id == interface.subnet && subnet.range.contains(&interface.address)
            });
            if !keeps_subnet {
                return in_use("subnet", &interface.subnet);
            }
            let lost = interface
                .groups
                .iter()
                .find(|id| !spec.groups.iter().any(|group| group.id == **id));
            if let Some(group) = lost {
                return in_use("group", group);
            }
        }
        Ok(())
    }
}

/// A network with nothing in it.
pub(crate) fn empty(id: &str) -> VpcSpec {
    VpcSpec {
        id: id.to_owned(),
        ranges: vec![],
        subnets: vec![],
        route_tables: vec![],
        groups: vec![],
        guards: vec![],
        resolver: None,
        machine: None,
        behind: None,
        unknown: vec![],
    }
}

/// Sets the calling thread's namespace to route IPv4, and to speak no IPv6.
pub(crate) fn prepare_router() -> Result<()> {
    // A reverse-path check would ask the wrong table; the firewall knows every source's link.
    let switches = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // Neighbours are written down on both sides, and nobody asks for one. Whoever asks all the same is not
        // answered, since the kernel would remember who asked, in a table that all namespaces of the machine
        // share.
        ("ipv4/conf/all/arp_ignore", "8"),
    ];
    for (switch, value) in switches {
        fs::write(Path::new("/proc/sys/net").join(switch), value).map_err(|error| {
            EngineError::machine(format!("cannot set `net/{switch}`")).because(error)
        })?;
    }
    disable_ipv6("all");
    disable_ipv6("default");
    Ok(())
}

/// Switches IPv6 off for links, where the kernel has it at all.
pub(crate) fn disable_ipv6(links: &str) {
    let switch = format!("/proc/sys/net/ipv6/conf/{links}/disable_ipv6");
    if let Err(error) = fs::write(&switch, "1") {
        tracing::debug!(%switch, %error, "IPv6 is not switched off");
    }
}
