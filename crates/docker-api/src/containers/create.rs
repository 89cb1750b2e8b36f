//! `POST /containers/create`: what is asked for is checked, merged with the image, and recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use engine::{Digest, ImageConfig};
use http::StatusCode;
use serde_json::{Value, json};

use super::Container;
use super::record::{
    Config, CreateRequest, Health, HostConfig, Joined, Mount, MountKind, Record, State, Status,
    VERSION,
};
use crate::answer::{self, Answer, Refusal};
use crate::clock::now_ms;
use crate::disk::random_id;
use crate::docker::Docker;
use crate::limits::CONTAINERS_MAX;
use crate::policy::Policy;
use crate::ports;
use crate::routes::Call;

pub async fn create(mut call: Call) -> Answer {
    let request: CreateRequest = call.json().await?;
    let docker = call.docker.clone();
    if docker.containers.all().len() >= CONTAINERS_MAX {
        return Err(Refusal::failed(format!(
            "there are {CONTAINERS_MAX} containers already"
        )));
    }
    let mut warnings = Vec::new();
    check(&request, call.policy, &mut warnings)?;
    let found = docker.find_image(&request.config.image).await?;
    let details = docker.details(&found.id).await?;
    let of_image: ImageConfig = image_config(&details.run_config());
    let image = request.config.image.clone();
    let mut config = merge(request.config, &of_image);
    let host = request.host_config;
    let id = random_id();
    // Clients take "not found" for the image, and would pull it.
    let joined = docker
        .joined(&host, &request.networking_config, call.policy)
        .map_err(|refusal| match refusal.status {
            StatusCode::NOT_FOUND => Refusal::bad(refusal.message),
            _ => refusal,
        })?;
    if config.hostname.is_empty() {
        config.hostname = match joined {
            Joined::Host => own_hostname(),
            _ => id[..12].to_owned(),
        };
    }
    if !host.port_bindings.is_empty() && !matches!(joined, Joined::Network(_)) {
        warnings.push("Published ports are discarded when the container has no network of its own");
    }
    ports::wanted(&host, &config.exposed_ports)?;
    let mounts = mounts(&docker, &config, &host, call.policy)?;
    let naming = docker.containers.naming.lock().await;
    let name = match call.query.get("name") {
        Some(name) => free_name(&docker, name)?,
        None => generated_name(&docker, &id),
    };
    let record = record(
        id,
        name,
        image,
        found.id,
        config,
        host,
        mounts,
        joined,
        call.policy,
    );
    if record.argv().is_empty() {
        return Err(Refusal::bad("no command specified"));
    }
    let container = docker.containers.insert(record)?;
    drop(naming);
    docker.tell(&container, "create", &[]);
    let id = container.record().id;
    Ok(answer::json(
        StatusCode::CREATED,
        &json!({ "Id": id, "Warnings": warnings }),
    ))
}

/// The machine's.
fn own_hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[allow(clippy::too_many_arguments)]
fn record(
    id: String,
    name: String,
    image: String,
    image_id: Digest,
    config: Config,
    host: HostConfig,
    mounts: Vec<Mount>,
    joined: Joined,
    policy: Policy,
) -> Record {
    Record {
        version: VERSION,
        id,
        name,
        created_ms: now_ms(),
        image,
        image_id,
        config,
        host,
        mounts,
        joined,
        state: State {
            status: Status::Created,
            started_ms: None,
            finished_ms: None,
            exit_code: 0,
            error: String::new(),
            out_of_memory: false,
            restarts: 0,
            stopped_by_hand: false,
            exits: 0,
            bound: Vec::new(),
        },
        of_build: policy.is_build(),
    }
}

fn image_config(config: &Value) -> ImageConfig {
    let list = |name: &str| serde_json::from_value(config[name].clone()).unwrap_or_default();
    let keys = |name: &str| -> Vec<String> {
        let members = config[name].as_object().into_iter().flatten();
        members.map(|it| it.0.clone()).collect()
    };
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    ImageConfig {
        entrypoint: list("Entrypoint"),
        cmd: list("Cmd"),
        env: list("Env"),
        working_dir: text("WorkingDir"),
        user: text("User"),
        exposed_ports: keys("ExposedPorts"),
        volumes: keys("Volumes"),
        labels: serde_json::from_value(config["Labels"].clone()).unwrap_or_default(),
        stop_signal: Some(text("StopSignal")).filter(|it| !it.is_empty()),
        healthcheck: None,
        shell: Vec::new(),
    }
    .with_health(config)
}

