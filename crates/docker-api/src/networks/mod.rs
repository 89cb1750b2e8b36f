//! Networks: each is a network of the engine's with one subnet, in which everybody may speak with
//! everybody, the machine too, and a way out unless it is internal. A build's networks do not have the
//! machine as a neighbour.
//!
//! A container has a namespace, and in it an interface of each network that it is in (`plug.rs`); one that
//! is alone has none. `ranges.rs` says which ranges networks have, `requests.rs` what clients ask for.
//!
//! Containers of a network that somebody made find each other by name: its resolver knows each interface's
//! names. Those that brought name servers of their own have their neighbours in their hosts files, which
//! are written anew whenever one starts or ends.

mod links;
mod options;
mod plug;
mod ranges;
mod requests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;

use engine::{
    GroupRule, GroupSpec, Peer, Protocol, ResolverSpec, Result, RouteSpec, RouteTableSpec,
    RouteTarget, SubnetSpec, VpcSpec,
};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Refusal;
use crate::clock::now_ms;
use crate::containers::{
    Endpoint, EndpointRequest, HostConfig, Joined, NetworkingConfig, is_plain, parse_mac,
};
use crate::disk::{self, random_id};
use crate::docker::Docker;

pub use plug::Place;
pub use requests::{builtin_id, route};

/// The default network. Each engine has its own: containers of a build are nobody's neighbours.
pub const BRIDGE: &str = "bridge";
const BRIDGE_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16);
/// A container may be in as many networks: each is a link in its namespace.
const NETWORKS_OF_CONTAINER_MAX: usize = 50;
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
    /// Somebody asked for this very range; otherwise it may be another, when something else on the machine
    /// has taken it while the network was not there.
    #[serde(default)]
    pub range_asked_for: bool,
    #[serde(default)]
    pub plan: Plan,
    /// Of its driver, as they were asked for.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// What was asked for about the addresses of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The machine's. None: the subnet's first.
    pub gateway: Option<Ipv4Addr>,
    /// Where containers' addresses are from that ask for none.
    pub range: Option<Ipv4Net>,
    /// Of others, which no container gets.
    pub others: BTreeMap<String, Ipv4Addr>,
}

pub struct Networks {
    directory: PathBuf,
    all: Mutex<BTreeMap<String, NetworkRecord>>,
    /// Held while an address or a range is chosen and taken.
    addressing: tokio::sync::Mutex<()>,
}

/// Whether the machine is in a network, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    Neighbour,
    Stranger,
}

impl NetworkRecord {
    fn vpc(&self, machine: Machine) -> VpcSpec {
        let way_out = RouteSpec {
            destination: EVERYWHERE,
            target: RouteTarget::NatGateway,
        };
        let rule = GroupRule {
            protocol: Protocol::All,
            peer: Peer::Range(EVERYWHERE),
        };
        VpcSpec {
            id: vpc_id(&self.id),
            ranges: vec![self.subnet],
            subnets: vec![SubnetSpec {
                id: SUBNET.to_owned(),
                range: self.subnet,
                route_table: ROUTES.to_owned(),
            }],
            route_tables: vec![RouteTableSpec {
                id: ROUTES.to_owned(),
                routes: if self.internal { vec![] } else { vec![way_out] },
            }],
            groups: vec![GroupSpec {
                id: GROUP.to_owned(),
                ingress: vec![rule.clone()],
                egress: vec![rule],
            }],
            guards: vec![],
            resolver: self.has_names().then(|| self.resolver()),
            machine: (machine == Machine::Neighbour).then(|| self.gateway()),
            behind: None,
            unknown: vec![],
        }
    }

    /// As in docker, names are known in networks that somebody made.
    fn has_names(&self) -> bool {
        self.name != BRIDGE
    }

    fn resolver(&self) -> ResolverSpec {
        ResolverSpec {
            at: Some(RESOLVER),
            interface_domain: Some(self.name.clone()).filter(|it| is_plain(it)),
            // As docker has it: names without a dot are looked for as they are.
            options: vec!["ndots:0".to_owned()],
            ..ResolverSpec::default()
        }
    }

    pub fn gateway(&self) -> Ipv4Addr {
        self.plan.gateway.unwrap_or_else(|| self.first())
    }

    /// Where interfaces send what is not for themselves: no container's.
    fn first(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet.network()) + 1)
    }

    /// Whether no container gets an address, not even one that asks for it.
    fn is_reserved(&self, address: &Ipv4Addr) -> bool {
        [self.gateway(), self.first()].contains(address)
            || self.plan.others.values().any(|it| it == address)
    }
}

