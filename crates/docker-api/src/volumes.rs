//! Volumes: directories that outlive containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use engine::{EngineError, Result};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::clock::{now_ms, rfc3339};
use crate::containers::check_driver;
use crate::disk::{self, blocking, random_id};
use crate::docker::Docker;
use crate::events::Event;
use crate::routes::Call;

/// Names are names of directories.
const NAME_BYTES_MAX: usize = 200;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub created_ms: i64,
    pub labels: BTreeMap<String, String>,
    /// Nobody named it.
    pub anonymous: bool,
    /// Nothing has used it: what the image has in its place is copied to it first.
    pub fresh: bool,
}

pub struct Volumes {
    directory: PathBuf,
    all: Mutex<BTreeMap<String, Volume>>,
    /// As many as there may be.
    most: usize,
}

impl Volumes {
    pub fn open(directory: PathBuf, most: usize) -> Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let file = entry?.path().join("volume.json");
            if let Some(volume) = disk::read_json::<Volume>(&file) {
                all.insert(volume.name.clone(), volume);
            }
        }
        Ok(Self {
            directory,
            all: Mutex::new(all),
            most,
        })
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("_data")
    }

    fn write(&self, volume: &Volume) -> Result<()> {
        let file = self.directory.join(&volume.name).join("volume.json");
        disk::write_json(&file, volume)
    }

    /// The volume of this name; it is made when it is not there. Without a name, a new one.
    pub fn ensure(&self, name: Option<&str>) -> Result<Volume, Refusal> {
        self.ensure_with(name, BTreeMap::new())
    }

    pub fn ensure_with(
        &self,
        name: Option<&str>,
        labels: BTreeMap<String, String>,
    ) -> Result<Volume, Refusal> {
        let anonymous = name.is_none();
        let name = name.map_or_else(random_id, str::to_owned);
        let mut bytes = name.bytes();
        let ok = name.len() <= NAME_BYTES_MAX
            && bytes.next().is_some_and(|it| it.is_ascii_alphanumeric())
            && bytes.all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it));
        if !ok {
            return Err(Refusal::bad(format!(
                "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
            )));
        }
        let mut all = self.all.lock().expect("no holder panics");
        if let Some(volume) = all.get(&name) {
            return Ok(volume.clone());
        }
        if all.len() >= self.most {
            return Err(Refusal::failed(format!(
                "there are {} volumes already, which is as many as there may be",
                self.most
            )));
        }
        let volume = Volume {
            name: name.clone(),
            created_ms: now_ms(),
            labels,
            anonymous,
            fresh: true,
        };
        std::fs::create_dir_all(self.data(&name))?;
        self.write(&volume)?;
        all.insert(name, volume.clone());
        Ok(volume)
    }

    fn find(&self, name: &str) -> Result<Volume, Refusal> {
        let all = self.all.lock().expect("no holder panics");
        let volume = all.get(name);
        volume
            .cloned()
            .ok_or_else(|| Refusal::not_found(format!("get {name}: no such volume")))
    }

    pub fn is_fresh(&self, name: &str) -> bool {
        let all = self.all.lock().expect("no holder panics");
        all.get(name).is_some_and(|it| it.fresh)
    }

    pub fn is_anonymous(&self, name: &str) -> bool {
        let all = self.all.lock().expect("no holder panics");
        all.get(name).is_some_and(|it| it.anonymous)
    }

    pub fn set_used(&self, name: &str) -> Result<()> {
        let mut all = self.all.lock().expect("no holder panics");
        match all.get_mut(name) {
            None => Ok(()),
            Some(volume) => {
                volume.fresh = false;
                self.write(volume)
            }
        }
    }

    fn show(&self, volume: &Volume) -> Value {
        json!({
            "Name": volume.name, "Driver": "local", "Mountpoint": self.data(&volume.name),
            "CreatedAt": rfc3339(volume.created_ms), "Labels": volume.labels, "Scope": "local",
            "Options": null,
        })
    }

    fn all(&self) -> Vec<Volume> {
        let all = self.all.lock().expect("no holder panics");
        all.values().cloned().collect()
    }

    fn forget(&self, name: &str) -> Result<()> {
        disk::remove(&self.directory.join(name).join("volume.json"))?;
        disk::remove(&self.directory.join(name))?;
        self.all.lock().expect("no holder panics").remove(name);
        Ok(())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CreateRequest {
    name: String,
    driver: String,
    driver_opts: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    cluster_volume_spec: Option<Value>,
}

pub async fn route(call: Call, method: &Method, words: &[&str]) -> Answer {
    match (method.as_str(), words) {
        ("GET", []) => list(&call),
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [name]) => {
            let volume = call.docker.volumes.find(name)?;
            answer::ok(call.docker.volumes.show(&volume))
        }
        ("DELETE", [name]) => remove(call, name).await,
        _ => Err(Refusal::not_found("page not found")),
    }
}

