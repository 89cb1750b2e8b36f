//! `CreateService`.

use cloud::{Cx, Error, Records};
use shapes::ecs::*;

use crate::exec;
use crate::launch::{
    check_definition, check_ground, check_load_balancers, choose_launch, choose_platform, invalid,
};
use crate::names::{find_cluster, find_definition, is_name};
use crate::plan::Rollout;
use crate::record::{self, Cluster, Definition, Revision, ServiceStatus, deployment_id};
use crate::refuse::unsupported;
use crate::service_rules::{
    Asked, check_controller, check_placement, deployment_configuration, desired_count,
    grace_seconds, refuse_unbuilt_deployment, with_defaults_of,
};
use crate::service_view::view;

/// What a new service asks for that is not built, whatever else it says.
pub fn refuse_of_service(input: &CreateServiceInput) -> Result<(), Error> {
    check_controller(input.deployment_controller.as_ref())?;
    let known = [LaunchType::Fargate, LaunchType::Ec2];
    if let Some(other) = input.launch_type.filter(|it| !known.contains(it)) {
        return Err(unsupported(format!("launchType {other}")));
    }
    (input.deployment_configuration.iter()).try_for_each(refuse_unbuilt_deployment)
}

pub async fn create_service(
    cx: Cx,
    input: CreateServiceInput,
) -> Result<CreateServiceOutput, Error> {
    check_names(&input)?;
    refuse_of_service(&input)?;
    let (cluster, definition, existing) = cx.read(|tx| look(&cx, tx, &input))?;
    if let Some(existing) = existing {
        return answer_existing(&cx, &existing, &input);
    }
    let definition = check_definition(definition)?;
    let service = new_service(&cx, input, &cluster, &definition).await?;
    cx.write(|tx| {
        // Made by somebody else meanwhile?
        let key = cloud::Record::key(&service);
        let other = tx.get::<record::Service>(&key)?;
        if other.is_some_and(|it| it.status != ServiceStatus::Inactive) {
            return Err(invalid("Creation of service was not idempotent."));
        }
        tx.put(&service)?;
        Ok(CreateServiceOutput {
            service: Some(view(&cx, tx, &service, true)?),
        })
    })
}

fn check_names(input: &CreateServiceInput) -> Result<(), Error> {
    if !is_name(&input.service_name) {
        return Err(invalid(
            "Service name must be up to 255 letters, digits, hyphens and underscores.",
        ));
    }
    Ok(())
}

type Look = (Cluster, Option<Definition>, Option<record::Service>);

fn look(cx: &Cx, tx: &Records<'_>, input: &CreateServiceInput) -> Result<Look, Error> {
    let cluster = find_cluster(cx, tx, input.cluster.as_deref())?;
    let Some(given) = input.task_definition.as_deref().filter(|it| !it.is_empty()) else {
        return Err(invalid("TaskDefinition can not be blank."));
    };
    let definition = find_definition(cx, tx, given)?;
    let key = record::Service::key_of(&cx.region, &cluster.name, &input.service_name);
    let existing = tx.get(&key)?;
    let existing = existing.filter(|it: &record::Service| it.status != ServiceStatus::Inactive);
    Ok((cluster, definition, existing))
}

/// The same request again is answered with what the first one made.
fn answer_existing(
    cx: &Cx,
    existing: &record::Service,
    input: &CreateServiceInput,
) -> Result<CreateServiceOutput, Error> {
    if existing.status == ServiceStatus::Draining {
        return Err(invalid("Unable to Start a service that is still Draining."));
    }
    let same_token = input.client_token.is_some() && existing.client_token == input.client_token;
    let same_maker = cx.token.is_some() && existing.made_by == cx.token;
    if !same_token && !same_maker {
        return Err(invalid("Creation of service was not idempotent."));
    }
    let service = cx.read(|tx| view(cx, tx, existing, true))?;
    Ok(CreateServiceOutput {
        service: Some(service),
    })
}

async fn new_service(
    cx: &Cx,
    input: CreateServiceInput,
    cluster: &Cluster,
    definition: &Definition,
) -> Result<record::Service, Error> {
    let (launch_type, strategy) =
        choose_launch(cluster, input.launch_type, input.capacity_provider_strategy)?;
    let platform_version = choose_platform(launch_type, input.platform_version.as_deref())?;
    let is_daemon = input.scheduling_strategy == Some(SchedulingStrategy::Daemon);
    let placement = Asked {
        constraints: input.placement_constraints.unwrap_or_default(),
        strategy: input.placement_strategy.unwrap_or_default(),
    };
    check_placement(&placement, launch_type, is_daemon)?;
    if is_daemon && input.desired_count.is_some_and(|it| it != 0) {
        return Err(invalid(
            "The daemon scheduling strategy does not support a desired count for services. Remove the \
             desired count value and try again.",
        ));
    }
    let with_exec = input.enable_execute_command == Some(true);
    if with_exec {
        exec::check_role_of_service(definition)?;
    }
    let asked = input.network_configuration;
    let (network, _) = check_ground(cx, definition, launch_type, asked).await?;
    let load_balancers = input.load_balancers.unwrap_or_default();
    check_load_balancers(cx, &load_balancers, definition).await?;
    let now_ms = cx.clock().now_ms();
    let grace_seconds = grace_seconds(
        input.health_check_grace_period_seconds,
        !load_balancers.is_empty(),
    )?;
    let revision = Revision {
        task_definition: definition.arn(),
        network,
        load_balancers,
        launch_type,
        strategy,
        platform_version,
    };
    Ok(record::Service {
        region: cx.region.clone(),
        cluster: cluster.name.clone(),
        name: input.service_name,
        status: ServiceStatus::Active,
        created_ms: now_ms,
        desired: match is_daemon {
            true => 0,
            false => desired_count(input.desired_count.unwrap_or(1))?,
        },
        deployments: vec![new_deployment(cx, revision)],
        last_completed: None,
        history: Vec::new(),
        configuration: deployment_configuration(
            with_defaults_of(input.deployment_configuration, is_daemon),
            None,
        )?,
        grace_seconds,
        managed_tags: input.enable_ecs_managed_tags.unwrap_or(false),
        propagate_tags: input.propagate_tags.unwrap_or(PropagateTags::None),
        enable_execute_command: with_exec,
        zone_rebalancing: (input.availability_zone_rebalancing)
            .unwrap_or(AvailabilityZoneRebalancing::Enabled),
        role: input.role.filter(|it| !it.is_empty()),
        placement_constraints: placement.constraints,
        placement_strategy: placement.strategy,
        is_daemon,
        tags: input.tags.unwrap_or_default(),
        events: Vec::new(),
        said_steady: false,
        said_blocked: false,
        said_inconsistent: false,
        client_token: input.client_token,
        made_by: cx.token.clone(),
    })
}

pub fn new_deployment(cx: &Cx, revision: Revision) -> record::Deployment {
    let now_ms = cx.clock().now_ms();
    let id = deployment_id();
    record::Deployment {
        reason: format!("ECS deployment {id} in progress."),
        id,
        revision,
        created_ms: now_ms,
        updated_ms: now_ms,
        rollout: Rollout::InProgress,
        failed_tasks: 0,
        crashes: 0,
        last_crash_ms: 0,
        is_rollback: false,
        made_by: cx.token.clone(),
    }
}
