//! Volumes of tasks: empty ones, directories of a container instance, and Docker's volumes there.

use std::path::{Path, PathBuf};

use cloud::Error;
use engine::{MountSpec, VolumeSpec};
use shapes::ecs::*;

use crate::container_rules::container_named;
use crate::definition_rules::{Ground, client};
use crate::names::is_name;
use crate::record::Definition;
use crate::refuse::unsupported;

/// Where Docker keeps its volumes, each in `_data` of a directory of its name.
const DOCKER_VOLUMES: &str = "/var/lib/docker/volumes";
/// What containers find there is their kernel's or their daemon's, and not a directory of the instance's root.
const NOT_OF_ROOT: [&str; 5] = [
    "/dev",
    "/proc",
    "/sys",
    "/run/docker.sock",
    "/var/run/docker.sock",
];

/// A volume as it is asked for, held against AWS's rules.
pub fn check(volume: &Volume, ground: Ground) -> Result<(), Error> {
    let name = volume.name.as_deref().unwrap_or_default();
    if !is_name(name) {
        return Err(client("Volume.name should not be null or empty."));
    }
    let source = source_path(volume);
    if volume.docker_volume_configuration.is_some() {
        if ground.is_fargate {
            return Err(client(
                "Fargate compatible task definitions do not support dockerVolumeConfiguration.",
            ));
        }
        if source.is_some() {
            return Err(client(format!(
                "Only one of host and dockerVolumeConfiguration can be specified for volume '{name}'."
            )));
        }
    }
    if let Some(docker) = &volume.docker_volume_configuration {
        check_docker(docker)?;
    }
    match source {
        Some(_) if ground.is_fargate => Err(client(
            "host.sourcePath should not be set for volumes in Fargate.",
        )),
        Some(path) if !path.starts_with('/') => Err(client(format!(
            "The sourcePath of volume '{name}' must be an absolute path."
        ))),
        Some(path) => {
            let is_below = |it: &&&str| Path::new(path).starts_with(it);
            match NOT_OF_ROOT.iter().find(is_below) {
                Some(place) => Err(unsupported(format!("volumes with host.sourcePath {place}"))),
                None => Ok(()),
            }
        }
        None => Ok(()),
    }
}

fn check_docker(docker: &DockerVolumeConfiguration) -> Result<(), Error> {
    if docker.scope == Some(Scope::Task) && docker.autoprovision.is_some() {
        return Err(client(
            "Autoprovision can only be specified for volumes with shared scope.",
        ));
    }
    match docker.driver.as_deref() {
        None | Some("" | "local") => (),
        Some(other) => {
            return Err(unsupported(format!(
                "dockerVolumeConfiguration.driver {other}"
            )));
        }
    }
    let options = docker.driver_opts.as_ref();
    match options.and_then(|it| it.keys().next()) {
        Some(name) => Err(unsupported(format!(
            "dockerVolumeConfiguration.driverOpts {name}"
        ))),
        None => Ok(()),
    }
}

/// The path that is asked for. An empty one is none.
fn source_path(volume: &Volume) -> Option<&str> {
    let path = volume.host.as_ref()?.source_path.as_deref()?;
    (!path.is_empty()).then_some(path)
}

/// Each container takes volumes of others, which are there and take none of it in their turn.
pub fn check_volumes_from(containers: &[ContainerDefinition]) -> Result<(), Error> {
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        for from in container.volumes_from.iter().flatten() {
            let source = from.source_container.as_deref().unwrap_or_default();
            if source == name || container_named(containers, source).is_none() {
                return Err(client(format!(
                    "Invalid 'volumesFrom' setting for container '{name}': there is no other container \
                     '{source}'."
                )));
            }
        }
    }
    Ok(())
}

/// What the engine makes of a task's volumes.
pub fn volumes(definition: &Definition) -> Vec<VolumeSpec> {
    let all = definition.shape.volumes.iter().flatten();
    all.map(|volume| {
        let path = place_on_instance(volume);
        VolumeSpec {
            name: volume.name.clone().unwrap_or_default(),
            of_outer: path.is_some(),
            host_path: path,
        }
    })
    .collect()
}

/// None: it is the task's own, and goes with it.
fn place_on_instance(volume: &Volume) -> Option<PathBuf> {
    let docker = volume.docker_volume_configuration.as_ref();
    if docker.is_some_and(|it| it.scope == Some(Scope::Shared)) {
        let name = volume.name.as_deref().unwrap_or_default();
        return Some(Path::new(DOCKER_VOLUMES).join(name).join("_data"));
    }
    source_path(volume).map(PathBuf::from)
}

/// Where a container sees which volume: its own mounts, and those of the containers that it takes volumes from.
/// Its own come first where two are in one place.
pub fn mounts(definition: &Definition, container: &ContainerDefinition) -> Vec<MountSpec> {
    let all = definition.shape.container_definitions.as_deref();
    let mut found: Vec<MountSpec> = own_mounts(container).collect();
    for from in container.volumes_from.iter().flatten() {
        let name = from.source_container.as_deref().unwrap_or_default();
        let Some(source) = container_named(all.unwrap_or_default(), name) else {
            continue;
        };
        for mut mount in own_mounts(source) {
            mount.read_only |= from.read_only == Some(true);
            if !found.iter().any(|it| it.path == mount.path) {
                found.push(mount);
            }
        }
    }
    found
}

fn own_mounts(container: &ContainerDefinition) -> impl Iterator<Item = MountSpec> {
    let points = container.mount_points.iter().flatten();
    points.map(|it| MountSpec {
        volume: it.source_volume.clone().unwrap_or_default(),
        path: it.container_path.clone().unwrap_or_default().into(),
        read_only: it.read_only == Some(true),
    })
}
