//! The OCI configuration of a container, written out of what the task asks for.

use std::fs;
use std::path::{Path, PathBuf};

use engine::{ContainerSpec, DeviceSpec, StepMount, StepSource};
use nix::sys::stat::{SFlag, major, minor};
use serde_json::{Value, json};

use super::capabilities::{capabilities, own_capabilities};
use super::init::Init;
use super::limits::resource_limits;
use super::seccomp;
use super::surroundings::{self, Surroundings, TaskMounts};
use super::terminal::Owner;
use super::users::{User, find_groups, find_user};
use super::{Confinement, Root};
use super::{destination, groups, volumes};
use crate::cgroup::{self, Hierarchy};
use crate::error::{Context, Result};
use crate::order::{Order, StepOrder, TaskFiles, volume_data, write_json};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What it takes to install a filter of system calls in a process whose programs may get more power.
const FILTER_POWER: &str = "CAP_SYS_ADMIN";

/// The size of `/dev/shm` for one who does not ask, as in Docker.
const SHM_BYTES: u64 = 64 * 1024 * 1024;

/// Kernel interfaces that tell about, or reach, the host.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// A container's configuration, written.
pub(crate) struct Bundle {
    pub confinement: Confinement,
    pub owner: Owner,
}

/// Writes the configuration of a container whose root is mounted, and of a command that is run in
/// it later, and returns what else is to be done to its processes.
pub(crate) fn write_bundle(
    files: &TaskFiles,
    order: &Order,
    index: usize,
    root_path: &Path,
    task_mounts: &TaskMounts,
) -> Result<Bundle> {
    let container = &order.spec.containers[index];
    let root = Root::open(root_path)?;
    let mut user = find_user(&root, &container.user)?;
    user.groups
        .extend(find_groups(&root, &container.tuning.groups)?);
    let working_dir = if container.working_dir.is_empty() {
        "/"
    } else {
        &container.working_dir
    };
    root.make_directory(Path::new(working_dir))?;

    let guarded = Hierarchy::detect()?.guards_devices() || container.privileged;
    let (add, drop) = (&container.add_capabilities, &container.drop_capabilities);
    let own = own_capabilities()?;
    let capabilities = capabilities(add, drop, container.privileged, own, guarded)?;
    let process = process(container, &user, working_dir, &capabilities)?;
    // The machine's own name is not a container's to change.
    let hostname = match container.tuning.host_uts {
        true => Value::Null,
        false => json!(Surroundings::of(order, Some(index)).hostname),
    };
    let config = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": { "path": root_path, "readonly": container.read_only_root },
        "hostname": hostname,
        "mounts": mounts(&root, order, index, task_mounts)?,
        "linux": linux(order, index)?,
    });
    let bundle = files.bundle(index);
    fs::create_dir_all(&bundle).context(|| format!("could not make `{}`", bundle.display()))?;
    write_json(&bundle.join("config.json"), &config)?;
    Ok(Bundle {
        confinement: confinement(container, &capabilities)?,
        owner: Owner {
            uid: user.uid,
            gid: user.gid,
        },
    })
}

/// See [`Confinement`]. Depends on nothing but the specification, so that a command run later in
/// the container is confined as its first process is.
pub(crate) fn confinement(
    container: &ContainerSpec,
    capabilities: &[String],
) -> Result<Confinement> {
    let filters = if container.privileged {
        Vec::new()
    } else {
        seccomp::filters(capabilities)?
    };
    Ok(Confinement {
        gives_up_power: !capabilities.iter().any(|it| it == FILTER_POWER),
        filters,
        init: match (container.init_process, container.init_stays) {
            (_, true) => Init::Stays,
            (true, false) => Init::Ends,
            (false, false) => Init::None,
        },
        terminal_size: None,
    })
}

fn process(
    container: &ContainerSpec,
    user: &User,
    working_dir: &str,
    capabilities: &[String],
) -> Result<Value> {
    let mut env = container.env.clone();
    let mut defaults = vec![DEFAULT_PATH.to_owned(), format!("HOME={}", user.home)];
    if container.terminal {
        defaults.push("TERM=xterm".to_owned());
    }
    for default in defaults {
        let name = default.split_once('=').map_or("", |(name, _)| name);
        if !env
            .iter()
            .any(|entry| entry.split_once('=').is_some_and(|(key, _)| key == name))
        {
            env.push(default);
        }
    }
    let sets = capability_sets(container, capabilities, user.uid);
    Ok(json!({
        "terminal": container.terminal,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups, "umask": 0o022 },
        "args": container.argv,
        "env": env,
        "cwd": working_dir,
        "capabilities": sets,
        "rlimits": resource_limits(&container.ulimits)?,
        "noNewPrivileges": container.no_new_privileges,
    }))
}

