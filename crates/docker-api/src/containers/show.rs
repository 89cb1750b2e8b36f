//! What is said of containers: `ps`, `inspect`, `top`.

use std::sync::Arc;

use engine::{CheckResult, Health, HealthLog};
use serde_json::{Map, Value, json};

use super::record::{Endpoint, Joined, MountKind, PortBinding, Record, Status, show_mac};
use super::{Container, MAIN, defaults, not_running};
use crate::answer::{self, Answer, Refusal};
use crate::clock::{now_ms, rfc3339, rfc3339_or_never};
use crate::docker::Docker;
use crate::networks::{BRIDGE, NetworkRecord, builtin_id};
use crate::routes::Call;

/// How long ago, in docker's words.
fn duration(ms: i64) -> String {
    let seconds = (ms / 1000).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{minutes} minutes"),
        3600..7200 => "About an hour".to_owned(),
        7200..172_800 => format!("{hours} hours"),
        _ => format!("{days} days"),
    }
}

fn status_text(record: &Record, health: Option<&str>) -> String {
    let state = &record.state;
    let since = |ms: Option<i64>| duration(now_ms() - ms.unwrap_or_else(now_ms));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let health = match health {
                Some("starting") => " (health: starting)".to_owned(),
                Some(health) => format!(" ({health})"),
                None => String::new(),
            };
            let paused = if state.paused { " (Paused)" } else { "" };
            format!("Up {}{health}{paused}", since(state.started_ms))
        }
        Status::Restarting => {
            format!(
                "Restarting ({}) {} ago",
                state.exit_code,
                since(state.finished_ms)
            )
        }
        Status::Exited => {
            format!(
                "Exited ({}) {} ago",
                state.exit_code,
                since(state.finished_ms)
            )
        }
    }
}

/// None when it has no health check.
pub fn health_word(container: &Container, record: &Record) -> Option<&'static str> {
    record.health_check()?;
    let health = *container.health.lock().expect("no holder panics");
    Some(match health {
        Health::Unknown if record.is_running() => "starting",
        Health::Unknown | Health::Unhealthy => "unhealthy",
        Health::Healthy => "healthy",
    })
}

fn mounts(record: &Record) -> Value {
    let show = |mount: &super::record::Mount| {
        let bind = mount.kind == MountKind::Bind;
        let mut value = json!({
            "Type": if bind { "bind" } else { "volume" }, "Source": mount.source,
            "Destination": mount.destination, "Mode": if mount.read_only { "ro" } else { "" },
            "RW": !mount.read_only, "Propagation": if bind { "rprivate" } else { "" },
        });
        if !bind {
            value["Name"] = json!(mount.name);
            value["Driver"] = json!("local");
        }
        value
    };
    Value::Array(record.mounts.iter().map(show).collect())
}

fn network_mode(docker: &Docker, record: &Record) -> String {
    match &record.joined {
        Joined::Host => "host".to_owned(),
        Joined::None => "none".to_owned(),
        Joined::Container(id) => format!("container:{id}"),
        Joined::Network(endpoints) => {
            let first = endpoints.first();
            let network = first.and_then(|it| docker.networks.get(&it.network));
            network.map_or_else(|| record.host.network_mode.clone(), |it| it.name)
        }
    }
}

pub fn networks(docker: &Docker, record: &Record) -> Map<String, Value> {
    match &record.joined {
        Joined::Host => builtin_endpoint("host", record),
        Joined::None => builtin_endpoint("none", record),
        Joined::Container(_) => Map::new(),
        Joined::Network(endpoints) => {
            let shown = endpoints.iter().filter_map(|endpoint| {
                let network = docker.networks.get(&endpoint.network)?;
                Some((
                    network.name.clone(),
                    endpoint_of(record, endpoint, &network),
                ))
            });
            shown.collect()
        }
    }
}

