//! `neargate down NAME`: takes an application offline, and says what it leaves.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use shapes::cloudformation::{DeleteStackInput, DescribeStackEventsInput, Stack};
use shapes::ecr::{DeleteRepositoryInput, DescribeImagesInput};
use shapes::ecs::{
    DeleteTaskDefinitionsInput, DeregisterTaskDefinitionInput, DescribeTasksInput,
    ListTaskDefinitionsInput, ListTasksInput, StopTaskInput, TaskDefinitionStatus,
};
use shapes::logs::{DeleteLogGroupInput, DescribeLogGroupsInput};

use super::application::{self, find_stack};
use super::why::first_cause;
use crate::client::{CallError, Client};
use crate::config::Config;
use crate::say::{self, Step};

const LOOK_EVERY: Duration = Duration::from_millis(30);
/// DeleteTaskDefinitions takes this many at once.
const TASK_DEFINITIONS_AT_ONCE: usize = 10;

#[derive(Debug, Args)]
pub struct Down {
    /// The application's name; needless when there is one only
    name: Option<String>,
    /// Remove also what deleting a stack leaves: images, logs, task definitions
    #[arg(long)]
    all_traces: bool,
}

/// One kind of thing that is left, and what removes it.
#[derive(Debug, Serialize)]
struct Left {
    what: String,
    command: String,
}

