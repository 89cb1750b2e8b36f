//! What a step changes in the record, together with the events that tell of it.

use std::collections::{BTreeMap, BTreeSet};

use cloud::Error;
use serde_json::Value as Json;

use crate::event::{Draft, status};
use crate::record::{
    Action, Before, Goal, Instance, Leftover, Outcome, Phase, Policy, Resource, Stage, Work,
};

/// Notes what is about to be done.
pub fn started(
    draft: &mut Draft<'_>,
    id: &str,
    work: &Work,
    imports: BTreeSet<String>,
) -> Result<(), Error> {
    let now_ms = draft.now_ms;
    let is_update = draft
        .stack
        .operation
        .as_ref()
        .is_some_and(|it| it.phase == Phase::Update);
    draft.stack.imports.extend(imports);
    let new = || Resource::new(&work.resource_type, now_ms);
    let resource = draft.stack.resources.get_or_insert_with(id, new);
    if is_update && resource.before == Before::Untouched {
        resource.before = match &resource.current {
            Some(current) => Before::Was(Box::new(current.clone())),
            None => Before::Absent,
        };
    }
    if work.action == Action::Create {
        resource.shown_id = None;
        resource.resource_type = work.resource_type.clone();
    }
    if matches!(work.action, Action::Create | Action::Replace) {
        resource.signals.clear();
    }
    resource.work = Some(work.clone());
    let (status, reason) = match work.action {
        Action::Create => (status::CREATE_IN_PROGRESS, None),
        Action::Replace => (status::UPDATE_IN_PROGRESS, Some(REPLACES.to_owned())),
        Action::Update | Action::Restore => (status::UPDATE_IN_PROGRESS, None),
        Action::Delete => (status::DELETE_IN_PROGRESS, None),
    };
    tell(draft, id, work, status, reason)
}

const REPLACES: &str =
    "Requested update requires the creation of a new physical resource; hence creating one.";

/// The call was answered: the work waits until it has become true.
pub fn applied(
    draft: &mut Draft<'_>,
    id: &str,
    work: &Work,
    physical_id: Option<String>,
) -> Result<(), Error> {
    let Some(resource) = draft.resource(id) else {
        return Ok(());
    };
    if let Some(work) = &mut resource.work {
        work.stage = Stage::Applied;
        work.physical_id = physical_id.clone();
    }
    let status = match work.action {
        Action::Create => status::CREATE_IN_PROGRESS,
        Action::Replace => status::UPDATE_IN_PROGRESS,
        Action::Update | Action::Restore | Action::Delete => return Ok(()),
    };
    resource.shown_id = physical_id;
    let reason = Some("Resource creation Initiated".to_owned());
    draft.resource_status(id, status, reason, Some(&work.goal.shown))
}

/// Gives the resource that is worked on a status. A leftover's deletion says nothing about the
/// resource itself.
fn tell(
    draft: &mut Draft<'_>,
    id: &str,
    work: &Work,
    status: &str,
    reason: Option<String>,
) -> Result<(), Error> {
    let shown = Some(&work.goal.shown);
    let current = draft
        .stack
        .resources
        .get(id)
        .and_then(|it| it.current.as_ref());
    let is_other = current.is_some_and(|it| Some(&it.physical_id) != work.physical_id.as_ref());
    if work.action == Action::Delete && is_other {
        let instance = (work.physical_id.clone(), work.resource_type.clone());
        return draft.resource_event(id, instance, status, reason, shown);
    }
    if work.action == Action::Delete
        && let Some(resource) = draft.resource(id)
    {
        resource.shown_id = work.physical_id.clone();
    }
    draft.resource_status(id, status, reason, shown)
}

fn failed_status(action: Action) -> &'static str {
    match action {
        Action::Create => status::CREATE_FAILED,
        Action::Replace | Action::Update | Action::Restore => status::UPDATE_FAILED,
        Action::Delete => status::DELETE_FAILED,
    }
}

/// What a creation that failed has made all the same: it is there, and goes when the stack is cleaned up.
pub fn noted(draft: &mut Draft<'_>, id: &str, physical_id: Option<String>) {
    let (Some(physical_id), Some(resource)) = (physical_id, draft.resource(id)) else {
        return;
    };
    let Some(work) = resource.work.as_mut() else {
        return;
    };
    if matches!(work.action, Action::Create | Action::Replace) && work.stage == Stage::Started {
        work.stage = Stage::Applied;
        work.physical_id = Some(physical_id.clone());
        resource.shown_id = Some(physical_id);
    }
}

/// Nothing was done to the resource, since nothing may be done to it.
pub fn denied(draft: &mut Draft<'_>, id: &str, reason: String) -> Result<(), Error> {
    if let Some(resource) = draft.resource(id) {
        resource.outcome = Some(Outcome::Failed);
    }
    draft.resource_status(id, status::UPDATE_FAILED, Some(reason), None)
}

/// The work ended without success. What it made, or may have changed, stays on record.
pub fn failed(draft: &mut Draft<'_>, id: &str, work: &Work, reason: String) -> Result<(), Error> {
    give_up(draft, id, Outcome::Failed);
    tell(draft, id, work, failed_status(work.action), Some(reason))
}

pub fn cancel(draft: &mut Draft<'_>, id: &str, work: &Work) -> Result<(), Error> {
    give_up(draft, id, Outcome::Cancelled);
    let reason = match work.action {
        Action::Create | Action::Replace => "Resource creation cancelled",
        Action::Update | Action::Restore => "Resource update cancelled",
        Action::Delete => "Resource deletion cancelled",
    };
    tell(
        draft,
        id,
        work,
        failed_status(work.action),
        Some(reason.to_owned()),
    )
}

