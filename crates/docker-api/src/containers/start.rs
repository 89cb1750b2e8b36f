//! Starting a container: its place in the network, its ports, its volumes, and then its task.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    ContainerSpec, ContainerState, DeviceSpec, EngineError, MountSpec, PreparedImage, RootOf,
    StopReason, TaskSpec, TaskState, Tuning, VolumeSpec,
};
use http::StatusCode;
use rustix::fs::{OFlags, fstat};

use super::record::{HostConfig, Mount, MountKind, Record, Status};
use super::{Container, MAIN, tmpfs};
use crate::answer::{self, Answer, Refusal};
use crate::archive::{Owners, pack, unpack};
use crate::clock::now_ms;
use crate::disk::blocking;
use crate::docker::Docker;
use crate::limits::ATTACH_WAIT_MS;
use crate::networks::Place;
use crate::ports;
use crate::routes::Call;
use crate::tree::{Links, Tree, open_directory};

/// A container that is stopped has this long by default.
const STOP_TIMEOUT_S: i64 = 10;
const UNITS_PER_CPU: i64 = 1024;
const NANOS_PER_CPU: i64 = 1_000_000_000;
const BYTES_PER_MIB: i64 = 1 << 20;

/// `POST /containers/{id}/start`
pub async fn handle(call: Call, container: &Arc<Container>) -> Answer {
    call.docker.check_disk()?;
    container.change(|record| record.state.restarts = 0)?;
    match start(&call.docker, container).await? {
        Started::Now => answer::empty(StatusCode::NO_CONTENT),
        Started::Before => answer::empty(StatusCode::NOT_MODIFIED),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    Now,
    Before,
}

/// Starts a container that does not run. Returns when its program has been executed.
pub async fn start(docker: &Arc<Docker>, container: &Arc<Container>) -> Result<Started, Refusal> {
    let _working = container.working.lock().await;
    let is_open = docker.is_open.read().await;
    if !*is_open {
        return Err(Refusal::failed("the daemon is stopping"));
    }
    if container.is_removed() {
        return Err(Refusal::not_found("the container was removed"));
    }
    let record = container.record();
    if record.is_running() && record.state.paused {
        return Err(Refusal::conflict(
            "cannot start a paused container, try unpause instead",
        ));
    }
    if record.is_running() {
        return Ok(Started::Before);
    }
    let result = start_fresh(docker, container).await;
    if let Err(refusal) = &result {
        docker.release(container).await;
        container.waiting.lock().expect("no holder panics").clear();
        let message = refusal.message.clone();
        let record = container.change(|record| {
            record.state.error = message;
            record.state.exit_code = exit_code_of(refusal);
            record.state.finished_ms = Some(now_ms());
            if record.state.status == Status::Restarting {
                record.state.status = Status::Exited;
            }
            record.state.exits += 1;
        })?;
        if record.host.auto_remove {
            docker.remove_at_rest(container).await?;
        }
    }
    result.map(|()| Started::Now)
}

/// As a shell has it.
fn exit_code_of(refusal: &Refusal) -> i32 {
    let message = &refusal.message;
    if message.contains("executable file not found") || message.contains("no such file") {
        127
    } else if message.contains("permission denied") || message.contains("is a directory") {
        126
    } else {
        128
    }
}

async fn start_fresh(docker: &Arc<Docker>, container: &Arc<Container>) -> Result<(), Refusal> {
    let record = container.record();
    let task = record.task();
    let image = docker.images.prepare_digest(&record.image_id).await?;
    docker.clear_task(&task).await?;
    let wanted = match &record.joined {
        super::Joined::Network(_) => ports::wanted(&record.host, &record.config.exposed_ports)?,
        _ => Vec::new(),
    };
    let mut published = docker.bind_ports(&record, &wanted).await?;
    let place = docker.plug(container).await?;
    populate(docker, &record, &image).await?;
    let waiting = !container
        .waiting
        .lock()
        .expect("no holder panics")
        .is_empty();
    let mut spec = spec(docker, container, &image, &place, waiting);
    if let Some(other) = record.host.pid_mode.strip_prefix("container:") {
        let beside = Some(process_of(docker, other).await?);
        spec.containers[0].tuning.beside_process = beside;
    }
    let mut changes = docker.tasks.changes();
    docker.tasks.start(spec).await?;
    join_waiting(docker, container, &task).await;
    wait_until_runs(docker, &task, &record, &mut changes).await?;
    if let (Some(interface), Some(address)) = (&place.interface, place.address) {
        let bound = published.bound();
        published.serve(&docker.network, interface, address);
        container.change(|record| record.state.bound = bound)?;
    }
    *container.published.lock().expect("no holder panics") = Some(published);
    container.change(|record| {
        record.state.status = Status::Running;
        record.state.started_ms = Some(now_ms());
        record.state.error = String::new();
        record.state.out_of_memory = false;
        record.state.stopped_by_hand = false;
        record.state.paused = false;
    })?;
    docker.tell(container, "start", &[]);
    docker.tell_hosts().await;
    Ok(())
}

/// The first process of another container, which has to run.
async fn process_of(docker: &Docker, other: &str) -> Result<i32, Refusal> {
    let other = docker.containers.find(other)?.record();
    let status = docker.tasks.status(&other.task()).await?;
    let process = status.and_then(|it| it.containers.first()?.pid);
    process.filter(|_| other.is_running()).ok_or_else(|| {
        Refusal::conflict(format!(
            "cannot join PID namespace of a non running container: {}",
            other.id
        ))
    })
}

/// Gives those who attached before the start what they wait for.
async fn join_waiting(docker: &Docker, container: &Container, task: &str) {
    let waiting = std::mem::take(&mut *container.waiting.lock().expect("no holder panics"));
    for (input, sender) in waiting {
        match docker.tasks.attach(task, MAIN, input).await {
            Ok(attached) => drop(sender.send(attached)),
            Err(error) => tracing::debug!(error = error.chain(), "cannot attach"),
        }
    }
}

async fn wait_until_runs(
    docker: &Docker,
    task: &str,
    record: &Record,
    changes: &mut engine::Changes,
) -> Result<(), Refusal> {
    loop {
        let status = docker.tasks.status(task).await?;
        let status = status.ok_or_else(|| EngineError::machine("the container's task is gone"))?;
        let runs = status
            .containers
            .iter()
            .any(|it| it.state == ContainerState::Running);
        match &status.reason {
            // Until it is cleaned up after, nothing can take its place.
            Some(_) if status.state != TaskState::Stopped => {}
            Some(StopReason::CannotStart { message, .. }) => {
                return Err(cannot_start(record, message));
            }
            Some(StopReason::SupervisorLost) => {
                return Err(Refusal::failed(
                    "the container's supervisor died while it was started",
                ));
            }
            // It ran, and has ended already.
            Some(_) => return Ok(()),
            None if runs || status.state == TaskState::Running => return Ok(()),
            None => {}
        }
        // A wake-up that was missed is made up for by looking again.
        let wait = std::time::Duration::from_secs(1);
        let _ = tokio::time::timeout(wait, changes.recv()).await;
    }
}

/// Clients tell by the words why a command could not be run.
fn cannot_start(record: &Record, message: &str) -> Refusal {
    let program = record.argv().first().cloned().unwrap_or_default();
    let lower = message.to_lowercase();
    let cause = if message.starts_with("exec: ") {
        message.to_owned()
    } else if lower.contains("no such file") || lower.contains("not found") {
        format!("exec: \"{program}\": executable file not found in $PATH: {message}")
    } else if lower.contains("permission denied") {
        format!("exec: \"{program}\": permission denied: {message}")
    } else {
        message.to_owned()
    };
    Refusal::bad(format!(
        "failed to create task for container: failed to start container process: {cause}"
    ))
}

/// Copies what the image has to volumes that were never used, and lets them look like the folder that
/// they cover: a program that is not root may write to its own.
pub async fn populate(
    docker: &Arc<Docker>,
    record: &Record,
    image: &PreparedImage,
) -> Result<(), Refusal> {
    for mount in record.mounts.iter().filter(|it| docker.is_to_fill(it)) {
        let root = docker
            .tasks
            .root(RootOf::Layers {
                directories: image.directories.clone(),
                upper: docker.containers.upper(&record.id),
                mounts: Vec::new(),
            })
            .await?;
        let (scratch, mount_point) = (docker.scratch(), mount.destination.clone());
        let data = docker.volumes.data(&mount.name);
        blocking(move || {
            let path = Path::new(mount_point.trim_start_matches('/')).join(".");
            let tree = Tree::new(&root, Links::Within);
            let Ok(folder) = tree.open(&path, OFlags::PATH | OFlags::DIRECTORY) else {
                return Ok(());
            };
            let looks = fstat(&folder).map_err(std::io::Error::from)?;
            let mut file = tempfile::tempfile_in(scratch)?;
            pack(&root, &path, Path::new("."), &mut file)?;
            let opened = open_directory(&data)?;
            unpack(&file, &opened, Links::Refuse, Path::new(""), Owners::Kept)?;
            chown(&data, Some(looks.st_uid), Some(looks.st_gid))?;
            let mode = Permissions::from_mode(looks.st_mode & 0o7777);
            Ok(std::fs::set_permissions(&data, mode)?)
        })
        .await?;
        docker.volumes.set_used(&mount.name)?;
    }
    Ok(())
}

pub fn cpu_units(host: &HostConfig) -> Option<u32> {
    const PERIOD_US: i64 = 100_000;
    let units = if host.nano_cpus > 0 {
        host.nano_cpus.saturating_mul(UNITS_PER_CPU) / NANOS_PER_CPU
    } else if host.cpu_quota > 0 {
        let period = if host.cpu_period > 0 {
            host.cpu_period
        } else {
            PERIOD_US
        };
        host.cpu_quota.saturating_mul(UNITS_PER_CPU) / period
    } else {
        return None;
    };
    u32::try_from(units.max(1)).ok()
}

fn spec(
    docker: &Docker,
    container: &Container,
    image: &PreparedImage,
    place: &Place,
    waiting: bool,
) -> TaskSpec {
    let record = container.record();
    let (config, host) = (&record.config, &record.host);
    let mounts = record.mounts.iter().enumerate();
    let (volumes, mounts): (Vec<VolumeSpec>, Vec<MountSpec>) = mounts
        .map(|(index, mount)| {
            let name = format!("volume-{index}");
            let volume = VolumeSpec {
                name: name.clone(),
                host_path: Some(mount.source.clone()),
                of_outer: false,
            };
            let mount = MountSpec {
                volume: name,
                path: PathBuf::from(&mount.destination),
                read_only: mount.read_only,
            };
            (volume, mount)
        })
        .unzip();
    let mut env = config.variables();
    for variable in docker.variables_of_links(&record) {
        let name = |it: &str| it.split('=').next().unwrap_or_default().to_owned();
        // What was said of the container itself goes before.
        if !env.iter().any(|it| name(it) == name(&variable)) {
            env.push(variable);
        }
    }
    if !env.iter().any(|it| it.starts_with("HOSTNAME=")) {
        env.push(format!("HOSTNAME={}", config.hostname));
    }
    if config.tty && !env.iter().any(|it| it.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    let limit = |value: i64| if value < 0 { u64::MAX } else { value as u64 };
    let ulimits = host
        .ulimits
        .iter()
        .map(|it| (it.name.clone(), limit(it.soft), limit(it.hard)));
    let memory = (host.memory > 0).then(|| (host.memory + BYTES_PER_MIB - 1) / BYTES_PER_MIB);
    let main = ContainerSpec {
        name: MAIN.to_owned(),
        directories: image.directories.clone(),
        argv: record.argv(),
        env,
        working_dir: config.working_dir.clone(),
        user: config.user.clone(),
        essential: true,
        read_only_root: host.readonly_rootfs,
        privileged: host.privileged,
        no_new_privileges: record.no_new_privileges(),
        init_process: host.init,
        init_stays: false,
        terminal: config.tty,
        stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        wait_for_attach_ms: waiting.then_some(ATTACH_WAIT_MS),
        add_capabilities: host.cap_add.clone(),
        drop_capabilities: host.cap_drop.clone(),
        cpu_units: u32::try_from(host.cpu_shares).ok().filter(|it| *it > 0),
        memory_mib: memory.and_then(|it| u32::try_from(it).ok()),
        ulimits: ulimits.collect(),
        mounts,
        tmpfs: tmpfs::paths(host),
        health_check: record.health_check(),
        depends_on: Vec::new(),
        stop_signal: stop_signal(&record),
        stop_timeout_ms: stop_timeout_s(&record).saturating_mul(1000) as u64,
        start_timeout_ms: None,
        log_file: host.log_config.is_kept().then(|| container.log_file()),
        log_tags: true,
        log_hides: Vec::new(),
        upper: Some(docker.containers.upper(&record.id)),
        shm_bytes: u64::try_from(host.shm_size).ok().filter(|it| *it > 0),
        own_network: None,
        tuning: tuning(&record),
    };
    TaskSpec {
        id: record.task(),
        interface: place.interface.clone(),
        within: docker.scope.as_ref().map(|it| it.task.clone()),
        hostname: config.hostname.clone(),
        dns: host.dns.clone(),
        hosts: docker.hosts_of(&record),
        cpu_units: cpu_units(host),
        memory_mib: None,
        disk: None,
        gives_way_to_a_full_disk: docker.scope.is_some(),
        pids_max: u32::try_from(host.pids_limit).ok().filter(|it| *it > 0),
        containers: vec![main],
        volumes,
        labels: Default::default(),
    }
}

fn tuning(record: &Record) -> Tuning {
    let host = &record.host;
    let devices = host.devices.iter().map(|it| {
        let or = |text: &String, or: &str| match text.is_empty() {
            true => or.to_owned(),
            false => text.clone(),
        };
        DeviceSpec {
            host_path: PathBuf::from(&it.path_on_host),
            path: PathBuf::from(or(&it.path_in_container, &it.path_on_host)),
            access: or(&it.cgroup_permissions, "rwm"),
        }
    });
    let reservation = u64::try_from(host.memory_reservation).ok();
    Tuning {
        health_start_interval_ms: record.health_start_interval_ms(),
        memory_reservation_bytes: reservation.filter(|it| *it > 0),
        cpuset: Some(host.cpuset_cpus.clone()).filter(|it| !it.is_empty()),
        sysctls: host.sysctls.clone(),
        groups: host.group_add.clone(),
        devices: devices.collect(),
        host_pid: host.pid_mode == "host",
        host_ipc: host.ipc_mode == "host",
        beside_process: None,
        host_uts: host.uts_mode == "host",
        device_rules: (host.device_cgroup_rules.iter())
            .filter_map(|it| it.parse().ok())
            .collect(),
        tmpfs_options: tmpfs::options(host),
    }
}

pub fn stop_signal(record: &Record) -> String {
    match record.config.stop_signal.as_str() {
        "" => "SIGTERM".to_owned(),
        signal => signal.to_owned(),
    }
}

pub fn stop_timeout_s(record: &Record) -> i64 {
    record.config.stop_timeout.unwrap_or(STOP_TIMEOUT_S).max(0)
}

impl Docker {
    /// Whether something of the image is to be copied to what is mounted.
    pub(crate) fn is_to_fill(&self, mount: &Mount) -> bool {
        mount.kind == MountKind::Volume && !mount.no_copy && self.volumes.is_fresh(&mount.name)
    }

    /// Takes away what an earlier run left, or a start that was cut short.
    pub(crate) async fn clear_task(&self, task: &str) -> engine::Result<()> {
        let poll = std::time::Duration::from_millis(10);
        while let Some(status) = self.tasks.status(task).await? {
            if status.state == TaskState::Stopped {
                break;
            }
            self.tasks.stop(task, "its start was cut short").await?;
            tokio::time::sleep(poll).await;
        }
        self.tasks.remove(task).await
    }

    /// Lets go of what a container that does not run has of the machine.
    pub(crate) async fn release(&self, container: &Container) {
        let task = container.record().task();
        container.published.lock().expect("no holder panics").take();
        for result in [self.clear_task(&task).await, self.unplug(container).await] {
            if let Err(error) = result {
                tracing::warn!(
                    error = error.chain(),
                    task,
                    "cannot clean up after a container"
                );
            }
        }
    }
}
