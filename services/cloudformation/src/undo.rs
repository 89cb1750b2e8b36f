//! Deleting stacks, and taking updates back.

use std::collections::BTreeSet;

use cloud::{Cx, Error, Records};
use shapes::cloudformation::{self as api, StackStatus};

use crate::asker::checked_role;
use crate::check::invalid;
use crate::describe::is_protected;
use crate::event::Draft;
use crate::finish::{in_use, unpublish};
use crate::kept;
use crate::lookup::{find, require, require_head};
use crate::record::{OnFailure, Outcome, Phase, Resource, Stack};
use crate::stack::{begin, draft, forget_change_sets, give_role};

pub async fn delete_stack(
    cx: Cx,
    input: api::DeleteStackInput,
) -> Result<api::DeleteStackOutput, Error> {
    let role = checked_role(&cx, &input.stack_name, input.role_arn)?;
    let is_forced = input.deletion_mode == Some(api::DeletionMode::ForceDeleteStack);
    let mut retain: BTreeSet<String> = input
        .retain_resources
        .unwrap_or_default()
        .into_iter()
        .collect();
    cx.write(|tx| {
        // Deleting what is not there succeeds.
        let Some(stack) = find(&cx, tx, &input.stack_name)?.filter(|it| !it.is_deleted()) else {
            return Ok(api::DeleteStackOutput {});
        };
        if is_protected(tx, &stack)? {
            return Err(invalid(format!(
                "Stack [{}] cannot be deleted while TerminationProtection is enabled",
                stack.name
            )));
        }
        match stack.status {
            StackStatus::DeleteInProgress => return Ok(api::DeleteStackOutput {}),
            StackStatus::UpdateInProgress
            | StackStatus::UpdateCompleteCleanupInProgress
            | StackStatus::UpdateRollbackInProgress
            | StackStatus::UpdateRollbackCompleteCleanupInProgress => {
                return Err(invalid(format!(
                    "Stack [{}] cannot be deleted while in status {}",
                    stack.name, stack.status
                )));
            }
            status if !retain.is_empty() && status != StackStatus::DeleteFailed => {
                return Err(invalid(format!(
                    "Invalid operation on stack [{}]. When you delete a stack, specify which resources to retain only when the stack is in the DELETE_FAILED state.",
                    stack.id
                )));
            }
            _ => {}
        }
        if is_forced && stack.status == StackStatus::DeleteFailed {
            // What could not be deleted stays behind.
            let failed = |it: &Resource| {
                it.outcome == Some(Outcome::Failed) || it.leftovers.iter().any(|it| it.failed)
            };
            let stuck = stack.resources.iter().filter(|it| failed(it.1));
            retain.extend(stuck.map(|it| it.0.clone()));
        }
        if let Some(unknown) = retain.iter().find(|it| !stack.resources.contains_key(it)) {
            return Err(invalid(format!("Resource {unknown} does not exist in stack [{}]", stack.name)));
        }
        let mut draft = draft(&cx, tx, stack);
        give_role(&mut draft, role);
        begin_deletion(&mut draft, retain, input.client_request_token)?;
        draft.save()?;
        Ok(api::DeleteStackOutput {})
    })
}

pub fn begin_deletion(
    draft: &mut Draft<'_>,
    retain: BTreeSet<String>,
    token: Option<String>,
) -> Result<(), Error> {
    let exports: Vec<String> = draft
        .stack
        .outputs
        .iter()
        .filter_map(|it| it.export.clone())
        .collect();
    for export in &exports {
        if let Some(reason) = in_use(draft, export, "deleted")? {
            // The stack stays what it is, and may be updated.
            return draft.stack_status(draft.stack.status, Some(reason));
        }
    }
    let target =
        (draft.stack.operation.as_ref()).map_or(draft.stack.version.unwrap_or(0), |it| it.target);
    begin(draft, Phase::Delete, target, OnFailure::DoNothing, token);
    if let Some(operation) = &mut draft.stack.operation {
        operation.retain = retain;
    }
    draft.stack_status(StackStatus::DeleteInProgress, Some("User Initiated".into()))?;
    // From now on nobody can begin to use them.
    unpublish(draft)?;
    forget_change_sets(draft.tx, &draft.stack)
}

pub async fn cancel_update_stack(
    cx: Cx,
    input: api::CancelUpdateStackInput,
) -> Result<api::CancelUpdateStackOutput, Error> {
    cx.write(|tx| {
        let mut stack = require_head(&cx, tx, &input.stack_name)?;
        match &mut stack.operation {
            Some(operation) if operation.phase == Phase::Update => {
                operation.failure.get_or_insert("User Initiated".into());
                operation.on_failure = OnFailure::Rollback;
            }
            _ => {
                return Err(invalid(format!(
                    "CancelUpdateStack cannot be called from current stack status {}",
                    stack.status
                )));
            }
        }
        kept::save(tx, stack)?;
        Ok(api::CancelUpdateStackOutput {})
    })
}

