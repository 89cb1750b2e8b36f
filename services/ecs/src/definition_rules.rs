//! What a task definition may say: AWS's own rules for Fargate and for instances, and what is not built yet.

use std::collections::BTreeSet;

use cloud::Error;
use shapes::ecs::errors::ClientException;
use shapes::ecs::*;

use crate::bridge;
use crate::container_rules;
use crate::fargate::{check_storage, own_size, task_size};
use crate::names::is_name;
use crate::placement::asked::own_constraints;
use crate::refuse::unsupported;
use crate::volumes;

/// The quota "Task definition containers".
const CONTAINERS_MAX: usize = 10;

pub fn client(message: impl Into<String>) -> Error {
    ClientException.because(message)
}

/// Checks a request to register, and fills in what AWS fills in.
pub fn check(input: &mut RegisterTaskDefinitionInput) -> Result<(), Error> {
    if !is_name(&input.family) {
        return Err(client(
            "Family contains invalid characters. It can only contain up to 255 letters, numbers, \
             hyphens and underscores.",
        ));
    }
    let ground = check_platform(input)?;
    let (cpu, memory) = size(input, ground)?;
    (input.cpu, input.memory) = (
        cpu.map(|it| it.to_string()),
        memory.map(|it| it.to_string()),
    );
    check_storage(input.ephemeral_storage.as_ref())?;
    check_volumes(input, ground)?;
    check_constraints(input, ground)?;
    if input.container_definitions.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    if input.container_definitions.len() > CONTAINERS_MAX {
        return Err(client(format!(
            "Too many containers: at most {CONTAINERS_MAX} are allowed."
        )));
    }
    let has_role = input
        .execution_role_arn
        .as_deref()
        .is_some_and(|it| !it.is_empty());
    for container in &mut input.container_definitions {
        container_rules::fill_defaults(container, ground);
        container_rules::check(container, ground, (cpu, memory), has_role)?;
    }
    check_together(input, ground, cpu, memory)
}

/// What a definition is held against: Fargate's rules where it asks for Fargate, and its network mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    pub is_fargate: bool,
    pub mode: NetworkMode,
}

/// Where tasks of a definition, which was checked, may be launched.
pub fn compatibilities(input: &RegisterTaskDefinitionInput) -> Vec<Compatibility> {
    if input.network_mode != Some(NetworkMode::Awsvpc) {
        return vec![Compatibility::External, Compatibility::Ec2];
    }
    let mut on_fargate = RegisterTaskDefinitionInput {
        requires_compatibilities: Some(vec![Compatibility::Fargate]),
        ..input.clone()
    };
    match check(&mut on_fargate) {
        Ok(()) => vec![Compatibility::Ec2, Compatibility::Fargate],
        Err(_) => vec![Compatibility::Ec2],
    }
}

/// The size of the task, which may be open on instances.
fn size(
    input: &RegisterTaskDefinitionInput,
    ground: Ground,
) -> Result<(Option<u32>, Option<u32>), Error> {
    let (cpu, memory) = (input.cpu.as_deref(), input.memory.as_deref());
    match ground.is_fargate {
        true => task_size(cpu, memory).map(|(cpu, memory)| (Some(cpu), Some(memory))),
        false => own_size(cpu, memory),
    }
}

fn check_constraints(input: &RegisterTaskDefinitionInput, ground: Ground) -> Result<(), Error> {
    let given = input.placement_constraints.as_deref().unwrap_or_default();
    if ground.is_fargate && !given.is_empty() {
        return Err(client(
            "Tasks using FARGATE compatibility do not support placement constraints.",
        ));
    }
    own_constraints(given)
        .map(drop)
        .map_err(|error| client(error.message))
}

/// What will be refused whatever else the definition says, of all of it or of a part.
pub fn refuse_of_definition(input: &RegisterTaskDefinitionInput) -> Result<(), Error> {
    check_compatibilities(input)?;
    check_runtime(input)
}

fn check_compatibilities(input: &RegisterTaskDefinitionInput) -> Result<(), Error> {
    let wanted = input
        .requires_compatibilities
        .as_deref()
        .unwrap_or_default();
    for compatibility in wanted {
        if !matches!(compatibility, Compatibility::Ec2 | Compatibility::Fargate) {
            return Err(unsupported(format!(
                "requiresCompatibilities {compatibility}"
            )));
        }
    }
    Ok(())
}

fn check_platform(input: &RegisterTaskDefinitionInput) -> Result<Ground, Error> {
    check_compatibilities(input)?;
    let wanted = input.requires_compatibilities.as_deref();
    let ground = Ground {
        is_fargate: wanted.is_some_and(|it| it.contains(&Compatibility::Fargate)),
        mode: input.network_mode.unwrap_or(NetworkMode::Bridge),
    };
    if ground.is_fargate && ground.mode != NetworkMode::Awsvpc {
        return Err(client("Fargate only supports network mode ‘awsvpc’."));
    }
    check_runtime(input)?;
    Ok(ground)
}

