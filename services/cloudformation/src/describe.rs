//! What is shown of stacks, their resources and events.

use std::time::Duration;

use cloud::{Cx, Error, Records};
use shapes::cloudformation::{self as api, StackStatus};
use template::Template;
use wire::Timestamp;

use crate::check::invalid;
use crate::drift;
use crate::kept;
use crate::lookup::{find, find_head, page, require, require_head, version_of};
use crate::record::{Event, Phase, Resource, Stack, Version};

const STACKS_IN_A_PAGE: usize = 100;
const EVENTS_IN_A_PAGE: usize = 100;
const RESOURCES_IN_A_PAGE: usize = 100;

fn time(ms: i64) -> Timestamp {
    Timestamp(ms as f64 / 1000.0)
}

/// Every parameter with its value, NoEcho ones masked.
pub fn shown_parameters(version: &Version) -> Vec<api::Parameter> {
    let values = Template::parse(&version.template).and_then(|it| version.values(&it));
    let Ok(values) = values else {
        // A template that cannot be read any more cannot say which of them are secret.
        return Vec::new();
    };
    (values.masked().iter())
        .map(|(key, it)| api::Parameter {
            parameter_key: Some(key.clone()),
            parameter_value: Some(it.raw.clone()),
            resolved_value: it.stored.clone(),
            ..Default::default()
        })
        .collect()
}

