//! Networks as clients ask for them: made, listed, connected to, removed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use http::{Method, StatusCode};
use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    BRIDGE, BRIDGE_RANGE, NETWORKS_OF_CONTAINER_MAX, NetworkRecord, Plan, endpoint, options, vpc_id,
};
use crate::answer::{self, Answer, Refusal};
use crate::clock::{now_ms, rfc3339};
use crate::containers::{Endpoint, EndpointRequest, Joined, Record, show_mac};
use crate::disk::random_id;
use crate::docker::Docker;
use crate::events::Event;
use crate::routes::Call;

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

/// The id of one of the two that are no networks of the engine's.
pub fn builtin_id(name: &str) -> String {
    let digit = if name == "host" { "a" } else { "b" };
    digit.repeat(64)
}

/// The two that are no networks of the engine's.
fn builtin(name: &str) -> Value {
    json!({
        "Name": name, "Id": builtin_id(name), "Created": crate::clock::NEVER, "Scope": "local",
        "Driver": if name == "host" { "host" } else { "null" }, "EnableIPv4": true, "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": null, "Config": null }, "Internal": false,
        "Attachable": false, "Ingress": false, "ConfigFrom": { "Network": "" }, "ConfigOnly": false,
        "Containers": {}, "Options": {}, "Labels": {},
    })
}

fn show(docker: &Docker, network: &NetworkRecord) -> Value {
    let mut containers = serde_json::Map::new();
    for record in docker.containers.all().iter().map(|it| it.record()) {
        let endpoint = record.endpoint_in(&network.id);
        if let Some(address) = endpoint.and_then(|it| it.address) {
            let mac = endpoint.and_then(Endpoint::link_address);
            containers.insert(
                record.id.clone(),
                json!({
                    "Name": record.name, "EndpointID": record.id,
                    "MacAddress": mac.map(show_mac),
                    "IPv4Address": format!("{address}/{}", network.subnet.prefix_len()), "IPv6Address": "",
                }),
            );
        }
    }
    let plan = &network.plan;
    let mut addresses = json!({ "Subnet": network.subnet, "Gateway": network.gateway() });
    if let Some(range) = &plan.range {
        addresses["IPRange"] = json!(range);
    }
    if !plan.others.is_empty() {
        addresses["AuxiliaryAddresses"] = json!(plan.others);
    }
    json!({
        "Name": network.name, "Id": network.id, "Created": rfc3339(network.created_ms),
        "Scope": "local", "Driver": "bridge", "EnableIPv4": true, "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": null, "Config": [addresses] },
        "Internal": network.internal, "Attachable": network.attachable, "Ingress": false,
        "ConfigFrom": { "Network": "" }, "ConfigOnly": false, "Containers": containers,
        "Options": network.options, "Labels": network.labels,
    })
}

