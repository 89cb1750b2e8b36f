//! What is asked of a container: what means something and is not built is refused by name, and what
//! a socket's users may not have by policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::record::{
    Config, CreateRequest, HOST_GATEWAY, HostConfig, Mount, MountKind, RestartPolicy,
    no_new_privileges,
};
use super::tmpfs;
use crate::answer::Refusal;
use crate::docker::Docker;
use crate::policy::Policy;

/// Whether a value asks for nothing.
pub fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64().is_some_and(|it| it == 0.0 || it == -1.0),
        Value::String(text) => matches!(
            text.as_str(),
            "" | "default" | "private" | "runc" | "neargate" | "local"
        ),
        Value::Array(items) => items.iter().all(is_neutral),
        Value::Object(members) => members.values().all(is_neutral),
        Value::Bool(true) => false,
    }
}

/// Members that clients send whatever they want, and that have no effect on what runs.
const WITHOUT_EFFECT: &[&str] = &[
    "ConsoleSize",
    "ContainerIDFile",
    "OnBuild",
    "Shell",
    "ArgsEscaped",
    "Platform",
    "Annotations",
];

/// Members that change how fast or how isolated something is, and not what it does: they are not
/// acted on, and whoever asks is told so.
const HARMLESS: &[&str] = &[
    "BlkioWeight",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "CgroupParent",
    "CgroupnsMode",
    "CpuCount",
    "CpuPercent",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    // As docker's Python client writes them; docker reads names in any case.
    "CPURealtimePeriod",
    "CPURealtimeRuntime",
    "CpusetMems",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "KernelMemory",
    "KernelMemoryTCP",
    "MemorySwap",
    "MemorySwappiness",
    "OomKillDisable",
    "OomScoreAdj",
    "UsernsMode",
];

/// What is said of a member that is not acted on. None when it matters.
pub fn no_effect(name: &str) -> Option<String> {
    let known = HARMLESS.contains(&name);
    known.then(|| format!("{name} is not supported by neargate: it has no effect"))
}

pub fn check(
    request: &CreateRequest,
    policy: Policy,
    warnings: &mut Vec<String>,
) -> Result<(), Refusal> {
    let host = &request.host_config;
    for (name, value) in request.config.rest.iter().chain(&host.rest) {
        if is_neutral(value) || WITHOUT_EFFECT.contains(&name.as_str()) {
            continue;
        }
        let warning = no_effect(name);
        warnings.push(warning.ok_or_else(|| Refusal::not_built(format!("`{name}` ({value})")))?);
    }
    if !request.config.domainname.is_empty() {
        return Err(Refusal::not_built("`Domainname`"));
    }
    check_log_driver(&host.log_config.kind)?;
    if !host.log_config.config.is_empty() {
        let text =
            "Options of log drivers are not supported: they have no effect, the log is kept whole";
        warnings.push(text.to_owned());
    }
    check_machine(host, policy)?;
    check_names_of_others(&request.config, host, policy)?;
    if host
        .cap_add
        .iter()
        .chain(&host.security_opt)
        .next()
        .is_some()
        || host.privileged
    {
        policy.allow("more power than usual (`--privileged`, `--cap-add`, `--security-opt`)")?;
    }
    for option in &host.security_opt {
        if no_new_privileges(option).is_none() {
            return Err(Refusal::not_built(format!(
                "the security option `{option}`"
            )));
        }
    }
    check_restart_policy(&host.restart_policy, host.auto_remove)?;
    if !host.port_bindings.is_empty() || host.publish_all_ports {
        policy.allow("publishing ports of the host")?;
    }
    check_hosts(&host.extra_hosts, policy)?;
    check_memory(host.memory, host.memory_reservation)?;
    tmpfs::check(host)
}

/// `name:address`, for a hosts file.
pub fn check_hosts(entries: &[String], policy: Policy) -> Result<(), Refusal> {
    for entry in entries {
        let (name, address) = entry.split_once([':', '=']).unwrap_or((entry, ""));
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
        if address == HOST_GATEWAY {
            policy.allow("the host's address (`host-gateway`)")?;
        }
        // An IPv6 address may be in brackets.
        let number = address.trim_matches(['[', ']']);
        let is_address = address == HOST_GATEWAY || number.parse::<std::net::IpAddr>().is_ok();
        if name.is_empty() || !name.bytes().all(plain) || !is_address {
            return Err(Refusal::bad(format!(
                "bad format for add-host: \"{entry}\""
            )));
        }
    }
    Ok(())
}

