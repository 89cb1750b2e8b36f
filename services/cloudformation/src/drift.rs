//! Drift: what has become of a stack's resources since they were made.
//!
//! A resource type says what its resource is in truth ([`cloud::ResourceType::actual`]); what the
//! template asked for is compared with it, and nothing else: a default that the template leaves open
//! cannot drift. Types that cannot say it are never called in sync.

use cloud::{Cx, Error, Record, Records};
use serde_json::Value as Json;
use shapes::cloudformation::{
    self as api, DifferenceType, StackDriftDetectionStatus, StackDriftStatus,
    StackResourceDriftStatus, StackStatus,
};
use template::dynamic;
use wire::Timestamp;

use crate::check::invalid;
use crate::diff::is_same_scalar;
use crate::kept;
use crate::lookup::{page, require};
use crate::record::{Detection, Difference, Drift, Instance, Stack, StackDrift};
use crate::stack::new_uuid;

const DRIFTS_IN_A_PAGE: usize = 100;
const MASK: &str = "****";

fn time(ms: i64) -> Timestamp {
    Timestamp(ms as f64 / 1000.0)
}

/// Looks at one resource. None when its type cannot tell.
async fn look(cx: &Cx, instance: &Instance) -> Result<Option<Drift>, Error> {
    let Some(resource_type) = cx.cloud.resource_type(&instance.resource_type) else {
        return Ok(None);
    };
    let goal = &instance.goal;
    // What stands for a secret cannot be compared without showing it.
    let mut expected = goal.properties.clone();
    if let Some(members) = expected.as_object_mut() {
        members.retain(|_, it| dynamic::references(it).is_ok_and(|it| it.is_empty()));
    }
    let actual = resource_type
        .actual(cx, &instance.physical_id, &expected)
        .await
        .map_err(|error| invalid(error.message))?;
    let checked_ms = cx.clock().now_ms();
    let Some(mut actual) = actual else {
        return Ok(None);
    };
    if actual.is_null() {
        return Ok(Some(Drift {
            is_deleted: true,
            checked_ms,
            expected: goal.shown.clone(),
            actual,
            differences: Vec::new(),
        }));
    }
    // Of what was not asked for, nothing is said.
    if let (Some(members), Some(asked)) = (actual.as_object_mut(), expected.as_object()) {
        members.retain(|name, _| asked.contains_key(name));
    }
    let mut differences = Vec::new();
    for (name, value) in expected.as_object().into_iter().flatten() {
        if let Some(found) = actual.get(name) {
            let before = differences.len();
            compare(value, found, &format!("/{name}"), &mut differences);
            if goal.shown.get(name) != goal.properties.get(name) {
                for it in &mut differences[before..] {
                    (it.expected, it.actual) = (MASK.into(), MASK.into());
                }
            }
        }
    }
    for (name, value) in actual.as_object_mut().into_iter().flatten() {
        if goal.shown.get(name) != goal.properties.get(name) {
            *value = MASK.into();
        }
    }
    Ok(Some(Drift {
        is_deleted: false,
        checked_ms,
        expected: goal.shown.clone(),
        actual,
        differences,
    }))
}

fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn note(path: &str, pair: (Option<&Json>, Option<&Json>), out: &mut Vec<Difference>) {
    let text = |it: Option<&Json>| it.map_or("null".to_owned(), shown);
    out.push(Difference {
        path: path.to_owned(),
        expected: text(pair.0),
        actual: text(pair.1),
        kind: match pair {
            (None, _) => DifferenceType::Add,
            (_, None) => DifferenceType::Remove,
            _ => DifferenceType::NotEqual,
        },
    });
}

fn is_alike(expected: &Json, actual: &Json) -> bool {
    let mut differences = Vec::new();
    compare(expected, actual, "", &mut differences);
    differences.is_empty()
}

/// Lists are compared without their order, as the services that keep them do.
fn compare(expected: &Json, actual: &Json, path: &str, out: &mut Vec<Difference>) {
    match (expected, actual) {
        (Json::Object(expected), Json::Object(found)) => {
            for (name, value) in expected.iter().filter(|(_, it)| !it.is_null()) {
                let path = format!("{path}/{name}");
                match found.get(name) {
                    Some(found) => compare(value, found, &path, out),
                    None => note(&path, (Some(value), None), out),
                }
            }
        }
        (Json::Array(expected), Json::Array(found)) => {
            let mut left: Vec<&Json> = found.iter().collect();
            let mut missing = Vec::new();
            for (index, item) in expected.iter().enumerate() {
                match left.iter().position(|it| is_alike(item, it)) {
                    Some(at) => drop(left.remove(at)),
                    None => missing.push((index, item)),
                }
            }
            for (index, item) in missing {
                let path = format!("{path}/{index}");
                match left.is_empty() {
                    true => note(&path, (Some(item), None), out),
                    false => compare(item, left.remove(0), &path, out),
                }
            }
            for (index, item) in left.into_iter().enumerate() {
                let path = format!("{path}/{}", expected.len() + index);
                note(&path, (None, Some(item)), out);
            }
        }
        (expected, found) if expected == found || is_same_scalar(expected, found) => {}
        (expected, found) => note(path, (Some(expected), Some(found)), out),
    }
}