/// A user that is not root has no capability but what a program file gives it, as in Docker. Until its
/// program is executed a process may also install its own filter of system calls, which takes more than
/// programs have: see [`Confinement::gives_up_power`].
pub(super) fn capability_sets(
    container: &ContainerSpec,
    capabilities: &[String],
    uid: u32,
) -> Value {
    let mut own = match uid {
        0 => capabilities.to_vec(),
        _ => Vec::new(),
    };
    let installs_filter = !container.privileged;
    if installs_filter && !own.iter().any(|it| it == FILTER_POWER) {
        own.push(FILTER_POWER.to_owned());
    }
    json!({ "bounding": capabilities, "permitted": own, "effective": own })
}

fn linux(order: &Order, index: usize) -> Result<Value> {
    let container = &order.spec.containers[index];
    let tuning = &container.tuning;
    let own = [
        ("pid", !tuning.host_pid),
        ("ipc", !tuning.host_ipc),
        ("uts", !tuning.host_uts),
        ("mount", true),
        ("cgroup", true),
    ];
    let mut namespaces: Vec<Value> = own
        .iter()
        .filter(|it| it.1)
        .map(|it| match (it.0, tuning.beside_process) {
            ("pid", Some(process)) => {
                json!({ "type": "pid", "path": format!("/proc/{process}/ns/pid") })
            }
            (kind, _) => json!({ "type": kind }),
        })
        .collect();
    let mut sysctl = json!({});
    let is_alone = order.step.as_ref().is_some_and(StepOrder::is_alone);
    let namespace = match order.own.get(&index) {
        Some(own) => Some(&own.namespace),
        None => order.namespace.as_ref(),
    };
    let network = match namespace {
        Some(path) => Some(json!({ "type": "network", "path": path })),
        None => is_alone.then(|| json!({ "type": "network" })),
    };
    if let Some(network) = network {
        namespaces.push(network);
        // The namespace is the task's alone, so low ports need no power over others.
        sysctl = json!({
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": "0 2147483647",
        });
    }
    for (name, value) in &tuning.sysctls {
        sysctl[name] = json!(value);
    }
    let mut allowed = vec![json!({ "allow": container.privileged, "access": "rwm" })];
    let mut devices = Vec::new();
    for asked in &tuning.devices {
        let device = device(asked)?;
        allowed.push(json!({
            "allow": true, "access": asked.access, "type": device["type"],
            "major": device["major"], "minor": device["minor"],
        }));
        devices.push(device);
    }
    for rule in &tuning.device_rules {
        let mut allow = json!({ "allow": true, "access": rule.access, "type": rule.kind });
        for (name, number) in [("major", rule.major), ("minor", rule.minor)] {
            if let Some(number) = number {
                allow[name] = json!(number);
            }
        }
        allowed.push(allow);
    }
    let mut resources = json!({ "devices": allowed });
    if let Some(units) = container.cpu_units {
        // The kernel takes no fewer than two shares.
        resources["cpu"]["shares"] = json!(units.max(2));
    }
    // The task's limits hold for all of it; a container has them as well, so that its programs see them.
    if let Some(units) = order.spec.cpu_units {
        resources["cpu"]["quota"] = json!(cgroup::cpu_quota_us(units));
        resources["cpu"]["period"] = json!(cgroup::CPU_PERIOD_US);
    }
    if let Some(mib) = container.memory_mib.or(order.spec.memory_mib) {
        resources["memory"]["limit"] = json!(u64::from(mib) * 1024 * 1024);
    }
    if let Some(cpuset) = &tuning.cpuset {
        resources["cpu"]["cpus"] = json!(cpuset);
    }
    if let Some(bytes) = tuning.memory_reservation_bytes {
        resources["memory"]["reservation"] = json!(bytes);
    }
    let (masked, read_only) = if container.privileged {
        (Vec::new(), Vec::new())
    } else {
        let groups = groups::read_only_paths()?;
        let all = READ_ONLY_PATHS.into_iter().chain(groups);
        (masked_paths(), all.collect::<Vec<_>>())
    };
    Ok(json!({
        "cgroupsPath": Path::new("/").join(&order.cgroup).join(super::container_id(index)),
        "namespaces": namespaces,
        "sysctl": sysctl,
        "resources": resources,
        "devices": devices,
        "maskedPaths": masked,
        "readonlyPaths": read_only,
    }))
}