impl Down {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let client = Client::new(config)?;
        let name = self.chosen(&client).await?;
        if let Some(stack) = find_stack(&client, &name).await? {
            delete_stack(config, &client, &name, stack).await?;
        } else if !self.all_traces {
            application::find(&client, &name).await?;
        }
        if self.all_traces {
            let step = Step::begin("traces", config.json);
            remove_traces(&client, &name).await?;
            step.done("removed");
        }
        let left = leftovers(&client, &name).await?;
        if config.json {
            say::line(serde_json::json!({ "name": name, "deleted": true, "left": left }));
        } else if left.is_empty() {
            say::line(format_args!("Nothing of `{name}` is left."));
        } else {
            say::line("Left in the account:");
            for it in &left {
                say::line(format_args!("  {:<32} {}", it.what, it.command));
            }
            say::line(format_args!(
                "`neargate down {name} --all-traces` removes all of it."
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn chosen(&self, client: &Client) -> Result<String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let all = application::list(client).await?;
        match &all[..] {
            [only] => Ok(only.name.clone()),
            [] => bail!("there is no application"),
            several => {
                let names: Vec<&str> = several.iter().map(|it| it.name.as_str()).collect();
                bail!("which one? There are: {}", names.join(", "))
            }
        }
    }
}

async fn delete_stack(config: &Config, client: &Client, name: &str, stack: Stack) -> Result<()> {
    let step = Step::begin("stack", config.json);
    stop_single_tasks(client, name, &step).await?;
    let id = stack.stack_id.unwrap_or_else(|| name.to_owned());
    client
        .call(DeleteStackInput {
            stack_name: id.clone(),
            ..Default::default()
        })
        .await?;
    loop {
        let Some(stack) = find_stack(client, &id).await? else {
            break;
        };
        match stack.stack_status.as_str() {
            "DELETE_COMPLETE" => break,
            "DELETE_FAILED" => {
                let cause = first_cause(client, name).await.unwrap_or_default();
                bail!(
                    "{}\n\n{cause}",
                    stack.stack_status_reason.unwrap_or_default()
                )
            }
            _ => {
                detail(client, &id, &step).await?;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
    step.done(&format!("{name} deleted"));
    Ok(())
}

/// Tasks that somebody ran in the application's cluster by hand would keep the cluster from being
/// deleted, on AWS as here.
async fn stop_single_tasks(client: &Client, name: &str, step: &Step) -> Result<()> {
    let list = ListTasksInput {
        cluster: Some(name.to_owned()),
        ..Default::default()
    };
    let Ok(running) = client.call(list).await else {
        return Ok(());
    };
    let arns = running.task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Ok(());
    }
    let describe = DescribeTasksInput {
        cluster: Some(name.to_owned()),
        tasks: arns,
        ..Default::default()
    };
    for task in client.call(describe).await?.tasks.unwrap_or_default() {
        if task.started_by.is_some_and(|it| it.starts_with("ecs-svc/")) {
            continue;
        }
        let arn = task.task_arn.unwrap_or_default();
        step.line(&format!(
            "stopping the task {}",
            arn.rsplit('/').next().unwrap_or_default()
        ));
        let reason = Some("the application is taken offline".to_owned());
        client
            .call(StopTaskInput {
                cluster: Some(name.to_owned()),
                task: arn,
                reason,
            })
            .await?;
    }
    Ok(())
}

async fn detail(client: &Client, id: &str, step: &Step) -> Result<()> {
    let input = DescribeStackEventsInput {
        stack_name: id.to_owned(),
        ..Default::default()
    };
    if let Some(event) = client
        .call(input)
        .await?
        .stack_events
        .unwrap_or_default()
        .first()
    {
        let status = event.resource_status.clone().unwrap_or_default();
        step.detail(&format!(
            "{} {status}",
            event.logical_resource_id.as_deref().unwrap_or_default()
        ));
    }
    Ok(())
}

async fn task_definitions(
    client: &Client,
    name: &str,
    status: TaskDefinitionStatus,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let input = ListTaskDefinitionsInput {
            family_prefix: Some(name.to_owned()),
            status: Some(status),
            next_token: token,
            ..Default::default()
        };
        let page = client.call(input).await?;
        found.extend(page.task_definition_arns.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// Of every stack that the application ever was.
async fn log_groups(client: &Client, name: &str) -> Result<Vec<String>> {
    let prefix = format!("/neargate/{name}/");
    let input = DescribeLogGroupsInput {
        log_group_name_prefix: Some(prefix),
        ..Default::default()
    };
    let groups = client.call(input).await?.log_groups.unwrap_or_default();
    Ok(groups
        .into_iter()
        .filter_map(|it| it.log_group_name)
        .collect())
}

/// What AWS, too, leaves in the account when the stack is deleted.
async fn leftovers(client: &Client, name: &str) -> Result<Vec<Left>> {
    let mut left = Vec::new();
    let images = DescribeImagesInput {
        repository_name: name.to_owned(),
        ..Default::default()
    };
    if let Ok(images) = client.call(images).await {
        let count = images.image_details.unwrap_or_default().len();
        left.push(Left {
            what: format!("repository {name} ({})", say::counted(count, "image")),
            command: format!("aws ecr delete-repository --force --repository-name {name}"),
        });
    }
    for group in log_groups(client, name).await? {
        left.push(Left {
            what: format!("log group {group}"),
            command: format!("aws logs delete-log-group --log-group-name {group}"),
        });
    }
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        let count = task_definitions(client, name, status).await?.len();
        if count > 0 {
            left.push(Left {
                what: format!("{count} task definitions ({status})"),
                command: format!("neargate down {name} --all-traces"),
            });
        }
    }
    Ok(left)
}

async fn remove_traces(client: &Client, name: &str) -> Result<()> {
    let ignore_missing = |outcome: Result<()>| match outcome {
        Err(error)
            if error
                .downcast_ref::<CallError>()
                .is_some_and(|it| it.code.contains("NotFound")) =>
        {
            Ok(())
        }
        outcome => outcome,
    };
    let repository = DeleteRepositoryInput {
        repository_name: name.to_owned(),
        force: Some(true),
        ..Default::default()
    };
    ignore_missing(client.call(repository).await.map(drop))?;
    for group in log_groups(client, name).await? {
        let group = DeleteLogGroupInput {
            log_group_name: group,
        };
        ignore_missing(client.call(group).await.map(drop))?;
    }
    for arn in task_definitions(client, name, TaskDefinitionStatus::Active).await? {
        client
            .call(DeregisterTaskDefinitionInput {
                task_definition: arn,
            })
            .await?;
    }
    let inactive = task_definitions(client, name, TaskDefinitionStatus::Inactive).await?;
    for some in inactive.chunks(TASK_DEFINITIONS_AT_ONCE) {
        client
            .call(DeleteTaskDefinitionsInput {
                task_definitions: some.to_vec(),
            })
            .await?;
    }
    Ok(())
}