/// In one of the two that are no networks of the engine's.
fn builtin_endpoint(name: &str, record: &Record) -> Map<String, Value> {
    let id = if record.is_running() {
        record.id.as_str()
    } else {
        ""
    };
    let shown = json!({
        "IPAMConfig": null, "Links": null, "Aliases": null, "DriverOpts": null,
        "NetworkID": builtin_id(name), "EndpointID": id, "Gateway": "", "IPAddress": "",
        "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "MacAddress": "", "DNSNames": null,
    });
    Map::from_iter([(name.to_owned(), shown)])
}

fn endpoint_of(record: &Record, endpoint: &Endpoint, network: &NetworkRecord) -> Value {
    let address = endpoint.address;
    let fixed = endpoint.fixed.map(|it| json!({ "IPv4Address": it }));
    let has_names = network.name != BRIDGE;
    let aliases = Some(&endpoint.aliases).filter(|it| !it.is_empty());
    let driver_opts = Some(&endpoint.driver_opts).filter(|it| !it.is_empty());
    let links = Some(&endpoint.links).filter(|it| !it.is_empty());
    let mac = endpoint.link_address().or(endpoint.mac).map(show_mac);
    json!({
        "IPAMConfig": fixed, "Links": links, "Aliases": aliases, "DriverOpts": driver_opts,
        "NetworkID": network.id, "EndpointID": if address.is_some() { record.id.as_str() } else { "" },
        "Gateway": address.map(|_| network.gateway().to_string()).unwrap_or_default(),
        "IPAddress": address.map(|it| it.to_string()).unwrap_or_default(),
        "IPPrefixLen": if address.is_some() { network.subnet.prefix_len() } else { 0 },
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "MacAddress": mac.unwrap_or_default(),
        "DNSNames": if has_names { json!(record.names(endpoint)) } else { Value::Null },
    })
}

/// Since this version, aliases are those that somebody gave.
const ALIASES_AS_GIVEN: (u32, u32) = (1, 45);

/// Before, what a container is called anyway was among its aliases.
fn add_own_names(record: &Record, networks: &mut Map<String, Value>) {
    for network in networks.values_mut().filter(|it| !it["DNSNames"].is_null()) {
        let mut aliases: Vec<Value> = network["Aliases"].as_array().cloned().unwrap_or_default();
        for name in [&record.id[..12], &record.config.hostname] {
            if !name.is_empty() && !aliases.iter().any(|it| it == name) {
                aliases.push(json!(name));
            }
        }
        network["Aliases"] = Value::Array(aliases);
    }
}

/// A line of `ps`.
pub fn summary(record: &Record, more: Option<(&Docker, &Container)>) -> Value {
    let mut ports = Vec::new();
    if record.is_running() {
        for bound in &record.state.bound {
            ports.push(json!({ "IP": bound.host_ip, "PrivatePort": bound.container_port, "PublicPort": bound.host_port, "Type": bound.protocol.word() }));
        }
        for port in record.config.exposed_ports.keys() {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let Ok(number) = number.parse::<u16>() else {
                continue;
            };
            if !record
                .state
                .bound
                .iter()
                .any(|it| it.container_port == number && it.protocol.word() == protocol)
            {
                ports.push(json!({ "PrivatePort": number, "Type": protocol }));
            }
        }
    }
    let argv = record.argv();
    let command: Vec<&str> = argv.iter().map(String::as_str).collect();
    let health = more.and_then(|it| health_word(it.1, record));
    let mode = more.map_or_else(
        || record.host.network_mode.clone(),
        |it| network_mode(it.0, record),
    );
    let networks = more.map(|it| networks(it.0, record)).unwrap_or_default();
    json!({
        "Id": record.id, "Names": [format!("/{}", record.name)], "Image": record.image,
        "ImageID": record.image_id, "Command": command.join(" "), "Created": record.created_ms / 1000,
        "Ports": ports, "Labels": record.config.labels, "State": record.status_word(),
        "Status": status_text(record, health), "HostConfig": { "NetworkMode": mode },
        "NetworkSettings": { "Networks": networks }, "Mounts": mounts(record),
    })
}

