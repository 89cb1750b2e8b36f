//! Deployments of a service as things of their own, present and past, and what each was to run.

use cloud::{Cx, Error, Records};
use shapes::ecs::errors::ServiceNotFoundException;
use shapes::ecs::*;

use crate::cluster::missing;
use crate::launch::PLATFORM_VERSION;
use crate::names::{cluster_arn, find_cluster, service_arn, service_name};
use crate::plan::Rollout;
use crate::record::{self, Outcome, timestamp};
use crate::scheduler::breaker;

/// One deployment of a service, over or not.
struct Found {
    deployment: record::Deployment,
    past: Option<(Outcome, i64)>,
}

impl Found {
    fn status(&self) -> ServiceDeploymentStatus {
        match self.past.map(|it| it.0) {
            Some(Outcome::Successful) => ServiceDeploymentStatus::Successful,
            Some(Outcome::Superseded) => ServiceDeploymentStatus::Stopped,
            // AWS has no word for a failure that is not rolled back but this one.
            Some(Outcome::Failed) => ServiceDeploymentStatus::RollbackFailed,
            Some(Outcome::RolledBack) => ServiceDeploymentStatus::RollbackSuccessful,
            None => ServiceDeploymentStatus::InProgress,
        }
    }
}

/// The newest first.
fn all_of(service: &record::Service) -> Vec<Found> {
    let under_way = (service.deployments.iter())
        .filter(|it| it.rollout == Rollout::InProgress && !it.is_rollback)
        .map(|it| Found {
            deployment: it.clone(),
            past: None,
        });
    let over = service.history.iter().map(|it| Found {
        deployment: it.deployment.clone(),
        past: Some((it.outcome, it.finished_ms)),
    });
    let mut all: Vec<Found> = under_way.chain(over).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.deployment.created_ms));
    all
}

fn arn(cx: &Cx, service: &record::Service, kind: &str, deployment: &record::Deployment) -> String {
    let (cluster, name, number) = (&service.cluster, &service.name, deployment.number());
    cx.arn("ecs", &format!("{kind}/{cluster}/{name}/{number}"))
}

pub async fn list_service_deployments(
    cx: Cx,
    input: ListServiceDeploymentsInput,
) -> Result<ListServiceDeploymentsOutput, Error> {
    let service = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let name = service_name(&cx, &input.service)?;
        tx.get::<record::Service>(&record::Service::key_of(&cx.region, &cluster.name, &name))?
            .ok_or_else(|| ServiceNotFoundException.because("Service not found."))
    })?;
    let statuses = input.status.unwrap_or_default();
    let between = input.created_at.unwrap_or_default();
    let shown = all_of(&service).into_iter().filter(|it| {
        let created = timestamp(it.deployment.created_ms);
        (statuses.is_empty() || statuses.contains(&it.status()))
            && between.after.is_none_or(|after| created > after)
            && between.before.is_none_or(|before| created < before)
    });
    let brief = |it: Found| ServiceDeploymentBrief {
        service_deployment_arn: Some(arn(&cx, &service, "service-deployment", &it.deployment)),
        service_arn: Some(service_arn(&cx, &service.cluster, &service.name)),
        cluster_arn: Some(cluster_arn(&cx, &service.cluster)),
        started_at: Some(timestamp(it.deployment.created_ms)),
        created_at: Some(timestamp(it.deployment.created_ms)),
        finished_at: it.past.map(|it| timestamp(it.1)),
        target_service_revision_arn: Some(arn(&cx, &service, "service-revision", &it.deployment)),
        status: Some(it.status()),
        status_reason: Some(it.deployment.reason.clone()),
    };
    let all = shown.map(brief).collect();
    Ok(ListServiceDeploymentsOutput {
        service_deployments: Some(all),
        next_token: None,
    })
}