/// A device as it is on the machine.
fn device(asked: &DeviceSpec) -> Result<Value> {
    let failed = || format!("the device `{}`", asked.host_path.display());
    let there = nix::sys::stat::stat(&asked.host_path).context(failed)?;
    let kind = match SFlag::from_bits_truncate(there.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFCHR => "c",
        SFlag::S_IFBLK => "b",
        _ => return Err::<Value, _>("it is none").context(failed),
    };
    destination::check_name(&asked.path)?;
    Ok(json!({
        "path": asked.path, "type": kind, "major": major(there.st_rdev), "minor": minor(there.st_rdev),
        "fileMode": there.st_mode & 0o777, "uid": there.st_uid, "gid": there.st_gid,
    }))
}

/// Docker's, with what tells how hot each processor runs, and so what others compute.
fn masked_paths() -> Vec<PathBuf> {
    let processors = fs::read_dir("/sys/devices/system/cpu")
        .into_iter()
        .flatten();
    let throttles = processors
        .flatten()
        .map(|it| it.path().join("thermal_throttle"));
    let fixed = MASKED_PATHS.iter().map(PathBuf::from);
    fixed.chain(throttles.filter(|it| it.exists())).collect()
}

fn mounts(
    root: &Root,
    order: &Order,
    index: usize,
    task_mounts: &TaskMounts,
) -> Result<Vec<Value>> {
    let container = &order.spec.containers[index];
    let sys = if container.privileged { "rw" } else { "ro" };
    let shm_size = format!("size={}", container.shm_bytes.unwrap_or(SHM_BYTES));
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm_size],
        ),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", sys]),
    ];
    mounts.extend(groups::mounts(order, index)?);
    for path in &container.tmpfs {
        destination::check(root, path)?;
        let asked = container.tuning.tmpfs_options.get(path);
        let mut options = vec!["nosuid", "noexec", "nodev"];
        options.extend(asked.into_iter().flatten().map(String::as_str));
        if !options.iter().any(|it| it.starts_with("mode=")) {
            options.push("mode=1777");
        }
        mounts.push(mount(&path.to_string_lossy(), "tmpfs", &options));
    }
    for asked in &container.mounts {
        destination::check(root, &asked.path)?;
        let source = volume_path(order, &asked.volume)?;
        mounts.push(bind(&source, &asked.path, asked.read_only));
    }
    for asked in order.step.iter().flat_map(|step| &step.mounts) {
        destination::check(root, &asked.target)?;
        mounts.push(of_step(asked));
    }
    let own_files = surroundings::own_mounts(order, index, task_mounts);
    for (source, path, read_only) in &own_files {
        // What the task asked for itself wins.
        if !container.mounts.iter().any(|asked| asked.path == *path) {
            mounts.push(bind(source, path, *read_only));
        }
    }
    Ok(mounts)
}

fn of_step(asked: &StepMount) -> Value {
    let bytes_max = match &asked.source {
        StepSource::Path(source) => return bind(source, &asked.target, asked.read_only),
        StepSource::Memory { bytes_max } => bytes_max,
    };
    let access = if asked.read_only { "ro" } else { "rw" };
    let size = bytes_max.map(|bytes| format!("size={bytes}"));
    let mut options = vec!["nosuid", "nodev", "mode=1777", access];
    options.extend(size.as_deref());
    mount(&asked.target.to_string_lossy(), "tmpfs", &options)
}

fn volume_path(order: &Order, name: &str) -> Result<PathBuf> {
    let volumes = &order.spec.volumes;
    let index = volumes.iter().position(|volume| volume.name == name);
    let index = index
        .ok_or("it is not among the task's volumes")
        .context(|| format!("the volume `{name}` cannot be mounted"))?;
    let path = match &volumes[index].host_path {
        Some(path) if volumes[index].of_outer => return volumes::of_outer(order, index, path),
        Some(path) => path.clone(),
        None => volume_data(&order.data, index),
    };
    // A file or a socket is as good as a directory.
    if !path.exists() {
        fs::create_dir_all(&path).context(|| format!("could not make `{}`", path.display()))?;
    }
    Ok(path)
}

pub(super) fn mount(destination: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": kind, "options": options })
}

pub(super) fn bind(source: &Path, destination: &Path, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({
        "destination": destination,
        "type": "bind",
        "source": source,
        "options": ["rbind", "rprivate", access],
    })
}
