//! The end of a phase: which one follows, or how the stack rests.

use std::collections::BTreeSet;

use cloud::{Error, Record, Records};
use shapes::cloudformation::StackStatus;

use crate::event::Draft;
use crate::kept;
use crate::nested;
use crate::record::{
    Before, Export, OnFailure, Operation, Outcome, Output, Phase, Resource, Stack, Version,
};

/// The outputs of a finished template and the imports of all of it, or why there are none.
pub type Computed = Option<Result<(Vec<Output>, BTreeSet<String>), String>>;

pub fn finish(draft: &mut Draft<'_>, outputs: &Computed) -> Result<(), Error> {
    let Some(operation) = draft.stack.operation.clone() else {
        return Ok(());
    };
    match operation.phase {
        Phase::Create | Phase::Update if crate::plan::is_failing(&draft.stack) => {
            give_up(draft, &operation)
        }
        Phase::Create | Phase::Update => complete(draft, &operation, outputs),
        Phase::UpdateCleanup => rest(draft, StackStatus::UpdateComplete, None),
        Phase::Rollback => end(
            draft,
            StackStatus::RollbackComplete,
            StackStatus::RollbackFailed,
        ),
        Phase::UpdateRollback if has_failed(&draft.stack) => {
            let reason = failures(&draft.stack, "update");
            pause(draft, StackStatus::UpdateRollbackFailed, Some(reason))
        }
        Phase::UpdateRollback => {
            nested::forget_update(draft)?;
            enter(draft, Phase::RollbackCleanup);
            hold(draft);
            draft.stack_status(StackStatus::UpdateRollbackCompleteCleanupInProgress, None)
        }
        Phase::RollbackCleanup => rest(draft, StackStatus::UpdateRollbackComplete, None),
        Phase::Delete => end(
            draft,
            StackStatus::DeleteComplete,
            StackStatus::DeleteFailed,
        ),
    }
}

fn has_failed(stack: &Stack) -> bool {
    (stack.resources.values())
        .any(|it| it.outcome == Some(Outcome::Failed) || it.leftovers.iter().any(|it| it.failed))
}

/// "The following resource(s) failed to create: [A, B]. "
fn failures(stack: &Stack, verb: &str) -> String {
    let names: Vec<&str> = (stack.resources.iter())
        .filter(|(_, it)| {
            it.outcome == Some(Outcome::Failed) || it.leftovers.iter().any(|it| it.failed)
        })
        .map(|(id, _)| id.as_str())
        .collect();
    format!(
        "The following resource(s) failed to {verb}: [{}]. ",
        names.join(", ")
    )
}

/// Why the operation failed, as AWS words it.
fn failure_reason(stack: &Stack) -> String {
    let mut reason = String::new();
    for (status, verb) in [("CREATE_FAILED", "create"), ("UPDATE_FAILED", "update")] {
        let names: Vec<&str> = (stack.resources.iter())
            .filter(|(_, it)| {
                it.outcome.is_some_and(|it| it != Outcome::Settled) && it.status == status
            })
            .map(|(id, _)| id.as_str())
            .collect();
        if !names.is_empty() {
            reason += &format!(
                "The following resource(s) failed to {verb}: [{}]. ",
                names.join(", ")
            );
        }
    }
    match stack.operation.as_ref().and_then(|it| it.failure.clone()) {
        Some(failure) if reason.is_empty() => format!("{} ", failure.trim_end()),
        Some(failure) => format!("{} {reason}", failure.trim_end()),
        None => reason,
    }
}

/// The longest cause that is told further up: each level of a tree adds its own words.
const CAUSE_CHARACTERS_MAX: usize = 2_000;

/// What failed first by itself, as its own event told it.
fn first_cause(stack: &Stack) -> Option<String> {
    let (id, resource) = (stack.resources.iter())
        .filter(|(_, it)| it.outcome == Some(Outcome::Failed))
        .min_by_key(|(_, it)| it.updated_ms)?;
    let reason = resource.status_reason.as_deref()?;
    let told: String = reason.chars().take(CAUSE_CHARACTERS_MAX).collect();
    Some(format!("{id}: {told}"))
}