pub fn shown_tags(version: &Version) -> Vec<api::Tag> {
    (version.tags.iter())
        .map(|(key, value)| api::Tag {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
}

/// A list that AWS leaves out when there is nothing in it.
pub fn unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn shown_stack(tx: &Records<'_>, stack: Stack) -> Result<api::Stack, Error> {
    let version = version_of(tx, &stack)?;
    let termination_protection = is_protected(tx, &stack)?;
    // Tags are the stack's as soon as it is to have them.
    let updating = (stack.operation.as_ref()).filter(|it| it.phase == Phase::Update);
    let coming = match updating {
        Some(operation) => tx.get::<Version>(&Version::key_of(&stack.key(), operation.target))?,
        None => None,
    };
    let tags = coming
        .as_ref()
        .or(version.as_ref())
        .map(shown_tags)
        .unwrap_or_default();
    let description = version
        .as_ref()
        .and_then(|it| Template::parse(&it.template).ok()?.description);
    let outputs: Vec<_> = (stack.outputs.iter())
        .map(|it| api::Output {
            output_key: Some(it.key.clone()),
            output_value: Some(it.value.clone()),
            description: it.description.clone(),
            export_name: it.export.clone(),
        })
        .collect();
    Ok(api::Stack {
        role_arn: stack.role_arn.clone(),
        stack_id: Some(stack.id),
        stack_name: stack.name,
        change_set_id: stack.change_set_id,
        description,
        parameters: version
            .as_ref()
            .map(shown_parameters)
            .and_then(unless_empty),
        creation_time: time(stack.created_ms),
        deletion_time: stack.deleted_ms.map(time),
        last_updated_time: stack.updated_ms.map(time),
        rollback_configuration: Some(api::RollbackConfiguration::default()),
        stack_status: stack.status,
        stack_status_reason: stack.status_reason,
        disable_rollback: Some(stack.disable_rollback),
        notification_ar_ns: Some(Vec::new()),
        timeout_in_minutes: stack.timeout_minutes,
        capabilities: (version.as_ref())
            .map(|it| it.capabilities.clone())
            .and_then(unless_empty),
        outputs: unless_empty(outputs),
        tags: Some(tags),
        enable_termination_protection: Some(termination_protection),
        parent_id: stack.nested.as_ref().map(|it| it.parent_id.clone()),
        root_id: stack.nested.map(|it| it.root_id),
        retain_except_on_create: stack.retain_except_on_create.then_some(true),
        drift_information: Some(drift::of_stack(stack.drift.as_ref())),
        ..Default::default()
    })
}

/// A nested stack is protected as its root is.
pub fn is_protected(tx: &Records<'_>, stack: &Stack) -> Result<bool, Error> {
    let root = match &stack.nested {
        Some(nested) => (nested.root_id.split_once(":stack/"))
            .map(|(_, path)| format!("{}/{path}", stack.region)),
        None => None,
    };
    match root {
        Some(key) => Ok(kept::head(tx, &key)?.is_some_and(|it| it.termination_protection)),
        None => Ok(stack.termination_protection),
    }
}

/// Every stack of the region that is not deleted, newest first, without its resources.
fn living(cx: &Cx, tx: &Records<'_>) -> Result<Vec<Stack>, Error> {
    let mut stacks = kept::living(tx, &cx.region)?;
    stacks.sort_by_key(kept::place_by_age);
    Ok(stacks)
}

/// How long a waiter's question is held. Clients give an answer 60 seconds.
const HELD_MAX: Duration = Duration::from_secs(20);
const HELD_STEP: Duration = Duration::from_millis(50);

/// Waits until nothing is under way with the stack, or for as long as a client has patience: AWS's
/// waiters ask every 30 seconds, and most stacks are done long before they ask again.
async fn hold(cx: &Cx, name: &str) -> Result<(), Error> {
    let is_busy = |id: &str| {
        let stack = cx.read(|tx| find_head(cx, tx, id))?;
        Ok::<_, Error>(stack.filter(|it| it.operation.is_some()).map(|it| it.id))
    };
    // From here on by its id: a name leads nowhere once the stack is deleted.
    let Some(id) = is_busy(name)? else {
        return Ok(());
    };
    let begin = cx.clock().now_ms();
    let held_max = i64::try_from(HELD_MAX.as_millis()).unwrap_or(i64::MAX);
    while is_busy(&id)?.is_some() && cx.clock().now_ms() - begin < held_max {
        tokio::time::sleep(HELD_STEP).await;
    }
    Ok(())
}

pub async fn describe_stacks(
    cx: Cx,
    input: api::DescribeStacksInput,
) -> Result<api::DescribeStacksOutput, Error> {
    if let Some(name) = input.stack_name.as_deref().filter(|_| cx.is_waiter) {
        hold(&cx, name).await?;
    }
    cx.read(|tx| {
        let stacks = match input.stack_name.as_deref().filter(|it| !it.is_empty()) {
            Some(name) => vec![require_head(&cx, tx, name)?],
            None => living(&cx, tx)?,
        };
        let (stacks, next_token) = page(stacks, input.next_token.as_deref(), STACKS_IN_A_PAGE)?;
        Ok(api::DescribeStacksOutput {
            stacks: Some(
                stacks
                    .into_iter()
                    .map(|it| shown_stack(tx, it))
                    .collect::<Result<_, _>>()?,
            ),
            next_token,
        })
    })
}

pub async fn list_stacks(
    cx: Cx,
    input: api::ListStacksInput,
) -> Result<api::ListStacksOutput, Error> {
    let wanted = input.stack_status_filter.unwrap_or_default();
    cx.read(|tx| {
        let (stacks, next_token) = listed(&cx, tx, &wanted, input.next_token.as_deref())?;
        let summary = |stack: Stack| -> Result<api::StackSummary, Error> {
            let version = version_of(tx, &stack)?;
            Ok(api::StackSummary {
                template_description: version
                    .and_then(|it| Template::parse(&it.template).ok()?.description),
                stack_id: Some(stack.id),
                stack_name: stack.name,
                creation_time: time(stack.created_ms),
                last_updated_time: stack.updated_ms.map(time),
                deletion_time: stack.deleted_ms.map(time),
                stack_status: stack.status,
                stack_status_reason: stack.status_reason,
                parent_id: stack.nested.as_ref().map(|it| it.parent_id.clone()),
                root_id: stack.nested.map(|it| it.root_id),
                drift_information: Some({
                    let it = drift::of_stack(stack.drift.as_ref());
                    api::StackDriftInformationSummary {
                        stack_drift_status: it.stack_drift_status,
                        last_check_timestamp: it.last_check_timestamp,
                    }
                }),
                ..Default::default()
            })
        };
        Ok(api::ListStacksOutput {
            stack_summaries: Some(stacks.into_iter().map(summary).collect::<Result<_, _>>()?),
            next_token,
        })
    })
}

/// A page of stacks of these statuses, newest first; of all, where none is named. A token is the place of
/// the last stack that was shown, so that stacks which come and go meanwhile do not shift the next page.
fn listed(
    cx: &Cx,
    tx: &Records<'_>,
    wanted: &[StackStatus],
    token: Option<&str>,
) -> Result<(Vec<Stack>, Option<String>), Error> {
    let after = token.unwrap_or_default();
    if token.is_some_and(|it| it.splitn(3, '/').count() != 3) {
        return Err(invalid("The NextToken is not valid"));
    }
    let is_wanted = |it: &StackStatus| wanted.is_empty() || wanted.contains(it);
    let mut stacks = kept::in_the_way(tx, &cx.region)?;
    stacks.retain(|it| is_wanted(&it.status) && *kept::place_by_age(it) > *after);
    if is_wanted(&StackStatus::DeleteComplete) {
        // One more than is shown says whether there is another page.
        let deleted = kept::deleted_after(tx, &cx.region, after, STACKS_IN_A_PAGE + 1)?;
        stacks.extend(deleted);
    }
    stacks.sort_by_key(kept::place_by_age);
    let has_more = stacks.len() > STACKS_IN_A_PAGE;
    stacks.truncate(STACKS_IN_A_PAGE);
    let last = stacks.last().filter(|_| has_more);
    let next_token = last.map(kept::place_by_age);
    Ok((stacks, next_token))
}

/// The newest events of a stack, and the token of the page after them. A page begins before the event that
/// its token names, so that events that are added meanwhile do not shift it.
pub fn events_page(
    tx: &Records<'_>,
    stack: &Stack,
    token: Option<&str>,
) -> Result<(Vec<Event>, Option<String>), Error> {
    let end: Option<u64> = token
        .map(str::parse)
        .transpose()
        .map_err(|_| invalid("The NextToken is not valid"))?;
    let key = stack.key();
    let end = end.map(|it| Event::key_of(&key, it));
    let mut events: Vec<Event> =
        tx.page_back(&format!("{key}/"), end.as_deref(), EVENTS_IN_A_PAGE + 1)?;
    let has_more = events.len() > EVENTS_IN_A_PAGE;
    events.truncate(EVENTS_IN_A_PAGE);
    let next_token = events.last().filter(|_| has_more);
    let next_token = next_token.map(|it| it.number.to_string());
    Ok((events, next_token))
}

pub async fn describe_stack_events(
    cx: Cx,
    input: api::DescribeStackEventsInput,
) -> Result<api::DescribeStackEventsOutput, Error> {
    cx.read(|tx| {
        let stack = find_head(&cx, tx, &input.stack_name)?;
        let stack =
            stack.ok_or_else(|| invalid(format!("Stack [{}] does not exist", input.stack_name)))?;
        let (events, next_token) = events_page(tx, &stack, input.next_token.as_deref())?;
        let shown = |it: Event| api::StackEvent {
            stack_id: stack.id.clone(),
            event_id: it.event_id,
            stack_name: stack.name.clone(),
            logical_resource_id: Some(it.logical_id),
            physical_resource_id: Some(it.physical_id.unwrap_or_default()),
            resource_type: Some(it.resource_type),
            timestamp: time(it.at_ms),
            resource_status: Some(it.status),
            resource_status_reason: it.reason,
            resource_properties: it.properties,
            client_request_token: it.token,
            ..Default::default()
        };
        Ok(api::DescribeStackEventsOutput {
            stack_events: Some(events.into_iter().map(shown).collect()),
            next_token,
        })
    })
}

/// What has been tried to be made, by logical id.
fn shown_resources(stack: &Stack) -> impl Iterator<Item = (&String, &Resource)> {
    stack
        .resources
        .iter()
        .filter(|(_, it)| !it.status.is_empty())
}

pub async fn list_stack_resources(
    cx: Cx,
    input: api::ListStackResourcesInput,
) -> Result<api::ListStackResourcesOutput, Error> {
    let stack = cx.read(|tx| require(&cx, tx, &input.stack_name))?;
    let summaries = shown_resources(&stack)
        .map(|(id, it)| api::StackResourceSummary {
            logical_resource_id: id.clone(),
            physical_resource_id: Some(it.shown_id.clone().unwrap_or_default()),
            resource_type: it.resource_type.clone(),
            last_updated_timestamp: time(it.updated_ms),
            resource_status: it.status.clone(),
            resource_status_reason: it.status_reason.clone(),
            drift_information: Some({
                let it = drift::information(it.drift.as_ref());
                api::StackResourceDriftInformationSummary {
                    stack_resource_drift_status: it.stack_resource_drift_status,
                    last_check_timestamp: it.last_check_timestamp,
                }
            }),
            ..Default::default()
        })
        .collect();
    let (summaries, next_token) =
        page(summaries, input.next_token.as_deref(), RESOURCES_IN_A_PAGE)?;
    Ok(api::ListStackResourcesOutput {
        stack_resource_summaries: Some(summaries),
        next_token,
    })
}

/// The stack that has a resource with this physical id.
pub fn holder_of(cx: &Cx, tx: &Records<'_>, physical_id: &str) -> Result<Option<Stack>, Error> {
    for stack in living(cx, tx)? {
        let stack = kept::completed(tx, stack)?;
        let is_it = |it: &Resource| it.shown_id.as_deref() == Some(physical_id);
        if stack.resources.values().any(is_it) {
            return Ok(Some(stack));
        }
    }
    Ok(None)
}

pub async fn describe_stack_resources(
    cx: Cx,
    input: api::DescribeStackResourcesInput,
) -> Result<api::DescribeStackResourcesOutput, Error> {
    let stack = cx.read(
        |tx| match (&input.stack_name, &input.physical_resource_id) {
            (Some(name), None) => require(&cx, tx, name),
            (None, Some(physical_id)) => holder_of(&cx, tx, physical_id)?
                .ok_or_else(|| invalid(format!("Stack for {physical_id} does not exist"))),
            _ => Err(invalid(
                "Either StackName or PhysicalResourceId must be specified, but not both",
            )),
        },
    )?;
    let resources = shown_resources(&stack)
        .filter(|(id, _)| {
            input
                .logical_resource_id
                .as_ref()
                .is_none_or(|wanted| wanted == *id)
        })
        .map(|(id, it)| api::StackResource {
            stack_name: Some(stack.name.clone()),
            stack_id: Some(stack.id.clone()),
            logical_resource_id: id.clone(),
            physical_resource_id: Some(it.shown_id.clone().unwrap_or_default()),
            resource_type: it.resource_type.clone(),
            timestamp: time(it.updated_ms),
            resource_status: it.status.clone(),
            resource_status_reason: it.status_reason.clone(),
            drift_information: Some(drift::information(it.drift.as_ref())),
            ..Default::default()
        })
        .collect();
    Ok(api::DescribeStackResourcesOutput {
        stack_resources: Some(resources),
    })
}

pub async fn describe_stack_resource(
    cx: Cx,
    input: api::DescribeStackResourceInput,
) -> Result<api::DescribeStackResourceOutput, Error> {
    let (stack, version) = cx.read(|tx| {
        let stack = find(&cx, tx, &input.stack_name)?;
        let stack =
            stack.ok_or_else(|| invalid(format!("Stack '{}' does not exist", input.stack_name)))?;
        let version = version_of(tx, &stack)?;
        Ok((stack, version))
    })?;
    let id = input.logical_resource_id;
    let Some((_, resource)) = shown_resources(&stack).find(|(it, _)| **it == id) else {
        return Err(invalid(format!(
            "Resource {id} does not exist for stack {}",
            stack.name
        )));
    };
    let metadata = version.and_then(|it| metadata(&cx, &stack, &it, &id));
    Ok(api::DescribeStackResourceOutput {
        stack_resource_detail: Some(api::StackResourceDetail {
            stack_name: Some(stack.name.clone()),
            stack_id: Some(stack.id.clone()),
            physical_resource_id: Some(resource.shown_id.clone().unwrap_or_default()),
            resource_type: resource.resource_type.clone(),
            last_updated_timestamp: time(resource.updated_ms),
            resource_status: resource.status.clone(),
            resource_status_reason: resource.status_reason.clone(),
            logical_resource_id: id,
            metadata: Some(metadata.unwrap_or_else(|| "{}".into())),
            drift_information: Some(drift::information(resource.drift.as_ref())),
            ..Default::default()
        }),
    })
}

/// The resource's metadata as far as it can be computed by now.
fn metadata(cx: &Cx, stack: &Stack, version: &Version, id: &str) -> Option<String> {
    let template = Template::parse(&version.template).ok()?;
    let values = version.values(&template).ok()?;
    let instance = template
        .instantiate(values, crate::scope::environment(cx.account(), stack))
        .ok()?;
    let around = Default::default();
    let scope = crate::scope::StackScope::new(stack, &around);
    let metadata = instance.resource(id)?.metadata.as_ref()?;
    // AWS hides values of parameters, and not what a template writes elsewhere with them.
    Some(instance.evaluate(metadata, &scope).ok()??.to_string())
}
