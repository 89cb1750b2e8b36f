//! What is asked of a container: what means something and is not built is refused by name, and what
//! a socket's users may not have by policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::record::{Config, CreateRequest, HostConfig, Mount, MountKind, no_new_privileges};
use crate::answer::Refusal;
use crate::docker::Docker;
use crate::policy::Policy;

/// Whether a value asks for nothing.
fn is_neutral(value: &Value) -> bool {
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
    "OomKillDisable",
    "OnBuild",
    "Shell",
    "ArgsEscaped",
    "Platform",
];

pub fn check(
    request: &CreateRequest,
    policy: Policy,
    warnings: &mut Vec<&str>,
) -> Result<(), Refusal> {
    let host = &request.host_config;
    for (name, value) in request.config.rest.iter().chain(&host.rest) {
        if is_neutral(value) || WITHOUT_EFFECT.contains(&name.as_str()) {
            continue;
        }
        match name.as_str() {
            // Swap is the machine's matter; a limit of it is not set.
            "MemorySwap" => {
                warnings.push("Swap limits are not supported: MemorySwap has no effect")
            }
            "IpcMode" if value == "shareable" => {}
            _ => return Err(Refusal::not_built(format!("`{name}` ({value})"))),
        }
    }
    if !request.config.domainname.is_empty() {
        return Err(Refusal::not_built("`Domainname`"));
    }
    if !matches!(host.log_config.kind.as_str(), "" | "json-file" | "local") {
        return Err(Refusal::not_built(format!(
            "the log driver `{}`",
            host.log_config.kind
        )));
    }
    if !host.log_config.config.is_empty() {
        warnings.push(
            "Options of log drivers are not supported: they have no effect, the log is kept whole",
        );
    }
    if host.rest.get("OomKillDisable") == Some(&Value::Bool(true)) {
        warnings.push("OomKillDisable is not supported: it has no effect");
    }
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
    let policy_name = host.restart_policy.name.as_str();
    if !matches!(
        policy_name,
        "" | "no" | "always" | "unless-stopped" | "on-failure"
    ) {
        return Err(Refusal::bad(format!(
            "invalid restart policy: {policy_name}"
        )));
    }
    if host.auto_remove && !matches!(policy_name, "" | "no") {
        return Err(Refusal::bad(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    if !host.port_bindings.is_empty() || host.publish_all_ports {
        policy.allow("publishing ports of the host")?;
    }
    for entry in &host.extra_hosts {
        let (name, address) = entry.split_once([':', '=']).unwrap_or((entry, ""));
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
        if address == "host-gateway" {
            return Err(Refusal::not_built(
                "`host-gateway`: containers do not reach the machine itself, and it",
            ));
        }
        if name.is_empty()
            || !name.bytes().all(plain)
            || address.parse::<std::net::IpAddr>().is_err()
        {
            return Err(Refusal::bad(format!(
                "bad format for add-host: \"{entry}\""
            )));
        }
    }
    const MEMORY_MIN: i64 = 6 << 20;
    if host.memory != 0 && host.memory < MEMORY_MIN {
        return Err(Refusal::bad("Minimum memory limit allowed is 6MB"));
    }
    for options in host.tmpfs.values() {
        let plain = ["", "rw", "nosuid", "nodev", "noexec"];
        if let Some(option) = options.split(',').find(|it| !plain.contains(it)) {
            return Err(Refusal::not_built(format!("the tmpfs option `{option}`")));
        }
    }
    Ok(())
}

/// Binds, mounts, and the image's volumes that nothing else is mounted over.
pub fn mounts(docker: &Docker, config: &Config, host: &HostConfig) -> Result<Vec<Mount>, Refusal> {
    let mut mounts: Vec<Mount> = Vec::new();
    for bind in &host.binds {
        let bad = || Refusal::bad(format!("invalid volume specification: '{bind}'"));
        let (source, rest) = bind.split_once(':').ok_or_else(bad)?;
        let (destination, options) = rest.split_once(':').unwrap_or((rest, ""));
        let mut read_only = false;
        for option in options.split(',') {
            match option {
                // Labels and propagation are of systems that are not here.
                "" | "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "rprivate"
                | "private" => {}
                "ro" => read_only = true,
                _ => return Err(Refusal::not_built(format!("the mount option `{option}`"))),
            }
        }
        mounts.push(mount(docker, source, destination, read_only)?);
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
                mounts.push(mount(
                    docker,
                    &asked.source,
                    &asked.target,
                    asked.read_only,
                )?);
            }
            "tmpfs" if asked.read_only => {
                return Err(Refusal::not_built("a tmpfs that is read-only"));
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
    for destination in config.volumes.keys() {
        let tmpfs = host.tmpfs.contains_key(destination);
        if !tmpfs && !taken.contains(destination.trim_end_matches('/')) {
            mounts.push(mount(docker, "", destination, false)?);
        }
    }
    Ok(mounts)
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
            json!({ "Devices": [{ "PathOnHost": "/dev/kvm" }] }),
            json!({ "PidMode": "host" }),
            json!({ "Sysctls": { "a": "1" } }),
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
            (json!({ "VolumeOptions": { "NoCopy": true } }), false),
            (
                json!({ "VolumeOptions": { "DriverConfig": { "Options": { "type": "nfs" } } } }),
                false,
            ),
            (
                json!({ "BindOptions": { "Propagation": "rshared" } }),
                false,
            ),
            (json!({ "TmpfsOptions": { "SizeBytes": 1024 } }), false),
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
}