fn vpc_id(network: &str) -> String {
    format!("docker-{}", &network[..12])
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
                range_asked_for: false,
                plan: Plan::default(),
                options: BTreeMap::new(),
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

    fn forget(&self, id: &str) -> Result<()> {
        disk::remove(&self.directory.join(format!("{id}.json")))?;
        self.all.lock().expect("no holder panics").remove(id);
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
}

impl Docker {
    /// Where a container that is asked for is to be.
    pub(crate) fn joined(
        &self,
        host: &HostConfig,
        networking: &NetworkingConfig,
        mac: &str,
    ) -> Result<Joined, Refusal> {
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
        let mut all = self.endpoints_of(mode, networking)?;
        if !mac.is_empty() {
            all[0].mac = all[0].mac.or(Some(mac_of(mac)?));
        }
        links::check(&host.links)?;
        let is_bridge = |it: &Endpoint| {
            self.networks
                .get(&it.network)
                .is_some_and(|it| it.name == BRIDGE)
        };
        if all.first().is_some_and(is_bridge) {
            self.check_linked(&host.links)?;
        }
        Ok(Joined::Network(all))
    }

    /// The network that a container is in first, and those that it is in besides, by name.
    fn endpoints_of(
        &self,
        mode: &str,
        networking: &NetworkingConfig,
    ) -> Result<Vec<Endpoint>, Refusal> {
        if networking.endpoints_config.len() > NETWORKS_OF_CONTAINER_MAX {
            return Err(Refusal::bad(format!(
                "a container may be in {NETWORKS_OF_CONTAINER_MAX} networks"
            )));
        }
        let mut asked: Vec<(NetworkRecord, EndpointRequest)> = Vec::new();
        for (name, request) in &networking.endpoints_config {
            let name = if name == "default" { BRIDGE } else { name };
            let network = self.networks.find(name)?;
            if asked.iter().any(|it| it.0.id == network.id) {
                return Err(Refusal::bad(format!(
                    "the network {} is named twice",
                    network.name
                )));
            }
            asked.push((network, request.clone()));
        }
        // Clients name the network in both places; names in the second alone are meant as well.
        let mode = match asked.first() {
            Some((first, _)) if mode == BRIDGE => {
                let names_it = asked.iter().any(|it| it.0.name == BRIDGE);
                if names_it {
                    BRIDGE
                } else {
                    first.name.as_str()
                }
            }
            _ => mode,
        };
        let first = self.networks.find(mode)?;
        let at = asked.iter().position(|it| it.0.id == first.id);
        let request = at.map(|it| asked.remove(it).1).unwrap_or_default();
        let mut all = vec![endpoint(&first, request)?];
        for (network, request) in asked {
            all.push(endpoint(&network, request)?);
        }
        Ok(all)
    }
}

fn mac_of(text: &str) -> Result<[u8; 6], Refusal> {
    parse_mac(text).ok_or_else(|| Refusal::bad(format!("invalid MAC address: {text}")))
}

fn endpoint(network: &NetworkRecord, request: EndpointRequest) -> Result<Endpoint, Refusal> {
    links::check(&request.links)?;
    let priority = request.rest.get("GwPriority").and_then(Value::as_i64);
    if let Some(priority) = priority.filter(|it| *it != 0) {
        return Err(Refusal::not_built(format!(
            "`GwPriority` ({priority}) in a network"
        )));
    }
    // What its driver has a meaning for begins so; everything else is kept for who asks for it again.
    let mut meant = request.driver_opts.iter();
    if let Some((name, value)) = meant.find(|it| it.0.starts_with("com.docker.network.")) {
        return Err(Refusal::not_built(format!(
            "the option `{name}` ({value}) in a network"
        )));
    }
    let mac = request.rest.get("MacAddress").and_then(Value::as_str);
    let mac = mac.filter(|it| !it.is_empty()).map(mac_of).transpose()?;
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
        mac,
        driver_opts: request.driver_opts,
    })
}

impl Docker {
    /// Takes all networks off the machine. Their records stay.
    pub(crate) async fn remove_networks(&self) -> Result<()> {
        for network in self.networks.all() {
            self.network.remove_vpc(&vpc_id(&network.id)).await?;
        }
        Ok(())
    }
}