/// The service and deployment of an ARN that [`arn`] made.
fn resolve(
    cx: &Cx,
    tx: &Records<'_>,
    kind: &str,
    given: &str,
) -> Result<Option<(record::Service, Found)>, Error> {
    let start = cx.arn("ecs", &format!("{kind}/"));
    let parts: Vec<&str> = given
        .strip_prefix(&start)
        .unwrap_or_default()
        .split('/')
        .collect();
    let [cluster, name, number] = parts.as_slice() else {
        return Ok(None);
    };
    let key = record::Service::key_of(&cx.region, cluster, name);
    let Some(service) = tx.get::<record::Service>(&key)? else {
        return Ok(None);
    };
    let found = all_of(&service)
        .into_iter()
        .find(|it| it.deployment.number() == *number);
    Ok(found.map(|found| (service, found)))
}

pub async fn describe_service_deployments(
    cx: Cx,
    input: DescribeServiceDeploymentsInput,
) -> Result<DescribeServiceDeploymentsOutput, Error> {
    cx.read(|tx| {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for given in &input.service_deployment_arns {
            match resolve(&cx, tx, "service-deployment", given)? {
                Some((service, deployment)) => found.push(describe(&cx, &service, &deployment)),
                None => failures.push(missing(given.clone())),
            }
        }
        Ok(DescribeServiceDeploymentsOutput {
            service_deployments: Some(found),
            failures: Some(failures),
        })
    })
}

fn describe(cx: &Cx, service: &record::Service, it: &Found) -> ServiceDeployment {
    use ServiceDeploymentRollbackMonitorsStatus as Monitor;
    let threshold = breaker(service, service.desired as usize).map(|it| it.threshold);
    let monitor = match (threshold, it.past.map(|it| it.0)) {
        (None, _) => Monitor::Disabled,
        (_, None) => Monitor::Monitoring,
        (_, Some(Outcome::Failed | Outcome::RolledBack)) => Monitor::Triggered,
        _ => Monitor::MonitoringComplete,
    };
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    ServiceDeployment {
        service_deployment_arn: Some(arn(cx, service, "service-deployment", &it.deployment)),
        service_arn: Some(service_arn(cx, &service.cluster, &service.name)),
        cluster_arn: Some(cluster_arn(cx, &service.cluster)),
        created_at: Some(timestamp(it.deployment.created_ms)),
        started_at: Some(timestamp(it.deployment.created_ms)),
        finished_at: it.past.map(|it| timestamp(it.1)),
        updated_at: Some(timestamp(it.deployment.updated_ms)),
        target_service_revision: Some(ServiceRevisionSummary {
            arn: Some(arn(cx, service, "service-revision", &it.deployment)),
            ..Default::default()
        }),
        status: Some(it.status()),
        status_reason: Some(it.deployment.reason.clone()),
        deployment_configuration: Some(service.configuration.clone()),
        deployment_circuit_breaker: Some(ServiceDeploymentCircuitBreaker {
            status: Some(monitor),
            failure_count: Some(number(it.deployment.failed_tasks as usize)),
            threshold: threshold.map(number),
        }),
        ..Default::default()
    }
}

pub async fn describe_service_revisions(
    cx: Cx,
    input: DescribeServiceRevisionsInput,
) -> Result<DescribeServiceRevisionsOutput, Error> {
    cx.read(|tx| {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for given in &input.service_revision_arns {
            match resolve(&cx, tx, "service-revision", given)? {
                Some((service, it)) => found.push(revision(&cx, &service, &it.deployment)),
                None => failures.push(missing(given.clone())),
            }
        }
        Ok(DescribeServiceRevisionsOutput {
            service_revisions: Some(found),
            failures: Some(failures),
        })
    })
}

fn revision(cx: &Cx, service: &record::Service, it: &record::Deployment) -> ServiceRevision {
    ServiceRevision {
        service_revision_arn: Some(arn(cx, service, "service-revision", it)),
        service_arn: Some(service_arn(cx, &service.cluster, &service.name)),
        cluster_arn: Some(cluster_arn(cx, &service.cluster)),
        task_definition: Some(it.revision.task_definition.clone()),
        capacity_provider_strategy: Some(it.revision.strategy.clone()).filter(|it| !it.is_empty()),
        launch_type: it.revision.launch_type,
        platform_version: Some(PLATFORM_VERSION.into()),
        platform_family: Some("Linux".into()),
        load_balancers: Some(it.revision.load_balancers.clone()),
        network_configuration: it.revision.network.clone(),
        created_at: Some(timestamp(it.created_ms)),
        ..Default::default()
    }
}
