//! A service as `DescribeServices` shows it.

use cloud::{Cx, Error, Records};
use shapes::ecs::*;

use crate::launch::is_on_instances;
use crate::names::{cluster_arn, service_arn};
use crate::plan::Rollout;
use crate::record::{self, ServiceStatus, timestamp};
use crate::task_record::{self, Phase};

struct Counts {
    running: i32,
    pending: i32,
}

fn count(tasks: &[task_record::Task], wanted: impl Fn(&task_record::Task) -> bool) -> Counts {
    let number = |of: &dyn Fn(&task_record::Task) -> bool| {
        i32::try_from(tasks.iter().filter(|it| wanted(it) && of(it)).count()).unwrap_or(i32::MAX)
    };
    Counts {
        running: number(&|it| it.phase == Phase::Running),
        pending: number(&|it| it.phase < Phase::Running && it.stop.is_none()),
    }
}

pub fn view(
    cx: &Cx,
    tx: &Records<'_>,
    service: &record::Service,
    with_tags: bool,
) -> Result<Service, Error> {
    let prefix =
        task_record::Task::prefix_of(&service.region, &service.cluster, Some(&service.name));
    let tasks = tx.list::<task_record::Task>(&prefix)?;
    let all = count(&tasks, |_| true);
    let primary = service
        .deployments
        .first()
        .or(service.last_completed.as_ref());
    let revision = primary.map(|it| &it.revision);
    let configured = service.status != ServiceStatus::Inactive;
    Ok(Service {
        service_arn: Some(service_arn(cx, &service.cluster, &service.name)),
        service_name: Some(service.name.clone()),
        cluster_arn: Some(cluster_arn(cx, &service.cluster)),
        load_balancers: Some(
            revision
                .map(|it| it.load_balancers.clone())
                .unwrap_or_default(),
        ),
        service_registries: Some(Vec::new()),
        status: Some(service.status.as_str().into()),
        desired_count: Some(i32::try_from(service.desired).unwrap_or(i32::MAX)),
        running_count: Some(all.running),
        pending_count: Some(all.pending),
        launch_type: revision.and_then(|it| it.launch_type),
        capacity_provider_strategy: revision
            .map(|it| it.strategy.clone())
            .filter(|it| !it.is_empty()),
        platform_version: (revision.map(|it| it.platform_version.clone()))
            .filter(|it| !it.is_empty()),
        platform_family: revision
            .is_none_or(|it| !is_on_instances(it.launch_type))
            .then(|| "Linux".into()),
        task_definition: revision.map(|it| it.task_definition.clone()),
        deployment_configuration: Some(service.configuration.clone()),
        deployments: Some(deployments(service, &tasks)),
        role_arn: service.role.clone().or_else(|| service_role(cx, revision)),
        events: Some(service.events.clone()),
        created_at: Some(timestamp(service.created_ms)),
        placement_constraints: Some(service.placement_constraints.clone()),
        placement_strategy: Some(service.placement_strategy.clone()),
        network_configuration: revision.and_then(|it| it.network.clone()),
        health_check_grace_period_seconds: service
            .grace_seconds
            .map(|it| i32::try_from(it).unwrap_or(i32::MAX)),
        scheduling_strategy: Some(match service.is_daemon {
            true => SchedulingStrategy::Daemon,
            false => SchedulingStrategy::Replica,
        }),
        deployment_controller: configured.then_some(DeploymentController {
            r#type: DeploymentControllerType::Ecs,
        }),
        tags: with_tags.then(|| service.tags.clone()),
        created_by: Some(format!("arn:aws:iam::{}:root", cx.account())),
        enable_ecs_managed_tags: Some(service.managed_tags),
        propagate_tags: Some(service.propagate_tags),
        enable_execute_command: Some(service.enable_execute_command),
        availability_zone_rebalancing: Some(service.zone_rebalancing),
        ..Default::default()
    })
}

/// The service-linked role, which AWS names when tasks are registered with target groups.
fn service_role(cx: &Cx, revision: Option<&record::Revision>) -> Option<String> {
    revision.filter(|it| !it.load_balancers.is_empty())?;
    Some(format!(
        "arn:aws:iam::{}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
        cx.account()
    ))
}

fn deployments(service: &record::Service, tasks: &[task_record::Task]) -> Vec<Deployment> {
    let all = service.deployments.iter().enumerate();
    all.map(|(index, it)| {
        let of = |task: &task_record::Task| {
            task.service
                .as_ref()
                .is_some_and(|of| of.deployment == it.id)
        };
        let counts = count(tasks, of);
        let desired = match index {
            0 => i32::try_from(service.desired).unwrap_or(i32::MAX),
            _ => counts.running,
        };
        Deployment {
            id: Some(it.id.clone()),
            status: Some(if index == 0 { "PRIMARY" } else { "ACTIVE" }.into()),
            task_definition: Some(it.revision.task_definition.clone()),
            desired_count: Some(desired),
            pending_count: Some(counts.pending),
            running_count: Some(counts.running),
            failed_tasks: Some(i32::try_from(it.failed_tasks).unwrap_or(i32::MAX)),
            created_at: Some(timestamp(it.created_ms)),
            updated_at: Some(timestamp(it.updated_ms)),
            capacity_provider_strategy: Some(it.revision.strategy.clone())
                .filter(|it| !it.is_empty()),
            launch_type: it.revision.launch_type,
            platform_version: (!is_on_instances(it.revision.launch_type))
                .then(|| crate::launch::PLATFORM_VERSION.into()),
            platform_family: (!is_on_instances(it.revision.launch_type)).then(|| "Linux".into()),
            network_configuration: it.revision.network.clone(),
            rollout_state: Some(match it.rollout {
                Rollout::InProgress => DeploymentRolloutState::InProgress,
                Rollout::Completed => DeploymentRolloutState::Completed,
                Rollout::Failed => DeploymentRolloutState::Failed,
            }),
            rollout_state_reason: Some(it.reason.clone()),
            ..Default::default()
        }
    })
    .collect()
}
