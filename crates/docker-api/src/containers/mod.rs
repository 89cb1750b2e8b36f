//! Containers: each is a task of the engine with one container in it.
//!
//! ```text
//!            create             start                     ends
//!   (nothing) ────► Created ───────────► Running ─────────────────────► Exited
//!                                         ▲   │ ends, to be restarted      │
//!                                         │   ▼                            │
//!                                       Restarting            start ◄──────┘
//! ```
//!
//! The record says what was last seen; whether it is still so is asked of the engine (`follow.rs`),
//! after a restart of this process as at any other time.

mod attach;
mod copy;
mod create;
mod defaults;
mod detach;
mod end;
mod exec;
mod follow;
#[cfg(test)]
mod hostile_input;
mod list;
mod logs;
mod merge;
mod pause;
mod record;
mod show;
mod start;
mod stats;
mod tmpfs;
mod update;
mod wanted;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use engine::{AttachInput, Attached, Digest, Result};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::answer::{self, Answer, Refusal};
use crate::clock::now_ms;
use crate::disk;
use crate::docker::Docker;
use crate::events::Event;
use crate::limits::NOTE_WAIT;
use crate::ports::Published;
use crate::routes::Call;

pub use exec::route as route_exec;
pub use follow::follow;
pub use merge::merge;
#[cfg(test)]
pub use record::PortBinding;
pub use record::{
    Bound, Config, Empty, Endpoint, EndpointRequest, HOST_GATEWAY, HostConfig, Joined,
    NetworkingConfig, PortProtocol, Record, is_plain, parse_mac, show_mac,
};
pub use wanted::{check_driver, check_hosts};

/// The one container of a task.
pub const MAIN: &str = "main";

pub struct Containers {
    directory: PathBuf,
    all: Mutex<BTreeMap<String, Arc<Container>>>,
    execs: exec::Execs,
    /// Held while a name is chosen and taken.
    naming: tokio::sync::Mutex<()>,
}

pub struct Container {
    directory: PathBuf,
    record: Mutex<Record>,
    /// Counts changes of the record; closed when the container is removed.
    changed: watch::Sender<u64>,
    pub removed: std::sync::atomic::AtomicBool,
    /// Held while it is started, ended or removed.
    pub working: Arc<tokio::sync::Mutex<()>>,
    /// Those who attached before it was started.
    waiting: Mutex<Vec<(AttachInput, oneshot::Sender<Attached>)>>,
    published: Mutex<Option<Published>>,
    /// What `inspect` last knew of its health.
    health: Mutex<engine::Health>,
    /// What its checks said before it ended.
    checks: Mutex<engine::HealthLog>,
}

impl Container {
    fn new(directory: PathBuf, record: Record) -> Arc<Self> {
        Arc::new(Self {
            directory,
            record: Mutex::new(record),
            changed: watch::channel(0).0,
            removed: false.into(),
            working: Arc::default(),
            waiting: Mutex::default(),
            published: Mutex::default(),
            health: Mutex::new(engine::Health::Unknown),
            checks: Mutex::default(),
        })
    }

    pub fn record(&self) -> Record {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("no holder panics")
    }

