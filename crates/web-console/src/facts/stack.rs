//! Stacks: what they made, what failed first, and how long each resource took.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::cloudformation::{
    DescribeStackEventsInput, DescribeStackResourcesInput, DescribeStacksInput, GetTemplateInput,
    Stack, StackEvent, StackResource, TemplateStage,
};
use why::list;

use super::{State, now_ms};
use crate::asked::link;

/// Pages of events that are read: the last operation is in the first ones.
const EVENT_PAGES_MAX: usize = 5;
const EVENTS_MAX: usize = 100;

#[derive(Debug, Clone, Serialize)]
pub struct StacksFacts {
    pub stacks: Vec<StackRow>,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct StackRow {
    pub name: String,
    pub state: State,
    pub status: String,
    pub reason: Option<String>,
    pub changed_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct StackFacts {
    pub stack: StackRow,
    pub parent: Option<String>,
    pub first_failure: Option<EventFacts>,
    pub outputs: Vec<(String, String)>,
    pub resources: Vec<ResourceRow>,
    /// Which resource needs which, as its template says; none where there is none to read.
    pub needs: BTreeMap<String, BTreeSet<String>>,
    pub bars: Vec<Bar>,
    pub events: Vec<EventFacts>,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct ResourceRow {
    pub logical_id: String,
    pub kind: String,
    pub physical_id: Option<String>,
    pub state: State,
    pub status: String,
    pub reason: Option<String>,
}

impl ResourceRow {
    /// The console's page of it.
    pub fn address(&self) -> Option<String> {
        let id = self.physical_id.as_deref()?;
        let parts: Vec<&str> = id.split('/').collect();
        match (self.kind.as_str(), &parts[..]) {
            ("AWS::ECS::Service", [_, cluster, name]) => {
                Some(link(&["services", cluster, name], &[]))
            }
            ("AWS::CloudFormation::Stack", [_, name, _]) => Some(link(&["stacks", name], &[])),
            ("AWS::Logs::LogGroup", _) => Some(link(&["logs"], &[("group", id)])),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct EventFacts {
    pub logical_id: String,
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub at_ms: i64,
}

/// What a resource took in the last operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bar {
    pub logical_id: String,
    pub from_ms: i64,
    pub to_ms: i64,
    pub state: State,
    pub status: String,
}

fn stack_row(it: &Stack) -> StackRow {
    let changed = it.last_updated_time.unwrap_or(it.creation_time);
    StackRow {
        name: it.stack_name.clone(),
        state: State::of_words(it.stack_status.as_str()),
        status: it.stack_status.as_str().to_owned(),
        reason: it.stack_status_reason.clone(),
        changed_ms: super::ms(Some(changed)),
    }
}

pub async fn gather_all(cx: &Cx) -> Result<StacksFacts, Error> {
    let mut stacks: Vec<StackRow> = list::stacks(cx).await?.iter().map(stack_row).collect();
    stacks.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
    Ok(StacksFacts {
        stacks,
        now_ms: now_ms(cx),
    })
}

pub async fn gather(cx: &Cx, name: &str) -> Result<Option<StackFacts>, Error> {
    let asked = cx.call(DescribeStacksInput {
        stack_name: Some(name.to_owned()),
        next_token: None,
    });
    let stack = match asked.await {
        Ok(found) => found.stacks.unwrap_or_default().into_iter().next(),
        Err(error) if error.status < 500 => None,
        Err(error) => return Err(error),
    };
    let Some(stack) = stack else { return Ok(None) };
    let resources = cx.call(DescribeStackResourcesInput {
        stack_name: Some(name.to_owned()),
        ..Default::default()
    });
    let resources = resources.await?.stack_resources.unwrap_or_default();
    let needs = needs(cx, name, &resources).await?;
    let events = events(cx, name).await?;
    let operation = last_operation(&events);
    let row = stack_row(&stack);
    let outputs = stack.outputs.iter().flatten();
    Ok(Some(StackFacts {
        parent: stack.parent_id.as_deref().map(stack_name_of),
        first_failure: match row.state {
            State::Failed => first_failure(operation).map(event_facts),
            _ => None,
        },
        outputs: outputs
            .filter_map(|it| Some((it.output_key.clone()?, it.output_value.clone()?)))
            .collect(),
        resources: resources.iter().map(resource_row).collect(),
        needs,
        bars: bars(operation, now_ms(cx)),
        events: events.iter().take(EVENTS_MAX).map(event_facts).collect(),
        stack: row,
        now_ms: now_ms(cx),
    }))
}

/// Between resources that are there.
async fn needs(
    cx: &Cx,
    name: &str,
    resources: &[StackResource],
) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let asked = cx.call(GetTemplateInput {
        stack_name: Some(name.to_owned()),
        template_stage: Some(TemplateStage::Processed),
        ..Default::default()
    });
    let text = match asked.await {
        Ok(found) => found.template_body.unwrap_or_default(),
        Err(error) if error.status < 500 => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let Ok(template) = template::Template::parse(&text) else {
        return Ok(BTreeMap::new());
    };
    let there: BTreeSet<&str> = resources
        .iter()
        .map(|it| it.logical_resource_id.as_str())
        .collect();
    let mut needs = template.possible_dependencies();
    needs.retain(|id, _| there.contains(id.as_str()));
    for each in needs.values_mut() {
        each.retain(|it| there.contains(it.as_str()));
    }
    Ok(needs)
}

/// A stack's id names it in its middle.
fn stack_name_of(id: &str) -> String {
    id.split('/').nth(1).unwrap_or(id).to_owned()
}

fn resource_row(it: &StackResource) -> ResourceRow {
    ResourceRow {
        logical_id: it.logical_resource_id.clone(),
        kind: it.resource_type.clone(),
        physical_id: it.physical_resource_id.clone(),
        state: State::of_words(&it.resource_status),
        status: it.resource_status.clone(),
        reason: it.resource_status_reason.clone(),
    }
}

fn event_facts(it: &StackEvent) -> EventFacts {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    EventFacts {
        logical_id: text(&it.logical_resource_id),
        kind: text(&it.resource_type),
        status: text(&it.resource_status),
        reason: text(&it.resource_status_reason),
        at_ms: (it.timestamp.0 * 1000.0) as i64,
    }
}

/// The newest first.
async fn events(cx: &Cx, name: &str) -> Result<Vec<StackEvent>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..EVENT_PAGES_MAX {
        let page = cx.call(DescribeStackEventsInput {
            stack_name: name.to_owned(),
            next_token: next,
        });
        let page = page.await?;
        all.extend(page.stack_events.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(all)
}

fn is_own(event: &StackEvent) -> bool {
    event.physical_resource_id.as_deref() == Some(event.stack_id.as_str())
}

fn status(event: &StackEvent) -> &str {
    event.resource_status.as_deref().unwrap_or_default()
}

/// From when the stack itself began for the last time.
fn last_operation(events: &[StackEvent]) -> &[StackEvent] {
    const BEGINS: [&str; 3] = [
        "CREATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
    ];
    let begin = events
        .iter()
        .position(|it| is_own(it) && BEGINS.contains(&status(it)));
    &events[..begin.map_or(events.len(), |at| at + 1)]
}

/// The oldest event that says that a resource failed by itself.
fn first_failure(operation: &[StackEvent]) -> Option<&StackEvent> {
    let is_failure = |it: &&StackEvent| {
        let reason = it.resource_status_reason.as_deref().unwrap_or_default();
        status(it).ends_with("_FAILED") && !is_own(it) && !reason.ends_with("cancelled")
    };
    operation.iter().rev().find(is_failure)
}

fn bars(operation: &[StackEvent], now_ms: i64) -> Vec<Bar> {
    let mut by_id: BTreeMap<&str, Bar> = BTreeMap::new();
    for event in operation.iter().rev().filter(|it| !is_own(it)) {
        let id = event.logical_resource_id.as_deref().unwrap_or_default();
        let at_ms = (event.timestamp.0 * 1000.0) as i64;
        let bar = by_id.entry(id).or_insert_with(|| Bar {
            logical_id: id.to_owned(),
            from_ms: at_ms,
            to_ms: at_ms,
            state: State::Changing,
            status: String::new(),
        });
        let words = status(event);
        bar.status = words.to_owned();
        bar.state = State::of_words(words);
        bar.to_ms = match bar.state {
            State::Changing => now_ms,
            _ => at_ms,
        };
    }
    let mut all: Vec<Bar> = by_id.into_values().collect();
    all.sort_by(|one, other| {
        (one.from_ms, &one.logical_id).cmp(&(other.from_ms, &other.logical_id))
    });
    all
}

#[cfg(test)]
mod tests {
    use wire::Timestamp;

    use super::*;

    fn event(at: f64, id: &str, status: &str, reason: &str) -> StackEvent {
        StackEvent {
            stack_id: "stack".into(),
            logical_resource_id: Some(id.into()),
            physical_resource_id: Some(if id == "web" { "stack" } else { id }.into()),
            resource_status: Some(status.into()),
            resource_status_reason: Some(reason.into()),
            timestamp: Timestamp(at),
            ..Default::default()
        }
    }

    #[test]
    fn the_last_operation_tells_what_failed_first_and_what_took_how_long() {
        let events = [
            event(9.0, "web", "UPDATE_ROLLBACK_COMPLETE", ""),
            event(8.0, "Queue", "UPDATE_FAILED", "Resource update cancelled"),
            event(7.0, "Service", "UPDATE_FAILED", "did not stabilize"),
            event(5.0, "Queue", "UPDATE_IN_PROGRESS", ""),
            event(4.0, "Service", "UPDATE_IN_PROGRESS", ""),
            event(3.0, "web", "UPDATE_IN_PROGRESS", ""),
            event(2.0, "Service", "CREATE_FAILED", "long ago"),
        ];
        let operation = last_operation(&events);
        assert_eq!(operation.len(), 6);
        let first = first_failure(operation).unwrap();
        assert_eq!(
            first.resource_status_reason.as_deref(),
            Some("did not stabilize")
        );
        let found = bars(operation, 10_000);
        let shown: Vec<_> = found
            .iter()
            .map(|it| (it.logical_id.as_str(), it.from_ms, it.to_ms))
            .collect();
        assert_eq!(shown, [("Service", 4000, 7000), ("Queue", 5000, 8000)]);
    }
}
