//! What the engine says of itself, and logins.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use engine::RegistryLogin;
use http::{Response, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{self, Answer, Body, Refusal};
use crate::clock::rfc3339;
use crate::disk::blocking;
use crate::docker::Docker;
use crate::routes::{Call, VERSION_MAX, VERSION_MIN};

fn version_text((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

/// What every answer carries.
pub fn sign(docker: &Docker, response: &mut Response<Body>) {
    answer::set(response, "api-version", &version_text(VERSION_MAX));
    answer::set(response, "ostype", "linux");
    answer::set(response, "docker-experimental", "false");
    answer::set(
        response,
        header::SERVER,
        &format!("neargate/{} (linux)", docker.version),
    );
}

pub fn ping() -> Answer {
    let mut response = answer::text("OK");
    // Clients with buildx speak BuildKit's API whatever is said here. Older ones, which have BuildKit's client
    // built in (20.10), would take "2" for `POST /build?version=2`, which is not built: they take the classic
    // builder.
    answer::set(&mut response, "builder-version", "1");
    answer::set(&mut response, "swarm", "inactive");
    answer::set(
        &mut response,
        header::CACHE_CONTROL,
        "no-cache, no-store, must-revalidate",
    );
    Ok(response)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub async fn version(call: Call) -> Answer {
    let own = &call.docker.version;
    let kernel = read("/proc/sys/kernel/osrelease");
    let (api, oldest) = (version_text(VERSION_MAX), version_text(VERSION_MIN));
    answer::ok(json!({
        "Platform": { "Name": "neargate" },
        "Components": [{
            "Name": "Engine", "Version": own,
            "Details": {
                "ApiVersion": api, "MinAPIVersion": oldest, "Arch": architecture(), "Os": "linux",
                "KernelVersion": kernel, "Experimental": "false", "GitCommit": "", "GoVersion": "",
                "BuildTime": "",
            },
        }],
        "Version": own, "ApiVersion": api, "MinAPIVersion": oldest, "GitCommit": "",
        "GoVersion": "", "Os": "linux", "Arch": architecture(), "KernelVersion": kernel,
        "BuildTime": "",
    }))
}

pub async fn info(call: Call) -> Answer {
    let docker = &call.docker;
    let (running, paused, stopped) = docker.containers.counts();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or("Linux", |name| name.trim_matches('"'));
    let memory_kib: u64 = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    answer::ok(json!({
        "ID": "neargate", "Name": read("/proc/sys/kernel/hostname"),
        "Containers": running + paused + stopped, "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": stopped, "Images": docker.local_images().await?.len(),
        "Driver": "overlay2", "DriverStatus": [], "DockerRootDir": docker.directory,
        "Plugins": { "Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": null, "Log": ["json-file"] },
        "MemoryLimit": true, "SwapLimit": false, "CpuCfsPeriod": true, "CpuCfsQuota": true,
        "CPUShares": true, "CPUSet": true, "PidsLimit": true, "IPv4Forwarding": true,
        "OomKillDisable": false, "Debug": false, "NFd": 0, "NGoroutines": 0,
        "SystemTime": rfc3339(crate::clock::now_ms()), "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs", "CgroupVersion": "1", "NEventsListener": 0,
        "KernelVersion": read("/proc/sys/kernel/osrelease"), "OperatingSystem": system,
        "OSVersion": "", "OSType": "linux", "Architecture": std::env::consts::ARCH,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": { "InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}, "Mirrors": [] },
        "NCPU": processors, "MemTotal": memory_kib * 1024,
        "HttpProxy": "", "HttpsProxy": "", "NoProxy": "", "Labels": [],
        "ExperimentalBuild": false, "ServerVersion": docker.version,
        "Runtimes": { "neargate": { "path": "neargate" } }, "DefaultRuntime": "neargate",
        "Swarm": { "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "", "RemoteManagers": null },
        "LiveRestoreEnabled": true, "Isolation": "", "InitBinary": "neargate",
        "SecurityOptions": ["name=seccomp,profile=builtin"], "Warnings": [],
    }))
}

/// `GET /system/df`: of the kinds that are asked for, or of all.
pub async fn disk_usage(call: Call) -> Answer {
    let docker = call.docker.clone();
    let kinds: Vec<String> = call.query.all("type").map(str::to_owned).collect();
    let known = ["container", "image", "volume", "build-cache"];
    if let Some(kind) = kinds.iter().find(|it| !known.contains(&it.as_str())) {
        return Err(Refusal::bad(format!("unknown object type: {kind}")));
    }
    let wants = |kind: &str| kinds.is_empty() || kinds.iter().any(|it| it == kind);
    let mut usage = json!({});
    if wants("image") {
        let images = docker.local_images().await?;
        let total: u64 = images.iter().map(|it| it.size_bytes).sum();
        let images: Vec<Value> = images.iter().map(|it| it.summary(&docker)).collect();
        usage["LayersSize"] = json!(total);
        usage["Images"] = json!(images);
    }
    let (containers, volumes) = (wants("container"), wants("volume"));
    // Every file of them is looked at.
    let (containers, volumes) = blocking(move || {
        let containers = containers.then(|| docker.containers.summaries());
        Ok((containers, volumes.then(|| docker.volumes_in_use())))
    })
    .await?;
    for (name, value) in [("Containers", containers), ("Volumes", volumes)] {
        if let Some(value) = value {
            usage[name] = json!(value);
        }
    }
    if wants("build-cache") {
        usage["BuildCache"] = json!([]);
    }
    answer::ok(usage)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AuthConfig {
    username: String,
    password: String,
    auth: String,
    serveraddress: String,
    identitytoken: String,
}

/// Any of the alphabets and paddings that clients use.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let plain = text.trim().replace('-', "+").replace('_', "/");
    GeneralPurpose::new(&base64::alphabet::STANDARD, config)
        .decode(plain)
        .ok()
}

/// The login that comes with a pull or a push, if any.
pub fn login_of(call: &Call) -> Result<Option<RegistryLogin>, Refusal> {
    let bad = || Refusal::bad("invalid X-Registry-Auth header");
    let Some(header) = call.header("x-registry-auth").filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let bytes = decode_base64(header).ok_or_else(bad)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let config: AuthConfig = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if !config.identitytoken.is_empty() {
        return Err(Refusal::not_built("a login by an identity token"));
    }
    Ok(config.login())
}

/// Logins by host, as a build sends them. None when they cannot be read.
pub fn logins_in(header: &str) -> Option<BTreeMap<String, RegistryLogin>> {
    let bytes = decode_base64(header)?;
    let configs: BTreeMap<String, AuthConfig> = serde_json::from_slice(&bytes).ok()?;
    let logins = configs.into_iter().filter_map(|(address, config)| {
        let host = address
            .split_once("://")
            .map_or(address.as_str(), |it| it.1);
        let host = match host.split('/').next().unwrap_or_default() {
            "index.docker.io" => "docker.io",
            host => host,
        };
        Some((host.to_owned(), config.login()?))
    });
    Some(logins.collect())
}

impl AuthConfig {
    fn login(self) -> Option<RegistryLogin> {
        if !self.username.is_empty() {
            return Some(RegistryLogin {
                username: self.username,
                password: self.password,
            });
        }
        let decoded = String::from_utf8(decode_base64(&self.auth)?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        Some(RegistryLogin {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }
}

/// `POST /auth`: `docker login`.
pub async fn log_in(call: Call) -> Answer {
    let config: AuthConfig = call.json().await?;
    let address = config.serveraddress.clone();
    let host = address
        .split_once("://")
        .map_or(address.as_str(), |it| it.1);
    let host = host.split('/').next().unwrap_or_default().to_owned();
    if !call.docker.registry.is_own(&host) {
        return Err(Refusal::not_built(format!(
            "logging in to `{host}` (only to the registry of this machine)"
        )));
    }
    let accepted = config
        .login()
        .is_some_and(|it| call.docker.registry.accepts(&it));
    match accepted {
        true => answer::ok(json!({ "IdentityToken": "", "Status": "Login Succeeded" })),
        false => Err(Refusal::unauthorized(format!(
            "login attempt to https://{host}/v2/ failed with status: 400 Bad Request"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_come_in_two_forms() {
        let of = |text: &str| serde_json::from_str::<AuthConfig>(text).unwrap().login();
        let login = of(r#"{"username":"u","password":"p"}"#).unwrap();
        assert_eq!(
            (login.username.as_str(), login.password.as_str()),
            ("u", "p")
        );
        let login = of(r#"{"auth":"dTpw"}"#).unwrap();
        assert_eq!(
            (login.username.as_str(), login.password.as_str()),
            ("u", "p")
        );
        assert!(of("{}").is_none());
        let whole = r#"{"https://index.docker.io/v1/":{"username":"u","password":"p"},"x":{}}"#;
        let encoded = base64::engine::general_purpose::URL_SAFE.encode(whole);
        let logins = logins_in(&encoded).unwrap();
        assert_eq!(logins.keys().collect::<Vec<_>>(), ["docker.io"]);
        assert_eq!(decode_base64("_-8").unwrap(), [0xff, 0xef]);
    }
}
