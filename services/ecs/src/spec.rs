//! From a task definition, overrides and prepared images to what the engine runs. Pure.

use std::collections::BTreeMap;

use cloud::Clock;
use engine::{ContainerSpec, DependsOn, HealthCheck, INSIDE, PreparedImage, TaskDisk, TaskSpec};
use shapes::ecs::{
    ContainerCondition, ContainerDefinition, ContainerOverride, KeyValuePair, UlimitName,
};

use crate::bridge;
use crate::fargate::STORAGE_GIB_DEFAULT;
use crate::inside;
use crate::record::Definition;
use crate::roles::task_role;
use crate::task_record::Task;
use crate::volumes;

/// Where a task's record is found again from the engine's side.
pub const KEY_LABEL: &str = "ecs.task";
/// The quota of Fargate on processes in a task is the kernel's; this keeps a fork bomb in its task.
const PIDS_MAX: u32 = 4096;
/// `stopTimeout` when it is not given (API reference, `ContainerDefinition`).
const STOP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// What was made ready for one container.
pub struct Ready {
    pub image: PreparedImage,
    pub log_file: Option<std::path::PathBuf>,
    /// Values that are kept elsewhere.
    pub secrets: Vec<crate::secrets::Variable>,
}

/// The spec, or the name of a container that has nothing to run.
pub fn task_spec(
    task: &Task,
    definition: &Definition,
    ready: &BTreeMap<String, Ready>,
    clock: &Clock,
) -> Result<TaskSpec, String> {
    let shape = &definition.shape;
    let mut containers = Vec::new();
    for container in shape.container_definitions.iter().flatten() {
        let name = container.name.clone().unwrap_or_default();
        let made = ready.get(&name).ok_or_else(|| name.clone())?;
        containers.push(container_spec(task, definition, container, made, clock)?);
    }
    Ok(TaskSpec {
        id: task.id.clone(),
        interface: namespace(task),
        within: task.placed.as_ref().map(|it| it.machine.clone()),
        hostname: hostname(task).unwrap_or_default(),
        dns: Vec::new(),
        hosts: own_host(task),
        cpu_units: task.cpu.parse().ok(),
        memory_mib: task.memory.parse().ok(),
        pids_max: Some(PIDS_MAX),
        // On an instance there is no other bound than its disk's.
        disk: task.placed.is_none().then(|| disk(task)),
        gives_way_to_a_full_disk: false,
        containers,
        volumes: volumes::volumes(definition),
        labels: BTreeMap::from([(KEY_LABEL.to_owned(), task.live_key())]),
    })
}

/// The namespace that its containers join but those with an interface of their own. Never the machine's.
fn namespace(task: &Task) -> Option<String> {
    let joined = task.joined_interface().map(str::to_owned);
    let of_first = || bridge::interfaces(task).into_iter().next();
    joined.or_else(of_first).or_else(|| Some(task.id.clone()))
}

/// A task is called as its address is, in its VPC.
fn hostname(task: &Task) -> Option<String> {
    if let Some(placed) = task.placed.as_ref().filter(|it| !it.is_apart()) {
        return Some(format!("ip-{}", placed.address.replace('.', "-")));
    }
    let interface = task.interface.as_ref()?;
    Some(match &interface.private_dns_name {
        Some(name) => name.clone(),
        None => format!("ip-{}", interface.address.replace('.', "-")),
    })
}

/// The line of a task's own in its hosts file.
fn own_host(task: &Task) -> Vec<(String, String)> {
    let address = task.interface.iter().map(|it| it.address.clone());
    address.zip(hostname(task)).collect()
}

fn disk(task: &Task) -> TaskDisk {
    let gib = task.storage_gib.unwrap_or(STORAGE_GIB_DEFAULT);
    TaskDisk {
        bytes: u64::try_from(gib).unwrap_or_default() << 30,
        asked_for: task.storage_gib.is_some(),
    }
}

