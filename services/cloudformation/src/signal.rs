//! Signals: a resource with a `CreationPolicy` is made once somebody says so, by SignalResource
//! (`cfn-signal` does) or by the URL of a wait condition's handle.

use cloud::{Cx, Error};
use serde_json::Value as Json;
use shapes::cloudformation::{self as api, ResourceSignalStatus};

use crate::check::invalid;
use crate::kept;
use crate::lookup::require_head;
use crate::record::{Action, Resource, Signals, Stage};
use crate::stack::draft;

/// What a policy that says no other waits for, and for how long.
const COUNT_DEFAULT: u32 = 1;
const TIMEOUT_MS_DEFAULT: i64 = 5 * 60 * 1000;
/// The longest timeout that AWS takes.
const TIMEOUT_MS_MAX: i64 = 12 * 60 * 60 * 1000;

/// Reads an evaluated `CreationPolicy`.
pub fn policy(value: &Json) -> Result<Option<Signals>, String> {
    let members = value
        .as_object()
        .ok_or("CreationPolicy must be an object")?;
    if let Some(other) = members.keys().find(|it| *it != "ResourceSignal") {
        return Err(format!(
            "Template error: {other} of CreationPolicy is not supported by neargate"
        ));
    }
    let Some(signal) = members.get("ResourceSignal") else {
        return Ok(None);
    };
    let text = |name: &str| match signal.get(name) {
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let count = match text("Count") {
        None => COUNT_DEFAULT,
        Some(text) => text
            .parse()
            .map_err(|_| format!("CreationPolicy: Count `{text}` is not a number"))?,
    };
    let timeout_ms = match text("Timeout") {
        None => TIMEOUT_MS_DEFAULT,
        Some(text) => duration_ms(&text).filter(|it| *it <= TIMEOUT_MS_MAX).ok_or_else(|| {
            format!("CreationPolicy: Timeout `{text}` must be an ISO 8601 duration of at most 12 hours, as PT15M")
        })?,
    };
    Ok(Some(Signals { count, timeout_ms }))
}

/// `PT1H30M10S`.
fn duration_ms(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix("PT").filter(|it| !it.is_empty())?;
    let mut seconds = 0;
    for (unit, length) in [('H', 3600), ('M', 60), ('S', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            seconds += number
                .parse::<i64>()
                .ok()
                .filter(|it| (0..=99_999).contains(it))?
                * length;
            rest = after;
        }
    }
    rest.is_empty().then_some(seconds * 1000)
}

/// Where the signals of a resource have come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Tally {
    Enough,
    Waiting,
    Failed(String),
}

pub fn tally(wanted: Signals, resource: &Resource, began_ms: i64, now_ms: i64) -> Tally {
    let failures = resource.signals.values().filter(|it| !**it).count();
    let successes = resource.signals.len() - failures;
    let count = wanted.count as usize;
    if failures > 0 {
        return Tally::Failed(format!(
            "Received {failures} FAILURE signal(s) out of {count}. Unable to satisfy 100% MinSuccessfulInstancesPercent requirement"
        ));
    }
    if successes >= count {
        return Tally::Enough;
    }
    if now_ms - began_ms >= wanted.timeout_ms {
        return Tally::Failed(format!(
            "Failed to receive {count} resource signal(s) within the specified duration"
        ));
    }
    Tally::Waiting
}

pub async fn signal_resource(
    cx: Cx,
    input: api::SignalResourceInput,
) -> Result<api::SignalResourceOutput, Error> {
    let id = input.logical_resource_id;
    cx.write(|tx| {
        let head = require_head(&cx, tx, &input.stack_name)?;
        let stack = kept::part(tx, &head.key(), &id)?.unwrap_or(head);
        let mut draft = draft(&cx, tx, stack);
        let resource = (draft.stack.resources.get_mut(&id)).ok_or_else(|| {
            invalid(format!("Resource {id} does not exist for stack {}", input.stack_name))
        })?;
        let status = resource.status.clone();
        let work = resource.work.as_ref().filter(|work| {
            matches!(work.action, Action::Create | Action::Replace) && work.stage == Stage::Applied
        });
        let Some(work) = work else {
            return Err(invalid(format!(
                "Resource {id} is in {status} state and can not be signaled"
            )));
        };
        if work.goal.signals.is_none() {
            return Err(invalid(format!(
                "Resource {id} does not have a CreationPolicy and can not be signaled"
            )));
        }
        let shown = work.goal.shown.clone();
        let is_success = input.status == ResourceSignalStatus::Success;
        if resource.signals.contains_key(&input.unique_id) && is_success {
            return Err(invalid(format!(
                "Signal with ID {} for resource {id} already exists. Signals may only be updated with a FAILURE status.",
                input.unique_id
            )));
        }
        resource.signals.insert(input.unique_id.clone(), is_success);
        let instance = (resource.shown_id.clone(), resource.resource_type.clone());
        let reason = format!("Received {} signal with UniqueId {}", input.status, input.unique_id);
        draft.resource_event(&id, instance, &status, Some(reason), Some(&shown))?;
        draft.save()?;
        Ok(api::SignalResourceOutput {})
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_read_as_templates_write_them() {
        let check = |value: Json, expect: Result<Option<(u32, i64)>, ()>| {
            let found = policy(&value).map(|it| it.map(|it| (it.count, it.timeout_ms / 1000)));
            assert_eq!(found.map_err(|_| ()), expect, "{value}");
        };
        check(
            json!({"ResourceSignal": {"Count": "2", "Timeout": "PT15M"}}),
            Ok(Some((2, 900))),
        );
        check(
            json!({"ResourceSignal": {"Count": 3, "Timeout": "PT1H2M3S"}}),
            Ok(Some((3, 3723))),
        );
        check(json!({"ResourceSignal": {}}), Ok(Some((1, 300))));
        check(json!({}), Ok(None));
        for wrong in ["PT", "15M", "PT13H", "PTxM", "P1D", "PT5M3"] {
            check(json!({"ResourceSignal": {"Timeout": wrong}}), Err(()));
        }
        check(json!({"AutoScalingCreationPolicy": {}}), Err(()));
        check(json!({"ResourceSignal": {"Count": "many"}}), Err(()));
    }
}