fn check_runtime(input: &RegisterTaskDefinitionInput) -> Result<(), Error> {
    let Some(platform) = &input.runtime_platform else {
        return Ok(());
    };
    if let Some(family) = platform.operating_system_family
        && family != OSFamily::Linux
    {
        return Err(unsupported(format!(
            "runtimePlatform.operatingSystemFamily {family}"
        )));
    }
    let here = if cfg!(target_arch = "aarch64") {
        CPUArchitecture::Arm64
    } else {
        CPUArchitecture::X8664
    };
    match platform.cpu_architecture {
        Some(other) if other != here => Err(unsupported(format!(
            "runtimePlatform.cpuArchitecture {other} on this machine"
        ))),
        _ => Ok(()),
    }
}

fn check_volumes(input: &RegisterTaskDefinitionInput, ground: Ground) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for volume in input.volumes.iter().flatten() {
        let name = volume.name.as_deref().unwrap_or_default();
        volumes::check(volume, ground)?;
        if !names.insert(name) {
            return Err(client(format!("Volume names must be unique: {name}")));
        }
    }
    volumes::check_volumes_from(&input.container_definitions)?;
    let mounts =
        (input.container_definitions.iter()).flat_map(|it| it.mount_points.iter().flatten());
    for mount in mounts {
        let source = mount.source_volume.as_deref().unwrap_or_default();
        if !names.contains(source) {
            return Err(client(format!("Unknown volume '{source}'.")));
        }
        if !mount
            .container_path
            .as_deref()
            .unwrap_or_default()
            .starts_with('/')
        {
            return Err(client(
                "The containerPath of a mount point must be an absolute path.",
            ));
        }
    }
    Ok(())
}

/// Rules that concern several containers.
fn check_together(
    input: &RegisterTaskDefinitionInput,
    ground: Ground,
    cpu: Option<u32>,
    memory: Option<u32>,
) -> Result<(), Error> {
    let containers = &input.container_definitions;
    let mut names = BTreeSet::new();
    for container in containers {
        if !names.insert(container.name.as_deref().unwrap_or_default()) {
            return Err(client("Container names must be unique."));
        }
    }
    if !containers.iter().any(|it| it.essential == Some(true)) {
        return Err(client(
            "Task definition must have at least one essential container.",
        ));
    }
    let total = |of: fn(&ContainerDefinition) -> Option<i32>| -> i64 {
        containers.iter().filter_map(of).map(i64::from).sum()
    };
    if cpu.is_some_and(|cpu| total(|it| it.cpu) > i64::from(cpu)) {
        return Err(client(
            "The total cpu of the containers exceeds the cpu of the task.",
        ));
    }
    let reserved = total(|it| it.memory_reservation.or(it.memory));
    if memory.is_some_and(|memory| reserved > i64::from(memory)) {
        return Err(client(
            "The total memory of the containers exceeds the memory of the task.",
        ));
    }
    let mut ports = BTreeSet::new();
    for mapping in containers
        .iter()
        .flat_map(|it| it.port_mappings.iter().flatten())
    {
        if ground.mode == NetworkMode::Bridge && mapping.host_port == Some(0) {
            continue;
        }
        if !ports.insert((mapping.host_port, mapping.protocol)) {
            return Err(client(format!(
                "When networkMode={}, two containers may not use the same port of the {}.",
                ground.mode,
                match ground.mode {
                    NetworkMode::Awsvpc => "task",
                    _ => "host",
                }
            )));
        }
    }
    check_dependencies(containers)
}

fn check_dependencies(containers: &[ContainerDefinition]) -> Result<(), Error> {
    let find = |name: &str| {
        containers
            .iter()
            .position(|it| it.name.as_deref() == Some(name))
    };
    let mut after: Vec<Vec<usize>> = Vec::new();
    for container in containers {
        let mut own = Vec::new();
        for dependency in container.depends_on.iter().flatten() {
            let name = &dependency.container_name;
            let Some(index) = find(name) else {
                return Err(client(format!(
                    "Container dependency '{name}' does not exist."
                )));
            };
            if dependency.condition == ContainerCondition::Healthy
                && containers[index].health_check.is_none()
            {
                return Err(client(format!(
                    "Container '{name}' has no health check, which the condition HEALTHY needs."
                )));
            }
            let ends = matches!(
                dependency.condition,
                ContainerCondition::Complete | ContainerCondition::Success
            );
            if ends && containers[index].essential == Some(true) {
                return Err(client(format!(
                    "Container '{name}' is essential, so that nothing can wait for its end."
                )));
            }
            own.push(index);
        }
        for name in bridge::linked_names(container) {
            let index = find(name);
            let index =
                index.ok_or_else(|| client(format!("Unknown container '{name}' in links.")))?;
            own.push(index);
        }
        after.push(own);
    }
    // Remove what waits for nothing until nothing is left; what cannot be removed is a circle.
    let mut left: BTreeSet<usize> = (0..containers.len()).collect();
    while !left.is_empty() {
        let before = left.len();
        let waiting = left.clone();
        left.retain(|index| after[*index].iter().any(|other| waiting.contains(other)));
        if left.len() == before {
            return Err(client("Container dependencies must not form a circle."));
        }
    }
    Ok(())
}
