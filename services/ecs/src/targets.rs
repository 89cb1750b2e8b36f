//! A task's targets: registering, deregistering, and what the probes say of them.

use std::collections::BTreeMap;

use cloud::{Cx, Error};
use shapes::elbv2::{
    DeregisterTargetsInput, DescribeTargetHealthInput, RegisterTargetsInput, TargetDescription,
    TargetHealthReasonEnum, TargetHealthStateEnum, errors,
};

use crate::task_record::{Target, Task};

fn description(id: &str, target: &Target) -> TargetDescription {
    TargetDescription {
        id: id.to_owned(),
        port: Some(target.port),
        ..Default::default()
    }
}

pub async fn register(cx: &Cx, task: &Task) -> Result<(), Error> {
    let Some(id) = task.target_id() else {
        return Ok(());
    };
    for target in &task.targets {
        let input = RegisterTargetsInput {
            target_group_arn: target.group.clone(),
            targets: vec![description(id, target)],
        };
        cx.call(input).await?;
    }
    Ok(())
}

/// A target group that is gone has no targets any more: that is what was wanted.
pub async fn deregister(cx: &Cx, task: &Task) -> Result<(), Error> {
    let Some(id) = task.target_id() else {
        return Ok(());
    };
    for target in &task.targets {
        let input = DeregisterTargetsInput {
            target_group_arn: target.group.clone(),
            targets: vec![description(id, target)],
        };
        match cx.call(input).await {
            Err(error) if error.is(errors::TargetGroupNotFoundException) => (),
            Err(error) if error.is(errors::InvalidTargetException) => (),
            other => {
                other?;
            }
        }
    }
    Ok(())
}

/// Have all of the task's targets ended what was under way?
pub async fn drained(cx: &Cx, task: &Task) -> Result<bool, Error> {
    let Some(id) = task.target_id() else {
        return Ok(true);
    };
    for target in &task.targets {
        let health = group_health(cx, &target.group).await?;
        let state = health.get(&(id.to_owned(), target.port)).map(|it| it.state);
        if !matches!(state, None | Some(TargetHealthStateEnum::Unused)) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    pub state: TargetHealthStateEnum,
    pub description: String,
    /// It answered, and as a program does that has started: with an error of the client's.
    pub answers: bool,
}

pub type GroupHealth = BTreeMap<(String, i32), Health>;

/// The health of every target of a group; empty when the group is gone.
pub async fn group_health(cx: &Cx, group: &str) -> Result<GroupHealth, Error> {
    let input = DescribeTargetHealthInput {
        target_group_arn: group.to_owned(),
        ..Default::default()
    };
    let answer = match cx.call(input).await {
        Err(error) if error.is(errors::TargetGroupNotFoundException) => return Ok(BTreeMap::new()),
        other => other?,
    };
    let found = answer.target_health_descriptions.unwrap_or_default();
    Ok((found.into_iter())
        .filter_map(|it| {
            let (target, health) = (it.target?, it.target_health?);
            let state = health.state?;
            let description = health.description.unwrap_or_default();
            let answers = health.reason == Some(TargetHealthReasonEnum::TargetResponseCodeMismatch)
                && !description.contains("[5");
            let health = Health {
                state,
                description,
                answers,
            };
            Some(((target.id, target.port.unwrap_or_default()), health))
        })
        .collect())
}
