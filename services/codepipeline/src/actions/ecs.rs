//! The standard ECS deployment: the service's task definition, with other images, as a new revision;
//! the service updated to it; then a wait until that deployment is complete or has failed.

use shapes::ecs::*;

use super::{CONFIGURATION, JOB_FAILED, Progress, Session, Trouble, image_file};
use crate::act::{LOOK_AGAIN, failure};
use crate::record::{ActionRun, Work};

/// Minutes, "Amazon ECS deploy action reference".
const TIMEOUT_DEFAULT: i64 = 60;
/// Stopped tasks that are looked at for the reason of a failure.
const TASKS_MAX: usize = 10;

pub async fn drive(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    match run.work.clone() {
        Work::Deployment {
            cluster,
            service,
            definition,
            id,
        } => {
            let deployed = Deployed {
                cluster,
                service,
                definition,
                id,
            };
            watch(cx, run, &deployed).await
        }
        _ => begin(cx, run).await,
    }
}

/// Minutes that a deployment may take.
pub fn timeout(text: &str) -> Result<i64, String> {
    let minutes = text.parse().ok().filter(|it| (1..=60).contains(it));
    minutes.ok_or_else(|| "DeploymentTimeout must be between 1 and 60 minutes".into())
}

async fn describe(cx: &Session, cluster: &str, service: &str) -> Result<Service, Trouble> {
    let input = DescribeServicesInput {
        cluster: Some(cluster.to_owned()),
        services: vec![service.to_owned()],
        ..Default::default()
    };
    let answer = cx.call(input).await?;
    let found = answer.services.unwrap_or_default().into_iter().next();
    found
        .filter(|it| it.status.as_deref() == Some("ACTIVE"))
        .ok_or_else(|| {
            Trouble::Failure(failure(
                CONFIGURATION,
                format!("The Amazon ECS service '{service}' does not exist."),
            ))
        })
}

async fn begin(cx: &Session, run: &mut ActionRun) -> Result<Progress, Trouble> {
    let (cluster, service) = (
        run.required("ClusterName").to_owned(),
        run.required("ServiceName").to_owned(),
    );
    let images = image_file::read(cx, run).await?;
    let current = describe(cx, &cluster, &service).await?;
    // Asked again after a crash, this finds the revision that was registered, and the update finds
    // the service as it wants it.
    let definition = register(cx, current.task_definition.unwrap_or_default(), &images).await?;
    let input = UpdateServiceInput {
        cluster: Some(cluster.clone()),
        service: service.clone(),
        task_definition: Some(definition.clone()),
        ..Default::default()
    };
    let updated = cx.call(input).await?.service.unwrap_or_default();
    let primary = updated.deployments.unwrap_or_default().into_iter().next();
    let id = primary.and_then(|it| it.id);
    run.external_id.clone_from(&id);
    run.work = Work::Deployment {
        cluster,
        service,
        definition,
        id: id.unwrap_or_default(),
    };
    Ok(Progress::Waits(LOOK_AGAIN))
}

/// A new revision of the service's task definition, with the images.
async fn register(
    cx: &Session,
    current: String,
    images: &[(String, String)],
) -> Result<String, Trouble> {
    let input = DescribeTaskDefinitionInput {
        task_definition: current,
        include: Some(vec![TaskDefinitionField::Tags]),
    };
    let answer = cx.call(input).await?;
    let old = answer.task_definition.unwrap_or_default();
    let mut containers = old.container_definitions.unwrap_or_default();
    for (name, image) in images {
        let mut named = containers
            .iter_mut()
            .filter(|it| it.name.as_deref() == Some(name.as_str()));
        let container = named.next().ok_or_else(|| {
            Trouble::configuration(format!("The AWS ECS container {name} does not exist"))
        })?;
        container.image = Some(image.clone());
    }
    let input = RegisterTaskDefinitionInput {
        family: old.family.unwrap_or_default(),
        container_definitions: containers,
        task_role_arn: old.task_role_arn,
        execution_role_arn: old.execution_role_arn,
        network_mode: old.network_mode,
        volumes: old.volumes,
        placement_constraints: old.placement_constraints,
        requires_compatibilities: old.requires_compatibilities,
        cpu: old.cpu,
        memory: old.memory,
        tags: answer.tags.filter(|it| !it.is_empty()),
        ephemeral_storage: old.ephemeral_storage,
        runtime_platform: old.runtime_platform,
    };
    let made = cx.call(input).await?.task_definition.unwrap_or_default();
    Ok(made.task_definition_arn.unwrap_or_default())
}

