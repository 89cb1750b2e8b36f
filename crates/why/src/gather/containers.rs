//! A task's containers: what their definition asks for, what became of them, what they printed.

use cloud::{Cx, Error};
use shapes::ecs::{Container, ContainerDefinition, TaskDefinition};
use shapes::logs::DescribeLogGroupsInput;

use super::{list, pictures};
use crate::facts::{ContainerFacts, LogFacts};

/// So many of a container's last lines are looked at.
const LINES_MAX: i32 = 20;

/// Where a log group may have been made instead: the regions of AWS's commercial partition (AWS General
/// Reference, "CloudWatch Logs endpoints").
const REGIONS: [&str; 33] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "af-south-1",
    "ap-east-1",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "ap-east-2",
];

pub async fn of(
    cx: &Cx,
    task_id: &str,
    definition: &TaskDefinition,
    containers: &[Container],
) -> Result<Vec<ContainerFacts>, Error> {
    let mut all = Vec::new();
    for asked in definition.container_definitions.iter().flatten() {
        let became = containers.iter().find(|it| it.name == asked.name);
        all.push(one(cx, task_id, asked, became).await?);
    }
    Ok(all)
}

async fn one(
    cx: &Cx,
    task_id: &str,
    asked: &ContainerDefinition,
    became: Option<&Container>,
) -> Result<ContainerFacts, Error> {
    let name = asked.name.clone().unwrap_or_default();
    let log = log(cx, asked).await?;
    let printed = match &log {
        Some((facts, prefix)) if facts.is_there => {
            let there = cx.in_region(&facts.region);
            let stream = format!("{prefix}/{name}/{task_id}");
            list::last_events(&there, &facts.group, &stream, LINES_MAX).await?
        }
        _ => Vec::new(),
    };
    let starts = (asked.entry_point.as_ref().filter(|it| !it.is_empty()))
        .or(asked.command.as_ref().filter(|it| !it.is_empty()));
    Ok(ContainerFacts {
        image: pictures::of(
            cx,
            asked.image.as_deref().unwrap_or_default(),
            asked.entry_point.as_ref().is_some_and(|it| !it.is_empty()),
            starts.and_then(|it| it.first()).map(String::as_str),
        )
        .await?,
        is_essential: asked.essential != Some(false),
        exit_code: became.and_then(|it| it.exit_code),
        reason: became.and_then(|it| it.reason.clone()),
        health: became
            .and_then(|it| it.health_status)
            .map_or(String::new(), |it| it.as_str().to_owned()),
        health_command: asked
            .health_check
            .as_ref()
            .map(|it| it.command.clone())
            .unwrap_or_default(),
        user: asked.user.clone().unwrap_or_default(),
        log: log.map(|it| it.0),
        printed,
        name,
        ..ContainerFacts::default()
    })
}

/// Where a container's output goes, and the prefix of its stream's name.
async fn log(cx: &Cx, asked: &ContainerDefinition) -> Result<Option<(LogFacts, String)>, Error> {
    let Some(options) = asked
        .log_configuration
        .as_ref()
        .and_then(|it| it.options.as_ref())
    else {
        return Ok(None);
    };
    let option = |name: &str| options.get(name).cloned().unwrap_or_default();
    let facts = log_group(cx, &option("awslogs-region"), &option("awslogs-group")).await?;
    Ok(Some((facts, option("awslogs-stream-prefix"))))
}

/// A log group, and where it is instead.
pub async fn log_group(cx: &Cx, region: &str, group: &str) -> Result<LogFacts, Error> {
    let mut facts = LogFacts {
        group: group.to_owned(),
        region: region.to_owned(),
        is_there: has_group(cx, region, group).await?,
        ..LogFacts::default()
    };
    if !facts.is_there {
        for region in REGIONS.iter().filter(|it| **it != facts.region) {
            if has_group(cx, region, group).await? {
                facts.elsewhere.push((*region).to_owned());
            }
        }
    }
    Ok(facts)
}

async fn has_group(cx: &Cx, region: &str, name: &str) -> Result<bool, Error> {
    let there = cx.in_region(region);
    let found = there.call(DescribeLogGroupsInput {
        log_group_name_prefix: Some(name.to_owned()),
        ..Default::default()
    });
    let found = found.await?.log_groups.unwrap_or_default();
    Ok(found
        .iter()
        .any(|it| it.log_group_name.as_deref() == Some(name)))
}
