//! Stacks: the first resource that failed, however deep in nested ones.

use cloud::{Cx, Error};
use shapes::cloudformation::{
    DescribeStackEventsInput, DescribeStackResourcesInput, DescribeStacksInput, Stack, StackEvent,
};
use shapes::ecs::{DescribeServicesInput, Service};

use super::services::Asked;
use super::{Gathered, failed_task, services};
use crate::report::{Basis, Evidence, Finding, Mend};
use crate::rows;

/// Nested stacks are at most five deep on AWS; deeper ones are not followed.
const DEPTH_MAX: usize = 5;
const SERVICE: &str = "AWS::ECS::Service";
const DEFINITION: &str = "AWS::ECS::TaskDefinition";
const NESTED: &str = "AWS::CloudFormation::Stack";

/// A stack that is to be looked at.
struct Part {
    name: String,
    depth: usize,
    /// The stack that it is nested in failed because of it.
    is_blamed: bool,
}

/// What a stack is made of and that is looked at, by physical ids.
struct Made {
    services: Vec<String>,
    nested: Vec<String>,
    definitions: Vec<String>,
}

/// Looks at a stack, at what is nested in it, and at its services.
pub async fn look(cx: &Cx, name: &str, gathered: &mut Gathered) -> Result<(), Error> {
    let mut rest = vec![Part {
        name: name.to_owned(),
        depth: 0,
        is_blamed: false,
    }];
    // Each stack blames a part of itself, the innermost a resource.
    let mut innermost: Option<Finding> = None;
    while let Some(part) = rest.pop() {
        let shown = format!("stack {}", last_of(&part.name));
        gathered.looked_at.push(shown);
        let Some(stack) = describe(cx, &part.name).await? else {
            continue;
        };
        let failure = match is_red(&stack) || part.is_blamed {
            true => first_failure(cx, &part).await?,
            false => None,
        };
        let blamed = failure
            .as_ref()
            .and_then(|it| it.physical_resource_id.as_deref());
        let made = made(cx, &part.name).await?;
        let mut is_explained = false;
        for arn in &made.services {
            let asked = match blamed == Some(arn) {
                true => Asked::WhyItFailed,
                false => Asked::AsItIs,
            };
            if let Some(service) = service(cx, arn).await? {
                let is_bad = services::look(cx, &service, asked, gathered).await?;
                is_explained |= is_bad && asked == Asked::WhyItFailed;
            }
        }
        if part.depth < DEPTH_MAX {
            rest.extend(made.nested.iter().map(|it| Part {
                name: it.clone(),
                depth: part.depth + 1,
                is_blamed: blamed == Some(it),
            }));
        }
        let is_of_chain = part.depth == 0 || part.is_blamed;
        if is_explained && is_of_chain {
            innermost = None;
        } else if let Some(event) = &failure {
            let own = match failed_task::finding(cx, &stack, event, &made.definitions).await? {
                Some(own) => own,
                None => finding(&stack, event),
            };
            match is_of_chain {
                true => innermost = Some(within(own, innermost)),
                false => gathered.findings.push(own),
            }
        }
    }
    gathered.findings.extend(innermost);
    Ok(())
}

/// The cause in a nested stack, with what it did to the one around it.
fn within(mut inner: Finding, outer: Option<Finding>) -> Finding {
    if let Some(outer) = outer {
        inner.also_seen.extend(outer.also_seen);
    }
    inner
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

async fn made(cx: &Cx, name: &str) -> Result<Made, Error> {
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
    Ok(Made {
        services: of(SERVICE),
        nested: of(NESTED),
        definitions: of(DEFINITION),
    })
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

/// The first event of the last operation that says that a resource failed by itself. What a failed stack has taken
/// away with it failed in the operation before that.
async fn first_failure(cx: &Cx, part: &Part) -> Result<Option<StackEvent>, Error> {
    let (mut failed, mut next) = (None, None);
    loop {
        let page = cx.call(DescribeStackEventsInput {
            stack_name: part.name.clone(),
            next_token: next,
        });
        let page = match page.await {
            Ok(page) => page,
            Err(error) if error.status < 500 => return Ok(failed),
            Err(error) => return Err(error),
        };
        for event in page.stack_events.unwrap_or_default() {
            let goes_on = part.is_blamed && failed.is_none();
            if begins_operation(&event) && !goes_on {
                return Ok(failed);
            }
            if is_failure(&event) {
                failed = Some(event);
            }
        }
        next = page.next_token;
        if next.is_none() {
            return Ok(failed);
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

pub fn status_shown(stack: &Stack) -> String {
    format!(
        "stack {} is {}",
        stack.stack_name,
        stack.stack_status.as_str()
    )
}

/// Rows of the catalogue by what the event says; what no row knows is told as it is.
fn finding(stack: &Stack, event: &StackEvent) -> Finding {
    let reason = event.resource_status_reason.clone().unwrap_or_default();
    let kind = event.resource_type.clone().unwrap_or_default();
    let logical = event.logical_resource_id.clone().unwrap_or_default();
    let row = rows::of_message(&reason, &rows::RESOURCE_FAILED);
    Finding {
        id: row.id.to_owned(),
        name: row.name.to_owned(),
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
        mend: mends(stack, row.mend, &reason),
        aws_says: reason,
        basis: Basis::Observed,
        also_seen: vec![status_shown(stack)],
        severity: None,
        place: None,
    }
}

/// What ran and went back with the stack can be looked at only if the stack is left as it is.
fn mends(stack: &Stack, mend: &str, reason: &str) -> Vec<Mend> {
    let mut mends = vec![Mend::template(mend)];
    if reason.contains("ELB health checks") {
        let name = &stack.stack_name;
        mends.push(
            Mend::environment("or deploy it with `--disable-rollback`, and ask while its tasks run where they listen and what they answer")
                .by(format!("neargate why {name}")),
        );
    }
    mends
}
