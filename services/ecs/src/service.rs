//! Services: updating, deleting, describing, listing. Creating is in [`crate::service_create`].

use cloud::{Cx, Error, Records};
use shapes::ecs::errors::{ServiceNotActiveException, ServiceNotFoundException};
use shapes::ecs::*;

use crate::cluster::{missing, page};
use crate::exec;
use crate::launch::{
    check_definition, check_fits, check_ground, check_load_balancers, choose_launch,
    choose_platform, invalid,
};
use crate::names::{find_cluster, find_definition, service_arn, service_name};
use crate::placement::asked::network_mode;
use crate::record::{self, Cluster, Revision, ServiceStatus};
use crate::service_create::new_deployment;
use crate::service_rules::{
    Asked, check_controller, check_placement, deployment_configuration, desired_count,
    grace_seconds,
};
use crate::service_view::view;

/// The API reference of `DescribeServices`.
const DESCRIBE_MAX: usize = 10;

/// A service that is there, and its cluster.
fn find(
    cx: &Cx,
    tx: &Records<'_>,
    cluster: Option<&str>,
    given: &str,
) -> Result<(Cluster, record::Service), Error> {
    let cluster = find_cluster(cx, tx, cluster)?;
    let name = service_name(cx, given)?;
    let service = tx.get(&record::Service::key_of(&cx.region, &cluster.name, &name))?;
    match service {
        Some(service) => Ok((cluster, service)),
        None => Err(ServiceNotFoundException.because("Service not found.")),
    }
}

pub async fn update_service(
    cx: Cx,
    input: UpdateServiceInput,
) -> Result<UpdateServiceOutput, Error> {
    check_controller(input.deployment_controller.as_ref())?;
    let (cluster, current) =
        cx.read(|tx| find(&cx, tx, input.cluster.as_deref(), &input.service))?;
    if current.status != ServiceStatus::Active {
        return Err(ServiceNotActiveException.because("Service was not ACTIVE."));
    }
    let revision = next_revision(&cx, &input, &cluster, &current).await?;
    cx.write(|tx| {
        let (_, mut service) = find(&cx, tx, input.cluster.as_deref(), &input.service)?;
        if service.status != ServiceStatus::Active {
            return Err(ServiceNotActiveException.because("Service was not ACTIVE."));
        }
        change(&cx, &mut service, input, revision)?;
        tx.put(&service)?;
        Ok(UpdateServiceOutput {
            service: Some(view(&cx, tx, &service, true)?),
        })
    })
}

/// What the service's tasks are to be from now on: as they are, but for what the request names.
async fn next_revision(
    cx: &Cx,
    input: &UpdateServiceInput,
    cluster: &Cluster,
    current: &record::Service,
) -> Result<Revision, Error> {
    let Some(primary) = current.deployments.first() else {
        return Err(ServiceNotActiveException.because("Service was not ACTIVE."));
    };
    let mut revision = primary.revision.clone();
    if let Some(given) = &input.task_definition {
        let found = cx.read(|tx| find_definition(cx, tx, given))?;
        revision.task_definition = check_definition(found)?.arn();
    }
    if let Some(strategy) = &input.capacity_provider_strategy {
        (revision.launch_type, revision.strategy) = if strategy.is_empty() {
            let kept = revision.launch_type.unwrap_or(LaunchType::Fargate);
            choose_launch(cluster, Some(kept), None)?
        } else {
            choose_launch(cluster, None, Some(strategy.clone()))?
        };
    }
    if input.platform_version.is_some() {
        let given = input.platform_version.as_deref();
        revision.platform_version = choose_platform(revision.launch_type, given)?;
    }
    if input.network_configuration.is_some() || input.task_definition.is_some() {
        let found = cx.read(|tx| find_definition(cx, tx, &revision.task_definition))?;
        let definition = found.ok_or_else(|| invalid("TaskDefinition not found."))?;
        let asked = input.network_configuration.clone();
        let launch_type = revision.launch_type;
        check_fits(&definition, launch_type)?;
        let has_interface = network_mode(&definition) == NetworkMode::Awsvpc;
        if asked.is_some() || has_interface != revision.network.is_some() {
            let asked = asked.or_else(|| revision.network.clone());
            revision.network = check_ground(cx, &definition, launch_type, asked).await?.0;
        }
    }
    let with_exec = (input.enable_execute_command).unwrap_or(current.enable_execute_command);
    let is_asked = input.enable_execute_command.is_some() || input.task_definition.is_some();
    if with_exec && is_asked {
        let found = cx.read(|tx| find_definition(cx, tx, &revision.task_definition))?;
        let definition = found.ok_or_else(|| invalid("TaskDefinition not found."))?;
        exec::check_role_of_service(&definition)?;
    }
    if let Some(balancers) = &input.load_balancers {
        revision.load_balancers.clone_from(balancers);
    }
    if input.load_balancers.is_some() || input.task_definition.is_some() {
        let found = cx.read(|tx| find_definition(cx, tx, &revision.task_definition))?;
        let definition = found.ok_or_else(|| invalid("TaskDefinition not found."))?;
        check_load_balancers(cx, &revision.load_balancers, &definition).await?;
    }
    Ok(revision)
}

