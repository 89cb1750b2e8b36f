//! `RunTask`: tasks that belong to no service.

use cloud::{Cx, Error};
use shapes::ecs::errors::ClientException;
use shapes::ecs::*;

use crate::exec;
use crate::fargate::{check_storage, own_size, task_size};
use crate::fleet::{Placing, Wish, members};
use crate::launch::{
    check_definition, check_ground, choose_launch, choose_platform, invalid, is_on_instances,
};
use crate::names::{container_instance_arn, find_cluster, find_definition};
use crate::new_task::{NewTask, put_new_task};
use crate::place::Spread;
use crate::placement::{Misfit, NO_INSTANCES, Unplaced};
use crate::record::Definition;
use crate::roles::unusable_role;
use crate::task_record::{StoppedTask, Task, TaskPlace};
use crate::task_view::view;

/// The API reference of `RunTask`.
const COUNT_MAX: i32 = 10;

pub async fn run_task(cx: Cx, input: RunTaskInput) -> Result<RunTaskOutput, Error> {
    let count = input.count.unwrap_or(1);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(invalid(format!("count must be between 1 and {COUNT_MAX}.")));
    }
    if input.started_by.as_ref().is_some_and(|it| it.len() > 128) {
        return Err(invalid("startedBy can be at most 128 characters long."));
    }
    if input
        .group
        .as_ref()
        .is_some_and(|it| it.starts_with("service:"))
    {
        return Err(invalid(
            "Invalid namespace for group. Namespace cannot be service.",
        ));
    }
    let (cluster, definition) = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let definition = find_definition(&cx, tx, &input.task_definition)?;
        Ok((cluster, check_definition(definition)?))
    })?;
    let (launch_type, strategy) = choose_launch(
        &cluster,
        input.launch_type,
        input.capacity_provider_strategy,
    )?;
    choose_platform(launch_type, input.platform_version.as_deref())?;
    let asked = input.network_configuration;
    let (network, places) = check_ground(&cx, &definition, launch_type, asked).await?;
    let overrides = input.overrides.unwrap_or_default();
    check_overrides(&overrides, &definition, launch_type)?;
    let group = input
        .group
        .unwrap_or_else(|| format!("family:{}", definition.family));
    let constraints = input.placement_constraints.unwrap_or_default();
    let strategy_asked = input.placement_strategy.unwrap_or_default();
    let is_placed = is_on_instances(launch_type);
    let asks_for_place = !constraints.is_empty() || !strategy_asked.is_empty();
    if asks_for_place && !is_placed {
        return Err(invalid(
            "Placement constraints and strategies are not supported with launch type FARGATE.",
        ));
    }

    let with_exec = input.enable_execute_command == Some(true);
    if with_exec {
        exec::check_task_role(&overrides, &definition)?;
    }
    if let Some(reason) = unusable_role(&cx, &overrides, &definition)? {
        return Err(ClientException.because(reason));
    }
    let tags = all_tags(
        input.tags.unwrap_or_default(),
        input.propagate_tags,
        &definition,
        input
            .enable_ecs_managed_tags
            .unwrap_or(false)
            .then_some(cluster.name.as_str()),
    )?;
    let token = input.client_token.or(cx.token.clone());
    // What else runs is told by the addresses that are free: tasks without a service are not counted.
    let mut spread = Spread::new(places.clone(), []);
    let (tasks, failures) = cx.write(|tx| {
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        let mut placing = match is_placed {
            false => None,
            true => Some(Placing::new(
                members(&cx, tx, &cluster.name)?,
                Wish {
                    definition: &definition,
                    overrides: &overrides,
                    group: &group,
                    constraints: &constraints,
                    strategy: &strategy_asked,
                    places: places.clone(),
                },
            )?),
        };
        if placing.as_ref().is_some_and(Placing::is_empty) {
            return Err(invalid(NO_INSTANCES));
        }
        for number in 0..count {
            let id = match &token {
                Some(token) => {
                    let token = format!("{}/{token}/{number}", cluster.name);
                    cx.with_token(token).new_id("", 32)
                }
                None => cloud::random_hex(32),
            };
            if let Some(existing) = find_task(tx, &id)? {
                tasks.push(existing);
                continue;
            }
            let (placed, subnet) = match &mut placing {
                None => (None, spread.place()),
                Some(placing) => match placing.place(dice()) {
                    Ok((placed, subnet)) => (Some(placed), subnet),
                    Err(unplaced) => {
                        failures = failures_of(&cx, &cluster.name, &unplaced);
                        break;
                    }
                },
            };
            let new = NewTask {
                id,
                cluster: &cluster.name,
                definition: &definition,
                service: None,
                group: group.clone(),
                started_by: input.started_by.clone(),
                network: network.clone().unwrap_or_default(),
                subnet,
                placed,
                launch_type,
                strategy: strategy.clone(),
                load_balancers: &[],
                overrides: overrides.clone(),
                enable_execute_command: with_exec,
                tags: tags.clone(),
            };
            tasks.push(put_new_task(&cx, tx, new)?);
        }
        Ok((tasks, failures))
    })?;
    Ok(RunTaskOutput {
        tasks: Some(tasks.iter().map(|it| view(&cx, it)).collect()),
        failures: Some(failures),
    })
}