fn give_up(draft: &mut Draft<'_>, id: &str, outcome: Outcome) {
    let Some(resource) = draft.resource(id) else {
        return;
    };
    let Some(work) = resource.work.take() else {
        return;
    };
    match work.action {
        // Known to be made only once it was answered.
        Action::Create | Action::Replace if work.stage == Stage::Applied => {
            let instance = made(&work, BTreeMap::new());
            resource.leftovers.extend(instance.map(|instance| Leftover {
                instance,
                policy: Policy::Delete,
                failed: false,
            }));
        }
        Action::Create | Action::Replace => {}
        // It may have been changed in part: taken as changed, it is changed back. Until then it may
        // need what it needed before as well as what it was to need.
        Action::Update => {
            if let Some(current) = &mut resource.current {
                let needs = std::mem::take(&mut current.goal.needs);
                current.goal = work.goal.clone();
                current.goal.needs.extend(needs);
            }
        }
        // Not known to be what it was: tried again when the rollback is continued.
        Action::Restore => {
            if let Some(current) = &mut resource.current {
                current.goal.needs.extend(work.goal.needs.iter().cloned());
            }
        }
        Action::Delete => {
            for leftover in &mut resource.leftovers {
                if Some(&leftover.instance.physical_id) == work.physical_id.as_ref() {
                    leftover.failed = true;
                    return;
                }
            }
        }
    }
    resource.outcome = Some(outcome);
}

fn made(work: &Work, attributes: BTreeMap<String, Json>) -> Option<Instance> {
    Some(Instance {
        physical_id: work.physical_id.clone()?,
        resource_type: work.resource_type.clone(),
        goal: work.goal.clone(),
        attributes,
    })
}

/// The work has become true.
pub fn done(
    draft: &mut Draft<'_>,
    id: &str,
    work: &Work,
    attributes: BTreeMap<String, Json>,
) -> Result<(), Error> {
    let Some(resource) = draft.resource(id) else {
        return Ok(());
    };
    resource.work = None;
    if work.action == Action::Delete {
        forget(resource, work.physical_id.as_deref().unwrap_or_default());
        return tell(draft, id, work, status::DELETE_COMPLETE, None);
    }
    resource.drift = None;
    let replaced = resource.current.take();
    resource.current = made(work, attributes);
    resource.resource_type = work.resource_type.clone();
    resource.shown_id = work.physical_id.clone();
    resource.outcome = Some(Outcome::Settled);
    let replaced = replaced.filter(|it| Some(&it.physical_id) != work.physical_id.as_ref());
    resource.leftovers.extend(replaced.map(|instance| Leftover {
        policy: work.goal.update_replace_policy,
        instance,
        failed: false,
    }));
    let status = match work.action {
        Action::Create => status::CREATE_COMPLETE,
        _ => status::UPDATE_COMPLETE,
    };
    draft.resource_status(id, status, None, Some(&work.goal.shown))
}

/// Takes an instance off the record.
fn forget(resource: &mut Resource, physical_id: &str) {
    let count = resource.leftovers.len();
    resource
        .leftovers
        .retain(|it| it.instance.physical_id != physical_id);
    if resource.leftovers.len() == count {
        resource.current.take_if(|it| it.physical_id == physical_id);
    }
    if let Some(current) = &resource.current {
        resource.shown_id = Some(current.physical_id.clone());
    }
}

pub fn skip(draft: &mut Draft<'_>, id: &str, physical_id: &str) -> Result<(), Error> {
    let Some(resource) = draft.resource(id) else {
        return Ok(());
    };
    let skipped = resource
        .instances()
        .find(|it| it.physical_id == physical_id)
        .cloned();
    forget(resource, physical_id);
    if resource.current.is_some() {
        let resource_type = skipped.map(|it| it.resource_type).unwrap_or_default();
        let instance = (Some(physical_id.to_owned()), resource_type);
        return draft.resource_event(id, instance, status::DELETE_SKIPPED, None, None);
    }
    resource.shown_id = Some(physical_id.to_owned());
    draft.resource_status(id, status::DELETE_SKIPPED, None, None)
}

/// A replacement is undone: the replaced instance is the current one again.
pub fn take_back(draft: &mut Draft<'_>, id: &str) -> Result<(), Error> {
    let Some(resource) = draft.resource(id) else {
        return Ok(());
    };
    let Before::Was(was) = resource.before.clone() else {
        return Ok(());
    };
    resource
        .leftovers
        .retain(|it| it.instance.physical_id != was.physical_id);
    let made: Option<Instance> = resource.current.take();
    resource.leftovers.extend(made.map(|instance| Leftover {
        policy: Policy::Delete,
        instance,
        failed: false,
    }));
    resource.resource_type = was.resource_type.clone();
    resource.shown_id = Some(was.physical_id.clone());
    let shown: Json = was.goal.shown.clone();
    resource.current = Some(*was);
    resource.outcome = Some(Outcome::Settled);
    draft.resource_status(id, status::UPDATE_COMPLETE, None, Some(&shown))
}

/// The resource is as it should be; what it needs and its policies may be others now.
pub fn settle(draft: &mut Draft<'_>, id: &str, goal: Option<Box<Goal>>) {
    let is_update = (draft.stack.operation.as_ref()).is_some_and(|it| it.phase == Phase::Update);
    let Some(resource) = draft.resource(id) else {
        return;
    };
    if let (Some(current), Some(goal)) = (&mut resource.current, goal)
        && current.goal != *goal
    {
        if is_update && resource.before == Before::Untouched {
            resource.before = Before::Was(Box::new(current.clone()));
        }
        current.goal = *goal;
    }
    resource.outcome = Some(Outcome::Settled);
}
