//! One service, with its deployments, targets, tasks and events.

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::cloudformation::DescribeStackResourcesInput;
use shapes::ecs::{Deployment, DescribeServicesInput, Service};
use why::{Question, Report, list};

use super::task::{Definitions, TaskRow, add_lines};
use super::{ServiceSummary, State, health, ms, now_ms, state_of, summary};

const EVENTS_MAX: usize = 50;
/// Tasks that are shown: those that run first, then those that stopped last.
const TASKS_MAX: usize = 200;
/// Stopped tasks whose last lines are shown.
const STOPPED_WITH_LINES_MAX: usize = 4;

#[derive(Debug, Clone, Serialize)]
pub struct ServiceFacts {
    pub summary: ServiceSummary,
    pub deployments: Vec<DeploymentRow>,
    pub targets: Vec<TargetRow>,
    pub tasks: Vec<TaskRow>,
    pub events: Vec<EventRow>,
    pub log_groups: Vec<String>,
    /// The definition that ran before the newest one, where it is known.
    pub previous: Option<String>,
    pub stack: Option<String>,
    /// Where it is red.
    pub report: Option<Report>,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct DeploymentRow {
    pub id: String,
    pub definition: String,
    pub status: String,
    pub state: State,
    pub rollout: String,
    pub reason: Option<String>,
    pub desired: i32,
    pub running: i32,
    pub pending: i32,
    pub failed: i32,
    pub begun_ms: Option<i64>,
    pub changed_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TargetRow {
    pub group: String,
    pub address: String,
    pub port: i32,
    pub state: State,
    pub health: String,
    pub reason: String,
    pub description: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct EventRow {
    pub at_ms: Option<i64>,
    pub message: String,
}

pub async fn describe(cx: &Cx, cluster: &str, name: &str) -> Result<Option<Service>, Error> {
    let asked = cx.call(DescribeServicesInput {
        cluster: Some(cluster.to_owned()),
        services: vec![name.to_owned()],
        include: None,
    });
    match asked.await {
        Ok(found) => Ok(found.services.unwrap_or_default().into_iter().next()),
        Err(error) if error.status < 500 => Ok(None),
        Err(error) => Err(error),
    }
}

pub async fn gather(cx: &Cx, cluster: &str, name: &str) -> Result<Option<ServiceFacts>, Error> {
    let Some(service) = describe(cx, cluster, name).await? else {
        return Ok(None);
    };
    let summary = summary(cx, &service).await?;
    let mut definitions = Definitions::default();
    let tasks = tasks(cx, cluster, name, &mut definitions).await?;
    let current = service.task_definition.clone().unwrap_or_default();
    let report = match summary.state {
        State::Failed => Some(
            why::answer(
                cx,
                &Question {
                    thing: Some(format!("{cluster}/{name}")),
                    to: None,
                },
            )
            .await?,
        ),
        _ => None,
    };
    Ok(Some(ServiceFacts {
        deployments: service
            .deployments
            .iter()
            .flatten()
            .map(deployment)
            .collect(),
        targets: targets(cx, &service).await?,
        events: events(&service),
        log_groups: log_groups(cx, &current, &mut definitions).await?,
        previous: previous(&service, &tasks, &current),
        stack: stack_of(cx, &summary.arn).await?,
        tasks,
        report,
        summary,
        now_ms: now_ms(cx),
    }))
}

fn deployment(it: &Deployment) -> DeploymentRow {
    let rollout = it.rollout_state.map_or("", |it| it.as_str());
    let count = |it: Option<i32>| it.unwrap_or_default();
    DeploymentRow {
        id: it.id.clone().unwrap_or_default(),
        definition: it.task_definition.clone().unwrap_or_default(),
        status: it.status.clone().unwrap_or_default(),
        state: match rollout {
            "COMPLETED" => State::Well,
            "FAILED" => State::Failed,
            "IN_PROGRESS" if count(it.failed_tasks) > 0 => State::Failed,
            _ => State::Changing,
        },
        rollout: rollout.to_owned(),
        reason: it.rollout_state_reason.clone(),
        desired: count(it.desired_count),
        running: count(it.running_count),
        pending: count(it.pending_count),
        failed: count(it.failed_tasks),
        begun_ms: ms(it.created_at),
        changed_ms: ms(it.updated_at),
    }
}

async fn targets(cx: &Cx, service: &Service) -> Result<Vec<TargetRow>, Error> {
    let mut all = Vec::new();
    for balanced in service.load_balancers.iter().flatten() {
        let arn = balanced.target_group_arn.as_deref().unwrap_or_default();
        for it in health(cx, arn).await? {
            let words = state_of(&it);
            let target = it.target.unwrap_or_default();
            let said = it.target_health.unwrap_or_default();
            all.push(TargetRow {
                group: arn.split('/').nth(1).unwrap_or(arn).to_owned(),
                address: target.id,
                port: target.port.unwrap_or_default(),
                state: State::of_words(words),
                health: words.to_owned(),
                reason: said.reason.map_or("", |it| it.as_str()).to_owned(),
                description: said.description.unwrap_or_default(),
            });
        }
    }
    Ok(all)
}

async fn tasks(
    cx: &Cx,
    cluster: &str,
    name: &str,
    definitions: &mut Definitions,
) -> Result<Vec<TaskRow>, Error> {
    let ids = list::task_ids(cx, cluster, Some(name)).await?;
    let mut rows = Vec::new();
    for task in list::tasks(cx, cluster, &ids).await? {
        rows.push(definitions.row(cx, &task).await?);
    }
    // Those that run, the oldest first; then those that are over, the last first.
    rows.sort_by_key(|it| match it.stopped_ms {
        None => (0, it.created_ms.unwrap_or_default()),
        Some(at) => (1, -at),
    });
    rows.truncate(TASKS_MAX);
    let over = rows
        .iter_mut()
        .filter(|it| it.stopped_ms.is_some() && it.state == State::Failed);
    for row in over.take(STOPPED_WITH_LINES_MAX) {
        add_lines(cx, row).await?;
    }
    Ok(rows)
}

fn events(service: &Service) -> Vec<EventRow> {
    let all = service.events.iter().flatten().take(EVENTS_MAX);
    all.map(|it| EventRow {
        at_ms: ms(it.created_at),
        message: it.message.clone().unwrap_or_default(),
    })
    .collect()
}

async fn log_groups(
    cx: &Cx,
    definition: &str,
    definitions: &mut Definitions,
) -> Result<Vec<String>, Error> {
    let found = definitions.find(cx, definition).await?;
    let containers = found.container_definitions.into_iter().flatten();
    let logs = containers.filter_map(|it| it.log_configuration?.options?.remove("awslogs-group"));
    let mut groups: Vec<String> = logs.collect();
    groups.sort();
    groups.dedup();
    Ok(groups)
}

/// Of a deployment that still drains, or of tasks that are remembered.
fn previous(service: &Service, tasks: &[TaskRow], current: &str) -> Option<String> {
    let deployments = service.deployments.iter().flatten();
    let drains = deployments.filter_map(|it| it.task_definition.clone());
    let remembered = tasks.iter().map(|it| it.definition.clone());
    drains
        .chain(remembered)
        .find(|it| !it.is_empty() && it != current)
}

async fn stack_of(cx: &Cx, arn: &str) -> Result<Option<String>, Error> {
    let asked = cx.call(DescribeStackResourcesInput {
        physical_resource_id: Some(arn.to_owned()),
        ..Default::default()
    });
    match asked.await {
        Ok(found) => {
            let first = found.stack_resources.unwrap_or_default().into_iter().next();
            Ok(first.and_then(|it| it.stack_name))
        }
        // Nobody's stack made it.
        Err(error) if error.status < 500 => Ok(None),
        Err(error) => Err(error),
    }
}