pub async fn continue_update_rollback(
    cx: Cx,
    input: api::ContinueUpdateRollbackInput,
) -> Result<api::ContinueUpdateRollbackOutput, Error> {
    let role = checked_role(&cx, &input.stack_name, input.role_arn)?;
    let skip: BTreeSet<String> = input
        .resources_to_skip
        .unwrap_or_default()
        .into_iter()
        .collect();
    cx.write(|tx| {
        let stack = require_root(&cx, tx, &input.stack_name)?;
        if stack.status != StackStatus::UpdateRollbackFailed {
            return Err(invalid(format!(
                "Stack:{} is in {} state and can not continue rollback.",
                stack.id, stack.status
            )));
        }
        let (inner, skip): (BTreeSet<String>, BTreeSet<String>) =
            skip.into_iter().partition(|it: &String| it.contains('.'));
        for path in inner {
            skip_inside(&cx, tx, &stack, &path)?;
        }
        let mut draft = draft(&cx, tx, stack);
        give_role(&mut draft, role);
        resume_rollback(&mut draft, true, &skip, input.client_request_token)?;
        draft.save()?;
        Ok(api::ContinueUpdateRollbackOutput {})
    })
}

/// A nested stack goes back with the tree that it is in.
fn require_root(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Stack, Error> {
    let stack = require(cx, tx, name)?;
    match &stack.nested {
        None => Ok(stack),
        Some(nested) => Err(invalid(format!(
            "RollbackUpdatedStack may not be called on a nested stack; its root stack is {}",
            nested.root_id
        ))),
    }
}

/// Skips `NestedStackName.LogicalId` of the tree below `root`.
fn skip_inside(cx: &Cx, tx: &Records<'_>, root: &Stack, path: &str) -> Result<(), Error> {
    let (name, id) = path.split_once('.').unwrap_or((path, ""));
    let stack = find(cx, tx, name)?.filter(|it| {
        (it.nested.as_ref()).is_some_and(|it| it.root_id == root.id)
            && it.status == StackStatus::UpdateRollbackFailed
    });
    let unknown = || {
        invalid(format!(
            "Resource {path} does not exist in a nested stack of [{}] that is in UPDATE_ROLLBACK_FAILED",
            root.name
        ))
    };
    let mut stack = stack.ok_or_else(unknown)?;
    let resource = stack.resources.get_mut(id).ok_or_else(unknown)?;
    resource.outcome = Some(Outcome::Settled);
    kept::save(tx, stack).map(drop)
}

/// Goes on with bringing back what an update changed. What has been brought back already stays so
/// when it was begun before (`is_again`).
pub fn resume_rollback(
    draft: &mut Draft<'_>,
    is_again: bool,
    skip: &BTreeSet<String>,
    token: Option<String>,
) -> Result<(), Error> {
    let is_settled = |it: &Resource| is_again && it.outcome == Some(Outcome::Settled);
    let settled: BTreeSet<String> = (draft.stack.resources.iter())
        .filter(|(id, it)| skip.contains(*id) || is_settled(it))
        .map(|(id, _)| id.clone())
        .collect();
    let unknown = skip
        .iter()
        .find(|id| !draft.stack.resources.contains_key(id));
    if let Some(unknown) = unknown {
        return Err(invalid(format!(
            "Resource {unknown} does not exist in stack [{}]",
            draft.stack.name
        )));
    }
    let target = draft.stack.version.unwrap_or(0);
    begin(
        draft,
        Phase::UpdateRollback,
        target,
        OnFailure::Rollback,
        token,
    );
    for id in settled {
        if let Some(resource) = draft.resource(&id) {
            resource.outcome = Some(Outcome::Settled);
        }
    }
    draft.stack_status(
        StackStatus::UpdateRollbackInProgress,
        Some("User Initiated".into()),
    )
}

/// Undoes a failed update that was left as it was.
pub async fn rollback_stack(
    cx: Cx,
    input: api::RollbackStackInput,
) -> Result<api::RollbackStackOutput, Error> {
    let role = checked_role(&cx, &input.stack_name, input.role_arn)?;
    cx.write(|tx| {
        let stack = require_root(&cx, tx, &input.stack_name)?;
        let id = stack.id.clone();
        match stack.status {
            StackStatus::UpdateFailed => {
                let mut draft = draft(&cx, tx, stack);
                give_role(&mut draft, role);
                let token = input.client_request_token;
                resume_rollback(&mut draft, false, &BTreeSet::new(), token)?;
                draft.save()?;
            }
            StackStatus::CreateFailed => {
                let target = stack.version.unwrap_or(0);
                let mut draft = draft(&cx, tx, stack);
                give_role(&mut draft, role);
                begin(
                    &mut draft,
                    Phase::Rollback,
                    target,
                    OnFailure::Rollback,
                    input.client_request_token,
                );
                draft.stack_status(
                    StackStatus::RollbackInProgress,
                    Some("User Initiated".into()),
                )?;
                draft.save()?;
            }
            status => {
                return Err(invalid(format!(
                    "Stack:{id} is in {status} state and can not be rolled back."
                )));
            }
        }
        Ok(api::RollbackStackOutput {
            stack_id: Some(id),
            ..Default::default()
        })
    })
}
