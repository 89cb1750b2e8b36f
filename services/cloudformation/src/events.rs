//! The events of a stack's operations, with the failures among them told apart: `DescribeEvents`.

use cloud::{Cx, Error};
use shapes::cloudformation as api;
use wire::Timestamp;

use crate::change_set::require_change_set;
use crate::check::invalid;
use crate::describe::events_page;
use crate::lookup::require_head;
use crate::record::{Event, Stack};

/// The id of one of a stack's operations: the stack's own with the operation's number at its end.
fn operation_id(stack: &Stack, number: u64) -> String {
    let head = stack.uuid.rsplit_once('-').map_or("", |it| it.0);
    format!("{head}-{number:012x}")
}

fn shown(stack: &Stack, event: Event) -> api::OperationEvent {
    let has_failed = event.status.ends_with("_FAILED");
    api::OperationEvent {
        operation_id: event.operation.map(|it| operation_id(stack, it)),
        event_id: Some(event.event_id),
        stack_id: Some(stack.id.clone()),
        event_type: Some(match has_failed {
            true => api::EventType::ProvisioningError,
            false => api::EventType::StackEvent,
        }),
        logical_resource_id: Some(event.logical_id),
        physical_resource_id: event.physical_id,
        resource_type: Some(event.resource_type),
        timestamp: Some(Timestamp(event.at_ms as f64 / 1000.0)),
        resource_status: Some(event.status),
        resource_status_reason: event.reason,
        resource_properties: event.properties,
        client_request_token: event.token,
        ..Default::default()
    }
}

pub async fn describe_events(
    cx: Cx,
    input: api::DescribeEventsInput,
) -> Result<api::DescribeEventsOutput, Error> {
    let only_failed = input.filters.and_then(|it| it.failed_events) == Some(true);
    cx.read(|tx| {
        if let Some(name) = &input.change_set_name {
            // What would be a validation's event is told when a change set is asked for: there is none.
            require_change_set(&cx, tx, name, input.stack_name.as_deref())?;
            return Ok(api::DescribeEventsOutput {
                operation_events: Some(Vec::new()),
                next_token: None,
            });
        }
        let name = input.stack_name.as_deref().ok_or_else(|| {
            invalid("Either StackName, ChangeSetName or OperationId must be specified.")
        })?;
        let stack = require_head(&cx, tx, name)?;
        let (events, next_token) = events_page(tx, &stack, input.next_token.as_deref())?;
        let is_wanted = |it: &api::OperationEvent| {
            (input.operation_id.is_none() || input.operation_id == it.operation_id)
                && (!only_failed || it.event_type == Some(api::EventType::ProvisioningError))
        };
        let events = (events.into_iter())
            .map(|it| shown(&stack, it))
            .filter(is_wanted);
        Ok(api::DescribeEventsOutput {
            operation_events: Some(events.collect()),
            next_token,
        })
    })
}