/// Begins a phase: nothing is settled in it yet.
pub fn enter(draft: &mut Draft<'_>, phase: Phase) {
    if let Some(operation) = &mut draft.stack.operation {
        operation.phase = phase;
        operation.failure = None;
    }
    for resource in draft.stack.resources.values_mut() {
        resource.outcome = None;
        resource
            .leftovers
            .iter_mut()
            .for_each(|it| it.failed = false);
    }
}

/// What is part of the operation of the stack above does not clean up before that does.
fn hold(draft: &mut Draft<'_>) {
    if let Some(operation) = &mut draft.stack.operation {
        operation.is_held = operation.is_part;
    }
}

fn give_up(draft: &mut Draft<'_>, operation: &Operation) -> Result<(), Error> {
    let reason = failure_reason(&draft.stack);
    let cause = first_cause(&draft.stack);
    if let Some(nested) = &mut draft.stack.nested {
        // The stack above tells the cause in its own events.
        nested.failure = Some(match cause {
            Some(cause) => format!("{reason}{cause}"),
            None => reason.clone(),
        });
    }
    let with = |end: &str| Some(format!("{reason}{end}"));
    match (operation.phase, operation.on_failure) {
        (Phase::Create, OnFailure::Rollback) => {
            enter(draft, Phase::Rollback);
            draft.stack_status(
                StackStatus::RollbackInProgress,
                with("Rollback requested by user."),
            )
        }
        (Phase::Create, OnFailure::Delete) => {
            enter(draft, Phase::Delete);
            draft.stack_status(
                StackStatus::DeleteInProgress,
                with("Delete requested by user."),
            )
        }
        (Phase::Create, OnFailure::DoNothing) => pause(draft, StackStatus::CreateFailed, with("")),
        (_, OnFailure::DoNothing) => pause(draft, StackStatus::UpdateFailed, with("")),
        _ => {
            enter(draft, Phase::UpdateRollback);
            draft.stack_status(StackStatus::UpdateRollbackInProgress, with(""))
        }
    }
}

/// The stack stops where it is; what was before the update stays known.
fn pause(draft: &mut Draft<'_>, status: StackStatus, reason: Option<String>) -> Result<(), Error> {
    draft.stack_status(status, reason.map(|it| it.trim_end().to_owned()))?;
    draft.stack.operation = None;
    Ok(())
}

fn complete(
    draft: &mut Draft<'_>,
    operation: &Operation,
    computed: &Computed,
) -> Result<(), Error> {
    let published = match computed {
        Some(Ok((outputs, imports))) => publish(draft, outputs)?.map(|()| (outputs, imports)),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err("the outputs were not computed".to_owned()),
    };
    match published {
        Err(reason) => {
            if let Some(operation) = &mut draft.stack.operation {
                operation.failure = Some(reason);
            }
            Ok(())
        }
        Ok((outputs, imports)) => {
            draft.stack.outputs = outputs.clone();
            draft.stack.imports = imports.clone();
            draft.stack.version = Some(operation.target);
            if operation.phase == Phase::Create {
                return rest(draft, StackStatus::CreateComplete, None);
            }
            enter(draft, Phase::UpdateCleanup);
            hold(draft);
            draft.stack_status(StackStatus::UpdateCompleteCleanupInProgress, None)
        }
    }
}

/// The stack rests, whole.
fn rest(draft: &mut Draft<'_>, status: StackStatus, reason: Option<String>) -> Result<(), Error> {
    draft.stack_status(status, reason)?;
    draft.stack.operation = None;
    if let Some(nested) = &mut draft.stack.nested {
        nested.was = None;
    }
    (draft.stack.resources).retain(|it| it.current.is_some() || !it.leftovers.is_empty());
    for resource in draft.stack.resources.values_mut() {
        resource.before = Before::Untouched;
        resource.outcome = None;
    }
    forget_versions(draft)
}

/// The stack rests without its resources, or with those that could not be deleted.
fn end(draft: &mut Draft<'_>, good: StackStatus, bad: StackStatus) -> Result<(), Error> {
    let is_there = |it: &Resource| it.instances().next().is_some();
    if draft.stack.resources.values().any(is_there) {
        let reason = failures(&draft.stack, "delete");
        return pause(draft, bad, Some(reason));
    }
    if good == StackStatus::DeleteComplete {
        draft.stack.deleted_ms = Some(draft.now_ms);
        draft.stack.imports.clear();
        unpublish(draft)?;
    }
    draft.stack_status(good, None)?;
    draft.stack.operation = None;
    forget_versions(draft)
}

