//! Networks: each is a network of the engine's with one subnet, in which everybody may speak with
//! everybody, and a way out unless it is internal. It is made when its first container starts.
//!
//! Containers of a network that somebody made find each other by name: its resolver knows each interface's
//! names. Those that brought name servers of their own have their neighbours in their hosts files, which
//! are written anew whenever one starts or ends.

mod links;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;

use engine::{
    GroupRule, GroupSpec, InterfaceSpec, Peer, Protocol, ResolverSpec, Result, RouteSpec,
    RouteTableSpec, RouteTarget, SubnetSpec, VpcSpec,
};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Refusal;
use crate::clock::now_ms;
use crate::containers::{
    Container, Endpoint, EndpointRequest, HostConfig, Joined, NetworkingConfig, Record, is_plain,
};
use crate::disk::{self, random_id};
use crate::docker::Docker;

pub use requests::route;

/// The default network. Each engine has its own: containers of a build are nobody's neighbours.
pub const BRIDGE: &str = "bridge";
const BRIDGE_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16);
/// Whose containers are alone: a network of the engine's in which nobody may speak.
const ALONE: &str = "docker-none";
const ALONE_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15);
/// Where containers find the resolver of a network that has names.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
const GROUP: &str = "all";
const ROUTES: &str = "main";
const SUBNET: &str = "subnet";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub id: String,
    pub name: String,
    pub created_ms: i64,
    pub subnet: Ipv4Net,
    pub internal: bool,
    pub attachable: bool,
    pub labels: BTreeMap<String, String>,
}

pub struct Networks {
    directory: PathBuf,
    all: Mutex<BTreeMap<String, NetworkRecord>>,
    /// Held while an address is chosen and taken.
    addressing: tokio::sync::Mutex<()>,
}

impl NetworkRecord {
    fn vpc(&self) -> VpcSpec {
        let way_out = RouteSpec {
            destination: EVERYWHERE,
            target: RouteTarget::NatGateway,
        };
        let mut vpc = vpc(
            &vpc_id(&self.id),
            self.subnet,
            if self.internal { vec![] } else { vec![way_out] },
            true,
        );
        vpc.resolver = self.has_names().then(|| self.resolver());
        vpc
    }

    /// As in docker, names are known in networks that somebody made.
    fn has_names(&self) -> bool {
        self.name != BRIDGE
    }

    fn resolver(&self) -> ResolverSpec {
        ResolverSpec {
            at: Some(RESOLVER),
            interface_domain: Some(self.name.clone()),
            // As docker has it: names without a dot are looked for as they are.
            options: vec!["ndots:0".to_owned()],
            ..ResolverSpec::default()
        }
    }

    fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet.network()) + 1)
    }
}

fn vpc_id(network: &str) -> String {
    format!("docker-{}", &network[..12])
}

fn vpc(id: &str, range: Ipv4Net, routes: Vec<RouteSpec>, open: bool) -> VpcSpec {
    let rule = GroupRule {
        protocol: Protocol::All,
        peer: Peer::Range(EVERYWHERE),
    };
    let rules = if open { vec![rule] } else { vec![] };
    VpcSpec {
        id: id.to_owned(),
        ranges: vec![range],
        subnets: vec![SubnetSpec {
            id: SUBNET.to_owned(),
            range,
            route_table: ROUTES.to_owned(),
        }],
        route_tables: vec![RouteTableSpec {
            id: ROUTES.to_owned(),
            routes,
        }],
        groups: vec![GroupSpec {
            id: GROUP.to_owned(),
            ingress: rules.clone(),
            egress: rules,
        }],
        resolver: None,
    }
}