    /// Changes the record, on disk when this returns, and wakes those who wait.
    pub fn change(&self, change: impl FnOnce(&mut Record)) -> Result<Record> {
        let mut record = self.lock();
        let mut changed = record.clone();
        change(&mut changed);
        disk::write_json(&record_file(&self.directory), &changed)?;
        *record = changed.clone();
        drop(record);
        self.wake();
        Ok(changed)
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn is_removed(&self) -> bool {
        self.removed.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Waits until an end that the engine knows of is recorded. Not for ever: whoever records it may wait too.
    pub async fn until_noted(&self) {
        let mut changes = self.changes();
        while self.record().is_running() && !self.is_removed() {
            let noted = tokio::time::timeout(NOTE_WAIT, changes.changed()).await;
            if noted.is_err() {
                return;
            }
        }
    }

    /// What it changed in its root.
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    /// Leads its published ports to where it is now.
    pub fn publish_at_address(&self) {
        let address = self.record().address();
        let published = self.published.lock().expect("no holder panics");
        if let (Some(published), Some(address)) = (&*published, address) {
            published.lead_to(address);
        }
    }

    fn last_health(&self) -> engine::HealthLog {
        self.checks.lock().expect("no holder panics").clone()
    }

    pub fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub fn event(&self, action: &str, more: &[(&str, String)]) -> Event {
        let record = self.lock();
        let mut attributes = record.config.labels.clone();
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.insert("image".to_owned(), record.image.clone());
        attributes.extend(more.iter().map(|it| (it.0.to_owned(), it.1.clone())));
        Event {
            kind: "container",
            action: action.to_owned(),
            id: record.id.clone(),
            attributes,
            time_ms: now_ms(),
        }
    }
}

fn record_file(directory: &Path) -> PathBuf {
    directory.join("container.json")
}

impl Containers {
    pub fn open(directory: PathBuf) -> Result<Self> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let Some(record) = disk::read_json::<Record>(&record_file(&path)) else {
                // Made or removed only in part, or of another version, which is left alone.
                if !record_file(&path).exists() {
                    disk::remove(&path)?;
                }
                continue;
            };
            if record.version == record::VERSION {
                all.insert(record.id.clone(), Container::new(path, record));
            }
        }
        Ok(Self {
            directory,
            all: Mutex::new(all),
            execs: exec::Execs::default(),
            naming: tokio::sync::Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Container>>> {
        self.all.lock().expect("no holder panics")
    }

    pub fn all(&self) -> Vec<Arc<Container>> {
        self.lock().values().cloned().collect()
    }

    /// By name, id, or the beginning of an id.
    pub fn find(&self, text: &str) -> Result<Arc<Container>, Refusal> {
        let all = self.all();
        let name = text.strip_prefix('/').unwrap_or(text);
        let exact = all.iter().find(|it| {
            let record = it.lock();
            record.id == text || record.name == name
        });
        if let Some(found) = exact {
            return Ok(found.clone());
        }
        let mut matching = all
            .iter()
            .filter(|it| !text.is_empty() && it.lock().id.starts_with(text));
        match (matching.next(), matching.next()) {
            (Some(found), None) => Ok(found.clone()),
            (Some(_), Some(_)) => Err(Refusal::bad(format!(
                "multiple IDs found with provided prefix: {text}"
            ))),
            (None, _) => Err(Refusal::not_found(format!("No such container: {text}"))),
        }
    }

    pub fn of_task(&self, task: &str) -> Option<Arc<Container>> {
        let digits = task.strip_prefix("docker-")?;
        let all = self.lock();
        let mut from = all.range(digits.to_owned()..);
        let (id, container) = from.next()?;
        id.starts_with(digits).then(|| container.clone())
    }

    pub fn upper(&self, id: &str) -> PathBuf {
        self.directory.join(id).join("upper")
    }

    /// Running, held, and neither.
    pub fn counts(&self) -> (usize, usize, usize) {
        let all = self.all();
        let count = |word: &str| {
            all.iter()
                .filter(|it| it.lock().status_word() == word)
                .count()
        };
        let (running, paused) = (count("running"), count("paused"));
        (running, paused, all.len() - running - paused)
    }

    pub fn count_of_image(&self, image: &Digest) -> usize {
        let all = self.lock();
        all.values()
            .filter(|it| it.lock().image_id == *image)
            .count()
    }

    /// A container of an image, and whether it runs; one that runs is told first.
    pub fn user_of_image(&self, image: &Digest) -> Option<(String, bool)> {
        let all = self.all();
        let users = all
            .iter()
            .map(|it| it.lock())
            .filter(|it| it.image_id == *image);
        let users: HashMap<bool, String> =
            users.map(|it| (it.is_running(), it.id.clone())).collect();
        let of = |running: bool| users.get(&running).map(|id| (id.clone(), running));
        of(true).or_else(|| of(false))
    }

    pub fn summaries(&self) -> Vec<Value> {
        let all = self.all();
        all.iter()
            .map(|it| {
                let mut summary = show::summary(&it.record(), None);
                summary["SizeRw"] = json!(disk::bytes_below(&it.upper()));
                summary
            })
            .collect()
    }

    fn insert(&self, record: Record) -> Result<Arc<Container>> {
        let directory = self.directory.join(&record.id);
        std::fs::create_dir_all(directory.join("upper"))?;
        disk::write_json(&record_file(&directory), &record)?;
        let container = Container::new(directory, record.clone());
        self.lock().insert(record.id, container.clone());
        Ok(container)
    }

    fn forget(&self, container: &Container) -> Result<()> {
        let id = container.lock().id.clone();
        // The record goes first: without it there is no container.
        disk::remove(&record_file(&container.directory))?;
        disk::remove(&container.directory)?;
        self.lock().remove(&id);
        container
            .removed
            .store(true, std::sync::atomic::Ordering::Release);
        container.wake();
        Ok(())
    }
}

pub async fn route(call: Call, method: &Method, words: &[&str]) -> Answer {
    match (method.as_str(), words) {
        ("GET", ["json"]) => return list::list(call).await,
        ("POST", ["create"]) => return create::create(call).await,
        ("POST", ["prune"]) => return end::prune(call).await,
        _ => {}
    }
    let (text, what) = match words {
        [text] => (*text, ""),
        // Only what no path below a container is called can be a link's alias here.
        [text, alias] if method == Method::DELETE => {
            let container = call.docker.containers.find(text)?;
            return end::remove_link(call, &container, alias).await;
        }
        [text, what] => (*text, *what),
        _ => return Err(Refusal::not_found("page not found")),
    };
    let container = call.docker.containers.find(text)?;
    match (method.as_str(), what) {
        ("GET", "json") => show::inspect(call, &container).await,
        ("GET", "top") => show::top(call, &container).await,
        ("GET", "logs") => logs::logs(call, &container).await,
        ("GET", "stats") => stats::stats(call, &container).await,
        ("GET", "changes") => copy::changes(call, &container).await,
        ("GET", "export") => copy::export(call, &container).await,
        ("GET" | "HEAD" | "PUT", "archive") => copy::archive(call, &container, method).await,
        ("POST", "start") => start::handle(call, &container).await,
        ("POST", "stop") => end::stop(call, &container).await,
        ("POST", "restart") => end::restart(call, &container).await,
        ("POST", "kill") => end::kill(call, &container).await,
        ("POST", "wait") => end::wait(call, container).await,
        ("POST", "rename") => create::rename(call, &container).await,
        ("POST", "resize") => resize(call, &container).await,
        ("POST", "attach") => attach::attach(call, container).await,
        ("POST", "exec") => exec::create(call, &container).await,
        ("POST", "update") => update::update(call, &container).await,
        ("POST", "pause") => pause::pause(call, &container).await,
        ("POST", "unpause") => pause::unpause(call, &container).await,
        ("DELETE", "") => end::remove(call, &container).await,
        _ => Err(Refusal::not_found("page not found")),
    }
}

async fn resize(call: Call, container: &Arc<Container>) -> Answer {
    let (rows, columns) = size_of(&call)?;
    let record = container.record();
    call.docker
        .tasks
        .resize(&record.task(), MAIN, None, rows, columns)
        .await?;
    answer::empty(StatusCode::OK)
}

fn size_of(call: &Call) -> Result<(u16, u16), Refusal> {
    let number = |name: &str| -> Result<u16, Refusal> {
        let value = call.query.number(name)?.unwrap_or_default();
        u16::try_from(value).map_err(|_| Refusal::bad(format!("invalid `{name}`")))
    };
    Ok((number("h")?, number("w")?))
}

fn not_running(record: &Record) -> Refusal {
    Refusal::conflict(format!("container {} is not running", record.id))
}

impl Docker {
    fn tell(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        self.events.tell(container.event(action, more));
    }
}