/// Those of docker's that write elsewhere.
const LOG_DRIVERS: [&str; 9] = [
    "awslogs",
    "etwlogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "journald",
    "logentries",
    "splunk",
    "syslog",
];

fn check_log_driver(name: &str) -> Result<(), Refusal> {
    match name {
        "" | "json-file" | "local" | "none" => Ok(()),
        name if LOG_DRIVERS.contains(&name) => {
            Err(Refusal::not_built(format!("the log driver `{name}`")))
        }
        name => Err(Refusal::bad(format!(
            "error looking up logging plugin {name}: plugin \"{name}\" not found"
        ))),
    }
}

/// What runs a container and how it is kept apart: there is one way, and clients name it in many.
fn check_names_of_others(
    config: &Config,
    host: &HostConfig,
    policy: Policy,
) -> Result<(), Refusal> {
    if !matches!(host.isolation.as_str(), "" | "default") {
        return Err(Refusal::failed(format!(
            "Invalid isolation: \"{}\" - linux only supports 'default'",
            host.isolation
        )));
    }
    if !matches!(
        host.runtime.as_str(),
        "" | "runc" | "io.containerd.runc.v2" | "neargate"
    ) {
        return Err(Refusal::bad(format!(
            "unknown or invalid runtime name: {}",
            host.runtime
        )));
    }
    match host.uts_mode.as_str() {
        "" => {}
        "host" if !config.hostname.is_empty() => {
            return Err(Refusal::bad(
                "conflicting options: hostname and the UTS mode",
            ));
        }
        "host" => policy.allow("the host's namespace (`UTSMode`)")?,
        mode => return Err(Refusal::bad(format!("invalid UTS mode: {mode}"))),
    }
    for rule in &host.device_cgroup_rules {
        if rule.parse::<engine::DeviceRule>().is_err() {
            return Err(Refusal::bad(format!(
                "invalid device cgroup rule format: '{rule}'"
            )));
        }
        policy.allow("devices of the host")?;
    }
    Ok(())
}

/// What would give its users the machine, and what only its own namespaces have.
fn check_machine(host: &HostConfig, policy: Policy) -> Result<(), Refusal> {
    // Before anybody looks whether it is there, which would tell a build what is on the machine.
    for mount in host.mounts.iter().filter(|it| it.kind == "bind") {
        policy.allow(&format!("mounting the host path `{}`", mount.source))?;
    }
    if !host.devices.is_empty() {
        policy.allow("devices of the host")?;
    }
    for device in &host.devices {
        let access = &device.cgroup_permissions;
        let inside = match device.path_in_container.as_str() {
            "" => &device.path_on_host,
            inside => inside,
        };
        // Only there no link of the image's leads elsewhere: it is made anew for each container.
        if !inside.starts_with("/dev/") || inside.contains("..") {
            return Err(Refusal::not_built(format!(
                "the device `{inside}` outside of `/dev`"
            )));
        }
        if !access.chars().all(|it| "rwm".contains(it)) || !device.path_on_host.starts_with('/') {
            return Err(Refusal::bad(format!(
                "invalid device: {}:{}:{access}",
                device.path_on_host, device.path_in_container
            )));
        }
    }
    let modes = [
        ("PidMode", &host.pid_mode, "private"),
        ("IpcMode", &host.ipc_mode, "shareable"),
    ];
    for (name, mode, own) in modes {
        match mode.as_str() {
            "" | "private" => {}
            mode if mode == own => {}
            "host" => policy.allow(&format!("the host's namespace (`{name}`)"))?,
            // Which one is looked for when it is made.
            mode if name == "PidMode" && mode.starts_with("container:") => {}
            mode => return Err(Refusal::not_built(format!("`{name}` ({mode})"))),
        }
    }
    if !host.cpuset_cpus.is_empty() {
        check_cpuset(&host.cpuset_cpus)?;
    }
    host.sysctls
        .keys()
        .try_for_each(|it| check_sysctl(it, host))
}