impl Networks {
    pub fn open(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "json")
                && let Some(network) = disk::read_json::<NetworkRecord>(&path)
            {
                all.insert(network.id.clone(), network);
            }
        }
        let networks = Self {
            directory,
            all: Mutex::new(all),
            addressing: tokio::sync::Mutex::default(),
        };
        if !networks.all().iter().any(|it| it.name == BRIDGE) {
            networks.insert(NetworkRecord {
                id: random_id(),
                name: BRIDGE.to_owned(),
                created_ms: now_ms(),
                subnet: BRIDGE_RANGE,
                internal: false,
                attachable: false,
                labels: BTreeMap::new(),
            })?;
        }
        Ok(networks)
    }

    fn insert(&self, network: NetworkRecord) -> Result<()> {
        disk::write_json(
            &self.directory.join(format!("{}.json", network.id)),
            &network,
        )?;
        let mut all = self.all.lock().expect("no holder panics");
        all.insert(network.id.clone(), network);
        Ok(())
    }

    fn all(&self) -> Vec<NetworkRecord> {
        self.all
            .lock()
            .expect("no holder panics")
            .values()
            .cloned()
            .collect()
    }

    pub fn get(&self, id: &str) -> Option<NetworkRecord> {
        self.all.lock().expect("no holder panics").get(id).cloned()
    }

    /// By name, id, or the beginning of an id.
    pub fn find(&self, text: &str) -> Result<NetworkRecord, Refusal> {
        let all = self.all();
        let exact = all.iter().find(|it| it.name == text || it.id == text);
        let found = exact.or_else(|| {
            let mut matching = all
                .iter()
                .filter(|it| text.len() >= 4 && it.id.starts_with(text));
            let first = matching.next();
            first.filter(|_| matching.next().is_none())
        });
        found
            .cloned()
            .ok_or_else(|| Refusal::not_found(format!("network {text} not found")))
    }

    /// A range that no other network has: docker's own, in its order.
    fn free_range(&self) -> Result<Ipv4Net, Refusal> {
        let taken: Vec<Ipv4Net> = self.all().iter().map(|it| it.subnet).collect();
        let first = (18..32).map(|b| Ipv4Net::new_assert(Ipv4Addr::new(172, b, 0, 0), 16));
        let second = (0..16).map(|c| Ipv4Net::new_assert(Ipv4Addr::new(192, 168, c * 16, 0), 20));
        let third = (0..=255).map(|b| Ipv4Net::new_assert(Ipv4Addr::new(10, b, 0, 0), 16));
        let mut ranges = first.chain(second).chain(third);
        ranges
            .find(|range| !taken.iter().any(|it| overlap(it, range)))
            .ok_or_else(|| {
                Refusal::failed("all predefined address pools have been fully subnetted")
            })
    }
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

impl Docker {
    /// Where a container that is asked for is to be.
    pub(crate) fn joined(
        &self,
        host: &HostConfig,
        networking: &NetworkingConfig,
    ) -> Result<Joined, Refusal> {
        let endpoints = &networking.endpoints_config;
        let mode = match host.network_mode.as_str() {
            "" | "default" => BRIDGE,
            mode => mode,
        };
        match mode {
            "host" => {
                self.policy().allow("the host's network")?;
                return Ok(Joined::Host);
            }
            "none" => return Ok(Joined::None),
            _ => {}
        }
        if let Some(other) = mode.strip_prefix("container:") {
            let other = self.containers.find(other)?;
            return Ok(Joined::Container(other.record().id));
        }
        // Clients name the network in both places; a name in the second alone is meant as well.
        let only = match (mode, endpoints.len()) {
            (BRIDGE, 1) => endpoints.keys().next().filter(|it| *it != "default"),
            _ => None,
        };
        let name = only.map_or(mode, String::as_str);
        let network = self.networks.find(name)?;
        let is_it = |key: &String| {
            *key == network.name || network.id.starts_with(key.as_str()) || key == "default"
        };
        if let Some(other) = endpoints.keys().find(|it| !is_it(it)) {
            return Err(in_more_than_one(other));
        }
        let request = endpoints.iter().find(|it| is_it(it.0)).map(|it| it.1);
        let endpoint = endpoint(&network, request.cloned().unwrap_or_default())?;
        links::check(&host.links)?;
        if network.name == BRIDGE {
            self.check_linked(&host.links)?;
        }
        Ok(Joined::Network(Some(endpoint)))
    }
}

fn in_more_than_one(network: &str) -> Refusal {
    Refusal::not_built(format!(
        "a container in more than one network (`{network}` besides its own)"
    ))
}

