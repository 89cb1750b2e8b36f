//! `StartTask`: tasks on instances that the caller names.

use cloud::{Cx, Error};
use shapes::ecs::errors::ClientException;
use shapes::ecs::*;

use crate::cluster::missing;
use crate::exec;
use crate::fleet::{Placing, Wish, members};
use crate::launch::{check_definition, check_ground, invalid};
use crate::names::{container_instance_arn, container_instance_id, find_cluster, find_definition};
use crate::new_task::{NewTask, put_new_task};
use crate::roles::unusable_role;
use crate::run_task::{all_tags, check_overrides, misfitting};
use crate::task_view::view;

/// The API reference of `StartTask`.
const INSTANCES_MAX: usize = 10;

pub async fn start_task(cx: Cx, input: StartTaskInput) -> Result<StartTaskOutput, Error> {
    if input.container_instances.is_empty() || input.container_instances.len() > INSTANCES_MAX {
        return Err(invalid(
            "Container instances must have between 1 and 10 items.",
        ));
    }
    let is_of_service = |it: &String| it.starts_with("service:");
    if input.group.as_ref().is_some_and(is_of_service) {
        return Err(invalid(
            "Invalid namespace for group. Namespace cannot be service.",
        ));
    }
    let (cluster, definition) = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let definition = find_definition(&cx, tx, &input.task_definition)?;
        Ok((cluster, check_definition(definition)?))
    })?;
    let launch_type = Some(LaunchType::Ec2);
    let asked = input.network_configuration;
    let (network, places) = check_ground(&cx, &definition, launch_type, asked).await?;
    let overrides = input.overrides.unwrap_or_default();
    check_overrides(&overrides, &definition, launch_type)?;
    let with_exec = input.enable_execute_command == Some(true);
    if with_exec {
        exec::check_task_role(&overrides, &definition)?;
    }
    if let Some(reason) = unusable_role(&cx, &overrides, &definition)? {
        return Err(ClientException.because(reason));
    }
    let managed = input.enable_ecs_managed_tags == Some(true);
    let tags = all_tags(
        input.tags.unwrap_or_default(),
        input.propagate_tags,
        &definition,
        managed.then_some(cluster.name.as_str()),
    )?;
    let group = input
        .group
        .unwrap_or_else(|| format!("family:{}", definition.family));
    let (tasks, failures) = cx.write(|tx| {
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        let wish = Wish {
            definition: &definition,
            overrides: &overrides,
            group: &group,
            constraints: &[],
            strategy: &[],
            places: places.clone(),
        };
        let mut placing = Placing::new(members(&cx, tx, &cluster.name)?, wish)?;
        for given in &input.container_instances {
            let instance = container_instance_id(&cx, given)?;
            let arn = container_instance_arn(&cx, &cluster.name, &instance);
            let (placed, subnet) = match placing.place_on(&instance) {
                None => {
                    failures.push(missing(arn));
                    continue;
                }
                Some(Err(misfit)) => {
                    failures.push(misfitting(arn, misfit));
                    continue;
                }
                Some(Ok(found)) => found,
            };
            let new = NewTask {
                id: cloud::random_hex(32),
                cluster: &cluster.name,
                definition: &definition,
                service: None,
                group: group.clone(),
                started_by: input.started_by.clone(),
                network: network.clone().unwrap_or_default(),
                subnet,
                placed: Some(placed),
                launch_type,
                strategy: Vec::new(),
                load_balancers: &[],
                overrides: overrides.clone(),
                enable_execute_command: with_exec,
                tags: tags.clone(),
            };
            tasks.push(put_new_task(&cx, tx, new)?);
        }
        Ok((tasks, failures))
    })?;
    Ok(StartTaskOutput {
        tasks: Some(tasks.iter().map(|it| view(&cx, it)).collect()),
        failures: Some(failures),
    })
}