/// Keeps docker's own form of the health check beside the engine's.
trait WithHealth {
    fn with_health(self, config: &Value) -> Self;
}

impl WithHealth for ImageConfig {
    fn with_health(mut self, config: &Value) -> Self {
        const NS_PER_MS: u64 = 1_000_000;
        let health: Option<Health> = serde_json::from_value(config["Healthcheck"].clone()).ok();
        self.healthcheck = health.map(|it| engine::HealthCheck {
            command: it.test,
            interval_ms: it.interval / NS_PER_MS,
            timeout_ms: it.timeout / NS_PER_MS,
            start_period_ms: it.start_period / NS_PER_MS,
            retries: it.retries,
        });
        self
    }
}

/// What the client did not say, the image says.
fn merge(mut config: Config, image: &ImageConfig) -> Config {
    // An empty entry point takes the image's away; so does any of one's own the image's command.
    let own_entrypoint = config.entrypoint.take();
    if own_entrypoint.is_none() && config.cmd.as_ref().is_none_or(Vec::is_empty) {
        config.cmd = Some(image.cmd.clone()).filter(|it| !it.is_empty());
    }
    config.entrypoint = match own_entrypoint {
        Some(words) => Some(words).filter(|it| !it.is_empty() && *it != [""]),
        None => Some(image.entrypoint.clone()).filter(|it| !it.is_empty()),
    };
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let own: BTreeSet<String> = config.env.iter().map(|it| name(it)).collect();
    let mut env: Vec<String> = image.env.clone();
    env.retain(|it| !own.contains(&name(it)));
    // A name alone takes a variable away.
    env.extend(config.env.into_iter().filter(|it| it.contains('=')));
    config.env = env;
    let or = |own: String, image: &String| if own.is_empty() { image.clone() } else { own };
    config.working_dir = or(config.working_dir, &image.working_dir);
    config.user = or(config.user, &image.user);
    let signal = image.stop_signal.clone().unwrap_or_default();
    config.stop_signal = or(config.stop_signal, &signal);
    for (key, value) in &image.labels {
        config
            .labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    let empty = |key: &String| (key.clone(), BTreeMap::new());
    config
        .exposed_ports
        .extend(image.exposed_ports.iter().map(empty));
    config.volumes.extend(image.volumes.iter().map(empty));
    if let Some(check) = &image.healthcheck {
        const NS_PER_MS: u64 = 1_000_000;
        let own = config.healthcheck.get_or_insert_default();
        let or = |own: u64, ms: u64| if own == 0 { ms * NS_PER_MS } else { own };
        if own.test.is_empty() {
            own.test = check.command.clone();
        }
        own.interval = or(own.interval, check.interval_ms);
        own.timeout = or(own.timeout, check.timeout_ms);
        own.start_period = or(own.start_period, check.start_period_ms);
        if own.retries == 0 {
            own.retries = check.retries;
        }
    }
    config
}

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

fn check(request: &CreateRequest, policy: Policy, warnings: &mut Vec<&str>) -> Result<(), Refusal> {
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
        if !matches!(
            option.as_str(),
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true"
        ) {
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
fn mounts(
    docker: &Docker,
    config: &Config,
    host: &HostConfig,
    policy: Policy,
) -> Result<Vec<Mount>, Refusal> {
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
                "nocopy" => {}
                _ => return Err(Refusal::not_built(format!("the mount option `{option}`"))),
            }
        }
        mounts.push(mount(docker, source, destination, read_only, policy)?);
    }
    for asked in &host.mounts {
        if let Some((name, value)) = asked.rest.iter().find(|it| !is_neutral(it.1)) {
            let harmless = matches!(
                name.as_str(),
                "Consistency" | "BindOptions" | "VolumeOptions" | "TmpfsOptions"
            );
            if !harmless || name == "TmpfsOptions" {
                return Err(Refusal::not_built(format!("`{name}` ({value}) of a mount")));
            }
        }
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
                    policy,
                )?);
            }
            "tmpfs" => {}
            other => return Err(Refusal::not_built(format!("a mount of type `{other}`"))),
        }
    }
    let taken: BTreeSet<String> = mounts.iter().map(|it| it.destination.clone()).collect();
    if taken.len() < mounts.len() {
        return Err(Refusal::bad("Duplicate mount point"));
    }
    for destination in config.volumes.keys() {
        let tmpfs = host.tmpfs.contains_key(destination);
        if !tmpfs && !taken.contains(destination.trim_end_matches('/')) {
            mounts.push(mount(docker, "", destination, false, policy)?);
        }
    }
    Ok(mounts)
}