fn container_spec(
    task: &Task,
    definition: &Definition,
    container: &ContainerDefinition,
    ready: &Ready,
    clock: &Clock,
) -> Result<ContainerSpec, String> {
    let name = container.name.clone().unwrap_or_default();
    let own = (task.overrides.container_overrides.iter().flatten())
        .find(|it| it.name.as_deref() == Some(&name));
    let image = &ready.image.config;
    let argv = argv(container, own, ready);
    if argv.is_empty() {
        return Err(name);
    }
    let linux = container.linux_parameters.as_ref();
    let capabilities = linux.and_then(|it| it.capabilities.as_ref());
    let given = |text: &Option<String>, or: &str| {
        text.clone()
            .filter(|it| !it.is_empty())
            .unwrap_or_else(|| or.to_owned())
    };
    Ok(ContainerSpec {
        directories: ready.image.directories.clone(),
        argv,
        env: environment(task, definition, container, own, ready),
        working_dir: given(&container.working_directory, &image.working_dir),
        user: given(&container.user, &image.user),
        essential: container.essential != Some(false),
        read_only_root: container.readonly_root_filesystem == Some(true),
        privileged: false,
        init_process: linux.is_some_and(|it| it.init_process_enabled == Some(true)),
        add_capabilities: capabilities
            .and_then(|it| it.add.clone())
            .unwrap_or_default(),
        drop_capabilities: capabilities
            .and_then(|it| it.drop.clone())
            .unwrap_or_default(),
        cpu_units: positive(own.and_then(|it| it.cpu).or(container.cpu)),
        memory_mib: positive(own.and_then(|it| it.memory).or(container.memory)),
        ulimits: ulimits(container),
        mounts: volumes::mounts(definition, container),
        tmpfs: Vec::new(),
        health_check: health_check(container, clock),
        depends_on: depends_on(container),
        stop_signal: image
            .stop_signal
            .clone()
            .unwrap_or_else(|| "SIGTERM".into()),
        stop_timeout_ms: match container.stop_timeout {
            Some(seconds) => milliseconds(seconds),
            None => clock.paced_ms(STOP_TIMEOUT),
        },
        start_timeout_ms: container.start_timeout.map(milliseconds),
        log_file: ready.log_file.clone(),
        tuning: engine::Tuning {
            memory_reservation_bytes: reservation(container, own),
            ..Default::default()
        },
        own_network: bridge::own_network(task, definition, container),
        name,
        ..ContainerSpec::default()
    })
}

/// As docker does it: an entry point of one's own drops the image's command.
fn argv(
    container: &ContainerDefinition,
    own: Option<&ContainerOverride>,
    ready: &Ready,
) -> Vec<String> {
    let image = &ready.image.config;
    let entry_point = container.entry_point.clone().filter(|it| !it.is_empty());
    let command = (own
        .and_then(|it| it.command.clone())
        .filter(|it| !it.is_empty()))
    .or(container.command.clone().filter(|it| !it.is_empty()));
    let command = match (&entry_point, command) {
        (_, Some(command)) => command,
        (Some(_), None) => Vec::new(),
        (None, None) => image.cmd.clone(),
    };
    let mut argv = entry_point.unwrap_or_else(|| image.entrypoint.clone());
    argv.extend(command);
    argv
}

/// The image's variables, those that Fargate sets, the definition's, the override's, and
/// secrets: later ones win.
fn environment(
    task: &Task,
    definition: &Definition,
    container: &ContainerDefinition,
    own: Option<&ContainerOverride>,
    ready: &Ready,
) -> Vec<String> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match out.iter_mut().find(|it| it.0 == name) {
        Some(known) => value.clone_into(&mut known.1),
        None => out.push((name.to_owned(), value.to_owned())),
    };
    for pair in &ready.image.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(name, value);
    }
    let bridged = bridge::own_network(task, definition, container);
    if let Some(hostname) = bridged.map(|it| it.hostname).or_else(|| hostname(task)) {
        set("HOSTNAME", &hostname);
    }
    for variable in bridge::variables(task, definition, container) {
        let (name, value) = variable.split_once('=').unwrap_or_default();
        set(name, value);
    }
    set(
        "AWS_EXECUTION_ENV",
        match task.placed {
            Some(_) => "AWS_ECS_EC2",
            None => "AWS_ECS_FARGATE",
        },
    );
    set("AWS_REGION", &task.region);
    set("AWS_DEFAULT_REGION", &task.region);
    if let Some(own) = (task.containers.iter()).find(|it| Some(&it.name) == container.name.as_ref())
    {
        let uri = format!("http://{}{}", INSIDE.ip(), inside::metadata_path(task, own));
        set("ECS_CONTAINER_METADATA_URI_V4", &uri);
    }
    if task_role(&task.overrides, definition).is_some() {
        let path = inside::credentials_path(task);
        set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &path);
    }
    // What leads clients to AWS there leads them here.
    set("AWS_ENDPOINT_URL", &format!("http://{}", INSIDE.ip()));
    let pairs = |it: &Option<Vec<KeyValuePair>>| it.clone().unwrap_or_default();
    let overridden = own.map(|it| pairs(&it.environment)).unwrap_or_default();
    for pair in pairs(&container.environment).into_iter().chain(overridden) {
        set(
            &pair.name.unwrap_or_default(),
            &pair.value.unwrap_or_default(),
        );
    }
    for (name, value) in &ready.secrets {
        set(name, value);
    }
    out.into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn positive(number: Option<i32>) -> Option<u32> {
    number
        .and_then(|it| u32::try_from(it).ok())
        .filter(|it| *it > 0)
}