/// Only what a container has for itself: everything else is the machine's.
fn check_sysctl(name: &str, host: &HostConfig) -> Result<(), Refusal> {
    const OF_IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    let is_path = name.contains("..") || !name.bytes().all(plain);
    let of_ipc = OF_IPC.contains(&name) || name.starts_with("fs.mqueue.");
    let of_network = name.starts_with("net.");
    let shares_network = host.network_mode == "host" || host.network_mode.starts_with("container:");
    if is_path || !of_ipc && !of_network {
        return Err(Refusal::bad(format!(
            "sysctl \"{name}\" is not in a separate kernel namespace"
        )));
    }
    if of_network && shares_network || of_ipc && host.ipc_mode == "host" {
        return Err(Refusal::bad(format!(
            "sysctl \"{name}\" not allowed in host network or IPC namespace"
        )));
    }
    Ok(())
}

/// `0-2,4`, of processors that the machine has.
pub fn check_cpuset(text: &str) -> Result<(), Refusal> {
    let bad = || Refusal::bad(format!("Invalid value {text} for cpuset cpus"));
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let has =
        |number: u32| online.is_empty() || numbers(online.trim()).any(|it| it.contains(&number));
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.trim().parse().map_err(|_| bad())?;
        let last: u32 = last.trim().parse().map_err(|_| bad())?;
        if first > last {
            return Err(bad());
        }
        if !has(first) || !has(last) {
            return Err(Refusal::bad(format!(
                "Requested CPUs are not available - requested {text}, available: {}",
                online.trim()
            )));
        }
    }
    Ok(())
}

fn numbers(text: &str) -> impl Iterator<Item = std::ops::RangeInclusive<u32>> {
    text.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    })
}