fn status(drift: Option<&Drift>) -> StackResourceDriftStatus {
    match drift {
        None => StackResourceDriftStatus::NotChecked,
        Some(it) if it.is_deleted => StackResourceDriftStatus::Deleted,
        Some(it) if it.differences.is_empty() => StackResourceDriftStatus::InSync,
        Some(_) => StackResourceDriftStatus::Modified,
    }
}

/// For descriptions of resources.
pub fn information(drift: Option<&Drift>) -> api::StackResourceDriftInformation {
    api::StackResourceDriftInformation {
        stack_resource_drift_status: status(drift),
        last_check_timestamp: drift.map(|it| time(it.checked_ms)),
    }
}

/// For descriptions of stacks.
pub fn of_stack(drift: Option<&StackDrift>) -> api::StackDriftInformation {
    api::StackDriftInformation {
        stack_drift_status: match drift {
            None => StackDriftStatus::NotChecked,
            Some(it) if it.drifted > 0 => StackDriftStatus::Drifted,
            Some(_) => StackDriftStatus::InSync,
        },
        last_check_timestamp: drift.map(|it| time(it.checked_ms)),
    }
}

fn shown_drift(
    stack: &Stack,
    id: &str,
    instance: &Instance,
    drift: &Drift,
) -> api::StackResourceDrift {
    let differences = (drift.differences.iter())
        .map(|it| api::PropertyDifference {
            property_path: it.path.clone(),
            expected_value: it.expected.clone(),
            actual_value: it.actual.clone(),
            difference_type: it.kind,
        })
        .collect();
    api::StackResourceDrift {
        stack_id: stack.id.clone(),
        logical_resource_id: id.to_owned(),
        physical_resource_id: Some(instance.physical_id.clone()),
        resource_type: instance.resource_type.clone(),
        expected_properties: Some(drift.expected.to_string()),
        actual_properties: (!drift.is_deleted).then(|| drift.actual.to_string()),
        property_differences: Some(differences),
        stack_resource_drift_status: status(Some(drift)),
        timestamp: time(drift.checked_ms),
        ..Default::default()
    }
}

