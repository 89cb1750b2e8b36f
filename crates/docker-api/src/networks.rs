//! Networks: each is a network of the engine's with one subnet, in which everybody may speak with
//! everybody, and a way out unless it is internal. It is made when its first container starts.
//!
//! Containers of a network find each other by name: their hosts files are written anew whenever one
//! starts or ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use engine::{
    GroupRule, GroupSpec, InterfaceSpec, Peer, Protocol, Result, RouteSpec, RouteTableSpec,
    RouteTarget, SubnetSpec, VpcSpec,
};
use http::{Method, StatusCode};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::clock::{now_ms, rfc3339};
use crate::containers::{
    Container, Endpoint, EndpointRequest, HostConfig, Joined, NetworkingConfig, Record,
};
use crate::disk::{self, random_id};
use crate::docker::Docker;
use crate::events::Event;
use crate::limits::NETWORKS_MAX;
use crate::policy::Policy;
use crate::routes::Call;

pub const BRIDGE: &str = "bridge";
/// Whose containers are alone: a network of the engine's in which nobody may speak.
const ALONE: &str = "docker-none";
const ALONE_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15);
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
    pub of_build: bool,
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
        vpc(
            &vpc_id(&self.id),
            self.subnet,
            if self.internal { vec![] } else { vec![way_out] },
            true,
        )
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
                subnet: Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16),
                internal: false,
                attachable: false,
                labels: BTreeMap::new(),
                of_build: false,
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

    /// By name, id, or the beginning of an id. A build sees the default network and its own.
    pub fn find(&self, text: &str, policy: Policy) -> Result<NetworkRecord, Refusal> {
        let mut all = self.all();
        all.retain(|it| policy.sees(it.of_build) || it.name == BRIDGE);
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
        policy: Policy,
    ) -> Result<Joined, Refusal> {
        let endpoints = &networking.endpoints_config;
        let mode = match host.network_mode.as_str() {
            "" | "default" => BRIDGE,
            mode => mode,
        };
        match mode {
            "host" => {
                policy.allow("the host's network")?;
                return Ok(Joined::Host);
            }
            "none" => return Ok(Joined::None),
            _ => {}
        }
        if let Some(other) = mode.strip_prefix("container:") {
            let other = self.containers.find(other, policy)?;
            return Ok(Joined::Container(other.record().id));
        }
        // Clients name the network in both places; a name in the second alone is meant as well.
        let only = match (mode, endpoints.len()) {
            (BRIDGE, 1) => endpoints.keys().next().filter(|it| *it != "default"),
            _ => None,
        };
        let name = only.map_or(mode, String::as_str);
        let network = self.networks.find(name, policy)?;
        let is_it = |key: &String| {
            *key == network.name || network.id.starts_with(key.as_str()) || key == "default"
        };
        if let Some(other) = endpoints.keys().find(|it| !is_it(it)) {
            return Err(in_more_than_one(other));
        }
        let request = endpoints.iter().find(|it| is_it(it.0)).map(|it| it.1);
        let endpoint = endpoint(&network, request.cloned().unwrap_or_default())?;
        Ok(Joined::Network(Some(endpoint)))
    }
}

fn in_more_than_one(network: &str) -> Refusal {
    Refusal::not_built(format!(
        "a container in more than one network (`{network}` besides its own)"
    ))
}

