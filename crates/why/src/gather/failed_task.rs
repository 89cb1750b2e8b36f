//! The task that a service's event tells of. When a stack goes back, its service and cluster go with it; what the task
//! was to run, its image and often its log are still there.

use cloud::{Cx, Error};
use shapes::cloudformation::{Stack, StackEvent};
use shapes::ecs::{Container, DescribeTaskDefinitionInput, TaskDefinition};

use super::containers;
use super::stacks::status_shown;
use crate::facts::{Situation, TaskFacts};
use crate::report::{Evidence, Finding};
use crate::rules;

/// What an event says of the task that stopped last.
#[derive(Debug, PartialEq, Eq)]
struct Told<'a> {
    reason: &'a str,
    id: &'a str,
    /// Names of containers, what they ended with, and why.
    exits: Vec<(&'a str, i32, Option<&'a str>)>,
}

/// Reads `… The last task stopped: REASON (task ID; container web: exit code 3)`.
fn told(event: &str) -> Option<Told<'_>> {
    let (_, rest) = event.split_once("The last task stopped: ")?;
    let (reason, rest) = rest.rsplit_once(" (task ")?;
    let (known, _) = rest.rsplit_once(')')?;
    let mut parts = known.split("; container ");
    let id = parts.next()?;
    let exits = parts.filter_map(|it| {
        let (name, rest) = it.split_once(": exit code ")?;
        let (code, why) = match rest.split_once(": ") {
            Some((code, why)) => (code, Some(why)),
            None => (rest, None),
        };
        Some((name, code.parse().ok()?, why))
    });
    Some(Told {
        reason,
        id,
        exits: exits.collect(),
    })
}

/// Why the task failed, when the event tells of one and a rule knows it.
pub async fn finding(
    cx: &Cx,
    stack: &Stack,
    event: &StackEvent,
    definitions: &[String],
) -> Result<Option<Finding>, Error> {
    let reason = event.resource_status_reason.as_deref().unwrap_or_default();
    let Some(told) = told(reason) else {
        return Ok(None);
    };
    // Which of several it was is not said.
    let definition = match definitions {
        [one] => definition(cx, one).await?,
        _ => None,
    };
    let situation = situation(cx, stack, &told, definition.unwrap_or_default()).await?;
    let found = rules::find(&situation).map(|it| with_event(it, stack, event));
    Ok(found)
}

async fn definition(cx: &Cx, arn: &str) -> Result<Option<TaskDefinition>, Error> {
    let found = cx.call(DescribeTaskDefinitionInput {
        task_definition: arn.to_owned(),
        include: None,
    });
    match found.await {
        Ok(found) => Ok(found.task_definition),
        Err(error) if error.status < 500 => Ok(None),
        Err(error) => Err(error),
    }
}

async fn situation(
    cx: &Cx,
    stack: &Stack,
    told: &Told<'_>,
    definition: TaskDefinition,
) -> Result<Situation, Error> {
    let exited = told.exits.iter().map(|(name, code, why)| Container {
        name: Some((*name).to_owned()),
        exit_code: Some(*code),
        reason: why.map(str::to_owned),
        ..Container::default()
    });
    let mut became: Vec<Container> = exited.collect();
    let code = match told.reason.starts_with("Essential container") {
        true => "EssentialContainerExited",
        false => "TaskFailedToStart",
    };
    let asked = definition.container_definitions.as_deref();
    if let (true, [only]) = (became.is_empty(), asked.unwrap_or_default()) {
        // Its end is not among those that went wrong.
        became.push(Container {
            name: only.name.clone(),
            exit_code: (code == "EssentialContainerExited").then_some(0),
            ..Container::default()
        });
    }
    Ok(Situation {
        thing: format!("stack {}", stack.stack_name),
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        containers: containers::of(cx, told.id, &definition, &became).await?,
        task: Some(TaskFacts {
            id: told.id.to_owned(),
            stop_code: code.to_owned(),
            stopped_reason: told.reason.to_owned(),
            execution_role: definition.execution_role_arn.clone(),
            memory_mib: definition.memory.as_deref().and_then(|it| it.parse().ok()),
            ..TaskFacts::default()
        }),
        ..Situation::default()
    })
}

fn with_event(mut found: Finding, stack: &Stack, event: &StackEvent) -> Finding {
    let logical = event.logical_resource_id.as_deref().unwrap_or_default();
    let status = event.resource_status.as_deref().unwrap_or_default();
    found.because.push(Evidence::new(
        format!("event of {logical}"),
        format!("{status} at {}", event.timestamp),
    ));
    found.also_seen.push(status_shown(stack));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_that_an_event_tells_of_is_read() {
        let event =
            |it: &str| format!("Error occurred during operation 'x'. The last task stopped: {it}");
        let exited =
            event("Essential container in task exited (task 4f1c; container web: exit code 3)");
        let expect = Told {
            reason: "Essential container in task exited",
            id: "4f1c",
            exits: vec![("web", 3, None)],
        };
        assert_eq!(told(&exited), Some(expect));
        let memory = event(
            "Essential container in task exited (task 4f1c; container web: exit code 137: OutOfMemoryError: Container killed due to memory usage)",
        );
        let why = "OutOfMemoryError: Container killed due to memory usage";
        assert_eq!(told(&memory).unwrap().exits, [("web", 137, Some(why))]);
        let probes = event("Task failed ELB health checks in (target-group arn:x) (task 4f1c)");
        let found = told(&probes).unwrap();
        let reason = "Task failed ELB health checks in (target-group arn:x)";
        assert_eq!((found.reason, found.exits.len()), (reason, 0));
        for other in [
            "",
            "The last task stopped: x",
            "The last task stopped: x (task 4f1c",
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