struct Deployed {
    cluster: String,
    service: String,
    definition: String,
    id: String,
}

async fn watch(cx: &Session, run: &mut ActionRun, it: &Deployed) -> Result<Progress, Trouble> {
    let service = describe(cx, &it.cluster, &it.service).await?;
    let deployments = service.deployments.unwrap_or_default();
    let ours = deployments
        .iter()
        .find(|other| other.id.as_deref() == Some(&it.id));
    let is_primary = deployments
        .first()
        .is_some_and(|other| other.id.as_deref() == Some(&it.id));
    match ours.map(|it| (it, it.rollout_state)) {
        Some((_, Some(DeploymentRolloutState::Completed))) => {
            run.summary = Some(format!("Deployed {}", it.definition));
            Ok(Progress::Succeeded)
        }
        Some((ours, Some(DeploymentRolloutState::Failed))) => {
            let reason = ours.rollout_state_reason.clone().unwrap_or_default();
            Ok(failed(cx, it, &reason).await)
        }
        _ if !is_primary => {
            let reason = match deployments.first().map(|it| &it.task_definition) {
                Some(Some(other)) => format!("the service is being deployed with {other}"),
                _ => "the service has no deployment any more".into(),
            };
            let reason = format!("The deployment was replaced or rolled back: {reason}.");
            Ok(failed(cx, it, &reason).await)
        }
        _ => within_time(cx, run, it).await,
    }
}

async fn within_time(cx: &Session, run: &ActionRun, it: &Deployed) -> Result<Progress, Trouble> {
    let minutes = match run.setting("DeploymentTimeout") {
        Some(text) => timeout(text).map_err(Trouble::configuration)?,
        None => TIMEOUT_DEFAULT,
    };
    // Programs start no faster because waits are compressed: this one is not.
    if cx.clock().now_ms() < run.started_ms + minutes * 60_000 {
        return Ok(Progress::Waits(LOOK_AGAIN));
    }
    let reason = format!("The deployment did not complete within {minutes} minutes.");
    Ok(failed(cx, it, &reason).await)
}

/// The failure, with what the deployment's tasks stopped for.
async fn failed(cx: &Session, it: &Deployed, reason: &str) -> Progress {
    let mut message = format!("(deployment {}) {reason}", it.id);
    // The reason is worth having, and not worth failing for.
    match stopped_for(cx, it).await {
        Ok(Some(stopped)) => message.push_str(&format!(" Task stopped: {stopped}")),
        Ok(None) => (),
        Err(error) => tracing::warn!(%error, "cannot ask why tasks stopped"),
    }
    Progress::Failed(failure(JOB_FAILED, message))
}

async fn stopped_for(cx: &Session, it: &Deployed) -> Result<Option<String>, cloud::Error> {
    let input = ListTasksInput {
        cluster: Some(it.cluster.clone()),
        started_by: Some(it.id.clone()),
        desired_status: Some(DesiredStatus::Stopped),
        ..Default::default()
    };
    let mut tasks = cx.call(input).await?.task_arns.unwrap_or_default();
    tasks.truncate(TASKS_MAX);
    if tasks.is_empty() {
        return Ok(None);
    }
    let input = DescribeTasksInput {
        cluster: Some(it.cluster.clone()),
        tasks,
        ..Default::default()
    };
    let tasks = cx.call(input).await?.tasks.unwrap_or_default();
    let newest = tasks
        .into_iter()
        .filter(|it| !matches!(it.stop_code, Some(TaskStopCode::ServiceSchedulerInitiated)))
        .max_by(|one, other| {
            let at = |it: &Task| it.stopped_at.map_or(0.0, |it| it.0);
            at(one).total_cmp(&at(other))
        });
    Ok(newest.map(|task| {
        let containers = task.containers.into_iter().flatten();
        let reasons = containers.filter_map(|it| {
            let exit = it.exit_code.map(|code| format!("exit code {code}"));
            let why = it.reason.or(exit)?;
            Some(format!("{}: {why}", it.name.unwrap_or_default()))
        });
        let mut parts: Vec<String> = task.stopped_reason.into_iter().collect();
        parts.extend(reasons);
        parts.join(" - ")
    }))
}