fn require_checkable(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Stack, Error> {
    let stack = require(cx, tx, name)?;
    match stack.status {
        StackStatus::CreateComplete
        | StackStatus::UpdateComplete
        | StackStatus::UpdateRollbackComplete
        | StackStatus::UpdateRollbackFailed => Ok(stack),
        status => Err(invalid(format!(
            "Drift detection cannot be performed on stack [{}] while it is in {status} state",
            stack.name
        ))),
    }
}

pub async fn detect_stack_drift(
    cx: Cx,
    input: api::DetectStackDriftInput,
) -> Result<api::DetectStackDriftOutput, Error> {
    let stack = cx.read(|tx| require_checkable(&cx, tx, &input.stack_name))?;
    let wanted = input.logical_resource_ids;
    let unknown = (wanted.iter().flatten()).find(|it| !stack.resources.contains_key(it));
    if let Some(unknown) = unknown {
        return Err(invalid(format!(
            "Resource {unknown} does not exist for stack {}",
            stack.name
        )));
    }
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for (id, resource) in stack.resources.iter() {
        let is_wanted = wanted.as_ref().is_none_or(|it| it.contains(id));
        if let Some(instance) = resource.current.as_ref().filter(|_| is_wanted) {
            match look(&cx, instance).await {
                Ok(drift) => found.push((id.clone(), instance.physical_id.clone(), drift)),
                Err(error) => failures.push(format!("{id}: {}", error.message)),
            }
        }
    }
    let id = new_uuid(&cx, "drift");
    cx.write(|tx| {
        let mut fresh = require(&cx, tx, &stack.id)?;
        for (id, physical_id, drift) in found {
            let resource = fresh.resources.get_mut(&id);
            let resource = resource
                .filter(|it| (it.current.as_ref()).is_some_and(|it| it.physical_id == physical_id));
            if let Some(resource) = resource {
                resource.drift = drift;
            }
        }
        let checked_ms = cx.clock().now_ms();
        let is_drifted = |drift: &Drift| drift.is_deleted || !drift.differences.is_empty();
        let drifted = (fresh.resources.values())
            .filter(|it| it.drift.as_ref().is_some_and(is_drifted))
            .count();
        fresh.drift = Some(StackDrift {
            checked_ms,
            drifted,
        });
        let fresh = kept::save(tx, fresh)?;
        tx.put(&Detection {
            region: cx.region.clone(),
            id: id.clone(),
            stack_id: fresh.id.clone(),
            at_ms: checked_ms,
            drifted,
            failure: (!failures.is_empty()).then(|| failures.join("; ")),
        })?;
        forget_old(&cx, tx)?;
        Ok(api::DetectStackDriftOutput {
            stack_drift_detection_id: id,
        })
    })
}

/// How many detections of a region are remembered.
const DETECTIONS_MAX: usize = 200;

fn forget_old(cx: &Cx, tx: &Records<'_>) -> Result<(), Error> {
    let mut all: Vec<Detection> = tx.list(&cx.key(""))?;
    all.sort_by_key(|it| it.at_ms);
    let count = all.len().saturating_sub(DETECTIONS_MAX);
    for it in &all[..count] {
        tx.delete::<Detection>(&it.key())?;
    }
    Ok(())
}

pub async fn describe_stack_drift_detection_status(
    cx: Cx,
    input: api::DescribeStackDriftDetectionStatusInput,
) -> Result<api::DescribeStackDriftDetectionStatusOutput, Error> {
    let id = input.stack_drift_detection_id;
    let found = cx.read(|tx| tx.get::<Detection>(&cx.key(&id)))?;
    let it = found.ok_or_else(|| invalid(format!("Drift detection {id} does not exist")))?;
    let is_complete = it.failure.is_none();
    Ok(api::DescribeStackDriftDetectionStatusOutput {
        stack_id: it.stack_id,
        stack_drift_detection_id: it.id,
        stack_drift_status: Some(match it.drifted {
            0 => StackDriftStatus::InSync,
            _ => StackDriftStatus::Drifted,
        })
        .filter(|it| is_complete || *it == StackDriftStatus::Drifted),
        detection_status: match is_complete {
            true => StackDriftDetectionStatus::DetectionComplete,
            false => StackDriftDetectionStatus::DetectionFailed,
        },
        detection_status_reason: it.failure,
        drifted_stack_resource_count: i32::try_from(it.drifted).ok(),
        timestamp: time(it.at_ms),
    })
}

pub async fn detect_stack_resource_drift(
    cx: Cx,
    input: api::DetectStackResourceDriftInput,
) -> Result<api::DetectStackResourceDriftOutput, Error> {
    let stack = cx.read(|tx| require_checkable(&cx, tx, &input.stack_name))?;
    let id = input.logical_resource_id;
    let instance = (stack.resources.get(&id)).and_then(|it| it.current.as_ref());
    let instance = instance.ok_or_else(|| {
        invalid(format!(
            "Resource {id} does not exist for stack {}",
            stack.name
        ))
    })?;
    let drift = look(&cx, instance).await?.ok_or_else(|| {
        invalid(format!(
            "Drift detection is not supported by neargate for resources of type {}",
            instance.resource_type
        ))
    })?;
    let shown = shown_drift(&stack, &id, instance, &drift);
    cx.write(|tx| {
        let mut fresh = require(&cx, tx, &stack.id)?;
        if let Some(resource) = fresh.resources.get_mut(&id) {
            resource.drift = Some(drift);
        }
        kept::save(tx, fresh)
    })?;
    Ok(api::DetectStackResourceDriftOutput {
        stack_resource_drift: shown,
    })
}

pub async fn describe_stack_resource_drifts(
    cx: Cx,
    input: api::DescribeStackResourceDriftsInput,
) -> Result<api::DescribeStackResourceDriftsOutput, Error> {
    let stack = cx.read(|tx| require(&cx, tx, &input.stack_name))?;
    let filters = input
        .stack_resource_drift_status_filters
        .unwrap_or_default();
    let drifts = (stack.resources.iter())
        .filter_map(|(id, it)| {
            let drift = shown_drift(&stack, id, it.current.as_ref()?, it.drift.as_ref()?);
            let is_wanted =
                filters.is_empty() || filters.contains(&drift.stack_resource_drift_status);
            is_wanted.then_some(drift)
        })
        .collect();
    let size = input.max_results.and_then(|it| usize::try_from(it).ok());
    let size = size.unwrap_or(DRIFTS_IN_A_PAGE);
    let (stack_resource_drifts, next_token) = page(drifts, input.next_token.as_deref(), size)?;
    Ok(api::DescribeStackResourceDriftsOutput {
        stack_resource_drifts,
        next_token,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_asked_for_can_differ() {
        let check = |expected: Json, actual: Json, expect: &[(&str, &str, &str)]| {
            let mut found = Vec::new();
            compare(&expected, &actual, "", &mut found);
            let found: Vec<_> = (found.iter())
                .map(|it| (it.path.as_str(), it.expected.as_str(), it.actual.as_str()))
                .collect();
            assert_eq!(found, expect, "{expected} {actual}");
        };
        check(json!({"A": "1"}), json!({"A": 1, "B": 2}), &[]);
        check(
            json!({"A": {"B": 1}}),
            json!({"A": {"B": 2}}),
            &[("/A/B", "1", "2")],
        );
        check(json!({"A": 1}), json!({}), &[("/A", "1", "null")]);
        check(json!(["a", "b"]), json!(["b", "a"]), &[]);
        check(json!(["a", "b"]), json!(["b", "c"]), &[("/0", "a", "c")]);
        check(json!(["a"]), json!([]), &[("/0", "a", "null")]);
        check(json!([]), json!([{"P": 1}]), &[("/0", "null", "{\"P\":1}")]);
        check(
            json!([{"P": 1, "C": "x"}]),
            json!([{"P": 1, "C": "y"}]),
            &[("/0/C", "x", "y")],
        );
    }
}
