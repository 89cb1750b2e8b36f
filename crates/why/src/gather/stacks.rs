//! Stacks: the first resource that failed, however deep in nested ones.

use cloud::{Cx, Error};
use shapes::cloudformation::{
    DescribeStackEventsInput, DescribeStackResourcesInput, DescribeStacksInput, Stack, StackEvent,
};
use shapes::ecs::{DescribeServicesInput, Service};

use super::{Gathered, services};
use crate::report::{Basis, Evidence, Finding, Mend};

/// Nested stacks are at most five deep on AWS; deeper ones are not followed.
const DEPTH_MAX: usize = 5;
const SERVICE: &str = "AWS::ECS::Service";
const NESTED: &str = "AWS::CloudFormation::Stack";

/// Looks at a stack, at what is nested in it, and at its services.
pub async fn look(cx: &Cx, name: &str, gathered: &mut Gathered) -> Result<(), Error> {
    let mut names = vec![(name.to_owned(), 0)];
    while let Some((name, depth)) = names.pop() {
        gathered.looked_at.push(format!("stack {}", last_of(&name)));
        let Some(stack) = describe(cx, &name).await? else {
            continue;
        };
        let (services, nested) = parts(cx, &name).await?;
        let mut explained = false;
        for arn in services {
            if let Some(service) = service(cx, &arn).await? {
                explained |= services::look(cx, &service, gathered).await?;
            }
        }
        if depth < DEPTH_MAX {
            names.extend(nested.iter().map(|it| (it.clone(), depth + 1)));
        }
        if is_red(&stack) && !explained {
            gathered
                .findings
                .extend(first_failure(cx, &stack, &name).await?);
        }
    }
    Ok(())
}

/// A stack's id names it in its middle.
fn last_of(name: &str) -> &str {
    name.split('/').nth(1).unwrap_or(name)
}

pub fn is_red(stack: &Stack) -> bool {
    let status = stack.stack_status.as_str();
    status.contains("FAILED") || status.contains("ROLLBACK")
}

async fn describe(cx: &Cx, name: &str) -> Result<Option<Stack>, Error> {
    let found = cx.call(DescribeStacksInput {
        stack_name: Some(name.to_owned()),
        next_token: None,
    });
    match found.await {
        Ok(found) => Ok(found.stacks.unwrap_or_default().into_iter().next()),
        Err(error) if error.status < 500 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The services of a stack, and the stacks nested in it, by their physical ids.
async fn parts(cx: &Cx, name: &str) -> Result<(Vec<String>, Vec<String>), Error> {
    let found = cx.call(DescribeStackResourcesInput {
        stack_name: Some(name.to_owned()),
        ..Default::default()
    });
    let found = match found.await {
        Ok(found) => found.stack_resources.unwrap_or_default(),
        Err(error) if error.status < 500 => Vec::new(),
        Err(error) => return Err(error),
    };
    let of = |kind: &str| -> Vec<String> {
        let all = found.iter().filter(|it| it.resource_type == kind);
        all.filter_map(|it| it.physical_resource_id.clone())
            .filter(|it| it.contains(':'))
            .collect()
    };
    Ok((of(SERVICE), of(NESTED)))
}

async fn service(cx: &Cx, arn: &str) -> Result<Option<Service>, Error> {
    let words: Vec<&str> = arn.split('/').collect();
    let cluster = match words[..] {
        [_, cluster, _] => Some(cluster.to_owned()),
        _ => None,
    };
    let found = cx.call(DescribeServicesInput {
        cluster,
        services: vec![arn.to_owned()],
        include: None,
    });
    match found.await {
        Ok(found) => Ok(found.services.unwrap_or_default().into_iter().next()),
        Err(error) if error.status < 500 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first event of the last operation that says that a resource failed by itself.
async fn first_failure(cx: &Cx, stack: &Stack, name: &str) -> Result<Option<Finding>, Error> {
    let (mut failed, mut next) = (None, None);
    loop {
        let page = cx.call(DescribeStackEventsInput {
            stack_name: name.to_owned(),
            next_token: next,
        });
        let page = page.await?;
        for event in page.stack_events.unwrap_or_default() {
            if begins_operation(&event) {
                return Ok(failed.map(|it| finding(stack, &it)));
            }
            if is_failure(&event) {
                failed = Some(event);
            }
        }
        next = page.next_token;
        if next.is_none() {
            return Ok(failed.map(|it| finding(stack, &it)));
        }
    }
}

fn begins_operation(event: &StackEvent) -> bool {
    const BEGINS: [&str; 3] = [
        "CREATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
    ];
    let is_own = event.physical_resource_id.as_deref() == Some(event.stack_id.as_str());
    let status = event.resource_status.as_deref().unwrap_or_default();
    is_own && BEGINS.contains(&status)
}

fn is_failure(event: &StackEvent) -> bool {
    let reason = event.resource_status_reason.as_deref().unwrap_or_default();
    let status = event.resource_status.as_deref().unwrap_or_default();
    let is_own = event.physical_resource_id.as_deref() == Some(event.stack_id.as_str());
    status.ends_with("_FAILED") && !is_own && !reason.ends_with("cancelled")
}

/// Rows of the catalogue by what the event says; what no row knows is told as it is.
fn finding(stack: &Stack, event: &StackEvent) -> Finding {
    let reason = event.resource_status_reason.clone().unwrap_or_default();
    let kind = event.resource_type.clone().unwrap_or_default();
    let logical = event.logical_resource_id.clone().unwrap_or_default();
    let (id, name, mend) = row(&reason);
    Finding {
        id: id.to_owned(),
        name: name.to_owned(),
        thing: format!("stack {}", stack.stack_name),
        cause: format!("the resource {logical} ({kind}) failed: {reason}"),
        because: vec![Evidence::new(
            format!("event of {logical}"),
            format!(
                "{} at {}",
                event.resource_status.as_deref().unwrap_or_default(),
                event.timestamp
            ),
        )],
        path: Vec::new(),
        mend: vec![Mend::template(mend)],
        aws_says: reason,
        basis: Basis::Observed,
        also_seen: vec![format!("the stack is {}", stack.stack_status.as_str())],
    }
}

fn row(reason: &str) -> (&'static str, &'static str, &'static str) {
    let says = |words: &[&str]| words.iter().any(|it| reason.contains(it));
    if says(&["already exists"]) {
        return (
            "C2",
            "exists",
            "give it another name, leave the name to CloudFormation, or import what is there",
        );
    }
    if says(&["is in use by", "No export named"]) {
        return (
            "C5",
            "export",
            "deploy the stack that exports it first, and delete those that import it before it",
        );
    }
    if says(&[
        "DependencyViolation",
        "not empty",
        "still contains images",
        "has dependent object",
    ]) {
        return (
            "C8",
            "delete-failed",
            "remove what holds it first; `neargate leftovers` lists what is there",
        );
    }
    if says(&["is not authorized to perform"]) {
        return (
            "C14",
            "permission",
            "allow the action to who deploys, or to the stack's role",
        );
    }
    if says(&["Failed to receive"]) {
        return (
            "C7",
            "signal",
            "look at the log of what should have sent the signal",
        );
    }
    if says(&[
        "Exceeded attempts to wait",
        "did not stabilize",
        "circuit breaker",
    ]) {
        return (
            "C6",
            "not-stabilized",
            "mend what keeps the resource from being ready, and deploy again",
        );
    }
    (
        "C15",
        "resource-failed",
        "mend what the reason says, and deploy again",
    )
}