fn forget_versions(draft: &mut Draft<'_>) -> Result<(), Error> {
    let stack = draft.stack.key();
    for key in draft.tx.keys::<Version>(&format!("{stack}/"))? {
        if draft
            .stack
            .version
            .is_none_or(|kept| key != Version::key_of(&stack, kept))
        {
            draft.tx.delete::<Version>(&key)?;
        }
    }
    Ok(())
}

/// Names of other stacks that use an export.
pub fn importers(tx: &Records<'_>, region: &str, export: &str) -> Result<Vec<String>, Error> {
    Ok((kept::living(tx, region)?.into_iter())
        .filter(|it| it.imports.contains(export))
        .map(|it| it.name)
        .collect())
}

/// Why an export of the stack must stay as it is, if it must.
pub fn in_use(draft: &Draft<'_>, export: &str, verb: &str) -> Result<Option<String>, Error> {
    let importers = importers(draft.tx, &draft.stack.region, export)?;
    Ok((!importers.is_empty()).then(|| {
        format!(
            "Export {export} cannot be {verb} as it is in use by {}.",
            importers.join(", ")
        )
    }))
}

fn publish(draft: &mut Draft<'_>, outputs: &[Output]) -> Result<Result<(), String>, Error> {
    let region = draft.stack.region.clone();
    let key = |name: &str| format!("{region}/{name}");
    for output in outputs {
        let Some(name) = &output.export else { continue };
        match draft.tx.get::<Export>(&key(name))? {
            Some(other) if other.stack_id != draft.stack.id => {
                return Ok(Err(format!(
                    "Export with name {name} is already exported by stack {}.",
                    stack_name(&other)
                )));
            }
            Some(own) if own.value != output.value => {
                if let Some(reason) = in_use(draft, name, "updated")? {
                    return Ok(Err(reason));
                }
            }
            _ => {}
        }
        let is_twice = outputs
            .iter()
            .filter(|it| it.export.as_ref() == Some(name))
            .count()
            > 1;
        if is_twice {
            return Ok(Err(format!(
                "Output {name} is exported twice in this stack."
            )));
        }
    }
    let gone: Vec<String> = (draft.stack.outputs.iter())
        .filter_map(|it| it.export.clone())
        .filter(|name| !outputs.iter().any(|it| it.export.as_ref() == Some(name)))
        .collect();
    for name in &gone {
        if let Some(reason) = in_use(draft, name, "deleted")? {
            return Ok(Err(reason));
        }
    }
    for name in &gone {
        draft.tx.delete::<Export>(&key(name))?;
    }
    for output in outputs {
        let Some(name) = &output.export else { continue };
        draft.tx.put(&Export {
            region: region.clone(),
            name: name.clone(),
            value: output.value.clone(),
            stack_id: draft.stack.id.clone(),
        })?;
    }
    Ok(Ok(()))
}

/// Publishes what was published before, whatever has been published since.
pub fn publish_again(draft: &mut Draft<'_>, outputs: &[Output]) -> Result<(), Error> {
    unpublish(draft)?;
    for output in outputs {
        let Some(name) = &output.export else { continue };
        let export = Export {
            region: draft.stack.region.clone(),
            name: name.clone(),
            value: output.value.clone(),
            stack_id: draft.stack.id.clone(),
        };
        if draft.tx.get::<Export>(&export.key())?.is_none() {
            draft.tx.put(&export)?;
        }
    }
    Ok(())
}

/// Takes the stack's exports back.
pub fn unpublish(draft: &mut Draft<'_>) -> Result<(), Error> {
    for name in draft
        .stack
        .outputs
        .iter()
        .filter_map(|it| it.export.as_ref())
    {
        draft
            .tx
            .delete::<Export>(&format!("{}/{name}", draft.stack.region))?;
    }
    Ok(())
}

fn stack_name(export: &Export) -> &str {
    export
        .stack_id
        .split('/')
        .nth(1)
        .unwrap_or(&export.stack_id)
}