fn health_of(word: &str, log: &HealthLog) -> Value {
    let check = |it: &CheckResult| {
        json!({
            "Start": rfc3339(it.started_ms), "End": rfc3339(it.ended_ms),
            "ExitCode": it.exit_code, "Output": it.output,
        })
    };
    let checks: Vec<Value> = log.checks.iter().map(check).collect();
    json!({ "Status": word, "FailingStreak": log.failing_streak, "Log": checks })
}

async fn state(docker: &Docker, container: &Container, record: &Record) -> Value {
    let state = &record.state;
    let status = docker.tasks.status(&record.task()).await.ok().flatten();
    let pid = status.and_then(|it| it.containers.first()?.pid);
    let mut value = json!({
        "Status": record.status_word(), "Running": record.is_running(),
        "Paused": record.is_running() && state.paused,
        "Restarting": state.status == Status::Restarting, "OOMKilled": state.out_of_memory,
        "Dead": false, "Pid": pid.filter(|_| record.is_running()).unwrap_or_default(),
        "ExitCode": state.exit_code, "Error": state.error,
        "StartedAt": rfc3339_or_never(state.started_ms),
        "FinishedAt": rfc3339_or_never(state.finished_ms),
    });
    if let Some(health) = health_word(container, record) {
        let log = docker.tasks.health_log(&record.task(), MAIN).await;
        // Of one that does not run it is what it was at its end.
        let log = log.unwrap_or_else(|_| container.last_health());
        value["Health"] = health_of(health, &log);
    }
    value
}

fn ports(record: &Record) -> Map<String, Value> {
    let mut ports: Map<String, Value> = record
        .config
        .exposed_ports
        .keys()
        .map(|port| (port.clone(), Value::Null))
        .collect();
    for bound in &record.state.bound {
        let binding = PortBinding {
            host_ip: bound.host_ip.to_string(),
            host_port: bound.host_port.to_string(),
        };
        let entry = ports
            .entry(format!(
                "{}/{}",
                bound.container_port,
                bound.protocol.word()
            ))
            .or_insert(Value::Null);
        match entry {
            Value::Array(bindings) => bindings.push(json!(binding)),
            entry => *entry = json!([binding]),
        }
    }
    ports
}

pub async fn inspect(call: Call, container: &Arc<Container>) -> Answer {
    let docker = &call.docker;
    let record = container.record();
    let argv = record.argv();
    let (program, arguments) = argv.split_first().expect("it was checked");
    let host = defaults::host(&record, &network_mode(docker, &record));
    let mut config = json!(record.config);
    config["Image"] = json!(record.image);
    config["OnBuild"] = Value::Null;
    let mut networks = networks(docker, &record);
    if call.version < ALIASES_AS_GIVEN {
        add_own_names(&record, &mut networks);
    }
    // As in docker, what is not in the default network has none of its own.
    let first = networks.get(BRIDGE).cloned().unwrap_or_default();
    let of_first = |name: &str| match &first[name] {
        Value::Null if name == "IPPrefixLen" => json!(0),
        Value::Null => json!(""),
        value => value.clone(),
    };
    let mut shown = json!({
        "Id": record.id, "Created": rfc3339(record.created_ms), "Path": program, "Args": arguments,
        "State": state(docker, container, &record).await, "Image": record.image_id,
        "ResolvConfPath": "", "HostnamePath": "", "HostsPath": "", "LogPath": container.log_file(),
        "Name": format!("/{}", record.name), "RestartCount": record.state.restarts,
        "Driver": "overlay2", "Platform": "linux", "MountLabel": "", "ProcessLabel": "",
        "AppArmorProfile": "", "ExecIDs": null, "HostConfig": host,
        "GraphDriver": { "Name": "overlay2", "Data": { "UpperDir": docker.containers.upper(&record.id) } },
        "Mounts": mounts(&record), "Config": config,
        "NetworkSettings": {
            "Bridge": "", "SandboxID": "", "SandboxKey": "", "Ports": ports(&record),
            "HairpinMode": false, "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
            "SecondaryIPAddresses": null, "SecondaryIPv6Addresses": null,
            "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPv6Gateway": "",
            "IPAddress": of_first("IPAddress"), "Gateway": of_first("Gateway"),
            "MacAddress": of_first("MacAddress"), "IPPrefixLen": of_first("IPPrefixLen"),
            "EndpointID": of_first("EndpointID"), "Networks": networks,
        },
    });
    if call.query.flag("size") {
        let sizes = docker.sizes(container).await?;
        shown["SizeRw"] = json!(sizes.own);
        shown["SizeRootFs"] = json!(sizes.whole);
    }
    answer::ok(shown)
}