fn list(call: &Call) -> Answer {
    let filters = call
        .query
        .filters(&["name", "label", "label!", "driver", "dangling"])?;
    let names = filters.patterns("name");
    let docker = &call.docker;
    let all = docker.volumes.all.lock().expect("no holder panics").clone();
    let shown = all.values().filter(|it| {
        let used = || !docker.users_of_volume(&it.name).is_empty();
        names.fits(&it.name)
            && filters.any("driver", |wanted| wanted == "local")
            && filters.labels(&it.labels)
            && filters
                .flag("dangling")
                .is_none_or(|wanted| wanted != used())
    });
    let shown: Vec<Value> = shown.map(|it| docker.volumes.show(it)).collect();
    answer::ok(json!({ "Volumes": shown, "Warnings": [] }))
}

async fn create(call: Call) -> Answer {
    let request: CreateRequest = call.json().await?;
    check_driver(&request.driver, &request.name)?;
    if !request.driver_opts.is_empty() || request.cluster_volume_spec.is_some() {
        return Err(Refusal::not_built("an option of a volume's driver"));
    }
    let name = Some(request.name.as_str()).filter(|it| !it.is_empty());
    let volumes = &call.docker.volumes;
    let volume = volumes.ensure_with(name, request.labels)?;
    call.docker.events.tell(event("create", &volume));
    Ok(answer::json(StatusCode::CREATED, &volumes.show(&volume)))
}

fn event(action: &str, volume: &Volume) -> Event {
    Event {
        kind: "volume",
        action: action.to_owned(),
        id: volume.name.clone(),
        attributes: BTreeMap::from([("driver".to_owned(), "local".to_owned())]),
        time_ms: now_ms(),
    }
}

impl Docker {
    /// Ids of containers that it is mounted in, running or not.
    fn users_of_volume(&self, name: &str) -> Vec<String> {
        let all = self.containers.all();
        let records = all.iter().map(|it| it.record());
        let users = records.filter(|it| it.mounts.iter().any(|mount| mount.name == name));
        users.map(|it| it.id).collect()
    }

    /// All volumes, with what they have on disk and how many containers have them.
    pub(crate) fn volumes_in_use(&self) -> Vec<Value> {
        let mut users: BTreeMap<String, u64> = BTreeMap::new();
        for container in self.containers.all() {
            let names = container.record().mounts.into_iter().map(|it| it.name);
            for name in names.collect::<BTreeSet<_>>() {
                *users.entry(name).or_default() += 1;
            }
        }
        let show = |volume: &Volume| {
            let mut shown = self.volumes.show(volume);
            let bytes = disk::bytes_below(&self.volumes.data(&volume.name));
            let users = users.get(&volume.name).copied().unwrap_or_default();
            shown["UsageData"] = json!({ "Size": bytes, "RefCount": users });
            shown
        };
        self.volumes.all().iter().map(show).collect()
    }

    /// Removes a volume that no container has.
    pub(crate) async fn remove_volume(self: &std::sync::Arc<Self>, name: &str) -> Result<()> {
        let (docker, name) = (self.clone(), name.to_owned());
        blocking(move || docker.volumes.forget(&name)).await
    }
}

async fn remove(call: Call, name: &str) -> Answer {
    let docker = &call.docker;
    let volume = match docker.volumes.find(name) {
        Err(_) if call.query.flag("force") => return answer::empty(StatusCode::NO_CONTENT),
        found => found?,
    };
    let users = docker.users_of_volume(name);
    if !users.is_empty() {
        return Err(Refusal::conflict(format!(
            "remove {name}: volume is in use - [{}]",
            users.join(", ")
        )));
    }
    docker.remove_volume(name).await?;
    docker.events.tell(event("destroy", &volume));
    answer::empty(StatusCode::NO_CONTENT)
}

async fn prune(call: Call) -> Answer {
    let filters = call.query.filters(&["all", "label", "label!"])?;
    let named_too = filters.flag("all").unwrap_or(call.version < (1, 42));
    let docker = &call.docker;
    let all = docker.volumes.all.lock().expect("no holder panics").clone();
    let (mut removed, mut bytes) = (Vec::new(), 0_u64);
    for volume in all.values() {
        let wanted = (named_too || volume.anonymous)
            && filters.labels(&volume.labels)
            && docker.users_of_volume(&volume.name).is_empty();
        if wanted {
            let data = docker.volumes.data(&volume.name);
            bytes += blocking(move || Ok::<_, EngineError>(disk::bytes_below(&data))).await?;
            docker.remove_volume(&volume.name).await?;
            docker.events.tell(event("destroy", volume));
            removed.push(&volume.name);
        }
    }
    answer::ok(json!({ "VolumesDeleted": removed, "SpaceReclaimed": bytes }))
}