fn mount(
    docker: &Docker,
    source: &str,
    destination: &str,
    read_only: bool,
    policy: Policy,
) -> Result<Mount, Refusal> {
    let trimmed = destination.trim_end_matches('/');
    if !destination.starts_with('/') || trimmed.is_empty() {
        return Err(Refusal::bad(format!(
            "invalid mount path: '{destination}' mount path must be absolute and not '/'"
        )));
    }
    let destination = trimmed.to_owned();
    if source.starts_with('/') {
        policy.allow(&format!("mounting the host path `{source}`"))?;
        return Ok(Mount {
            kind: MountKind::Bind,
            name: String::new(),
            source: PathBuf::from(source),
            destination,
            read_only,
        });
    }
    // Made now, as docker does, so that it is there whether the container is ever started or not.
    let volume = docker
        .volumes
        .ensure(Some(source).filter(|it| !it.is_empty()), policy)?;
    Ok(Mount {
        kind: MountKind::Volume,
        source: docker.volumes.data(&volume.name),
        name: volume.name,
        destination,
        read_only,
    })
}

fn free_name(docker: &Docker, name: &str) -> Result<String, Refusal> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = name.bytes();
    let ok = bytes.next().is_some_and(|it| it.is_ascii_alphanumeric())
        && name.len() > 1
        && name.len() <= 255
        && bytes.all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it));
    if !ok {
        return Err(Refusal::bad(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )));
    }
    let all = docker.containers.all();
    match all.iter().map(|it| it.record()).find(|it| it.name == name) {
        None => Ok(name.to_owned()),
        Some(other) => Err(Refusal::conflict(format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
            other.id
        ))),
    }
}

/// Two words, as docker has it, out of the id.
fn generated_name(docker: &Docker, id: &str) -> String {
    const FIRST: [&str; 16] = [
        "bold", "brave", "bright", "calm", "clever", "eager", "fair", "gentle", "happy", "keen",
        "kind", "lucky", "proud", "quiet", "swift", "wise",
    ];
    const SECOND: [&str; 16] = [
        "badger", "beaver", "crane", "falcon", "finch", "fox", "hare", "heron", "lark", "lynx",
        "marten", "otter", "owl", "robin", "seal", "stork",
    ];
    let digit = |at: usize| usize::from_str_radix(&id[at..=at], 16).unwrap_or_default();
    let name = format!("{}_{}", FIRST[digit(0)], SECOND[digit(1)]);
    match free_name(docker, &name) {
        Ok(name) => name,
        Err(_) => format!("{name}_{}", &id[..12]),
    }
}

/// `POST /containers/{id}/rename`
pub async fn rename(call: Call, container: &Arc<Container>) -> Answer {
    let docker = &call.docker;
    let naming = docker.containers.naming.lock().await;
    let name = free_name(docker, call.query.get("name").unwrap_or_default())?;
    let old = container.record().name;
    container.change(|record| record.name = name)?;
    drop(naming);
    docker.tell(container, "rename", &[("oldName", format!("/{old}"))]);
    docker.tell_hosts().await;
    answer::empty(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn the_image_says_what_the_client_does_not() {
        let image = ImageConfig {
            entrypoint: words(&["/entry"]),
            cmd: words(&["serve"]),
            env: words(&["PATH=/bin", "A=image"]),
            user: "app".to_owned(),
            ..ImageConfig::default()
        };
        let check = |entrypoint: Option<&[&str]>, cmd: Option<&[&str]>, expect: &[&str]| {
            let config = Config {
                entrypoint: entrypoint.map(words),
                cmd: cmd.map(words),
                env: words(&["A=own", "PATH"]),
                ..Config::default()
            };
            let merged = merge(config, &image);
            let argv: Vec<String> = [merged.entrypoint, merged.cmd]
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            assert_eq!(argv, expect);
            assert_eq!(merged.env, ["A=own"]);
            assert_eq!(merged.user, "app");
        };
        check(None, None, &["/entry", "serve"]);
        check(None, Some(&["run"]), &["/entry", "run"]);
        check(Some(&["/own"]), None, &["/own"]);
        check(Some(&[""]), Some(&["run"]), &["run"]);
    }

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
        let privileged =
            serde_json::from_value(json!({ "HostConfig": { "Privileged": true } })).unwrap();
        let refused = check(&privileged, Policy::Build, &mut Vec::new()).unwrap_err();
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
}