/// `GET /containers/{id}/top`: processes of its pid namespace.
pub async fn top(call: Call, container: &Arc<Container>) -> Answer {
    let arguments = call.query.get("ps_args").unwrap_or("-ef");
    if !matches!(arguments, "-ef" | "aux") {
        return Err(Refusal::not_built(format!("`ps` with `{arguments}`")));
    }
    let record = container.record();
    let status = call.docker.tasks.status(&record.task()).await?;
    let main = status
        .into_iter()
        .flat_map(|it| it.containers)
        .find(|it| it.name == MAIN);
    let pid = main
        .and_then(|it| it.pid)
        .ok_or_else(|| not_running(&record))?;
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(&pid.to_string()).ok_or_else(|| not_running(&record))?;
    let mut processes: Vec<(u32, Value)> = std::fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.parse().ok()?;
            (namespace(&name)? == own).then_some((number, process(&name)?))
        })
        .collect();
    processes.sort_by_key(|it| it.0);
    let processes: Vec<Value> = processes.into_iter().map(|it| it.1).collect();
    answer::ok(json!({
        "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"], "Processes": processes,
    }))
}

fn process(pid: &str) -> Option<Value> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let status = read("status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|it| it.split_whitespace().next())
            .unwrap_or_default()
            .to_owned()
    };
    let command = read("cmdline")?.trim_end_matches('\0').replace('\0', " ");
    let command = if command.is_empty() {
        format!("[{}]", field("Name:"))
    } else {
        command
    };
    // User and system time are the 14th and 15th field; the second may hold spaces.
    let stat = read("stat")?;
    let after: Vec<&str> = stat.rsplit(") ").next()?.split_whitespace().collect();
    let ticks: u64 = after
        .get(11..13)?
        .iter()
        .filter_map(|it| it.parse::<u64>().ok())
        .sum();
    let seconds = ticks / 100;
    let time = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    Some(json!([
        field("Uid:"),
        pid,
        field("PPid:"),
        "0",
        "-",
        "?",
        time,
        command
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_s_own_names_were_aliases_once() {
        let record = crate::containers::record::tests::a_record();
        let given = json!({ "Aliases": ["web"], "DNSNames": ["one"] });
        let bridge = json!({ "Aliases": null, "DNSNames": null });
        let both = [("a".to_owned(), given), ("bridge".to_owned(), bridge)];
        let mut networks = Map::from_iter(both);
        add_own_names(&record, &mut networks);
        assert_eq!(networks["a"]["Aliases"], json!(["web", &record.id[..12]]));
        assert_eq!(networks["bridge"]["Aliases"], Value::Null);
    }

    #[test]
    fn durations_are_dockers() {
        assert_eq!(duration(500), "Less than a second");
        assert_eq!(duration(5_000), "5 seconds");
        assert_eq!(duration(61_000), "About a minute");
        assert_eq!(duration(3 * 3_600_000), "3 hours");
    }
}