/// What a container keeps of its memory before others.
fn reservation(container: &ContainerDefinition, own: Option<&ContainerOverride>) -> Option<u64> {
    let given = own.and_then(|it| it.memory_reservation);
    positive(given.or(container.memory_reservation)).map(|it| u64::from(it) << 20)
}

fn milliseconds(seconds: i32) -> u64 {
    u64::try_from(seconds).unwrap_or(0) * 1000
}

/// The one limit that Fargate sets itself, soft and hard (API reference of `Ulimit`).
const OPEN_FILES: u64 = 65_535;

fn ulimits(container: &ContainerDefinition) -> Vec<(String, u64, u64)> {
    let limit = |it: i32| u64::try_from(it).unwrap_or(0);
    let given = (container.ulimits.iter().flatten()).map(|it| {
        (
            it.name.to_string(),
            limit(it.soft_limit),
            limit(it.hard_limit),
        )
    });
    let mut all: Vec<_> = given.collect();
    let open_files = UlimitName::Nofile.to_string();
    if !all.iter().any(|(name, ..)| *name == open_files) {
        all.push((open_files, OPEN_FILES, OPEN_FILES));
    }
    all
}

/// The interval is one of AWS's waits and is compressed with the pace. How long a probe may take and
/// how long a program may need to start is the program's own time.
fn health_check(container: &ContainerDefinition, clock: &Clock) -> Option<HealthCheck> {
    let check = container.health_check.as_ref()?;
    let interval = std::time::Duration::from_millis(milliseconds(check.interval.unwrap_or(30)));
    let retries = u32::try_from(check.retries.unwrap_or(3)).unwrap_or(3);
    let patience = clock.patience(interval * retries).as_millis();
    Some(HealthCheck {
        command: check.command.clone(),
        interval_ms: clock.paced_ms(interval),
        timeout_ms: milliseconds(check.timeout.unwrap_or(5)),
        start_period_ms: milliseconds(check.start_period.unwrap_or(0))
            + u64::try_from(patience).unwrap_or(0),
        start_interval_ms: 0,
        retries,
    })
}

fn depends_on(container: &ContainerDefinition) -> Vec<(String, DependsOn)> {
    // What it is linked to is started before, as Docker wants it.
    let linked = bridge::linked_names(container).map(|it| (it.to_owned(), DependsOn::Start));
    let asked = (container.depends_on.iter().flatten()).map(|it| {
        let condition = match it.condition {
            ContainerCondition::Start => DependsOn::Start,
            ContainerCondition::Healthy => DependsOn::Healthy,
            ContainerCondition::Complete => DependsOn::Complete,
            ContainerCondition::Success => DependsOn::Success,
        };
        (it.container_name.clone(), condition)
    });
    asked.chain(linked).collect()
}

#[cfg(test)]
mod tests {
    use shapes::ecs::Ulimit;

    use super::*;

    #[test]
    fn fargate_sets_the_limit_of_open_files_where_nobody_does() {
        let limit = |name, value| Ulimit {
            name,
            soft_limit: value,
            hard_limit: value,
        };
        let all = |given: Vec<Ulimit>| {
            ulimits(&ContainerDefinition {
                ulimits: Some(given),
                ..Default::default()
            })
        };
        let open_files = |value| ("nofile".to_owned(), value, value);
        assert_eq!(all(vec![]), [open_files(65_535)]);
        assert_eq!(all(vec![limit(UlimitName::Nofile, 99)]), [open_files(99)]);
        let others = all(vec![limit(UlimitName::Nproc, 9)]);
        assert_eq!(others, [("nproc".into(), 9, 9), open_files(65_535)]);
    }
}