fn list(call: &Call) -> Answer {
    let filters = call.query.filters(&[
        "name", "id", "label", "label!", "driver", "scope", "type", "dangling",
    ])?;
    let (names, ids) = (filters.patterns("name"), filters.patterns("id"));
    let docker = &call.docker;
    let seen = docker.networks.all();
    let mut shown: Vec<Value> = seen.iter().map(|it| show(docker, it)).collect();
    shown.extend(["host", "none"].map(builtin));
    shown.retain(|it| {
        let text = |name: &str| it[name].as_str().unwrap_or_default();
        let name = text("Name");
        let is_builtin = [BRIDGE, "host", "none"].contains(&name);
        let labels = serde_json::from_value(it["Labels"].clone()).unwrap_or_default();
        let unused = it["Containers"].as_object().is_none_or(|it| it.is_empty());
        names.fits(name)
            && ids.fits(text("Id"))
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
    match call.docker.networks.find(text) {
        Ok(network) => answer::ok(show(&call.docker, &network)),
        Err(_) if ["host", "none"].contains(&text) => answer::ok(builtin(text)),
        Err(refusal) => Err(refusal),
    }
}

async fn create(call: Call) -> Answer {
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
    if name.trim().is_empty() || name.len() > 255 || name.contains(char::is_control) {
        return Err(Refusal::bad(format!("invalid network name: \"{name}\"")));
    }
    let all = docker.networks.all();
    if [BRIDGE, "host", "none", "default"].contains(&name) {
        return Err(Refusal::forbidden(format!(
            "operation is not permitted on predefined {name} network"
        )));
    }
    if all.iter().any(|it| it.name == name) {
        return Err(already_exists(name));
    }
    let most = docker.bounds.networks;
    if all.len() >= most {
        return Err(Refusal::failed(format!(
            "there are {most} networks already, which is as many as there may be"
        )));
    }
    let asked = match request.ipam.config.first() {
        None => None,
        Some(config) => asked_for(config)?,
    };
    let warnings = options::check(&request.options)?;
    let (subnet, plan) = asked.unzip();
    let network = NetworkRecord {
        id: random_id(),
        name: name.to_owned(),
        created_ms: now_ms(),
        range_asked_for: subnet.is_some(),
        subnet: subnet.unwrap_or(BRIDGE_RANGE),
        internal: request.internal,
        attachable: request.attachable,
        labels: request.labels,
        plan: plan.unwrap_or_default(),
        options: request.options,
    };
    let network = docker.make(network).await?;
    let id = network.id.clone();
    docker.events.tell(event("create", &network, None));
    Ok(answer::json(
        StatusCode::CREATED,
        &json!({ "Id": id, "Warning": warnings.join("; ") }),
    ))
}

impl Docker {
    /// Makes a new network. Its range is its own from then on: nobody else on the machine gets it.
    async fn make(&self, network: NetworkRecord) -> Result<NetworkRecord, Refusal> {
        let _addressing = self.networks.addressing.lock().await;
        if self.networks.find(&network.name).is_ok() {
            return Err(already_exists(&network.name));
        }
        if !network.range_asked_for {
            return self.up_elsewhere(network).await;
        }
        self.expect_free_range(&network.subnet).await?;
        let id = network.id.clone();
        self.networks.insert(network)?;
        let made = self.up(&id).await;
        if made.is_err() {
            self.networks.forget(&id)?;
        }
        made
    }
}

fn already_exists(name: &str) -> Refusal {
    Refusal::conflict(format!("network with name {name} already exists"))
}

/// The subnet of a configuration of addresses, and what is said about it.
fn asked_for(config: &BTreeMap<String, Value>) -> Result<Option<(Ipv4Net, Plan)>, Refusal> {
    let text = |name: &str| {
        let text = config.get(name).and_then(Value::as_str);
        text.filter(|it| !it.is_empty())
    };
    let Some(written) = text("Subnet") else {
        return match ["Gateway", "IPRange"].iter().find(|it| text(it).is_some()) {
            None => Ok(None),
            Some(name) => Err(Refusal::bad(format!(
                "invalid network config: `{name}` without a subnet"
            ))),
        };
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
    let of_subnet = |name: &str, text: &str| -> Result<Ipv4Addr, Refusal> {
        let address = text.parse::<Ipv4Addr>().ok();
        let is_host = |it: &Ipv4Addr| {
            subnet.contains(it) && *it != subnet.network() && *it != subnet.broadcast()
        };
        address.filter(is_host).ok_or_else(|| {
            Refusal::bad(format!(
                "invalid network config: `{name}` ({text}) is no address of the subnet {subnet}"
            ))
        })
    };
    let gateway = text("Gateway").map(|it| of_subnet("Gateway", it));
    let range = text("IPRange").map(|text| {
        let range = text.parse::<Ipv4Net>().ok().map(|it| it.trunc());
        range.filter(|it| subnet.contains(it)).ok_or_else(|| {
            Refusal::bad(format!(
                "invalid network config: `IPRange` ({text}) is not in the subnet {subnet}"
            ))
        })
    });
    let others = config.get("AuxiliaryAddresses").and_then(Value::as_object);
    if others.is_some_and(|it| it.len() > OTHERS_MAX) {
        return Err(Refusal::bad(format!(
            "a network may have {OTHERS_MAX} auxiliary addresses"
        )));
    }
    let others = others.into_iter().flatten().map(|(name, value)| {
        let text = value.as_str().unwrap_or_default();
        Ok((name.clone(), of_subnet("AuxiliaryAddresses", text)?))
    });
    let plan = Plan {
        gateway: gateway.transpose()?,
        range: range.transpose()?,
        others: others.collect::<Result<_, Refusal>>()?,
    };
    Ok(Some((subnet, plan)))
}

/// Auxiliary addresses of a network: each is a device that somebody has beside it.
const OTHERS_MAX: usize = 256;

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
    }
}

/// Running containers of a network.
fn users(docker: &Docker, network: &NetworkRecord) -> Vec<Record> {
    let all = docker.containers.all();
    let records = all.iter().map(|it| it.record());
    let of = |it: &Record| it.endpoint_in(&network.id).is_some();
    records.filter(|it| it.is_running() && of(it)).collect()
}

async fn remove(call: Call, text: &str) -> Answer {
    let docker = &call.docker;
    let network = docker.networks.find(text)?;
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
    docker.networks.forget(&network.id)?;
    docker.events.tell(event("destroy", network, None));
    Ok(())
}

async fn prune(call: Call) -> Answer {
    let filters = call.query.filters(&["label", "label!", "until"])?;
    let until = filters.until(now_ms())?;
    let docker = &call.docker;
    let mut removed = Vec::new();
    for network in docker.networks.all() {
        let named = docker
            .containers
            .all()
            .iter()
            .any(|it| it.record().endpoint_in(&network.id).is_some());
        let wanted = network.name != BRIDGE
            && filters.labels(&network.labels)
            && until.takes(network.created_ms)
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

/// Also while it runs: then its namespace gets one more interface.
async fn connect(call: Call, text: &str) -> Answer {
    let request: ConnectRequest = call.json().await?;
    let docker = &call.docker;
    let container = docker.containers.find(&request.container)?;
    let _working = container.working.lock().await;
    let record = container.record();
    let network = docker.networks.find(text);
    let network = network.map_err(|refusal| match text {
        "host" => Refusal::bad(HOST_STAYS),
        "none" => Refusal::bad(NONE_STAYS),
        _ => refusal,
    })?;
    match &record.joined {
        Joined::Host => return Err(Refusal::bad(HOST_STAYS)),
        Joined::None => return Err(Refusal::bad(NONE_STAYS)),
        Joined::Container(_) => {
            return Err(Refusal::bad(
                "container sharing network namespace with another container or host cannot be connected to any other network",
            ));
        }
        Joined::Network(_) => {}
    }
    if record.endpoint_in(&network.id).is_some() {
        return Err(Refusal::forbidden(format!(
            "endpoint with name {} already exists in network {}",
            record.name, network.name
        )));
    }
    if record.endpoints().len() >= NETWORKS_OF_CONTAINER_MAX {
        return Err(Refusal::forbidden(format!(
            "a container may be in {NETWORKS_OF_CONTAINER_MAX} networks"
        )));
    }
    let endpoint = endpoint(&network, request.endpoint_config)?;
    let is_first = record.endpoints().is_empty();
    container.change(|record| {
        if let Joined::Network(endpoints) = &mut record.joined {
            endpoints.push(endpoint);
        }
        if is_first {
            record.host.network_mode = network.name.clone();
        }
    })?;
    if record.is_running() {
        if let Err(refusal) = docker.plug_in(&container, &network.id).await {
            container.change(|record| leave(record, &network.id))?;
            return Err(refusal);
        }
        container.publish_at_address();
        docker.tell_hosts().await;
    }
    docker
        .events
        .tell(event("connect", &network, Some(&record.id)));
    answer::empty(StatusCode::OK)
}

const HOST_STAYS: &str =
    "container cannot be disconnected from host network or connected to host network";
const NONE_STAYS: &str = "container cannot be connected to multiple networks with one of the networks in private (none) mode";

fn leave(record: &mut Record, network: &str) {
    if let Joined::Network(endpoints) = &mut record.joined {
        endpoints.retain(|it| it.network != network);
    }
}

async fn disconnect(call: Call, text: &str) -> Answer {
    let request: DisconnectRequest = call.json().await?;
    let docker = &call.docker;
    let network = match docker.networks.find(text) {
        Err(_) if text == "host" => return Err(Refusal::bad(HOST_STAYS)),
        found => found?,
    };
    let container = docker.containers.find(&request.container)?;
    let _working = container.working.lock().await;
    let record = container.record();
    if record.endpoint_in(&network.id).is_none() {
        return Err(Refusal::forbidden(format!(
            "container {} is not connected to network {}",
            record.id, network.name
        )));
    }
    if record.is_running() {
        docker.unplug_from(&record, &network.id).await?;
    }
    container.change(|record| leave(record, &network.id))?;
    container.publish_at_address();
    docker.tell_hosts().await;
    docker
        .events
        .tell(event("disconnect", &network, Some(&record.id)));
    answer::empty(StatusCode::OK)
}

/// With `force` it is let go of although it is in a bad way: here that is so anyway.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DisconnectRequest {
    container: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: Value) -> Result<Option<(Ipv4Net, Plan)>, String> {
        let config = serde_json::from_value(config).unwrap();
        asked_for(&config).map_err(|it| it.message)
    }

    #[test]
    fn a_plan_of_addresses_is_of_its_subnet() {
        let whole = json!({
            "Subnet": "172.28.0.0/16", "IPRange": "172.28.5.0/24", "Gateway": "172.28.5.254",
            "AuxiliaryAddresses": { "a": "172.28.1.5" },
        });
        let (subnet, plan) = check(whole).unwrap().unwrap();
        assert_eq!(subnet.to_string(), "172.28.0.0/16");
        assert_eq!(plan.gateway, Some(Ipv4Addr::new(172, 28, 5, 254)));
        assert_eq!(plan.range.unwrap().to_string(), "172.28.5.0/24");
        assert_eq!(plan.others["a"], Ipv4Addr::new(172, 28, 1, 5));
        assert_eq!(check(json!({})).unwrap(), None);
        for wrong in [
            json!({ "Gateway": "172.28.0.1" }),
            json!({ "Subnet": "172.28.0.0" }),
            json!({ "Subnet": "172.28.0.0/30" }),
            json!({ "Subnet": "172.28.0.0/16", "Gateway": "172.29.0.1" }),
            json!({ "Subnet": "172.28.0.0/16", "Gateway": "172.28.0.0" }),
            json!({ "Subnet": "172.28.0.0/16", "IPRange": "172.0.0.0/8" }),
            json!({ "Subnet": "172.28.0.0/16", "AuxiliaryAddresses": { "a": "172.29.0.1" } }),
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
