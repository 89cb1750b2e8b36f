//! The daemon's side: starts shims, listens to them, and finds them again after a restart.

mod attach;
mod disks;
mod exec;
mod follow;
mod launch;
mod life;
mod listening;
mod recover;
mod root;
mod tasks;
mod usage;
mod validate;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use engine::{
    ContainerState, ContainerStatus, EngineError, Health, Network, Result, StepSource, TaskSpec,
    TaskState, TaskStatus,
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use crate::Executable;
use crate::cgroup::{TaskCgroup, remove_shared_parent};
use crate::cleanup::{clean_up, remove_data};
use crate::identity::fresh_cookie;
use crate::order::{ORDER_VERSION, Order, StepOrder, TaskFiles};
use crate::shim::Request;
use crate::step_network::StepNetwork;

pub(crate) use follow::Connection;
pub(crate) use launch::{copy_lines, launch};
pub(crate) use life::kill_recorded;

/// Wake-ups that a slow listener may be behind before it has to look at everything.
const CHANGES_MAX: usize = 1024;
/// Requests to one shim that wait for being sent.
const REQUESTS_MAX: usize = 16;

/// The tasks of this machine. See [`engine::Tasks`] and [`engine::Steps`].
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    tasks_directory: PathBuf,
    data_directory: PathBuf,
    network: Arc<dyn Network>,
    pub step_network: StepNetwork,
    pub executable: Executable,
    cgroup_parent: PathBuf,
    entries: Mutex<HashMap<String, Entry>>,
    changes: broadcast::Sender<String>,
    /// One for each task whose shim lives. They end with the runtime; the shims do not.
    followers: Mutex<JoinSet<()>>,
    /// Tasks of which the rest is being removed. None may begin under the same name meanwhile.
    clearing: watch::Sender<HashSet<String>>,
    /// Of commands that run, by their id.
    terminals: exec::Terminals,
    roots: root::Roots,
    disks: disks::Disks,
}

/// What is known of a task.
struct Entry {
    status: TaskStatus,
    requests: mpsc::Sender<Request>,
    /// Its control group, below every cgroup root.
    group: PathBuf,
}

impl Runtime {
    /// `run_dir` holds what describes running processes, `state_dir` what containers write.
    /// `instance` tells this daemon's control groups from those of others on the machine.
    ///
    /// [`Runtime::recover`] must be called before anything else.
    pub fn new(
        run_dir: PathBuf,
        state_dir: PathBuf,
        network: Arc<dyn Network>,
        executable: Executable,
        instance: String,
    ) -> Result<Self> {
        validate::id("the instance", &instance)?;
        let inner = Inner {
            // Shims have another working directory.
            tasks_directory: std::path::absolute(run_dir)?.join("tasks"),
            data_directory: std::path::absolute(state_dir)?.join("tasks"),
            step_network: StepNetwork::new(network.clone()),
            network,
            executable,
            cgroup_parent: PathBuf::from(format!("neargate-{instance}")),
            entries: Mutex::new(HashMap::new()),
            changes: broadcast::channel(CHANGES_MAX).0,
            followers: Mutex::new(JoinSet::new()),
            clearing: watch::Sender::default(),
            terminals: exec::Terminals::default(),
            roots: root::Roots::default(),
            disks: disks::Disks::default(),
        };
        for directory in [&inner.tasks_directory, &inner.data_directory] {
            make_private_directory(directory)?;
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The directories that containers of this daemon stand on, read from the orders on disk, so
    /// that those of tasks an earlier daemon started count as well. An order that cannot be read is
    /// an error: nobody may then take anything away.
    pub fn directories_in_use(&self) -> Result<HashSet<PathBuf>> {
        let mut directories = HashSet::new();
        for entry in std::fs::read_dir(&self.inner.tasks_directory)? {
            let files = TaskFiles::new(entry?.path());
            let order = match files.read_order() {
                Ok(order) => order,
                // It was removed while we looked.
                Err(_) if !files.order().exists() => continue,
                Err(error) => return Err(EngineError::machine(error.to_string())),
            };
            directories.extend(
                order
                    .spec
                    .containers
                    .into_iter()
                    .flat_map(|it| it.directories),
            );
            directories.extend(
                order
                    .step
                    .into_iter()
                    .flat_map(|it| it.mounts)
                    .filter_map(|it| match it.source {
                        StepSource::Path(path) => Some(path),
                        StepSource::Memory { .. } => None,
                    }),
            );
        }
        Ok(directories)
    }

    /// Removes the control group that all tasks share, when there are none. Dropping the runtime
    /// does it too, but a process may end before its last part is dropped.
    pub fn remove_shared_groups(&self) {
        remove_shared_parent(&self.inner.cgroup_parent);
    }

    /// Finds the tasks that an earlier daemon started: listens to the shims that live, and cleans
    /// up after those that do not. All of them at the same time; what takes long is left to go on
    /// while the daemon is up already, and its task has until then the status that it had last.
    pub async fn recover(&self) -> Result<()> {
        recover::recover(&self.inner).await
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // They hold the rest of the runtime.
        self.inner.followers().abort_all();
        remove_shared_parent(&self.inner.cgroup_parent);
    }
}

impl Inner {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().expect("no holder panics")
    }

    fn followers(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.followers.lock().expect("no holder panics")
    }

    fn spawn_follower(
        self: &Arc<Self>,
        id: String,
        connection: follow::Connection,
        requests: mpsc::Receiver<Request>,
    ) {
        self.spawn(follow::follow(self.clone(), id, connection, requests));
    }

    /// Lets something go on until it ends or the runtime does.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut followers = self.followers();
        while followers.try_join_next().is_some() {}
        followers.spawn(work);
    }

