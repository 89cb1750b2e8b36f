//! Networks as clients ask for them: made, listed, connected to, removed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use http::{Method, StatusCode};
use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BRIDGE, NetworkRecord, endpoint, in_more_than_one, overlap, vpc_id};
use crate::answer::{self, Answer, Refusal};
use crate::clock::{now_ms, rfc3339};
use crate::containers::{Container, EndpointRequest, Joined, Record};
use crate::disk::{self, random_id};
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
    let most = docker.bounds.networks;
    if all.len() >= most {
        return Err(Refusal::failed(format!(
            "there are {most} networks already, which is as many as there may be"
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
    let filters = call.query.filters(&["label", "label!", "until"])?;
    let until = filters.until(now_ms())?;
    let docker = &call.docker;
    let mut removed = Vec::new();
    for network in docker.networks.all() {
        let named = docker.containers.all().iter().any(|it| {
            it.record()
                .endpoint()
                .is_some_and(|it| it.network == network.id)
        });
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

/// Before it is started only: a container that runs stays where it is.
async fn connect(call: Call, text: &str) -> Answer {
    let request: ConnectRequest = call.json().await?;
    let docker = &call.docker;
    let network = docker.networks.find(text)?;
    let container = docker.containers.find(&request.container)?;
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

async fn disconnect(call: Call, text: &str) -> Answer {
    let request: ConnectRequest = call.json().await?;
    let docker = &call.docker;
    let network = docker.networks.find(text)?;
    let container: Arc<Container> = docker.containers.find(&request.container)?;
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
