//! `POST /containers/create`: what is asked for is checked, merged with the image, and recorded.

use std::sync::Arc;

use engine::{Digest, ImageConfig};
use http::StatusCode;
use serde_json::json;

use super::Container;
use super::merge::{image_config, merge};
use super::record::{
    Config, CreateRequest, HostConfig, Joined, Mount, Record, State, Status, VERSION,
};
use super::start::populate;
use super::wanted::{check, mounts};
use crate::answer::{self, Answer, Refusal};
use crate::clock::now_ms;
use crate::disk::random_id;
use crate::docker::Docker;
use crate::images::{is_own_platform, own_platform};
use crate::ports;
use crate::routes::Call;

pub async fn create(call: Call) -> Answer {
    let request: CreateRequest = call.json().await?;
    let docker = call.docker.clone();
    let most = docker.bounds.containers;
    if docker.containers.all().len() >= most {
        return Err(Refusal::failed(format!(
            "there are {most} containers already, which is as many as there may be"
        )));
    }
    docker.check_disk()?;
    let platform = call.query.get("platform").unwrap_or_default();
    if !is_own_platform(platform) {
        return Err(Refusal::not_built(format!(
            "containers for `{platform}` on `{}`",
            own_platform()
        )));
    }
    let mut warnings = Vec::new();
    check(&request, docker.policy(), &mut warnings)?;
    let found = docker.find_image(&request.config.image).await?;
    let details = docker.details(&found.id).await?;
    let of_image: ImageConfig = image_config(&details.run_config());
    let image = request.config.image.clone();
    let mut config = merge(request.config, &of_image);
    let mut host = request.host_config;
    if let Some(other) = host.pid_mode.strip_prefix("container:") {
        // By its id, which stays when it is called otherwise.
        let other = docker.containers.find(other);
        let other = other.map_err(|refusal| Refusal::bad(refusal.message))?;
        host.pid_mode = format!("container:{}", other.record().id);
    }
    let id = random_id();
    // Clients take "not found" for the image, and would pull it.
    let joined = docker
        .joined(&host, &request.networking_config, &config.mac_address)
        .map_err(|refusal| match refusal.status {
            StatusCode::NOT_FOUND => Refusal::bad(refusal.message),
            _ => refusal,
        })?;
    if config.hostname.is_empty() {
        config.hostname = match joined {
            _ if host.uts_mode == "host" => own_hostname(),
            Joined::Host => own_hostname(),
            _ => id[..12].to_owned(),
        };
    }
    if !host.port_bindings.is_empty() && !matches!(joined, Joined::Network(_)) {
        let text = "Published ports are discarded when the container has no network of its own";
        warnings.push(text.to_owned());
    }
    ports::wanted(&host, &config.exposed_ports)?;
    let mounts = mounts(&docker, &config, &host)?;
    let naming = docker.containers.naming.lock().await;
    let name = match call.query.get("name") {
        Some(name) => free_name(&docker, name)?,
        None => generated_name(&docker, &id),
    };
    let record = record(id, name, image, found.id, config, host, mounts, joined);
    if record.argv().is_empty() {
        return Err(Refusal::bad("no command specified"));
    }
    let container = docker.containers.insert(record)?;
    drop(naming);
    let working = container.working.lock().await;
    docker.tell(&container, "create", &[]);
    let record = container.record();
    // Whoever copies from it or to it before it is started finds what it would find then.
    if record.mounts.iter().any(|it| docker.is_to_fill(it)) {
        let image = docker.images.prepare_digest(&record.image_id).await?;
        populate(&docker, &record, &image).await?;
    }
    drop(working);
    let id = record.id;
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
            paused: false,
        },
    }
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
    // Whoever ends it meanwhile takes it off the network.
    let _working = container.working.lock().await;
    let name = free_name(docker, call.query.get("name").unwrap_or_default())?;
    let old = container.record().name;
    container.change(|record| record.name = name)?;
    drop(naming);
    docker.tell(container, "rename", &[("oldName", format!("/{old}"))]);
    if container.record().is_running() {
        // The network's resolver calls it by its new name.
        docker.plug(container).await?;
    }
    docker.tell_hosts().await;
    answer::empty(StatusCode::NO_CONTENT)
}
