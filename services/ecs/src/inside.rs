//! What a task's containers learn of themselves: the credentials of the task's role, and metadata
//! (ECS Developer Guide, "Amazon ECS task metadata endpoint version 4" and "Task IAM role").
//!
//! A container reaches this at a link-local address inside its own namespace, so the interface that a
//! question came through says which task asks: it is told of no other.

use std::sync::Arc;

use cloud::{Cloud, Cx, Error};
use serde_json::{Value as Json, json};
use shapes::sts::AssumeRoleInput;

use crate::bridge;
use crate::names::{cluster_arn, find_definition, task_arn};
use crate::roles::{PRINCIPAL, task_role_arn};
use crate::task_record::{Container, Task, TaskPlace};

/// AWS renews a task's credentials every six hours; a session here may be an hour long.
const SESSION_SECONDS: i32 = 3600;

/// The path of a task's credentials, below the door's address.
pub fn credentials_path(task: &Task) -> String {
    format!("/v2/credentials/{}", credentials_id(task))
}

/// Known to the task alone: see [`Task::credentials_key`].
fn credentials_id(task: &Task) -> String {
    match task.credentials_key.as_str() {
        "" => task.id.clone(),
        key => format!("{}-{key}", task.id),
    }
}

/// The path of a container's metadata.
pub fn metadata_path(task: &Task, container: &Container) -> String {
    format!("/v4/{}-{}", task.id, container.arn_id)
}

/// The interface of its instance, by which a container in a bridge leaves. None: it is in none.
pub fn interface_of_instance(cloud: &Cloud, interface: &str) -> Option<String> {
    let (task_id, _) = interface.rsplit_once('-')?;
    let place: TaskPlace = cloud.store.read(|tx| tx.get(task_id)).ok()??;
    let task: Task = cloud.store.read(|tx| tx.get(&place.key)).ok()??;
    let placed = task.placed.filter(bridge::is_bridged)?;
    Some(placed.interface)
}

/// The task with this id, when it has this interface.
fn find(cloud: &Arc<Cloud>, task_id: &str, interface: &str) -> Result<Option<(Cx, Task)>, Error> {
    let task: Option<Task> = cloud.daemon_context(&cloud.default_region).read(|tx| {
        match tx.get::<TaskPlace>(task_id)? {
            Some(place) => tx.get(&place.key),
            None => Ok(None),
        }
    })?;
    let task = task.filter(|it| it.interfaces().iter().any(|it| it == interface));
    Ok(task.map(|task| (cloud.daemon_context(&task.region), task)))
}

/// Credentials of the task's role, as the SDKs read them; None when the task has no role or is not
/// the one that asks.
pub async fn credentials(
    cloud: &Arc<Cloud>,
    id: &str,
    interface: &str,
) -> Result<Option<Json>, Error> {
    let task_id = id.split_once('-').map_or(id, |it| it.0);
    let found = find(cloud, task_id, interface)?;
    let Some((cx, task)) = found.filter(|it| credentials_id(&it.1) == id) else {
        return Ok(None);
    };
    let Some(definition) = cx.read(|tx| find_definition(&cx, tx, &task.definition))? else {
        return Ok(None);
    };
    let Some(role_arn) = task_role_arn(&cx, &task, &definition)? else {
        return Ok(None);
    };
    let input = AssumeRoleInput {
        role_arn: role_arn.clone(),
        role_session_name: task.id.clone(),
        duration_seconds: Some(SESSION_SECONDS),
        ..Default::default()
    };
    let own_arn = task_arn(&cx, &task.cluster, &task.id);
    let service = cx.as_service_for(PRINCIPAL, own_arn);
    let session = service.call(input).await?;
    let session = session.credentials.unwrap_or_default();
    Ok(Some(json!({
        "RoleArn": role_arn,
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "Expiration": session.expiration.to_string(),
    })))
}

/// What `/v4/<id>[/task]` says; None when it is not of the task that asks.
pub fn metadata(
    cloud: &Arc<Cloud>,
    interface: &str,
    id: &str,
    rest: &str,
) -> Result<Option<Json>, Error> {
    let (task_id, container_id) = id.split_once('-').unwrap_or((id, ""));
    let Some((cx, task)) = find(cloud, task_id, interface)? else {
        return Ok(None);
    };
    let Some(container) = task.containers.iter().find(|it| it.arn_id == container_id) else {
        return Ok(None);
    };
    Ok(match rest {
        "" => Some(container_view(&cx, &task, container)),
        "task" | "taskWithTags" => Some(task_view(&cx, &task)),
        _ => None,
    })
}

fn container_view(cx: &Cx, task: &Task, container: &Container) -> Json {
    let address = address(task, container);
    json!({
        "DockerId": container.arn_id,
        "Name": container.name,
        "DockerName": container.name,
        "Image": container.image,
        "ImageID": container.digest,
        "Labels": {
            "com.amazonaws.ecs.cluster": cluster_arn(cx, &task.cluster),
            "com.amazonaws.ecs.container-name": container.name,
            "com.amazonaws.ecs.task-arn": task_arn(cx, &task.cluster, &task.id),
        },
        "DesiredStatus": desired(task),
        "KnownStatus": container.status.map_or("PENDING", |it| it.as_str()),
        "Limits": { "CPU": container.cpu.parse::<u32>().unwrap_or(0) },
        "Type": "NORMAL",
        "Networks": [{
            "NetworkMode": task.placed.as_ref().map_or("awsvpc", |it| it.mode.as_str()),
            "IPv4Addresses": address.into_iter().collect::<Vec<_>>(),
            "MACAddress": task.interface.as_ref().map(|it| it.mac.clone()),
            "PrivateDNSName": task.interface.as_ref().and_then(|it| it.private_dns_name.clone()),
        }],
        "ContainerARN": cx.arn("ecs", &format!("container/{}/{}/{}", task.cluster, task.id, container.arn_id)),
    })
}

fn address(task: &Task, container: &Container) -> Option<String> {
    match &task.placed {
        Some(placed) if bridge::is_bridged(placed) => {
            bridge::address_of(task, &container.name).map(|it| it.to_string())
        }
        Some(placed) if !placed.is_apart() => Some(placed.address.clone()),
        _ => task.interface.as_ref().map(|it| it.address.clone()),
    }
}

fn task_view(cx: &Cx, task: &Task) -> Json {
    let (family, revision) = task
        .definition
        .rsplit('/')
        .next()
        .and_then(|it| it.split_once(':'))
        .unwrap_or_default();
    let containers = task.containers.iter();
    json!({
        "Cluster": cluster_arn(cx, &task.cluster),
        "TaskARN": task_arn(cx, &task.cluster, &task.id),
        "Family": family,
        "Revision": revision,
        "ServiceName": task.service.as_ref().map(|it| it.name.clone()),
        "DesiredStatus": desired(task),
        "KnownStatus": task.phase.as_str(),
        "Limits": {
            "CPU": task.cpu.parse::<f64>().unwrap_or(0.0) / 1024.0,
            "Memory": task.memory.parse::<u64>().unwrap_or(0),
        },
        "AvailabilityZone": task.zone,
        "LaunchType": task.placed.as_ref().map_or("FARGATE", |_| "EC2"),
        "Containers": containers.map(|it| container_view(cx, task, it)).collect::<Vec<_>>(),
    })
}

fn desired(task: &Task) -> &'static str {
    if task.stop.is_some() {
        "STOPPED"
    } else {
        "RUNNING"
    }
}