    /// Refuses when the container does not run.
    fn expect_running(&self, id: &str, container: &str) -> Result<i32> {
        let entries = self.entries();
        let containers = entries.get(id).map(|entry| &entry.status.containers);
        let found = containers
            .into_iter()
            .flatten()
            .find(|it| it.name == container && it.state == ContainerState::Running);
        found.and_then(|it| it.pid).ok_or_else(|| {
            EngineError::not_found(format!("no container `{container}` runs in `{id}`"))
        })
    }

    async fn start(self: &Arc<Self>, mut spec: TaskSpec) -> Result<()> {
        spec.disk = self.disks.of_task(&self.data_directory, spec.disk).await?;
        let id = spec.id.clone();
        let mut clearing = self.clearing.subscribe();
        // The sender is here, so the wait cannot fail.
        let _ = clearing.wait_for(|ids| !ids.contains(&id)).await;
        if let Some(outer) = &spec.within {
            self.expect_alive(outer)?;
        }
        let Some(requests) = self.enter(first_status(&spec), self.group_for(&spec)) else {
            return Ok(());
        };
        match launch::launch_task(self, spec).await {
            Ok(connection) => {
                self.spawn_follower(id, connection, requests);
                Ok(())
            }
            Err(error) => {
                self.forget(&id);
                Err(error)
            }
        }
    }

    pub(crate) fn files(&self, id: &str) -> TaskFiles {
        TaskFiles::new(self.tasks_directory.join(id))
    }

    pub(crate) fn order(
        &self,
        spec: TaskSpec,
        namespace: Option<PathBuf>,
        step: Option<StepOrder>,
    ) -> Result<Order> {
        Ok(Order {
            version: ORDER_VERSION,
            cgroup: self.group_for(&spec),
            data: self.data_directory.join(&spec.id),
            cookie: fresh_cookie()?,
            namespace,
            resolver: None,
            own: Default::default(),
            spec,
            step,
        })
    }

    /// Remembers a status and wakes whoever listens.
    fn learn(&self, status: TaskStatus) {
        let id = status.id.clone();
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.status = status;
        }
        self.wake(&id);
    }

    fn wake(&self, id: &str) {
        // Nobody listening is fine.
        let _ = self.changes.send(id.to_owned());
    }

    /// Makes room for a task that is not known yet. None when it is.
    fn enter(&self, status: TaskStatus, group: PathBuf) -> Option<mpsc::Receiver<Request>> {
        let mut entries = self.entries();
        if entries.contains_key(&status.id) {
            return None;
        }
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let entry = Entry {
            status,
            requests,
            group,
        };
        entries.insert(entry.status.id.clone(), entry);
        Some(receiver)
    }

    /// A task that others may be a part of.
    pub(crate) fn expect_alive(&self, id: &str) -> Result<()> {
        let entries = self.entries();
        match entries.get(id).map(|it| it.status.state) {
            None | Some(TaskState::Stopped) => {
                Err(EngineError::not_found(format!("no task `{id}` runs")))
            }
            Some(_) => Ok(()),
        }
    }

    /// The control group of a task that is to be.
    fn group_for(&self, spec: &TaskSpec) -> PathBuf {
        match &spec.within {
            Some(outer) => self.cgroup_parent.join(outer).join(&spec.id),
            None => self.cgroup_parent.join(&spec.id),
        }
    }

    /// The control group of a task that is there.
    fn group_of(&self, id: &str) -> PathBuf {
        let known = self.entries().get(id).map(|it| it.group.clone());
        known.unwrap_or_else(|| self.cgroup_parent.join(id))
    }

    fn forget(&self, id: &str) {
        self.entries().remove(id);
    }
}

/// The status of a task of which nothing has happened yet.
fn first_status(spec: &TaskSpec) -> TaskStatus {
    let containers = spec.containers.iter().map(|container| ContainerStatus {
        name: container.name.clone(),
        state: ContainerState::Pending,
        pid: None,
        exit_code: None,
        reason: None,
        health: Health::Unknown,
        started_at_ms: None,
        stopped_at_ms: None,
    });
    TaskStatus {
        id: spec.id.clone(),
        state: TaskState::Starting,
        containers: containers.collect(),
        reason: None,
        started_at_ms: None,
        stopped_at_ms: None,
        labels: spec.labels.clone(),
    }
}

fn make_private_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            EngineError::machine(format!("could not make `{}`", path.display())).because(error)
        })
}

/// Runs what waits for the kernel or the disk where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::error::Failure> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| EngineError::machine("a worker panicked").because(error))?;
    Ok(done?)
}

/// Cleans up after a task whose shim is gone.
pub(crate) async fn clean_up_task(files: TaskFiles, order: Order) -> Result<()> {
    blocking(move || clean_up(&files, &order)).await
}

/// Removes what is left of a task whose order cannot be read.
fn clean_up_unknown(inner: &Inner, id: &str) -> Result<(), crate::error::Failure> {
    TaskCgroup::new(&inner.cgroup_parent.join(id))?.remove()?;
    remove_data(&inner.data_directory.join(id))
}