fn endpoint(network: &NetworkRecord, request: EndpointRequest) -> Result<Endpoint, Refusal> {
    links::check(&request.links)?;
    for name in ["MacAddress", "DriverOpts", "GwPriority"] {
        let value = request.rest.get(name).unwrap_or(&Value::Null);
        let is_nothing = value.as_str() == Some("")
            || value.as_i64() == Some(0)
            || value.as_object().is_some_and(|it| it.is_empty());
        if !value.is_null() && !is_nothing {
            return Err(Refusal::not_built(format!(
                "`{name}` ({value}) in a network"
            )));
        }
    }
    let mut fixed = None;
    for (name, value) in &request.ipam {
        match (name.as_str(), value.as_str()) {
            ("IPv4Address", Some(text)) if !text.is_empty() => {
                let address: Ipv4Addr = text
                    .parse()
                    .map_err(|_| Refusal::bad(format!("invalid IPv4 address: {text}")))?;
                if !network.subnet.contains(&address) {
                    return Err(Refusal::bad(format!(
                        "no configured subnet contains IP address {address}"
                    )));
                }
                fixed = Some(address);
            }
            ("IPv6Address", Some(text)) if !text.is_empty() => {
                return Err(Refusal::not_built("IPv6 addresses"));
            }
            (_, Some("")) => {}
            _ if value.as_array().is_some_and(|it| it.is_empty()) => {}
            _ => {
                return Err(Refusal::not_built(format!(
                    "`{name}` ({value}) in a network"
                )));
            }
        }
    }
    if let Some(alias) = request.aliases.iter().find(|it| !is_plain(it)) {
        return Err(Refusal::bad(format!("invalid alias: {alias}")));
    }
    Ok(Endpoint {
        network: network.id.clone(),
        aliases: request.aliases,
        links: request.links,
        fixed,
        address: None,
    })
}

/// Where a container's processes are, for as long as it runs.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// None: the machine's own namespace.
    pub interface: Option<String>,
    pub address: Option<Ipv4Addr>,
}

impl Docker {
    /// The network of those that are alone, which is a build's own, too.
    fn alone(&self) -> String {
        let bridge = self
            .networks
            .find(BRIDGE)
            .ok()
            .filter(|_| self.scope.is_some());
        bridge.map_or_else(
            || ALONE.to_owned(),
            |it| format!("{ALONE}-{}", &it.id[..12]),
        )
    }

    /// Takes all networks off the machine. Their records stay.
    pub(crate) async fn remove_networks(&self) -> Result<()> {
        for network in self.networks.all() {
            self.network.remove_vpc(&vpc_id(&network.id)).await?;
        }
        self.network.remove_vpc(&self.alone()).await
    }

    /// Makes a container's interface. Made again, it is the same.
    pub(crate) async fn plug(&self, container: &Container) -> Result<Place, Refusal> {
        let record = container.record();
        let (vpc, subnet, fixed) = match &record.joined {
            Joined::Host => return Ok(Place::default()),
            Joined::Container(other) => {
                let other = self.containers.find(other)?.record();
                if !other.is_running() {
                    return Err(Refusal::conflict(format!(
                        "cannot join network namespace of a non running container: {}",
                        other.name
                    )));
                }
                let interface = match other.joined {
                    Joined::Host => None,
                    Joined::Container(_) => {
                        return Err(Refusal::not_built("sharing a network that is shared"));
                    }
                    _ => Some(other.task()),
                };
                return Ok(Place {
                    interface,
                    address: None,
                });
            }
            Joined::None | Joined::Network(None) => (
                vpc(&self.alone(), ALONE_RANGE, vec![], false),
                ALONE_RANGE,
                None,
            ),
            Joined::Network(Some(endpoint)) => {
                let network = self.networks.get(&endpoint.network).ok_or_else(|| {
                    Refusal::not_found(format!("network {} not found", endpoint.network))
                })?;
                (network.vpc(), network.subnet, endpoint.fixed)
            }
        };
        let _addressing = self.networks.addressing.lock().await;
        let address = match fixed {
            Some(address) => address,
            None => self.free_address(&record, subnet)?,
        };
        let [a, b, c, d] = address.octets();
        let vpc_id = vpc.id.clone();
        self.network.apply_vpc(vpc).await?;
        let interface = InterfaceSpec {
            id: record.task(),
            vpc: vpc_id,
            subnet: SUBNET.to_owned(),
            address,
            mac: [0x02, 0x42, a, b, c, d],
            groups: vec![GROUP.to_owned()],
            public: false,
            names: record.names(),
        };
        self.network.attach(interface).await?;
        container.change(|record| {
            if let Joined::Network(Some(endpoint)) = &mut record.joined {
                endpoint.address = Some(address);
            }
        })?;
        Ok(Place {
            interface: Some(record.task()),
            address: Some(address),
        })
    }