/// What decides between instances that are equally good.
pub fn dice() -> u64 {
    u64::from_str_radix(&cloud::random_hex(16), 16).unwrap_or_default()
}

fn failures_of(cx: &Cx, cluster: &str, unplaced: &Unplaced) -> Vec<Failure> {
    let all = unplaced.0.iter();
    all.map(|(id, misfit)| misfitting(container_instance_arn(cx, cluster, id), *misfit))
        .collect()
}

pub fn misfitting(arn: String, misfit: Misfit) -> Failure {
    Failure {
        arn: Some(arn),
        reason: Some(misfit.reason().into()),
        detail: None,
    }
}

/// A task by its id, live or stopped.
pub fn find_task(tx: &cloud::Records<'_>, id: &str) -> Result<Option<Task>, Error> {
    let Some(place) = tx.get::<TaskPlace>(id)? else {
        return Ok(None);
    };
    if let Some(task) = tx.get::<Task>(&place.key)? {
        return Ok(Some(task));
    }
    Ok(tx.get::<StoppedTask>(&place.key)?.map(|it| it.0))
}

pub fn check_overrides(
    overrides: &TaskOverride,
    definition: &Definition,
    launch_type: Option<LaunchType>,
) -> Result<(), Error> {
    let shape = &definition.shape;
    let cpu = overrides.cpu.as_deref().or(shape.cpu.as_deref());
    let memory = overrides.memory.as_deref().or(shape.memory.as_deref());
    if is_on_instances(launch_type) {
        own_size(cpu, memory)?;
        if overrides.ephemeral_storage.is_some() {
            return Err(invalid(
                "ephemeralStorage is not supported with launch type EC2.",
            ));
        }
    } else {
        task_size(cpu, memory)?;
        check_storage(overrides.ephemeral_storage.as_ref())?;
    }
    for container in overrides.container_overrides.iter().flatten() {
        let known = shape
            .container_definitions
            .iter()
            .flatten()
            .any(|it| it.name == container.name);
        if !known {
            return Err(invalid(
                "Override for container named ".to_owned()
                    + container.name.as_deref().unwrap_or_default()
                    + " is not a container in the TaskDefinition.",
            ));
        }
    }
    Ok(())
}

/// The task's own tags, those it inherits, and those that AWS manages.
pub fn all_tags(
    mut own: Vec<Tag>,
    propagate: Option<PropagateTags>,
    definition: &Definition,
    managed_for: Option<&str>,
) -> Result<Vec<Tag>, Error> {
    match propagate {
        Some(PropagateTags::TaskDefinition) => add_missing(&mut own, &definition.tags),
        Some(PropagateTags::Service) => {
            return Err(invalid(
                "Tasks that belong to no service cannot inherit its tags.",
            ));
        }
        _ => (),
    }
    if let Some(cluster) = managed_for {
        add_missing(&mut own, &[tag("aws:ecs:clusterName", cluster)]);
    }
    Ok(own)
}

pub fn add_missing(tags: &mut Vec<Tag>, more: &[Tag]) {
    for tag in more {
        if tags.iter().all(|it| it.key != tag.key) {
            tags.push(tag.clone());
        }
    }
}

pub fn tag(key: &str, value: &str) -> Tag {
    Tag {
        key: Some(key.into()),
        value: Some(value.into()),
    }
}