fn change(
    cx: &Cx,
    service: &mut record::Service,
    input: UpdateServiceInput,
    revision: Revision,
) -> Result<(), Error> {
    if let Some(count) = input.desired_count {
        if service.is_daemon {
            return Err(invalid(
                "The daemon scheduling strategy does not support a desired count for services. Remove \
                 the desired count value and try again.",
            ));
        }
        service.desired = desired_count(count)?;
    }
    let placement = Asked {
        constraints: (input.placement_constraints)
            .unwrap_or_else(|| service.placement_constraints.clone()),
        strategy: (input.placement_strategy).unwrap_or_else(|| service.placement_strategy.clone()),
    };
    check_placement(&placement, revision.launch_type, service.is_daemon)?;
    service.placement_constraints = placement.constraints;
    service.placement_strategy = placement.strategy;
    let balanced = !revision.load_balancers.is_empty();
    if input.health_check_grace_period_seconds.is_some() {
        service.grace_seconds = grace_seconds(input.health_check_grace_period_seconds, balanced)?;
    }
    if input.deployment_configuration.is_some() {
        let current = service.configuration.clone();
        service.configuration =
            deployment_configuration(input.deployment_configuration, Some(&current))?;
    }
    if let Some(zones) = input.availability_zone_rebalancing {
        service.zone_rebalancing = zones;
    }
    service.managed_tags = input
        .enable_ecs_managed_tags
        .unwrap_or(service.managed_tags);
    // What runs stays as it was started: this makes no deployment, as on AWS.
    service.enable_execute_command =
        (input.enable_execute_command).unwrap_or(service.enable_execute_command);
    service.propagate_tags = input.propagate_tags.unwrap_or(service.propagate_tags);
    let primary = service.deployments.first();
    let changed = primary.is_none_or(|it| it.revision != revision);
    let repeated = cx.token.is_some() && primary.is_some_and(|it| it.made_by == cx.token);
    if changed || input.force_new_deployment == Some(true) && !repeated {
        service.deployments.insert(0, new_deployment(cx, revision));
        service.said_blocked = false;
        service.said_inconsistent = false;
    } else if let Some(primary) = service.deployments.first_mut() {
        // What the circuit breaker went back to is from now on what is asked for.
        primary.is_rollback = false;
    }
    service.said_steady = false;
    Ok(())
}

pub async fn delete_service(
    cx: Cx,
    input: DeleteServiceInput,
) -> Result<DeleteServiceOutput, Error> {
    cx.write(|tx| {
        let (_, mut service) = find(&cx, tx, input.cluster.as_deref(), &input.service)?;
        match service.status {
            ServiceStatus::Inactive => {
                return Err(ServiceNotFoundException.because("Service not found."));
            }
            ServiceStatus::Draining => (),
            ServiceStatus::Active => {
                if service.desired > 0 && !service.is_daemon && input.force != Some(true) {
                    return Err(invalid(
                        "The service cannot be stopped while it is scaled above 0.",
                    ));
                }
                service.status = ServiceStatus::Draining;
                service.desired = 0;
                tx.put(&service)?;
            }
        }
        Ok(DeleteServiceOutput {
            service: Some(view(&cx, tx, &service, true)?),
        })
    })
}

pub async fn describe_services(
    cx: Cx,
    input: DescribeServicesInput,
) -> Result<DescribeServicesOutput, Error> {
    if input.services.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if input.services.len() > DESCRIBE_MAX {
        return Err(invalid("Services can have at most 10 items."));
    }
    let with_tags = input
        .include
        .unwrap_or_default()
        .contains(&ServiceField::Tags);
    cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let (mut services, mut failures) = (Vec::new(), Vec::new());
        for given in &input.services {
            let name = service_name(&cx, given)?;
            let key = record::Service::key_of(&cx.region, &cluster.name, &name);
            match tx.get::<record::Service>(&key)? {
                Some(service) => services.push(view(&cx, tx, &service, with_tags)?),
                None => failures.push(missing(service_arn(&cx, &cluster.name, &name))),
            }
        }
        Ok(DescribeServicesOutput {
            services: Some(services),
            failures: Some(failures),
        })
    })
}

pub async fn list_services(cx: Cx, input: ListServicesInput) -> Result<ListServicesOutput, Error> {
    let other_kind = input.resource_management_type == Some(ResourceManagementType::Ecs);
    let daemons = (input.scheduling_strategy).map(|it| it == SchedulingStrategy::Daemon);
    let (cluster, all) = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let all = tx.list::<record::Service>(&cx.key(&format!("{}/", cluster.name)))?;
        Ok((cluster, all))
    })?;
    let shown = |it: &&record::Service| {
        !other_kind
            && daemons.is_none_or(|daemons| it.is_daemon == daemons)
            && it.status != ServiceStatus::Inactive
            && (input.launch_type.is_none()
                || it
                    .deployments
                    .first()
                    .is_some_and(|it| it.revision.launch_type == input.launch_type))
    };
    let arns: Vec<String> = all
        .iter()
        .filter(shown)
        .map(|it| service_arn(&cx, &cluster.name, &it.name))
        .collect();
    let (arns, next_token) = page(
        arns,
        input.max_results.or(Some(10)),
        input.next_token.as_deref(),
    )?;
    Ok(ListServicesOutput {
        service_arns: Some(arns),
        next_token,
    })
}