fn endpoint(network: &NetworkRecord, request: EndpointRequest) -> Result<Endpoint, Refusal> {
    if !request.links.is_empty() {
        return Err(Refusal::not_built(
            "links between containers (use names or aliases)",
        ));
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
            _ => {}
        }
    }
    let plain = |name: &String| {
        let ok = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
        !name.is_empty() && name.len() <= 253 && name.bytes().all(ok)
    };
    if let Some(alias) = request.aliases.iter().find(|it| !plain(it)) {
        return Err(Refusal::bad(format!("invalid alias: {alias}")));
    }
    Ok(Endpoint {
        network: network.id.clone(),
        aliases: request.aliases,
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
    /// Makes a container's interface. Made again, it is the same.
    pub(crate) async fn plug(&self, container: &Container) -> Result<Place, Refusal> {
        let record = container.record();
        let (vpc, subnet, fixed) = match &record.joined {
            Joined::Host => return Ok(Place::default()),
            Joined::Container(other) => {
                let other = self.containers.find(other, Policy::Owner)?.record();
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
            Joined::None | Joined::Network(None) => {
                (vpc(ALONE, ALONE_RANGE, vec![], false), ALONE_RANGE, None)
            }
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
            // As in docker, names are known in networks that somebody made.
            if network.is_some_and(|it| it.name != BRIDGE) {
                for other in self.containers.all().iter().map(|it| it.record()) {
                    let Some(its) = other.endpoint().filter(|it| it.network == endpoint.network)
                    else {
                        continue;
                    };
                    let Some(address) = its.address else { continue };
                    let names = [other.name.as_str(), &other.id[..12]].into_iter();
                    let names = names.chain(its.aliases.iter().map(String::as_str));
                    names
                        .collect::<BTreeSet<_>>()
                        .into_iter()
                        .for_each(|it| add(address, it));
                }
            }
        }
        for entry in &record.host.extra_hosts {
            if let Some((name, address)) = entry.split_once([':', '=']) {
                hosts.push((address.to_owned(), name.to_owned()));
            }
        }
        hosts
    }

    /// Tells all running containers of networks what their neighbours are called.
    pub(crate) async fn tell_hosts(&self) {
        for container in self.containers.all() {
            let record = container.record();
            if !record.is_running() || record.endpoint().is_none() {
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CreateRequest {
    name: String,
    driver: String,
    internal: bool,
    attachable: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    scope: String,
    ingress: bool,
    config_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipam {
    driver: String,
    config: Vec<BTreeMap<String, Value>>,
}

pub async fn route(call: Call, method: &Method, words: &[&str]) -> Answer {
    match (method.as_str(), words) {
        ("GET", []) => list(&call),
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [text]) => inspect(&call, text),
        ("DELETE", [text]) => remove(call, text).await,
        ("POST", [text, "connect"]) => connect(call, text).await,
        ("POST", [text, "disconnect"]) => disconnect(call, text).await,
        _ => Err(Refusal::not_found("page not found")),
    }
}

/// The two that are no networks of the engine's.
fn builtin(name: &str) -> Value {
    let digit = if name == "host" { "a" } else { "b" };
    json!({
        "Name": name, "Id": digit.repeat(64), "Created": crate::clock::NEVER, "Scope": "local",
        "Driver": if name == "host" { "host" } else { "null" }, "EnableIPv4": true, "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": null, "Config": null }, "Internal": false,
        "Attachable": false, "Ingress": false, "ConfigFrom": { "Network": "" }, "ConfigOnly": false,
        "Containers": {}, "Options": {}, "Labels": {},
    })
}

fn show(docker: &Docker, network: &NetworkRecord) -> Value {
    let mut containers = serde_json::Map::new();
    for record in docker.containers.all().iter().map(|it| it.record()) {
        let endpoint = record.endpoint().filter(|it| it.network == network.id);
        if let Some(address) = endpoint.and_then(|it| it.address) {
            let [a, b, c, d] = address.octets();
            containers.insert(
                record.id.clone(),
                json!({
                    "Name": record.name, "EndpointID": record.id,
                    "MacAddress": format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}"),
                    "IPv4Address": format!("{address}/{}", network.subnet.prefix_len()), "IPv6Address": "",
                }),
            );
        }
    }
    json!({
        "Name": network.name, "Id": network.id, "Created": rfc3339(network.created_ms),
        "Scope": "local", "Driver": "bridge", "EnableIPv4": true, "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": null, "Config": [
            { "Subnet": network.subnet, "Gateway": network.gateway() }
        ] },
        "Internal": network.internal, "Attachable": network.attachable, "Ingress": false,
        "ConfigFrom": { "Network": "" }, "ConfigOnly": false, "Containers": containers,
        "Options": {}, "Labels": network.labels,
    })
}

fn list(call: &Call) -> Answer {
    let filters = call
        .query
        .filters(&["name", "id", "label", "driver", "scope", "type", "dangling"])?;
    let docker = &call.docker;
    let all = docker.networks.all();
    let seen = all
        .iter()
        .filter(|it| call.policy.sees(it.of_build) || it.name == BRIDGE);
    let mut shown: Vec<Value> = seen.map(|it| show(docker, it)).collect();
    shown.extend(["host", "none"].map(builtin));
    shown.retain(|it| {
        let text = |name: &str| it[name].as_str().unwrap_or_default();
        let name = text("Name");
        let is_builtin = [BRIDGE, "host", "none"].contains(&name);
        let labels = serde_json::from_value(it["Labels"].clone()).unwrap_or_default();
        let unused = it["Containers"].as_object().is_none_or(|it| it.is_empty());
        filters.any("name", |wanted| name.contains(wanted))
            && filters.any("id", |wanted| text("Id").starts_with(wanted))
            && filters.any("driver", |wanted| text("Driver") == wanted)
            && filters.any("scope", |wanted| wanted == "local")
            && filters.any("type", |wanted| (wanted == "builtin") == is_builtin)
            && filters
                .flag("dangling")
                .is_none_or(|wanted| wanted == (unused && !is_builtin))
            && filters.labels(&labels)
    });
    answer::ok(json!(shown))
}

fn inspect(call: &Call, text: &str) -> Answer {
    match call.docker.networks.find(text, call.policy) {
        Ok(network) => answer::ok(show(&call.docker, &network)),
        Err(_) if ["host", "none"].contains(&text) => answer::ok(builtin(text)),
        Err(refusal) => Err(refusal),
    }
}

async fn create(mut call: Call) -> Answer {
    let request: CreateRequest = call.json().await?;
    let docker = &call.docker;
    let refused = [
        (
            !matches!(request.driver.as_str(), "" | "bridge" | "default"),
            "this network driver",
        ),
        (
            !matches!(request.ipam.driver.as_str(), "" | "default"),
            "this IPAM driver",
        ),
        (request.enable_ipv6, "IPv6 in a network"),
        (
            !request.options.is_empty(),
            "an option of a network's driver",
        ),
        (
            request.ingress || request.config_only,
            "a network for a swarm",
        ),
        (
            !matches!(request.scope.as_str(), "" | "local"),
            "this scope of a network",
        ),
        (
            request.ipam.config.len() > 1,
            "a network with more than one subnet",
        ),
    ];
    if let Some((_, what)) = refused.iter().find(|it| it.0) {
        return Err(Refusal::not_built(what));
    }
    let name = request.name.as_str();
    let ok = |it: u8| it.is_ascii_alphanumeric() || b"_.-".contains(&it);
    if name.is_empty() || name.len() > 255 || !name.bytes().all(ok) {
        return Err(Refusal::bad(format!("invalid network name: \"{name}\"")));
    }
    let all = docker.networks.all();
    if [BRIDGE, "host", "none", "default"].contains(&name) {
        return Err(Refusal::forbidden(format!(
            "operation is not permitted on predefined {name} network"
        )));
    }
    if all.iter().any(|it| it.name == name) {
        return Err(Refusal::conflict(format!(
            "network with name {name} already exists"
        )));
    }
    if all.len() >= NETWORKS_MAX {
        return Err(Refusal::failed(format!(
            "there are {NETWORKS_MAX} networks already"
        )));
    }
    let subnet = match request.ipam.config.first() {
        None => docker.networks.free_range()?,
        Some(config) => subnet(config, &all)?.map_or_else(|| docker.networks.free_range(), Ok)?,
    };
    let network = NetworkRecord {
        id: random_id(),
        name: name.to_owned(),
        created_ms: now_ms(),
        subnet,
        internal: request.internal,
        attachable: request.attachable,
        labels: request.labels,
        of_build: call.policy.is_build(),
    };
    let id = network.id.clone();
    docker.events.tell(event("create", &network, None));
    docker.networks.insert(network)?;
    Ok(answer::json(
        StatusCode::CREATED,
        &json!({ "Id": id, "Warning": "" }),
    ))
}

fn subnet(
    config: &BTreeMap<String, Value>,
    all: &[NetworkRecord],
) -> Result<Option<Ipv4Net>, Refusal> {
    let text = |name: &str| {
        config
            .get(name)
            .and_then(Value::as_str)
            .filter(|it| !it.is_empty())
    };
    let Some(written) = text("Subnet") else {
        return Ok(None);
    };
    const PREFIX_MAX: u8 = 29;
    let subnet: Ipv4Net = written.parse().map_err(|_| {
        Refusal::bad(format!(
            "invalid subnet {written}: it is not IPv4 in CIDR form"
        ))
    })?;
    let subnet = subnet.trunc();
    if subnet.prefix_len() > PREFIX_MAX || subnet.prefix_len() < 8 {
        return Err(Refusal::bad(format!(
            "invalid subnet {written}: its prefix must be 8 to {PREFIX_MAX}"
        )));
    }
    if all.iter().any(|it| overlap(&it.subnet, &subnet)) {
        return Err(Refusal::forbidden(
            "invalid pool request: Pool overlaps with other one on this address space",
        ));
    }
    let first = Ipv4Addr::from(u32::from(subnet.network()) + 1);
    if text("Gateway").is_some_and(|it| it.parse() != Ok(first)) {
        return Err(Refusal::not_built(
            "a gateway that is not the subnet's first address",
        ));
    }
    if text("IPRange").is_some() {
        return Err(Refusal::not_built("`IPRange` of a network"));
    }
    Ok(Some(subnet))
}

fn event(action: &str, network: &NetworkRecord, container: Option<&str>) -> Event {
    let mut attributes = BTreeMap::from([
        ("name".to_owned(), network.name.clone()),
        ("type".to_owned(), "bridge".to_owned()),
    ]);
    attributes.extend(container.map(|it| ("container".to_owned(), it.to_owned())));
    Event {
        kind: "network",
        action: action.to_owned(),
        id: network.id.clone(),
        attributes,
        time_ms: now_ms(),
        of_build: network.of_build,
    }
}

/// Running containers of a network.
fn users(docker: &Docker, network: &NetworkRecord) -> Vec<Record> {
    let all = docker.containers.all();
    let records = all.iter().map(|it| it.record());
    let of = |it: &Record| it.endpoint().is_some_and(|it| it.network == network.id);
    records.filter(|it| it.is_running() && of(it)).collect()
}

async fn remove(call: Call, text: &str) -> Answer {
    let docker = &call.docker;
    let network = docker.networks.find(text, call.policy)?;
    if network.name == BRIDGE {
        return Err(Refusal::forbidden(
            "bridge is a pre-defined network and cannot be removed",
        ));
    }
    let users = users(docker, &network);
    if let Some(user) = users.first() {
        return Err(Refusal::forbidden(format!(
            "error while removing network: network {} id {} has active endpoints (name:\"{}\" id:\"{}\")",
            network.name, network.id, user.name, user.id
        )));
    }
    forget(docker, &network).await?;
    answer::empty(StatusCode::NO_CONTENT)
}

async fn forget(docker: &Docker, network: &NetworkRecord) -> Result<(), Refusal> {
    docker.network.remove_vpc(&vpc_id(&network.id)).await?;
    disk::remove(
        &docker
            .networks
            .directory
            .join(format!("{}.json", network.id)),
    )?;
    let mut all = docker.networks.all.lock().expect("no holder panics");
    all.remove(&network.id);
    drop(all);
    docker.events.tell(event("destroy", network, None));
    Ok(())
}

async fn prune(call: Call) -> Answer {
    let filters = call.query.filters(&["label", "until"])?;
    if !filters.get("until").is_empty() {
        return Err(Refusal::not_built("pruning networks by time"));
    }
    let docker = &call.docker;
    let mut removed = Vec::new();
    for network in docker.networks.all() {
        let named = docker.containers.all().iter().any(|it| {
            it.record()
                .endpoint()
                .is_some_and(|it| it.network == network.id)
        });
        let wanted = network.name != BRIDGE
            && call.policy.sees(network.of_build)
            && filters.labels(&network.labels)
            && !named;
        if wanted {
            forget(docker, &network).await?;
            removed.push(network.name);
        }
    }
    answer::ok(json!({ "NetworksDeleted": removed }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConnectRequest {
    container: String,
    endpoint_config: EndpointRequest,
}

/// Before it is started only: a container that runs stays where it is.
async fn connect(mut call: Call, text: &str) -> Answer {
    let request: ConnectRequest = call.json().await?;
    let docker = &call.docker;
    let network = docker.networks.find(text, call.policy)?;
    let container = docker.containers.find(&request.container, call.policy)?;
    let _working = container.working.lock().await;
    let record = container.record();
    if let Some(endpoint) = record.endpoint() {
        return Err(match endpoint.network == network.id {
            true => Refusal::forbidden(format!(
                "endpoint with name {} already exists in network {}",
                record.name, network.name
            )),
            false => in_more_than_one(&network.name),
        });
    }
    move_only_at_rest(&record)?;
    if !matches!(record.joined, Joined::Network(_)) {
        return Err(in_more_than_one(&network.name));
    }
    let endpoint = endpoint(&network, request.endpoint_config)?;
    container.change(|record| {
        record.joined = Joined::Network(Some(endpoint));
        record.host.network_mode = network.name.clone();
    })?;
    docker
        .events
        .tell(event("connect", &network, Some(&record.id)));
    answer::empty(StatusCode::OK)
}

fn move_only_at_rest(record: &Record) -> Result<(), Refusal> {
    match record.is_running() {
        true => Err(Refusal::not_built(
            "moving a running container to another network",
        )),
        false => Ok(()),
    }
}

async fn disconnect(mut call: Call, text: &str) -> Answer {
    let request: ConnectRequest = call.json().await?;
    let docker = &call.docker;
    let network = docker.networks.find(text, call.policy)?;
    let container: Arc<Container> = docker.containers.find(&request.container, call.policy)?;
    let _working = container.working.lock().await;
    let record = container.record();
    if record.endpoint().is_none_or(|it| it.network != network.id) {
        return Err(Refusal::forbidden(format!(
            "container {} is not connected to network {}",
            record.id, network.name
        )));
    }
    move_only_at_rest(&record)?;
    container.change(|record| record.joined = Joined::Network(None))?;
    docker
        .events
        .tell(event("disconnect", &network, Some(&record.id)));
    answer::empty(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap() {
        let folder = tempfile::tempdir().unwrap();
        let networks = Networks::open(folder.path().to_owned()).unwrap();
        let mut seen: Vec<Ipv4Net> = vec![networks.find(BRIDGE, Policy::Owner).unwrap().subnet];
        for number in 0..40 {
            let subnet = networks.free_range().unwrap();
            assert!(!seen.iter().any(|it| overlap(it, &subnet)), "{subnet}");
            seen.push(subnet);
            let mut network = networks.find(BRIDGE, Policy::Owner).unwrap();
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