pub fn check_memory(memory: i64, reservation: i64) -> Result<(), Refusal> {
    const MEMORY_MIN: i64 = 6 << 20;
    if memory != 0 && memory < MEMORY_MIN {
        return Err(Refusal::bad("Minimum memory limit allowed is 6MB"));
    }
    if reservation != 0 && reservation < MEMORY_MIN {
        return Err(Refusal::bad("Minimum memory reservation allowed is 6MB"));
    }
    if memory > 0 && reservation > memory {
        return Err(Refusal::bad(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    Ok(())
}

pub fn check_restart_policy(policy: &RestartPolicy, auto_remove: bool) -> Result<(), Refusal> {
    let name = policy.name.as_str();
    if !matches!(name, "" | "no" | "always" | "unless-stopped" | "on-failure") {
        return Err(Refusal::bad(format!("invalid restart policy: {name}")));
    }
    match auto_remove && !matches!(name, "" | "no") {
        false => Ok(()),
        true => Err(Refusal::bad(
            "can't create 'AutoRemove' container with restart policy",
        )),
    }
}

/// Binds, mounts, and the image's volumes that nothing else is mounted over.
pub fn mounts(docker: &Docker, config: &Config, host: &HostConfig) -> Result<Vec<Mount>, Refusal> {
    let mut mounts: Vec<Mount> = Vec::new();
    for bind in &host.binds {
        let bad = || Refusal::bad(format!("invalid volume specification: '{bind}'"));
        let (source, rest) = bind.split_once(':').ok_or_else(bad)?;
        if !source.starts_with('/') {
            check_driver(&host.volume_driver, source)?;
        }
        let (destination, options) = rest.split_once(':').unwrap_or((rest, ""));
        let (mut read_only, mut no_copy) = (false, false);
        for option in options.split(',') {
            match option {
                // Labels and propagation are of systems that are not here.
                "" | "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "rprivate"
                | "private" => {}
                "ro" => read_only = true,
                "nocopy" => no_copy = true,
                _ => return Err(Refusal::not_built(format!("the mount option `{option}`"))),
            }
        }
        let mounted = mount(docker, source, destination, read_only)?;
        mounts.push(Mount { no_copy, ..mounted });
    }
    for asked in &host.mounts {
        check_options(&asked.rest)?;
        match asked.kind.as_str() {
            "bind" if !asked.source.starts_with('/') => {
                return Err(Refusal::bad(
                    "invalid mount config for type \"bind\": the source must be absolute",
                ));
            }
            "bind" if !std::path::Path::new(&asked.source).exists() => {
                return Err(Refusal::bad(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    asked.source
                )));
            }
            "bind" | "volume" => {
                let volume = asked.rest.get("VolumeOptions");
                if asked.kind == "volume" && volume.is_none_or(|it| it["DriverConfig"].is_null()) {
                    check_driver(&host.volume_driver, &asked.source)?;
                }
                let labels = volume.map(|it| &it["Labels"]);
                let labels = labels.and_then(|it| serde_json::from_value(it.clone()).ok());
                let mut source = asked.source.clone();
                if let Some(labels) = labels.filter(|_| asked.kind == "volume") {
                    let name = Some(source.as_str()).filter(|it| !it.is_empty());
                    source = docker.volumes.ensure_with(name, labels)?.name;
                }
                let mounted = mount(docker, &source, &asked.target, asked.read_only)?;
                let no_copy = volume.map(|it| &it["NoCopy"]);
                let no_copy = no_copy == Some(&Value::Bool(true));
                mounts.push(Mount { no_copy, ..mounted });
            }
            "tmpfs" => {
                check_destination(&asked.target)?;
            }
            other => return Err(Refusal::not_built(format!("a mount of type `{other}`"))),
        }
    }
    for destination in host.tmpfs.keys() {
        check_destination(destination)?;
    }
    let taken: BTreeSet<String> = mounts.iter().map(|it| it.destination.clone()).collect();
    if taken.len() < mounts.len() {
        return Err(Refusal::bad("Duplicate mount point"));
    }
    let mut taken = taken;
    for text in &host.volumes_from {
        for mounted in mounts_of(docker, text)? {
            // What is said of this container itself goes before.
            if !host.tmpfs.contains_key(&mounted.destination)
                && taken.insert(mounted.destination.clone())
            {
                mounts.push(mounted);
            }
        }
    }
    for destination in config.volumes.keys() {
        let tmpfs = host.tmpfs.contains_key(destination);
        if !tmpfs && !taken.contains(destination.trim_end_matches('/')) {
            check_driver(&host.volume_driver, "")?;
            mounts.push(mount(docker, "", destination, false)?);
        }
    }
    Ok(mounts)
}

/// Whether volumes are made by what is there.
pub fn check_driver(driver: &str, volume: &str) -> Result<(), Refusal> {
    match driver {
        "" | "local" => Ok(()),
        driver => Err(Refusal::not_found(format!(
            "create {volume}: error looking up volume plugin {driver}: plugin \"{driver}\" not found"
        ))),
    }
}

/// What is mounted in another container: `name`, `name:ro`.
fn mounts_of(docker: &Docker, text: &str) -> Result<Vec<Mount>, Refusal> {
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    if !matches!(mode, "" | "rw" | "ro" | "z" | "Z") {
        return Err(Refusal::bad(format!("invalid mode: {mode}")));
    }
    // Clients take "not found" for the image.
    let found = docker.containers.find(name);
    let other = found.map_err(|refusal| Refusal::bad(refusal.message))?;
    let of_other = other.record().mounts.into_iter().map(|mut it| {
        it.read_only |= mode == "ro";
        it
    });
    Ok(of_other.collect())
}

/// Where something is mounted in a container, without the last `/`.
fn check_destination(destination: &str) -> Result<String, Refusal> {
    let trimmed = destination.trim_end_matches('/');
    let leads_up = trimmed.split('/').any(|it| it == "..");
    if !destination.starts_with('/') || trimmed.is_empty() || leads_up {
        return Err(Refusal::bad(format!(
            "invalid mount path: '{destination}' mount path must be absolute, not '/' and without '..'"
        )));
    }
    Ok(trimmed.to_owned())
}

/// What else is said of a mount. Only what changes nothing here, or is as it is anyway, is taken.
fn check_options(rest: &BTreeMap<String, Value>) -> Result<(), Refusal> {
    let refuse = |name: &str, value: &Value| {
        Err(Refusal::not_built(format!("`{name}` ({value}) of a mount")))
    };
    for (name, value) in rest.iter().filter(|it| !is_neutral(it.1)) {
        match (name.as_str(), value) {
            ("Consistency", _) => {}
            ("BindOptions" | "VolumeOptions", Value::Object(members)) => {
                for (name, value) in members.iter().filter(|it| !is_neutral(it.1)) {
                    let as_it_is = match name.as_str() {
                        "Propagation" => value == "rprivate",
                        // A source that is not there is refused, so none is ever to be made.
                        "CreateMountpoint" => true,
                        "NoCopy" => value.is_boolean(),
                        // Of one that is made now; one that is there keeps its own.
                        "Labels" => value.is_object(),
                        _ => false,
                    };
                    if !as_it_is {
                        return refuse(name, value);
                    }
                }
            }
            _ => return refuse(name, value),
        }
    }
    Ok(())
}

fn mount(
    docker: &Docker,
    source: &str,
    destination: &str,
    read_only: bool,
) -> Result<Mount, Refusal> {
    let destination = check_destination(destination)?;
    if source.starts_with('/') {
        let policy = docker.policy();
        policy.allow(&format!("mounting the host path `{source}`"))?;
        return Ok(Mount {
            kind: MountKind::Bind,
            name: String::new(),
            source: PathBuf::from(source),
            destination,
            read_only,
            no_copy: false,
        });
    }
    // Made now, as docker does, so that it is there whether the container is ever started or not.
    let volume = docker
        .volumes
        .ensure(Some(source).filter(|it| !it.is_empty()))?;
    Ok(Mount {
        kind: MountKind::Volume,
        source: docker.volumes.data(&volume.name),
        name: volume.name,
        destination,
        read_only,
        no_copy: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use serde_json::json;

    #[test]
    fn what_means_something_and_is_not_built_is_refused() {
        let request = |host: Value| -> Result<(), Refusal> {
            let request =
                serde_json::from_value(json!({ "Image": "x", "HostConfig": host })).unwrap();
            check(&request, Policy::Owner, &mut Vec::new())
        };
        for host in [
            json!({ "DeviceRequests": [{ "Driver": "nvidia", "Count": -1 }] }),
            json!({ "Devices": [{ "PathOnHost": "/dev/null", "PathInContainer": "/data/null" }] }),
            json!({ "Devices": [{ "PathOnHost": "/dev/../etc/x" }] }),
            json!({ "StorageOpt": { "size": "10G" } }),
            json!({ "StorageOpt": { "size": "0" } }),
            json!({ "PidMode": "x" }),
            json!({ "IpcMode": "container:x" }),
            json!({ "LogConfig": { "Type": "syslog" } }),
        ] {
            assert_eq!(
                request(host).unwrap_err().status,
                StatusCode::NOT_IMPLEMENTED
            );
        }
        for host in [
            json!({ "Devices": [], "PidMode": "", "MemorySwappiness": -1, "ConsoleSize": [24, 80] }),
            json!({ "BlkioWeight": 0, "IpcMode": "private" }),
        ] {
            request(host).unwrap();
        }
        for (option, fits) in [
            (json!({ "VolumeOptions": { "Subpath": "a" } }), false),
            (json!({ "VolumeOptions": { "NoCopy": true } }), true),
            (json!({ "VolumeOptions": { "Labels": { "a": "b" } } }), true),
            (
                json!({ "VolumeOptions": { "DriverConfig": { "Options": { "type": "nfs" } } } }),
                false,
            ),
            (
                json!({ "BindOptions": { "Propagation": "rshared" } }),
                false,
            ),
            (
                json!({ "BindOptions": { "CreateMountpoint": true }, "VolumeOptions": {} }),
                true,
            ),
        ] {
            let rest: BTreeMap<String, Value> = serde_json::from_value(option.clone()).unwrap();
            assert_eq!(check_options(&rest).is_ok(), fits, "{option}");
        }
        for (path, fits) in [
            ("/a/", true),
            ("a", false),
            ("/", false),
            ("/a/../../b", false),
        ] {
            assert_eq!(check_destination(path).is_ok(), fits, "{path}");
        }
        let privileged =
            serde_json::from_value(json!({ "HostConfig": { "Privileged": true } })).unwrap();
        let refused = check(&privileged, Policy::Build, &mut Vec::new()).unwrap_err();
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }

    fn asked(host: Value, policy: Policy) -> Result<Vec<String>, Refusal> {
        let request = serde_json::from_value(json!({ "HostConfig": host })).unwrap();
        let mut warnings = Vec::new();
        check(&request, policy, &mut warnings)?;
        Ok(warnings)
    }

    #[test]
    fn there_is_one_runtime_with_many_names_and_no_other() {
        for host in [
            json!({ "Isolation": "default", "Runtime": "runc", "UTSMode": "host" }),
            json!({ "Runtime": "io.containerd.runc.v2", "LogConfig": { "Type": "none" } }),
            json!({ "DeviceCgroupRules": ["c 7:128 rwm", "a *:* r", "b 8:* m"] }),
            // Of nothing that is mounted here.
            json!({ "VolumeDriver": "nfs" }),
        ] {
            asked(host, Policy::Owner).unwrap();
        }
        for (host, message) in [
            (json!({ "Isolation": "hyperv" }), "Invalid isolation"),
            (
                json!({ "Runtime": "kata" }),
                "unknown or invalid runtime name: kata",
            ),
            (json!({ "UTSMode": "x" }), "invalid UTS mode"),
            (
                json!({ "LogConfig": { "Type": "x" } }),
                "plugin \"x\" not found",
            ),
            (json!({ "DeviceCgroupRules": ["c 7 rwm"] }), "'c 7 rwm'"),
            (
                json!({ "DeviceCgroupRules": ["c 7:1:2 rwm"] }),
                "invalid device",
            ),
            (
                json!({ "DeviceCgroupRules": ["c +7:1 rwm"] }),
                "invalid device",
            ),
            (
                json!({ "DeviceCgroupRules": ["d 7:1 rwm"] }),
                "invalid device",
            ),
            (
                json!({ "DeviceCgroupRules": ["c 7:1 x"] }),
                "invalid device",
            ),
        ] {
            let refused = asked(host.clone(), Policy::Owner).unwrap_err();
            assert!(
                refused.message.contains(message),
                "{host} {}",
                refused.message
            );
        }
        let named: CreateRequest =
            serde_json::from_value(json!({ "Hostname": "x", "HostConfig": { "UTSMode": "host" } }))
                .unwrap();
        let refused = check(&named, Policy::Owner, &mut Vec::new()).unwrap_err();
        assert!(refused.message.contains("hostname and the UTS mode"));
    }

    #[test]
    fn what_is_harmless_is_warned_about_by_name() {
        let host = json!({
            "BlkioWeight": 100, "OomScoreAdj": 5, "MemorySwap": 1 << 30, "CgroupParent": "x",
            "KernelMemory": 5 << 20, "Annotations": { "a": "b" },
        });
        let warnings = asked(host, Policy::Owner).unwrap();
        assert_eq!(warnings.len(), 5, "{warnings:?}");
        assert!(
            warnings
                .contains(&"OomScoreAdj is not supported by neargate: it has no effect".to_owned())
        );
    }

    #[test]
    fn a_builds_docker_gives_nothing_of_the_machine() {
        for host in [
            json!({ "Devices": [{ "PathOnHost": "/dev/kvm", "CgroupPermissions": "rw" }] }),
            json!({ "PidMode": "host" }),
            json!({ "IpcMode": "host" }),
            json!({ "DeviceCgroupRules": ["c 7:128 rwm"] }),
            json!({ "Mounts": [{ "Type": "bind", "Source": "/etc", "Target": "/x" }] }),
            json!({ "Mounts": [{ "Type": "bind", "Source": "/not/there", "Target": "/x" }] }),
        ] {
            asked(host.clone(), Policy::Owner).unwrap();
            let refused = asked(host, Policy::Build).unwrap_err();
            assert_eq!(refused.status, StatusCode::FORBIDDEN);
        }
        for host in [
            json!({ "PidMode": "private", "IpcMode": "shareable", "GroupAdd": ["5"] }),
            json!({ "Sysctls": { "net.core.somaxconn": "1024", "kernel.msgmax": "1" } }),
            json!({ "CpusetCpus": "0", "Memory": 64 << 20, "MemoryReservation": 32 << 20 }),
        ] {
            assert_eq!(asked(host, Policy::Build).unwrap(), Vec::<String>::new());
        }
    }

    #[test]
    fn parameters_of_the_machines_kernel_are_nobodys() {
        for host in [
            json!({ "Sysctls": { "kernel.core_pattern": "|/x" } }),
            json!({ "Sysctls": { "vm.swappiness": "1" } }),
            json!({ "Sysctls": { "net./../kernel/core_pattern": "1" } }),
            json!({ "Sysctls": { "net...kernel.core_pattern": "1" } }),
            json!({ "Sysctls": { "net.core.somaxconn": "1" }, "NetworkMode": "host" }),
            json!({ "Sysctls": { "kernel.sem": "1" }, "IpcMode": "host" }),
            json!({ "CpusetCpus": "0-" }),
            json!({ "CpusetCpus": "99999" }),
            json!({ "MemoryReservation": 64 << 20, "Memory": 32 << 20 }),
            json!({ "Devices": [{ "PathOnHost": "kvm", "PathInContainer": "/dev/kvm" }] }),
            json!({ "Devices": [{ "PathOnHost": "/dev/kvm", "CgroupPermissions": "x" }] }),
        ] {
            let refused = asked(host.clone(), Policy::Owner).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{host}");
        }
    }
}
