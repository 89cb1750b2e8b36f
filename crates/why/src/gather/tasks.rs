//! One task, with all that surrounds it.

use std::net::IpAddr;

use cloud::{Cx, Error};
use shapes::ecs::{
    AssignPublicIp, Container, DescribeTaskDefinitionInput, NetworkConfiguration, Service, Task,
    TaskStopCode,
};

use super::list::last_part;
use super::{containers, networks, services, targets};
use crate::facts::{Situation, TargetFacts, TaskFacts};

/// Whether a task ended, or never began, because something was wrong with it.
pub fn has_failed(task: &Task) -> bool {
    let reason = task.stopped_reason.as_deref().unwrap_or_default();
    let over_exit_code = |it: i32| it != 0;
    match task.stop_code {
        Some(TaskStopCode::TaskFailedToStart) => true,
        // A service's task has no reason to end; another's has when it is done.
        Some(TaskStopCode::EssentialContainerExited) => {
            let mut codes = task
                .containers
                .iter()
                .flatten()
                .filter_map(|it| it.exit_code);
            is_of_service(task) || codes.any(over_exit_code)
        }
        Some(TaskStopCode::ServiceSchedulerInitiated) => reason.contains("health checks"),
        _ => false,
    }
}

/// It runs, and not since a moment ago: a service registers its tasks when they run.
pub fn runs_long(cx: &Cx, task: &Task) -> bool {
    const SECONDS: f64 = 10.0;
    let now = cx.clock().now_ms() as f64 / 1000.0;
    let is_running = task.last_status.as_deref() == Some("RUNNING")
        && task.desired_status.as_deref() == Some("RUNNING");
    is_running && task.started_at.is_some_and(|it| now - it.0 > SECONDS)
}

/// What runs and is not well all the same: its health check fails, or one of its containers has failed.
pub fn is_unwell(task: &Task) -> bool {
    let is_running = task.last_status.as_deref() == Some("RUNNING") && task.stop_code.is_none();
    let is_bad = |it: &Container| {
        let is_unhealthy = it
            .health_status
            .is_some_and(|it| it.as_str() == "UNHEALTHY");
        is_unhealthy || it.exit_code.is_some_and(|it| it != 0)
    };
    is_running && task.containers.iter().flatten().any(is_bad)
}

pub fn is_of_service(task: &Task) -> bool {
    task.group
        .as_deref()
        .is_some_and(|it| it.starts_with("service:"))
}

/// When it was over, or made.
pub fn moment(task: &Task) -> f64 {
    let at = task.stopped_at.or(task.stopping_at).or(task.created_at);
    at.map_or(0.0, |it| it.0)
}

pub async fn situation(
    cx: &Cx,
    task: &Task,
    service: Option<&Service>,
) -> Result<Situation, Error> {
    let id = last_part(task.task_arn.as_deref().unwrap_or_default());
    let definition = cx.call(DescribeTaskDefinitionInput {
        task_definition: task.task_definition_arn.clone().unwrap_or_default(),
        include: None,
    });
    let definition = definition.await?.task_definition.unwrap_or_default();
    let network = match place(
        task,
        service.and_then(|it| it.network_configuration.as_ref()),
    ) {
        Some(place) => networks::of(cx, &place).await?,
        None => None,
    };
    let became = task.containers.as_deref().unwrap_or_default();
    let thing = match service.and_then(|it| it.service_name.as_deref()) {
        Some(name) => format!("task {id} of service {name}"),
        None => format!("task {id}"),
    };
    Ok(Situation {
        thing,
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        service: service.map(services::facts),
        network,
        containers: containers::of(cx, &id, &definition, became).await?,
        listening: cx.engine().tasks.listening(&id).await.unwrap_or_default(),
        targets: match service {
            Some(service) => own_targets(cx, task, service).await?,
            None => Vec::new(),
        },
        task: Some(facts(cx, id, task, definition.execution_role_arn)),
        ..Situation::default()
    })
}

fn facts(cx: &Cx, id: String, task: &Task, execution_role: Option<String>) -> TaskFacts {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let ended = task.execution_stopped_at.or(task.stopped_at).map(|it| it.0);
    let now = cx.clock().now_ms() as f64 / 1000.0;
    let seconds = |it: f64| it.max(0.0) as u64;
    TaskFacts {
        id,
        stop_code: task
            .stop_code
            .map_or(String::new(), |it| it.as_str().to_owned()),
        stopped_reason: text(&task.stopped_reason),
        execution_role,
        memory_mib: task.memory.as_deref().and_then(|it| it.parse().ok()),
        ran_seconds: task
            .started_at
            .map(|it| seconds(ended.unwrap_or(now) - it.0)),
        ..TaskFacts::default()
    }
}

/// The subnet and interface of a task's attachment; what else was asked for comes from its service.
fn place(task: &Task, asked: Option<&NetworkConfiguration>) -> Option<networks::Place> {
    let asked = asked.and_then(|it| it.awsvpc_configuration.as_ref());
    Some(networks::Place {
        subnet: detail(task, "subnetId").filter(|it| !it.is_empty())?,
        interface: detail(task, "networkInterfaceId"),
        groups: asked
            .and_then(|it| it.security_groups.clone())
            .unwrap_or_default(),
        asks_public_address: asked.map(|it| it.assign_public_ip == Some(AssignPublicIp::Enabled)),
    })
}

fn detail(task: &Task, name: &str) -> Option<String> {
    let attachments = task.attachments.iter().flatten();
    let mut details = attachments.flat_map(|it| it.details.iter().flatten());
    let found = details.find(|it| it.name.as_deref() == Some(name))?;
    found.value.clone()
}

/// The address of its interface.
pub fn address(task: &Task) -> Option<IpAddr> {
    detail(task, "privateIPv4Address")?.parse().ok()
}

/// What balancers see of the task; of one that they gave up, only whom they asked.
async fn own_targets(cx: &Cx, task: &Task, service: &Service) -> Result<Vec<TargetFacts>, Error> {
    let address = address(task);
    let mut own = Vec::new();
    for balanced in service.load_balancers.iter().flatten() {
        let arn = balanced.target_group_arn.as_deref().unwrap_or_default();
        if task.stop_code.is_some() {
            let reason = task.stopped_reason.as_deref().unwrap_or_default();
            if reason.contains(arn) {
                own.extend(
                    targets::given_up(cx, arn, "unhealthy", address, balanced.container_port)
                        .await?,
                );
            }
            continue;
        }
        let all = targets::of_group(cx, arn).await?.unwrap_or_default();
        let is_own = |it: &TargetFacts| it.address.is_some() && it.address == address;
        let of_task: Vec<TargetFacts> = all.into_iter().filter(is_own).collect();
        if of_task.is_empty() && runs_long(cx, task) && address.is_some() {
            let port = balanced.container_port;
            own.extend(targets::given_up(cx, arn, TargetFacts::ABSENT, address, port).await?);
        }
        own.extend(of_task);
    }
    Ok(own)
}
