//! Stopping, describing and listing tasks.

use cloud::{Cx, Error};
use shapes::ecs::*;

use crate::cluster::{missing, page};
use crate::launch::invalid;
use crate::names::{
    container_instance_id, definition_name, find_cluster, service_name, task_arn, task_id,
};
use crate::record;
use crate::run_task::find_task;
use crate::task_record::{self, Phase, Stop, StoppedTask};
use crate::task_view::view;

/// The API reference of `DescribeTasks`.
const DESCRIBE_MAX: usize = 100;

pub async fn stop_task(cx: Cx, input: StopTaskInput) -> Result<StopTaskOutput, Error> {
    let id = task_id(&cx, &input.task)?;
    cx.write(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let mut task = find_task(tx, &id)?
            .filter(|it| it.cluster == cluster.name)
            .ok_or_else(|| invalid("The referenced task was not found."))?;
        if task.stop.is_none() {
            let reason = input
                .reason
                .unwrap_or_else(|| "Task stopped by user".into());
            let stop = Stop {
                code: TaskStopCode::UserInitiated,
                reason,
                failure: task_record::Failure::No,
            };
            task.ask_to_stop(stop, cx.clock().now_ms());
            tx.put(&task)?;
        }
        Ok(StopTaskOutput {
            task: Some(view(&cx, &task)),
        })
    })
}

pub async fn describe_tasks(
    cx: Cx,
    input: DescribeTasksInput,
) -> Result<DescribeTasksOutput, Error> {
    if input.tasks.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if input.tasks.len() > DESCRIBE_MAX {
        return Err(invalid("Tasks can have at most 100 items."));
    }
    let with_tags = input.include.unwrap_or_default().contains(&TaskField::Tags);
    cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for given in &input.tasks {
            let id = task_id(&cx, given)?;
            match find_task(tx, &id)?.filter(|it| it.cluster == cluster.name) {
                Some(task) => {
                    let mut shown = view(&cx, &task);
                    if !with_tags {
                        shown.tags = Some(Vec::new());
                    }
                    tasks.push(shown);
                }
                None => failures.push(missing(task_arn(&cx, &cluster.name, &id))),
            }
        }
        Ok(DescribeTasksOutput {
            tasks: Some(tasks),
            failures: Some(failures),
        })
    })
}

pub async fn list_tasks(cx: Cx, input: ListTasksInput) -> Result<ListTasksOutput, Error> {
    let stopped = input.desired_status == Some(DesiredStatus::Stopped);
    let family = input.family.as_deref();
    let instance = match &input.container_instance {
        Some(given) => Some(container_instance_id(&cx, given)?),
        None => None,
    };
    let (cluster, mut tasks, stopped_keys) = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let prefix = match &input.service_name {
            Some(given) => {
                let name = service_name(&cx, given)?;
                tx.get::<record::Service>(&record::Service::key_of(
                    &cx.region,
                    &cluster.name,
                    &name,
                ))?
                .ok_or_else(|| errors::ServiceNotFoundException.because("Service not found."))?;
                task_record::Task::prefix_of(&cx.region, &cluster.name, Some(&name))
            }
            None => cx.key(&format!("{}/", cluster.name)),
        };
        let mut tasks = tx.list::<task_record::Task>(&prefix)?;
        let mut ids = Vec::new();
        // Nothing is asked of them: where they lie says enough.
        let says_enough = family.is_none() && input.started_by.is_none();
        if stopped && says_enough && input.launch_type.is_none() && instance.is_none() {
            ids = tx.keys::<StoppedTask>(&prefix)?;
        } else if stopped {
            tasks.extend(tx.list::<StoppedTask>(&prefix)?.into_iter().map(|it| it.0));
        }
        Ok((cluster, tasks, ids))
    })?;
    tasks.retain(|task| {
        // AWS: a desired status of PENDING finds nothing, for no task desires it.
        let wanted = match input.desired_status {
            Some(DesiredStatus::Pending) => false,
            _ => task.stop.is_some() == stopped || task.phase == Phase::Stopped && stopped,
        };
        wanted
            && family.is_none_or(|family| of_family(&cx, task, family))
            && input
                .started_by
                .as_ref()
                .is_none_or(|by| task.started_by.as_ref() == Some(by))
            && is_launched(task, input.launch_type)
            && (instance.as_ref()).is_none_or(|id| is_on(task, id))
    });
    let mut arns: Vec<String> = tasks
        .iter()
        .map(|it| task_arn(&cx, &cluster.name, &it.id))
        .collect();
    arns.extend(stopped_keys.iter().map(|key| {
        let id = key.rsplit('/').next().unwrap_or_default();
        task_arn(&cx, &cluster.name, id)
    }));
    arns.sort();
    let (arns, next_token) = page(arns, input.max_results, input.next_token.as_deref())?;
    Ok(ListTasksOutput {
        task_arns: Some(arns),
        next_token,
    })
}

fn is_launched(task: &task_record::Task, asked: Option<LaunchType>) -> bool {
    match asked {
        None => true,
        Some(LaunchType::Fargate) => task.placed.is_none(),
        Some(LaunchType::Ec2) => task.placed.is_some(),
        Some(_) => false,
    }
}

fn is_on(task: &task_record::Task, instance: &str) -> bool {
    (task.placed.as_ref()).is_some_and(|it| it.instance == instance)
}

fn of_family(cx: &Cx, task: &task_record::Task, family: &str) -> bool {
    definition_name(cx, &task.definition).is_ok_and(|(own, _)| own == family)
}