    fn free_address(&self, record: &Record, subnet: Ipv4Net) -> Result<Ipv4Addr, Refusal> {
        let own = record.endpoint().and_then(|it| it.address);
        let all = self.containers.all();
        let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
        for other in all
            .iter()
            .map(|it| it.record())
            .filter(|it| it.id != record.id)
        {
            if let Some(endpoint) = other.endpoint() {
                taken.extend(endpoint.address);
                taken.extend(endpoint.fixed);
            }
        }
        if let Some(own) = own.filter(|it| subnet.contains(it) && !taken.contains(it)) {
            return Ok(own);
        }
        let gateway = Ipv4Addr::from(u32::from(subnet.network()) + 1);
        let is_alone = record.endpoint().is_none();
        // Nobody reaches one that is alone, so its address only has to differ.
        let first = if is_alone { random_offset(record) } else { 0 };
        let mut hosts = subnet.hosts().skip(first);
        hosts
            .find(|it| *it != gateway && !taken.contains(it))
            .ok_or_else(|| Refusal::failed("no available IPv4 addresses on this network"))
    }

    /// Takes a container's interface away.
    pub(crate) async fn unplug(&self, container: &Container) -> Result<()> {
        let record = container.record();
        if matches!(record.joined, Joined::Network(_) | Joined::None) {
            self.network.detach(&record.task()).await?;
        }
        if record.endpoint().is_some_and(|it| it.address.is_some()) {
            container.change(|record| {
                if let Joined::Network(Some(endpoint)) = &mut record.joined {
                    endpoint.address = None;
                }
            })?;
        }
        Ok(())
    }

    /// Addresses and names for a container's hosts file.
    pub(crate) fn hosts_of(&self, record: &Record) -> Vec<(String, String)> {
        let mut hosts = Vec::new();
        let mut add =
            |address: Ipv4Addr, name: &str| hosts.push((address.to_string(), name.to_owned()));
        if let Some(endpoint) = record.endpoint() {
            if let Some(address) = endpoint.address {
                add(address, &record.config.hostname);
            }
            let network = self.networks.get(&endpoint.network);
            let has_own_servers = !record.host.dns.is_empty();
            if has_own_servers && network.is_some_and(|it| it.has_names()) {
                for other in self.containers.all().iter().map(|it| it.record()) {
                    let Some(its) = other.endpoint().filter(|it| it.network == endpoint.network)
                    else {
                        continue;
                    };
                    let Some(address) = its.address else { continue };
                    other.names().iter().for_each(|it| add(address, it));
                }
            }
        }
        hosts.extend(self.hosts_of_links(record));
        for entry in &record.host.extra_hosts {
            if let Some((name, address)) = entry.split_once([':', '=']) {
                hosts.push((address.to_owned(), name.to_owned()));
            }
        }
        hosts
    }

    /// Tells running containers that ask name servers of their own, or are linked to others, what their
    /// neighbours are called.
    pub(crate) async fn tell_hosts(&self) {
        for container in self.containers.all() {
            let record = container.record();
            let has_own_servers = !record.host.dns.is_empty();
            let is_told = has_own_servers || record.links().next().is_some();
            if !record.is_running() || record.endpoint().is_none() || !is_told {
                continue;
            }
            let hosts = self.hosts_of(&record);
            if let Err(error) = self.tasks.set_hosts(&record.task(), hosts).await {
                tracing::debug!(
                    error = error.chain(),
                    container = record.id,
                    "cannot tell hosts"
                );
            }
        }
    }
}

fn random_offset(record: &Record) -> usize {
    usize::from_str_radix(&record.id[..4], 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap() {
        let folder = tempfile::tempdir().unwrap();
        let networks = Networks::open(folder.path().to_owned()).unwrap();
        let mut seen: Vec<Ipv4Net> = vec![networks.find(BRIDGE).unwrap().subnet];
        for number in 0..40 {
            let subnet = networks.free_range().unwrap();
            assert!(!seen.iter().any(|it| overlap(it, &subnet)), "{subnet}");
            seen.push(subnet);
            let mut network = networks.find(BRIDGE).unwrap();
            network.id = random_id();
            network.name = format!("n{number}");
            network.subnet = subnet;
            networks.insert(network).unwrap();
        }
        // They are there after a restart, too.
        let again = Networks::open(folder.path().to_owned()).unwrap();
        assert_eq!(again.all().len(), 41);
    }
}
