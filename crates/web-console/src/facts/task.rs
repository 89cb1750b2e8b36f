//! Tasks, with what became of them.

use std::collections::HashMap;

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::ecs::{Container, DescribeTaskDefinitionInput, Task, TaskDefinition};
use why::list;

use super::{State, last_part, ms};

/// Last lines of a container that are shown.
const LINES_MAX: i32 = 20;

#[derive(Debug, Clone, Serialize)]
pub struct TaskFacts {
    pub cluster: String,
    pub task: TaskRow,
}

#[derive(Debug, Clone, Serialize)]
pub struct TaskRow {
    pub id: String,
    pub state: State,
    pub status: String,
    pub definition: String,
    pub service: Option<String>,
    pub started_by: Option<String>,
    pub address: Option<String>,
    pub zone: Option<String>,
    pub stopped_reason: Option<String>,
    pub created_ms: Option<i64>,
    pub pull_begun_ms: Option<i64>,
    pub pull_ended_ms: Option<i64>,
    pub started_ms: Option<i64>,
    pub stopping_ms: Option<i64>,
    pub stopped_ms: Option<i64>,
    pub containers: Vec<ContainerRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ContainerRow {
    pub name: String,
    pub image: String,
    pub digest: Option<String>,
    pub status: String,
    pub health: Option<String>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub log: Option<LogPlace>,
    /// Its last lines, where they were asked for.
    pub printed: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct LogPlace {
    pub group: String,
    pub stream: String,
}

pub async fn gather(cx: &Cx, cluster: &str, id: &str) -> Result<Option<TaskFacts>, Error> {
    let found = list::tasks(cx, cluster, &[id.to_owned()]).await;
    let found = match found {
        Ok(found) => found,
        Err(error) if error.status < 500 => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(task) = found.first() else {
        return Ok(None);
    };
    let mut definitions = Definitions::default();
    let mut row = definitions.row(cx, task).await?;
    add_lines(cx, &mut row).await?;
    Ok(Some(TaskFacts {
        cluster: cluster.to_owned(),
        task: row,
    }))
}

/// Definitions that were looked at already.
#[derive(Default)]
pub struct Definitions(HashMap<String, TaskDefinition>);

impl Definitions {
    pub async fn find(&mut self, cx: &Cx, arn: &str) -> Result<TaskDefinition, Error> {
        if let Some(known) = self.0.get(arn) {
            return Ok(known.clone());
        }
        let asked = cx.call(DescribeTaskDefinitionInput {
            task_definition: arn.to_owned(),
            ..Default::default()
        });
        let found = match asked.await {
            Ok(found) => found.task_definition.unwrap_or_default(),
            Err(error) if error.status < 500 => TaskDefinition::default(),
            Err(error) => return Err(error),
        };
        self.0.insert(arn.to_owned(), found.clone());
        Ok(found)
    }

    pub async fn row(&mut self, cx: &Cx, task: &Task) -> Result<TaskRow, Error> {
        let arn = task.task_definition_arn.as_deref().unwrap_or_default();
        let definition = self.find(cx, arn).await?;
        Ok(row(task, &definition))
    }
}

pub async fn add_lines(cx: &Cx, row: &mut TaskRow) -> Result<(), Error> {
    for it in &mut row.containers {
        if let Some(log) = &it.log {
            it.printed = list::last_events(cx, &log.group, &log.stream, LINES_MAX).await?;
        }
    }
    Ok(())
}

fn row(task: &Task, definition: &TaskDefinition) -> TaskRow {
    let id = last_part(task.task_arn.as_deref().unwrap_or_default());
    let containers = task.containers.iter().flatten();
    TaskRow {
        state: state(task),
        status: task.last_status.clone().unwrap_or_default(),
        definition: task.task_definition_arn.clone().unwrap_or_default(),
        service: (task.group.as_deref())
            .and_then(|it| it.strip_prefix("service:"))
            .map(str::to_owned),
        started_by: task.started_by.clone(),
        address: address(task),
        zone: task.availability_zone.clone(),
        stopped_reason: task.stopped_reason.clone(),
        created_ms: ms(task.created_at),
        pull_begun_ms: ms(task.pull_started_at),
        pull_ended_ms: ms(task.pull_stopped_at),
        started_ms: ms(task.started_at),
        stopping_ms: ms(task.stopping_at),
        stopped_ms: ms(task.stopped_at),
        containers: containers
            .map(|it| container(it, &id, definition))
            .collect(),
        id,
    }
}

fn state(task: &Task) -> State {
    let has_failed = task.containers.iter().flatten().any(has_failed);
    match task.last_status.as_deref().unwrap_or_default() {
        "RUNNING" => match task.health_status.map(|it| it.as_str()) {
            Some("UNHEALTHY") => State::Failed,
            _ => State::Well,
        },
        "STOPPED" if has_failed || task.started_at.is_none() => State::Failed,
        "STOPPED" => State::Idle,
        _ => State::Changing,
    }
}

fn has_failed(it: &Container) -> bool {
    it.reason.is_some() || it.exit_code.is_some_and(|it| it != 0)
}

fn address(task: &Task) -> Option<String> {
    let details = task
        .attachments
        .iter()
        .flatten()
        .flat_map(|it| it.details.iter().flatten());
    let found = details
        .into_iter()
        .find(|it| it.name.as_deref() == Some("privateIPv4Address"));
    found.and_then(|it| it.value.clone())
}

fn container(it: &Container, task: &str, definition: &TaskDefinition) -> ContainerRow {
    let name = it.name.clone().unwrap_or_default();
    let mut asked = definition.container_definitions.iter().flatten();
    let asked = asked.find(|it| it.name.as_deref() == Some(&name));
    let options = asked
        .and_then(|it| it.log_configuration.as_ref())
        .and_then(|it| it.options.as_ref());
    let option = |key: &str| options.and_then(|it| it.get(key).cloned());
    ContainerRow {
        image: it.image.clone().unwrap_or_default(),
        digest: it.image_digest.clone(),
        status: it.last_status.clone().unwrap_or_default(),
        health: (it.health_status.map(|it| it.as_str().to_owned())).filter(|it| it != "UNKNOWN"),
        exit_code: it.exit_code,
        reason: it.reason.clone(),
        log: option("awslogs-group")
            .zip(option("awslogs-stream-prefix"))
            .map(|(group, prefix)| LogPlace {
                group,
                stream: format!("{prefix}/{name}/{task}"),
            }),
        printed: Vec::new(),
        name,
    }
}
